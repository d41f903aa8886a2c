//! The file editor: texts in and out of the sandbox, byte for byte.

use std::io;

use serde_json::json;
use swegym_core::ToolSpec;
use swegym_sandbox::{ExecRequest, Sandbox, SandboxError};

use super::arguments::Arguments;
use super::edit::{Edited, insert, line_range, numbered, str_replace};
use super::toolbox::ToolError;
use super::undo::Undo;
use crate::ScaffoldConfig;

pub(super) const NAME: &str = "str_replace_editor";

const COMMANDS: [&str; 5] = ["view", "create", "str_replace", "insert", "undo_edit"];
/// Bytes of a file that is viewed or edited.
const FILE_LIMIT: u64 = 8 << 20;

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

/// The editor of one rollout: it remembers what can be undone.
#[derive(Default)]
pub(super) struct Editor {
    undo: Undo,
}

impl Editor {
    pub(super) async fn run(
        &mut self,
        sandbox: &dyn Sandbox,
        arguments: &Arguments,
    ) -> Result<String, ToolError> {
        let command = arguments.text("command")?;
        let path = absolute(arguments.text("path")?)?;
        match command {
            "view" => view(sandbox, path, arguments.optional_pair("view_range")?).await,
            "create" => create(sandbox, path, arguments.text("file_text")?).await,
            "str_replace" => {
                let (old, new) = (arguments.text("old_str")?, arguments.optional_text("new_str")?);
                let edit = |text: &str| str_replace(text, old, new.unwrap_or_default());
                self.edit(sandbox, path, edit).await
            }
            "insert" => {
                let (line, new) = (arguments.count("insert_line")?, arguments.text("new_str")?);
                self.edit(sandbox, path, |text| insert(text, line, new)).await
            }
            "undo_edit" => self.undo(sandbox, path).await,
            _ => Err(ToolError::refused(format!("`command` must be one of {}", COMMANDS.join(", ")))),
        }
    }

    async fn edit(
        &mut self,
        sandbox: &dyn Sandbox,
        path: &str,
        edit: impl Fn(&str) -> Result<Edited, String>,
    ) -> Result<String, ToolError> {
        let former = read(sandbox, path).await?;
        let edited = edit(&former).map_err(|why| ToolError::refused(format!("`{path}`: {why}")))?;
        sandbox.write_file(path, edited.text.as_bytes()).await?;
        self.undo.remember(path, former);
        Ok(format!("Edited {path}. Around the edit it now reads:\n{}", edited.snippet()))
    }

    async fn undo(&mut self, sandbox: &dyn Sandbox, path: &str) -> Result<String, ToolError> {
        let former = self.undo.latest(path);
        let former =
            former.ok_or_else(|| ToolError::refused(format!("`{path}`: there is no edit to undo")))?;
        sandbox.write_file(path, former.as_bytes()).await?;
        self.undo.forget_latest(path);
        Ok(format!("Took back the latest edit of {path}."))
    }
}

fn absolute(path: &str) -> Result<&str, ToolError> {
    if !path.starts_with('/') {
        Err(ToolError::refused("`path` must be absolute: it must start with `/`"))
    } else if path.contains('\0') {
        Err(ToolError::refused("`path` holds a NUL character"))
    } else {
        Ok(path)
    }
}

async fn view(sandbox: &dyn Sandbox, path: &str, range: Option<(i64, i64)>) -> Result<String, ToolError> {
    let text = match read(sandbox, path).await {
        Ok(text) => text,
        Err(why) => {
            return match (list(sandbox, path).await?, range) {
                (Some(listing), None) => Ok(listing),
                (Some(_), Some(_)) => {
                    Err(ToolError::refused("`view_range` is for files, not for directories"))
                }
                (None, _) => Err(why),
            };
        }
    };
    if text.is_empty() {
        return Ok(format!("{path} is an empty file."));
    }
    let lines = match range {
        None => 1..=usize::MAX,
        Some(range) => line_range(&text, range).map_err(ToolError::Refused)?,
    };
    Ok(numbered(&text, lines))
}

/// What lies in a directory; `None` when it is none.
async fn list(sandbox: &dyn Sandbox, path: &str) -> Result<Option<String>, ToolError> {
    // The slash makes `find` follow a link and fail on what is not a directory.
    let folder = format!("{}/", path.trim_end_matches('/'));
    let find = "-mindepth 1 -maxdepth 2 -name .* -prune -o -print".split(' ');
    let argv = ["find", &folder].into_iter().chain(find);
    let output = sandbox.exec(&ExecRequest::new(argv)).await?;
    if !output.success() {
        return Ok(None);
    }
    let text = output.stdout.to_text();
    let mut entries: Vec<&str> = text.lines().collect();
    entries.sort_unstable();
    Ok(Some(format!("{folder} holds, two levels deep and without hidden entries:\n{}\n", entries.join("\n"))))
}

async fn create(sandbox: &dyn Sandbox, path: &str, text: &str) -> Result<String, ToolError> {
    match sandbox.read_file(path, 0).await {
        Err(SandboxError::File { errno: Some(errno), .. }) if is_absent(errno) => {}
        Err(SandboxError::File { .. }) | Ok(_) => {
            return Err(ToolError::refused(format!("`{path}` exists: `create` does not overwrite it")));
        }
        Err(error) => return Err(error.into()),
    }
    sandbox.write_file(path, text.as_bytes()).await?;
    Ok(format!("Created {path} with {} lines.", text.lines().count()))
}

fn is_absent(errno: i32) -> bool {
    io::Error::from_raw_os_error(errno).kind() == io::ErrorKind::NotFound
}

async fn read(sandbox: &dyn Sandbox, path: &str) -> Result<String, ToolError> {
    let bytes = sandbox.read_file(path, FILE_LIMIT + 1).await?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(ToolError::refused(format!(
            "`{path}` has more than {FILE_LIMIT} bytes: too many for the editor"
        )));
    }
    String::from_utf8(bytes)
        .map_err(|_| ToolError::refused(format!("`{path}` is not UTF-8 text: the editor cannot handle it")))
}
