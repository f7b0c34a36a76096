# SPDX-License-Identifier: Apache-2.0
"""A server and clients of HTTP/2 on python's h2, which do what real ones seldom do. The server keeps a log of what has become of
each request: its method, and the final status, or how the stream ended without one."""

import collections
import socket
import sys
import threading

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated, DataReceived, InformationalResponseReceived, PushedStreamReceived, RequestReceived, ResponseReceived,
    StreamEnded, StreamReset,
)
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

LOG = open(sys.argv[3], "a", buffering=1) if sys.argv[1] in ("serve", "upgrade") else None


class Peer:
    def __init__(self, sock, client):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.h2 = H2Connection(H2Configuration(client_side=client, header_encoding="ascii", validate_inbound_headers=False))

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def head(self):
        """Of HTTP/1."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.sock.recv(1)
        return head.decode()

    def events(self):
        """Of one receive; none at the end of the connection."""
        data = self.sock.recv(65536)
        if not data:
            return None
        return self.h2.receive_data(data)


# ---- the server ----

class Serving(Peer):
    def __init__(self, sock):
        super().__init__(sock, False)
        settings = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1, SettingCodes.MAX_CONCURRENT_STREAMS: 10_000}
        self.h2.local_settings = Settings(client=False, initial_values=settings)
        self.methods = {}
        self.held = []
        self.leaving = False

    def note(self, stream, what):
        LOG.write(f"{self.methods.pop(stream)} {what}\n")

    def answer(self, stream, status):
        # A name that only grows the table, and a block that refers to what came before.
        headers = [(":status", status), ("server", "peer"), ("x-status", status)]
        self.h2.send_headers(stream, headers)
        self.h2.send_data(stream, b"some text", end_stream=True)
        self.note(stream, status)

    def asked(self, stream, headers):
        self.methods[stream] = headers[":method"]
        path = headers.get(":path", "/200").strip("/").split("/")
        if self.leaving:
            self.note(stream, "nothing")
        elif headers.get(":protocol"):
            self.h2.send_headers(stream, [(":status", "200")])
            self.note(stream, "200")
        elif path[0] == "early":
            for _ in range(2):
                self.h2.send_headers(stream, [(":status", "103"), ("link", "</style.css>; rel=preload")])
            self.flush()
            self.answer(stream, path[1])
        elif path[0] == "push":
            pushed = self.h2.get_next_available_stream_id()
            request = [(":method", "GET"), (":scheme", "http"), (":authority", "peer"), (":path", "/pushed")]
            self.h2.push_stream(stream, pushed, request)
            self.answer(stream, path[1])
            self.h2.send_headers(pushed, [(":status", "200")])
            self.h2.send_data(pushed, b"pushed", end_stream=True)
        elif path[0] == "reset":
            self.h2.reset_stream(stream, int(path[1]))
            self.note(stream, "reset")
        elif path[0] == "half":
            self.h2.send_headers(stream, [(":status", path[1])])
            self.note(stream, path[1])
            self.h2.send_data(stream, b"half of")
            self.h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
        elif path[0] == "hold":
            self.held.append(stream)
            if len(self.held) == int(path[1]):
                while self.held:
                    self.answer(self.held.pop(), "200")
                    self.flush()
        elif path[0] == "never":
            pass
        elif path[0] == "goaway":
            self.answer(stream, "200")
            self.flush()
            # By hand, since h2 would take no more.
            self.sock.sendall(GoAwayFrame(last_stream_id=stream).serialize())
            self.leaving = True
        elif path[0] == "table":
            self.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: int(path[1])})
            self.answer(stream, "200")
        else:
            self.answer(stream, path[0])

    def upgrade(self):
        request, *headers = self.head().split("\r\n")
        settings = [it.split(": ", 1)[1] for it in headers if it.startswith("HTTP2-Settings: ")]
        self.h2.initiate_upgrade_connection(settings[0])
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        method, path, _ = request.split(" ")
        self.asked(1, {":method": method, ":path": path})

    def run(self):
        if sys.argv[1] == "upgrade":
            self.upgrade()
        else:
            self.h2.initiate_connection()
        self.flush()
        while (events := self.events()) is not None:
            for event in events:
                if isinstance(event, RequestReceived):
                    self.asked(event.stream_id, dict(event.headers))
                elif isinstance(event, DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamReset) and event.stream_id in self.methods:
                    self.note(event.stream_id, "cancelled")
            self.flush()
        for stream in list(self.methods):
            self.note(stream, "nothing")


def serve(address):
    listener = socket.create_server(address, backlog=64)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=lambda: Serving(sock).run(), daemon=True).start()


# ---- the clients ----

class Asking(Peer):
    """`upgraded`: the path of a request of HTTP/1.1 that it begins with."""
    def __init__(self, address, upgraded=None):
        super().__init__(socket.create_connection(address), True)
        self.statuses = {}
        self.ended = set()
        self.seen = collections.Counter()
        if upgraded:
            self.upgrade(upgraded)
        else:
            self.h2.initiate_connection()
            self.flush()

    def upgrade(self, path):
        settings = self.h2.initiate_upgrade_connection().decode()
        lines = [f"GET {path} HTTP/1.1", "Host: peer", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                 f"HTTP2-Settings: {settings}"]
        self.sock.sendall("\r\n".join(lines + ["", ""]).encode())
        assert self.head().startswith("HTTP/1.1 101 ")

    def ask(self, path, method="GET", more=(), body=None, send=True, protocol=None):
        stream = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "http"), (":authority", "peer"), (":path", path)]
        if protocol:
            headers.append((":protocol", protocol))
        self.h2.send_headers(stream, headers + list(more), end_stream=body is None and not protocol)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=True)
        if send:
            self.flush()
        return stream

    def take(self):
        events = self.events()
        assert events is not None, "the server has closed"
        for event in events:
            self.seen[type(event)] += 1
            if isinstance(event, ResponseReceived):
                self.statuses[event.stream_id] = dict(event.headers)[":status"]
            elif isinstance(event, DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (StreamEnded, StreamReset)):
                self.ended.add(event.stream_id)
        self.flush()

    def wait(self, stream):
        while stream not in self.ended:
            self.take()
        return self.statuses.get(stream)

    def expect(self, path, status, **how):
        assert self.wait(self.ask(path, **how)) == status, path


def early(client):
    for n, status in enumerate(["200", "404", "503"]):
        for _ in range(2 * n + 3):
            client.expect(f"/early/{status}", status)
    assert client.seen[InformationalResponseReceived] == 2 * 15


def pushes(client):
    for _ in range(7):
        client.expect("/push/200", "200")
    client.expect("/404", "404")
    assert client.seen[PushedStreamReceived] == 7


def tunnels(client):
    for _ in range(5):
        stream = client.ask("/chat", method="CONNECT", protocol="websocket")
        while stream not in client.statuses:
            client.take()
        # What goes through it is no request.
        client.h2.send_data(stream, b"GET / HTTP/1.1\r\n\r\n", end_stream=True)
        client.flush()
    client.expect("/204", "204")


def resets(client):
    """By the server, in all of its ways."""
    for code in [ErrorCodes.REFUSED_STREAM, ErrorCodes.ENHANCE_YOUR_CALM, ErrorCodes.NO_ERROR]:
        for _ in range(code % 5 + 2):
            client.expect(f"/reset/{int(code)}", None)
    # Behind an answer a reset means nothing.
    for _ in range(3):
        client.expect("/half/200", "200")
    client.expect("/200", "200", method="POST", body=b"text")


def cancels(client):
    """By the client: before an answer, twice on one stream, and behind an answer."""
    for n in range(11):
        stream = client.ask("/never", method=["GET", "DELETE"][n % 2])
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
        client.flush()
    for _ in range(3):
        client.expect("/200", "200")


def goaway(client):
    """Some requests are on their way when the server says that it takes no more."""
    for _ in range(4):
        client.expect("/200", "200")
    client.ask("/goaway", send=False)
    for _ in range(6):
        client.ask("/200", send=False)
    client.flush()
    while not client.seen[ConnectionTerminated]:
        client.take()
    assert len(client.statuses) == 5


def held(client):
    first = client.ask("/hold/2")
    for n in range(5003):
        client.expect("/200", "200", method="PUT")
    client.expect("/hold/2", "200")
    assert client.wait(first) == "200"


def outstanding(client):
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
    while not client.h2.remote_settings.max_concurrent_streams > 1000:
        client.take()
    streams = [client.ask("/hold/1000", send=n % 10 == 9, method="PATCH") for n in range(1000)]
    for stream in streams:
        assert client.wait(stream) == "200"


def tables(client):
    """Both sides change the size of the other's table in the middle, and use what is in it."""
    statuses = ["200", "201", "404", "418", "499", "503"]
    methods = ["GET", "POST", "PUT", "PROPFIND", "DELETE"]
    for n, size in enumerate([4096, 0, 100, 65536, 0, 4096, 100, 65536, 4096]):
        client.expect(f"/table/{size}", "200")
        client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: size})
        client.flush()
        for turn in range(61):
            status = statuses[turn * (n + 1) % len(statuses)]
            more = [("x-a", str(turn % 7)), ("x-b", "b" * (turn % 5)), ("x-long", "v" * 60)]
            client.expect(f"/{status}", status, method=methods[turn % len(methods)], more=more)


def upgraded(client):
    assert client.wait(1) == "404"
    for _ in range(3):
        client.expect("/200", "200")
    for _ in range(2):
        client.expect("/404", "404")


if __name__ == "__main__":
    host, port = sys.argv[2].rsplit(":", 1)
    if LOG:
        serve((host, int(port)))
    client = Asking((host, int(port)), "/404" if sys.argv[1] == "upgraded" else None)
    globals()[sys.argv[1]](client)
    client.sock.close()
