//! The scaffold `codeact`: a shell and a file editor, called as functions.

use swegym_core::{
    ExitStatus, Message, Patch, Problem, Role, TRAJECTORY_SCHEMA_VERSION, ToolSpec, Trajectory, Usage,
};
use swegym_model::Policy;
use swegym_sandbox::Sandbox;

use crate::patch::take_patch;
use crate::prompt::Prompts;
use crate::rollout::Rollout;
use crate::tools;
use crate::{AgentCause, AgentError, ScaffoldConfig};

const NAME: &str = "codeact";

/// What a rollout brought forth.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What happened.
    pub trajectory: Trajectory,
    /// What it changed in the repository.
    pub patch: Patch,
}

/// Lets a policy work on a problem in a sandbox until it finishes or a limit is reached, then takes the patch.
///
/// Reaching a limit, a full context window included, is an [`ExitStatus`] of the trajectory.
///
/// # Errors
/// [`AgentError`] when sandbox or policy fail, or the patch cannot be taken; it holds the trajectory so far.
pub async fn run_codeact(
    problem: &Problem,
    sample: u32,
    sandbox: &dyn Sandbox,
    policy: &mut dyn Policy,
    config: &ScaffoldConfig,
) -> Result<Outcome, AgentError> {
    let tools = tools::specs(config);
    let empty = empty_trajectory(problem, sample, policy.name(), tools);
    let prompts = match Prompts::render(problem, &config.repo_dir) {
        Ok(prompts) => prompts,
        Err(cause) => return Err(failed(cause, empty)),
    };
    let mut trajectory = empty;
    trajectory.messages =
        vec![Message::text(Role::System, prompts.system), Message::text(Role::User, prompts.task)];
    let mut rollout = Rollout::new(config, policy, sandbox, trajectory, prompts.reminder);
    let end = rollout.run().await;
    let mut trajectory = rollout.trajectory;
    match end {
        Ok(exit_status) => trajectory.exit_status = exit_status,
        Err(cause) => return Err(failed(cause, trajectory)),
    }
    match take_patch(sandbox, &config.repo_dir, &problem.base_commit).await {
        Ok(patch) => Ok(Outcome { trajectory, patch }),
        Err(cause) => Err(failed(cause, trajectory)),
    }
}

fn failed(cause: impl Into<AgentCause>, trajectory: Trajectory) -> AgentError {
    AgentError { cause: cause.into(), trajectory: Box::new(trajectory) }
}

fn empty_trajectory(problem: &Problem, sample: u32, policy: &str, tools: Vec<ToolSpec>) -> Trajectory {
    Trajectory {
        schema_version: TRAJECTORY_SCHEMA_VERSION,
        instance_id: problem.instance_id.clone(),
        sample,
        scaffold: NAME.to_owned(),
        policy: policy.to_owned(),
        tools,
        messages: Vec::new(),
        steps: Vec::new(),
        exit_status: ExitStatus::StepLimit,
        usage: Usage::default(),
    }
}
