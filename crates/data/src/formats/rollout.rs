//! A rollout between a run directory and a format of another program.

use jiff::Timestamp;
use swegym_core::{
    Boundary, CompletionTokens, ExitStatus, Failure, InstanceId, Patch, ROLLOUT_SCHEMA_VERSION, RolloutKey,
    RolloutRecord, RolloutStatus, StepTokens, TRAJECTORY_SCHEMA_VERSION, Timings, Trajectory, Usage, Verdict,
};

/// Characters that are kept of another program's words about why it failed.
const MAX_WORDS: usize = 2000;

/// A committed rollout, as writers see it.
pub(crate) struct Rollout {
    pub(crate) record: RolloutRecord,
    pub(crate) trajectory: Option<Trajectory>,
    pub(crate) patch: Option<Patch>,
    /// Index among the rollouts of its instance in all runs that are exported.
    pub(crate) sample: u32,
    /// When it began, where the event log says.
    pub(crate) started: Option<Timestamp>,
}

impl Rollout {
    pub(crate) fn id(&self) -> &str {
        self.record.key.instance_id.as_str()
    }

    /// The trajectory, where anything was said in it: the policy `gold` of an evaluation has none.
    pub(crate) fn conversation(&self) -> Option<&Trajectory> {
        self.trajectory.as_ref().filter(|trajectory| !trajectory.messages.is_empty())
    }

    /// The patch as text, with replacement characters where it is not UTF-8.
    pub(crate) fn patch_text(&self) -> Option<String> {
        self.patch.as_ref().map(|patch| patch.to_text_lossy().into_owned())
    }

    pub(crate) fn has_bytes_that_are_no_text(&self) -> bool {
        self.patch.as_ref().is_some_and(|patch| std::str::from_utf8(patch.as_bytes()).is_err())
    }

    pub(crate) fn completed(&self) -> bool {
        self.record.status == RolloutStatus::Completed
    }

    /// When each message of the trajectory came up, counted from the times that its steps took.
    pub(crate) fn times(&self) -> Option<Times> {
        self.started.map(Times)
    }
}

/// A clock that goes by what steps took.
#[derive(Clone, Copy)]
pub(crate) struct Times(Timestamp);

impl Times {
    pub(crate) fn pass(&mut self, ms: u64) {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        self.0 = self.0.checked_add(jiff::SignedDuration::from_millis(ms)).unwrap_or(self.0);
    }

    pub(crate) fn now(&self) -> String {
        self.0.to_string()
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> f64 {
        self.0.as_millisecond() as f64 / 1000.0
    }
}

/// Token ids of answers one after the other, of which each is stored without what it has in common with the last.
#[derive(Default)]
pub(crate) struct TokenChain(Vec<u32>);

impl TokenChain {
    /// The tokens of the next answer.
    pub(crate) fn pack(&mut self, tokens: CompletionTokens) -> StepTokens {
        let CompletionTokens { prompt_token_ids: mut prompt, completion_token_ids, logprobs } = tokens;
        let shared = self.0.iter().zip(&prompt).take_while(|(one, other)| one == other).count();
        prompt.drain(..shared);
        self.0.truncate(shared);
        self.0.extend(prompt.iter().chain(&completion_token_ids));
        let new = CompletionTokens { prompt_token_ids: prompt, completion_token_ids, logprobs };
        StepTokens { shared, new }
    }
}

/// A rollout that was read from a file of another program.
#[derive(Debug)]
pub(crate) struct Imported {
    /// Of sample 0.
    pub(crate) trajectory: Trajectory,
    pub(crate) patch: Option<Patch>,
    pub(crate) verdict: Option<Verdict>,
    /// What kept it from completing.
    pub(crate) failure: Option<Failure>,
}

/// A trajectory in which nothing has happened yet, and of which it is not known how it ended.
pub(crate) fn unbegun(instance_id: InstanceId, scaffold: String, policy: String) -> Trajectory {
    Trajectory {
        schema_version: TRAJECTORY_SCHEMA_VERSION,
        instance_id,
        sample: 0,
        scaffold,
        policy,
        tools: Vec::new(),
        tool_format: None,
        merged_turns: false,
        messages: Vec::new(),
        steps: Vec::new(),
        failed_calls: Vec::new(),
        exit_status: ExitStatus::Unknown,
        usage: Usage::default(),
    }
}

impl Imported {
    /// One that ended in a known way, or with words that mean none: these are a failure where there is no patch either.
    pub(crate) fn new(
        mut trajectory: Trajectory,
        patch: Option<Patch>,
        end: Result<ExitStatus, String>,
    ) -> Self {
        let has_patch = patch.as_ref().is_some_and(|patch| !patch.is_empty());
        trajectory.exit_status = *end.as_ref().unwrap_or(&ExitStatus::Unknown);
        let failure = end.err().filter(|_| !has_patch).map(|words| Failure {
            boundary: Boundary::Agent,
            kind: "imported".to_owned(),
            message: words.chars().take(MAX_WORDS).collect(),
            retryable: false,
        });
        Self { trajectory, patch, verdict: None, failure }
    }

    /// What is committed besides trajectory and patch.
    pub(crate) fn record(&self) -> RolloutRecord {
        let Trajectory { instance_id, sample, policy, steps, usage, .. } = &self.trajectory;
        let failed = self.failure.is_some();
        RolloutRecord {
            schema_version: ROLLOUT_SCHEMA_VERSION,
            key: RolloutKey { instance_id: instance_id.clone(), sample: *sample },
            policy: policy.clone(),
            status: if failed { RolloutStatus::Failed } else { RolloutStatus::Completed },
            exit_status: (!failed).then_some(self.trajectory.exit_status),
            turns: steps.len(),
            usage: *usage,
            empty_patch: self.patch.as_ref().is_none_or(Patch::is_empty),
            timings: Timings::default(),
            connections: None,
            verdict: self.verdict.clone(),
            failure: self.failure.clone(),
            failed_attempts: 0,
        }
    }
}
