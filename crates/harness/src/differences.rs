//! What the other profiles make of the log of a strict evaluation, where they make something else of it.

use swegym_core::{Finding, Instance, PatchOutcome, ProfileResult};

use crate::findings::{PROFILES_DIFFER, finding};
use crate::upstream::reason;
use crate::{Evaluation, GradeError, LogVerdict, Profile, regrade};

impl Evaluation {
    /// Notes under `profiles` of the verdict what each profile says, if they do not all say the same. Their grading is
    /// compared, not their way to the log: patch, tests and configuration are those of the strict evaluation.
    pub(crate) fn compared(mut self, instance: &Instance) -> Self {
        let strict = ProfileResult::of(self.verdict.resolved);
        let mut difference = None;
        let mut results = vec![(Profile::Strict, strict)];
        for profile in Profile::ALL.into_iter().filter(|profile| *profile != Profile::Strict) {
            let graded = self.graded_by(profile, instance);
            let result = match &graded {
                Some(Ok(graded)) => ProfileResult::of(graded.resolved()),
                Some(Err(_)) => ProfileResult::Error,
                None => ProfileResult::Unresolved,
            };
            // A crash resolves nothing, so that it differs from a verdict that does.
            if (result == ProfileResult::Resolved) != self.verdict.resolved && difference.is_none() {
                difference = Some(self.why(profile, graded));
            }
            results.push((profile, result));
        }
        if let Some(difference) = difference {
            let named = |(profile, result): (Profile, _)| (profile.as_str().to_owned(), result);
            self.verdict.profiles = results.into_iter().map(named).collect();
            self.verdict.findings.push(difference);
            self.verdict.findings.sort_unstable();
        }
        self
    }

    /// None where upstream does not look: at predictions without content.
    fn graded_by(&self, profile: Profile, instance: &Instance) -> Option<Result<LogVerdict, GradeError>> {
        let is_empty = self.verdict.patch == PatchOutcome::Empty;
        (!is_empty).then(|| regrade(profile, instance, &self.verdict, &self.log))
    }

    fn why(&self, profile: Profile, graded: Option<Result<LogVerdict, GradeError>>) -> Finding {
        let detail = if self.verdict.resolved {
            let why = match graded {
                None => Some("it does not look at empty patches".to_owned()),
                Some(Err(error)) => Some(format!("it fails to {error}")),
                Some(Ok(graded)) => reason(&graded),
            };
            format!("`{profile}` does not resolve it: {}", why.unwrap_or_default())
        } else {
            let why = self.verdict.reason.as_deref().unwrap_or_default();
            let test = self.first_failure().map(|said| format!("; {said}")).unwrap_or_default();
            format!("`{profile}` resolves it, `strict` does not: {why}{test}")
        };
        finding(PROFILES_DIFFER, detail)
    }

    /// A required test that did not pass, and what became of it.
    fn first_failure(&self) -> Option<String> {
        let tests = self.verdict.tests.as_ref()?;
        let mut failures = tests.fail_to_pass.failure.iter().chain(&tests.pass_to_pass.failure);
        let id = failures.next()?;
        let status =
            self.statuses.get(id).map_or("missing".to_owned(), |status| format!("{status:?}").to_lowercase());
        Some(format!("`{}` is {status}", id.chars().take(200).collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swegym_core::TestStatuses;

    use super::*;
    use crate::{ParserName, grade, is_resolved, parse};

    fn verdict(log: &str, patch: PatchOutcome) -> swegym_core::Verdict {
        let row = json!({
            "repo": "getmoto/moto", "instance_id": "getmoto__moto-1", "base_commit": "a".repeat(40),
            "version": "5.0", "patch": "", "test_patch": "", "problem_statement": "",
            "FAIL_TO_PASS": ["t::a"], "PASS_TO_PASS": ["t::b"],
        });
        let instance = Instance::from_row(row.as_object().unwrap().clone()).unwrap();
        let mut evaluation = Evaluation::new(String::new());
        let statuses: TestStatuses = parse(ParserName::Pytest, log.as_bytes());
        let report = grade(&statuses, &instance.grading);
        evaluation.log = log.as_bytes().to_vec();
        evaluation.statuses = statuses;
        evaluation.verdict.resolved = is_resolved(&report);
        evaluation.verdict.reason = (!is_resolved(&report)).then(|| "no".to_owned());
        evaluation.verdict.tests = Some(report);
        evaluation.verdict.patch = patch;
        evaluation.verdict.exit_code = Some(0);
        evaluation.compared(&instance).verdict
    }

    fn applied() -> PatchOutcome {
        PatchOutcome::Applied { by: "git apply".to_owned() }
    }

    #[test]
    fn nothing_is_noted_where_all_agree() {
        for log in ["PASSED t::a\nPASSED t::b\n", "FAILED t::a\nPASSED t::b\n", ""] {
            let verdict = verdict(log, applied());
            assert!(verdict.profiles.is_empty() && verdict.findings.is_empty(), "{log}: {verdict:?}");
        }
    }

    #[test]
    fn tests_that_are_skipped_are_what_the_profiles_differ_about() {
        let verdict = verdict("SKIPPED t::a\nPASSED t::b\n", applied());
        let profiles = serde_json::to_value(&verdict.profiles).unwrap();
        let expected = json!({"strict": "unresolved", "swebench4": "resolved", "swebench5": "unresolved", "swegym": "resolved"});
        assert_eq!(profiles, expected);
        assert_eq!(verdict.findings[0].kind, "profiles_differ");
        assert_eq!(
            verdict.findings[0].detail,
            "`swegym` resolves it, `strict` does not: no; `t::a` is skipped"
        );
    }

    #[test]
    fn upstream_does_not_look_at_empty_patches() {
        let verdict = verdict("PASSED t::a\nPASSED t::b\n", PatchOutcome::Empty);
        assert_eq!(
            verdict.findings[0].detail,
            "`swegym` does not resolve it: it does not look at empty patches"
        );
    }
}
