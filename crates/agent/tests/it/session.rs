//! A shell session on the host: a bash that is fed commands, and says by a marker when one is done.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use swegym_sandbox::{
    OutputLimit, SandboxError, Session, SessionOutput, SessionSpec, SessionState, SessionStatus,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::sync::Notify;

use crate::support::keep;

/// What no command of a test prints.
const MARKER: &[u8] = b"\x1e\x1fdone ";
const SETUP: &[u8] = b"exec 2>&1; trap : INT\n";

/// Bytes from the beginning and from the end of an output that are kept in any case.
const KEPT: usize = 2 << 20;

/// What was printed and not yet shown.
#[derive(Default)]
struct Printed {
    bytes: Vec<u8>,
    ended: bool,
}

pub(crate) struct HostSession {
    shell: Mutex<Child>,
    input: tokio::sync::Mutex<ChildStdin>,
    printed: Arc<(Mutex<Printed>, Notify)>,
    begun: Mutex<Instant>,
    limit: OutputLimit,
}

impl HostSession {
    pub(crate) fn open(home: &Path, spec: &SessionSpec) -> Result<Self, SandboxError> {
        let refused = |error: std::io::Error| SandboxError::Start {
            program: "bash".into(),
            message: error.to_string(),
        };
        let mut command = tokio::process::Command::new("bash");
        command.args(["--noprofile", "--norc"]).process_group(0).kill_on_drop(true);
        command.env_clear().env("HOME", home).env("PATH", env!("PATH")).envs(&spec.env);
        command.current_dir(spec.cwd.as_deref().unwrap_or("/"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().map_err(refused)?;
        let (input, output) = (shell.stdin.take(), shell.stdout.take());
        let (input, mut output) = (input.expect("it is a pipe"), output.expect("it is a pipe"));
        let printed = Arc::new((Mutex::new(Printed::default()), Notify::new()));
        let shared = Arc::clone(&printed);
        tokio::spawn(async move {
            let mut piece = vec![0; 1 << 16];
            loop {
                let count = output.read(&mut piece).await.unwrap_or_default();
                let mut printed = shared.0.lock().expect("nothing panics");
                printed.bytes.extend_from_slice(&piece[..count]);
                if printed.bytes.len() > 4 * KEPT {
                    let end = printed.bytes.len() - KEPT;
                    printed.bytes.drain(KEPT..end);
                }
                printed.ended = count == 0;
                shared.1.notify_one();
                if count == 0 {
                    return;
                }
            }
        });
        let begun = Mutex::new(Instant::now());
        Ok(Self { shell: Mutex::new(shell), input: input.into(), printed, begun, limit: spec.output_limit })
    }

    async fn wait(&self, patience: Duration) -> SessionOutput {
        let status = tokio::time::timeout(patience, async {
            loop {
                if let Some(status) = self.ended() {
                    return status;
                }
                self.printed.1.notified().await;
            }
        });
        let (status, bytes) = match status.await {
            Ok(ended) => ended,
            Err(_) => (
                SessionStatus::Running,
                std::mem::take(&mut self.printed.0.lock().expect("nothing panics").bytes),
            ),
        };
        let wall = self.begun.lock().expect("nothing panics").elapsed();
        SessionOutput { status, output: keep(bytes, self.limit), wall }
    }

    fn ended(&self) -> Option<(SessionStatus, Vec<u8>)> {
        let mut printed = self.printed.0.lock().expect("nothing panics");
        let marked = printed.bytes.last() == Some(&0x1f);
        let find = || printed.bytes.windows(MARKER.len()).rposition(|window| window == MARKER);
        let Some(start) = marked.then(find).flatten() else {
            return printed.ended.then(|| (SessionStatus::ShellEnded, std::mem::take(&mut printed.bytes)));
        };
        let mut bytes = std::mem::take(&mut printed.bytes);
        let report = String::from_utf8(bytes.split_off(start)).expect("paths are UTF-8");
        let report = report[MARKER.len()..].trim_end_matches('\u{1f}');
        let (code, cwd) = report.split_once(' ').expect("both are there");
        let status = SessionStatus::Done { exit_code: code.parse().expect("a number"), cwd: cwd.to_owned() };
        Some((status, bytes))
    }

    fn signal(&self, signal: &str, children: bool) {
        let Some(id) = self.shell.lock().expect("nothing panics").id() else { return };
        let mut kill = std::process::Command::new(if children { "pkill" } else { "kill" });
        match children {
            true => kill.args([format!("-{signal}"), "-P".to_owned(), id.to_string()]),
            false => kill.args([format!("-{signal}"), "--".to_owned(), format!("-{id}")]),
        };
        kill.status().expect("it is there");
    }
}

#[async_trait]
impl Session for HostSession {
    async fn run(&self, command: &str, patience: Duration) -> Result<SessionOutput, SandboxError> {
        *self.begun.lock().expect("nothing panics") = Instant::now();
        let quoted = command.replace('\'', "'\\''");
        let line = format!("eval '{quoted}'; printf '\\036\\037done %d %s\\037' $? \"$PWD\"\n");
        let mut input = self.input.lock().await;
        let sent = async {
            input.write_all(SETUP).await?;
            input.write_all(line.as_bytes()).await
        };
        match sent.await {
            Ok(()) => Ok(self.wait(patience).await),
            Err(error) => Err(SandboxError::Session { message: error.to_string() }),
        }
    }

    async fn poll(&self, patience: Duration) -> Result<SessionOutput, SandboxError> {
        Ok(self.wait(patience).await)
    }

    async fn send_input(&self, input: &[u8]) -> Result<(), SandboxError> {
        Ok(self.input.lock().await.write_all(input).await?)
    }

    async fn interrupt(&self) -> Result<(), SandboxError> {
        self.signal("INT", false);
        Ok(())
    }

    async fn kill_foreground(&self) -> Result<(), SandboxError> {
        self.signal("KILL", true);
        Ok(())
    }

    async fn state(&self) -> Result<SessionState, SandboxError> {
        Err(SandboxError::Unsupported { action: "tell the state of a session" })
    }
}

impl Drop for HostSession {
    fn drop(&mut self) {
        self.signal("KILL", false);
    }
}
