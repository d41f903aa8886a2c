//! What the shell and the editor do to files.

use std::fs;

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
async fn every_command_has_a_shell_of_its_own() {
    let place = Workplace::new();
    let calls = vec![bash("cd src; X=1; ls"), bash("echo \"$X\"; ls nothing")];
    let seen = place.observe(calls).await;
    assert_eq!(seen[0], "app.py\n[exit code 0]");
    assert!(seen[1].starts_with("\nls: ") && seen[1].ends_with("\n[exit code 2]"), "{}", seen[1]);
}

#[tokio::test]
async fn a_command_may_be_longer_than_an_argument() {
    let place = Workplace::new();
    let text = "ü a  b\n".repeat(60_000);
    let command = format!("cat > long <<'END'\n{text}END\nX='a b'; printf '%s,' $X $# \"$*\"; exit 5");
    let seen = place.observe(vec![bash(&command)]).await;
    assert_eq!(seen[0], "a,b,0,,\n[exit code 5]");
    assert!(place.bytes("long") == text.as_bytes());
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed() {
    let place = Workplace::new();
    let slow = ToolCall::new("", "execute_bash", &json!({"command": "sleep 1000 & wait", "timeout": 0.2}));
    let seen = place.observe(vec![slow]).await;
    assert_eq!(seen[0], "[timed out after 0.2 s; the command and everything it started were killed]");
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
    let calls = vec![bash("seq 1 30 > numbers; seq 1 30; exit 3"), place.edit("view", "numbers", json!({}))];
    let seen = place.observe(calls).await;
    assert_eq!(
        seen[0],
        "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n[... 41 characters left out ...]\n4\n25\n26\n27\n28\n29\n30\n[exit code 3]"
    );
    assert!(seen[1].contains(" characters left out ...]"), "{}", seen[1]);
}
