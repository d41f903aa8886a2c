//! The scaffold `codeact`: a shell and a file editor, called as functions.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use minijinja::{Value, context};
use swegym_core::{Message, Problem, Role, Trajectory};
use swegym_model::Policy;
use swegym_sandbox::Sandbox;

use crate::patch::conclude;
use crate::prompts::{Prompts, Template};
use crate::rollout::Rollout;
use crate::tools;
use crate::{AgentError, Outcome, PromptError, Scaffold, ScaffoldConfig};

/// The prompts: standing instructions, the task, and what is said after an answer without a call.
const TEMPLATES: &[Template] = &[
    Template {
        file: "system.j2",
        source: include_str!("../prompts/codeact/system.j2"),
        sample: || task_facts("owner/name", "owner__name-1", "/testbed", "It breaks."),
    },
    Template {
        file: "task.j2",
        source: include_str!("../prompts/codeact/task.j2"),
        sample: || task_facts("owner/name", "owner__name-1", "/testbed", "It breaks."),
    },
    Template {
        file: "reminder.j2",
        source: include_str!("../prompts/codeact/reminder.j2"),
        sample: || context! { user_messages => 2 },
    },
];

/// A shell and a file editor, called as functions.
#[derive(Debug, Clone)]
pub struct CodeAct {
    /// Limits, and where the repository lies.
    pub config: ScaffoldConfig,
    /// What is said to the policy.
    pub prompts: Prompts,
}

impl Default for CodeAct {
    fn default() -> Self {
        Self { config: ScaffoldConfig::default(), prompts: Self::builtin_prompts() }
    }
}

impl CodeAct {
    /// The prompts that come with it.
    pub const fn builtin_prompts() -> Prompts {
        Prompts::builtin(TEMPLATES)
    }

    /// The same, with those of a folder in their place.
    ///
    /// # Errors
    /// As for [`Prompts::from_folder`].
    pub fn prompts_from(folder: &Path, config: &ScaffoldConfig) -> Result<Prompts, PromptError> {
        Prompts::from_folder(TEMPLATES, &tools::specs(config), folder)
    }

    /// The same with files that are read already: name -> text.
    ///
    /// # Errors
    /// As for [`Prompts::from_folder`].
    pub fn prompts_of(
        files: BTreeMap<String, String>,
        config: &ScaffoldConfig,
    ) -> Result<Prompts, PromptError> {
        Prompts::from_files(TEMPLATES, &tools::specs(config), files)
    }

    /// The messages that a rollout begins with: system and task.
    ///
    /// # Errors
    /// [`PromptError`] when a prompt of the user's fails on this problem alone.
    pub fn opening(&self, problem: &Problem) -> Result<Vec<Message>, PromptError> {
        opening(&self.prompts, &facts(problem, &self.config.repo_dir))
    }

    /// What is said after an answer without a call, when the user has said so many messages before.
    ///
    /// # Errors
    /// As for [`Self::opening`].
    pub fn reminder(&self, user_messages: usize) -> Result<String, PromptError> {
        self.prompts.render("reminder.j2", context! { user_messages })
    }
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
        let Self { config, prompts } = self;
        let mut trajectory = Trajectory::empty(problem, sample, self.name(), policy.name());
        trajectory.tools = prompts.tools(tools::specs(config));
        match self.opening(problem) {
            Ok(messages) => trajectory.messages = messages,
            Err(cause) => return Err(AgentError::new(cause, trajectory)),
        }
        let (mut trajectory, end) = Rollout::new(self, policy, sandbox, trajectory).run().await;
        match end {
            Ok(exit_status) => trajectory.exit_status = exit_status,
            Err(cause) => return Err(AgentError::new(cause, trajectory)),
        }
        conclude(sandbox, config, problem, trajectory).await
    }
}

/// What prompts may say of a task.
pub(crate) fn facts(problem: &Problem, repo_dir: &str) -> Value {
    let id = problem.instance_id.as_str();
    task_facts(problem.repo.as_str(), id, repo_dir, &problem.problem_statement)
}

pub(crate) fn task_facts(repo: &str, instance_id: &str, repo_dir: &str, problem_statement: &str) -> Value {
    let repo_dir_name = repo_dir.rsplit('/').next();
    context! { repo, instance_id, repo_dir, repo_dir_name, problem_statement }
}

/// The messages that a rollout begins with: system and task.
pub(crate) fn opening(prompts: &Prompts, facts: &Value) -> Result<Vec<Message>, PromptError> {
    let message = |role, file| prompts.render(file, facts.clone()).map(|text| Message::text(role, text));
    Ok(vec![message(Role::System, "system.j2")?, message(Role::User, "task.j2")?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use swegym_core::{CommitId, InstanceId, RepoName};

    #[test]
    fn the_problem_statement_goes_in_as_it_is() {
        let statement = "<b>\"x\" & 'y'</b> {{ repo_dir }} {% raw %}\r\n\u{1b}[31m\0";
        let problem = Problem {
            instance_id: InstanceId::new("a__b-1").unwrap(),
            repo: RepoName::new("a/b").unwrap(),
            base_commit: CommitId::new("0".repeat(40)).unwrap(),
            problem_statement: statement.to_owned(),
        };
        let config = ScaffoldConfig { repo_dir: "/work here".to_owned(), ..ScaffoldConfig::default() };
        let messages = CodeAct { config, ..CodeAct::default() }.opening(&problem).unwrap();
        assert!(messages[1].content.contains(statement));
        assert!(messages[0].content.contains("/work here."));
        assert!(messages[1].content.contains("a/b is checked out at /work here."));
    }

    #[test]
    fn giving_up_is_offered_from_the_second_reminder_on() {
        let reminder = |messages| CodeAct::default().reminder(messages).unwrap();
        assert!(!reminder(1).contains("no way to solve it"));
        assert!(reminder(2).starts_with(&reminder(1)) && reminder(2).contains("no way to solve it"));
    }
}
