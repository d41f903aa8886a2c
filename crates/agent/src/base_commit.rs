//! The base commit as the image has it, where a rollout lost or broke the repository's own objects.
//!
//! It comes from a fresh sandbox of the same image, which nobody worked in.

use swegym_core::Problem;
use swegym_sandbox::{ExecRequest, ExecStatus, OutputLimit, Sandbox, SandboxError};

use crate::ScaffoldConfig;
use crate::patch::TIME_LIMIT;

const SCRIPT: &str = include_str!("base_commit.sh");
/// Bytes of all files of a commit together, compressed.
const PACK_LIMIT: usize = 512 << 20;
/// Bytes of the list of files that git leaves out.
const EXCLUDE_LIMIT: u64 = 64 << 10;

/// What comparing with the base commit needs.
pub(crate) struct BaseCommit {
    /// Its files, as a pack of git.
    pub(crate) pack: Vec<u8>,
    /// What `.git/info/exclude` of the image says.
    pub(crate) exclude: String,
}

impl BaseCommit {
    /// Reads it; `None` where the sandbox cannot have another one beside it, or its image has no such commit.
    ///
    /// # Errors
    /// [`SandboxError`] when the fresh sandbox fails.
    pub(crate) async fn of_image(
        sandbox: &dyn Sandbox,
        config: &ScaffoldConfig,
        problem: &Problem,
    ) -> Result<Option<Self>, SandboxError> {
        let pristine = match sandbox.pristine().await {
            Err(SandboxError::Unsupported { .. }) => return Ok(None),
            made => made?,
        };
        let read = Self::read(&*pristine, &config.repo_dir, problem.base_commit.as_str()).await;
        pristine.destroy().await?;
        read
    }

    async fn read(sandbox: &dyn Sandbox, repo: &str, base: &str) -> Result<Option<Self>, SandboxError> {
        let mut request =
            ExecRequest::shell(SCRIPT).within(TIME_LIMIT).keeping(OutputLimit { head: PACK_LIMIT, tail: 0 });
        request.env =
            [("REPO", repo), ("BASE", base)].map(|(name, value)| (name.into(), value.into())).into();
        let output = sandbox.exec(&request).await?;
        if output.status != ExecStatus::Exited(0) || output.stdout.dropped > 0 {
            return Ok(None);
        }
        let exclude = sandbox.read_file(&format!("{repo}/.git/info/exclude"), EXCLUDE_LIMIT).await;
        let exclude = exclude.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Some(Self { pack: output.stdout.head, exclude: exclude.unwrap_or_default() }))
    }
}
