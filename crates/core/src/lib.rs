//! The vocabulary of swegym: what an instance, a patch, a trajectory, a verdict and an event are.
//!
//! Everything here is plain data: no files, no network, no async, no command line. Every other crate
//! speaks in these types, and the ones that reach disk carry a `schema_version`.

mod chat;
mod connections;
pub mod diff;
mod event;
mod failed_call;
mod failure;
pub mod fncall;
mod ids;
mod instance;
mod patch;
pub mod python;
mod record;
mod recorder;
mod trajectory;
mod turns;
mod verdict;

pub use chat::{
    ChatRequest, Completion, CompletionTokens, Message, Role, ToolCall, ToolCallFunction, ToolSpec, Usage,
};
pub use connections::{CONNECTIONS_SCHEMA_VERSION, Connection, ConnectionCounts, Connections};
pub use event::{Event, EventKind, RunCounts};
pub use failed_call::{CallFailureKind, FailedCall, PartialAnswer};
pub use failure::{Boundary, Failure, FailureClass};
pub use ids::{CommitId, IdError, InstanceId, RepoName, RolloutKey};
pub use instance::{Environment, Grading, Instance, Problem, RowError, TestCommand};
pub use patch::Patch;
pub use record::{ROLLOUT_SCHEMA_VERSION, RolloutRecord, RolloutStatus, Timings};
pub use recorder::{Addition, Answer, Call, CallFailure, Recorder, SentMessage, sent_prompt};
pub use trajectory::{ExitStatus, Step, StepTokens, TRAJECTORY_SCHEMA_VERSION, Trajectory};
pub use turns::merged_turns;
pub use verdict::{
    Evidence, Finding, PatchOutcome, ProfileResult, TestGroup, TestStatus, TestStatuses, TestsReport,
    VERDICT_SCHEMA_VERSION, Verdict,
};
