//! The scaffold `codeact`: a shell and a file editor, called as functions.

use async_trait::async_trait;
use swegym_core::{Message, Problem, Role, Trajectory};
use swegym_model::Policy;
use swegym_sandbox::Sandbox;

use crate::patch::take_patch;
use crate::prompt::Prompts;
use crate::rollout::Rollout;
use crate::tools;
use crate::{AgentError, Outcome, Scaffold, ScaffoldConfig};

/// A shell and a file editor, called as functions.
#[derive(Debug, Clone, Default)]
pub struct CodeAct {
    /// Limits, and where the repository lies.
    pub config: ScaffoldConfig,
}

#[async_trait]
impl Scaffold for CodeAct {
    fn name(&self) -> &'static str {
        "codeact"
    }

    async fn run(
        &self,
        problem: &Problem,
        sample: u32,
        sandbox: &dyn Sandbox,
        policy: &mut dyn Policy,
    ) -> Result<Outcome, AgentError> {
        let config = &self.config;
        let mut trajectory = Trajectory::empty(problem, sample, self.name(), policy.name());
        trajectory.tools = tools::specs(config);
        let prompts = match Prompts::render(problem, &config.repo_dir) {
            Ok(prompts) => prompts,
            Err(cause) => return Err(AgentError::new(cause, trajectory)),
        };
        trajectory.messages =
            vec![Message::text(Role::System, prompts.system), Message::text(Role::User, prompts.task)];
        let mut rollout = Rollout::new(config, policy, sandbox, trajectory, prompts.reminder);
        let end = rollout.run().await;
        let mut trajectory = rollout.trajectory;
        match end {
            Ok(exit_status) => trajectory.exit_status = exit_status,
            Err(cause) => return Err(AgentError::new(cause, trajectory)),
        }
        match take_patch(sandbox, &config.repo_dir, &problem.base_commit).await {
            Ok(patch) => Ok(Outcome { trajectory, patch }),
            Err(cause) => Err(AgentError::new(cause, trajectory)),
        }
    }
}
