//! The commands that apply patches, with the git and patch of this machine.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use swegym_harness::{ApplyCommand, ApplySequence};
use tempfile::TempDir;

use crate::compare::{same, text};

const FORK: ApplySequence = ApplySequence::SWEGYM;
/// Marks an executable file in the records.
const EXECUTABLE: &str = "\0x";

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let recorded = record["expected"].as_object().ok_or("`expected` is no object")?;
    for (key, recorded) in recorded {
        let tree = Tree::new(record).map_err(|error| format!("failed to make a tree: {error}"))?;
        let before = tree.files();
        let mut ours = Map::new();
        match key.as_str() {
            "fork_sequence" => {
                let by = tree.apply(&FORK)?.map(|by| by.trim_end_matches(" --fuzz=5"));
                ours.insert("applied_by".to_owned(), json!(by));
            }
            "git_apply_allow_empty" => tree.try_one(&FORK.commands[0], &mut ours)?,
            "git_apply" => tree.try_one(&ApplySequence::SWEBENCH4.commands[0], &mut ours)?,
            "git_apply_reject" => tree.try_one(&ApplySequence::SWEBENCH4.commands[1], &mut ours)?,
            "patch_fuzz5" => tree.try_one(&FORK.commands[1], &mut ours)?,
            other => return Err(format!("`{other}` is not known")),
        }
        ours.insert("changed".to_owned(), changes(&before, &tree.files()));
        same(key, &Value::Object(ours), recorded)?;
    }
    Ok(())
}

/// A repository with the files of a record, and a patch beside it.
struct Tree {
    folder: TempDir,
    patch: Vec<u8>,
}

impl Tree {
    fn new(record: &Value) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let tree = Self { folder, patch: text(record, "patch")?.as_bytes().to_vec() };
        fs::create_dir(tree.repository()).map_err(|error| error.to_string())?;
        for (name, content) in record["files"].as_object().ok_or("`files` is no object")? {
            tree.write(name, content.as_str().ok_or("a file is no text")?)
                .map_err(|error| error.to_string())?;
        }
        for args in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message=base"]] {
            let argv = [&["git", "-c", "user.name=n", "-c", "user.email=e@localhost"], args].concat();
            if tree.run(&argv)? != 0 {
                return Err(format!("{argv:?} failed"));
            }
        }
        Ok(tree)
    }

    fn write(&self, name: &str, content: &str) -> std::io::Result<()> {
        let path = self.repository().join(name);
        path.parent().map(fs::create_dir_all).transpose()?;
        fs::write(&path, content.trim_end_matches(EXECUTABLE))?;
        let mode = if content.ends_with(EXECUTABLE) { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode))
    }

    fn repository(&self) -> std::path::PathBuf {
        self.folder.path().join("testbed")
    }

    /// Runs the sequence, and says what applied the patch.
    fn apply(&self, sequence: &ApplySequence) -> Result<Option<&'static str>, String> {
        for command in sequence.commands {
            if self.run(command.argv)? == 0 && command.applied_by.is_some() {
                return Ok(command.applied_by);
            }
        }
        Ok(None)
    }

    fn try_one(&self, command: &ApplyCommand, ours: &mut Map<String, Value>) -> Result<(), String> {
        ours.insert("exit_code".to_owned(), self.run(command.argv)?.into());
        Ok(())
    }

    /// Exit code of a command in the repository.
    fn run(&self, argv: &[&str]) -> Result<i32, String> {
        let failed = |error: std::io::Error| format!("failed to run `{}`: {error}", argv[0]);
        let patch_file = self.folder.path().join("patch.diff");
        fs::write(&patch_file, &self.patch).map_err(failed)?;
        let here = |word: &&str| {
            if Some(*word) == FORK.patch_file { patch_file.clone() } else { Path::new(word).into() }
        };
        let mut command = Command::new(argv[0]);
        command.args(argv[1..].iter().map(here).collect::<Vec<std::path::PathBuf>>());
        command.current_dir(self.repository()).env_clear().env("LC_ALL", "C");
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut pipe) = child.stdin.take() {
            // A command that reads its patch from the file may have ended already.
            let _ = pipe.write_all(&self.patch);
        }
        Ok(child.wait().map_err(failed)?.code().unwrap_or(-1))
    }

    /// Content of every file outside of `.git`.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        collect(&self.repository(), "", &mut files);
        files
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            if name != ".git" {
                collect(&entry.path(), &format!("{name}/"), files);
            }
            continue;
        }
        let content = fs::read(entry.path()).unwrap_or_default();
        let executable = if about.permissions().mode() & 0o111 != 0 { EXECUTABLE } else { "" };
        files.insert(name, format!("{}{executable}", String::from_utf8_lossy(&content)));
    }
}

fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Value {
    let removed = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name, Value::Null));
    let written = after.iter().filter(|(name, content)| before.get(*name) != Some(content));
    let written = written.map(|(name, content)| (name, Value::from(content.as_str())));
    removed.chain(written).map(|(name, content)| (name.clone(), content)).collect::<Map<_, _>>().into()
}
