//! Many sandboxes that do nothing: what they cost, and how soon nothing is left of them when their owner is killed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use swegym_sandbox::{Backend, LocalBackend};

use crate::sandbox::{config, spec};

/// Most sandboxes at once: beyond, the limits on processes and mounts of a usual machine count.
const MOST: usize = 5_000;
/// How long cleaning up may take.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(10);

/// Prints one line.
pub(crate) fn run(count: usize) -> anyhow::Result<()> {
    ensure!((1..=MOST).contains(&count), "hold {count} sandboxes: from 1 to {MOST} can be held");
    let state = tempfile::tempdir()?;
    let free = available_kib()?;
    let mut owner = Owner::start(count, state.path())?;
    let seconds = owner.wait_until_all_are_there()?;
    let used = free.saturating_sub(available_kib()?);
    let processes = descendants(owner.0.id());
    let proportional = processes.iter().map(|pid| proportional_kib(*pid)).sum::<Option<u64>>();
    let pid = owner.0.id();
    owner.kill()?;
    let killed = Instant::now();
    wait_until_nothing_is_left(pid, &processes, state.path())?;
    println!(
        "{}",
        json!({
            "bench": "idle_sandboxes", "count": count, "processes": processes.len(),
            "create_seconds": seconds, "available_kib_each": used / count as u64,
            "pss_kib_each": proportional.map(|kib| kib / count as u64),
            "cleanup_seconds": killed.elapsed().as_secs_f64(),
        })
    );
    Ok(())
}

/// The process that owns the sandboxes: makes them, says in how many seconds, and waits to be killed.
pub(crate) fn own(count: usize, state: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let backend = LocalBackend::start(&config(state)?).await?;
        let (spec, begin) = (spec(), Instant::now());
        let mut sandboxes = Vec::with_capacity(count);
        for _ in 0..count {
            sandboxes.push(backend.create(&spec).await?);
        }
        println!("{}", begin.elapsed().as_secs_f64());
        std::future::pending::<()>().await;
        Ok(())
    })
}

struct Owner(Child);

impl Owner {
    fn start(count: usize, state: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["idle-owner", "--count", &count.to_string(), "--state"]).arg(state);
        Ok(Self(command.stdout(Stdio::piped()).spawn().context("start the owner")?))
    }

    /// Returns in how many seconds they were made.
    fn wait_until_all_are_there(&mut self) -> anyhow::Result<f64> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().context("read from the owner")?).read_line(&mut line)?;
        line.trim().parse().context("make the sandboxes: the owner ended early")
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn wait_until_nothing_is_left(owner: u32, processes: &HashSet<u32>, state: &Path) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let living = processes.iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).count();
        let traces = [Path::new("/sys/fs/cgroup"), state].into_iter().flat_map(|root| traces(owner, root));
        let traces: Vec<PathBuf> = traces.collect();
        if living == 0 && traces.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            bail!("clean up after a killed owner: {living} processes and {traces:?} are left");
        }
        std::thread::sleep(PAUSE);
    }
}

/// Folders named after an owner.
fn traces(owner: u32, root: &Path) -> Vec<PathBuf> {
    let name = format!("swegym-{owner}-");
    let (mut found, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&name) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    found
}

/// Processes below this one.
fn descendants(ancestor: u32) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (HashSet::new(), vec![ancestor]);
    while let Some(parent) = next.pop() {
        let below = children.remove(&parent).unwrap_or_default();
        next.extend(&below);
        found.extend(below);
    }
    found
}

/// Memory of a process, with what it shares divided by how many share it; only root may read it for others.
fn proportional_kib(pid: u32) -> Option<u64> {
    kib_of(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

fn available_kib() -> anyhow::Result<u64> {
    kib_of(&fs::read_to_string("/proc/meminfo")?, "MemAvailable:").context("read how much memory is free")
}

fn kib_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
}
