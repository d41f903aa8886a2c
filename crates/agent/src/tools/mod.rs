//! The tools that scaffolds offer. Each is a file: its specification, and what a call of it does.

mod arguments;
mod edit;
mod editor;
mod finish;
mod shell;
mod toolbox;
mod undo;

pub use editor::{AciEditor, EditorError, EditorFiles, EditorVersion, Printed};
pub(crate) use toolbox::{Reply, Toolbox, specs};
