//! From a call to its observation.

use std::time::Duration;

use swegym_core::{ToolCall, ToolSpec};
use swegym_sandbox::{Sandbox, SandboxError};

use super::arguments::Arguments;
use super::editor::Editor;
use super::shell::Shell;
use super::{editor, finish, shell, think};
use crate::clip::{clip, first};
use crate::history::{End, Shown, observation_text};
use crate::{Behaviour, ScaffoldConfig};

/// The tools on offer, in the order in which they are listed to the policy. Upstream's order, where it is asked for.
pub(crate) fn specs(config: &ScaffoldConfig) -> Vec<ToolSpec> {
    match config.behaviour {
        Behaviour::Sane => vec![shell::spec(config), editor::spec(config), think::spec(), finish::spec()],
        Behaviour::OpenHands => vec![shell::spec(config), finish::spec(), editor::spec(config)],
    }
}

/// What comes of a call.
pub(crate) enum Reply {
    /// Text for the policy.
    Observation(Observed),
    /// The work is done.
    Finish,
}

/// Text for the policy, and what kind it is of.
pub(crate) struct Observed {
    /// What the policy reads.
    pub(crate) text: String,
    /// What kind it is of.
    pub(crate) end: End,
}

impl Observed {
    /// An observation that says why something was not done.
    pub(crate) fn refused(why: &str) -> Self {
        Self { text: format!("ERROR: {why}"), end: End::Failed }
    }
}

/// Why a call has no result.
#[derive(Debug)]
pub(crate) enum ToolError {
    /// The call, or what it met in the sandbox, is at fault: for the policy to read.
    Refused(String),
    /// The sandbox is at fault.
    Sandbox(SandboxError),
}

impl ToolError {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}

impl From<SandboxError> for ToolError {
    /// A missing file, a deleted working directory, a removed shell are the policy's own doing.
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Start { .. } | SandboxError::File { .. } => {
                Self::Refused(format!("failed to {error}"))
            }
            error => Self::Sandbox(error),
        }
    }
}

/// The tools of one rollout with their state.
pub(crate) struct Toolbox<'a> {
    sandbox: &'a dyn Sandbox,
    config: &'a ScaffoldConfig,
    specs: Vec<ToolSpec>,
    shell: Shell<'a>,
    editor: Editor,
}

impl<'a> Toolbox<'a> {
    pub(crate) fn new(sandbox: &'a dyn Sandbox, config: &'a ScaffoldConfig, specs: &[ToolSpec]) -> Self {
        let shell = Shell::new(sandbox, config);
        Self { sandbox, config, specs: specs.to_vec(), shell, editor: Editor::new(config.editor) }
    }

    /// Executes a call; whatever is wrong with the call itself becomes an observation.
    pub(crate) async fn call(&mut self, call: &ToolCall, time_left: Duration) -> Result<Reply, SandboxError> {
        match self.dispatch(call, time_left).await {
            Ok(reply) => Ok(reply),
            Err(ToolError::Refused(why)) => Ok(Reply::Observation(self.refused(&call.function.name, &why))),
            Err(ToolError::Sandbox(error)) => Err(error),
        }
    }

    async fn dispatch(&mut self, call: &ToolCall, time_left: Duration) -> Result<Reply, ToolError> {
        let name = &call.function.name;
        let Some(spec) = self.specs.iter().find(|spec| spec.name == *name) else {
            return Err(self.unknown(name));
        };
        let arguments = Arguments::parse(spec, &call.function.arguments)?;
        let observed = match name.as_str() {
            shell::NAME => self.shell.run(&arguments, time_left).await?,
            editor::NAME => {
                let text = self.editor.run(self.sandbox, &arguments).await?;
                Observed { text: clip(text, self.config.observation_limit), end: End::Other }
            }
            think::NAME => think::run(&arguments)?,
            finish::NAME => return finish::run(&arguments),
            _ => return Err(self.unknown(name)),
        };
        Ok(Reply::Observation(observed))
    }

    /// Upstream's editor says what is wrong below a line of its own; what is wrong with a call itself is an error.
    fn refused(&self, tool: &str, why: &str) -> Observed {
        let limit = self.config.observation_limit;
        let text = match self.config.behaviour {
            Behaviour::Sane => return Observed::refused(&clip(why.to_owned(), limit)),
            Behaviour::OpenHands if tool == editor::NAME => format!("ERROR:\n{why}"),
            Behaviour::OpenHands => observation_text(&Shown::Error(why), true, Some(limit)),
        };
        Observed { text, end: End::Failed }
    }

    fn unknown(&self, name: &str) -> ToolError {
        let names: Vec<&str> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
        ToolError::refused(format!(
            "no tool is called `{}`; the tools are {}",
            first(name, 100),
            names.join(", ")
        ))
    }
}
