use std::io::{BufRead, BufReader};
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::{ParserName, parse as parse_bytes};

const PARSERS: [(ParserName, &str); 4] = [
    (ParserName::Pytest, "parse_log_pytest"),
    (ParserName::PytestOptions, "parse_log_pytest_options"),
    (ParserName::PytestV2, "parse_log_pytest_v2"),
    (ParserName::PytestPydantic, "parse_log_pytest_pydantic"),
];

fn word(status: TestStatus) -> &'static str {
    STATUSES.iter().find(|(_, known)| *known == status).unwrap().0
}

fn lines(statuses: &TestStatuses) -> Vec<String> {
    statuses.iter().map(|(id, status)| format!("{id} {}", word(*status))).collect()
}

#[test]
fn summary_lines_give_statuses_and_later_lines_win() {
    let log = "collected 4 items\nPASSED t.py::a\nFAILED t.py::b - assert 1 == 2\nERROR t.py::c\r\n\
               SKIPPED [1] t.py:3: why\rXFAIL t.py::d - why\nXPASS t.py::e\n PASSED t.py::f\nFAILED t.py::a\n\
               PASSED t.py::g[x y]\nFAILED - t.py::h\nPASSED\nt.py::i PASSED\n";
    let expected = [
        "[1] SKIPPED",
        "t.py::a FAILED",
        "t.py::b FAILED",
        "t.py::c ERROR",
        "t.py::d XFAIL",
        "t.py::g[x PASSED",
        "t.py::h FAILED",
    ];
    assert_eq!(lines(&parse(log)), expected);
}

#[test]
fn a_status_that_is_none_takes_the_earlier_one_away() {
    assert_eq!(parse("PASSED t.py::a\nPASSED: t.py::a\nERRORS t.py::b"), TestStatuses::new());
    assert_eq!(parse_v2("t.py::a[x PASSED\nt.py::a[x y] PASSED\n"), TestStatuses::new());
}

#[test]
fn of_an_option_that_is_a_path_the_last_part_stays() {
    let log = "PASSED t.py::a[/]\nPASSED t.py::b[/tmp/x/__init__.py]\nFAILED t.py::c[/tmp/[y]/z]dropped - no\n\
               PASSED t.py::d[//host/x]\nPASSED t.py::e[/x/*/y]\nPASSED t.py::f[http://x/y]\n\
               PASSED t.py::g[/cut at\nPASSED t.py::h]/x[/y\nPASSED t.py::i\n";
    let expected = [
        "t.py::a[/] PASSED",
        "t.py::b[/__init__.py] PASSED",
        "t.py::c[/z] FAILED",
        "t.py::d[//host/x] PASSED",
        "t.py::e[/x/*/y] PASSED",
        "t.py::f[http://x/y] PASSED",
        "t.py::g[/cut PASSED",
        "t.py::h]/x[/y PASSED",
        "t.py::i PASSED",
    ];
    assert_eq!(lines(&parse_options(log)), expected);
}

#[test]
fn the_status_may_stand_at_the_end_and_be_coloured() {
    let log = "t.py::a PASSED\nt.py::b FAILED\nt.py::c \u{1b}[32mPASSED\u{1b}[0m\n\u{1b}[31mERROR\u{1b}[0m t.py::d\n\
               t.py::e XPASS\nt.py::f PASSED [ 50%]\nFAILED t.py::a - no\nPASSED\n12_FAILED\n\
               \u{1b}[1;32mPASSED\u{1b}[0m t.py::g\n";
    let expected = ["t.py::a FAILED", "t.py::b FAILED", "t.py::c PASSED", "t.py::d ERROR"];
    assert_eq!(lines(&parse_v2(log)), expected);
}

#[test]
fn a_progress_may_follow_failed() {
    let log =
        "t.py::a FAILED [ 3%]\nt.py::b FAILED[100%]\nt.py::c PASSED [ 3%]\nt.py::d PASSED\nFAILED [ 3%]\n";
    let expected = ["t.py::a FAILED", "t.py::b FAILED", "t.py::d PASSED"];
    assert_eq!(lines(&parse_pydantic(log)), expected);
    assert_eq!(lines(&parse_v2(log)), ["[ FAILED", "t.py::d PASSED"]);
}

proptest! {
    #[test]
    fn any_bytes_are_a_log(
        start in "(PASSED|FAILED|x|)[ \\[\\]/\t]{0,3}",
        middle in prop::collection::vec(any::<u8>(), 0..300),
        end in "[ \\[\\]/\t]{0,3}(ERROR|XFAIL|)",
    ) {
        let log = [start.as_bytes(), middle.as_slice(), end.as_bytes()].concat();
        for (parser, _) in PARSERS {
            parse_bytes(parser, &log);
        }
    }
}

/// What the fork's parser reads in a record, or nothing where it crashes.
fn expected_of(record: &Map<String, Value>, parser: &str) -> Option<Vec<String>> {
    let by_text_file = record.get("expected_fork_via_text_file").map(|expected| &expected[parser]);
    let expected = by_text_file
        .filter(|expected| *expected != "same")
        .unwrap_or(&record["expected"]["fork"][parser])
        .as_object()
        .unwrap();
    if expected.contains_key("__error__") {
        return None;
    }
    let known = |(id, status): (&String, &Value)| {
        let status = status.as_str().unwrap();
        status_of(status).map(|_| format!("{id} {status}"))
    };
    let mut expected: Vec<_> = expected.iter().filter_map(known).collect();
    expected.sort_unstable();
    Some(expected)
}

#[test]
fn agrees_with_upstream() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/log_parsers.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("skipped: {} is absent", path.display());
        return;
    };
    let mut agreed = PARSERS.map(|_| 0);
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let record: Map<String, Value> = serde_json::from_str(&line.unwrap()).unwrap();
        for (count, (parser, name)) in agreed.iter_mut().zip(PARSERS) {
            let mut actual = lines(&parse_bytes(parser, record["log"].as_str().unwrap().as_bytes()));
            actual.sort_unstable();
            if let Some(expected) = expected_of(&record, name) {
                assert_eq!(actual, expected, "{name}, {}", record["id"]);
                *count += 1;
            }
        }
    }
    println!("logs that agree, by parser: {agreed:?}");
    assert!(agreed.iter().all(|count| *count > 0));
}
