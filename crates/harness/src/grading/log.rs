//! From the log of an evaluation to statuses: markers decide which part of it counts, and whether any does.

use std::sync::LazyLock;

use regex::Regex;

use crate::{GradeError, ParserName, Profile, RawStatuses, parse_as, read_text};

/// Markers of an evaluation that failed before its tests ended.
const FAILED: [&str; 4] =
    [">>>>> Patch Apply Failed", ">>>>> Reset Failed", ">>>>> Tests Errored", ">>>>> Tests Timed Out"];
/// Another, of the fork alone.
const NOT_RESET: &str = "Failed to reset task environment";
const APPLIED_PREDICTION: &str = ">>>>> Applied Patch (pred)";
const START: &str = ">>>>> Start Test Output";
const END: &str = ">>>>> End Test Output";

/// What the runners of some languages print when at least one test ran.
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static SUITE_RAN: LazyLock<Regex> = LazyLock::new(|| {
    let signs = [
        r"Executed [1-9]\d* of \d+",
        r"TOTAL: [1-9]\d* (?:SUCCESS|FAILED)",
        r"[1-9]\d* passing",
        r"Tests:[\s\x1c-\x1f]+[1-9]",
        r"Test Suites:[\s\x1c-\x1f]+(?:\d+ [\p{L}\p{N}_]+, )*[1-9]\d* total",
        r"^# tests [1-9]",
        r"[1-9]\d* specs?, \d+ failures?",
        r"': ok$",
    ];
    Regex::new(&format!("(?m){}", signs.join("|"))).unwrap()
});
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static EXIT_CODE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r">>>>> Test Exit Code:[\s\x1c-\x1f]*-?(\d+)").unwrap());

/// Reads the statuses from the log of an evaluation. None when the log does not show that the tests ran with the
/// patch applied.
///
/// The fork asks for the words `applied patch` anywhere, in small or capital letters, and SWE-bench for its two markers
/// around the output of the tests. SWE-bench 5 and the strict rules also ask for a result, and that an exit code other
/// than 0 comes with a failure. The strict rules use the markers where they are, and read up to the last one, since the
/// tests can print them too.
///
/// # Errors
/// [`GradeError::NotUtf8`] and [`GradeError::MissingWord`], never under the strict profile.
pub fn statuses_of_log(
    profile: Profile,
    parser: ParserName,
    log: &[u8],
) -> Result<Option<RawStatuses>, GradeError> {
    let text = read_text(profile, log)?;
    if FAILED.iter().any(|marker| text.contains(marker)) {
        return Ok(None);
    }
    match profile {
        Profile::Swegym => of_fork(parser, &text),
        Profile::Swebench4 => between_markers(profile, parser, &text),
        Profile::Swebench5 | Profile::Strict => {
            let statuses = between_markers(profile, parser, &text)?;
            Ok(statuses.filter(|statuses| is_credible(profile, statuses, &text)))
        }
    }
}

fn of_fork(parser: ParserName, text: &str) -> Result<Option<RawStatuses>, GradeError> {
    // No letter outside ASCII becomes one of these when Python makes it small.
    if text.contains(NOT_RESET) || !text.to_ascii_lowercase().contains("applied patch") {
        return Ok(None);
    }
    let text = text.rsplit_once(APPLIED_PREDICTION).map_or(text, |(_, after)| after);
    parse_as(Profile::Swegym, parser, text).map(Some)
}

fn between_markers(
    profile: Profile,
    parser: ParserName,
    text: &str,
) -> Result<Option<RawStatuses>, GradeError> {
    let region = match profile {
        Profile::Strict => Some(region_to_last_marker(text)),
        _ => first_region(text),
    };
    let Some(region) = region else {
        return Ok(None);
    };
    let statuses = parse_as(profile, parser, region)?;
    // Some runners print their results outside of the markers.
    if statuses.is_empty() { parse_as(profile, parser, text).map(Some) } else { Ok(Some(statuses)) }
}

/// From the first start to whatever marker follows. The end may stand before the start: then nothing ends it.
fn first_region(text: &str) -> Option<&str> {
    if !text.contains(END) {
        return None;
    }
    let (_, after) = text.split_once(START)?;
    let region = after.split_once(START).map_or(after, |(region, _)| region);
    Some(region.split_once(END).map_or(region, |(region, _)| region))
}

fn region_to_last_marker(text: &str) -> &str {
    let after = text.split_once(START).map_or(text, |(_, after)| after);
    after.rsplit_once(END).map_or(after, |(region, _)| region)
}

fn is_credible(profile: Profile, statuses: &RawStatuses, text: &str) -> bool {
    if statuses.is_empty() {
        // The strict rules want to see results; a summary is none.
        return profile == Profile::Swebench5 && SUITE_RAN.is_match(text);
    }
    let exit_code = EXIT_CODE.captures(text);
    let failed = exit_code.is_some_and(|code| code[1].chars().any(|digit| digit != '0'));
    !failed || statuses.iter().any(|(_, word)| matches!(word, "FAILED" | "ERROR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(profile: Profile, log: &str) -> Option<Vec<String>> {
        let statuses = statuses_of_log(profile, ParserName::Pytest, log.as_bytes()).unwrap()?;
        Some(statuses.iter().map(|(id, word)| format!("{id} {word}")).collect())
    }

    fn found(log: &str) -> [bool; 4] {
        Profile::ALL.map(|profile| words(profile, log).is_some())
    }

    #[test]
    fn each_profile_has_its_signs_of_a_run() {
        assert_eq!(found("PASSED a\n"), [false, false, false, true]);
        assert_eq!(found("I APPLIED PATCHES\nPASSED a\n"), [true, false, false, true]);
        assert_eq!(found(&format!("{START}\nPASSED a\n{END}\n")), [false, true, true, true]);
        assert_eq!(found(&format!("{START}\nPASSED a\n")), [false, false, false, true]);
        assert_eq!(found(&format!("applied patch\n{START}\n{END}\n")), [true, true, false, false]);
        assert_eq!(found(&format!("applied patch\n{START}\nTests: 3\n{END}\n")), [true, true, true, false]);
        for marker in FAILED {
            assert_eq!(found(&format!("applied patch\n{START}\nPASSED a\n{marker}\n{END}\n")), [false; 4]);
        }
    }

    #[test]
    fn an_exit_code_must_agree_with_the_results() {
        let log = |result, code| {
            format!("applied patch\n{START}\n{result} a\n{END}\n>>>>> Test Exit Code: {code}\n")
        };
        assert_eq!(found(&log("PASSED", "1")), [true, true, false, false]);
        assert_eq!(found(&log("PASSED", "-11")), [true, true, false, false]);
        assert_eq!(found(&log("PASSED", "0")), [true; 4]);
        assert_eq!(found(&log("FAILED", "1")), [true; 4]);
    }

    #[test]
    fn results_outside_of_the_markers_count_when_none_are_inside() {
        let log = format!("applied patch\nPASSED a\n{START}\n{END}\n");
        for profile in Profile::ALL {
            assert_eq!(words(profile, &log).unwrap(), ["a PASSED"], "{profile}");
        }
    }

    /// A test that prints the end marker hides what fails after it, but not from the strict rules.
    #[test]
    fn a_printed_marker_hides_nothing_from_the_strict_rules() {
        let log = format!("{START}\nPASSED a\n{END}\nFAILED a\n{END}\n");
        assert_eq!(words(Profile::Swebench5, &log).unwrap(), ["a PASSED"]);
        assert_eq!(words(Profile::Strict, &log).unwrap(), ["a FAILED"]);
    }
}
