//! Create + `true` + destroy.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use swegym_images::{Image, ImageConfig};
use swegym_sandbox::{
    Backend, ExecRequest, Limits, LocalBackend, LocalConfig, Network, SandboxSpec, Upper, host_base,
    host_package_masks,
};

use crate::{LAUNCHER, percentile};

/// Prints one line.
pub(crate) fn run(rounds: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let state = tempfile::tempdir()?;
    let config = LocalConfig {
        guest_program: std::env::current_exe()?,
        guest_args: vec![LAUNCHER.to_owned()],
        state_dir: state.path().to_owned(),
    };
    let (mut ours, mut plain) = runtime.block_on(measure(&config, rounds))?;
    let (ours_p50, plain_p50) = (percentile(&mut ours, 50), percentile(&mut plain, 50));
    println!(
        "{}",
        json!({
            "bench": "create_true_destroy", "rounds": rounds, "unit": "ms",
            "p10": percentile(&mut ours, 10), "p50": ours_p50, "p90": percentile(&mut ours, 90),
            "peer": "unshare", "peer_p50": plain_p50, "ratio_to_peer": ours_p50 / plain_p50,
        })
    );
    Ok(())
}

async fn measure(config: &LocalConfig, rounds: usize) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let backend = LocalBackend::start(config).await?;
    let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
    let image_config =
        ImageConfig { env, workdir: "/".into(), binds: host_base(), masks: host_package_masks() };
    let spec = SandboxSpec {
        image: Image { config: image_config, ..Image::default() },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    };
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begin = Instant::now();
        let sandbox = backend.create(&spec).await?;
        let output = sandbox.exec(&ExecRequest::new(["true"])).await?;
        sandbox.destroy().await?;
        ours.push(begin.elapsed());
        ensure!(output.success(), "run `true` in a sandbox: {:?}", output.status);
        let begin = Instant::now();
        // Namespaces and /proc alone: no root file system, no limits, no supervision.
        let arguments = [
            "--map-root-user",
            "--mount",
            "--pid",
            "--net",
            "--ipc",
            "--uts",
            "--fork",
            "--mount-proc",
            "true",
        ];
        let status = Command::new("unshare").args(arguments).status().context("run unshare of util-linux")?;
        plain.push(begin.elapsed());
        ensure!(status.success(), "run `true` by unshare: {status}");
    }
    Ok((ours, plain))
}
