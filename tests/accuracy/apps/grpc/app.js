// SPDX-License-Identifier: Apache-2.0
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const [role, ip, port, certificate, key] = process.argv.slice(2);
const COUNTS = [2, 3, 5, 7, 11];
const FORMS = ['unary_unary', 'unary_stream', 'stream_unary', 'stream_stream'];
const plain = (bytes) => bytes;

const service = Object.fromEntries(FORMS.map((form) => [form, {
    path: `/test.Calls/${form}`,
    requestStream: form.startsWith('stream_'),
    responseStream: form.endsWith('_stream'),
    requestSerialize: plain,
    requestDeserialize: plain,
    responseSerialize: plain,
    responseDeserialize: plain,
}]));

function handler(form) {
    const { requestStream, responseStream, path } = service[form];
    return (call, callback) => {
        const answer = (request) => {
            const code = request[0];
            const error = code === 0 ? null : { code, details: 'as asked' };
            console.error(`"POST ${path} HTTP/2.0" 200 ${code}`);
            if (!responseStream) {
                callback(error, error ? null : Buffer.from('answer'));
                return;
            }
            for (let i = 0; i < 3; i++) {
                call.write(Buffer.from('answer'));
            }
            if (error) {
                call.emit('error', error);
            } else {
                call.end();
            }
        };
        if (!requestStream) {
            answer(call.request);
            return;
        }
        let first;
        call.on('data', (message) => { first ??= message; });
        call.on('end', () => answer(first));
    };
}

function serve() {
    const server = new grpc.Server();
    server.addService(service, Object.fromEntries(FORMS.map((form) => [form, handler(form)])));
    const credentials = key
        ? grpc.ServerCredentials.createSsl(null, [{ private_key: fs.readFileSync(key), cert_chain: fs.readFileSync(certificate) }])
        : grpc.ServerCredentials.createInsecure();
    server.bindAsync(`${ip}:${port}`, credentials, (error) => {
        if (error) {
            throw error;
        }
    });
}

function ended(client, form, code) {
    const { requestStream, responseStream } = service[form];
    const request = Buffer.from([code]);
    return new Promise((resolve) => {
        const answered = () => {};
        const parameters = [...requestStream ? [] : [request], ...responseStream ? [] : [answered]];
        const call = client[form](...parameters);
        if (responseStream) {
            call.on('data', () => {}).on('error', () => {});
        }
        call.on('status', (status) => resolve(status.code));
        if (requestStream) {
            for (let i = 0; i < 3; i++) {
                call.write(request);
            }
            call.end();
        }
    });
}

async function call() {
    const Client = grpc.makeGenericClientConstructor(service, 'Calls');
    const credentials = certificate
        ? grpc.credentials.createSsl(fs.readFileSync(certificate))
        : grpc.credentials.createInsecure();
    const client = new Client(`${ip}:${port}`, credentials);
    for (const form of FORMS) {
        for (let code = 0; code <= 16; code++) {
            const calls = Array.from({ length: COUNTS[code % 5] }, () => ended(client, form, code));
            for (const end of await Promise.all(calls)) {
                console.log(`POST 2 200 ${end}`);
            }
        }
    }
    client.close();
}

if (role === 'serve') {
    serve();
} else {
    call();
}
