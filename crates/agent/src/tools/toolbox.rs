//! From a call to its observation.

use std::time::Duration;

use swegym_core::{ToolCall, ToolSpec};
use swegym_sandbox::{Sandbox, SandboxError};

use super::arguments::Arguments;
use super::editor::Editor;
use super::{editor, finish, shell};
use crate::ScaffoldConfig;
use crate::clip::{clip, first};

/// The tools on offer, in the order in which they are listed to the policy.
pub(crate) fn specs(config: &ScaffoldConfig) -> Vec<ToolSpec> {
    vec![shell::spec(config), editor::spec(config), finish::spec()]
}

/// What comes of a call.
pub(crate) enum Reply {
    /// Text for the policy.
    Observation(String),
    /// The work is done.
    Finish,
}

impl Reply {
    /// An observation that says why something was not done.
    pub(crate) fn refused(why: &str) -> Self {
        Self::Observation(format!("ERROR: {why}"))
    }
}

/// Why a call has no result.
pub(super) enum ToolError {
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
    editor: Editor,
}

impl<'a> Toolbox<'a> {
    pub(crate) fn new(sandbox: &'a dyn Sandbox, config: &'a ScaffoldConfig, specs: &[ToolSpec]) -> Self {
        Self { sandbox, config, specs: specs.to_vec(), editor: Editor::new(config.editor) }
    }

    /// Executes a call; whatever is wrong with the call itself becomes an observation.
    pub(crate) async fn call(&mut self, call: &ToolCall, time_left: Duration) -> Result<Reply, SandboxError> {
        match self.dispatch(call, time_left).await {
            Ok(reply) => Ok(reply),
            Err(ToolError::Refused(why)) => Ok(Reply::refused(&clip(why, self.config.observation_limit))),
            Err(ToolError::Sandbox(error)) => Err(error),
        }
    }

    async fn dispatch(&mut self, call: &ToolCall, time_left: Duration) -> Result<Reply, ToolError> {
        let name = &call.function.name;
        let Some(spec) = self.specs.iter().find(|spec| spec.name == *name) else {
            return Err(self.unknown(name));
        };
        let arguments = Arguments::parse(spec, &call.function.arguments)?;
        let observation = match name.as_str() {
            shell::NAME => shell::run(self.sandbox, self.config, &arguments, time_left).await?,
            editor::NAME => {
                let text = self.editor.run(self.sandbox, &arguments).await?;
                clip(text, self.config.observation_limit)
            }
            finish::NAME => return finish::run(&arguments),
            _ => return Err(self.unknown(name)),
        };
        Ok(Reply::Observation(observation))
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
