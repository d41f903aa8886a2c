//! The verdict on a saved log.

use serde_json::{Value, json};

use super::infra::{InfraFailure, InfraTier};
use super::{GradeReport, Resolution, TestLists, grade_with, statuses_of_log};
use crate::parsers::known_parser;
use crate::{GradeError, ParserName, Profile, RawStatuses, read_text};

/// One evaluation whose log was kept.
#[derive(Debug, Clone, Copy)]
pub struct LoggedRun<'a> {
    /// Its instance.
    pub instance_id: &'a str,
    /// The repository of the instance.
    pub repo: &'a str,
    /// The log parser that the instance names, in place of the one of its repository. The fork has no such field.
    pub parser: Option<ParserName>,
    /// Whether the prediction holds a patch, if an empty one: `model_patch` is not null.
    pub has_patch: bool,
    /// What the evaluation printed.
    pub log: &'a [u8],
    /// The tests that are asked for.
    pub lists: TestLists<'a>,
}

/// What a profile makes of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogVerdict {
    /// Under which rules.
    pub profile: Profile,
    /// Whether there was a patch.
    pub has_patch: bool,
    /// What the log shows; none where it does not show that the tests ran with the patch applied.
    pub statuses: Option<RawStatuses>,
    /// Results of the tests that are asked for, where there are statuses.
    pub tests: Option<GradeReport>,
    /// A sign of a broken environment, where there are no statuses. Only SWE-bench 5 and the strict rules look for it.
    pub infra: Option<InfraFailure>,
}

/// Grades a saved log under the rules of a profile, without running anything.
///
/// # Errors
/// [`GradeError`] where upstream crashes, and writes no report. The strict profile refuses no log.
pub fn grade_log(profile: Profile, run: &LoggedRun<'_>) -> Result<LogVerdict, GradeError> {
    let mut verdict =
        LogVerdict { profile, has_patch: run.has_patch, statuses: None, tests: None, infra: None };
    if !run.has_patch {
        return Ok(verdict);
    }
    verdict.statuses = statuses_of_log(profile, parser_for(profile, run)?, run.log)?;
    verdict.tests = verdict.statuses.as_ref().map(|statuses| grade_with(profile, statuses, &run.lists));
    if verdict.tests.is_none() && matches!(profile, Profile::Swebench5 | Profile::Strict) {
        verdict.infra = InfraFailure::in_log(&read_text(profile, run.log)?);
    }
    Ok(verdict)
}

/// SWE-bench has no parser for the repositories of SWE-Gym; those get that of the fork there.
fn parser_for(profile: Profile, run: &LoggedRun<'_>) -> Result<ParserName, GradeError> {
    let repo = match profile {
        Profile::Swegym => fork_repo(run.instance_id),
        _ => run.repo.to_ascii_lowercase(),
    };
    let own = run.parser.filter(|_| profile != Profile::Swegym);
    match (own.or_else(|| known_parser(&repo)), profile) {
        (Some(parser), _) => Ok(parser),
        (None, Profile::Strict) => Ok(ParserName::default()),
        (None, _) => Err(GradeError::UnknownRepo { repo }),
    }
}

/// The fork takes the repository from the name of the folder of the log, which is the id in small letters, and treats
/// what follows a dot as the extension of a file.
fn fork_repo(instance_id: &str) -> String {
    let name = instance_id.to_lowercase();
    let stem = match name.rfind('.') {
        Some(dot) if dot > 0 && dot + 1 < name.len() => &name[..dot],
        _ => &name,
    };
    let repo = stem.replace("__", "/");
    repo.rsplit_once('-').map_or_else(String::new, |(repo, _)| repo.to_owned())
}

impl LogVerdict {
    /// Whether every test that is asked for did what it should.
    pub fn resolved(&self) -> bool {
        self.tests.as_ref().is_some_and(|tests| tests.resolution(self.profile) == Resolution::Full)
    }

