// SPDX-License-Identifier: Apache-2.0
//! The page's files, as they are in `src/page/files/`: nothing is built, and nothing else is loaded.

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

pub struct Asset {
    pub content_type: &'static str,
    pub text: &'static str,
}

pub fn asset(path: &str) -> Option<Asset> {
    let (content_type, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("files/index.html")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("files/style.css")),
        "/icon.svg" => ("image/svg+xml", include_str!("files/icon.svg")),
        "/app.js" => (JAVASCRIPT, include_str!("files/app.js")),
        "/chart.js" => (JAVASCRIPT, include_str!("files/chart.js")),
        "/detail.js" => (JAVASCRIPT, include_str!("files/detail.js")),
        "/format.js" => (JAVASCRIPT, include_str!("files/format.js")),
        "/heatmap.js" => (JAVASCRIPT, include_str!("files/heatmap.js")),
        "/missed.js" => (JAVASCRIPT, include_str!("files/missed.js")),
        "/row.js" => (JAVASCRIPT, include_str!("files/row.js")),
        "/rows.js" => (JAVASCRIPT, include_str!("files/rows.js")),
        "/state.js" => (JAVASCRIPT, include_str!("files/state.js")),
        "/stream.js" => (JAVASCRIPT, include_str!("files/stream.js")),
        "/table.js" => (JAVASCRIPT, include_str!("files/table.js")),
        "/write.js" => (JAVASCRIPT, include_str!("files/write.js")),
        _ => return None,
    };
    Some(Asset { content_type, text })
}

#[cfg(test)]
mod tests {
    use crate::model::reason::Reason;

    use super::*;

    #[test]
    fn each_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/files");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let path = match &*name {
                "index.html" => "/".to_owned(),
                _ => format!("/{name}"),
            };
            assert!(asset(&path).is_some(), "{name}");
        }
    }

    #[test]
    fn the_page_says_what_each_reason_means() {
        let text = include_str!("files/missed.js");
        let rows = text.lines().filter_map(|line| line.split_once(": ["));
        let named: Vec<_> = rows.map(|(name, _)| name.trim()).collect();
        assert_eq!(named, Reason::ALL.map(Reason::label));
    }
}
