//! The gold policy, with tools that behave like the agent's: its work must be what `git apply` of the patch does.

#![expect(clippy::unwrap_used, reason = "helpers of tests: an error is a failed test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::Value;
use swegym_core::{ChatRequest, Message, Patch, ToolCall};
use swegym_model::{GoldPolicy, GoldTask, Policy};
use swegym_testkit::toy_repo;
use tempfile::TempDir;

/// Names of the editor commands and tools that were used, in order.
type Used = Vec<String>;

/// Lets the policy work on `repo`, with an editor that fails the n-th of its calls where `broken` says so.
fn work(patch: &[u8], repo: &Path, test_command: &str, broken: &dyn Fn(usize) -> bool) -> Used {
    let mut policy = GoldPolicy::new(GoldTask {
        patch: Patch::new(patch),
        repo_dir: repo.to_str().unwrap().to_owned(),
        test_command: test_command.to_owned(),
    });
    let mut messages = Vec::new();
    let mut used = Used::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    while used.last().is_none_or(|last| last != "finish") {
        assert!(used.len() < 100, "the policy must come to an end: {used:?}");
        let request = ChatRequest::new(&messages, &[]);
        let message = runtime.block_on(policy.complete(&request)).unwrap().message;
        assert!(!message.content.is_empty(), "each step says what it is for");
        assert_eq!(message.tool_calls.len(), 1, "one call a step: {message:?}");
        let call = &message.tool_calls[0];
        let arguments: Value = serde_json::from_str(&call.function.arguments).unwrap();
        let observation = match call.function.name.as_str() {
            "str_replace_editor" if broken(used.len()) => "ERROR: the editor is broken".to_owned(),
            "str_replace_editor" => edit(&arguments).unwrap_or_else(|error| format!("ERROR: {error}")),
            "execute_bash" => shell(arguments["command"].as_str().unwrap()),
            _ => String::new(),
        };
        used.push(name(call, &arguments));
        let result = Message::tool_result(call, observation);
        messages.extend([message, result]);
    }
    used
}

fn name(call: &ToolCall, arguments: &Value) -> String {
    match call.function.name.as_str() {
        "str_replace_editor" => arguments["command"].as_str().unwrap().to_owned(),
        other => other.to_owned(),
    }
}

/// Like many editors it counts occurrences without overlaps, so the policy must not rely on that count alone.
fn edit(arguments: &Value) -> Result<String, String> {
    let field = |name: &str| arguments[name].as_str().ok_or(format!("no `{name}`"));
    let path = Path::new(field("path")?);
    let read = || fs::read_to_string(path).map_err(|error| error.to_string());
    match field("command")? {
        "view" => {
            let text = read()?;
            let last = arguments["view_range"][1].as_u64().unwrap();
            let lines = text.lines().count() as u64;
            if last <= lines { Ok(text) } else { Err(format!("line {last} of {lines}")) }
        }
        "create" if path.exists() => Err("the file exists".to_owned()),
        "create" => {
            fs::write(path, field("file_text")?).map(|()| String::new()).map_err(|error| error.to_string())
        }
        "str_replace" => {
            let (text, old) = (read()?, field("old_str")?);
            match text.matches(old).count() {
                1 => fs::write(path, text.replacen(old, field("new_str")?, 1))
                    .map_err(|error| error.to_string())?,
                count => return Err(format!("{count} occurrences")),
            }
            Ok("edited".to_owned())
        }
        other => Err(format!("unexpected command {other}")),
    }
}

fn shell(command: &str) -> String {
    let output = Command::new("bash").arg("-c").arg(command).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The patch between two states of the file `a b.txt`, as git makes it.
fn diff(old: Option<&[u8]>, new: Option<&[u8]>, context: u32) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .current_dir(dir.path())
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
        let output = command.args(arguments).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        output.stdout
    };
    put(dir.path(), old);
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    let tree = String::from_utf8(git(&["write-tree"])).unwrap();
    put(dir.path(), new);
    git(&["add", "--all"]);
    git(&["diff", "--cached", "--binary", &format!("--unified={context}"), tree.trim()])
}

fn put(dir: &Path, content: Option<&[u8]>) {
    let path = dir.join("a b.txt");
    match content {
        Some(content) => fs::write(path, content).unwrap(),
        None => drop(fs::remove_file(path)),
    }
}

/// Works on a directory with the file in its old state; gives the file's new state and the tools used.
fn outcome(old: Option<&[u8]>, patch: &[u8], broken: &dyn Fn(usize) -> bool) -> (Option<Vec<u8>>, Used) {
    let dir = TempDir::new().unwrap();
    put(dir.path(), old);
    let used = work(patch, dir.path(), "", broken);
    (fs::read(dir.path().join("a b.txt")).ok(), used)
}

