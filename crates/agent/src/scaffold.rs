//! What a scaffold is.

use std::path::PathBuf;

use async_trait::async_trait;
use swegym_core::{Patch, Problem, Trajectory};
use swegym_model::Policy;
use swegym_sandbox::Sandbox;

use crate::AgentError;

/// What a rollout brought forth.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What happened.
    pub trajectory: Trajectory,
    /// What it changed in the repository.
    pub patch: Patch,
}

/// The program around a policy: prompts, tools and loop. One value serves any number of rollouts at once.
#[async_trait]
pub trait Scaffold: Send + Sync {
    /// Name for records: `codeact` ...
    fn name(&self) -> &'static str;

    /// Folders of the host that it wants to see in the sandbox, as [`SandboxSpec`](swegym_sandbox::SandboxSpec) has
    /// them. A backend that cannot show them makes a sandbox without: then it must bring what it needs itself.
    fn binds(&self) -> Vec<(PathBuf, PathBuf, bool)> {
        Vec::new()
    }

    /// Lets a policy work on a problem in a sandbox until it finishes or a limit is reached, then takes the patch.
    ///
    /// Reaching a limit, a full context window included, is an [`ExitStatus`](swegym_core::ExitStatus) of the
    /// trajectory.
    ///
    /// # Errors
    /// [`AgentError`] when sandbox or policy fail; it holds the trajectory so far. A repository whose
    /// folder the policy removed gives an empty patch.
    async fn run(
        &self,
        problem: &Problem,
        sample: u32,
        sandbox: &dyn Sandbox,
        policy: &mut dyn Policy,
    ) -> Result<Outcome, AgentError>;
}
