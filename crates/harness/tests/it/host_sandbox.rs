//! A sandbox without walls: commands run on the host, in a folder that stands for `/`. For predictions that are
//! known to be harmless.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use swegym_sandbox::{Captured, ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

pub(crate) struct HostSandbox {
    root: TempDir,
}

impl HostSandbox {
    /// With these files, committed, at `/testbed`.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let sandbox = Self { root: tempfile::tempdir().unwrap() };
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

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        Ok(())
    }
}
