//! `str_replace_editor` as the package openhands-aci has it, quirks included.
//!
//! What must stay true: for the same files and calls, the texts are upstream's to the character, and so are the files
//! afterwards. Known differences: no linter (`enable_linting` is taken and does nothing), nothing is converted to
//! Markdown, encodings other than UTF-8 are never guessed, a file of more than 10 MiB is refused by all versions, a
//! fractional `insert_line` is refused by all, and what can be undone is limited in size.

mod disk;
mod edit;
mod listing;
mod output;
mod raised;
mod range;
mod text;

use serde_json::{Map, Value};

pub use raised::EditorError;

use self::disk::{Kind, converted_suffix, kind, normalized, read, write};
use self::edit::{Edit, insert_010, insert_033, replace_010, replace_033};
use self::output::{inserted, numbered, replaced};
use self::range::{invalid_range, range_010, view_range_033};
use super::files::EditorFiles;
use crate::EditorVersion;
use crate::python::{is_true, str_of, type_name};
use crate::tools::undo::Undo;

const PARAMETERS: [&str; 8] =
    ["command", "path", "file_text", "view_range", "old_str", "new_str", "insert_line", "enable_linting"];
/// Edits of a file that 0.3.3 remembers.
const HISTORY_033: usize = 10;

/// The editor of one rollout: it remembers what can be undone.
pub struct AciEditor {
    version: EditorVersion,
    undo: Undo,
}

/// The parameters of a call; null is as good as absent.
#[derive(Clone, Copy)]
struct Call<'a> {
    parameters: &'a Map<String, Value>,
    command: &'a Value,
}

impl<'a> Call<'a> {
    fn get(self, name: &str) -> Option<&'a Value> {
        self.parameters.get(name).filter(|value| !value.is_null())
    }

    /// What must be there; and, but for 0.3.3, must not be empty.
    fn required(self, version: EditorVersion, name: &str) -> Result<&'a Value, EditorError> {
        let given = self.get(name).filter(|value| version >= EditorVersion::Aci033 || is_true(value));
        given.ok_or_else(|| EditorError::missing(&str_of(self.command), name))
    }
}

impl AciEditor {
    /// An editor of this version; `None` for [`EditorVersion::Sane`], which is none of upstream's.
    pub fn new(version: EditorVersion) -> Option<Self> {
        let undo = match version {
            EditorVersion::Sane => return None,
            EditorVersion::Aci033 => Undo::per_file(HISTORY_033),
            _ => Undo::default(),
        };
        Some(Self { version, undo })
    }

    /// Does what the parameters say; the result is the text for the policy.
    ///
    /// # Errors
    /// [`EditorError`], where upstream refuses or raises an exception, and when the files cannot be reached.
    pub async fn call(
        &mut self,
        files: &dyn EditorFiles,
        parameters: &Map<String, Value>,
    ) -> Result<String, EditorError> {
        let (command, path) = signature(self.version, parameters)?;
        let Value::String(path) = path else {
            let kind = type_name(path);
            return Err(EditorError::type_error(format!(
                "argument should be a str or an os.PathLike object where __fspath__ returns a str, not '{kind}'"
            )));
        };
        let path = &normalized(path);
        let call = Call { parameters, command };
        let found = self.validate(files, call, path).await?;
        match command.as_str() {
            Some("view") if found == Kind::Folder => self.view_folder(files, call, path).await,
            Some("view") => self.view(files, call, path).await,
            Some("create") => self.create(files, call, path).await,
            Some("str_replace") => self.str_replace(files, call, path).await,
            Some("insert") => self.insert(files, call, path).await,
            Some("undo_edit") => self.undo_edit(files, path).await,
            _ => Err(EditorError::Refused(format!(
                "Unrecognized command {}. The allowed commands for the oh_editor tool are: view, create, \
                 str_replace, insert, undo_edit",
                str_of(command)
            ))),
        }
    }

