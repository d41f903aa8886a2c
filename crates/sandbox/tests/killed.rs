//! An owner under load is killed at a hundred moments, and leaves nothing behind. Started by root, it runs once
//! more as an ordinary user.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use swegym_images::{Begin, Image, ImageConfig, LayerStore, Recipe};
use swegym_sandbox::{
    Backend, ExecRequest, Limits, LocalBackend, LocalConfig, Network, SandboxSpec, Upper, clean_leftovers,
    host_base, layer_owner,
};

/// Where the copy for an ordinary user is told of the guest program.
const GUEST: &str = "SWEGYM_TEST_GUEST";
/// Makes a test process an owner under load: its folder.
const LOAD: &str = "SWEGYM_TEST_LOAD";
const KILLS: u32 = 100;
/// Owners are killed within this time of their first sandbox; by then each worker has been through its round
/// a few times.
const LIFE: Duration = Duration::from_millis(150);
/// How long the remains of an owner may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

fn config(state: &Path) -> LocalConfig {
    let built = env!("CARGO_BIN_EXE_swegym-guest");
    LocalConfig {
        guest_program: std::env::var_os(GUEST).map_or_else(|| built.into(), PathBuf::from),
        guest_args: Vec::new(),
        state_dir: state.join("state"),
    }
}

fn spec() -> SandboxSpec {
    let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
    SandboxSpec {
        image: Image {
            config: ImageConfig { env, workdir: "/".into(), binds: host_base(), ..ImageConfig::default() },
            ..Image::default()
        },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
}

fn store(folder: &Path) -> LayerStore {
    LayerStore::open(folder.join("store"), layer_owner()).unwrap()
}

/// An argument that only processes of sandboxes of this folder have.
fn marker(folder: &Path) -> String {
    let name = folder.file_name().unwrap().to_string_lossy();
    format!("marker-{name}")
}

/// Runs only as a process of `leave_nothing_when_killed`: workers that make sandboxes, leave processes in them,
/// write, build layers and destroy, until killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load() {
    let Some(folder) = std::env::var_os(LOAD).map(PathBuf::from) else { return };
    let backend = LocalBackend::start(&config(&folder)).await.unwrap();
    let rounds = AtomicU64::new(0);
    let worker = |worker: u32| {
        let (backend, folder, rounds) = (&backend, &folder, &rounds);
        async move {
            loop {
                let round = rounds.fetch_add(1, Ordering::Relaxed);
                use_a_sandbox(backend, folder).await;
                build_a_layer(backend, folder, &format!("{}-{worker}-{round}", std::process::id())).await;
                fs::write(folder.join("began"), "").unwrap();
            }
        }
    };
    tokio::join!(worker(0), worker(1), worker(2));
}

async fn use_a_sandbox(backend: &LocalBackend, folder: &Path) {
    let sandbox = backend.create(&spec()).await.unwrap();
    let script =
        format!("bash -c 'exec -a {} sleep 1000' > /dev/null 2>&1 & echo x > /tmp/file", marker(folder));
    let output = sandbox.exec(&ExecRequest::shell(script)).await.unwrap();
    assert!(output.success(), "{output:?}");
    sandbox.destroy().await.unwrap();
}

async fn build_a_layer(backend: &LocalBackend, folder: &Path, name: &str) {
    let store = store(folder);
    let Begin::Build(build) = store.begin(&Recipe::new("load", &name).unwrap()).unwrap() else {
        panic!("{name} is there already");
    };
    let spec = SandboxSpec { upper: Upper::Folder(build.files()), ..spec() };
    let sandbox = backend.create(&spec).await.unwrap();
    let output = sandbox.exec(&ExecRequest::shell("mkdir /opt; seq 1000 > /opt/a; seq 9 > /opt/b")).await;
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

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < give_up, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Processes of the machine with the marker of this folder, and launchers of this owner.
fn processes_of(folder: &Path) -> usize {
    let marker = marker(folder);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&marker)).count()
}

/// Folders named after the owner with this process id, in the state folder and among the control groups.
fn traces_of(pid: u32, state: &Path) -> Vec<PathBuf> {
    let start = format!("swegym-{pid}-");
    let mut traces = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup"), state.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&start) {
                traces.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    traces
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
    assert_eq!(fs::read_dir(folder.join("store/building")).unwrap().count(), 0);
}

#[test]
fn an_ordinary_user_leaves_nothing_either() {
    if !Uid::effective().is_root() {
        println!("skipped: these tests run as an ordinary user already");
        return;
    }
    const NOBODY: u32 = 65534;
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let copy = |from: &Path, name: &str| {
        let to = home.path().join(name);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        to
    };
    let tests = copy(&std::env::current_exe().unwrap(), "tests");
    let guest = copy(&config(home.path()).guest_program, "guest");
    let mut child = Command::new(tests)
        .arg("--nocapture")
        .env_clear()
        .envs([("HOME", home.path()), ("TMPDIR", home.path()), (GUEST, &guest)])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(home.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        println!("as an ordinary user: {}", line.unwrap());
    }
    assert!(child.wait().unwrap().success());
}
