//! What happened, as a list of events, and what follows from it: whether the agent is stuck, what is left out when
//! the conversation is too long, and what the model reads of it. Nothing here does anything: all of it is functions
//! of events and messages.

mod event;
mod log;
mod observation;
mod stuck;
mod window;

pub use event::{Event, EventKind, Source};
pub(crate) use log::{End, History};
pub use observation::{Shown, observation_text};
pub use stuck::{StuckReport, stuck};
pub use window::{Window, conversation_window};
