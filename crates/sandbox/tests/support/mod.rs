//! What the test programs of this crate share.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;
use swegym_images::{Image, ImageConfig, Layer};
use swegym_sandbox::{
    Limits, LocalConfig, Network, SandboxSpec, Upper, host_base, host_package_masks, layer_owner,
};

/// Where the copy for an ordinary user is told of the guest program.
const GUEST: &str = "SWEGYM_TEST_GUEST";

pub(crate) fn config(state: &Path) -> LocalConfig {
    let built = env!("CARGO_BIN_EXE_swegym-guest");
    LocalConfig {
        guest_program: std::env::var_os(GUEST).map_or_else(|| built.into(), PathBuf::from),
        guest_args: Vec::new(),
        state_dir: state.to_path_buf(),
    }
}

pub(crate) fn spec() -> SandboxSpec {
    let env = [("HOME", "/root"), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
    SandboxSpec {
        image: Image {
            layers: Vec::new(),
            reference: None,
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

/// A folder that belongs to whom layers belong to.
pub(crate) fn layer(parent: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
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

pub(crate) fn as_layers(folders: &[PathBuf]) -> Vec<Layer> {
    let layer = |path: &PathBuf| Layer::unmanaged("", path);
    folders.iter().map(layer).collect()
}

/// Groups and scratch of this process's backends, and of the process with this id.
pub(crate) fn traces_of(pid: u32, state: &Path) -> Vec<PathBuf> {
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

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{what}");
}

/// A script that leaves a process with this argument behind, and ends when it is there.
pub(crate) fn detached_sleep(marker: &str) -> String {
    format!("setsid sleep {marker} > /dev/null 2>&1 & until pgrep -x sleep > /dev/null; do :; done")
}

/// Processes of the host with this argument.
pub(crate) fn processes_with(argument: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).skip(1).any(|word| word == argument.as_bytes())).count()
}

/// Runs the tests of this program once more, as an ordinary user.
pub(crate) fn run_as_an_ordinary_user() {
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
