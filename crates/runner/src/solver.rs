//! What produces the patch of a rollout.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use swegym_agent::{AgentError, Outcome, Scaffold};
use swegym_core::{Failure, Instance, InstanceId, Patch, Trajectory};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::{Sandbox, SandboxError};

/// What a solver made of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// The patch.
    pub patch: Patch,
    /// How it came about, where there is a trajectory.
    pub trajectory: Option<Trajectory>,
}

/// Why an attempt gave no solution.
#[derive(Debug)]
pub struct AttemptError {
    /// What happened.
    pub failure: Failure,
    /// The trajectory up to there: evidence.
    pub trajectory: Option<Box<Trajectory>>,
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        Self { failure, trajectory: None }
    }
}

/// Produces patches.
#[async_trait]
pub trait Solver: Send + Sync {
    /// Name for records and predictions, for this instance.
    fn name(&self, instance_id: &InstanceId) -> String;

    /// Whether [`Solver::solve`] wants a sandbox.
    fn needs_sandbox(&self) -> bool;

    /// Folders of the host that it needs in the sandbox, as [`SandboxSpec`](swegym_sandbox::SandboxSpec) has them.
    fn binds(&self) -> Vec<(PathBuf, PathBuf, bool)> {
        Vec::new()
    }

    /// Works on an instance in `sandbox`, which is `None` for a solver that wants none.
    ///
    /// # Errors
    /// [`AttemptError`] when infrastructure kept it from a solution.
    async fn solve(
        &self,
        instance: &Instance,
        sample: u32,
        sandbox: Option<&dyn Sandbox>,
    ) -> Result<Solution, AttemptError>;
}

/// Makes the policy of one rollout.
pub type PolicyFactory = Arc<dyn Fn(&Instance, u32) -> Result<Box<dyn Policy>, ModelError> + Send + Sync>;

/// A scaffold around a policy.
pub struct ScaffoldSolver {
    /// Name of the policy.
    pub policy: String,
    /// Makes the policy of one rollout. It sees the whole instance (the gold policy must); the scaffold does not.
    pub factory: PolicyFactory,
    /// The program around it.
    pub scaffold: Arc<dyn Scaffold>,
}

#[async_trait]
impl Solver for ScaffoldSolver {
    fn name(&self, _instance_id: &InstanceId) -> String {
        self.policy.clone()
    }

    fn needs_sandbox(&self) -> bool {
        true
    }

    fn binds(&self) -> Vec<(PathBuf, PathBuf, bool)> {
        self.scaffold.binds()
    }

    async fn solve(
        &self,
        instance: &Instance,
        sample: u32,
        sandbox: Option<&dyn Sandbox>,
    ) -> Result<Solution, AttemptError> {
        let mut policy = (self.factory)(instance, sample).map_err(|error| Failure::from(&error))?;
        let Some(sandbox) = sandbox else {
            return Err(Failure::from(&SandboxError::Gone).into());
        };
        let ended = self.scaffold.run(&instance.problem, sample, sandbox, &mut *policy).await;
        let record = |trajectory: &mut Trajectory| {
            trajectory.tool_format = policy.tool_format().cloned();
            trajectory.merged_turns = policy.merges_turns();
        };
        match ended {
            Ok(Outcome { patch, mut trajectory }) => {
                record(&mut trajectory);
                Ok(Solution { patch, trajectory: Some(trajectory) })
            }
            Err(mut error) => {
                record(&mut error.trajectory);
                Err(from_agent(error))
            }
        }
    }
}

fn from_agent(error: AgentError) -> AttemptError {
    AttemptError { failure: (&error).into(), trajectory: Some(error.trajectory) }
}

/// Patches from a file of predictions.
pub struct PredictionSolver {
    /// Instance -> (`model_name_or_path`, patch).
    pub predictions: BTreeMap<InstanceId, (String, Patch)>,
}

#[async_trait]
impl Solver for PredictionSolver {
    fn name(&self, instance_id: &InstanceId) -> String {
        self.predictions.get(instance_id).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn needs_sandbox(&self) -> bool {
        false
    }

    async fn solve(
        &self,
        instance: &Instance,
        _sample: u32,
        _sandbox: Option<&dyn Sandbox>,
    ) -> Result<Solution, AttemptError> {
        let patch = self.predictions.get(instance.id()).map(|(_, patch)| patch.clone()).unwrap_or_default();
        Ok(Solution { patch, trajectory: None })
    }
}
