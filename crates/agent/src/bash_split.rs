//! Splits the input of a shell into its top-level commands, as OpenHands does before it runs them one by one.
//!
//! OpenHands asks the Python package bashlex where each command begins and ends; what that cannot parse is sent as
//! one. bashlex follows bash where it does, and where it does not, so does this: a quoted delimiter of a here-document
//! is looked for with its quotes, substitutions are looked for in single quotes, and arithmetic, `case`, `select`,
//! `time` and `coproc` raise exceptions. What must stay true: time and depth are bounded for any input; what exceeds
//! the bounds counts as unparsable.

mod expand;
mod lexer;
mod parser;
mod substitution;
mod token;

use std::cell::Cell;

use self::parser::Parser;
use crate::python::{rstrip, strip};

/// Why a text is not split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    /// It cannot be parsed.
    Unparsable,
    /// Upstream runs into an exception of this class.
    Raised(&'static str),
}

/// An exception that upstream raises instead of splitting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("split the command: {kind}")]
pub struct SplitError {
    /// Class of the exception, such as `NotImplementedError`.
    pub kind: &'static str,
}

/// Where a command lies, and where the next one may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    /// End of the last here-document that belongs to it.
    heredoc_end: usize,
}

/// Characters that are looked at for each of the input: substitutions are parsed again, each level of them.
const LOOKS: usize = 16;
/// Characters that are looked at in any case.
const LOOKS_AT_LEAST: usize = 1 << 16;

/// The top-level commands of an input, each with the comments behind it; a blank input is one empty command.
///
/// # Errors
/// [`SplitError`] where upstream raises an exception.
pub fn split_commands(input: &str) -> Result<Vec<String>, SplitError> {
    if strip(input).is_empty() {
        return Ok(vec![String::new()]);
    }
    match spans(input) {
        Ok(spans) => Ok(cut(input, &spans)),
        Err(Problem::Unparsable) => Ok(vec![input.to_owned()]),
        Err(Problem::Raised(kind)) => Err(SplitError { kind }),
    }
}

fn spans(input: &str) -> Result<Vec<Span>, Problem> {
    let looks = Cell::new(input.len().saturating_mul(LOOKS) + LOOKS_AT_LEAST);
    let mut spans = Vec::new();
    let mut from = 0;
    while from < input.len() || spans.is_empty() {
        let span = Parser::new(&input.as_bytes()[from..], &looks, 0).unit(false);
        if looks.get() == 0 {
            return Err(Problem::Unparsable);
        }
        let Some(span) = span? else { break };
        let end = |place: usize| (from + place).min(input.len());
        let span = Span { start: end(span.start), end: end(span.end), heredoc_end: end(span.heredoc_end) };
        spans.push(span);
        // One more character, which is the line break as a rule, is skipped.
        from = span.end.max(span.heredoc_end) + 1;
        while !input.is_char_boundary(from.min(input.len())) {
            from += 1;
        }
    }
    // Upstream looks for the end of the first command even where there is none.
    if spans.is_empty() { Err(Problem::Raised("AttributeError")) } else { Ok(spans) }
}

/// What lies between two commands belongs to the one before.
fn cut(input: &str, spans: &[Span]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut last = 0;
    let add = |commands: &mut Vec<String>, text: &str| match commands.last_mut() {
        Some(command) => command.push_str(text),
        None if text.is_empty() => {}
        None => commands.push(text.to_owned()),
    };
    for span in spans {
        add(&mut commands, rstrip(&input[last..span.start]));
        commands.push(rstrip(&input[span.start..span.end]).to_owned());
        last = span.end;
    }
    add(&mut commands, rstrip(&input[last..]));
    commands
}

#[cfg(test)]
mod tests;
