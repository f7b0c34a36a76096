// SPDX-License-Identifier: Apache-2.0
//! The faults of which it is known why no test notices them: `known.txt`.

use std::collections::BTreeSet;

/// By file and name. Lines that begin with `#` say why.
pub struct Known(BTreeSet<String>);

impl Known {
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(str::to_owned).collect())
    }

    pub fn contains(&self, entry: &str) -> bool {
        self.0.contains(entry)
    }

    /// Those that there no longer are.
    pub fn outdated<'k>(&'k self, entries: &'k BTreeSet<String>) -> Vec<&'k str> {
        self.0.difference(entries).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_between_reasons() {
        let known = Known::parse("# Why.\na.h f: x;\n\n# Why else.\nb.h g: y;\n");
        assert!(known.contains("a.h f: x;") && !known.contains("# Why."));
        let there = BTreeSet::from(["b.h g: y;".to_owned(), "c.h".to_owned()]);
        assert_eq!(known.outdated(&there), ["a.h f: x;"]);
    }
}
