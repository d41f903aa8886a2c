//! The docker backend: the conformance suite, and what only it promises, against a Podman service of our own with
//! storage of its own. The tests run in a copy of this program, which `everything_holds_on_podman` starts with
//! the service's socket.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says on standard output what it skips"
)]

mod bare;
mod conformance;
mod podman;
#[expect(dead_code, reason = "it serves other test programs too")]
mod support;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use conformance::{Ability, Subject, sh, text};
use nix::unistd::Uid;
use podman::{EMPTY, FULL, SETTINGS, SOCKET, podman};
use support::{detached_sleep, processes_with};
use swegym_images::{Image, ImageConfig, Layer};
use swegym_sandbox::{
    Allowlist, Backend, Change, ChangeKind, DockerBackend, DockerConfig, Limits, Network, Sandbox,
    SandboxError, SandboxSpec, Upper, clean_docker_leftovers,
};
use tempfile::TempDir;

/// Where the copy for an ordinary user is told of the guest program.
const GUEST: &str = "SWEGYM_TEST_GUEST";
/// What containers cannot, or not well.
const LACKS: &[(Ability, &str)] = &[
    (Ability::Checkpoints, "containers have none"),
    (Ability::ExactChanges, "changes are what the container daemon tells: metadata counts, names are text"),
    (
        Ability::ExactForks,
        "the container daemon copies files whole, times in seconds, and not the mode of `/`",
    ),
    (Ability::ManyFiles, "all folders but /dev/shm are on the daemon's disk; that one is used"),
    (Ability::QuickForks, "a fork is an image and a container of the daemon; fewer are made"),
];
fn allowlist(hosts: &[&str]) -> Network {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    Network::Allowlist(Allowlist { hosts, service: None })
}

/// Makes a test process an owner that holds a sandbox until it is killed: the state folder.
const HOLD: &str = "SWEGYM_TEST_HOLD";

fn socket() -> Option<String> {
    let socket = std::env::var(SOCKET).ok();
    if socket.is_none() {
        println!("skipped: it runs in the copy that `everything_holds_on_podman` starts");
    }
    socket
}

fn guest() -> PathBuf {
    std::env::var_os(GUEST).map_or_else(|| env!("CARGO_BIN_EXE_swegym-guest").into(), PathBuf::from)
}

fn config(socket: String, state: &Path) -> DockerConfig {
    DockerConfig {
        socket,
        pull: false,
        guest_program: guest(),
        guest_args: Vec::new(),
        state_dir: state.to_path_buf(),
    }
}

fn spec() -> SandboxSpec {
    let env = [("HOME", "/root"), ("PATH", "/usr/bin")];
    SandboxSpec {
        image: Image {
            layers: Vec::new(),
            reference: Some(FULL.to_owned()),
            config: ImageConfig {
                env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
                ..ImageConfig::default()
            },
        },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
}

/// The state folder goes when the subject does.
async fn subject() -> Option<(Subject, TempDir)> {
    let socket = socket()?;
    let state = tempfile::tempdir().unwrap();
    let backend = DockerBackend::start(&config(socket, state.path())).await.unwrap();
    Some((Subject { backend: Box::new(backend), spec: spec(), lacks: LACKS }, state))
}

macro_rules! run_cases {
    ($($case:ident),*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let Some((subject, _state)) = subject().await else { return };
                conformance::$case(&subject).await;
            }
        )*
    };
}
for_each_case!(run_cases);

fn with_image(reference: &str) -> SandboxSpec {
    let image = Image { reference: Some(reference.to_owned()), ..Image::default() };
    SandboxSpec { image, ..spec() }
}

