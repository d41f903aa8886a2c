//! From the bytes of a log to statuses.

use std::borrow::Cow;

use swegym_core::TestStatuses;

use super::{ParserName, RawStatuses, django, pytest, seaborn, sympy, unittest};
use crate::{GradeError, Profile};

/// Reads a log under the strict rules, whatever bytes it holds, in time linear in its length.
///
/// A line that upstream crashes on says nothing, and a word that is no status takes away what was said of its test.
pub fn parse(parser: ParserName, log: &[u8]) -> TestStatuses {
    let text = String::from_utf8_lossy(log);
    // The strict rules refuse nothing.
    parse_as(Profile::Strict, parser, &in_text_mode(text)).unwrap_or_default().known()
}

/// Reads a log under the rules of a profile, in time linear in its length. Only `\n` ends a line; see [`read_text`].
///
/// # Errors
/// [`GradeError::MissingWord`] where the parser of that profile crashes. The strict rules refuse nothing.
pub fn parse_as(profile: Profile, parser: ParserName, text: &str) -> Result<RawStatuses, GradeError> {
    match parser {
        ParserName::Pytest => Ok(pytest::parse(profile, text)),
        ParserName::PytestOptions => Ok(pytest::parse_options(profile, text)),
        ParserName::PytestV2 => pytest::parse_v2(profile, text),
        ParserName::PytestPydantic => pytest::parse_pydantic(profile, text),
        ParserName::Matplotlib => Ok(pytest::parse_matplotlib(profile, text)),
        ParserName::Seaborn => seaborn::parse(profile, text),
        ParserName::Sympy => Ok(sympy::parse(profile, text)),
        ParserName::Django => django::parse(profile, text),
        ParserName::Unittest => Ok(unittest::parse(text)),
    }
}

/// The text of a log as upstream reads it from a file: UTF-8, and every line ends with `\n`, whatever ended it before.
///
/// # Errors
/// [`GradeError::NotUtf8`], except under the strict profile, where other bytes become U+FFFD.
pub fn read_text(profile: Profile, log: &[u8]) -> Result<Cow<'_, str>, GradeError> {
    if profile == Profile::Strict {
        return Ok(in_text_mode(String::from_utf8_lossy(log)));
    }
    let text = str::from_utf8(log).map_err(|error| GradeError::NotUtf8 { at: error.valid_up_to() })?;
    Ok(in_text_mode(Cow::Borrowed(text)))
}

fn in_text_mode(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { text }
}

#[cfg(test)]
mod tests;
