//! Forking a sandbox that has written 100 MB.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use swegym_sandbox::{Backend, ExecRequest, LocalBackend, LocalConfig, Sandbox};

use crate::sandbox::spec;
use crate::{LAUNCHER, percentile};

/// Trees of 100 MB, and the script that makes them in the working directory.
const TREES: [(&str, &str); 2] = [
    ("one_file", "head -c 100000000 /dev/urandom > file"),
    ("2000_files", "head -c 100000000 /dev/urandom | split -a 4 -b 50000"),
];

/// Prints a line for each tree, and for a parent that has nothing running and one that has.
pub(crate) fn run(rounds: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let state = tempfile::tempdir()?;
    let config = LocalConfig {
        guest_program: std::env::current_exe()?,
        guest_args: vec![LAUNCHER.to_owned()],
        state_dir: state.path().to_owned(),
    };
    runtime.block_on(async {
        let backend = LocalBackend::start(&config).await?;
        for (tree, script) in TREES {
            for busy in [false, true] {
                report(&backend, (tree, script), busy, rounds).await?;
            }
        }
        Ok(())
    })
}

async fn report(
    backend: &LocalBackend,
    (tree, script): (&str, &str),
    busy: bool,
    rounds: usize,
) -> anyhow::Result<()> {
    let peer = Peer::make(script)?;
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(round(backend, script, busy).await?);
        plain.push(peer.copy()?);
    }
    let (ours_p50, plain_p50) = (percentile(&mut ours, 50), percentile(&mut plain, 50));
    println!(
        "{}",
        json!({
            "bench": "fork", "tree": tree, "bytes": 100_000_000, "busy": busy, "rounds": rounds, "unit": "ms",
            "min": percentile(&mut ours, 0), "p10": percentile(&mut ours, 10), "p50": ours_p50, "p90": percentile(&mut ours, 90),
            "peer": "cp -a", "peer_p50": plain_p50, "ratio_to_peer": ours_p50 / plain_p50,
        })
    );
    Ok(())
}

/// Times one fork of a new sandbox. While something runs in it, the fork must copy.
async fn round(backend: &LocalBackend, script: &str, busy: bool) -> anyhow::Result<Duration> {
    let parent = backend.create(&spec()).await?;
    let background = if busy { "sleep 1000 > /dev/null 2>&1 &" } else { "" };
    bash(&*parent, &format!("mkdir /root/tree; cd /root/tree; {script}; {background}")).await?;
    let begin = Instant::now();
    let child = parent.fork().await?;
    let taken = begin.elapsed();
    bash(&*child, "test $(cat /root/tree/* | wc -c) -eq 100000000").await?;
    child.destroy().await?;
    parent.destroy().await?;
    Ok(taken)
}

async fn bash(sandbox: &dyn Sandbox, script: &str) -> anyhow::Result<()> {
    let output = sandbox.exec(&ExecRequest::shell(script).merged()).await?;
    ensure!(output.success(), "run `{script}`: {:?}: {}", output.status, output.stdout.to_text());
    Ok(())
}

/// The same tree outside of any sandbox, in memory too.
struct Peer {
    folder: tempfile::TempDir,
}

impl Peer {
    fn make(script: &str) -> anyhow::Result<Self> {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(place)?;
        std::fs::create_dir(folder.path().join("tree"))?;
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).current_dir(folder.path().join("tree"));
        ensure!(command.status().context("run bash")?.success(), "make the tree of the peer");
        Ok(Self { folder })
    }

    fn copy(&self) -> anyhow::Result<Duration> {
        let (tree, copy): (PathBuf, PathBuf) =
            (self.folder.path().join("tree"), self.folder.path().join("copy"));
        let begin = Instant::now();
        let status = Command::new("cp").arg("-a").arg(tree).arg(&copy).status().context("run cp")?;
        let taken = begin.elapsed();
        ensure!(status.success(), "copy the tree: {status}");
        std::fs::remove_dir_all(copy)?;
        Ok(taken)
    }
}
