//! Files of OpenHands: `output.jsonl` and `output.with_completions.jsonl.gz`.

mod events;
mod history;
mod read;
mod report;
mod v1;
mod write;

pub(crate) use read::read;
pub(crate) use write::OpenHands;
