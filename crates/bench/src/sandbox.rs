//! Create + `true` + destroy.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use swegym_images::{Image, ImageConfig};
use swegym_sandbox::{
    Backend, ExecRequest, Limits, LocalBackend, LocalConfig, Network, SandboxSpec, Upper, host_base,
    host_package_masks,
};

use crate::{LAUNCHER, percentile};

/// Programs that do a part of it, with what they need to run `true`. None of them limits anything.
const PEERS: [(&str, &[&str]); 2] = [
    // Namespaces and /proc alone: no root file system, no supervision.
    (
        "unshare",
        &["--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--mount-proc", "true"],
    ),
    // The host's files, read-only, with nothing written.
    (
        "bwrap",
        &[
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            "--unshare-all",
            "true",
        ],
    ),
];

/// After each of what is measured: the kernel takes namespaces apart, and we make the next sandbox ready, when
/// nobody waits for it, and that belongs to nothing that is measured next.
const PAUSE: Duration = Duration::from_millis(30);

/// Workers of the throughput measurements.
const WORKERS: [usize; 2] = [2, 4];

/// Prints a line for the time of one sandbox after the other, and one for each number of workers.
pub(crate) fn run(rounds: usize, seconds: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let state = tempfile::tempdir()?;
    let config = config(state.path())?;
    // Not on the main thread, which is woken by another one whenever something arrives: rollouts are tasks, too.
    let measured = runtime.spawn(async move {
        let backend = Arc::new(LocalBackend::start(&config).await?);
        println!("{}", one_by_one(&backend, rounds).await?);
        for workers in WORKERS {
            println!("{}", side_by_side(&backend, workers, Duration::from_secs(seconds)).await?);
        }
        Ok(())
    });
    runtime.block_on(measured)?
}

/// The launcher is this program again.
pub(crate) fn config(state: &Path) -> anyhow::Result<LocalConfig> {
    Ok(LocalConfig {
        guest_program: std::env::current_exe()?,
        guest_args: vec![LAUNCHER.to_owned()],
        state_dir: state.to_owned(),
    })
}

/// A sandbox with the programs of the host and the default limits.
pub(crate) fn spec() -> SandboxSpec {
    let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
    let image_config =
        ImageConfig { env, workdir: "/".into(), binds: host_base(), masks: host_package_masks() };
    SandboxSpec {
        image: Image { config: image_config, ..Image::default() },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
}

async fn one_by_one(backend: &LocalBackend, rounds: usize) -> anyhow::Result<Value> {
    let mut peers = PEERS.map(|(name, arguments)| Peer { name, arguments, times: Vec::new(), missing: None });
    let (mut ours, mut parts, spec) = (Vec::new(), [const { Vec::new() }; 3], spec());
    for _ in 0..rounds {
        let times = round(backend, &spec).await?;
        ours.push(times.iter().sum());
        parts.iter_mut().zip(times).for_each(|(part, time)| part.push(time));
        for peer in &mut peers {
            tokio::time::sleep(PAUSE).await;
            peer.round()?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let [p10, p50, p90] = [10, 50, 90].map(|percent| percentile(&mut ours, percent));
    let [create, command, destroy] = parts.each_mut().map(|part| percentile(part, 50));
    let peers: Vec<Value> = peers.iter_mut().map(|peer| peer.summary(p50)).collect();
    Ok(json!({
        "bench": "create_true_destroy", "rounds": rounds, "unit": "ms", "unenforced": backend.unenforced(),
        "p10": p10, "p50": p50, "p90": p90, "create_p50": create, "true_p50": command, "destroy_p50": destroy,
        "peers": peers,
    }))
}

/// Times of creating, of `true` and of destroying.
async fn round(backend: &LocalBackend, spec: &SandboxSpec) -> anyhow::Result<[Duration; 3]> {
    let begin = Instant::now();
    let sandbox = backend.create(spec).await?;
    let created = begin.elapsed();
    let output = sandbox.exec(&ExecRequest::new(["true"])).await?;
    let ran = begin.elapsed();
    sandbox.destroy().await?;
    ensure!(output.success(), "run `true` in a sandbox: {:?}", output.status);
    Ok([created, ran - created, begin.elapsed() - ran])
}

/// A plain tool, measured in the same rounds.
struct Peer {
    name: &'static str,
    arguments: &'static [&'static str],
    times: Vec<Duration>,
    /// Why it is not measured.
    missing: Option<String>,
}

impl Peer {
    fn round(&mut self) -> anyhow::Result<()> {
        if self.missing.is_some() {
            return Ok(());
        }
        let begin = Instant::now();
        let status = Command::new(self.name).args(self.arguments).stderr(Stdio::null()).status();
        match status {
            Err(error) => self.missing = Some(format!("it does not start: {error}")),
            Ok(status) if !status.success() && self.times.is_empty() => {
                self.missing = Some(format!("it does not work here: {status}"));
            }
            Ok(status) => {
                self.times.push(begin.elapsed());
                ensure!(status.success(), "run `true` by {}: {status}", self.name);
            }
        }
        Ok(())
    }

    fn summary(&mut self, ours: f64) -> Value {
        if let Some(why) = &self.missing {
            return json!({ "peer": self.name, "missing": why });
        }
        let [p10, p50, p90] = [10, 50, 90].map(|percent| percentile(&mut self.times, percent));
        json!({ "peer": self.name, "p10": p10, "p50": p50, "p90": p90, "ratio_of_medians": ours / p50 })
    }
}

/// How many sandboxes a number of workers make, use and destroy in a second, all together.
async fn side_by_side(backend: &Arc<LocalBackend>, workers: usize, time: Duration) -> anyhow::Result<Value> {
    let begin = Instant::now();
    let work = |_| {
        let backend = Arc::clone(backend);
        tokio::spawn(async move {
            let (spec, mut done) = (spec(), 0_u64);
            while begin.elapsed() < time {
                round(&backend, &spec).await?;
                done += 1;
            }
            anyhow::Ok(done)
        })
    };
    let working: Vec<_> = (0..workers).map(work).collect();
    let mut done = 0;
    for worker in working {
        done += worker.await.context("wait for a worker")??;
    }
    let seconds = begin.elapsed().as_secs_f64();
    Ok(json!({
        "bench": "create_true_destroy_throughput", "workers": workers, "sandboxes": done, "seconds": seconds,
        "per_second": done as f64 / seconds,
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
    }))
}
