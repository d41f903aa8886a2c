//! The file editor: ours, or one of upstream's.

mod aci;
mod files;
mod sane;
mod version;

use serde_json::json;
use swegym_core::ToolSpec;
use swegym_sandbox::Sandbox;

use self::files::SandboxFiles;
use self::sane::SaneEditor;
use super::arguments::Arguments;
use super::toolbox::ToolError;
use crate::ScaffoldConfig;
use crate::python::rstrip;

pub use aci::{AciEditor, EditorError};
pub use files::{EditorFiles, Printed};
pub use version::EditorVersion;

pub(super) const NAME: &str = "str_replace_editor";

const COMMANDS: [&str; 5] = ["view", "create", "str_replace", "insert", "undo_edit"];

pub(super) fn spec(config: &ScaffoldConfig) -> ToolSpec {
    let description = "Shows, creates and edits text files.\n\
        - `view` shows a file with line numbers, or only the lines of `view_range`; of a directory it lists \
        what lies in it, two levels deep, without hidden entries.\n\
        - `create` makes a new file of `file_text`; it does not overwrite.\n\
        - `str_replace` replaces `old_str` by `new_str`. `old_str` must match the file exactly, white space \
        included, at one place only; without `new_str` it is deleted.\n\
        - `insert` puts `new_str` after line `insert_line`; 0 is the beginning of the file.\n\
        - `undo_edit` takes back the latest `str_replace` or `insert` in the file.";
    ToolSpec {
        name: NAME.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {
                "command": {"type": "string", "enum": COMMANDS, "description": "What to do."},
                "path": {
                    "type": "string",
                    "description": format!("Absolute path of the file or directory, such as {}/setup.py.", config.repo_dir),
                },
                "file_text": {"type": "string", "description": "For `create`: the content of the file."},
                "old_str": {"type": "string", "description": "For `str_replace`: the text to replace."},
                "new_str": {"type": "string", "description": "For `str_replace` and `insert`: the new text."},
                "insert_line": {"type": "integer", "description": "For `insert`: number of the line before the new text."},
                "view_range": {
                    "type": "array",
                    "items": {"type": "integer"},
                    "description": "For `view`: first and last line, counted from 1; -1 as the last is the end of the file.",
                },
            },
            "required": ["command", "path"],
        }),
    }
}

/// The editor of one rollout.
pub(super) enum Editor {
    Sane(SaneEditor),
    Aci(AciEditor),
}

impl Editor {
    pub(super) fn new(version: EditorVersion) -> Self {
        AciEditor::new(version).map_or_else(|| Self::Sane(SaneEditor::default()), Self::Aci)
    }

    pub(super) async fn run(
        &mut self,
        sandbox: &dyn Sandbox,
        arguments: &Arguments,
    ) -> Result<String, ToolError> {
        let files = SandboxFiles(sandbox);
        match self {
            Self::Sane(editor) => editor.run(&files, arguments).await,
            Self::Aci(editor) => match editor.call(&files, arguments.members()).await {
                Ok(text) => Ok(rstrip(&text).to_owned()),
                Err(EditorError::Files(error)) => Err(error.into()),
                Err(error) => Ok(rstrip(&error.observation()).to_owned()),
            },
        }
    }
}
