//! Files of OpenHands: `output.jsonl` and `output.with_completions.jsonl.gz`.

mod events;
mod history;
mod read;
mod report;
mod v1;
mod view;
mod write;

pub(crate) use read::read;
pub(crate) use report::imported_verdict;
pub(crate) use write::OpenHands;
