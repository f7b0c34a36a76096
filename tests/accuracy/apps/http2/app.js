// SPDX-License-Identifier: Apache-2.0
const fs = require('fs');
const http2 = require('http2');
const path = require('path');

const [role, ip, port, folder] = process.argv.slice(2);

function serve() {
    // Heads as long as the longest that clients send.
    const options = { maxHeaderListPairs: 1000, settings: { maxHeaderListSize: 1 << 17 }, maxSendHeaderBlockLength: 1 << 17 };
    http2.createServer(options, (request, response) => {
        const log = () => console.error(`"${request.method} ${request.url} HTTP/${request.httpVersion}" ${response.statusCode}`);
        response.on('close', log);
        request.on('end', () => answer(request, response)).resume();
    }).listen(port, ip, 1024);
}

function answer(request, response) {
    const [, kind, name] = request.url.split(/[/?]/);
    if (kind === 'files') {
        const file = path.join(folder, name);
        const etag = `"${name}"`;
        if (request.headers['if-none-match'] === etag) {
            response.writeHead(304, { etag }).end();
        } else if (request.method === 'HEAD') {
            response.writeHead(200, { etag }).end();
        } else {
            response.writeHead(200, { etag, 'content-length': fs.statSync(file).size });
            fs.createReadStream(file).pipe(response);
        }
    } else {
        response.writeHead(kind === 'status' ? Number(name) : 200).end('ok\n');
    }
}

function ask(client, method, target, body) {
    return new Promise((resolve, reject) => {
        const stream = client.request({ ':method': method, ':path': target }, { endStream: body === undefined });
        stream.on('response', (headers) => console.log(`${method} 2 ${headers[':status']}`));
        stream.on('error', reject).on('end', resolve).resume();
        if (body !== undefined) {
            stream.end(body);
        }
    });
}

async function call() {
    const frames = fs.readFileSync(path.join(folder, 'frames'));
    const client = http2.connect(`http://${ip}:${port}`);
    const repeat = async (n, ...request) => {
        for (let i = 0; i < n; i++) {
            await ask(client, ...request);
        }
    };
    await repeat(127, 'GET', '/');
    await Promise.all(Array.from({ length: 97 }, () => ask(client, 'GET', '/')));
    for (const status of [202, 204, 404, 410, 500, 503]) {
        await repeat(5, 'GET', `/status/${status}`);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']) {
        await repeat(3, method, '/');
    }
    await repeat(11, 'PUT', '/upload/file', frames);
    await repeat(7, 'GET', '/files/frames');
    client.close();
}

if (role === 'serve') {
    serve();
} else {
    call();
}
