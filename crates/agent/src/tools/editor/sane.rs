//! Our editor: texts in and out, byte for byte.

use std::io;

use swegym_sandbox::SandboxError;

use super::COMMANDS;
use super::files::{EditorFiles, quoted};
use crate::tools::arguments::Arguments;
use crate::tools::edit::{Edited, insert, line_range, numbered, str_replace};
use crate::tools::toolbox::ToolError;
use crate::tools::undo::Undo;

/// Bytes of a file that is viewed or edited.
const FILE_LIMIT: u64 = 8 << 20;

/// The editor of one rollout: it remembers what can be undone.
#[derive(Default)]
pub(crate) struct SaneEditor {
    undo: Undo,
}

impl SaneEditor {
    pub(super) async fn run(
        &mut self,
        files: &dyn EditorFiles,
        arguments: &Arguments,
    ) -> Result<String, ToolError> {
        let command = arguments.text("command")?;
        let path = absolute(arguments.text("path")?)?;
        match command {
            "view" => view(files, path, arguments.optional_pair("view_range")?).await,
            "create" => create(files, path, arguments.text("file_text")?).await,
            "str_replace" => {
                let (old, new) = (arguments.text("old_str")?, arguments.optional_text("new_str")?);
                let edit = |text: &str| str_replace(text, old, new.unwrap_or_default());
                self.edit(files, path, edit).await
            }
            "insert" => {
                let (line, new) = (arguments.count("insert_line")?, arguments.text("new_str")?);
                self.edit(files, path, |text| insert(text, line, new)).await
            }
            "undo_edit" => self.undo(files, path).await,
            _ => Err(ToolError::refused(format!("`command` must be one of {}", COMMANDS.join(", ")))),
        }
    }

    async fn edit(
        &mut self,
        files: &dyn EditorFiles,
        path: &str,
        edit: impl Fn(&str) -> Result<Edited, String>,
    ) -> Result<String, ToolError> {
        let former = read(files, path).await?;
        let edited = edit(&former).map_err(|why| ToolError::refused(format!("`{path}`: {why}")))?;
        files.write(path, edited.text.as_bytes()).await?;
        self.undo.remember(path, former);
        Ok(format!("Edited {path}. Around the edit it now reads:\n{}", edited.snippet()))
    }

    async fn undo(&mut self, files: &dyn EditorFiles, path: &str) -> Result<String, ToolError> {
        let former = self.undo.latest(path);
        let former =
            former.ok_or_else(|| ToolError::refused(format!("`{path}`: there is no edit to undo")))?;
        files.write(path, former.as_bytes()).await?;
        self.undo.take_latest(path);
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

async fn view(files: &dyn EditorFiles, path: &str, range: Option<(i64, i64)>) -> Result<String, ToolError> {
    let text = match read(files, path).await {
        Ok(text) => text,
        Err(why) => {
            return match (list(files, path).await?, range) {
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
async fn list(files: &dyn EditorFiles, path: &str) -> Result<Option<String>, ToolError> {
    // The slash makes `find` follow a link and fail on what is not a directory.
    let folder = format!("{}/", path.trim_end_matches('/'));
    let find = r"-mindepth 1 -maxdepth 2 -name '.*' -prune -o -print";
    let printed = files.shell(&format!("find {} {find}", quoted(&folder))).await?;
    if !printed.success {
        return Ok(None);
    }
    let mut entries: Vec<&str> = printed.stdout.lines().collect();
    entries.sort_unstable();
    Ok(Some(format!("{folder} holds, two levels deep and without hidden entries:\n{}\n", entries.join("\n"))))
}

async fn create(files: &dyn EditorFiles, path: &str, text: &str) -> Result<String, ToolError> {
    match files.read(path, 0).await {
        Err(SandboxError::File { errno: Some(errno), .. }) if is_absent(errno) => {}
        Err(SandboxError::File { .. }) | Ok(_) => {
            return Err(ToolError::refused(format!("`{path}` exists: `create` does not overwrite it")));
        }
        Err(error) => return Err(error.into()),
    }
    files.write(path, text.as_bytes()).await?;
    Ok(format!("Created {path} with {} lines.", text.lines().count()))
}

fn is_absent(errno: i32) -> bool {
    io::Error::from_raw_os_error(errno).kind() == io::ErrorKind::NotFound
}

async fn read(files: &dyn EditorFiles, path: &str) -> Result<String, ToolError> {
    let bytes = files.read(path, FILE_LIMIT + 1).await?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(ToolError::refused(format!(
            "`{path}` has more than {FILE_LIMIT} bytes: too many for the editor"
        )));
    }
    String::from_utf8(bytes)
        .map_err(|_| ToolError::refused(format!("`{path}` is not UTF-8 text: the editor cannot handle it")))
}
