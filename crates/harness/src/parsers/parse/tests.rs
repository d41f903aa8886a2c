use proptest::prelude::*;

use super::*;

fn words(profile: Profile, parser: ParserName, log: &str) -> Vec<String> {
    let statuses = parse_as(profile, parser, log).unwrap();
    statuses.iter().map(|(id, word)| format!("{id}: {word}")).collect()
}

#[test]
fn every_line_ending_ends_a_line() {
    let text = |log| read_text(Profile::Swegym, log).unwrap().into_owned();
    assert_eq!(text(b"a\r\nb\rc\n\r\n\r\r"), "a\nb\nc\n\n\n\n");
    assert_eq!(text("\u{feff}a\u{85}".as_bytes()), "\u{feff}a\u{85}");
    let statuses = parse(ParserName::Pytest, b"PASSED a\rPASSED b\r\nPASSED c");
    assert_eq!(statuses.into_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn upstream_refuses_what_is_not_utf_8() {
    let log = b"PASSED a\n\xff\nPASSED b\n";
    let error = read_text(Profile::Swebench5, log).unwrap_err();
    assert_eq!(error.to_string(), "read the log: byte 9 is not UTF-8");
    assert_eq!(error.upstream_exception(), "UnicodeDecodeError");
    assert_eq!(parse(ParserName::Pytest, log).len(), 2);
}

#[test]
fn sympy_names_failures_above_their_tracebacks() {
    let log = "sympy/core/tests/test_a.py[3] \ntest_a ok\ntest_b F\ntest_c E                 [FAIL]\n\
               ____ sympy/core/tests/test_a.py:test_b ____\n  File \"/x/test_a.py\", line 3\n";
    let all =
        ["sympy/core/tests/test_a.py:test_b: FAILED", "test_a: PASSED", "test_b: FAILED", "test_c: ERROR"];
    assert_eq!(words(Profile::Swegym, ParserName::Sympy, log), all);
    assert_eq!(words(Profile::Swebench5, ParserName::Sympy, log), all[..3], "the cut was lost");
}

#[test]
fn seaborn_knows_only_two_statuses() {
    let log = "a PASSED [ 50%]\nFAILED b - no\nPASSED c\nERROR d\nx y PASSED z\n";
    let expected = ["a: PASSED", "b: FAILED", "c: PASSED"];
    assert_eq!(words(Profile::Swegym, ParserName::Seaborn, log), expected);
    for (profile, crashes) in Profile::ALL.into_iter().zip([true, true, false, false]) {
        assert_eq!(parse_as(profile, ParserName::Seaborn, "FAILED\n").is_err(), crashes, "{profile}");
    }
}

#[test]
fn django_takes_any_ok_for_the_last_test() {
    let log = "test_a (x.T) ... noise\nokay\ntest_b (x.T) ... FAIL\nok\ntest_c (x.T) ... skipped 'no'\n";
    let upstream = ["test_a (x.T): PASSED", "test_b (x.T): PASSED", "test_c (x.T): SKIPPED"];
    assert_eq!(words(Profile::Swegym, ParserName::Django, log), upstream);
    let strict = ["test_b (x.T): FAILED", "test_c (x.T): SKIPPED"];
    assert_eq!(words(Profile::Strict, ParserName::Django, log), strict);
}

#[test]
fn django_tests_pass_though_their_results_are_interrupted() {
    let log = "test_a (x.T) ... Testing against Django installed in '/x'\nand (0\n silenced).\nok\n\
               test_b (x.T)\n...\nInternal Server Error: /x/\nok\n\
               test_c (x.T) ... System check identified no issues (0 silenced)\nok";
    let expected = ["test_a (x.T): PASSED", "test_c (x.T): PASSED", "test_b (x.T): PASSED"];
    assert_eq!(words(Profile::Swebench5, ParserName::Django, log), expected);
}

#[test]
fn unittest_ids_are_those_of_unittest() {
    let log = "test_a (m.T) ... ok\ntest_b (m.T.test_b)\nWhat it does ... skipped 'why'\n\
               test_c (m.T) ... printed\nok\ntest_d (m.T) ... \n  test_d (m.T) (i=1) ... FAIL\nok\n\
               test_e (m.T) ... expected failure\ntest_f (m.T) ... unexpected success\n\n\
               ERROR: setUpClass (m.U)\nERROR: test_a (m.T)\nok\nRan 6 tests in 0.1s\n\nOK\n";
    let expected = [
        "m.T.test_a: ERROR",
        "m.T.test_b: SKIPPED",
        "m.T.test_c: PASSED",
        "m.T.test_d: FAILED",
        "m.T.test_e: XFAIL",
        "m.T.test_f: FAILED",
        "m.U.setUpClass: ERROR",
    ];
    assert_eq!(words(Profile::Strict, ParserName::Unittest, log), expected);
}

/// A megabyte for each parser and profile that is hard on them: a quadratic one would take minutes.
#[test]
fn hostile_logs_are_read() {
    let repeated = [
        "[",
        "[1",
        "FAILED[",
        "FAILED [ ",
        " - ",
        " ... ",
        "_ ",
        "x.py:",
        "/",
        " PASSED ",
        "FAILED\n",
        "ok\n",
        "\n",
        "a\r",
        "test_a (",
        "x ... Internal Server Error: /",
        "x ... Internal Server Error: /\nok\n",
        "x ... Testing against Django installed in ",
        " silenced).\n",
        "x\n...\nSystem check identified no issues (0 silenced)",
        "\u{1b}[1m",
        "PASSED [1]\n",
        "\u{2028}",
    ];
    for unit in repeated {
        let log = format!("FAILED {}", unit.repeat(50_000 / unit.len()));
        for parser in ParserName::ALL {
            for profile in Profile::ALL {
                // Some crash, as upstream does.
                let _ = parse_as(profile, parser, &log);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_log(
        parts in prop::collection::vec(
            prop_oneof![
                "(PASSED|FAILED|ERROR|SKIPPED|XFAIL|ok|FAIL:|test_a|x)",
                "( \\.\\.\\. |\n|\r| - |\\[|\\]|/|\t|\u{a0}| E|\\[OK\\]|\\.py:| silenced\\)\\.|\\(m\\.T\\)|\u{1b}\\[1m)",
                "(Testing against Django installed in |Internal Server Error: /|MouseButton\\.LEFT)",
                any::<String>(),
            ],
            0..30,
        ),
        noise in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let log = [parts.concat().as_bytes(), &noise].concat();
        for parser in ParserName::ALL {
            let strict = parse(parser, &log);
            let text = read_text(Profile::Strict, &log).unwrap();
            prop_assert_eq!(parse_as(Profile::Strict, parser, &text).unwrap().known(), strict);
            for profile in Profile::ALL {
                let _ = parse_as(profile, parser, &text);
            }
        }
    }
}
