# SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import sys

import grpc

FORMS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
CODES = {code.value[0]: code for code in grpc.StatusCode}
COUNTS = [2, 3, 5, 7, 11]


def end(form, status, context):
    # In one write each: threads share the log.
    sys.stderr.write(f'"POST /test.Calls/{form} HTTP/2.0" 200 {status}\n')
    context.set_code(CODES[status])


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        form = details.method.rsplit("/", 1)[1]

        def first(request):
            return list(request)[0] if form.startswith("stream") else request

        def one(request, context):
            status = first(request)[0]
            end(form, status, context)
            # With another status than 0 this is left out.
            return b"answer"

        def some(request, context):
            status = first(request)[0]
            for _ in range(3):
                yield b"answer"
            end(form, status, context)

        return getattr(grpc, form + "_rpc_method_handler")(some if form.endswith("stream") else one)


def ended(call, form, status):
    request = bytes([status])
    try:
        answer = call(iter([request] * 3) if form.startswith("stream") else request)
        if form.endswith("stream"):
            list(answer)
        return 0
    except grpc.RpcError as error:
        return error.code().value[0]


def content(path):
    with open(path, "rb") as file:
        return file.read()


def channel_to(address, certificate=None):
    if certificate is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(content(certificate)))


def call(address, *certificate):
    with channel_to(address, *certificate) as channel, concurrent.futures.ThreadPoolExecutor(max(COUNTS)) as threads:
        for form in FORMS:
            method = getattr(channel, form)("/test.Calls/" + form)
            for status in range(17):
                count = COUNTS[status % 5]
                for end in threads.map(lambda _: ended(method, form, status), range(count)):
                    print("POST 2 200", end)


address = ":".join(sys.argv[2:4])
if sys.argv[1] == "serve":
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max(COUNTS)), handlers=[Handler()])
    if len(sys.argv) > 4:
        pair = content(sys.argv[5]), content(sys.argv[4])
        assert server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        assert server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()
else:
    call(address, *sys.argv[4:])
