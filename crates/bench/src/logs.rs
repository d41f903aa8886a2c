//! Parsing logs: lines as test runs print them, and 50 MB that are hard on parsers.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use swegym_harness::{ParserName, parse};

use crate::percentile;

const LOG_BYTES: usize = 20_000_000;
const HOSTILE_BYTES: usize = 50_000_000;

/// Each is repeated.
const HOSTILE: [&str; 12] = [
    "[",
    "[1",
    "FAILED[",
    " - ",
    " ... ",
    "x.py: ",
    "\n",
    "FAILED a\n",
    "FAILED [ ",
    "x ... Internal Server Error: /",
    "x ... Testing against Django installed in ",
    "test_a (",
];

/// Prints one line: how fast each parser is and, when asked, how long it takes over the worst of 50 MB.
pub(crate) fn run(rounds: usize, hostile: bool) {
    let mut speeds = Map::new();
    let mut worst = Map::new();
    for parser in ParserName::ALL {
        let log = realistic(parser);
        let mut samples: Vec<_> = (0..rounds).map(|_| time(parser, &log)).collect();
        let speed = log.len() as f64 / 1000.0 / percentile(&mut samples, 50);
        speeds.insert(parser.as_str().to_owned(), json!(speed.round()));
        if hostile {
            let times = HOSTILE.iter().map(|unit| time(parser, &unit.repeat(HOSTILE_BYTES / unit.len())));
            let slowest = times.max().unwrap_or_default();
            worst.insert(parser.as_str().to_owned(), json!(slowest.as_secs_f64()));
        }
    }
    let worst = if hostile { Value::Object(worst) } else { Value::Null };
    println!(
        "{}",
        json!({
            "bench": "logs", "bytes": LOG_BYTES, "rounds": rounds, "unit": "MB/s", "p50": speeds,
            "hostile_bytes": HOSTILE_BYTES, "hostile_max_seconds": worst,
        })
    );
}

fn time(parser: ParserName, log: &str) -> Duration {
    let begin = Instant::now();
    std::hint::black_box(parse(parser, log.as_bytes()));
    begin.elapsed()
}

/// One line in four is a result, with ids that differ; the others are what tests print.
fn realistic(parser: ParserName) -> String {
    let mut log = String::with_capacity(LOG_BYTES + 1000);
    for test in 0.. {
        if log.len() >= LOG_BYTES {
            break;
        }
        log += "    def check(self):\n>       assert value == expected, f\"got {value!r} - expected [1, 2, 3]\"\n";
        log += "E       AssertionError: got 3 ... while reading \u{1b}[31m/tmp/x/file.txt\u{1b}[0m\n";
        log += &match parser {
            ParserName::Sympy => format!("test_case_{test} ok\n"),
            ParserName::Django | ParserName::Unittest => {
                format!("test_case_{test} (app.tests.CaseTests) ... ok\n")
            }
            ParserName::PytestV2 | ParserName::PytestPydantic | ParserName::Seaborn => {
                format!("tests/test_module.py::TestCase::test_{test} PASSED [ 50%]\n")
            }
            _ => format!("PASSED tests/test_module.py::TestCase::test_case[{test}-/tmp/a/b]\n"),
        };
    }
    log
}