async fn create_error(subject: &Subject, spec: &SandboxSpec) -> SandboxError {
    match subject.backend.create(spec).await {
        Ok(_) => panic!("it was made"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn settings_of_the_image_hold_below_those_of_the_specification() {
    let Some((subject, _state)) = subject().await else { return };
    // With what the image says, the loader would only print its help: also in place of our program.
    let mut spec = with_image(SETTINGS);
    spec.image.config.env.insert("LD_DEBUG".to_owned(), String::new());
    let sandbox = subject.backend.create(&spec).await.unwrap();
    assert_eq!(text(&*sandbox, "echo $OF_IMAGE $HOME; pwd").await, "1 /root\n/of/image\n");
    spec.image.config.env.insert("OF_IMAGE".to_owned(), "2".to_owned());
    spec.image.config.workdir = "/made/for/it".into();
    let sandbox = subject.backend.create(&spec).await.unwrap();
    assert_eq!(text(&*sandbox, "echo $OF_IMAGE; pwd").await, "2\n/made/for/it\n");
}

#[tokio::test]
async fn an_image_with_nothing_in_it_will_do() {
    let Some((subject, _state)) = subject().await else { return };
    let sandbox = subject.backend.create(&with_image(EMPTY)).await.unwrap();
    bare::check(&*sandbox).await;
}

#[tokio::test]
async fn images_that_cannot_be_used_are_told() {
    let Some((subject, _state)) = subject().await else { return };
    let error = create_error(&subject, &with_image("localhost/no-such-image:1")).await;
    assert_eq!(
        error.to_string(),
        "use the image `localhost/no-such-image:1`: the container daemon does not have it"
    );
    assert!(!error.hints().is_empty());
    let mut layered = spec();
    layered.image.layers = vec![Layer::unmanaged("", "/")];
    assert!(!create_error(&subject, &layered).await.hints().is_empty());
    let folder = SandboxSpec { upper: Upper::Folder("/tmp".into()), ..spec() };
    assert!(matches!(create_error(&subject, &folder).await, SandboxError::Unsupported { .. }));
    let listed = SandboxSpec { network: allowlist(&["https://files.example"]), ..spec() };
    assert!(create_error(&subject, &listed).await.to_string().contains("read its list of hosts"));
}

#[tokio::test]
async fn listed_hosts_are_reached_and_no_others() {
    let Some((subject, _state)) = subject().await else { return };
    let [listed, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [listed, other] = [listed, other].map(|listener| {
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let body = format!("this is {address}\n");
                let _ = write!(client, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        address.to_string()
    });
    let sandbox = subject.with(|spec| spec.network = allowlist(&[&listed])).await;
    let fork = sandbox.fork().await.unwrap();
    for sandbox in [&*sandbox, &*fork] {
        let ask = |address: &str| {
            format!(
                "exec 3<>/dev/tcp/127.0.0.1/${{http_proxy##*:}} && \
                 printf 'GET http://{address}/ HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
            )
        };
        let answer = sh(sandbox, &ask(&listed)).await.stdout.to_text();
        assert!(answer.contains(&format!("this is {listed}")), "{answer}");
        let refusal = sh(sandbox, &ask(&other)).await.stdout.to_text();
        assert!(!refusal.contains("this is") && refusal.starts_with("HTTP/1.1 403"), "{refusal}");
        let direct = sh(sandbox, &format!("exec 3<>/dev/tcp/{}", listed.replace(':', "/"))).await;
        assert!(!direct.success());
        let asked: Vec<bool> =
            sandbox.connections().unwrap().latest.iter().map(|asked| asked.allowed).collect();
        assert_eq!(asked, [true, false]);
    }
}

#[tokio::test]
async fn a_program_that_does_not_start_is_told_with_what_it_says() {
    let Some(socket) = socket() else { return };
    let state = tempfile::tempdir().unwrap();
    let broken = DockerConfig {
        guest_program: "/bin/ls".into(),
        guest_args: vec!["/no-such-file".to_owned()],
        ..config(socket, state.path())
    };
    let backend = DockerBackend::start(&broken).await.unwrap();
    let Err(error) = backend.create(&spec()).await else { panic!("it was made") };
    let message = error.to_string();
    assert!(message.contains("it ended at once") && message.contains("/no-such-file"), "{message}");
}

#[tokio::test]
async fn a_daemon_that_refuses_a_container_is_heard() {
    let Some((subject, _state)) = subject().await else { return };
    let mut spec = spec();
    spec.extra_binds = vec![("/no/such/folder".into(), "/mnt".into(), false)];
    let message = create_error(&subject, &spec).await.to_string();
    assert!(message.starts_with("create a sandbox: find `/no/such/folder`"), "{message}");
    assert!(!Path::new("/no").exists());
    spec.extra_binds = vec![("/usr".into(), "/".into(), false)];
    let message = create_error(&subject, &spec).await.to_string();
    assert!(message.starts_with("use the container daemon: "), "{message}");
    assert!(message.contains(" a container: "), "{message}");
}

#[tokio::test]
async fn folders_of_the_host_appear_where_they_are_asked_for() {
    let Some((subject, state)) = subject().await else { return };
    let shared = state.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "of the host").unwrap();
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
    assert_eq!(sandbox.changes().await.unwrap(), []);
}

#[tokio::test]
async fn the_network_of_the_host_is_there_on_demand() {
    let Some((subject, _state)) = subject().await else { return };
    let sandbox = subject.with(|spec| spec.network = Network::Host).await;
    let devices = "tail -n +3 /proc/net/dev | cut -d: -f1 | sort";
    let here = Command::new("bash").args(["-c", devices]).output().unwrap().stdout;
    assert_eq!(text(&*sandbox, devices).await.into_bytes(), here);
}

#[tokio::test]
async fn our_own_files_cannot_be_changed_or_used() {
    let Some((subject, _state)) = subject().await else { return };
    let sandbox = subject.sandbox().await;
    let script = "\
echo x >> /.swegym/guest && echo written
rm /.swegym/guest && echo removed
touch /.swegym/control/x && echo touched
echo x >> /proc/$PPID/exe && echo changed
ls -A /.swegym/control; echo end";
    let said = sh(&*sandbox, script).await.stdout.to_text();
    assert_eq!(said.lines().last(), Some("end"), "{said}");
    assert!(
        !["written", "removed", "touched", "changed", "socket"]
            .iter()
            .any(|word| said.lines().any(|line| line == *word)),
        "{said}"
    );
}

fn change(path: &str, kind: ChangeKind) -> Change {
    Change { path: path.as_bytes().to_vec(), kind }
}

#[tokio::test]
async fn changed_files_are_told() {
    let Some((subject, _state)) = subject().await else { return };
    let sandbox = subject.sandbox().await;
    assert_eq!(sandbox.changes().await.unwrap(), []);
    text(&*sandbox, "echo x >> /etc/passwd; mkdir /new; touch /new/file; rm -r /var").await;
    let expected = [
        change("/etc/passwd", ChangeKind::Modified),
        change("/new", ChangeKind::Added),
        change("/new/file", ChangeKind::Added),
        change("/var", ChangeKind::Deleted),
    ];
    assert_eq!(sandbox.changes().await.unwrap(), expected);
}

/// The name of the only backend that has this state folder: other tests have theirs in the same process.
fn owner(state: &Path) -> String {
    let scratch = fs::read_dir(state).unwrap().next().unwrap().unwrap();
    scratch.file_name().into_string().unwrap()
}

/// Images of forks that the backend with this state folder made.
fn fork_images(state: &Path) -> String {
    let listed = podman(&["images", "--all", "--format", "{{.Repository}}:{{.Tag}}"]);
    let ours = format!("{}-", owner(state));
    listed.lines().filter(|line| line.contains(&ours)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn forks_go_their_own_ways_and_leave_no_images() {
    let Some((subject, state)) = subject().await else { return };
    let first = subject.sandbox().await;
    text(&*first, "echo first > /root/file").await;
    let second = first.fork().await.unwrap();
    text(&*first, "echo changed > /root/file").await;
    assert_eq!(text(&*second, "cat /root/file; echo $HOME").await, "first\n/root\n");
    text(&*second, "echo second > /root/file").await;
    let third = second.fork().await.unwrap();
    assert_eq!(text(&*third, "cat /root/file").await, "second\n");
    assert_eq!(text(&*first, "cat /root/file").await, "changed\n");
    assert!(fork_images(state.path()).contains("swegym-fork"));
    second.destroy().await.unwrap();
    assert_eq!(text(&*third, "cat /root/file").await, "second\n");
    third.destroy().await.unwrap();
    assert_eq!(fork_images(state.path()), "");
    first.destroy().await.unwrap();
}

#[tokio::test]
async fn forks_that_nobody_waits_for_leave_nothing() {
    let Some((subject, state)) = subject().await else { return };
    let parent = subject.sandbox().await;
    let ours = format!("{}-", owner(state.path()));
    for number in 0..4 {
        let patience = std::time::Duration::from_millis(5 + 150 * number);
        drop(tokio::time::timeout(patience, parent.fork()).await);
    }
    for _ in 0..600 {
        if containers_named(&ours).lines().count() == 1 && fork_images(state.path()).is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("left: {} {}", containers_named(&ours), fork_images(state.path()));
}

fn containers_of(pid: u32) -> String {
    containers_named(&format!("swegym-{pid}-"))
}

fn containers_named(start: &str) -> String {
    let listed = podman(&["ps", "--all", "--format", "{{.Names}}"]);
    listed.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>().join("\n")
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{what}");
}

fn marker(pid: u32) -> String {
    format!("{}.75", 5_000_000 + pid)
}

/// Runs only as a process of `a_killed_owner_leaves_nothing`.
#[tokio::test]
async fn hold_a_sandbox() {
    let Some(state) = std::env::var_os(HOLD) else { return };
    let backend = DockerBackend::start(&config(socket().unwrap(), Path::new(&state))).await.unwrap();
    let sandbox = backend.create(&spec()).await.unwrap();
    let other = sandbox.fork().await.unwrap();
    for sandbox in [&sandbox, &other] {
        text(&**sandbox, &detached_sleep(&marker(std::process::id()))).await;
    }
    fs::write(Path::new(&state).join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[test]
fn a_killed_owner_leaves_nothing() {
    let Some(socket) = socket() else { return };
    let state = tempfile::tempdir().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["hold_a_sandbox", "--exact"])
        .env(HOLD, state.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = state.path().join("ready");
    wait_until("the owner began", || ready.exists());
    let (pid, marker) = (owner.id(), marker(owner.id()));
    assert_eq!(processes_with(&marker), 2);
    assert_eq!(containers_of(pid).lines().count(), 2);

    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("nothing runs", || processes_with(&marker) == 0 && containers_of(pid).is_empty());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(clean_docker_leftovers(&socket)).unwrap();
    let images = podman(&["images", "--all", "--format", "{{.Tag}}"]);
    assert!(!images.contains(&format!("swegym-{pid}-")), "{images}");
    // Any backend of this machine would do.
    runtime.block_on(DockerBackend::start(&config(socket, state.path()))).unwrap();
    let left: Vec<_> = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ready"]);
}

#[tokio::test]
async fn a_dropped_sandbox_and_backend_leave_nothing() {
    let Some((subject, state)) = subject().await else { return };
    let sandbox: Box<dyn Sandbox> = subject.sandbox().await;
    let marker = format!("{}.5", 6_000_000 + std::process::id());
    text(&*sandbox, &detached_sleep(&marker)).await;
    drop(sandbox);
    drop(subject);
    for _ in 0..600 {
        if processes_with(&marker) == 0 && fs::read_dir(state.path()).unwrap().next().is_none() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("something is left");
}

#[tokio::test]
async fn what_dead_owners_left_is_removed() {
    let Some(socket) = socket() else { return };
    let machine = {
        // What a living owner puts on its containers, with another owner's name.
        let (subject, state) = subject().await.unwrap();
        let sandbox = subject.sandbox().await;
        let name = containers_named(&format!("{}-", owner(state.path()))).lines().next().unwrap().to_owned();
        let label = podman(&["inspect", "--format", "{{index .Config.Labels \"swegym.machine\"}}", &name]);
        sandbox.destroy().await.unwrap();
        label.strip_suffix('\n').unwrap().to_owned()
    };
    let labels = ["swegym.owner=swegym-2147483647-1-0".to_owned(), format!("swegym.machine={machine}")];
    let create = |name: &str, owner: &str| {
        podman(&["create", "--name", name, "--label", owner, "--label", &labels[1], FULL, "bash"])
    };
    let dead = create("of-a-dead-owner", &labels[0]);
    let other = create("of-somebody-else", "swegym.owner=somebody");
    clean_docker_leftovers(&socket).await.unwrap();
    let left = podman(&["ps", "--all", "--no-trunc", "--format", "{{.ID}}"]);
    assert!(!left.contains(dead.trim()) && left.contains(other.trim()), "{left}");
    podman(&["rm", other.trim()]);
}

#[test]
fn everything_holds_on_podman() {
    if std::env::var_os(SOCKET).is_some() {
        return;
    }
    let service = match podman::Service::start(bare::fill) {
        Ok(service) => service,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let mut copy = Command::new(std::env::current_exe().unwrap());
    let copy = copy.args(["--nocapture", "--test-threads=4"]).env(SOCKET, service.socket());
    assert!(copy.status().unwrap().success());
}

#[test]
fn everything_holds_for_an_ordinary_user() {
    const NOBODY: u32 = 65534;
    if std::env::var_os(SOCKET).is_some() {
        return;
    }
    if !Uid::effective().is_root() {
        println!("skipped: these tests run as an ordinary user already");
        return;
    }
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
    let guest = copy(&guest(), "guest");
    let status = Command::new(tests)
        .args(["everything_holds_on_podman", "--exact", "--nocapture"])
        .env_clear()
        .envs([("HOME", home.path()), ("TMPDIR", home.path()), (GUEST, &guest)])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(home.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .status();
    assert!(status.unwrap().success());
}
