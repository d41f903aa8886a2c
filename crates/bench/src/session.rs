//! A round trip of a shell session: the command sent, its end and output known.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use swegym_sandbox::{
    Backend, LocalBackend, LocalConfig, Sandbox, Session, SessionSpec, SessionStatus, Terminal,
};

use crate::sandbox::spec;
use crate::{LAUNCHER, percentile};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A builtin, and a program.
const COMMANDS: [(&str, &str); 2] = [("builtin", ":"), ("program", "/bin/true")];

/// SWE-ReX takes about 0.1 s for a command: it is measured once in this many rounds.
const ROUNDS_OF_SWEREX: usize = 50;

/// Prints one line for each command. SWE-ReX is measured too, where a Python interpreter that has it is given.
pub(crate) fn run(rounds: usize, swerex: Option<&Path>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let state = tempfile::tempdir()?;
    let config = LocalConfig {
        guest_program: std::env::current_exe()?,
        guest_args: vec![LAUNCHER.to_owned()],
        state_dir: state.path().to_owned(),
    };
    runtime.block_on(measure(&config, rounds, swerex))
}

async fn measure(config: &LocalConfig, rounds: usize, swerex: Option<&Path>) -> anyhow::Result<()> {
    let backend = LocalBackend::start(config).await?;
    let sandbox = backend.create(&spec()).await?;
    let pipes = open(&*sandbox, Terminal::Pipes).await?;
    let terminal = open(&*sandbox, Terminal::Pty { rows: 24, columns: 80 }).await?;
    let mut plain = Peer::bash()?;
    let mut swerex = swerex.map(Peer::swerex).transpose()?;
    for (name, command) in COMMANDS {
        let mut samples = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for round in 0..rounds {
            samples[0].push(ours(&*pipes, command).await?);
            samples[1].push(ours(&*terminal, command).await?);
            samples[2].push(plain.run(command)?);
            if let Some(swerex) = swerex.as_mut().filter(|_| round % ROUNDS_OF_SWEREX == 0) {
                samples[3].push(swerex.run(command)?);
            }
        }
        let [mut pipes, mut terminal, mut plain, mut swerex] = samples;
        let ratio = percentile(&mut pipes, 50) / percentile(&mut plain, 50);
        println!(
            "{}",
            json!({
                "bench": "session_round_trip", "command": name, "rounds": rounds, "unit": "ms",
                "pipes": percentiles(&mut pipes), "terminal": percentiles(&mut terminal),
                "peer": "bash on pipes, with a marker", "peer_times": percentiles(&mut plain),
                "ratio_to_peer": ratio,
                "swerex": if swerex.is_empty() { Value::Null } else { percentiles(&mut swerex) },
            })
        );
    }
    drop((pipes, terminal));
    sandbox.destroy().await?;
    Ok(())
}

fn percentiles(samples: &mut [Duration]) -> Value {
    json!({ "p10": percentile(samples, 10), "p50": percentile(samples, 50), "p90": percentile(samples, 90) })
}

async fn open(sandbox: &dyn Sandbox, terminal: Terminal) -> anyhow::Result<Box<dyn Session>> {
    Ok(sandbox.open_session(&SessionSpec { terminal, ..SessionSpec::default() }).await?)
}

async fn ours(session: &dyn Session, command: &str) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let output = session.run(command, PATIENCE).await?;
    let wall = begin.elapsed();
    let done = matches!(output.status, SessionStatus::Done { exit_code: 0, .. });
    ensure!(done, "run `{command}` in a session: {:?}", output.status);
    Ok(wall)
}

/// What one does without a sandbox: a program that takes commands on its standard input, and says when one is done.
struct Peer {
    program: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// What stands after a command.
    suffix: &'static str,
}

impl Peer {
    /// A bash of the host, whose output is read up to a marker.
    fn bash() -> anyhow::Result<Self> {
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]);
        Self::start(command, "; echo --- done $?")
    }

    /// A session of SWE-ReX on the host, by a Python interpreter that has it.
    fn swerex(python: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(python);
        command.args(["-c", include_str!("../python/swerex.py")]).stderr(Stdio::null());
        Self::start(command, "")
    }

    fn start(mut command: Command, suffix: &'static str) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().with_context(|| format!("run {command:?}"))?;
        let (stdin, stdout) = (program.stdin.take(), program.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { anyhow::bail!("it came without pipes") };
        let mut peer = Self { program, stdin, stdout: BufReader::new(stdout), suffix };
        // Not its start.
        peer.run(":")?;
        Ok(peer)
    }

    fn run(&mut self, command: &str) -> anyhow::Result<Duration> {
        const MARKER: &str = "--- done 0";
        let begin = Instant::now();
        self.stdin.write_all(format!("{command}{}\n", self.suffix).as_bytes())?;
        let mut line = String::new();
        while line.trim_end() != MARKER {
            line.clear();
            ensure!(self.stdout.read_line(&mut line)? > 0, "run `{command}` by a peer: it ended");
        }
        Ok(begin.elapsed())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
