# SPDX-License-Identifier: Apache-2.0
"""A server that calls GnuTLS itself, in the ways that few do; or a client that downloads a body of requests and prints how much it got.

Arguments: address, port, certificate, key; or address, port. Answers to requests that come together are written together, to a socket
that takes little at a time: what was put off is tried again without a buffer, as the library allows. Answers to uploads are written
corked, in two parts. What is received is asked for by two functions in turn.
"""
import ctypes
import select
import socket
import sys
import threading

tls = ctypes.CDLL("libgnutls.so.30")
tls.gnutls_record_send.restype = tls.gnutls_record_recv.restype = ctypes.c_ssize_t
tls.gnutls_record_recv_seq.restype = ctypes.c_ssize_t
SERVER, CLIENT, CERTIFICATE, PEM = 1, 2, 1, 1
AGAIN, INTERRUPTED = -28, -52
BODY = b"GET /in-a-body HTTP/1.1\r\nHost: body\r\n\r\n" * 1000
GET = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
POST = [b"HTTP/1.1 204 No Content\r\n", b"\r\n"]

credentials = ctypes.c_void_p()
assert tls.gnutls_certificate_allocate_credentials(ctypes.byref(credentials)) == 0


class Session:
    def __init__(self, connection, end):
        self.connection = connection
        self.pointer = ctypes.c_void_p()
        assert tls.gnutls_init(ctypes.byref(self.pointer), end) == 0
        assert tls.gnutls_set_default_priority(self.pointer) == 0
        assert tls.gnutls_credentials_set(self.pointer, CERTIFICATE, credentials) == 0
        tls.gnutls_transport_set_int2(self.pointer, connection.fileno(), connection.fileno())
        assert self.repeat(lambda: tls.gnutls_handshake(self.pointer)) == 0
        self.reads = 0

    def repeat(self, call, again=None):
        result = call()
        while result in (AGAIN, INTERRUPTED):
            writes = tls.gnutls_record_get_direction(self.pointer)
            select.select([] if writes else [self.connection], [self.connection] if writes else [], [])
            result = (again or call)()
        return result

    def receive(self):
        buffer = ctypes.create_string_buffer(3000)
        number = ctypes.create_string_buffer(8)
        self.reads += 1
        if self.reads % 2:
            read = lambda: tls.gnutls_record_recv(self.pointer, buffer, 3000)
        else:
            read = lambda: tls.gnutls_record_recv_seq(self.pointer, buffer, 3000, number)
        size = max(self.repeat(read), 0)
        return buffer.raw[:size]

    def send(self, content):
        buffer = ctypes.create_string_buffer(content, len(content))
        at = 0
        while at < len(content):
            where = ctypes.c_void_p(ctypes.addressof(buffer) + at)
            size = ctypes.c_size_t(len(content) - at)
            at += self.repeat(
                lambda: tls.gnutls_record_send(self.pointer, where, size),
                lambda: tls.gnutls_record_send(self.pointer, None, ctypes.c_size_t(0)),
            )

    def send_corked(self, parts):
        tls.gnutls_record_cork(self.pointer)
        for part in parts:
            assert tls.gnutls_record_send(self.pointer, part, ctypes.c_size_t(len(part))) == len(part)
        assert self.repeat(lambda: tls.gnutls_record_uncork(self.pointer, 0)) == sum(map(len, parts))

    def close(self):
        tls.gnutls_deinit(self.pointer)
        self.connection.close()


def serve(connection):
    connection.setblocking(False)
    session = Session(connection, SERVER)
    held = b""
    while received := session.receive():
        held += received
        answers = b""
        while b"\r\n\r\n" in held:
            head, rest = held.split(b"\r\n\r\n", 1)
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) if b"Content-Length" in head else 0
            if len(rest) < length:
                break
            held = rest[length:]
            if head.startswith(b"POST"):
                session.send_corked(POST)
            else:
                answers += GET
        session.send(answers)
    session.close()


if len(sys.argv) > 3:
    certificate, key = (it.encode() for it in sys.argv[3:])
    assert tls.gnutls_certificate_set_x509_key_file(credentials, certificate, key, PEM) == 0
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen(64)
    while True:
        threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
session = Session(socket.create_connection((sys.argv[1], int(sys.argv[2]))), CLIENT)
session.send(b"GET /file HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
size = 0
while size < len(GET):
    size += len(session.receive())
session.close()
print(size, flush=True)
# For as long as it is to be looked at.
sys.stdin.read()
