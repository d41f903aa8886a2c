//! What the shell and the editor do to files.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use swegym_agent::EditorVersion;
use swegym_core::ToolCall;

use crate::support::{Workplace, bash, edit, observations};

impl Workplace {
    /// An editor call on a file of the repository.
    fn edit(&self, command: &str, name: &str, mut arguments: Value) -> ToolCall {
        arguments["command"] = json!(command);
        arguments["path"] = json!(self.path(name));
        edit(arguments)
    }

    async fn observe(&self, calls: Vec<ToolCall>) -> Vec<String> {
        let outcome = self.run_calls(calls).await;
        observations(&outcome.trajectory).into_iter().map(str::to_owned).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("the file is there")
    }
}

#[tokio::test]
async fn all_commands_have_one_shell_and_a_new_one_when_it_ends() {
    let place = Workplace::new();
    let calls = vec![bash("cd src; X=1; ls"), bash("echo \"$X\"; ls nothing"), bash("exit 3"), bash("pwd")];
    let seen = place.observe(calls).await;
    let repo_dir = &place.config.repo_dir;
    assert_eq!(seen[0], format!("app.py\n[exit code 0 in {repo_dir}/src]"));
    assert!(seen[1].starts_with("1\nls: ") && seen[1].ends_with("/src]"), "{}", seen[1]);
    assert_eq!(seen[2], format!("[the shell has ended; the next command starts a new one in {repo_dir}]"));
    assert_eq!(seen[3], format!("{repo_dir}\n[exit code 0 in {repo_dir}]"));
}

fn bash_with(command: &str, more: Value) -> ToolCall {
    let mut arguments = more;
    arguments["command"] = json!(command);
    ToolCall::new("id", "execute_bash", &arguments)
}

#[tokio::test]
async fn a_command_that_outlasts_its_call_can_be_waited_for_spoken_to_and_ended() {
    let place = Workplace::new();
    let soon = || json!({"timeout": 0.2});
    let seen = place
        .observe(vec![
            bash(""),
            bash_with("echo first; read x; echo got $x; exec sleep 1000", soon()),
            bash("echo other"),
            bash_with("hello", json!({"is_input": "true", "timeout": "0.2"})),
            bash_with("", soon()),
        ])
        .await;
    assert_eq!(seen[0], "ERROR: no command runs");
    assert!(seen[1].starts_with("first\n[it still runs, since 0."), "{}", seen[1]);
    assert!(seen[2].ends_with("only one can run at a time, and the one before still does]"), "{}", seen[2]);
    assert!(seen[3].starts_with("got hello\n[it still runs"), "{}", seen[3]);
    assert!(seen[4].starts_with("[it still runs"), "{}", seen[4]);

    for (word, end) in [("ctrl+c", "[exit code 130 in "), ("kill", "[exit code 137 in ")] {
        let calls = vec![bash_with("sleep 1000", soon()), bash(word), bash("echo $?")];
        let seen = place.observe(calls).await;
        assert!(seen[1].contains(end), "{word}: {}", seen[1]);
        assert!(seen[2].contains("[exit code 0 in "), "{word}: {}", seen[2]);
    }
}

#[tokio::test]
async fn a_command_has_a_longest_time() {
    let mut place = Workplace::new();
    place.config.command_patience = Duration::from_millis(100);
    place.config.command_time_limit = Duration::from_millis(150);
    let calls = vec![bash("echo a; sleep 1000"), bash(""), bash("echo b")];
    let seen = place.observe(calls).await;
    assert!(seen[0].starts_with("a\n[it still runs"), "{}", seen[0]);
    assert!(seen[1].ends_with("[killed after 0.15 s, the longest that a command may take]"), "{}", seen[1]);
    assert!(seen[2].starts_with("b\n"), "{}", seen[2]);
}

#[tokio::test]
async fn a_command_in_the_form_of_openhands_is_echoed_and_interrupted_when_its_time_is_over() {
    let mut place = Workplace::new();
    place.config = place.config.openhands();
    place.config.command_patience = Duration::from_millis(100);
    place.config.command_time_limit = Duration::from_secs(1);
    let view = edit(json!({"command": "view", "path": "/not/there"}));
    let calls = vec![bash("cd src && echo a"), bash("sleep 1000"), view, bash("echo b\nfalse\necho c")];
    let seen = place.observe(calls).await;
    let repo_dir = &place.config.repo_dir;
    assert!(seen[0].starts_with("cd src && echo a\r\na\r\n[Python Interpreter: "), "{}", seen[0]);
    let end = format!("\nroot@openhands-workspace:{repo_dir}/src # \n[Command finished with exit code 0]");
    assert!(seen[0].ends_with(&end), "{}", seen[0]);
    let note = "[Command timed out after 1 seconds. SIGINT was sent to interrupt the command.]";
    assert!(seen[1].starts_with(&format!("sleep 1000\r\n\r\n\r\n{note}\r\n[Python")), "{}", seen[1]);
    assert!(seen[1].ends_with("[Command finished with exit code 130]"), "{}", seen[1]);
    assert!(seen[2].starts_with("ERROR:\n"), "{}", seen[2]);
    assert!(seen[3].starts_with("echo b\r\nb\r\nfalse\r\n\r\n[Python"), "{}", seen[3]);
    assert!(seen[3].ends_with("[Command finished with exit code 1]"), "{}", seen[3]);
}

