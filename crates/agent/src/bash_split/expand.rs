//! Substitutions in words: upstream parses them, and fails where they cannot be.

use std::cell::Cell;

use super::Problem;
use super::parser::Parser;
use super::token::Token;

/// Parses the substitutions of a word.
pub(super) fn expand(word: &Token, looks: &Cell<usize>, depth: usize) -> Result<(), Problem> {
    let text = word.text.as_slice();
    let double = word.quoted && text.first() == Some(&b'"');
    let mut at = 0;
    while let Some(c) = text.get(at) {
        at = match c {
            b'<' | b'>' if !double && text.get(at + 1) == Some(&b'(') => {
                parenthesised(text, at + 2, looks, depth)?
            }
            b'~' if at == 0 && !double => {
                let ends = |byte: &u8| matches!(byte, b'/' | b'\\' | b'\'' | b'"');
                text.iter().position(ends).unwrap_or(text.len())
            }
            b'$' if text.len() > 1 => dollar(text, at, looks, depth)?,
            b'`' if text.get(at + 1) == Some(&b'`') => at + 2,
            b'`' => backquoted(text, at + 1, looks, depth)?,
            b'\\' => at + 2,
            // A word in single quotes is left alone; single quotes anywhere else are looked into.
            b'\'' if at == 0 && text.ends_with(b"'") => return Ok(()),
            _ => at + 1,
        };
    }
    Ok(())
}

fn dollar(text: &[u8], at: usize, looks: &Cell<usize>, depth: usize) -> Result<usize, Problem> {
    let rest = text.get(at + 1..).unwrap_or_default();
    match rest.first() {
        Some(b'0'..=b'9' | b'$' | b'#' | b'?' | b'-' | b'!' | b'*' | b'@') => Ok(at + 2),
        Some(b'{') => {
            let end = rest.iter().position(|byte| *byte == b'}').ok_or(Problem::Unparsable)?;
            Ok(at + 2 + end)
        }
        Some(b'(') if rest.get(1) == Some(&b'(') => Err(Problem::Raised("NotImplementedError")),
        Some(b'(') => parenthesised(text, at + 2, looks, depth),
        Some(b'[') => Err(Problem::Raised("NotImplementedError")),
        _ => {
            let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || !byte.is_ascii();
            Ok(at + 1 + rest.iter().take_while(in_name).count())
        }
    }
}

/// Parses the first command behind a parenthesis: upstream goes on behind that command, not behind the substitution.
fn parenthesised(text: &[u8], from: usize, looks: &Cell<usize>, depth: usize) -> Result<usize, Problem> {
    let inner = text.get(from..).unwrap_or_default();
    let span = Parser::new(inner, looks, depth).unit(true)?.ok_or(Problem::Raised("AttributeError"))?;
    let mut end = span.end.min(inner.len());
    if inner.get(end) != Some(&b')') {
        while end > 0 && inner[end - 1] == b'\n' {
            end -= 1;
        }
    }
    Ok(from + end + 1)
}

fn backquoted(text: &[u8], from: usize, looks: &Cell<usize>, depth: usize) -> Result<usize, Problem> {
    let inner = text.get(from..).unwrap_or_default();
    let end = inner.iter().position(|byte| *byte == b'`').ok_or(Problem::Raised("TypeError"))?;
    let span = Parser::new(&inner[..end], looks, depth).unit(false)?;
    span.map(|_| from + end + 1).ok_or(Problem::Raised("AttributeError"))
}
