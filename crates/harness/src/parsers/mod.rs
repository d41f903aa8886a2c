//! Log parsers: what a test run printed -> status of each test.

mod django;
mod name;
mod parse;
mod pytest;
mod python;
mod seaborn;
mod statuses;
mod sympy;
mod unittest;

pub(crate) use name::known_parser;
pub use name::{ParserName, parser_of};
pub use parse::{parse, parse_as, read_text};
pub use statuses::RawStatuses;
