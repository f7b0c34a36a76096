# SPDX-License-Identifier: Apache-2.0
import base64
import gzip
import hashlib
import http.server
import os
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        kind, _, name = self.path.partition("?")[0][1:].partition("/")
        if self.headers["Upgrade"] == "websocket":
            return self.tunnel(101, "Switching Protocols")
        self.read_body()
        if kind == "files":
            return self.send_file(name)
        if kind == "sleep":
            time.sleep(int(name) / 1000)
        self.send(int(name) if kind == "status" else 200, b"ok\n")

    def do_CONNECT(self):
        self.tunnel(200, "Connection established")

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PROPFIND = do_PUT = do_TRACE = answer

    def read_body(self):
        if self.headers["Transfer-Encoding"] == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                self.rfile.read(size + 2)
            while self.rfile.readline().strip():
                pass
        left = int(self.headers["Content-Length"] or 0)
        while left:
            left -= len(self.rfile.read(min(left, 65536)))

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    def send_file(self, name):
        path = os.path.join(sys.argv[3], name)
        etag = f'"{name}"'
        if self.headers["If-None-Match"] == etag:
            self.send_response(304)
            self.send_header("ETag", etag)
            return self.end_headers()
        with open(path, "rb") as file:
            if name.endswith(".txt") and "gzip" in self.headers.get("Accept-Encoding", ""):
                return self.send(200, gzip.compress(file.read()), ETag=etag, Content_Encoding="gzip")
            self.send_response(200)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(os.path.getsize(path)))
            self.end_headers()
            self.connection.sendfile(file)

    def tunnel(self, status, reason):
        self.send_response(status, reason)
        if status == 101:
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        while data := self.rfile.read1():
            self.wfile.write(data)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
