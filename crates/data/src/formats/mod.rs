//! Ways in and out: rollouts in the formats of other programs.
//!
//! One module a format. Writers get one rollout at a time and hold nothing of it; readers take one row or file at a
//! time, and what they cannot read is said and left out.

mod atif;
mod chat;
mod conversations;
mod export;
mod files;
mod import;
mod inputs;
mod mini;
mod openhands;
mod predictions;
mod rollout;
mod sft;
mod swe_agent;
mod text;

pub use export::{
    Export, ExportFormat, ExportOptions, Unwanted, export_predictions, export_runs, export_sft,
};
pub use import::{ImportFormat, Imports, import_rollouts};
pub use sft::ToolFormat;

#[cfg(test)]
mod tests;
