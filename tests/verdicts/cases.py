# SPDX-License-Identifier: Apache-2.0
"""Conversations that are easily misjudged: both ends, in processes of their own.

Each case prints the pid of the process whose counts are to be looked at. One that begins before the agent does prints it
once that part is over, and waits for a line on its standard input. All live on until that is closed.
"""
import os
import socket
import sys
import tempfile

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# Each line of this body could be a request if the body were not one.
BODY = REQUEST * 5


def tcp():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server = listener.accept()[0]
    for end in (client, server):
        end.settimeout(10)
    return client, server


def pair():
    return socket.socketpair()


def exchange(client, server, request=REQUEST, answer=ANSWER):
    client.sendall(request)
    server.recv(65536)
    server.sendall(answer)
    client.recv(65536)


def ready(pid=None):
    print(pid or os.getpid(), flush=True)


def agent():
    ready()
    sys.stdin.readline()


def head(parts):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (parts * len(BODY))


def read_whole(end, length):
    while length > 0:
        length -= len(end.recv(length))


def two_blanks():
    client, server = tcp()
    exchange(client, server, b"GET  / HTTP/1.1\r\nHost: test\r\n\r\n")
    for _ in range(5):
        exchange(client, server)
    ready()


def other_lines_first():
    """HTTP/0.9, which is not counted, and then a line that is text and no request: what follows is."""
    client, server = tcp()
    for _ in range(3):
        exchange(client, server, b"GET /\r\n", b"an answer")
    for _ in range(4):
        exchange(client, server)
    ready()


def empty_buffers():
    for empty in (1, 4, 5, 23):
        client, server = tcp()
        client.sendall(REQUEST)
        os.readv(server.fileno(), [bytearray(0)] * empty + [bytearray(4096)])
        server.sendall(ANSWER)
    ready()


def urgent_byte():
    client, server = tcp()
    client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
    server.recv(65536)
    client.sendall(b"x" * 50)
    read_whole(server, 50)
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"x" * 50)
    read_whole(server, 50)
    server.sendall(ANSWER)
    client.recv(65536)
    exchange(client, server, b"PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    ready()


def end_of_stream():
    client, server = tcp()
    client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
    server.recv(65536)
    client.sendall(b"x" * 10)
    client.shutdown(socket.SHUT_WR)
    # With more room than there are bytes, one receive takes the end, too.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100)
    server.recv(65536)
    server.sendall(ANSWER)
    # A pipeline that ends in the same way, in several receives.
    client, server = tcp()
    client.sendall(REQUEST * 3)
    client.shutdown(socket.SHUT_WR)
    for _ in range(3):
        server.recv(len(REQUEST))
    server.recv(65536)
    server.sendall(ANSWER * 3)
    ready()


def answered_by_child():
    client, server = tcp()
    client.sendall(REQUEST)
    server.recv(65536)
    child = os.fork()
    if child == 0:
        server.sendall(ANSWER)
        sys.stdin.read()
        os._exit(0)
    client.recv(65536)
    ready(child)


def spliced():
    client, server = tcp()
    client.sendall(REQUEST)
    into, out = os.pipe()
    os.splice(server.fileno(), out, 65536)
    server.sendall(ANSWER)
    client.recv(65536)
    ready()


def answered_late():
    client, server = tcp()
    client.sendall(REQUEST)
    server.recv(65536)
    agent()
    server.sendall(ANSWER)
    client.recv(65536)
    exchange(client, server)
    ready()


def old_client():
    """The client is a process of its own, and is looked at."""
    client, server = tcp()
    child = os.fork()
    if child != 0:
        client.close()
        server.recv(65536)
        server.sendall(head(5))
        ready(child)
        sys.stdin.readline()
        for part in range(5):
            server.sendall(BODY)
            server.recv(1)
        print("done", flush=True)
        return
    server.close()
    client.sendall(REQUEST)
    read_whole(client, len(head(5)))
    for part in range(5):
        read_whole(client, len(BODY))
        client.sendall(b".")
    sys.stdin.read()
    os._exit(0)


def client_of_a_pair():
    client, server = pair()
    child = os.fork()
    if child == 0:
        server.close()
        client.sendall(REQUEST)
        read_whole(client, len(head(3)))
        for part in range(3):
            read_whole(client, len(BODY))
            client.sendall(b".")
        sys.stdin.read()
        os._exit(0)
    client.close()
    server.recv(65536)
    server.sendall(head(3))
    for part in range(3):
        server.sendall(BODY)
        server.recv(1)
    ready(child)


def server_of_a_pair():
    client, server = pair()
    for _ in range(7):
        exchange(client, server)
    ready()


def datagrams():
    """Answers that are none of a stream, as those of SSDP."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(5):
        client.sendto(b"M-SEARCH * HTTP/1.1\r\n\r\n", server.getsockname())
        server.sendto(ANSWER, server.recvfrom(65536)[1])
    ready()


def uwsgi():
    """Another protocol, which is answered in HTTP."""
    with tempfile.TemporaryDirectory() as folder:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(folder + "/socket")
        listener.listen()
        for _ in range(5):
            client = socket.socket(socket.AF_UNIX)
            client.connect(folder + "/socket")
            exchange(client, listener.accept()[0], b"\x00\x10\x00\x00\x0e\x00REQUEST_METHOD")
    ready()


globals()[sys.argv[1]]()
sys.stdin.read()
