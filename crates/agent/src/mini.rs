//! The scaffold `mini`: one shell command a step, and nothing else. Every command runs in a shell of its own, the
//! conversation only ever grows, and the work is done when a command prints a marker.

use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use minijinja::{Value, context};
use regex::Regex;
use serde_json::json;
use swegym_core::{ChatRequest, Completion, ExitStatus, Message, Problem, Role, ToolSpec, Trajectory};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::{Sandbox, SandboxError};

use crate::codeact::{facts, opening, task_facts};
use crate::patch::conclude;
use crate::prompts::{Prompts, Template};
use crate::rollout::millis;
use crate::tools::command::{observation, run_alone};
use crate::tools::{Arguments, Observed, ToolError};
use crate::{AgentCause, AgentError, Outcome, PromptError, Scaffold, ScaffoldConfig};

const TOOL: &str = "execute_bash";
/// The first line that a command prints when the work is done.
const MARKER: &str = "SWEGYM_WORK_IS_DONE";

const TEMPLATES: &[Template] = &[
    Template { file: "system.j2", source: include_str!("../prompts/mini/system.j2"), sample },
    Template { file: "task.j2", source: include_str!("../prompts/mini/task.j2"), sample },
    Template { file: "format_error.j2", source: include_str!("../prompts/mini/format_error.j2"), sample },
];

fn sample() -> Value {
    let task = task_facts("owner/name", "owner__name-1", "/testbed", "It breaks.");
    context! { commands => 2, ..extra(task, true) }
}

fn extra(facts: Value, native: bool) -> Value {
    context! { native, submit => format!("echo {MARKER}"), ..facts }
}

/// One shell command a step, and nothing else.
#[derive(Debug, Clone)]
pub struct Mini {
    /// Limits, and where the repository lies.
    pub config: ScaffoldConfig,
    /// What is said to the policy.
    pub prompts: Prompts,
    /// Whether commands are calls of a tool; else they are blocks in the text.
    pub native: bool,
}

impl Default for Mini {
    fn default() -> Self {
        Self { config: ScaffoldConfig::default(), prompts: Self::builtin_prompts(), native: true }
    }
}

impl Mini {
    /// The prompts that come with it.
    pub const fn builtin_prompts() -> Prompts {
        Prompts::builtin(TEMPLATES)
    }

    /// The same, with those of a folder in their place.
    ///
    /// # Errors
    /// As for [`Prompts::from_folder`].
    pub fn prompts_from(folder: &Path) -> Result<Prompts, PromptError> {
        Prompts::from_folder(TEMPLATES, &[spec()], folder)
    }
}

#[async_trait]
impl Scaffold for Mini {
    fn name(&self) -> &'static str {
        if self.native { "mini" } else { "mini-text" }
    }

    async fn run(
        &self,
        problem: &Problem,
        sample: u32,
        sandbox: &dyn Sandbox,
        policy: &mut dyn Policy,
    ) -> Result<Outcome, AgentError> {
        let mut trajectory = Trajectory::empty(problem, sample, self.name(), policy.name());
        if self.native {
            trajectory.tools = self.prompts.tools(vec![spec()]);
        }
        let facts = extra(facts(problem, &self.config.repo_dir), self.native);
        match opening(&self.prompts, &facts) {
            Ok(messages) => trajectory.messages = messages,
            Err(cause) => return Err(AgentError::new(cause, trajectory)),
        }
        let mut attempt = Attempt { mini: self, facts, sandbox, begun: Instant::now(), trajectory };
        let end = attempt.run(policy).await;
        let mut trajectory = attempt.trajectory;
        match end {
            Ok(exit_status) => trajectory.exit_status = exit_status,
            Err(cause) => return Err(AgentError::new(cause, trajectory)),
        }
        conclude(sandbox, &self.config, problem, trajectory).await
    }
}

/// A rollout under way.
struct Attempt<'a> {
    mini: &'a Mini,
    facts: Value,
    sandbox: &'a dyn Sandbox,
    begun: Instant,
    trajectory: Trajectory,
}

