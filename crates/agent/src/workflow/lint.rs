//! What a linter of the image says about a file.

use std::collections::HashSet;
use std::time::Duration;

use swegym_sandbox::{ExecRequest, OutputLimit, Sandbox, SandboxError};

/// Uses what the image has: pylint, else pyflakes, else nothing but the compiler.
const SCRIPT: &str = include_str!("lint.sh");
const TIME_LIMIT: Duration = Duration::from_secs(60);
const OUTPUT_LIMIT: OutputLimit = OutputLimit { head: 64 << 10, tail: 0 };
/// Findings that are shown, and characters of each.
const MAX_FINDINGS: usize = 50;
const MAX_MESSAGE: usize = 300;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub(super) struct Finding {
    pub(super) code: String,
    pub(super) line: u64,
    pub(super) message: String,
}

/// Errors in a file, as far as a linter finds any within its time.
///
/// # Errors
/// [`SandboxError`] when the sandbox fails, not when the linter does.
pub(super) async fn findings(
    sandbox: &dyn Sandbox,
    repo_dir: &str,
    path: &str,
) -> Result<Vec<Finding>, SandboxError> {
    let mut request = ExecRequest::shell(SCRIPT).in_folder(repo_dir).within(TIME_LIMIT).keeping(OUTPUT_LIMIT);
    request.env.insert("LINTED".to_owned(), path.to_owned());
    let output = sandbox.exec(&request).await?;
    Ok(output.stdout.to_text().lines().filter_map(finding).collect())
}

fn finding(line: &str) -> Option<Finding> {
    let mut fields = line.splitn(3, '\t');
    let (code, number, message) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Finding {
        code: crate::clip::first(code, 20).to_owned(),
        line: number.parse().ok()?,
        message: crate::clip::first(message, MAX_MESSAGE).to_owned(),
    })
}

/// Those of `after` that were not there before, wherever they stand.
pub(super) fn new_findings(before: &[Finding], after: Vec<Finding>) -> Vec<Finding> {
    let known: HashSet<(&str, &str)> =
        before.iter().map(|finding| (finding.code.as_str(), finding.message.as_str())).collect();
    let is_new = |finding: &Finding| !known.contains(&(finding.code.as_str(), finding.message.as_str()));
    after.into_iter().filter(is_new).take(MAX_FINDINGS).collect()
}
