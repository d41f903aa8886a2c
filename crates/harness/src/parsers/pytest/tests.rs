use swegym_core::{TestStatus, TestStatuses};

use super::*;
use crate::{ParserName, parse as parse_bytes};

fn parse(log: &str) -> TestStatuses {
    parse_bytes(ParserName::Pytest, log.as_bytes())
}

fn parse_options(log: &str) -> TestStatuses {
    parse_bytes(ParserName::PytestOptions, log.as_bytes())
}

fn parse_v2(log: &str) -> TestStatuses {
    parse_bytes(ParserName::PytestV2, log.as_bytes())
}

fn parse_pydantic(log: &str) -> TestStatuses {
    parse_bytes(ParserName::PytestPydantic, log.as_bytes())
}

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

fn words(statuses: &RawStatuses) -> Vec<String> {
    statuses.iter().map(|(id, word)| format!("{id} {word}")).collect()
}

#[test]
fn upstream_keeps_words_that_are_no_statuses() {
    let log = "ERRORS t.py::a\nPASSED: t.py::b\nSKIPPED [1] t.py:3: why\nPASSED [100%]\nERROR: t.py::b\n";
    let expected = ["t.py::a ERRORS", "t.py::b ERROR:", "[1] SKIPPED", "[100%] PASSED"];
    assert_eq!(words(&super::parse(Profile::Swegym, log)), expected);
    assert_eq!(words(&super::parse(Profile::Swebench4, log)), expected);
    let expected = ["t.py::a ERRORS", "t.py::b ERROR:", "[100%] PASSED"];
    assert_eq!(words(&super::parse(Profile::Swebench5, log)), expected);
}

#[test]
fn swebench5_keeps_ids_with_spaces_whole() {
    let log = "FAILED t.py::a[x  y] - assert 1 - 2\nt.py::b[x y] PASSED\nPASSED t.py::c[x - y]\nPASSED\n";
    let expected = ["t.py::a[x y] FAILED", "t.py::b[x y] PASSED", "t.py::c[x - y] PASSED"];
    assert_eq!(words(&super::parse_v2(Profile::Swebench5, log).unwrap()), expected);
    let expected = ["t.py::a[x FAILED", "t.py::b[x y]", "t.py::c[x PASSED"];
    assert_eq!(words(&super::parse_v2(Profile::Swebench4, log).unwrap()), expected);
}

#[test]
fn the_fork_crashes_on_a_line_of_one_word() {
    let log = "PASSED t.py::a\n  FAILED\n";
    let error = super::parse_v2(Profile::Swegym, log).unwrap_err();
    assert_eq!(error.to_string(), "read the log: line 2 has a status and no test");
    assert_eq!(error.upstream_exception(), "IndexError");
    assert_eq!(lines(&parse_v2(log)), ["t.py::a PASSED"]);
}

#[test]
fn mouse_buttons_count_by_their_numbers() {
    let log = "PASSED t.py::a[MouseButton.LEFT-MouseButton.RIGHT]\n";
    assert_eq!(words(&super::parse_matplotlib(Profile::Swegym, log)), ["t.py::a[1-3] PASSED"]);
}