#[tokio::test]
async fn a_command_may_be_longer_than_an_argument() {
    let place = Workplace::new();
    let text = "ü a  b\n".repeat(60_000);
    let command = format!("cat > long <<'END'\n{text}END\nX='a b'; printf '%s,' $X $# \"$*\"; (exit 5)");
    let seen = place.observe(vec![bash(&command)]).await;
    assert_eq!(seen[0], format!("a,b,0,,\n[exit code 5 in {}]", place.config.repo_dir));
    assert!(place.bytes("long") == text.as_bytes());
}

#[tokio::test]
async fn files_are_viewed_with_numbers() {
    let place = Workplace::new();
    let seen = place
        .observe(vec![
            place.edit("view", "src/app.py", json!({})),
            place.edit("view", "moved.txt", json!({"view_range": [2, 3]})),
            place.edit("view", "moved.txt", json!({"view_range": [4, -1], "old_str": null})),
            place.edit("view", "moved.txt", json!({"view_range": [5, 6]})),
            place.edit("view", "moved.txt", json!({"view_range": [1]})),
            place.edit("view", "data.bin", json!({})),
            place.edit("view", "nothing.txt", json!({})),
        ])
        .await;
    assert_eq!(seen[0], "     1\tdef f():\n     2\t\treturn 1\n");
    assert_eq!(seen[1], "     2\ttwo\n     3\tthree\n");
    assert_eq!(seen[2], "     4\tfour\n");
    assert!(seen[3].starts_with("ERROR: `view_range` starts at line 5"), "{}", seen[3]);
    assert!(seen[4].starts_with("ERROR: `view_range` must be a list of two"), "{}", seen[4]);
    assert!(seen[5].starts_with("ERROR: ") && seen[5].contains("not UTF-8"), "{}", seen[5]);
    assert!(seen[6].starts_with("ERROR: failed to read"), "{}", seen[6]);
}

#[tokio::test]
async fn directories_are_listed_two_levels_deep() {
    let place = Workplace::new();
    let calls = vec![
        bash("mkdir -p src/deep/deeper .hidden && touch src/deep/deeper/x .hidden/y src/.z"),
        place.edit("view", "", json!({})),
        place.edit("view", "src", json!({"view_range": [1, 2]})),
        place.edit("view", ".hidden", json!({})),
    ];
    let seen = place.observe(calls).await;
    let root = &place.config.repo_dir;
    let names: Vec<&str> =
        seen[1].lines().skip(1).map(|line| line.strip_prefix(root).expect("absolute paths")).collect();
    let expected = [
        "/README",
        "/crlf.txt",
        "/data.bin",
        "/dir ü",
        "/dir ü/a file.txt",
        "/gone.txt",
        "/moved.txt",
        "/noeol.txt",
        "/run.sh",
        "/src",
        "/src/app.py",
        "/src/deep",
        "/tracked.pyc",
    ];
    assert_eq!(names, expected);
    assert!(seen[2].starts_with("ERROR: `view_range` is for files"), "{}", seen[2]);
    assert!(seen[3].contains("/.hidden/y\n"), "{}", seen[3]);
}

#[tokio::test]
async fn files_are_created_but_not_overwritten() {
    let place = Workplace::new();
    let text = json!({"file_text": "a\r\n\tb"});
    let seen = place
        .observe(vec![
            place.edit("create", "new/folder/x.txt", text.clone()),
            place.edit("create", "new/folder/x.txt", json!({"file_text": "other"})),
            place.edit("create", "src", text.clone()),
            place.edit("create", "empty.txt", json!({"file_text": ""})),
            place.edit("create", "other.txt", json!({})),
            place.edit("view", "empty.txt", json!({})),
        ])
        .await;
    assert!(seen[0].starts_with("Created"), "{}", seen[0]);
    assert_eq!(place.bytes("new/folder/x.txt"), b"a\r\n\tb");
    assert!(seen[1].starts_with("ERROR: ") && seen[1].contains("exists"), "{}", seen[1]);
    assert!(seen[2].starts_with("ERROR: "), "{}", seen[2]);
    assert_eq!(place.bytes("empty.txt"), b"");
    assert_eq!(seen[4], "ERROR: `file_text` is missing");
    assert!(seen[5].contains("is an empty file"), "{}", seen[5]);
}

