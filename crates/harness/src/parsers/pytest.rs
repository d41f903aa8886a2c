//! The rules of SWE-bench for `pytest -rA`: a line that starts with a status gives its second word that status.
//!
//! Ids are cut at the first white space, as they are in the test lists of the data sets.

use swegym_core::{TestStatus, TestStatuses};

const STATUSES: [(&str, TestStatus); 5] = [
    ("PASSED", TestStatus::Passed),
    ("FAILED", TestStatus::Failed),
    ("ERROR", TestStatus::Error),
    ("SKIPPED", TestStatus::Skipped),
    ("XFAIL", TestStatus::Xfail),
];

pub(super) fn parse(log: &str) -> TestStatuses {
    let mut statuses = TestStatuses::new();
    // Upstream reads the log in text mode, where a lone carriage return ends a line too.
    for line in log.split(['\n', '\r']) {
        if !STATUSES.iter().any(|(word, _)| line.starts_with(word)) {
            continue;
        }
        let line = if line.starts_with("FAILED") { line.replace(" - ", " ") } else { line.to_owned() };
        let mut words = line.split(is_python_space).filter(|word| !word.is_empty());
        if let (Some(first), Some(id)) = (words.next(), words.next()) {
            // Upstream stores a longer first word (`ERRORS`, `PASSED:`) as the status and then knows no such
            // status. Here the test is left without one, which takes away what an earlier line said as well.
            match STATUSES.iter().find(|(word, _)| *word == first) {
                Some((_, status)) => statuses.insert(id.to_owned(), *status),
                None => statuses.remove(id),
            };
        }
    }
    statuses
}

/// White space as Python's `str.split` sees it.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;
    use crate::{ParserName, parse as parse_bytes};

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
                   PASSED t.py::g[x y]\nFAILED - t.py::h\nPASSED\n";
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
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_log(log in prop::collection::vec(any::<u8>(), 0..300), status in 0..5_usize) {
            let mut line = STATUSES[status].0.as_bytes().to_vec();
            line.extend_from_slice(&log);
            parse_bytes(ParserName::Pytest, &line);
        }
    }

    #[test]
    fn agrees_with_upstream() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/log_parsers.jsonl.gz");
        let Ok(file) = std::fs::File::open(&path) else {
            eprintln!("skipped: {} is absent", path.display());
            return;
        };
        let mut count = 0;
        for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
            let record: Map<String, Value> = serde_json::from_str(&line.unwrap()).unwrap();
            let by_text_file =
                record.get("expected_fork_via_text_file").map(|expected| &expected["parse_log_pytest"]);
            let expected = by_text_file
                .filter(|expected| *expected != "same")
                .unwrap_or(&record["expected"]["fork"]["parse_log_pytest"]);
            let known = |(id, status): (&String, &Value)| {
                let status = status.as_str().unwrap();
                STATUSES.iter().any(|(word, _)| *word == status).then(|| format!("{id} {status}"))
            };
            let mut expected: Vec<_> = expected.as_object().unwrap().iter().filter_map(known).collect();
            expected.sort_unstable();
            let mut actual =
                lines(&parse_bytes(ParserName::Pytest, record["log"].as_str().unwrap().as_bytes()));
            actual.sort_unstable();
            assert_eq!(actual, expected, "{}", record["id"]);
            count += 1;
        }
        println!("{count} logs agree");
        assert!(count > 0);
    }
}
