//! The policy that knows the fix. It makes the gold patch by the agent's ordinary tools, one call an answer, and
//! reacts to what they say: what resolves an instance this way proves the whole way of a rollout.

use std::collections::VecDeque;

use async_trait::async_trait;
use serde_json::{Value, json};
use swegym_core::{ChatRequest, Completion, Patch, Role, ToolCall};

use crate::action::{EDITOR, EXECUTE_BASH, FINISH, calling};
use crate::shell::{git_apply, quote};
use crate::unified_diff::{self, Change, FileDiff, Hunk};
use crate::{ModelError, Policy};

/// How the tools begin an observation that reports an error.
const TOOL_ERROR: &str = "ERROR:";

/// Lines that are viewed above the first change.
const VIEWED_ABOVE: u64 = 10;

/// What there is to do.
#[derive(Debug, Clone)]
pub struct GoldTask {
    /// The fix.
    pub patch: Patch,
    /// Where the repository lies in the sandbox.
    pub repo_dir: String,
    /// Command that runs the tests when the fix is in place; blank runs none.
    pub test_command: String,
}

/// Applies the gold patch: files by the editor where it can make the change to the byte, else by `git apply`.
#[derive(Debug)]
pub struct GoldPolicy {
    repo_dir: String,
    files: Vec<FileDiff>,
    queue: VecDeque<Action>,
    fallback: Option<Fallback>,
    calls: u64,
}

#[derive(Debug)]
struct Action {
    sentence: String,
    tool: &'static str,
    arguments: Value,
    fallback: Option<Fallback>,
}

/// What is left to do for a file when an edit fails. Hunks are made bottom up, so the hunks left are the first
/// ones of the file, and their line numbers still hold.
#[derive(Debug, Clone, Copy)]
struct Fallback {
    file: usize,
    hunks: usize,
}

/// A hunk as the editor makes it.
struct Replacement {
    old: String,
    new: String,
}

impl GoldPolicy {
    /// Plans the whole way.
    pub fn new(task: GoldTask) -> Self {
        let mut policy = Self {
            repo_dir: task.repo_dir,
            files: Vec::new(),
            queue: VecDeque::new(),
            fallback: None,
            calls: 0,
        };
        match unified_diff::parse(task.patch.as_bytes()) {
            _ if task.patch.is_empty() => {}
            Some(files) => {
                policy.queue =
                    files.iter().enumerate().flat_map(|(index, file)| policy.plan(index, file)).collect();
                policy.files = files;
            }
            None => policy.queue.push_back(policy.apply(task.patch.as_bytes())),
        }
        if !task.test_command.trim().is_empty() {
            let command = format!("cd {} && {}", quote(&policy.repo_dir), task.test_command);
            policy.queue.push_back(bash("Run the tests.", command));
        }
        policy
    }

    fn plan(&self, index: usize, file: &FileDiff) -> Vec<Action> {
        let edits = match &file.change {
            Change::Edit(path) => self.edits(index, path, &file.hunks),
            Change::Create(path) => self.creation(index, path, &file.hunks).map(|creation| vec![creation]),
            Change::Other => None,
        };
        edits.unwrap_or_else(|| vec![self.apply(&file.part(usize::MAX))])
    }

    fn edits(&self, file: usize, path: &str, hunks: &[Hunk]) -> Option<Vec<Action>> {
        let absolute = self.absolute(path);
        let first = hunks.first()?;
        let above = first.start.saturating_sub(VIEWED_ABOVE).max(1);
        let below = first.start.saturating_add(first.lines).saturating_sub(1).max(above);
        let view = json!({"command": "view", "path": absolute, "view_range": [above, below]});
        let mut actions = vec![edit(format!("Look at `{path}`."), view, None)];
        for (index, hunk) in hunks.iter().enumerate().rev() {
            let Replacement { old, new } = replacement(hunk)?;
            let fallback = Fallback { file, hunks: index + 1 };
            let replace = json!({"command": "str_replace", "path": absolute, "old_str": old, "new_str": new});
            actions.push(edit(format!("Change `{path}` at line {}.", hunk.start), replace, Some(fallback)));
        }
        Some(actions)
    }