    async fn validate(
        &self,
        files: &dyn EditorFiles,
        call: Call<'_>,
        path: &str,
    ) -> Result<Kind, EditorError> {
        let refused = |hint: &str| Err(EditorError::invalid("path", path, hint));
        if !path.starts_with('/') {
            let hint = "The path should be an absolute path, starting with `/`.";
            return match self.version {
                EditorVersion::Aci033 => refused(hint),
                // Upstream suggests the very path that it refuses.
                _ => refused(&format!("{hint} Maybe you meant {path}?")),
            };
        }
        let found = kind(files, path).await?;
        match (call.command.as_str(), found) {
            (Some("create"), Kind::Folder | Kind::File) => {
                return refused(&format!(
                    "File already exists at: {path}. Cannot overwrite files using command `create`."
                ));
            }
            (Some("create"), Kind::Absent(_)) => {}
            (_, Kind::Absent(_)) => {
                return refused(&format!("The path {path} does not exist. Please provide a valid path."));
            }
            (Some("view"), _) => return Ok(found),
            (_, Kind::Folder) => {
                return refused(&format!(
                    "The path {path} is a directory and only the `view` command can be used on directories."
                ));
            }
            (_, Kind::File) => {}
        }
        match converted_suffix(self.version, path) {
            Some(suffix) => refused(&format!(
                "The path {path} points to a binary file ({suffix}) and only the `view` command can be used on \
                 supported binary files."
            )),
            None => Ok(found),
        }
    }

    async fn view_folder(
        &self,
        files: &dyn EditorFiles,
        call: Call<'_>,
        path: &str,
    ) -> Result<String, EditorError> {
        match call.get("view_range").filter(|range| is_true(range)) {
            None => listing::list(self.version, files, path).await,
            Some(range) => Err(invalid_range(
                range,
                "The `view_range` parameter is not allowed when `path` points to a directory.",
            )),
        }
    }

    async fn view(&self, files: &dyn EditorFiles, call: Call<'_>, path: &str) -> Result<String, EditorError> {
        if converted_suffix(self.version, path).is_some() {
            return Err(EditorError::Refused(format!(
                "Error in converting file to Markdown: there is no converter. Please use Python code to read {path}"
            )));
        }
        let content = read(self.version, files, path).await?.text;
        let Some(range) = call.get("view_range").filter(|range| is_true(range)) else {
            return Ok(numbered(self.version, &content, path, 1));
        };
        match self.version {
            EditorVersion::Aci033 => view_range_033(&content, path, range),
            version => {
                let (first, lines) = range_010(&content, range)?;
                Ok(numbered(version, &lines, path, first))
            }
        }
    }

    async fn create(
        &mut self,
        files: &dyn EditorFiles,
        call: Call<'_>,
        path: &str,
    ) -> Result<String, EditorError> {
        let text = call.required(self.version, "file_text").map_err(|error| match self.version {
            EditorVersion::Aci010 | EditorVersion::Aci011 => {
                let message = "No active exception to reraise".to_owned();
                EditorError::Raised { kind: "RuntimeError", message }
            }
            _ => error,
        })?;
        let Value::String(text) = text else {
            return Err(self.create_of_no_text(files, path, text).await?);
        };
        write(files, path, text).await?;
        // Upstream remembers the new text, so that undoing its creation succeeds and changes nothing.
        self.undo.remember(path, text.clone());
        Ok(format!("File created successfully at: {path}"))
    }

    /// 0.3.3 opens the file before it sees that there is nothing to write.
    async fn create_of_no_text(
        &self,
        files: &dyn EditorFiles,
        path: &str,
        text: &Value,
    ) -> Result<EditorError, EditorError> {
        let kind = type_name(text);
        let message = match self.version {
            EditorVersion::Aci033 => {
                write(files, path, "").await?;
                format!("write() argument must be str, not {kind}")
            }
            _ => format!("data must be str, not {kind}"),
        };
        Ok(EditorError::type_error(message).while_trying_to("write to", path))
    }