#[test]
fn the_toy_task_is_done_by_the_editor() {
    let repo = toy_repo();
    let used = work(repo.gold_patch.as_bytes(), repo.path(), "touch tested", &|_| false);
    assert_eq!(used, ["view", "str_replace", "execute_bash", "finish"]);
    assert!(fs::read_to_string(repo.path().join("toy/calc.py")).unwrap().contains("if values else 0"));
    assert!(repo.path().join("tested").exists(), "the tests run in the repository");
}

#[test]
fn each_kind_of_change_is_made() {
    let many: String = (0..60).map(|number| format!("line {number}\n")).collect();
    let changed = many.replace("line 5\n", "five\n").replace("line 30\n", "").replace("line 59\n", "line 59");
    let cases: [(Option<&str>, Option<&str>, &[&str]); 8] = [
        (Some(&many), Some(&changed), &["view", "str_replace", "str_replace", "str_replace"]),
        (None, Some("new\n\ttext"), &["create"]),
        (None, Some(""), &["execute_bash"]),
        (Some("gone\n"), None, &["execute_bash"]),
        (Some("a\r\nb\r\n"), Some("a\r\nc\r\n"), &["execute_bash"]),
        (Some("\ta\n"), Some("\tb\n"), &["execute_bash"]),
        (Some(""), Some("first\n"), &["execute_bash"]),
        (Some("bin\0ary"), Some("bin\0\u{1}ary"), &["execute_bash"]),
    ];
    for (old, new, tools) in cases {
        let (old, new) = (old.map(str::as_bytes), new.map(str::as_bytes));
        let patch = diff(old, new, 3);
        let (result, used) = outcome(old, &patch, &|_| false);
        assert_eq!(used[..used.len() - 1], *tools, "{old:?} -> {new:?}");
        assert_eq!(result.as_deref(), new, "{old:?} -> {new:?}");
    }
}

#[test]
fn an_editor_that_breaks_half_way_leaves_the_rest_to_git() {
    let old: String = (0..60).map(|number| format!("{}\n", number % 7)).collect::<String>() + "end\n";
    let lines: Vec<_> = old.lines().collect();
    let edited = |at: &[usize]| {
        let line = |(index, line): (usize, &&str)| {
            if at.contains(&index) { "new\n".to_owned() } else { format!("{line}\n") }
        };
        lines.iter().enumerate().map(line).collect::<String>()
    };
    let new = edited(&[3, 25, 58]);
    let patch = diff(Some(old.as_bytes()), Some(new.as_bytes()), 3);
    for broken_from in 0..4 {
        let (result, used) = outcome(Some(old.as_bytes()), &patch, &|call| call >= broken_from);
        assert_eq!(result.as_deref(), Some(new.as_bytes()), "{used:?}");
        assert_eq!(used.iter().filter(|tool| *tool == "execute_bash").count(), 1, "{used:?}");
    }
}

#[test]
fn hostile_patches_end_like_others() {
    let dir = TempDir::new().unwrap();
    for patch in [
        &b""[..],
        b"\n \n",
        b"no patch at all",
        b"diff --git a/../../x b/../../x\n--- a/../../x\n+++ b/../../x\n@@ -1 +1 @@\n-a\n+b\n",
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -18446744073709551615 +1 @@\n-a\n+b\n",
        b"\xff\xfe\0END_OF_PATCH\nEND_OF_PATCH\n$(touch pwned)\n",
        b"END_OF_PATCH\ntouch pwned\n",
    ] {
        let used = work(patch, dir.path(), "", &|_| false);
        assert_eq!(used.last().map(String::as_str), Some("finish"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{patch:?}");
    }
}

/// Few different lines, so that texts repeat and overlap.
fn text() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        20 => prop::sample::select(vec!["", "a", "b", "aa", "  a", "ü"]).prop_map(str::to_owned),
        20 => "[a-z]{6}",
        1 => prop::sample::select(vec!["\tb", "a\r"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(line, 0..40)
}

fn join(lines: &[String], newline_at_end: bool) -> Vec<u8> {
    let text = lines.join("\n");
    let newline = if newline_at_end && !lines.is_empty() { "\n" } else { "" };
    (text + newline).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_result_is_what_the_patch_says(
        lines in text(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, text()), 1..4),
        newlines in any::<(bool, bool)>(),
        context in 1..4_u32,
        broken_from in 0..8_usize,
    ) {
        let mut changed = lines.clone();
        for (at, removed, added) in edits {
            let start = at.index(changed.len() + 1);
            let end = (start + removed).min(changed.len());
            changed.splice(start..end, added.into_iter().take(2));
        }
        let (old, new) = (join(&lines, newlines.0), join(&changed, newlines.1));
        let patch = diff(Some(&old), Some(&new), context);
        for broken_from in [broken_from, usize::MAX] {
            let (result, used) = outcome(Some(&old), &patch, &|call| call >= broken_from);
            prop_assert_eq!(result.as_deref(), Some(&new[..]), "{:?}\n{}", used, String::from_utf8_lossy(&patch));
        }
    }
}