    /// `report.json`, as this version of upstream writes it; the strict one has the form of SWE-bench 5.
    pub fn report(&self, instance_id: &str) -> Value {
        let is_fork = self.profile == Profile::Swegym;
        let mut report = json!({
            "patch_is_None": !self.has_patch && !is_fork,
            "patch_exists": self.has_patch,
            "patch_successfully_applied": self.tests.is_some(),
            "resolved": self.resolved(),
        });
        if is_fork && !self.has_patch {
            // A slip of the fork: the key that is there already stays false.
            report["none"] = true.into();
        }
        if matches!(self.profile, Profile::Swebench5 | Profile::Strict) {
            let sure = self.infra.is_some_and(|failure| failure.tier == InfraTier::Environment);
            report["infra_failure"] = sure.into();
        }
        if let Some(failure) = self.infra {
            report["infra_failure_reason"] = failure.reason.into();
        }
        if let Some(tests) = &self.tests {
            report["tests_status"] = json!(tests);
        }
        json!({ instance_id: report })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run<'a>(log: &'a [u8], lists: TestLists<'a>) -> LoggedRun<'a> {
        let (instance_id, repo) = ("getmoto__moto-1", "getmoto/moto");
        LoggedRun { instance_id, repo, parser: None, has_patch: true, log, lists }
    }

    #[test]
    fn the_fork_takes_the_repository_from_the_id() {
        assert_eq!(fork_repo("Project-MONAI__MONAI-12"), "project-monai/monai");
        assert_eq!(fork_repo("a__b.c-12"), "");
        assert_eq!(fork_repo("plain"), "");
        let other = LoggedRun { instance_id: "o__n-1", ..run(b"applied patch\n", TestLists::default()) };
        let error = grade_log(Profile::Swegym, &other).unwrap_err();
        assert_eq!(error.to_string(), "choose a log parser: there is none for the repository `o/n`");
        assert!(grade_log(Profile::Strict, &LoggedRun { repo: "o/n", ..other }).is_ok());
    }

    #[test]
    fn reports_have_the_keys_of_their_profile() {
        let ids = ["a".to_owned()];
        let lists = TestLists { fail_to_pass: &ids, ..TestLists::default() };
        let report = |profile, run: &LoggedRun<'_>| {
            serde_json::to_string(&grade_log(profile, run).unwrap().report("x")["x"]).unwrap()
        };
        let null = LoggedRun { has_patch: false, ..run(b"", lists) };
        let start = r#"{"patch_is_None":false,"patch_exists":false,"patch_successfully_applied":false,"resolved":false"#;
        let is_none = start.replacen("false", "true", 1);
        assert_eq!(report(Profile::Swegym, &null), format!(r#"{start},"none":true}}"#));
        assert_eq!(report(Profile::Swebench4, &null), format!("{is_none}}}"));
        assert_eq!(report(Profile::Swebench5, &null), format!(r#"{is_none},"infra_failure":false}}"#));

        let killed = run(b"Killed\n", lists);
        let start = start.replacen(r#"exists":false"#, r#"exists":true"#, 1);
        let expected = format!(r#"{start},"infra_failure":true,"infra_failure_reason":"out_of_memory"}}"#);
        assert_eq!(report(Profile::Strict, &killed), expected);
        assert_eq!(report(Profile::Swegym, &killed), format!("{start}}}"));

        let good = run(b"PASSED a\n", lists);
        let strict = grade_log(Profile::Strict, &good).unwrap();
        assert!(strict.resolved());
        assert_eq!(strict.report("x")["x"]["tests_status"]["FAIL_TO_PASS"]["success"], json!(["a"]));
    }

    proptest! {
        #[test]
        fn any_log_can_be_graded(
            parts in prop::collection::vec(
                prop_oneof![
                    "(>>>>> (Start|End) Test Output|>>>>> Test Exit Code: [0-9-]{0,3}|applied patch|PASSED a\n|\n|\r)",
                    any::<String>(),
                ],
                0..12,
            ),
            noise in prop::collection::vec(any::<u8>(), 0..3),
            ids in prop::collection::vec("(a|\\[|\\]|é){0,4}", 0..4),
            parser in prop::sample::select(&ParserName::ALL),
        ) {
            let log = [parts.concat().as_bytes(), &noise].concat();
            let lists = TestLists { fail_to_pass: &ids, pass_to_pass: &ids, ..TestLists::default() };
            for profile in Profile::ALL {
                let verdict = grade_log(profile, &LoggedRun { parser: Some(parser), ..run(&log, lists) });
                prop_assert!(verdict.is_ok() || profile != Profile::Strict);
                let resolved = verdict.is_ok_and(|verdict| verdict.resolved());
                prop_assert!(!(resolved && profile == Profile::Strict && ids.is_empty()));
            }
        }
    }
}
