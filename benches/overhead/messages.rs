// SPDX-License-Identifier: Apache-2.0
//! What client and server say: two fixed requests, and a mix that no branch predictor knows by heart.

pub struct Exchange {
    pub request: Vec<u8>,
    pub response: Vec<u8>,
}

const SMALL: &str = "GET /api/item/7 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.1\r\n\
    Accept: */*\r\n\r\n";

const LARGE: &str = "GET /shop/catalogue/items?category=books&page=1024&sort=price HTTP/1.1\r\n\
    Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Referer: https://www.example.org/shop/catalogue\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=4f1c9a5e7b2d4830a6e1; theme=dark; consent=yes\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Cache-Control: max-age=0\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\n\
    Date: Mon, 06 Oct 2025 08:00:00 GMT\r\nContent-Type: application/json\r\n\
    Content-Length: 27\r\n\r\n{\"id\":7,\"name\":\"benchmark\"}";

// The published figures are for these sizes.
const _: () = assert!(SMALL.len() == 80 && LARGE.len() == 535 && RESPONSE.len() == 150);

pub fn small() -> Exchange {
    exchange(SMALL, RESPONSE)
}

pub fn large() -> Exchange {
    exchange(LARGE, RESPONSE)
}

const TARGETS: [&str; 5] = [
    "/",
    "/favicon.ico",
    "/api/v2/users/1093/orders?since=2025-01-01",
    "/static/js/vendor.8c1f2a.js",
    "/search?q=socket+storage&lang=en&page=2&safe=off",
];

const HEADERS: [&str; 5] = [
    "Accept: */*\r\n",
    "User-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n",
    "User-Agent: Prometheus/2.45.0\r\nAccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\
     X-Prometheus-Scrape-Timeout-Seconds: 10\r\n",
    "User-Agent: python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n\
     Connection: keep-alive\r\nX-Request-Id: 0b7e4c62-55b1-4f6e-9d4e-3f1f7f0a2d11\r\n",
    "User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 (KHTML, like Gecko)\r\n\
     Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
     Accept-Language: fr-FR,fr;q=0.9\r\nCookie: id=7f3; cart=31,57,101; seen=2025-09-30\r\n\
     Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nPriority: u=0, i\r\n",
];

const RESPONSES: [&str; 5] = [
    RESPONSE,
    "HTTP/1.1 204 No Content\r\nServer: nginx\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: https://www.example.org/login?next=%2Fsearch\r\n\
     Set-Cookie: seen=2025-10-06; Path=/; HttpOnly\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 9\r\n\
     vary: accept-encoding\r\n\r\nnot found",
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\
     ETag: \"5f2b-18c\"\r\nCache-Control: no-cache\r\n\r\n\
     19\r\n<h1>Twenty-five bytes.</h\r\n1\r\n>\r\n0\r\n\r\n",
];

/// 25 exchanges: every target with every kind of header; methods, lengths and statuses vary with both.
pub fn mix() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for (i, target) in TARGETS.iter().enumerate() {
        for (k, headers) in HEADERS.iter().enumerate() {
            let (method, body) = match (i + k) % 5 {
                0 => ("POST", "name=benchmark&quantity=11"),
                1 => ("PUT", "{\"quantity\":13}"),
                _ => ("GET", ""),
            };
            let length = match body.len() {
                0 => String::new(),
                n => format!("Content-Length: {n}\r\n"),
            };
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: www.example.org\r\n{headers}{length}\r\n{body}"
            );
            exchanges.push(exchange(&request, RESPONSES[(i + 2 * k) % 5]));
        }
    }
    exchanges
}

fn exchange(request: &str, response: &str) -> Exchange {
    Exchange {
        request: request.into(),
        response: response.into(),
    }
}
