# SPDX-License-Identifier: Apache-2.0
import asyncio
import os
import sys

import httpx


async def call(ip, port, folder):
    with open(os.path.join(folder, "frames"), "rb") as file:
        frames = file.read()
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(http1=False, http2=True, limits=limits, timeout=60) as client:

        async def ask(method, path, body=None):
            answer = await client.request(method, f"http://{ip}:{port}{path}", content=body)
            assert answer.http_version == "HTTP/2", answer.http_version
            print(method, 2, answer.status_code)

        async def repeat(n, *request):
            for _ in range(n):
                await ask(*request)

        await repeat(127, "GET", "/")
        await asyncio.gather(*(ask("GET", "/") for _ in range(97)))
        for status in [202, 204, 404, 410, 500, 503]:
            await repeat(5, "GET", f"/status/{status}")
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]:
            await repeat(3, method, "/")
        await repeat(11, "PUT", "/upload/file", frames)
        await repeat(7, "GET", "/files/frames")


asyncio.run(call(*sys.argv[2:5]))
