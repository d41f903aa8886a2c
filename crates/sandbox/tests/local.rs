//! The local backend: the conformance suite, and what only it promises. Started by root, everything runs once
//! more as an ordinary user.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says on standard output what it skips"
)]

mod conformance;
mod network;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use conformance::{Subject, detached_sleep, processes_with, sh, text};
use nix::unistd::Uid;
use swegym_images::{Image, ImageConfig, Layer};
use swegym_sandbox::{
    Backend, Level, Limits, LocalBackend, LocalConfig, Network, Sandbox, SandboxSpec, Upper, clean_leftovers,
    host_base, host_package_masks, layer_owner, probe,
};
use tempfile::TempDir;

/// Where the copy for an ordinary user is told of the guest program.
const GUEST: &str = "SWEGYM_TEST_GUEST";
/// Makes a test process an owner that holds a sandbox until it is killed: the state folder.
const HOLD: &str = "SWEGYM_TEST_HOLD";

fn config(state: &Path) -> LocalConfig {
    let built = env!("CARGO_BIN_EXE_swegym-guest");
    LocalConfig {
        guest_program: std::env::var_os(GUEST).map_or_else(|| built.into(), PathBuf::from),
        guest_args: Vec::new(),
        state_dir: state.to_path_buf(),
    }
}

fn spec() -> SandboxSpec {
    let env = [("HOME", "/root"), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
    SandboxSpec {
        image: Image {
            layers: Vec::new(),
            config: ImageConfig {
                env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
                workdir: "/".into(),
                binds: host_base(),
                masks: host_package_masks(),
            },
        },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
}

/// The state folder goes when the subject does.
async fn subject() -> (Subject, TempDir) {
    let state = tempfile::tempdir().unwrap();
    let backend = LocalBackend::start(&config(state.path())).await.unwrap();
    let subject = Subject { backend: Box::new(backend), spec: spec() };
    (subject, state)
}

macro_rules! run_cases {
    ($($case:ident),*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let (subject, _state) = subject().await;
                conformance::$case(&subject).await;
            }
        )*
    };
}
for_each_case!(run_cases);

/// A folder that belongs to whom layers belong to.
fn layer(parent: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = parent.join(name);
    fs::create_dir(&folder).unwrap();
    for (path, content) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }
    give_away(&folder);
    folder
}

fn give_away(path: &Path) {
    let Some((uid, gid)) = layer_owner() else { return };
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
    chown(path, Some(uid), Some(gid)).unwrap();
}

fn as_layers(folders: &[PathBuf]) -> Vec<Layer> {
    let layer = |path: &PathBuf| Layer { id: String::new(), path: path.clone() };
    folders.iter().map(layer).collect()
}

#[tokio::test]
async fn upper_layers_win_and_stay_as_they_are() {
    let (subject, state) = subject().await;
    let low = layer(state.path(), "low:1,x", &[("etc/motd", "low"), ("only/low", "l"), ("gone", "g")]);
    let high = layer(state.path(), "high", &[("etc/motd", "high"), ("etc/hostname", "of the image")]);
    let layers = as_layers(&[low.clone(), high.clone()]);
    let sandbox = subject.with(|spec| spec.image.layers = layers).await;
    assert_eq!(text(&*sandbox, "cat /etc/motd /only/low /etc/hostname").await, "highlof the image");
    text(&*sandbox, "echo x >> /etc/motd; rm -r /only /gone; mkdir /only; touch /only/new; ls /only").await;
    assert_eq!(text(&*sandbox, "ls /only; cat /etc/motd").await, "new\nhighx\n");
    sandbox.destroy().await.unwrap();
    assert_eq!(fs::read_to_string(high.join("etc/motd")).unwrap(), "high");
    assert!(low.join("only/low").exists() && low.join("gone").exists());
}

