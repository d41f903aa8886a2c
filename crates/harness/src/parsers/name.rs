//! Choice of a parser.

use swegym_core::TestStatuses;

use super::pytest;

/// Which parser reads the log of a repository's tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ParserName {
    /// The summary lines of `pytest -rA`.
    #[default]
    Pytest,
}

/// Reads a log, whatever bytes it holds, in time linear in its length.
pub fn parse(name: ParserName, log: &[u8]) -> TestStatuses {
    match name {
        ParserName::Pytest => pytest::parse(&String::from_utf8_lossy(log)),
    }
}
