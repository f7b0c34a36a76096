# SPDX-License-Identifier: Apache-2.0
import asyncio
import gzip
import os
import sys


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


def serve_http1(ip, port):
    import uvicorn
    import uvicorn.config

    logs = uvicorn.config.LOGGING_CONFIG
    logs["handlers"]["access"]["stream"] = "ext://sys.stderr"
    uvicorn.run(app, host=ip, port=int(port), http="h11", ws="none", log_config=logs)


def serve_http2(ip, port):
    import hypercorn.asyncio
    import hypercorn.config

    config = hypercorn.config.Config()
    # Where it logs to.
    os.dup2(2, 1)
    config.h2_max_header_list_size = 1 << 17
    config.bind = [f"{ip}:{port}"]
    config.accesslog = config.errorlog = "-"
    config.access_log_format = '"%(R)s" %(s)s'
    asyncio.run(hypercorn.asyncio.serve(app, config))


(serve_http2 if sys.argv[4:] == ["2"] else serve_http1)(*sys.argv[1:3])
