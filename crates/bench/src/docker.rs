//! The docker backend beside Podman's own client: create + `true` + destroy, and one command in a sandbox that is
//! there.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use swegym_images::{Image, ImageConfig};
use swegym_sandbox::{
    Backend, DockerBackend, DockerConfig, ExecRequest, Limits, Network, Sandbox, SandboxSpec, Upper,
};

use crate::{GUEST, percentile};

/// What is measured against what.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds; each measures both, one after the other
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// The daemon's socket
    #[arg(long, default_value = "/run/podman/podman.sock")]
    socket: String,
    /// An image of the daemon that has `true`
    #[arg(long)]
    image: String,
    /// The client to compare with, and its options before `run` and `exec`
    #[arg(long, default_value = "podman", num_args = 1.., value_delimiter = ' ', allow_hyphen_values = true)]
    peer: Vec<String>,
}

/// Prints a line for whole sandboxes and one for single commands.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(arguments))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let backend = DockerBackend::start(&DockerConfig {
        socket: arguments.socket.clone(),
        pull: false,
        guest_program: std::env::current_exe()?,
        guest_args: vec![GUEST.to_owned()],
        state_dir: state.path().to_owned(),
    })
    .await?;
    sandboxes(arguments, &backend).await?;
    commands(arguments, &backend).await
}

async fn sandboxes(arguments: &Arguments, backend: &DockerBackend) -> anyhow::Result<()> {
    let spec = spec(&arguments.image);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let begin = Instant::now();
        let sandbox = backend.create(&spec).await?;
        run_true(&*sandbox).await?;
        sandbox.destroy().await?;
        ours.push(begin.elapsed());
        theirs.push(peer(arguments, &["run", "--rm", "--network", "none", &arguments.image, "true"])?.0);
    }
    print("docker_create_true_destroy", "run", &mut ours, &mut theirs);
    Ok(())
}

async fn commands(arguments: &Arguments, backend: &DockerBackend) -> anyhow::Result<()> {
    let sandbox = backend.create(&spec(&arguments.image)).await?;
    let sleeping = ["run", "--detach", "--rm", "--network", "none", &arguments.image, "sleep", "3600"];
    let container = peer(arguments, &sleeping)?.1;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let begin = Instant::now();
        run_true(&*sandbox).await?;
        ours.push(begin.elapsed());
        theirs.push(peer(arguments, &["exec", &container, "true"])?.0);
    }
    peer(arguments, &["rm", "--force", &container])?;
    sandbox.destroy().await?;
    print("docker_exec_true", "exec", &mut ours, &mut theirs);
    Ok(())
}

async fn run_true(sandbox: &dyn Sandbox) -> anyhow::Result<()> {
    let output = sandbox.exec(&ExecRequest::new(["true"])).await?;
    ensure!(output.success(), "run `true` in a container: {:?}", output.status);
    Ok(())
}

/// Runs the peer; how long it took, and what it printed.
fn peer(arguments: &Arguments, words: &[&str]) -> anyhow::Result<(Duration, String)> {
    let (program, options) = arguments.peer.split_first().context("name a peer")?;
    let begin = Instant::now();
    let output = Command::new(Path::new(program)).args(options).args(words).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run `{program}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "run `{program} {}`: {said}", words.join(" "));
    Ok((begin.elapsed(), String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

fn print(bench: &str, peer: &str, ours: &mut [Duration], theirs: &mut [Duration]) {
    let (ours_p50, theirs_p50) = (percentile(ours, 50), percentile(theirs, 50));
    println!(
        "{}",
        json!({
            "bench": bench, "rounds": ours.len(), "unit": "ms",
            "p10": percentile(ours, 10), "p50": ours_p50, "p90": percentile(ours, 90),
            "peer": peer, "peer_p50": theirs_p50, "ratio_to_peer": ours_p50 / theirs_p50,
        })
    );
}

fn spec(image: &str) -> SandboxSpec {
    let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
    SandboxSpec {
        image: Image {
            reference: Some(image.to_owned()),
            config: ImageConfig { env, ..ImageConfig::default() },
            ..Image::default()
        },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
}
