//! The files of a repository as they come out of a sandbox.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use swegym_sandbox::{ExecOutput, ExecRequest, OutputLimit, Sandbox};

use crate::AgentCause;

/// Bytes of all Python files together that are read; what comes after them is not found.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of all names together.
const MAX_NAMES: usize = 16 << 20;
/// The largest file that is read.
const MAX_FILE: u64 = 2 << 20;
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Names of all files of a repository, and the text of those in Python.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Paths in the repository, sorted.
    pub(crate) paths: Vec<String>,
    /// Python files that are UTF-8, by path.
    pub(crate) sources: BTreeMap<String, Arc<str>>,
}

impl Snapshot {
    /// Reads what git knows of in `repo_dir`. Names that are not UTF-8 are left out, and so are links.
    ///
    /// # Errors
    /// [`AgentCause::Repository`] when git or tar fail, [`AgentCause::Sandbox`] when the sandbox does.
    pub(crate) async fn read(sandbox: &dyn Sandbox, repo_dir: &str) -> Result<Self, AgentCause> {
        let run = async |script: &str, limit: usize| {
            let request = ExecRequest::shell(script)
                .in_folder(repo_dir)
                .within(TIME_LIMIT)
                .keeping(OutputLimit { head: limit, tail: 0 });
            Ok::<ExecOutput, AgentCause>(sandbox.exec(&request).await?)
        };
        let listed = run("git ls-files -z", MAX_NAMES).await?;
        if !listed.success() {
            let message = crate::clip::last(listed.stderr.to_text().trim(), 500).to_owned();
            return Err(AgentCause::Repository { message });
        }
        let names =
            listed.stdout.head.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
        let mut paths: Vec<String> = names.filter(|name| is_plain(name)).map(str::to_owned).collect();
        paths.sort_unstable();
        paths.dedup();
        // A file that git knows may be gone: the archive is then made of the others.
        let archive =
            "git ls-files -z -- '*.py' | tar --create --null --no-recursion --files-from=- --file=- 2>&-";
        let archive = run(archive, MAX_BYTES).await?.stdout.head;
        let sources = tokio::task::spawn_blocking(move || unpack(&archive)).await.unwrap_or_default();
        Ok(Self { paths, sources })
    }
}

/// Whether a path stays in the repository.
pub(crate) fn is_plain(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git"))
}

/// The archive may be cut off anywhere.
fn unpack(archive: &[u8]) -> BTreeMap<String, Arc<str>> {
    let mut sources = BTreeMap::new();
    let mut archive = tar::Archive::new(archive);
    let Ok(entries) = archive.entries() else { return sources };
    for entry in entries.map_while(Result::ok) {
        let size = entry.size();
        if !entry.header().entry_type().is_file() || size > MAX_FILE {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let mut text = String::new();
        let whole = entry.take(MAX_FILE).read_to_string(&mut text).is_ok_and(|read| read as u64 == size);
        let path = String::from_utf8(path).ok().filter(|path| is_plain(path) && path.ends_with(".py"));
        if let Some(path) = path.filter(|_| whole) {
            sources.insert(path, text.into());
        }
    }
    sources
}
