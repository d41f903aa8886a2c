//! The scaffold `outside`: somebody else's agent, run as a program in the sandbox, its calls recorded by the gateway.

use std::fs::DirEntry;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use swegym_core::{ExitStatus, InstanceId, Problem, Trajectory};
use swegym_model::gateway::{Gateway, GatewayLimits, Recording};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, OutputLimit, Sandbox, SandboxError};

use crate::clip::last;
use crate::patch::conclude;
use crate::{AgentCause, AgentError, Outcome, Scaffold, ScaffoldConfig};

/// Where the agent's own files lie in the sandbox.
pub const AGENT_DIR: &str = "/opt/agent";
/// Where the problem statement lies: not in the repository, where it would become part of the patch.
const PROBLEM_FILE: &str = "/tmp/swegym/problem.md";
const OUTPUT_LIMIT: OutputLimit = OutputLimit { head: 256 << 10, tail: 768 << 10 };
/// Characters of its output that go into an error.
const MESSAGE_LIMIT: usize = 1000;
/// The agent's programs come after those of the image: what the repository is tested with must not change.
const PREPARE: &str = r#"export PATH="$PATH:/opt/agent/bin" HOME="${HOME:-/root}""#;

/// Takes what an agent printed.
pub type OutputSink = Arc<dyn Fn(&Problem, u32, &[u8]) + Send + Sync>;

/// Somebody else's agent. The policy that it is run with only gives its name: the model is behind the gateway.
pub struct OutsideAgent {
    command: String,
    files: Option<PathBuf>,
    gateway: Gateway,
    config: ScaffoldConfig,
    output: OutputSink,
    rollouts: AtomicU64,
}

/// A rollout that is open in the gateway. However its run ends, nobody can call in its name any more.
struct Open<'a> {
    gateway: &'a Gateway,
    name: InstanceId,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.gateway.forget(&self.name);
    }
}

impl OutsideAgent {
    /// An agent that is started by `command`, a line for bash, in the repository. In it `{problem_file}`, `{base_url}`,
    /// `{model}`, `{repo_dir}`, `{agent_dir}` and `{instance_id}` are replaced. The folder `files` of the host is seen
    /// inside as [`AGENT_DIR`], or copied there where the sandbox was made without a view of it.
    pub fn new(
        command: impl Into<String>,
        files: Option<PathBuf>,
        gateway: Gateway,
        config: ScaffoldConfig,
        output: OutputSink,
    ) -> Self {
        Self { command: command.into(), files, gateway, config, output, rollouts: AtomicU64::new(0) }
    }

    fn name_one(&self) -> Result<InstanceId, AgentCause> {
        let number = self.rollouts.fetch_add(1, Ordering::Relaxed);
        let name = InstanceId::new(format!("rollout-{number}"));
        name.map_err(|error| AgentCause::Outside { end: error.to_string(), output: String::new() })
    }

    fn limits(&self) -> GatewayLimits {
        GatewayLimits {
            max_steps: self.config.max_steps,
            max_tokens: self.config.max_tokens,
            ..GatewayLimits::default()
        }
    }

    /// Copies its files where the sandbox could not be given a view of them.
    async fn bring_files(&self, sandbox: &dyn Sandbox) -> Result<(), SandboxError> {
        let Some(files) = &self.files else { return Ok(()) };
        let inside = sandbox.list(AGENT_DIR).await.unwrap_or_default();
        let is_inside = |entry: DirEntry| {
            let name = entry.file_name();
            inside.iter().any(|entry| entry.name == name.as_bytes())
        };
        if std::fs::read_dir(files)?.flatten().all(is_inside) {
            return Ok(());
        }
        sandbox.upload(files, AGENT_DIR).await
    }

