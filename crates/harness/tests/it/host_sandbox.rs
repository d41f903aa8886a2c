//! A sandbox without walls: commands run on the host, in a folder that stands for `/`. For predictions that are
//! known to be harmless.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use swegym_core::{Instance, Patch, TestCommand};
use swegym_harness::{EvalLimits, Evaluation, Survey, evaluate};
use swegym_sandbox::{
    Captured, Change, ChangeKind, ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError,
};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

pub(crate) struct HostSandbox {
    root: TempDir,
    /// Files before the first command, by their paths inside.
    image: OnceLock<BTreeMap<String, Vec<u8>>>,
}

/// Surveys a copy of the sandbox, and evaluates in the sandbox itself.
pub(crate) async fn surveyed_and_evaluated(
    sandbox: &HostSandbox,
    instance: &Instance,
    command: &TestCommand,
    prediction: &Patch,
    limits: &EvalLimits,
) -> Evaluation {
    let survey = Survey::of(&sandbox.copy(), Arc::new(instance.clone())).await.unwrap();
    evaluate(sandbox, &survey, command, prediction, limits).await.unwrap()
}

impl HostSandbox {
    /// With these files, committed, at `/testbed`.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let sandbox = Self::empty();
        fs::create_dir(sandbox.path("/tmp")).unwrap();
        fs::create_dir(sandbox.path("/testbed")).unwrap();
        for (name, content) in files {
            sandbox.write(name, content);
        }
        sandbox.host_git(&["init", "-q"]);
        sandbox.host_git(&["add", "-A"]);
        sandbox.host_git(&["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "base"]);
        sandbox
    }

    fn empty() -> Self {
        Self { root: tempfile::tempdir().unwrap(), image: OnceLock::new() }
    }

    fn copy(&self) -> Self {
        let copy = Self::empty();
        let all = self.root.path().join(".");
        let status = std::process::Command::new("cp").arg("-a").arg(all).arg(copy.root.path()).status();
        assert!(status.unwrap().success());
        copy
    }

    /// Every file and link below `/testbed` that is not git's own, with its content.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path("/testbed")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
                let inside = Path::new("/").join(path.strip_prefix(self.root.path()).unwrap());
                match kind.is_dir() {
                    true if inside.ends_with(".git") => {}
                    true => folders.push(path),
                    false => {
                        let content = match kind.is_symlink() {
                            true => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
                            false => fs::read(&path).unwrap(),
                        };
                        files.insert(inside.to_str().unwrap().to_owned(), content);
                    }
                }
            }
        }
        files
    }

    /// Where a file of the repository is on the host.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path(&format!("/testbed/{name}"))
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.file(name)).ok()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside.trim_start_matches('/'))
    }

    fn host_git(&self, args: &[&str]) {
        let mut command = std::process::Command::new("git");
        command.args(args).current_dir(self.path("/testbed"));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        assert!(command.status().unwrap().success());
    }

    fn start(&self, request: &ExecRequest) -> std::io::Result<Child> {
        let argv: Vec<_> =
            request
                .argv
                .iter()
                .map(|word| {
                    if word.starts_with("/tmp/") {
                        self.path(word).display().to_string()
                    } else {
                        word.clone()
                    }
                })
                .collect();
        let mut command = Command::new("sh");
        command.args(["-c", if request.merge_stderr { "exec \"$@\" 2>&1" } else { "exec \"$@\"" }, "sh"]);
        command.args(argv).envs(&request.env).kill_on_drop(true);
        command.current_dir(self.path(request.cwd.as_deref().unwrap_or("/testbed")));
        let stdin = if request.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }
}

#[async_trait]
impl Sandbox for HostSandbox {
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        self.image.get_or_init(|| self.files());
        let mut child = self.start(request)?;
        let (mut pipe, content) = (child.stdin.take(), request.stdin.clone().unwrap_or_default());
        let feed = async move {
            if let Some(pipe) = &mut pipe {
                pipe.write_all(&content).await.ok();
            }
        };
        let run = async { tokio::join!(feed, child.wait_with_output()).1 };
        let captured = |head| Captured { head, ..Captured::default() };
        let (status, stdout, stderr) = match tokio::time::timeout(request.time_limit, run).await {
            Ok(output) => {
                let output = output?;
                (ExecStatus::Exited(output.status.code().unwrap()), output.stdout, output.stderr)
            }
            Err(_) => (ExecStatus::TimedOut, Vec::new(), Vec::new()),
        };
        Ok(ExecOutput {
            status,
            stdout: captured(stdout),
            stderr: captured(stderr),
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            peak_memory: 0,
        })
    }

    async fn read_file(&self, path: &str, _limit: u64) -> Result<Vec<u8>, SandboxError> {
        Ok(fs::read(self.path(path))?)
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        let content = match std::str::from_utf8(content) {
            Ok(text) => text.replace("/testbed", &self.path("/testbed").display().to_string()).into_bytes(),
            Err(_) => content.to_vec(),
        };
        Ok(fs::write(self.path(path), content)?)
    }

    async fn unpack(&self, archive: &[u8], path: &str) -> Result<(), SandboxError> {
        let unpack = ExecRequest::new(["tar", "-x", "-f", "-"]).in_folder(path).with_stdin(archive);
        assert!(self.exec(&unpack).await?.success());
        Ok(())
    }

    async fn changes(&self) -> Result<Vec<Change>, SandboxError> {
        let (image, now) = (self.image.get_or_init(|| self.files()), self.files());
        let gone = image.keys().filter(|path| !now.contains_key(*path));
        let gone = gone.map(|path| (path, ChangeKind::Deleted));
        let other = now.iter().filter_map(|(path, content)| match image.get(path) {
            Some(old) if old == content => None,
            Some(_) => Some((path, ChangeKind::Modified)),
            None => Some((path, ChangeKind::Added)),
        });
        let change = |(path, kind): (&String, _)| Change { path: path.clone().into_bytes(), kind };
        Ok(gone.chain(other).map(change).collect())
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        Ok(())
    }
}
