//! What an evaluation leaves in its sandbox.

use swegym_core::Finding;
use swegym_sandbox::{ExecRequest, Sandbox, SandboxError};

use crate::findings::{AUDIT_INCOMPLETE, PROCESSES_LEFT, WRITES_OUTSIDE, finding, finding_of};

/// Places that tests may write to, and what the harness itself writes.
const FREE: [&str; 10] =
    ["/testbed", "/tmp", "/var/tmp", "/dev", "/run", "/var/run", "/proc", "/sys", "/root/.cache", "/eval.sh"];

/// Begun before an evaluation and ended after it, in the sandbox of the evaluation.
#[derive(Debug, Clone, Copy)]
pub struct RunAudit {
    /// Processes before, where the machine tells.
    processes: Option<u64>,
}

impl RunAudit {
    /// Looks at the sandbox before anything runs in it.
    pub async fn begin(sandbox: &dyn Sandbox) -> Self {
        // What a sandbox keeps ready for its first command counts as a process until then.
        let _ = sandbox.exec(&ExecRequest::new(["true"])).await;
        Self { processes: processes(sandbox).await }
    }

    /// Says what was written outside of the repository and of folders for scratch, and whether anything still runs.
    /// `__pycache__` does not count.
    ///
    /// # Errors
    /// [`SandboxError`] when the sandbox fails.
    pub async fn end(self, sandbox: &dyn Sandbox) -> Result<Vec<Finding>, SandboxError> {
        let mut findings = Vec::new();
        match sandbox.changes().await {
            Ok(changes) => {
                let paths = changes.iter().map(|change| String::from_utf8_lossy(&change.path));
                let outside = paths.filter(|path| is_outside(path));
                findings.extend(finding_of(WRITES_OUTSIDE, "changed outside of the repository", outside));
            }
            Err(SandboxError::Unsupported { .. }) => {
                let detail = "changed files cannot be listed in this kind of sandbox";
                findings.push(finding(AUDIT_INCOMPLETE, detail));
            }
            Err(error) => return Err(error),
        }
        if let (Some(before), Some(after)) = (self.processes, processes(sandbox).await)
            && after > before
        {
            let detail = format!("{} processes outlived the tests", after - before);
            findings.push(finding(PROCESSES_LEFT, detail));
        }
        Ok(findings)
    }
}

async fn processes(sandbox: &dyn Sandbox) -> Option<u64> {
    sandbox.usage().await.ok()?.processes
}

fn is_outside(path: &str) -> bool {
    let is_below =
        |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !FREE.iter().any(|folder| is_below(folder)) && !path.split('/').any(|part| part == "__pycache__")
}

#[cfg(test)]
mod tests {
    use super::is_outside;

    #[test]
    fn scratch_and_the_repository_may_be_written() {
        for (path, outside) in [
            ("/testbed/x", false),
            ("/testbedx", true),
            ("/tmp/x", false),
            ("/opt/venv/lib/python3.12/site-packages/x.pth", true),
            ("/opt/venv/lib/__pycache__/x.pyc", false),
            ("/root/.bashrc", true),
        ] {
            assert_eq!(is_outside(path), outside, "{path}");
        }
    }
}
