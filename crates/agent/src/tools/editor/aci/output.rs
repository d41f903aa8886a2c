//! What upstream's editor tells the policy.

use super::text::expand_tabs;
use crate::EditorVersion;

/// Characters of a response beyond which it is cut.
const RESPONSE_LIMIT: usize = 16_000;
/// Lines shown on each side of an edit.
pub(super) const WINDOW: usize = 4;

const FILE_NOTICE_010: &str = "<response clipped><NOTE>To save on context only part of this file has been shown to you. You should retry this tool after you have searched inside the file with `grep -n` in order to find the line numbers of what you are looking for.</NOTE>";
const FILE_NOTICE_033: &str = "<response clipped><NOTE>Due to the max output limit, only part of this file has been shown to you. You should retry this tool after you have searched inside the file with `grep -n` in order to find the line numbers of what you are looking for.</NOTE>";
const FOLDER_NOTICE_033: &str = "<response clipped><NOTE>Due to the max output limit, only part of this directory has been shown to you. You should use `ls -la` instead to view large directories incrementally.</NOTE>";
const NOTICE_033: &str = "<response clipped><NOTE>Due to the max output limit, only part of the full response has been shown to you.</NOTE>";

/// What is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Other,
}

/// The beginning of a response that is too long, with a notice.
pub(super) fn cut(version: EditorVersion, kind: Kind, text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(RESPONSE_LIMIT) else {
        return text.to_owned();
    };
    let notice = match kind {
        _ if version < EditorVersion::Aci033 => FILE_NOTICE_010,
        Kind::File => FILE_NOTICE_033,
        Kind::Folder => FOLDER_NOTICE_033,
        Kind::Other => NOTICE_033,
    };
    format!("{}{notice}", &text[..end])
}

/// Lines with their numbers. Upstream splits at `\n`: behind a final line break stands one more number.
pub(super) fn numbered(version: EditorVersion, text: &str, what: &str, first: usize) -> String {
    let text = cut(version, Kind::File, text);
    let text = if version < EditorVersion::Aci033 { expand_tabs(&text) } else { text.as_str().into() };
    let lines = text.split('\n').enumerate().map(|(index, line)| format!("{:6}\t{line}\n", index + first));
    format!("Here's the result of running `cat -n` on {what}:\n{}", lines.collect::<String>())
}

/// The response to `str_replace`.
pub(super) fn replaced(version: EditorVersion, path: &str, snippet: &str, first: usize) -> String {
    let lines = numbered(version, snippet, &format!("a snippet of {path}"), first);
    format!(
        "The file {path} has been edited. {lines}Review the changes and make sure they are as expected. Edit the \
         file again if necessary."
    )
}

/// The response to `insert`.
pub(super) fn inserted(version: EditorVersion, path: &str, snippet: &str, after: usize) -> String {
    let first = after.saturating_sub(WINDOW) + 1;
    let lines = numbered(version, snippet, "a snippet of the edited file", first);
    format!(
        "The file {path} has been edited. {lines}Review the changes and make sure they are as expected (correct \
         indentation, no duplicate lines, etc). Edit the file again if necessary."
    )
}

/// The refusal of a text that does not occur.
pub(super) fn absent(old: &str, path: &str) -> String {
    format!("No replacement was performed, old_str `{old}` did not appear verbatim in {path}.")
}

/// The refusal of a text that occurs more than once.
pub(super) fn ambiguous(old: &str, lines: &[usize]) -> String {
    format!(
        "No replacement was performed. Multiple occurrences of old_str `{old}` in lines {lines:?}. Please ensure it \
         is unique."
    )
}
