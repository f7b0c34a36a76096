// SPDX-License-Identifier: Apache-2.0
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

class App {
    static final String[] FORMS = {"unary_unary", "unary_stream", "stream_unary", "stream_stream"};
    static final int[] COUNTS = {2, 3, 5, 7, 11};

    static class Plain implements MethodDescriptor.Marshaller<byte[]> {
        public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
        }

        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }

    static MethodDescriptor<byte[], byte[]> method(String form) {
        MethodDescriptor.MethodType type = switch (form) {
            case "unary_unary" -> MethodDescriptor.MethodType.UNARY;
            case "unary_stream" -> MethodDescriptor.MethodType.SERVER_STREAMING;
            case "stream_unary" -> MethodDescriptor.MethodType.CLIENT_STREAMING;
            default -> MethodDescriptor.MethodType.BIDI_STREAMING;
        };
        return MethodDescriptor.newBuilder(new Plain(), new Plain()).setType(type)
            .setFullMethodName("test.Calls/" + form).build();
    }

    static class Answering extends ServerCall.Listener<byte[]> {
        final ServerCall<byte[], byte[]> call;
        byte[] first;

        Answering(ServerCall<byte[], byte[]> call) {
            this.call = call;
            call.request(100);
        }

        @Override
        public void onMessage(byte[] message) {
            first = first == null ? message : first;
        }

        @Override
        public void onHalfClose() {
            String name = call.getMethodDescriptor().getFullMethodName();
            int status = first[0];
            int answers = name.endsWith("_stream") ? 3 : status == 0 ? 1 : 0;
            if (answers > 0) {
                call.sendHeaders(new Metadata());
            }
            for (int i = 0; i < answers; i++) {
                call.sendMessage("answer".getBytes());
            }
            System.err.printf("\"POST /%s HTTP/2.0\" 200 %d%n", name, status);
            call.close(Status.fromCodeValue(status), new Metadata());
        }
    }

    static void serve(InetSocketAddress address) throws Exception {
        ServerServiceDefinition.Builder service = ServerServiceDefinition.builder("test.Calls");
        for (String form : FORMS) {
            service.addMethod(method(form), (call, headers) -> new Answering(call));
        }
        NettyServerBuilder.forAddress(address).addService(service.build()).build().start().awaitTermination();
    }

    static CompletableFuture<Integer> ended(ManagedChannel channel, String form, int status) {
        CompletableFuture<Integer> end = new CompletableFuture<>();
        ClientCall<byte[], byte[]> call = channel.newCall(method(form), CallOptions.DEFAULT);
        call.start(new ClientCall.Listener<byte[]>() {
            @Override
            public void onClose(Status status, Metadata trailers) {
                end.complete(status.getCode().value());
            }
        }, new Metadata());
        call.request(100);
        for (int i = form.startsWith("stream_") ? 3 : 1; i > 0; i--) {
            call.sendMessage(new byte[] {(byte) status});
        }
        call.halfClose();
        return end;
    }

    static void call(InetSocketAddress address) throws Exception {
        ManagedChannel channel = NettyChannelBuilder.forAddress(address).usePlaintext().build();
        for (String form : FORMS) {
            for (int status = 0; status <= 16; status++) {
                List<CompletableFuture<Integer>> calls = new ArrayList<>();
                for (int i = 0; i < COUNTS[status % 5]; i++) {
                    calls.add(ended(channel, form, status));
                }
                for (CompletableFuture<Integer> call : calls) {
                    System.out.println("POST 2 200 " + call.get());
                }
            }
        }
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            Thread thread = new Thread(() -> {
                for (int j = 0; j < 13; j++) {
                    System.out.println("POST 2 200 " + ended(channel, "unary_unary", 0).join());
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        channel.shutdownNow();
    }

    public static void main(String[] args) throws Exception {
        InetSocketAddress address = new InetSocketAddress(args[1], Integer.parseInt(args[2]));
        if (args[0].equals("serve")) {
            serve(address);
        } else {
            call(address);
        }
    }
}
