// SPDX-License-Identifier: Apache-2.0
const crypto = require('crypto');
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
    const [, kind, name] = request.url.split(/[/?]/);
    if (kind === 'files') {
        sendFile(request, response, name);
    } else {
        const status = kind === 'status' ? Number(name) : 200;
        // A length would be a promise that a 204 does not keep.
        response.writeHead(status, status === 204 ? {} : { 'Content-Length': 3 }).end('ok\n');
    }
}

function tunnel(request, socket, status, head) {
    log(request, status);
    socket.on('error', () => socket.destroy());
    socket.write(head);
    socket.pipe(socket);
}

function upgrade(request, socket) {
    const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
    const accept = crypto.createHash('sha1').update(key).digest('base64');
    tunnel(request, socket, 101, 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n'
        + `Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
}

function connect(request, socket) {
    tunnel(request, socket, 200, 'HTTP/1.1 200 Connection established\r\n\r\n');
}

http.createServer({ maxHeaderSize: 1 << 17 }, (request, response) => {
    response.on('close', () => log(request, response.statusCode));
    request.on('end', () => answer(request, response)).resume();
}).on('upgrade', upgrade).on('connect', connect).listen(port, ip, 1024);
