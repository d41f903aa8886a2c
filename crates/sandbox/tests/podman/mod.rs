//! A Podman service with storage of its own in a temporary folder, and images made of programs of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

/// Where the copy of the tests is told of the service.
pub(crate) const SOCKET: &str = "SWEGYM_TEST_DOCKER";
/// An image with a shell and the usual tools.
pub(crate) const FULL: &str = "localhost/swegym-test-full:1";
/// The same with settings.
pub(crate) const SETTINGS: &str = "localhost/swegym-test-settings:1";
/// An image with nothing but what whoever starts the service puts into it.
pub(crate) const EMPTY: &str = "localhost/swegym-test-empty:1";

const PATIENCE: Duration = Duration::from_secs(60);
const FOLDERS: [&str; 11] =
    ["dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "var/tmp", "usr/lib"];
const LINKS: [(&str, &str); 3] = [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib")];
const PROGRAMS: [&str; 71] = [
    "basename",
    "bash",
    "cat",
    "chmod",
    "chroot",
    "cmp",
    "comm",
    "cp",
    "cut",
    "date",
    "dd",
    "diff",
    "dirname",
    "echo",
    "env",
    "false",
    "find",
    "git",
    "git-upload-pack",
    "grep",
    "head",
    "hostname",
    "id",
    "kill",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "mount",
    "mv",
    "nice",
    "od",
    "pgrep",
    "pkill",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setsid",
    "sh",
    "sleep",
    "sort",
    "stat",
    "stty",
    "sync",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "truncate",
    "tty",
    "umount",
    "uname",
    "uniq",
    "unshare",
    "wc",
    "whoami",
    "xargs",
    "yes",
];
/// More than Podman may hand on is refused by machines that limit it.
const OPEN_FILES: u64 = 1024;
const PROCESSES: u64 = 1024;

/// Imports the images, then becomes the service. `$1` is the socket; options of Podman follow.
const SCRIPT: &str = "\
set -e
socket=$1; shift
podman \"$@\" import full.tar localhost/swegym-test-full:1
podman \"$@\" import -c 'ENV OF_IMAGE=1' -c 'ENV LD_DEBUG=help' -c 'WORKDIR /of/image' full.tar \
    localhost/swegym-test-settings:1
podman \"$@\" import empty.tar localhost/swegym-test-empty:1
exec podman \"$@\" system service --time 0 \"unix://$socket\"";

/// The service; it ends, and its storage with it, when this is dropped.
pub(crate) struct Service {
    folder: TempDir,
    process: Child,
}

impl Service {
    /// Starts it, or says why it cannot.
    pub(crate) fn start(fill_empty: impl FnOnce(&Path)) -> Result<Self, String> {
        if Command::new("podman").arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err("podman is not installed".to_owned());
        }
        let folder = tempfile::tempdir().unwrap();
        make_images(folder.path(), fill_empty);
        configure(folder.path());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = script()
            .arg(folder.path().join("socket"))
            .args(options(folder.path()))
            .env("CONTAINERS_CONF", folder.path().join("containers.conf"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("start podman's service: {error}"))?;
        let mut service = Self { folder, process };
        service.wait()?;
        service.try_a_container()?;
        Ok(service)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn wait(&mut self) -> Result<(), String> {
        let give_up = Instant::now() + PATIENCE;
        while UnixStream::connect(self.socket()).is_err() {
            if self.process.try_wait().unwrap().is_some() || Instant::now() > give_up {
                return Err(format!("podman's service does not start here: {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether Podman can run anything here is not what is tested.
    fn try_a_container(&self) -> Result<(), String> {
        let tried = remote(&self.socket())
            .args(["run", "--rm", "--network", "none", FULL, "true"])
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&tried.stderr);
        if tried.status.success() {
            Ok(())
        } else {
            Err(format!("podman cannot run a container here: {said}"))
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = remote(&self.socket()).args(["rm", "--all", "--force"]).output();
        let _ = self.process.kill();
        let _ = self.process.wait();
        end_pause_process(self.folder.path());
    }
}

/// An ordinary user's Podman leaves a process behind that holds its namespaces.
fn end_pause_process(folder: &Path) {
    let pid = fs::read_to_string(folder.join("tmp/pause.pid")).unwrap_or_default();
    if let Ok(pid) = pid.trim().parse() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Runs [`SCRIPT`]; what root's Podman mounts goes with it.
fn script() -> Command {
    if Uid::effective().is_root() {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
        return command;
    }
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]);
    command
}

/// Storage and state apart from those of this machine.
fn options(folder: &Path) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    let mut options = vec![
        format!("--root={}", at("storage")),
        format!("--runroot={}", at("run")),
        format!("--tmpdir={}", at("tmp")),
        "--cgroup-manager=cgroupfs".to_owned(),
        "--events-backend=file".to_owned(),
    ];
    if find("runc").is_some() {
        options.push("--runtime=runc".to_owned());
    }
    options
}

fn configure(folder: &Path) {
    let limit = |resource, most: u64| getrlimit(resource).map_or(most, |(_, hard)| most.min(hard));
    let files = limit(Resource::RLIMIT_NOFILE, OPEN_FILES);
    let processes = limit(Resource::RLIMIT_NPROC, PROCESSES);
    let limits = format!("\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"");
    fs::write(folder.join("containers.conf"), format!("[containers]\ndefault_ulimits = [{limits}]\n"))
        .unwrap();
}

/// Runs Podman's client against the service that this process was told of.
pub(crate) fn podman(arguments: &[&str]) -> String {
    let socket = std::env::var_os(SOCKET).unwrap();
    let run = || remote(Path::new(&socket)).args(arguments).output().unwrap();
    // Its lists fail when what they tell of goes away meanwhile, as other tests make it.
    let goes_away = |output: &Output| String::from_utf8_lossy(&output.stderr).contains("image not known");
    let mut output = run();
    for _ in 0..20 {
        if !goes_away(&output) {
            break;
        }
        output = run();
    }
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn remote(socket: &Path) -> Command {
    let mut command = Command::new("podman");
    command.arg("--remote").arg("--url").arg(format!("unix://{}", socket.display()));
    command.env("XDG_RUNTIME_DIR", socket.parent().unwrap());
    command
}

fn find(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

fn make_images(folder: &Path, fill_empty: impl FnOnce(&Path)) {
    let full = folder.join("full");
    for name in FOLDERS {
        fs::create_dir_all(full.join(name)).unwrap();
    }
    for name in ["tmp", "var/tmp"] {
        fs::set_permissions(full.join(name), fs::Permissions::from_mode(0o1777)).unwrap();
    }
    LINKS.iter().for_each(|(link, target)| symlink(target, full.join(link)).unwrap());
    fs::write(full.join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n").unwrap();
    fs::write(full.join("etc/group"), "root:x:0:\n").unwrap();
    let programs: Vec<PathBuf> = PROGRAMS.iter().filter_map(|name| find(name)).collect();
    for program in &programs {
        fs::copy(program, full.join("usr/bin").join(program.file_name().unwrap())).unwrap();
    }
    for library in libraries(&programs) {
        fs::copy(&library, full.join("usr/lib").join(library.file_name().unwrap())).unwrap();
    }
    let empty = folder.join("empty");
    fs::create_dir(&empty).unwrap();
    fill_empty(&empty);
    for name in ["full", "empty"] {
        let archive = folder.join(format!("{name}.tar"));
        let packed = Command::new("tar")
            .args(["--owner=0", "--group=0", "-cf"])
            .arg(archive)
            .arg("-C")
            .arg(folder.join(name))
            .arg(".")
            .status();
        assert!(packed.unwrap().success());
    }
}

/// All that the programs are linked with, the loader included.
fn libraries(programs: &[PathBuf]) -> BTreeSet<PathBuf> {
    let listed = Command::new("ldd").args(programs).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout);
    let words = listed.lines().filter(|line| line.starts_with('\t')).flat_map(str::split_whitespace);
    words.filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}