impl Attempt<'_> {
    async fn run(&mut self, policy: &mut dyn Policy) -> Result<ExitStatus, AgentCause> {
        let config = &self.mini.config;
        loop {
            let time_left = self.time_left();
            if self.trajectory.steps.len() >= config.max_steps {
                return Ok(ExitStatus::StepLimit);
            } else if config.max_tokens.is_some_and(|limit| self.trajectory.usage.total() >= limit) {
                return Ok(ExitStatus::TokenLimit);
            } else if config.cost_is_reached(&self.trajectory) {
                return Ok(ExitStatus::CostLimit);
            }
            let asked = Instant::now();
            let request = ChatRequest::new(&self.trajectory.messages, &self.trajectory.tools);
            let completion = match tokio::time::timeout(time_left, policy.complete(&request)).await {
                Err(_) => return Ok(ExitStatus::TimeLimit),
                Ok(Err(ModelError::ContextWindow { .. })) => return Ok(ExitStatus::TokenLimit),
                Ok(Err(ModelError::InvalidCall { completion, .. })) => *completion,
                Ok(completion) => completion?,
            };
            if self.step(completion, millis(asked.elapsed())).await? {
                return Ok(ExitStatus::Finished);
            }
        }
    }

    fn time_left(&self) -> Duration {
        self.mini.config.time_limit.saturating_sub(self.begun.elapsed())
    }

    /// Runs the one command of an answer, and says whether the work is done.
    async fn step(&mut self, mut completion: Completion, took: u64) -> Result<bool, AgentCause> {
        completion.message.role = Role::Assistant;
        let answer = completion.message.clone();
        self.trajectory.push_answer(completion, Vec::new(), took);
        let begun = Instant::now();
        let (text, done) = match self.command(&answer) {
            Ok(command) => self.execute(&command).await?,
            Err(commands) => {
                let facts = context! { commands, ..self.facts.clone() };
                (self.mini.prompts.render("format_error.j2", facts)?, false)
            }
        };
        match answer.tool_calls.as_slice() {
            [] => self.trajectory.messages.push(Message::text(Role::User, text)),
            calls => {
                let results = calls.iter().map(|call| Message::tool_result(call, text.clone()));
                self.trajectory.messages.extend(results);
            }
        }
        if let Some(step) = self.trajectory.steps.last_mut() {
            step.tool_ms = millis(begun.elapsed());
        }
        Ok(done)
    }

    /// The command of an answer that has exactly one; else how many it has.
    fn command(&self, answer: &Message) -> Result<String, usize> {
        let mut commands = match self.mini.native {
            true => answer.tool_calls.iter().map(|call| called(call).unwrap_or_default()).collect(),
            false => blocks(&answer.content),
        };
        if commands.is_empty() {
            // A model that does not call functions, though it could, may write the block.
            commands = blocks(&answer.content);
        }
        match <[String; 1]>::try_from(commands) {
            Ok([command]) if !command.trim().is_empty() => Ok(command),
            Ok(_) => Err(0),
            Err(commands) => Err(commands.len()),
        }
    }

    /// What the policy reads of a command, and whether the work is done.
    async fn execute(&self, command: &str) -> Result<(String, bool), SandboxError> {
        let config = &self.mini.config;
        if command.contains('\0') {
            return Ok((Observed::refused("the command holds a NUL character").text, false));
        }
        let time_limit = config.command_time_limit.min(self.time_left());
        match run_alone(self.sandbox, config, command, time_limit).await.map_err(ToolError::from) {
            Ok(output) => {
                let done = output.success() && is_marked(&output.stdout.head);
                Ok((observation(&output, config.observation_limit, time_limit), done))
            }
            Err(ToolError::Refused(why)) => Ok((Observed::refused(&why).text, false)),
            Err(ToolError::Sandbox(error)) => Err(error),
        }
    }
}

fn spec() -> ToolSpec {
    ToolSpec {
        name: TOOL.to_owned(),
        description: "Runs a command in a new bash.".to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {"command": {"type": "string", "description": "The command, of one line or several."}},
            "required": ["command"],
        }),
    }
}

/// The command of a call; `None` of one that is no good.
fn called(call: &swegym_core::ToolCall) -> Option<String> {
    let arguments = Arguments::parse(&spec(), &call.function.arguments).ok()?;
    (call.function.name == TOOL).then_some(())?;
    arguments.text("command").ok().map(str::to_owned)
}

/// The contents of the blocks in a text that are marked as bash.
fn blocks(text: &str) -> Vec<String> {
    let Ok(block) = Regex::new(r"(?s)```bash[^\S\n]*\n(.*?)\n?```") else { return Vec::new() };
    block.captures_iter(text).map(|block| block[1].to_owned()).collect()
}

fn is_marked(printed: &[u8]) -> bool {
    printed.trim_ascii_start().split(|byte| *byte == b'\n').next().map(<[u8]>::trim_ascii)
        == Some(MARKER.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_blocks() {
        assert_eq!(blocks("I look.\n```bash\nls\necho '`'\n```\n"), ["ls\necho '`'"]);
        assert_eq!(blocks("```bash\n```"), [""]);
        assert_eq!(blocks("```python\nx\n```"), Vec::<String>::new());
        assert_eq!(blocks("```bash\na\n```\n```bash \nb\n```").len(), 2);
    }

    #[test]
    fn the_marker_is_the_first_line() {
        assert!(is_marked(b"\nSWEGYM_WORK_IS_DONE\r\nmore"));
        assert!(!is_marked(b"x\nSWEGYM_WORK_IS_DONE"));
        assert!(!is_marked(b"SWEGYM_WORK_IS_DONE!"));
    }
}