#[tokio::test]
async fn edits_keep_every_other_byte_and_can_be_undone() {
    let place = Workplace::new();
    let replace = |name: &str, old: &str, new: &str| {
        place.edit("str_replace", name, json!({"old_str": old, "new_str": new}))
    };
    let seen = place
        .observe(vec![
            replace("crlf.txt", "one\ntwo", "1\n2"),
            replace("noeol.txt", "newline", "end"),
            place.edit("insert", "src/app.py", json!({"insert_line": 1, "new_str": "\tx = 1"})),
            replace("src/app.py", "return 1", "return x"),
            place.edit("str_replace", "gone.txt", json!({"old_str": "gone\n"})),
        ])
        .await;
    assert!(seen.iter().all(|text| text.starts_with("Edited ")), "{seen:?}");
    assert!(seen[3].ends_with("     1\tdef f():\n     2\t\tx = 1\n     3\t\treturn x\n"), "{}", seen[3]);
    assert_eq!(place.bytes("crlf.txt"), b"1\r\n2\r\nthree\r\n");
    assert_eq!(place.bytes("noeol.txt"), b"no\nend");
    assert_eq!(place.bytes("src/app.py"), b"def f():\n\tx = 1\n\treturn x\n");
    assert_eq!(place.bytes("gone.txt"), b"");

    let undo = || place.edit("undo_edit", "src/app.py", json!({}));
    let seen = place
        .observe(vec![
            replace("src/app.py", "x = 1", "x = 2"),
            replace("src/app.py", "2", "3"),
            undo(),
            undo(),
            undo(),
        ])
        .await;
    assert!(seen[3].starts_with("Took back"), "{}", seen[3]);
    assert!(seen[4].starts_with("ERROR: ") && seen[4].contains("no edit to undo"), "{}", seen[4]);
    assert_eq!(place.bytes("src/app.py"), b"def f():\n\tx = 1\n\treturn x\n");
}

#[tokio::test]
async fn edits_that_cannot_be_done_say_why() {
    let place = Workplace::new();
    let cases = [
        (json!({"command": "str_replace", "path": "src/app.py", "old_str": "f"}), "must be absolute"),
        (json!({"command": "view", "path": "/a\0b"}), "NUL"),
        (json!({"command": "delete", "path": "/x"}), "must be one of view, create"),
        (json!({"path": "/x"}), "`command` is missing"),
        (json!({"command": "insert", "path": "/x", "new_str": "x", "insert_line": "3"}), "not a string"),
        (json!({"command": "insert", "path": "/x", "new_str": "x", "insert_line": -1}), "not the number -1"),
        (json!({"command": "str_replace", "path": place.path("src"), "old_str": "x"}), "failed to read"),
        (json!({"command": "str_replace", "path": place.path("data.bin"), "old_str": "x"}), "not UTF-8"),
        (
            json!({"command": "str_replace", "path": place.path("src/app.py"), "old_str": "return 2"}),
            "does not occur",
        ),
        (
            json!({"command": "str_replace", "path": place.path("src/app.py"), "old_str": "f"}),
            "at lines 1, 1;",
        ),
        (
            json!({"command": "insert", "path": place.path("src/app.py"), "new_str": "x", "insert_line": 3}),
            "has 2 lines",
        ),
    ];
    let seen = place.observe(cases.iter().map(|(arguments, _)| edit(arguments.clone())).collect()).await;
    for (seen, (arguments, expected)) in seen.iter().zip(&cases) {
        assert!(seen.starts_with("ERROR: ") && seen.contains(expected), "{arguments}: {seen}");
    }
    assert_eq!(place.bytes("src/app.py"), b"def f():\n\treturn 1\n");
}

#[tokio::test]
async fn the_editor_can_be_a_version_of_upstream() {
    let mut place = Workplace::new();
    place.config.editor = EditorVersion::Aci033;
    let seen = place
        .observe(vec![
            bash("mkdir -p docs/.hidden && touch docs/a"),
            place.edit("view", "docs", json!({})),
            place.edit("str_replace", "noeol.txt", json!({"old_str": " newline ", "new_str": " end "})),
            place.edit("undo_edit", "noeol.txt", json!({})),
            place.edit("create", "missing/x.txt", json!({"file_text": "x"})),
        ])
        .await;
    let docs = place.path("docs");
    let listing = format!(
        "Here's the files and directories up to 2 levels deep in {docs}, excluding hidden items:\n{docs}/\n{docs}/a\n\n\
         1 hidden files/directories in this directory are excluded. You can use 'ls -la {docs}' to see them."
    );
    assert_eq!(seen[1], listing);
    assert!(seen[2].contains("     1\tno\n     2\tend\nReview"), "{}", seen[2]);
    assert!(seen[3].ends_with("     1\tno\n     2\tnewline"), "{}", seen[3]);
    assert!(seen[4].starts_with("ERROR:\nRan into [Errno 2] No such file or directory"), "{}", seen[4]);
    assert_eq!(place.bytes("noeol.txt"), b"no\nnewline");
}

#[tokio::test]
async fn long_observations_lose_their_middle() {
    let mut place = Workplace::new();
    place.config.observation_limit = 40;
    let calls =
        vec![bash("seq 1 30 > numbers; seq 1 30; (exit 3)"), place.edit("view", "numbers", json!({}))];
    let seen = place.observe(calls).await;
    let shown =
        "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n[... 41 characters left out ...]\n4\n25\n26\n27\n28\n29\n30\n";
    assert_eq!(seen[0], format!("{shown}[exit code 3 in {}]", place.config.repo_dir));
    assert!(seen[1].contains(" characters left out ...]"), "{}", seen[1]);
}
