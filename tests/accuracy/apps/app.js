// SPDX-License-Identifier: Apache-2.0
const fs = require('fs');
const http = require('http');
const path = require('path');
const zlib = require('zlib');

const [ip, port, folder] = process.argv.slice(2);

function log(request, status) {
    console.error(`"${request.method} ${request.url} HTTP/${request.httpVersion}" ${status}`);
}

function sendFile(request, response, name) {
    const file = path.join(folder, name);
    const etag = `"${name}"`;
    const headers = { ETag: etag };
    if (request.headers['if-none-match'] === etag) {
        response.writeHead(304, headers).end();
    } else if (name.endsWith('.txt') && request.headers['accept-encoding']?.includes('gzip')) {
        response.writeHead(200, { ...headers, 'Content-Encoding': 'gzip' });
        fs.createReadStream(file).pipe(zlib.createGzip()).pipe(response);
    } else {
        response.writeHead(200, { ...headers, 'Content-Length': fs.statSync(file).size });
        fs.createReadStream(file).pipe(response);
    }
}

function answer(request, response) {
    const [, kind, name] = request.url.split('/');
    if (kind === 'files') {
        sendFile(request, response, name);
    } else {
        response.writeHead(kind === 'status' ? Number(name) : 200, { 'Content-Length': 3 }).end('ok\n');
    }
}

function tunnel(status) {
    return (request, socket, head) => {
        log(request, status);
        socket.on('error', () => socket.destroy());
        socket.write(status === 101
            ? 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
            : 'HTTP/1.1 200 Connection established\r\n\r\n');
        socket.write(head);
        socket.pipe(socket);
    };
}

http.createServer({ maxHeaderSize: 1 << 17 }, (request, response) => {
    response.on('finish', () => log(request, response.statusCode));
    request.on('end', () => answer(request, response)).resume();
}).on('upgrade', tunnel(101)).on('connect', tunnel(200)).listen(port, ip, 1024);
