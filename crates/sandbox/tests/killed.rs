//! An owner under load is killed at a hundred moments, and leaves nothing behind; its store still verifies. Started by root, it runs once
//! more as an ordinary user.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says on standard output what it saw"
)]

#[expect(dead_code, reason = "it serves other test programs too")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::{config, spec, traces_of, wait_until};
use swegym_images::{Begin, LayerStore, Recipe};
use swegym_sandbox::{
    Backend, ExecRequest, LocalBackend, SandboxSpec, SessionSpec, Upper, clean_leftovers, layer_owner,
};

/// Makes a test process an owner under load: its folder.
const LOAD: &str = "SWEGYM_TEST_LOAD";
const KILLS: u32 = 100;
/// Owners are killed within this time of their first sandbox; by then each worker has been through its
/// round a few times.
const LIFE: Duration = Duration::from_millis(200);

fn store(folder: &Path) -> LayerStore {
    LayerStore::open(folder.join("store"), layer_owner()).unwrap()
}

/// An argument that only processes of sandboxes of this folder have.
fn marker(folder: &Path) -> String {
    let name = folder.file_name().unwrap().to_string_lossy();
    format!("marker-{name}")
}

/// Runs only as a process of `leave_nothing_when_killed`: workers that make sandboxes, leave processes in them,
/// fork, hold sessions, build layers and destroy, until killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load() {
    let Some(folder) = std::env::var_os(LOAD).map(PathBuf::from) else { return };
    let backend = LocalBackend::start(&config(&folder.join("state"))).await.unwrap();
    let rounds = AtomicU64::new(0);
    let user = || async {
        loop {
            use_a_sandbox(&backend, &folder).await;
            fs::write(folder.join("began"), "").unwrap();
        }
    };
    let builder = async {
        loop {
            let round = rounds.fetch_add(1, Ordering::Relaxed);
            build_a_layer(&backend, &folder, &format!("{}-{round}", std::process::id())).await;
        }
    };
    tokio::join!(user(), user(), builder);
}

async fn use_a_sandbox(backend: &LocalBackend, folder: &Path) {
    let sandbox = backend.create(&spec()).await.unwrap();
    let script =
        format!("bash -c 'exec -a {} sleep 1000' > /dev/null 2>&1 & echo x > /tmp/file", marker(folder));
    let output = sandbox.exec(&ExecRequest::shell(script)).await.unwrap();
    assert!(output.success(), "{output:?}");
    let fork = sandbox.fork().await.unwrap();
    let session = fork.open_session(&SessionSpec::default()).await.unwrap();
    session.run("sleep 1000 & cat /tmp/file", Duration::from_secs(20)).await.unwrap();
    sandbox.destroy().await.unwrap();
    fork.destroy().await.unwrap();
}

async fn build_a_layer(backend: &LocalBackend, folder: &Path, name: &str) {
    let store = store(folder);
    let Begin::Build(build) = store.begin(&Recipe::new("load", &name).unwrap()).unwrap() else {
        panic!("{name} is there already");
    };
    let spec = SandboxSpec { upper: Upper::Folder(build.files()), ..spec() };
    let sandbox = backend.create(&spec).await.unwrap();
    let script = format!("mkdir /opt; seq 1000 > /opt/a; echo {name} > /opt/b");
    let output = sandbox.exec(&ExecRequest::shell(script)).await;
    assert!(output.unwrap().success());
    sandbox.destroy().await.unwrap();
    build.commit().unwrap();
}

fn start_owner(folder: &Path) -> Child {
    let owner = Command::new(std::env::current_exe().unwrap())
        .args(["load", "--exact"])
        .env(LOAD, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the owner began", || folder.join("began").exists());
    owner
}

/// Processes of the machine with the marker of this folder, and launchers of this owner.
fn processes_of(folder: &Path) -> usize {
    let marker = marker(folder);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&marker)).count()
}

/// A different moment in each round, the same ones in every run.
fn moment(round: u32) -> Duration {
    let spread = round.wrapping_mul(2_654_435_761) >> 16;
    LIFE * (spread % 1000) / 1000
}

#[test]
fn leave_nothing_when_killed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("state")).unwrap();
    for round in 0..KILLS {
        let mut owner = start_owner(folder);
        std::thread::sleep(moment(round));
        owner.kill().unwrap();
        owner.wait().unwrap();
        wait_until("processes, groups and scratch are gone", || {
            processes_of(folder) == 0 && traces_of(owner.id(), &folder.join("state")).is_empty()
        });
        fs::remove_file(folder.join("began")).unwrap();
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&folder.display().to_string()), "{mounts}");
    assert!(clean_leftovers(&folder.join("state")).unwrap().folders.is_empty());

    let store = store(folder);
    let unfinished = store.clean_leftovers().unwrap();
    let layers = fs::read_dir(folder.join("store/layers")).unwrap().count();
    println!("{KILLS} owners killed: {layers} layers whole, {unfinished} unfinished ones removed");
    assert!(layers > 0);
    let verified = store.verify(false).unwrap();
    assert!(verified.faults.is_empty(), "{verified:?}");
    assert_eq!(fs::read_dir(folder.join("store/building")).unwrap().count(), 0);
}

#[test]
fn an_ordinary_user_leaves_nothing_either() {
    support::run_as_an_ordinary_user();
}