    async fn str_replace(
        &mut self,
        files: &dyn EditorFiles,
        call: Call<'_>,
        path: &str,
    ) -> Result<String, EditorError> {
        let old = call.required(self.version, "old_str")?;
        let new = call.get("new_str");
        if self.version >= EditorVersion::Aci011 && new == Some(old) {
            let hint = "No replacement was performed. `new_str` and `old_str` must be different.";
            return Err(EditorError::invalid("new_str", &str_of(old), hint));
        }
        let content = read(self.version, files, path).await?;
        let edit = match self.version {
            EditorVersion::Aci033 => replace_033(path, &content.text, old, new)?,
            version => replace_010(version, path, &content.text, old, new)?,
        };
        let after = content.bytes(&edit.after);
        write(files, path, &after).await?;
        self.undo.remember(path, edit.before);
        self.check_written(path, &after)?;
        Ok(replaced(self.version, path, &edit.snippet, edit.line))
    }

    async fn insert(
        &mut self,
        files: &dyn EditorFiles,
        call: Call<'_>,
        path: &str,
    ) -> Result<String, EditorError> {
        let Some(line) = call.get("insert_line") else {
            return Err(EditorError::missing("insert", "insert_line"));
        };
        let new = call.required(self.version, "new_str")?;
        let content = read(self.version, files, path).await.map_err(|error| match self.version {
            EditorVersion::Aci033 => error,
            // Upstream wraps the error twice.
            _ => error.while_trying_to("read", path),
        })?;
        let Edit { before, after, snippet, line } = match self.version {
            EditorVersion::Aci033 => insert_033(&content.text, line, new)?,
            _ => insert_010(&content.text, line, new)?,
        };
        let after = content.bytes(&after);
        write(files, path, &after).await?;
        self.check_written(path, &after)?;
        self.undo.remember(path, before);
        Ok(inserted(self.version, path, &snippet, line))
    }

    /// 0.3.3 reads what it wrote, and may find it to be binary then.
    fn check_written(&self, path: &str, after: &str) -> Result<(), EditorError> {
        match self.version {
            EditorVersion::Aci033 => disk::check_text_033(path, after.as_bytes()),
            _ => Ok(()),
        }
    }

    async fn undo_edit(&mut self, files: &dyn EditorFiles, path: &str) -> Result<String, EditorError> {
        let current = match self.version {
            EditorVersion::Aci033 => Some(read(self.version, files, path).await?),
            _ => None,
        };
        let former = self.undo.take_latest(path);
        let former =
            former.ok_or_else(|| EditorError::Refused(format!("No edit history found for {path}.")))?;
        let bytes = current.map_or_else(|| former.clone(), |current| current.bytes(&former));
        write(files, path, &bytes).await?;
        let lines = numbered(self.version, &former, path, 1);
        Ok(format!("Last edit to {path} undone successfully. {lines}"))
    }
}

/// Checks the names of the parameters, as calling a function of Python does.
fn signature(
    version: EditorVersion,
    parameters: &Map<String, Value>,
) -> Result<(&Value, &Value), EditorError> {
    let known = if version == EditorVersion::Aci010 { PARAMETERS.len() - 1 } else { PARAMETERS.len() };
    let raised = |what: String| Err(EditorError::type_error(format!("file_editor() {what}")));
    if let Some(name) = parameters.keys().find(|name| !PARAMETERS[..known].contains(&name.as_str())) {
        return raised(format!("got an unexpected keyword argument '{name}'"));
    }
    match (parameters.get("command"), parameters.get("path")) {
        (Some(command), Some(path)) => Ok((command, path)),
        (None, None) => raised("missing 2 required positional arguments: 'command' and 'path'".to_owned()),
        (None, _) => raised("missing 1 required positional argument: 'command'".to_owned()),
        (_, None) => raised("missing 1 required positional argument: 'path'".to_owned()),
    }
}

#[cfg(test)]
mod tests;