    fn creation(&self, file: usize, path: &str, hunks: &[Hunk]) -> Option<Action> {
        let [hunk] = hunks else { return None };
        let text = std::str::from_utf8(&hunk.new).ok()?;
        if !hunk.old.is_empty() || !survives_editor(&text.replace('\t', "")) {
            return None;
        }
        let create = json!({"command": "create", "path": self.absolute(path), "file_text": text});
        Some(edit(format!("Create `{path}`."), create, Some(Fallback { file, hunks: 1 })))
    }

    fn apply(&self, patch: &[u8]) -> Action {
        bash("Apply the change by git.", git_apply(&self.repo_dir, patch))
    }

    fn absolute(&self, path: &str) -> String {
        format!("{}/{path}", self.repo_dir.trim_end_matches('/'))
    }

    /// Gives up editing the file, and leaves what is left of it to git.
    fn fall_back(&mut self, fallback: Fallback) {
        let of_file = |action: &Action| action.fallback.is_some_and(|other| other.file == fallback.file);
        self.queue.retain(|action| !of_file(action));
        let rest = self.files[fallback.file].part(fallback.hunks);
        self.queue.push_front(self.apply(&rest));
    }
}

fn edit(sentence: String, arguments: Value, fallback: Option<Fallback>) -> Action {
    Action { sentence, tool: EDITOR, arguments, fallback }
}

fn bash(sentence: &str, command: String) -> Action {
    Action {
        sentence: sentence.to_owned(),
        tool: EXECUTE_BASH,
        arguments: json!({"command": command}),
        fallback: None,
    }
}

/// The hunk as a replacement that can only be made at the right place, or nothing. In a file that the hunk fits,
/// `old` is at that place; an editor that insists on a single occurrence then finds no other, except one that
/// overlaps it.
fn replacement(hunk: &Hunk) -> Option<Replacement> {
    let (mut old, mut new) = (std::str::from_utf8(&hunk.old).ok()?, std::str::from_utf8(&hunk.new).ok()?);
    // A text that begins and ends with a line break may overlap itself.
    while let (Some(shorter_old), Some(shorter_new)) = (old.strip_prefix('\n'), new.strip_prefix('\n')) {
        (old, new) = (shorter_old, shorter_new);
    }
    let fits = !old.is_empty() && old != new && survives_editor(old) && survives_editor(new);
    (fits && !overlaps_itself(old.as_bytes()))
        .then(|| Replacement { old: old.to_owned(), new: new.to_owned() })
}

/// Editors translate line ends, and some expand tabs.
fn survives_editor(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_control() || c == '\n')
}

/// Whether a shorter beginning of `text` is also its end, by the failure function of Knuth, Morris and Pratt.
fn overlaps_itself(text: &[u8]) -> bool {
    let mut borders = vec![0_usize; text.len()];
    let mut border = 0;
    for index in 1..text.len() {
        while border > 0 && text[index] != text[border] {
            border = borders[border - 1];
        }
        border += usize::from(text[index] == text[border]);
        borders[index] = border;
    }
    border > 0
}

#[async_trait]
impl Policy for GoldPolicy {
    fn name(&self) -> &str {
        "gold"
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        let observation = request.messages.iter().rfind(|message| message.role == Role::Tool);
        let failed = observation.is_some_and(|message| message.content.starts_with(TOOL_ERROR));
        if let Some(fallback) = self.fallback.take().filter(|_| failed) {
            self.fall_back(fallback);
        }
        let finish = || Action {
            sentence: "The change is in place.".to_owned(),
            tool: FINISH,
            arguments: json!({}),
            fallback: None,
        };
        let action = self.queue.pop_front().unwrap_or_else(finish);
        self.fallback = action.fallback;
        self.calls += 1;
        let call = ToolCall::new(format!("call_{}", self.calls), action.tool, &action.arguments);
        Ok(calling(action.sentence, call))
    }
}
