# SPDX-License-Identifier: Apache-2.0
"""Asks a server over TLS in the ways that the arguments name, such as new:53, and says how often it was answered.

Arguments: address, port, and then the ways. At "wait" it says how often it was answered so far, and waits for a line.
"""
import socket
import ssl
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
GET = b"GET /file HTTP/1.1\r\nHost: test\r\n\r\n"
LINES = b"GET /in-a-body HTTP/1.1\r\nHost: body\r\n\r\n" * 50


class Connection:
    def __init__(self):
        self.socket = context.wrap_socket(socket.create_connection((HOST, PORT)))
        self.file = self.socket.makefile("rb")

    def answer(self):
        status = self.file.readline().split(b" ")[1]
        length = 0
        while (line := self.file.readline().strip()) != b"":
            name, value = line.lower().split(b":", 1)
            if name == b"content-length":
                length = int(value)
        assert len(self.file.read(length)) == length
        assert status in (b"200", b"204"), status
        return 1

    def close(self):
        self.file.close()
        self.socket.close()


def new(times):
    answers = 0
    for _ in range(times):
        connection = Connection()
        connection.socket.sendall(GET)
        answers += connection.answer()
        connection.close()
    return answers


class Ways:
    """What is sent at a time, and how many answers come of it."""

    def keep(to):
        to.sendall(GET)
        return 1

    def pipe(to):
        to.sendall(7 * GET)
        return 7

    def split(to):
        for at in range(0, len(GET), 7):
            to.sendall(GET[at : at + 7])
        return 1

    def post(to):
        head = f"POST /post HTTP/1.1\r\nHost: test\r\nContent-Length: {len(LINES)}\r\n\r\n"
        to.sendall(head.encode() + LINES)
        return 1

    def lines(to):
        to.sendall(GET.replace(b"/file", b"/lines"))
        return 1

    def big(to):
        to.sendall(GET.replace(b"/file", b"/big"))
        return 1


def on(connection, times, send):
    return sum(connection.answer() for _ in range(times) for _ in range(send(connection.socket)))


answers = 0
held = None
for way in sys.argv[3:]:
    name, _, times = way.partition(":")
    if name == "wait":
        print(answers, flush=True)
        sys.stdin.readline()
    elif name == "hold":
        held = Connection()
        answers += on(held, int(times), Ways.keep)
    elif name == "more":
        answers += on(held, int(times), Ways.keep)
    elif name == "new":
        answers += new(int(times))
    else:
        connection = Connection()
        answers += on(connection, int(times), getattr(Ways, name))
        connection.close()
print(answers, flush=True)
# For as long as it is to be looked at.
sys.stdin.read()