/// While a command runs nothing is asked of the launcher, which then makes ahead what the next sandbox needs.
#[tokio::test]
async fn sandboxes_made_ahead_are_what_was_asked_for() {
    let (subject, state) = subject().await;
    for round in 0..6 {
        let name = format!("layer-{round}");
        let layers = as_layers(&[layer(state.path(), &name, &[("file", &name)])]);
        let sandbox = subject.with(|spec| spec.image.layers = layers).await;
        assert_eq!(
            text(&*sandbox, "touch /tmp/x /y; sleep 0.03; cat /file; ls /tmp").await,
            format!("{name}x\n")
        );
        sandbox.destroy().await.unwrap();
    }
    for megabytes in [8, 16] {
        let sandbox = subject.with(|spec| spec.limits.disk_bytes = megabytes << 20).await;
        let size =
            text(&*sandbox, "df -m --output=size / | tail -n 1; ls -A /tmp /file 2> /dev/null; true").await;
        assert_eq!(size.trim(), format!("{megabytes}\n/tmp:"));
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn many_layers_can_be_stacked() {
    let (subject, state) = subject().await;
    let folders: Vec<PathBuf> = (0..120)
        .map(|i| {
            layer(
                state.path(),
                &format!("a layer with a rather long name, number {i}"),
                &[(&format!("l/{i}"), "")],
            )
        })
        .collect();
    let sandbox = subject.with(|spec| spec.image.layers = as_layers(&folders)).await;
    assert_eq!(text(&*sandbox, "ls /l | wc -l").await.trim(), "120");
}

#[tokio::test]
async fn a_missing_layer_is_named() {
    let (subject, state) = subject().await;
    let mut spec = subject.spec.clone();
    spec.image.layers = as_layers(&[state.path().join("nowhere")]);
    let Err(error) = subject.backend.create(&spec).await else { panic!("it was made") };
    let expected = format!("create a sandbox: find layer `{}`: ", state.path().join("nowhere").display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

/// Paths below a folder.
fn tree(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            paths.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    paths.sort();
    paths
}

#[tokio::test]
async fn a_layer_is_built_and_used() {
    let (subject, state) = subject().await;
    let base = layer(state.path(), "base", &[("opt/old", "old")]);
    let built = layer(state.path(), "built", &[]);
    let sandbox = subject
        .with(|spec| {
            spec.image.layers = as_layers(std::slice::from_ref(&base));
            spec.upper = Upper::Folder(built.clone());
        })
        .await;
    text(&*sandbox, "mkdir /opt/tool; echo new > /opt/tool/file; rm /opt/old").await;
    sandbox.destroy().await.unwrap();

    assert_eq!(tree(&built), ["opt", "opt/old", "opt/tool", "opt/tool/file"], "nothing but what was written");
    assert!(!state.path().join("built.work").exists());
    let owner = layer_owner().map_or_else(|| Uid::effective().as_raw(), |(uid, _)| uid);
    assert_eq!(fs::metadata(built.join("opt/tool/file")).unwrap().uid(), owner);

    let layers = as_layers(&[base, built]);
    let sandbox = subject.with(|spec| spec.image.layers = layers).await;
    assert_eq!(text(&*sandbox, "ls /opt; cat /opt/tool/file").await, "tool\nnew\n");
}

/// Skipped where a layer does not lie on a disk whose speed can be limited.
#[tokio::test]
async fn disks_are_read_no_faster_than_allowed() {
    let (subject, state) = subject().await;
    let limits = Limits { io_bytes_per_second: Some(4 << 20), ..Limits::default() };
    if !subject.enforces_of(&limits, "reading") {
        return;
    }
    let folder = layer(state.path(), "big", &[("big", &"x".repeat(8 << 20))]);
    fs::File::open(folder.join("big")).unwrap().sync_all().unwrap();
    let layers = as_layers(&[folder]);
    let sandbox = subject
        .with(|spec| {
            spec.image.layers = layers;
            spec.limits = limits;
        })
        .await;
    let output = sh(&*sandbox, "dd if=/big of=/dev/null bs=1M iflag=direct").await;
    if !output.success() {
        println!("skipped: {}", output.stdout.to_text());
        return;
    }
    // The first second's worth may pass at once.
    assert!(output.wall > Duration::from_millis(900), "{:?}", output.wall);
}

#[tokio::test]
async fn files_of_the_host_are_out_of_reach() {
    let (subject, state) = subject().await;
    fs::write(state.path().join("secret"), "secret").unwrap();
    let sandbox = subject.sandbox().await;
    let state = state.path().display();
    let script =
        format!("ls -A /root /home {state} /sys /boot 2> /dev/null; cat /etc/shadow 2> /dev/null; echo end");
    assert_eq!(text(&*sandbox, &script).await, "/root:\nend\n");
    let mounts = text(&*sandbox, "cat /proc/self/mountinfo").await;
    assert!(!mounts.contains(&state.to_string()), "{mounts}");
}

#[tokio::test]
async fn masked_folders_are_empty() {
    let (subject, _state) = subject().await;
    let mask = PathBuf::from("/usr/share");
    let sandbox =
        subject.with(|spec| spec.image.config.masks = vec![mask, "/usr/no-such-folder".into()]).await;
    assert_eq!(
        text(&*sandbox, "ls -A /usr/share; touch /usr/share/x 2> /dev/null || echo closed").await,
        "closed\n"
    );
}

#[tokio::test]
async fn folders_of_the_host_appear_where_they_are_asked_for() {
    let (subject, state) = subject().await;
    let shared = layer(state.path(), "shared", &[("file", "of the host")]);
    let binds = vec![
        (shared.clone(), PathBuf::from("/mnt/read/only"), false),
        (shared.clone(), PathBuf::from("/mnt/writable"), true),
    ];
    let sandbox = subject.with(|spec| spec.extra_binds = binds).await;
    assert_eq!(text(&*sandbox, "cat /mnt/read/only/file /mnt/writable/file").await, "of the hostof the host");
    let refused = sh(&*sandbox, "echo x > /mnt/read/only/file").await.stdout.to_text();
    assert!(refused.contains("Read-only file system"), "{refused}");
    text(&*sandbox, "echo changed > /mnt/writable/file").await;
    assert_eq!(fs::read_to_string(shared.join("file")).unwrap(), "changed\n");
}

#[tokio::test]
async fn the_network_of_the_host_is_there_on_demand() {
    let (subject, _state) = subject().await;
    let sandbox = subject.with(|spec| spec.network = Network::Host).await;
    let devices = "tail -n +3 /proc/net/dev | cut -d: -f1 | sort";
    let here = Command::new("bash").args(["-c", devices]).output().unwrap().stdout;
    assert_eq!(text(&*sandbox, devices).await.into_bytes(), here);
    if let Ok(resolver) = fs::read_to_string("/etc/resolv.conf") {
        assert_eq!(text(&*sandbox, "cat /etc/resolv.conf").await, resolver);
    }
}

/// Groups and scratch of this process's backends, and of the process with this id.
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

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{what}");
}

fn marker(pid: u32) -> String {
    format!("{}.75", 3_000_000 + pid)
}

/// Runs only as a process of `a_killed_owner_leaves_nothing`.
#[tokio::test]
async fn hold_a_sandbox() {
    let Some(state) = std::env::var_os(HOLD) else { return };
    let backend = LocalBackend::start(&config(Path::new(&state))).await.unwrap();
    let sandbox = backend.create(&spec()).await.unwrap();
    let upper = layer(Path::new(&state), "upper", &[]);
    let building = SandboxSpec { upper: Upper::Folder(upper), ..spec() };
    let other = backend.create(&building).await.unwrap();
    let script = detached_sleep(&marker(std::process::id()));
    for sandbox in [&sandbox, &other] {
        text(&**sandbox, &script).await;
    }
    fs::write(Path::new(&state).join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[test]
fn a_killed_owner_leaves_nothing() {
    let state = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["hold_a_sandbox", "--exact"])
        .env(HOLD, state.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = state.path().join("ready");
    wait_until("the owner began", || ready.exists());
    let marker = marker(owner.id());
    assert_eq!(processes_with(&marker), 2);
    assert!(!traces_of(owner.id(), state.path()).is_empty());

    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("nothing is left", || {
        processes_with(&marker) == 0 && traces_of(owner.id(), state.path()).is_empty()
    });
    assert!(!state.path().join("upper.work").exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&state.path().display().to_string()));
    assert!(clean_leftovers(state.path()).unwrap().folders.is_empty());
}

#[tokio::test]
async fn a_dropped_backend_and_sandbox_leave_nothing() {
    let (subject, state) = subject().await;
    let sandbox: Box<dyn Sandbox> = subject.sandbox().await;
    let marker = format!("{}.5", 4_000_000 + std::process::id());
    text(&*sandbox, &detached_sleep(&marker)).await;
    drop(sandbox);
    wait_until("the process is gone", || processes_with(&marker) == 0);
    drop(subject);
    wait_until("the scratch is gone", || fs::read_dir(state.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn doctor_finds_that_sandboxes_work() {
    let state = tempfile::tempdir().unwrap();
    let probes = probe(&config(state.path())).await;
    let names: Vec<&str> = probes.iter().map(|probe| probe.name).collect();
    assert_eq!(names, ["kernel", "user namespaces", "overlayfs", "proc", "limits", "sandbox"]);
    assert!(probes.iter().all(|probe| probe.level != Level::Fail), "{probes:#?}");
}

#[tokio::test]
async fn doctor_says_what_is_missing() {
    let state = tempfile::tempdir().unwrap();
    let broken = LocalConfig { guest_program: "/usr/bin/false".into(), ..config(state.path()) };
    let probes = probe(&broken).await;
    let last = probes.last().unwrap();
    assert_eq!((last.name, last.level), ("sandbox", Level::Fail));
    assert!(last.detail.starts_with("failed to start the sandbox launcher"), "{}", last.detail);
}

#[test]
fn everything_holds_for_an_ordinary_user() {
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
        chown(&to, Some(NOBODY), Some(NOBODY)).unwrap();
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
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        println!("as an ordinary user: {}", line.unwrap());
    }
    assert!(child.wait().unwrap().success());
}
