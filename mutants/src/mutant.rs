// SPDX-License-Identifier: Apache-2.0
//! All small faults that a file of C may get, one at a time.
//!
//! The file is read as it is written, before any macro is expanded: what stands in a `#define` stays as it is, and so
//! does what only the verifier looks at (assembler, static assertions).

use std::ops::Range;

use anyhow::{Context, Result};
use tree_sitter::{Node, Parser};

use crate::rules::replacements;

/// Macros that the grammar does not know to be nothing but `inline`.
const INLINE: [&str; 3] = ["HTTP_INLINE", "__always_inline", "__noinline"];

#[derive(Clone, Debug)]
pub struct Mutant {
    /// Counted from 1.
    pub line: usize,
    /// The innermost function, if it is in one.
    function: String,
    range: Range<usize>,
    replacement: String,
    /// The lines as they are and as they become, blanks folded.
    pub before: String,
    pub after: String,
}

impl Mutant {
    /// Says which it is, and says the same when lines were added elsewhere.
    pub fn name(&self) -> String {
        format!("{}: {}", self.function, self.after)
    }

    pub fn apply(&self, source: &str) -> String {
        let mut mutated = source.to_owned();
        mutated.replace_range(self.range.clone(), &self.replacement);
        mutated
    }
}

/// In the order of the file.
pub fn all(source: &str) -> Result<Vec<Mutant>> {
    let mut readable = source.to_owned();
    for word in INLINE {
        readable = readable.replace(word, &format!("{:1$}", "inline", word.len()));
    }
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_c::LANGUAGE.into())?;
    let tree = parser.parse(&readable, None).context("no syntax")?;
    let mut mutants = Vec::new();
    collect(tree.root_node(), source, "", &mut mutants);
    Ok(mutants)
}

fn collect(node: Node<'_>, source: &str, function: &str, mutants: &mut Vec<Mutant>) {
    if matches!(
        node.kind(),
        "gnu_asm_expression" | "static_assert_declaration" | "preproc_include" | "preproc_def"
    ) {
        return;
    }
    let function = match node.kind() {
        "function_definition" => name_of(node, source).unwrap_or(function),
        _ => function,
    };
    if !is_assembler(node) {
        for replacement in replacements(node, source) {
            mutants.push(mutant(node.byte_range(), replacement, source, function));
        }
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        collect(child, source, function, mutants);
    }
}

fn is_assembler(statement: Node<'_>) -> bool {
    let inner = statement.named_child(0);
    inner.is_some_and(|inner| inner.kind() == "gnu_asm_expression")
}

fn name_of<'s>(definition: Node<'_>, source: &'s str) -> Option<&'s str> {
    let mut declarator = definition.child_by_field_name("declarator")?;
    while let Some(inner) = declarator.child_by_field_name("declarator") {
        declarator = inner;
    }
    Some(&source[declarator.byte_range()])
}

fn mutant(range: Range<usize>, replacement: String, source: &str, function: &str) -> Mutant {
    let start = source[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let end = source[range.end..]
        .find('\n')
        .map_or(source.len(), |length| range.end + length);
    let (head, tail) = (&source[start..range.start], &source[range.end..end]);
    Mutant {
        line: 1 + source[..range.start].matches('\n').count(),
        function: function.to_owned(),
        before: folded(&source[start..end]),
        after: folded(&format!("{head}{replacement}{tail}")),
        range,
        replacement,
    }
}

fn folded(lines: &str) -> String {
    lines.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        let mutants = all(source).unwrap();
        mutants.iter().map(Mutant::name).collect()
    }

    #[test]
    fn each_fault_has_its_place_and_its_name() {
        let source = "static HTTP_INLINE int within(int a, int b)\n{\n\treturn a < b && a;\n}\n";
        assert_eq!(
            names(source),
            [
                "within: return a < b || a;",
                "within: return a <= b && a;",
                "within: return a >= b && a;",
                "within: return a < b && !(a);",
            ]
        );
        let mutant = &all(source).unwrap()[1];
        assert_eq!(mutant.line, 3);
        assert_eq!(mutant.apply(source), source.replace('<', "<="));
    }

    #[test]
    fn statements_go_and_constants_grow() {
        let source = "void f(struct s *s)\n{\n\ts->at += 8;\n\tg(s, \"ab\");\n}\n";
        assert_eq!(
            names(source),
            [
                "f: /* s->at += 8; */;",
                "f: s->at -= 8;",
                "f: s->at += (8 + 1);",
                "f: /* g(s, \"ab\"); */;",
                "f: g(s, \"a\");",
            ]
        );
    }

    #[test]
    fn answers_turn_round() {
        assert_eq!(names("int f(void)\n{\n\treturn -1;\n}\n"), ["f: return 0;"]);
        assert_eq!(names("int f(void)\n{\n\treturn 0;\n}\n"), ["f: return 1;"]);
        let bare = "int f(int a)\n{\n\tif (a)\n\t\tbreak;\n}\n";
        assert_eq!(names(bare), ["f: if (!(a))", "f: /* break; */;"]);
    }

    #[test]
    fn what_only_the_verifier_sees_stays() {
        let source = "void f(int i)\n{\n\tasm volatile(\"\" : \"+r\"(i));\n}\n#define N 1\n";
        assert!(names(source).is_empty());
    }
}
