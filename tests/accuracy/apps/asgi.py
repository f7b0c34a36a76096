# SPDX-License-Identifier: Apache-2.0
import gzip
import os
import sys

import uvicorn
import uvicorn.config


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass

    async def answer(status, body, *headers):
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
        await send({"type": "http.response.body", "body": body})

    kind, _, name = scope["path"][1:].partition("/")
    if kind == "files":
        await send_file(scope, name, send, answer)
    else:
        await answer(int(name) if kind == "status" else 200, b"" if name == "204" else b"ok\n")


async def send_file(scope, name, send, answer):
    path = os.path.join(sys.argv[3], name)
    asked = dict(scope["headers"])
    etag = (b"etag", f'"{name}"'.encode())
    if asked.get(b"if-none-match") == etag[1]:
        await send({"type": "http.response.start", "status": 304, "headers": [etag]})
        return await send({"type": "http.response.body"})
    with open(path, "rb") as file:
        if name.endswith(".txt") and b"gzip" in asked.get(b"accept-encoding", b""):
            return await answer(200, gzip.compress(file.read()), etag, (b"content-encoding", b"gzip"))
        # Without a length: uvicorn sends it in chunks.
        await send({"type": "http.response.start", "status": 200, "headers": [etag]})
        while data := file.read(1 << 18):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body"})


logs = uvicorn.config.LOGGING_CONFIG
logs["handlers"]["access"]["stream"] = "ext://sys.stderr"
uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]), http="h11", ws="none", log_config=logs)
