// SPDX-License-Identifier: Apache-2.0
//! Which small faults a place in C may get. Each rule stands for a mistake that somebody makes: the wrong comparison, a
//! forgotten statement, one too many, the wrong way round.

use tree_sitter::Node;

/// What may stand in place of a piece of syntax.
pub fn replacements(node: Node<'_>, source: &str) -> Vec<String> {
    let text = &source[node.byte_range()];
    let mut all = match node.kind() {
        "binary_expression" | "assignment_expression" => operators(node, source),
        "unary_expression" | "update_expression" => unary(node, source),
        "number_literal" => number(node, text),
        "char_literal" => vec![format!("({text} + 1)")],
        "string_content" => vec![shortened(text)],
        "true" => vec!["false".to_owned()],
        "false" => vec!["true".to_owned()],
        // As a comment, which names the fault.
        "expression_statement" | "break_statement" | "continue_statement" => {
            vec![format!("/* {text} */;")]
        }
        _ => Vec::new(),
    };
    if is_condition(node) && !is_decided(node, source) {
        all.push(format!("!({text})"));
    }
    all
}

/// Other operators between the same operands.
fn operators(node: Node<'_>, source: &str) -> Vec<String> {
    let Some(operator) = node.child_by_field_name("operator") else {
        return Vec::new();
    };
    let others: &[&str] = match &source[operator.byte_range()] {
        "<" => &["<=", ">="],
        "<=" => &["<", ">"],
        ">" => &[">=", "<="],
        ">=" => &[">", "<"],
        "==" => &["!="],
        "!=" => &["=="],
        "&&" => &["||"],
        "||" => &["&&"],
        "+" => &["-"],
        "-" | "*" => &["+"],
        "/" => &["*"],
        "<<" => &[">>"],
        ">>" => &["<<"],
        "&" | "^" => &["|"],
        "|" => &["&"],
        "+=" => &["-="],
        "-=" => &["+="],
        "|=" => &["&="],
        "&=" => &["|="],
        "^=" => &["|="],
        _ => &[],
    };
    let before = &source[node.start_byte()..operator.start_byte()];
    let after = &source[operator.end_byte()..node.end_byte()];
    let with = |other: &&str| format!("{before}{other}{after}");
    others.iter().map(with).collect()
}

fn unary(node: Node<'_>, source: &str) -> Vec<String> {
    let text = &source[node.byte_range()];
    let Some(argument) = node.child_by_field_name("argument") else {
        return Vec::new();
    };
    let operator = node.child_by_field_name("operator");
    match operator.map_or("", |operator| &source[operator.byte_range()]) {
        "!" | "~" | "-" => vec![source[argument.byte_range()].to_owned()],
        "++" => vec![text.replace("++", "--")],
        "--" => vec![text.replace("--", "++")],
        _ => Vec::new(),
    }
}

/// One more, or of an answer the other.
fn number(node: Node<'_>, text: &str) -> Vec<String> {
    match text {
        "0" if is_returned(node) => vec!["1".to_owned()],
        "1" | "-1" if is_returned(node) => vec!["0".to_owned()],
        _ => vec![format!("({text} + 1)")],
    }
}

/// Without its last character, which may be written as an escape.
fn shortened(text: &str) -> String {
    let kept = text.len().saturating_sub(1);
    text[..kept].trim_end_matches('\\').to_owned()
}

fn is_returned(node: Node<'_>) -> bool {
    node.parent()
        .is_some_and(|parent| parent.kind() == "return_statement")
}

/// Whether only the truth of this matters.
fn is_condition(node: Node<'_>) -> bool {
    let Some(parent) = node.parent() else {
        return false;
    };
    let operator = parent.child_by_field_name("operator");
    match parent.kind() {
        "parenthesized_expression" => {
            parent
                .parent()
                .is_some_and(|it| matches!(it.kind(), "if_statement" | "while_statement"))
                && node.is_named()
        }
        "conditional_expression" => parent.child_by_field_name("condition") == Some(node),
        "binary_expression" => {
            operator.is_some_and(|it| matches!(it.kind(), "&&" | "||")) && node.is_named()
        }
        _ => false,
    }
}

/// Whether another rule already turns this condition round.
fn is_decided(node: Node<'_>, source: &str) -> bool {
    let operator = node.child_by_field_name("operator");
    let operator = operator.map_or("", |operator| &source[operator.byte_range()]);
    node.kind() == "parenthesized_expression"
        || matches!(
            operator,
            "<" | "<=" | ">" | ">=" | "==" | "!=" | "&&" | "||" | "!"
        )
}
