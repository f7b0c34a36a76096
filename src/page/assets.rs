// SPDX-License-Identifier: Apache-2.0
//! The page's files, as they are in `src/page/files/`: nothing is built, and nothing else is loaded.

pub struct Asset {
    pub content_type: &'static str,
    pub text: &'static str,
}

pub fn asset(path: &str) -> Option<Asset> {
    let (content_type, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("files/index.html")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("files/style.css")),
        "/icon.svg" => ("image/svg+xml", include_str!("files/icon.svg")),
        "/app.js" => (
            "text/javascript; charset=utf-8",
            include_str!("files/app.js"),
        ),
        "/table.js" => (
            "text/javascript; charset=utf-8",
            include_str!("files/table.js"),
        ),
        "/detail.js" => (
            "text/javascript; charset=utf-8",
            include_str!("files/detail.js"),
        ),
        "/chart.js" => (
            "text/javascript; charset=utf-8",
            include_str!("files/chart.js"),
        ),
        "/format.js" => (
            "text/javascript; charset=utf-8",
            include_str!("files/format.js"),
        ),
        _ => return None,
    };
    Some(Asset { content_type, text })
}
