// SPDX-License-Identifier: Apache-2.0
//! The page's files, as they are in `src/page/`: nothing is built, and nothing else is loaded.

pub struct Asset {
    pub content_type: &'static str,
    pub text: &'static str,
}

pub fn asset(path: &str) -> Option<Asset> {
    let (content_type, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("page/style.css")),
        "/icon.svg" => ("image/svg+xml", include_str!("page/icon.svg")),
        "/app.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/app.js"),
        ),
        "/table.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/table.js"),
        ),
        "/detail.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/detail.js"),
        ),
        "/chart.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/chart.js"),
        ),
        "/format.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/format.js"),
        ),
        _ => return None,
    };
    Some(Asset { content_type, text })
}
