//! What a scaffold is set up with.

use std::time::Duration;

use swegym_core::Trajectory;

use crate::EditorVersion;

/// Limits of a rollout, where the repository lies, and whose customs hold.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaffoldConfig {
    /// Answers that are asked of the policy at most.
    pub max_steps: usize,
    /// Tokens of prompts and answers of all steps together; no limit when `None`.
    pub max_tokens: Option<u64>,
    /// US dollars of all steps together, as far as their prices are known; no limit when `None`.
    pub max_cost: Option<f64>,
    /// Wall time of the whole rollout, policy and tools together.
    pub time_limit: Duration,
    /// How long a command of a shell session is waited for before the policy hears that it still runs; a call may ask
    /// for more or less.
    pub command_patience: Duration,
    /// Wall time of one command, after which it is killed.
    pub command_time_limit: Duration,
    /// Characters of an observation beyond which its middle is left out.
    pub observation_limit: usize,
    /// Where the repository lies in the sandbox: an absolute path.
    pub repo_dir: String,
    /// Which editor the policy gets.
    pub editor: EditorVersion,
    /// Whether files that the policy made belong to the patch.
    pub new_files: bool,
    /// Whose customs hold where those of OpenHands are not the sensible ones.
    pub behaviour: Behaviour,
}

/// Whose customs hold in `codeact`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// Ours: commands print to pipes and may outlast their call, rules for being stuck look at what was printed, an
    /// answer that cannot be read stays in the conversation, three answers in a row without a call are an end.
    #[default]
    Sane,
    /// Those of the agent that the SWE-Gym data was sampled with: commands print to a terminal and are interrupted when
    /// their time is over, the echo of the command and the prompt stand in the observation, rules for being stuck with
    /// their quirks, an answer that cannot be read is not shown again, answers without a call are answered for ever.
    OpenHands,
}

impl Default for ScaffoldConfig {
    fn default() -> Self {
        Self {
            max_steps: 100,
            max_tokens: None,
            max_cost: None,
            time_limit: Duration::from_secs(2 * 3600),
            command_patience: Duration::from_secs(120),
            command_time_limit: Duration::from_secs(1800),
            observation_limit: 30_000,
            repo_dir: "/testbed".to_owned(),
            editor: EditorVersion::default(),
            new_files: true,
            behaviour: Behaviour::Sane,
        }
    }
}

impl ScaffoldConfig {
    /// Whether the steps so far have cost all that a rollout may.
    pub(crate) fn cost_is_reached(&self, trajectory: &Trajectory) -> bool {
        self.max_cost.zip(trajectory.cost()).is_some_and(|(limit, cost)| cost >= limit)
    }

    /// Limits of upstream: commands are interrupted after 300 s, and nothing is heard of them before. The editor is that of
    /// the time, unless another one was chosen.
    #[must_use]
    pub fn openhands(self) -> Self {
        let limit = Duration::from_secs(300);
        let editor = match self.editor {
            EditorVersion::Sane => EditorVersion::Aci010,
            chosen => chosen,
        };
        let behaviour = Behaviour::OpenHands;
        Self { command_patience: limit, command_time_limit: limit, editor, behaviour, ..self }
    }
}
