//! A round trip of a shell session: the command sent, its end and output known.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use swegym_images::{Image, ImageConfig};
use swegym_sandbox::{
    Backend, Limits, LocalBackend, LocalConfig, Network, Sandbox, SandboxSpec, Session, SessionSpec,
    SessionStatus, Terminal, Upper, host_base, host_package_masks,
};

use crate::{LAUNCHER, percentile};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A builtin, and a program.
const COMMANDS: [(&str, &str); 2] = [("builtin", ":"), ("program", "/bin/true")];

/// Prints one line for each command.
pub(crate) fn run(rounds: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let state = tempfile::tempdir()?;
    let config = LocalConfig {
        guest_program: std::env::current_exe()?,
        guest_args: vec![LAUNCHER.to_owned()],
        state_dir: state.path().to_owned(),
    };
    runtime.block_on(measure(&config, rounds))
}

async fn measure(config: &LocalConfig, rounds: usize) -> anyhow::Result<()> {
    let backend = LocalBackend::start(config).await?;
    let sandbox = backend.create(&spec()).await?;
    let pipes = open(&*sandbox, Terminal::Pipes).await?;
    let terminal = open(&*sandbox, Terminal::Pty { rows: 24, columns: 80 }).await?;
    let mut plain = PlainBash::start()?;
    for (name, command) in COMMANDS {
        let mut samples = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            samples[0].push(ours(&*pipes, command).await?);
            samples[1].push(ours(&*terminal, command).await?);
            samples[2].push(plain.run(command)?);
        }
        let [mut pipes, mut terminal, mut plain] = samples;
        let ratio = percentile(&mut pipes, 50) / percentile(&mut plain, 50);
        println!(
            "{}",
            json!({
                "bench": "session_round_trip", "command": name, "rounds": rounds, "unit": "ms",
                "pipes": percentiles(&mut pipes), "terminal": percentiles(&mut terminal),
                "peer": "bash on pipes, with a marker", "peer_times": percentiles(&mut plain),
                "ratio_to_peer": ratio,
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

fn spec() -> SandboxSpec {
    let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
    let config = ImageConfig { env, workdir: "/".into(), binds: host_base(), masks: host_package_masks() };
    SandboxSpec {
        image: Image { config, ..Image::default() },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
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

/// What one does without a sandbox: a bash of the host, whose output is read up to a marker.
struct PlainBash {
    bash: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl PlainBash {
    fn start() -> anyhow::Result<Self> {
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut bash = command.spawn().context("run bash of this machine")?;
        let (stdin, stdout) = (bash.stdin.take(), bash.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { anyhow::bail!("bash came without pipes") };
        Ok(Self { bash, stdin, stdout: BufReader::new(stdout) })
    }

    fn run(&mut self, command: &str) -> anyhow::Result<Duration> {
        const MARKER: &str = "--- done 0";
        let begin = Instant::now();
        self.stdin.write_all(format!("{command}; echo --- done $?\n").as_bytes())?;
        let mut line = String::new();
        while line.trim_end() != MARKER {
            line.clear();
            ensure!(self.stdout.read_line(&mut line)? > 0, "run `{command}` in plain bash: it ended");
        }
        Ok(begin.elapsed())
    }
}

impl Drop for PlainBash {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.bash.kill();
        let _ = self.bash.wait();
    }
}
