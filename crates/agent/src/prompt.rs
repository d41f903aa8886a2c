//! Prompts: templates in `prompts/`, filled in without any escaping. A variable that a template names and
//! nobody gives is an error.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use swegym_core::Problem;

const SYSTEM: &str = include_str!("../prompts/system.j2");
const TASK: &str = include_str!("../prompts/task.j2");
const REMINDER: &str = include_str!("../prompts/reminder.j2");

/// The prompts of a rollout.
pub(crate) struct Prompts {
    /// Standing instructions.
    pub(crate) system: String,
    /// The first message in the user's name: the task.
    pub(crate) task: String,
    /// What is said after an answer without a tool call.
    pub(crate) reminder: String,
}

impl Prompts {
    pub(crate) fn render(problem: &Problem, repo_dir: &str) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::None);
        let facts = context! {
            repo => problem.repo.as_str(),
            repo_dir,
            problem_statement => problem.problem_statement.as_str(),
        };
        Ok(Self {
            system: templates.render_str(SYSTEM, &facts)?,
            task: templates.render_str(TASK, &facts)?,
            reminder: templates.render_str(REMINDER, &facts)?,
        })
    }
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
        let prompts = Prompts::render(&problem, "/work here").unwrap();
        assert!(prompts.task.contains(statement));
        assert!(prompts.system.contains("/work here."));
        assert!(prompts.task.contains("a/b is checked out at /work here."));
    }
}
