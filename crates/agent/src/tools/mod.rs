//! The tools that scaffolds offer. Each is a file: its specification, and what a call of it does.

mod arguments;
pub(crate) mod command;
mod edit;
mod editor;
mod finish;
mod shell;
mod think;
mod toolbox;
mod undo;

pub(crate) use arguments::Arguments;
pub use editor::{AciEditor, EditorError, EditorFiles, EditorVersion, Printed};
pub(crate) use toolbox::{Observed, Reply, ToolError, Toolbox, specs};
