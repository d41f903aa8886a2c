//! A sandbox that is a folder of the host, policies that follow a script, and a small repository.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use swegym_agent::{AgentError, CodeAct, Outcome, Scaffold, ScaffoldConfig};
use swegym_core::{
    ChatRequest, CommitId, Completion, InstanceId, Message, Problem, RepoName, Role, ToolCall, Trajectory,
    Usage,
};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::{
    Captured, ExecOutput, ExecRequest, ExecStatus, OutputLimit, Sandbox, SandboxError, Session, SessionSpec,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::session::HostSession;

/// Runs commands on the host, without any isolation.
pub(crate) struct HostSandbox {
    home: PathBuf,
}

#[async_trait]
impl Sandbox for HostSandbox {
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        let begun = Instant::now();
        let refused = |error: std::io::Error| SandboxError::Start {
            program: request.argv[0].clone(),
            message: error.to_string(),
        };
        let mut command = tokio::process::Command::new("bash");
        let merge = if request.merge_stderr { "exec \"$@\" 2>&1" } else { "exec \"$@\"" };
        command.args(["-c", merge, "bash"]).args(&request.argv);
        command.env_clear().env("HOME", &self.home).env("PATH", env!("PATH")).envs(&request.env);
        command.current_dir(request.cwd.as_deref().unwrap_or("/"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().map_err(refused)?;
        let group = child.id().map(|id| format!("-{id}"));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let run = async { tokio::join!(child.wait(), all(out), all(err)) };
        let Ok((status, out, err)) = tokio::time::timeout(request.time_limit, run).await else {
            let kill = std::process::Command::new("kill").args(["-KILL", "--"]).args(group).status();
            assert!(kill.is_ok_and(|status| status.success()));
            return Ok(ended(ExecStatus::TimedOut, Captured::default(), Captured::default(), begun));
        };
        let code = status?.code();
        let status = code.map_or(ExecStatus::Signaled(9), ExecStatus::Exited);
        let keep = |bytes| keep(bytes, request.output_limit);
        Ok(ended(status, keep(out), keep(err), begun))
    }

    async fn open_session(&self, spec: &SessionSpec) -> Result<Box<dyn Session>, SandboxError> {
        Ok(Box::new(HostSession::open(&self.home, spec)?))
    }

    async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        let bytes = std::fs::read(path).map_err(|error| refused("read", path, &error))?;
        Ok(bytes[..bytes.len().min(usize::try_from(limit).expect("limits are small"))].to_vec())
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        let folder = Path::new(path).parent().expect("paths are absolute");
        std::fs::create_dir_all(folder).map_err(|error| refused("write", path, &error))?;
        std::fs::write(path, content).map_err(|error| refused("write", path, &error))
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        Ok(())
    }
}

async fn all(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut stream = stream.expect("streams are pipes");
    stream.read_to_end(&mut bytes).await.expect("pipes can be read");
    bytes
}

pub(crate) fn keep(mut bytes: Vec<u8>, limit: OutputLimit) -> Captured {
    let mut rest = bytes.split_off(bytes.len().min(limit.head));
    let tail = rest.split_off(rest.len().saturating_sub(limit.tail));
    Captured { head: bytes, tail, dropped: rest.len() as u64 }
}

fn ended(status: ExecStatus, stdout: Captured, stderr: Captured, begun: Instant) -> ExecOutput {
    ExecOutput { status, stdout, stderr, wall: begun.elapsed(), cpu: Duration::ZERO, peak_memory: 0 }
}

fn refused(action: &'static str, path: &str, error: &std::io::Error) -> SandboxError {
    SandboxError::File {
        action,
        path: path.to_owned(),
        message: error.to_string(),
        errno: error.raw_os_error(),
    }
}

/// Answers with what a function makes of the number of the question, from 0; `None` is no answer, ever.
pub(crate) struct Script<F>(pub(crate) F);

#[async_trait]
impl<F: FnMut(usize) -> Option<Result<Completion, ModelError>> + Send> Policy for Script<F> {
    fn name(&self) -> &str {
        "script"
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        let number = request.messages.iter().filter(|message| message.role == Role::Assistant).count();
        match self.0(number) {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

/// Answers with what a function makes of the question.
pub(crate) struct Seeing<F>(pub(crate) F);

#[async_trait]
impl<F: FnMut(&ChatRequest<'_>) -> Result<Completion, ModelError> + Send> Policy for Seeing<F> {
    fn name(&self) -> &str {
        "seeing"
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        self.0(request)
    }
}

/// A policy that gives these answers, one after the other.
pub(crate) fn script(answers: Vec<Completion>) -> impl Policy {
    Script(move |number| {
        let ended = ModelError::ScriptEnded { answers: answers.len() };
        Some(answers.get(number).cloned().ok_or(ended))
    })
}

/// An answer that makes these calls, at the price of 10 tokens.
pub(crate) fn answer(calls: Vec<ToolCall>) -> Completion {
    Completion {
        usage: Usage { prompt_tokens: 7, completion_tokens: 3, cached_tokens: 0 },
        ..Completion::new(Message::calling("thought", calls), "tool_calls")
    }
}

/// A call whose arguments are this text.
pub(crate) fn raw_call(name: &str, arguments: &str) -> ToolCall {
    let mut call = ToolCall::new("id", name, &Value::Null);
    call.function.arguments = arguments.to_owned();
    call
}

pub(crate) fn bash(command: &str) -> ToolCall {
    ToolCall::new("id", "execute_bash", &json!({"command": command}))
}

pub(crate) fn edit(arguments: Value) -> ToolCall {
    ToolCall::new("id", "str_replace_editor", &arguments)
}

pub(crate) fn finish() -> ToolCall {
    ToolCall::new("id", "finish", &json!({}))
}

/// A repository of two commits in a folder that removes itself.
pub(crate) struct Workplace {
    folder: TempDir,
    pub(crate) problem: Problem,
    pub(crate) config: ScaffoldConfig,
}

impl Workplace {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let repo_dir = folder.path().join("testbed");
        std::fs::create_dir_all(folder.path().join("home")).expect("it is writable");
        std::fs::create_dir(&repo_dir).expect("it is writable");
        shell(&repo_dir, include_str!("repository.sh"));
        let base = shell(&repo_dir, "git rev-parse HEAD");
        let problem = Problem {
            instance_id: InstanceId::new("toy__toy-1").expect("it is valid"),
            repo: RepoName::new("toy/toy").expect("it is valid"),
            base_commit: CommitId::new(base.trim()).expect("git prints full ids"),
            problem_statement: "It is broken.".into(),
        };
        let config = ScaffoldConfig {
            repo_dir: repo_dir.to_str().expect("the path is UTF-8").to_owned(),
            ..ScaffoldConfig::default()
        };
        Self { folder, problem, config }
    }

    /// Absolute path of a file of the repository.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.config.repo_dir)
    }

    /// A path beside the repository.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The host, with a home folder of its own.
    pub(crate) fn sandbox(&self) -> HostSandbox {
        HostSandbox { home: self.beside("home") }
    }

    pub(crate) async fn run(&self, policy: impl Policy) -> Result<Outcome, AgentError> {
        let scaffold = CodeAct { config: self.config.clone(), ..CodeAct::default() };
        self.run_in(&scaffold, policy).await
    }

    pub(crate) async fn run_in(
        &self,
        scaffold: &dyn Scaffold,
        mut policy: impl Policy,
    ) -> Result<Outcome, AgentError> {
        let sandbox = self.sandbox();
        // Runners spawn rollouts, so they must be `Send`.
        let rollout: Pin<Box<dyn Future<Output = _> + Send + '_>> =
            scaffold.run(&self.problem, 3, &sandbox, &mut policy);
        rollout.await
    }

    /// Runs an answer with these calls, then finishes.
    pub(crate) async fn run_calls(&self, calls: Vec<ToolCall>) -> Outcome {
        let answers = vec![answer(calls), answer(vec![finish()])];
        self.run(script(answers)).await.expect("nothing is broken")
    }
}

/// Contents of the observations, in order.
pub(crate) fn observations(trajectory: &Trajectory) -> Vec<&str> {
    let messages = trajectory.messages.iter();
    messages.filter(|message| message.role == Role::Tool).map(|message| message.content.as_str()).collect()
}

/// Runs a script on the host, and fails with it.
pub(crate) fn shell(folder: &Path, script: &str) -> String {
    let output = std::process::Command::new("bash")
        .args(["-ec", script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", env!("PATH"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("bash is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
