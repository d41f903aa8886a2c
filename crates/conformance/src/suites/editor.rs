//! `editor`: the versions of upstream's editor, on a temporary folder of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use async_trait::async_trait;
use serde_json::{Value, json};
use swegym_agent::{AciEditor, EditorError, EditorFiles, EditorVersion, Printed};
use swegym_sandbox::SandboxError;
use tempfile::TempDir;

use crate::compare::{same, text};

const VERSIONS: [(&str, EditorVersion); 4] = [
    ("aci_0.1.0", EditorVersion::Aci010),
    ("aci_0.1.1", EditorVersion::Aci011),
    ("aci_0.1.2", EditorVersion::Aci012),
    ("aci_0.3.3", EditorVersion::Aci033),
];
/// Begins the listing of a folder, whose order before 0.3.3 is that of the file system.
const LISTING: &str = "Here's the files and directories";

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let recorded = record["expected"].as_object().ok_or("`expected` is no object")?;
    if let Some(unknown) = recorded.keys().find(|key| !VERSIONS.iter().any(|(name, _)| name == key)) {
        return Err(format!("`{unknown}` is not known"));
    }
    for (name, version) in VERSIONS.into_iter().filter(|(name, _)| recorded.contains_key(*name)) {
        let expected = of_version(recorded, name)?;
        let folder = Folder::new(record)?;
        let before = folder.files()?;
        let outputs = folder.run(version, record)?;
        let after = folder.files()?;
        let after = if after == before { json!("unchanged") } else { json!(after) };
        let sorted = version < EditorVersion::Aci033;
        same(
            &format!("{name}.outputs"),
            &listings(&outputs, sorted),
            &listings(&expected["outputs"], sorted),
        )?;
        same(&format!("{name}.files_after"), &after, &expected["files_after"])?;
    }
    Ok(())
}

/// What is recorded for a version, which may be a reference to another.
fn of_version<'a>(recorded: &'a serde_json::Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    let mut found = recorded.get(name);
    for _ in VERSIONS {
        match found {
            Some(Value::String(other)) => {
                found = recorded.get(&other.replace("same_as_", "aci_"));
            }
            Some(value) => return Ok(value),
            None => break,
        }
    }
    Err(format!("nothing is recorded for `{name}`"))
}

/// Outputs with the lines of listings sorted, where their order says nothing.
fn listings(outputs: &Value, sorted: bool) -> Value {
    let shown = |output: &Value| match output.as_str() {
        Some(text) if sorted && text.starts_with(LISTING) => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            lines[1..].sort_unstable();
            lines.join("\n").into()
        }
        _ => output.clone(),
    };
    outputs.as_array().into_iter().flatten().map(shown).collect()
}

/// The files of a record in a folder of their own.
struct Folder(TempDir);

impl Folder {
    fn new(record: &Value) -> Result<Self, String> {
        let broken = |error: std::io::Error| format!("failed to make a folder: {error}");
        // Not hidden, as temporary folders are otherwise: listings leave hidden folders out.
        let folder = tempfile::Builder::new().prefix("editor").tempdir().map_err(broken)?;
        for (name, content) in record["files"].as_object().ok_or("`files` is no object")? {
            let path = folder.path().join(name);
            path.parent().map(fs::create_dir_all).transpose().map_err(broken)?;
            fs::write(path, bytes(content)?).map_err(broken)?;
        }
        Ok(Self(folder))
    }

    fn path(&self) -> String {
        self.0.path().to_string_lossy().into_owned()
    }

    /// Runs the calls; paths are shown as the record has them.
    fn run(&self, version: EditorVersion, record: &Value) -> Result<Value, String> {
        let (here, root) = (self.path(), text(record, "root")?);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| format!("failed to start: {error}"))?;
        let mut editor = AciEditor::new(version).ok_or("this version is not upstream's")?;
        let mut outputs = Vec::new();
        for call in record["commands"].as_array().ok_or("`commands` is no list")? {
            let call = moved(call, root, &here);
            let parameters = call.as_object().ok_or("a call is no object")?;
            let output = match runtime.block_on(editor.call(&HostFiles, parameters)) {
                Ok(text) => json!(text),
                Err(EditorError::Raised { kind, message }) => json!({"__error__": kind, "message": message}),
                Err(error) => json!(error.observation()),
            };
            outputs.push(moved(&output, &here, root));
        }
        Ok(Value::Array(outputs))
    }

    fn files(&self) -> Result<BTreeMap<String, Value>, String> {
        let mut files = BTreeMap::new();
        collect(self.0.path(), "", &mut files).map_err(|error| format!("failed to list: {error}"))?;
        Ok(files)
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Value>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
            continue;
        }
        let content = match String::from_utf8(fs::read(entry.path())?) {
            Ok(text) => json!(text),
            Err(error) => json!({"hex": hex(error.as_bytes())}),
        };
        files.insert(name, content);
    }
    Ok(())
}

fn bytes(content: &Value) -> Result<Vec<u8>, String> {
    if let Some(text) = content.as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    let hex = text(content, "hex")?.as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).map_err(|error| error.to_string())?;
        u8::from_str_radix(pair, 16).map_err(|error| error.to_string())
    };
    hex.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value with another folder in all of its texts.
fn moved(value: &Value, from: &str, to: &str) -> Value {
    match value {
        Value::String(text) => text.replace(from, to).into(),
        Value::Array(items) => items.iter().map(|item| moved(item, from, to)).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, item)| (key.clone(), moved(item, from, to))).collect()
        }
        other => other.clone(),
    }
}

/// The files of this machine.
struct HostFiles;

#[async_trait]
impl EditorFiles for HostFiles {
    async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        let mut bytes = fs::read(path).map_err(|error| refused("read", path, &error))?;
        bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    async fn write(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        fs::write(path, content).map_err(|error| refused("write", path, &error))
    }

    async fn shell(&self, script: &str) -> Result<Printed, SandboxError> {
        let output = Command::new("sh").args(["-c", script]).output();
        let output = output.map_err(|error| refused("run", script, &error))?;
        Ok(Printed {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            success: output.status.success(),
        })
    }
}

fn refused(action: &'static str, path: &str, error: &std::io::Error) -> SandboxError {
    let message = error.to_string();
    SandboxError::File { action, path: path.to_owned(), message, errno: error.raw_os_error() }
}
