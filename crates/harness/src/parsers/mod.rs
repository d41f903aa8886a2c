//! Log parsers: what a test run printed -> status of each test.

mod name;
mod pytest;

pub use name::{ParserName, parse, parser_of};
