//! JSON objects, with `;` between them, alone or after a mark. What a model writes for the interpreter of Python stands
//! after the same mark and is text.

use super::answer::{Parsed, ParsedCall};
use super::json;

pub(super) const TAG: &str = "<|python_tag|>";

pub(super) fn parse(text: &str) -> Option<Parsed<'_>> {
    let (content, mut rest) = match text.split_once(TAG) {
        Some(parts) => parts,
        None if text.trim_start().starts_with('{') => ("", text),
        None => return None,
    };
    let mut calls = Vec::new();
    while !rest.trim().is_empty() {
        let (value, after) = json::first_value(rest)?;
        calls.push(ParsedCall { id: None, ..json::call(&value)? });
        rest = after.trim_start();
        rest = rest.strip_prefix(';').unwrap_or(rest);
    }
    Some(Parsed { content, calls })
}