    /// Runs it to its end; what it called is with the gateway.
    async fn execute(&self, run: &Run<'_>) -> Result<ExecOutput, AgentCause> {
        let service = run
            .sandbox
            .service()
            .ok_or(SandboxError::Unsupported { action: "let an agent in the sandbox reach the gateway" })?;
        let base_url = format!("http://{service}/v1");
        self.bring_files(run.sandbox).await?;
        run.sandbox.write_file(PROBLEM_FILE, run.problem.problem_statement.as_bytes()).await?;
        let command = self.command_line(run, &base_url);
        let mut request = ExecRequest::shell(format!("{PREPARE}\n{command}"))
            .in_folder(&self.config.repo_dir)
            .within(self.config.time_limit)
            .keeping(OUTPUT_LIMIT)
            .merged();
        request.env = [
            ("OPENAI_BASE_URL", base_url.as_str()),
            ("OPENAI_API_BASE", &base_url),
            ("OPENAI_API_KEY", run.key),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        Ok(run.sandbox.exec(&request).await?)
    }

    fn command_line(&self, run: &Run<'_>, base_url: &str) -> String {
        [
            ("{problem_file}", PROBLEM_FILE),
            ("{base_url}", base_url),
            ("{model}", run.model),
            ("{repo_dir}", &self.config.repo_dir),
            ("{agent_dir}", AGENT_DIR),
            ("{instance_id}", run.problem.instance_id.as_str()),
        ]
        .into_iter()
        .fold(self.command.clone(), |line, (name, value)| line.replace(name, value))
    }
}

/// What one run needs.
struct Run<'a> {
    problem: &'a Problem,
    sandbox: &'a dyn Sandbox,
    model: &'a str,
    key: &'a str,
}

#[async_trait]
impl Scaffold for OutsideAgent {
    fn name(&self) -> &'static str {
        "outside"
    }

    fn binds(&self) -> Vec<(PathBuf, PathBuf, bool)> {
        self.files.iter().map(|files| (files.clone(), AGENT_DIR.into(), false)).collect()
    }

    async fn run(
        &self,
        problem: &Problem,
        sample: u32,
        sandbox: &dyn Sandbox,
        policy: &mut dyn Policy,
    ) -> Result<Outcome, AgentError> {
        let begun = Trajectory::empty(problem, sample, self.name(), policy.name());
        let name = self.name_one().map_err(|cause| AgentError::new(cause, begun.clone()))?;
        let key = self.gateway.open(&name, begun.clone(), self.limits());
        let open = Open { gateway: &self.gateway, name };
        let run = Run { problem, sandbox, model: policy.name(), key: &key };
        let ended = self.execute(&run).await;
        // Nothing of it can fail: there is no archive.
        let recording = self.gateway.close(&open.name).await.ok().flatten();
        let mut recording =
            recording.unwrap_or(Recording { trajectory: begun, limit: None, last_failure: None });
        let output = match ended {
            Ok(output) => output,
            Err(cause) => return Err(AgentError::new(cause, recording.trajectory)),
        };
        (self.output)(problem, sample, &output.stdout.to_bytes());
        match exit_status(&output, &recording) {
            Ok(exit_status) => recording.trajectory.exit_status = exit_status,
            Err(cause) => return Err(AgentError::new(cause, recording.trajectory)),
        }
        conclude(sandbox, &self.config, problem, recording.trajectory).await
    }
}

/// How it ended. An agent that fails because the model did is not to blame; one that fails before it asked the model
/// anything was not set up rightly.
fn exit_status(output: &ExecOutput, recording: &Recording) -> Result<ExitStatus, AgentCause> {
    let end = match output.status {
        _ if recording.limit.is_some() => return Ok(recording.limit.unwrap_or(ExitStatus::StepLimit)),
        ExecStatus::TimedOut => return Ok(ExitStatus::TimeLimit),
        ExecStatus::Exited(0) => {
            let failure = recording.last_failure.as_ref().filter(|_| recording.trajectory.steps.is_empty());
            return failure.map_or(Ok(ExitStatus::Finished), |message| Err(no_answer(message)));
        }
        ExecStatus::Exited(code) => format!("ended with exit code {code}"),
        ExecStatus::Signaled(signal) => format!("was killed by signal {signal}"),
        ExecStatus::OutOfMemory => "needed more memory than the sandbox has".to_owned(),
    };
    if let Some(message) = &recording.last_failure {
        return Err(no_answer(message));
    }
    if recording.trajectory.steps.is_empty() {
        let output = last(output.stdout.to_text().trim(), MESSAGE_LIMIT).to_owned();
        return Err(AgentCause::Outside { end, output });
    }
    Ok(ExitStatus::Rejected)
}

fn no_answer(message: &str) -> AgentCause {
    ModelError::Connection { tries: 1, message: message.to_owned() }.into()
}
