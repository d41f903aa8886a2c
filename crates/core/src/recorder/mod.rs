//! Calls of a model that somebody else's program makes, kept as one trajectory.
//!
//! What must stay true: every prompt can be read back, whatever conversations the program holds at the same time.

mod recording;
mod sent;

pub use recording::{Addition, Answer, Call, CallFailure, Recorder};
pub use sent::{SentMessage, sent_prompt};
