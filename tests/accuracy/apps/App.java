// SPDX-License-Identifier: Apache-2.0
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;
import java.util.zip.GZIPOutputStream;

class App {
    public static void main(String[] args) throws IOException {
        Path folder = Path.of(args[2]);
        InetSocketAddress address = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
        HttpServer server = HttpServer.create(address, 1024);
        server.createContext("/", exchange -> {
            exchange.getRequestBody().transferTo(OutputStream.nullOutputStream());
            answer(exchange, folder);
        });
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
    }

    static void answer(HttpExchange exchange, Path folder) throws IOException {
        String[] path = exchange.getRequestURI().getPath().split("/");
        String kind = path.length > 1 ? path[1] : "";
        if (kind.equals("files")) {
            sendFile(exchange, folder.resolve(path[2]));
        } else {
            send(exchange, kind.equals("status") ? Integer.parseInt(path[2]) : 200, "ok\n".getBytes());
        }
    }

    // Logs first: once an answer is out, another thread may take the connection's next request, and answer that too.
    static void begin(HttpExchange exchange, int status, long length) throws IOException {
        System.err.printf("\"%s %s %s\" %d%n", exchange.getRequestMethod(), exchange.getRequestURI(),
            exchange.getProtocol(), status);
        exchange.sendResponseHeaders(status, length);
    }

    static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
        boolean bare = status == 204 || status == 304 || exchange.getRequestMethod().equals("HEAD");
        begin(exchange, status, bare ? -1 : body.length);
        if (!bare) {
            exchange.getResponseBody().write(body);
        }
        exchange.close();
    }

    static void sendFile(HttpExchange exchange, Path file) throws IOException {
        String name = file.getFileName().toString();
        String etag = '"' + name + '"';
        String accepted = String.valueOf(exchange.getRequestHeaders().getFirst("Accept-Encoding"));
        exchange.getResponseHeaders().set("ETag", etag);
        if (etag.equals(exchange.getRequestHeaders().getFirst("If-None-Match"))) {
            send(exchange, 304, new byte[0]);
        } else if (exchange.getRequestMethod().equals("HEAD")) {
            send(exchange, 200, new byte[0]);
        } else if (name.endsWith(".txt") && accepted.contains("gzip")) {
            exchange.getResponseHeaders().set("Content-Encoding", "gzip");
            begin(exchange, 200, 0);
            try (OutputStream packed = new GZIPOutputStream(exchange.getResponseBody())) {
                Files.copy(file, packed);
            }
        } else {
            begin(exchange, 200, Files.size(file));
            try (OutputStream body = exchange.getResponseBody()) {
                Files.copy(file, body);
            }
        }
    }
}
