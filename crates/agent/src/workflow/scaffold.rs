//! The scaffold itself.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use async_trait::async_trait;
use swegym_core::{ExitStatus, Problem, Trajectory};
use swegym_model::Policy;
use swegym_sandbox::Sandbox;

use super::config::WorkflowConfig;
use super::context::{FileContext, Workspace};
use super::conversation::Conversation;
use super::file::FileRules;
use super::index::{CodeIndex, Embedder, Snapshot};
use super::machine::Machine;
use super::templates::TEMPLATES;
use super::tokens::{CountTokens, EstimatedTokens};
use crate::patch::conclude;
use crate::prompts::Prompts;
use crate::{AgentCause, AgentError, Outcome, PromptError, Scaffold};

/// Search, identify, plan, edit: each state asks for one JSON object, or for code.
pub struct Workflow {
    /// Limits, and where the repository lies.
    pub config: WorkflowConfig,
    /// What is said to the policy.
    pub prompts: Prompts,
    /// Ranks code by meaning; by words when `None`.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// Counts tokens where limits need it.
    pub tokens: Arc<dyn CountTokens>,
    /// Indexes that rollouts have in use, by what they were made from.
    shared: Mutex<HashMap<String, Weak<tokio::sync::OnceCell<Arc<CodeIndex>>>>>,
}

impl Workflow {
    /// With the built-in prompts, ranking by words, and an estimate in place of counted tokens.
    pub fn new(config: WorkflowConfig) -> Self {
        Self {
            config,
            prompts: Self::builtin_prompts(),
            embedder: None,
            tokens: Arc::new(EstimatedTokens),
            shared: Mutex::default(),
        }
    }

    /// The prompts that come with it.
    pub const fn builtin_prompts() -> Prompts {
        Prompts::builtin(TEMPLATES)
    }

    /// The same, with those of a folder in their place.
    ///
    /// # Errors
    /// As for [`Prompts::from_folder`].
    pub fn prompts_from(folder: &Path) -> Result<Prompts, PromptError> {
        Prompts::from_folder(TEMPLATES, &[], folder)
    }

    /// The place of the index that all rollouts of a base commit share while one of them lives.
    fn place(&self, problem: &Problem) -> Arc<tokio::sync::OnceCell<Arc<CodeIndex>>> {
        let key = format!("{} {}", problem.repo.as_str(), problem.base_commit.as_str());
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, place| place.strong_count() > 0);
        let place = shared.get(&key).and_then(Weak::upgrade).unwrap_or_default();
        shared.insert(key, Arc::downgrade(&place));
        place
    }

    /// Tokens of the longest words that a state can say: a system prompt and another.
    fn words(&self) -> usize {
        let mut sizes: Vec<usize> = self.prompts.sources().map(|source| self.tokens.count(source)).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        sizes.iter().take(2).sum()
    }

    async fn build_index(&self, sandbox: &dyn Sandbox) -> Result<Arc<CodeIndex>, AgentCause> {
        let snapshot = Snapshot::read(sandbox, &self.config.scaffold.repo_dir).await?;
        let rules = FileRules { tokens: Arc::clone(&self.tokens), as_upstream: self.config.as_upstream };
        let built = tokio::task::spawn_blocking(move || CodeIndex::build(snapshot, &rules)).await;
        let mut index = built.map_err(|error| AgentCause::Repository { message: error.to_string() })?;
        if let Some(embedder) = &self.embedder {
            index.embed(Arc::clone(embedder)).await?;
        }
        Ok(Arc::new(index))
    }

    async fn work(
        &self,
        problem: &Problem,
        sandbox: &dyn Sandbox,
        policy: &mut dyn Policy,
        trajectory: &mut Trajectory,
    ) -> Result<ExitStatus, AgentCause> {
        let begun = Instant::now();
        let place = self.place(problem);
        let index = Arc::clone(place.get_or_try_init(|| self.build_index(sandbox)).await?);
        let mut machine = Machine {
            config: &self.config,
            problem,
            sandbox,
            policy,
            prompts: &self.prompts,
            tokens: &*self.tokens,
            words: self.words(),
            files: Workspace::new(index),
            context: FileContext::default(),
            first_look: None,
            visits: Vec::new(),
            conversation: Conversation::default(),
            trajectory: trajectory.clone(),
            begun,
        };
        let end = machine.run().await;
        *trajectory = machine.trajectory;
        end
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Scaffold for Workflow {
    fn name(&self) -> &'static str {
        "workflow"
    }

    async fn run(
        &self,
        problem: &Problem,
        sample: u32,
        sandbox: &dyn Sandbox,
        policy: &mut dyn Policy,
    ) -> Result<Outcome, AgentError> {
        let mut trajectory = Trajectory::empty(problem, sample, self.name(), policy.name());
        match self.work(problem, sandbox, policy, &mut trajectory).await {
            Ok(exit_status) => trajectory.exit_status = exit_status,
            Err(cause) => return Err(AgentError::new(cause, trajectory)),
        }
        conclude(sandbox, &self.config.scaffold, problem, trajectory).await
    }
}
