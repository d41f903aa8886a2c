//! The local backend: the conformance suite, and what only it promises. Started by root, everything runs once
//! more as an ordinary user.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says on standard output what it skips"
)]

mod bare;
mod conformance;
mod network;
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use conformance::{Subject, sh, text};
use nix::unistd::Uid;
use support::{as_layers, config, detached_sleep, layer, processes_with, spec, traces_of, wait_until};
use swegym_images::{Begin, Layer, LayerStore, Recipe};
use swegym_sandbox::{
    Backend, Level, Limits, LocalBackend, LocalConfig, Network, Sandbox, SandboxSpec, Upper, clean_leftovers,
    layer_owner, probe,
};
use tempfile::TempDir;

/// Makes a test process an owner that holds a sandbox until it is killed: the state folder.
const HOLD: &str = "SWEGYM_TEST_HOLD";

/// The state folder goes when the subject does.
async fn subject() -> (Subject, TempDir) {
    let state = tempfile::tempdir().unwrap();
    let backend = LocalBackend::start(&config(state.path())).await.unwrap();
    let subject = Subject { backend: Box::new(backend), spec: spec(), lacks: &[] };
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

#[tokio::test]
async fn the_store_keeps_the_layers_of_a_living_sandbox() {
    let (subject, state) = subject().await;
    let store = LayerStore::open(state.path().join("store"), layer_owner()).unwrap();
    let recipe = Recipe::new("test", &"a").unwrap();
    let Begin::Build(build) = store.begin(&recipe).unwrap() else { panic!("the store is empty") };
    fs::write(build.files().join("x"), "of the layer").unwrap();
    let layers = vec![build.commit().unwrap()];
    let sandbox = subject.with(|spec| spec.image.layers = layers).await;
    assert_eq!(store.collect(0, false).unwrap().in_use.len(), 1);
    assert_eq!(text(&*sandbox, "cat /x").await, "of the layer");
    sandbox.destroy().await.unwrap();
    assert_eq!(store.collect(0, false).unwrap().layers.len(), 1);
    assert_eq!(store.find(&recipe), None);
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

/// The first two are not made ahead, the last ones are.
#[tokio::test]
async fn sandboxes_made_ahead_have_the_same_walls_and_forks() {
    let (subject, state) = subject().await;
    let walls = "grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/self/status; cat /proc/self/uid_map; \
                 awk '{print $5, $6}' /proc/self/mountinfo; cat /proc/self/oom_score_adj; ulimit -a; hostname";
    let mut seen = Vec::new();
    for round in 0..6 {
        let layers = as_layers(&[layer(state.path(), &format!("layer-{round}"), &[("file", "low")])]);
        let sandbox = subject.with(|spec| spec.image.layers = layers).await;
        seen.push(text(&*sandbox, walls).await);
        text(&*sandbox, "echo high > /file; sleep 0.05").await;
        let changed = sandbox.changes().await.unwrap();
        assert!(changed.iter().any(|change| change.path == b"/file"), "{changed:?}");
        let fork = sandbox.fork().await.unwrap();
        assert_eq!(text(&*fork, "cat /file").await, "high\n");
        fork.destroy().await.unwrap();
        sandbox.destroy().await.unwrap();
    }
    assert!(seen.iter().all(|walls| *walls == seen[0]), "{seen:#?}");
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
async fn an_image_with_nothing_in_it_will_do() {
    let (subject, state) = subject().await;
    let files = layer(state.path(), "bare", &[]);
    bare::fill(&files);
    let sandbox = subject
        .with(|spec| {
            spec.image.layers = as_layers(&[files]);
            (spec.image.config.binds, spec.image.config.masks) = (Vec::new(), Vec::new());
        })
        .await;
    bare::check(&*sandbox).await;
}

#[tokio::test]
async fn attributes_of_layers_are_seen() {
    let (subject, state) = subject().await;
    let files = layer(state.path(), "noted", &[("f", "content")]);
    let set = "import os, sys; os.setxattr(sys.argv[1], 'user.note', b'of the layer')";
    let set = Command::new("python3").args(["-c", set]).arg(files.join("f")).status().unwrap();
    assert!(set.success(), "the folder for temporary files takes attributes");
    let sandbox = subject.with(|spec| spec.image.layers = as_layers(&[files])).await;
    let look = "python3 -c 'import os; print(os.getxattr(\"/f\", \"user.note\").decode())'";
    assert_eq!(text(&*sandbox, look).await, "of the layer\n");
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
async fn changes_are_told_against_all_layers() {
    let (subject, state) = subject().await;
    let low = layer(state.path(), "low", &[("opt/a", "a"), ("opt/b", "b"), ("opt/d/old", "old")]);
    let built = layer(state.path(), "built", &[]);
    let builder = subject
        .with(|spec| {
            spec.image.layers = as_layers(std::slice::from_ref(&low));
            spec.upper = Upper::Folder(built.clone());
        })
        .await;
    text(&*builder, "rm /opt/b; rm -r /opt/d; mkdir /opt/d; echo new > /opt/d/new; echo a2 > /opt/a").await;
    let listed = |changes: Vec<swegym_sandbox::Change>| -> Vec<String> {
        let line = |change: swegym_sandbox::Change| {
            format!("{:?} {}", change.kind, String::from_utf8(change.path).unwrap())
        };
        changes.into_iter().map(line).collect()
    };
    let expected = ["Modified /opt/a", "Deleted /opt/b", "Added /opt/d/new", "Deleted /opt/d/old"];
    assert_eq!(listed(builder.changes().await.unwrap()), expected);
    drop(builder);

    let sandbox = subject.with(|spec| spec.image.layers = as_layers(&[low, built])).await;
    assert!(sandbox.changes().await.unwrap().is_empty());
    let script = "echo b > /opt/b; rm -r /opt/d; mkdir /opt/d; echo new > /opt/d/new; echo a2 > /opt/a";
    text(&*sandbox, script).await;
    for sandbox in [sandbox.fork().await.unwrap(), sandbox] {
        assert_eq!(listed(sandbox.changes().await.unwrap()), ["Added /opt/b"]);
    }
}

#[tokio::test]
async fn a_fork_of_a_builder_leaves_its_layer_alone() {
    let (subject, state) = subject().await;
    let built = layer(state.path(), "built", &[]);
    let builder = subject.with(|spec| spec.upper = Upper::Folder(built.clone())).await;
    text(&*builder, "echo 1 > /root/file").await;
    let fork = builder.fork().await.unwrap();
    text(&*fork, "echo fork >> /root/file; touch /root/fork").await;
    text(&*builder, "echo 2 >> /root/file").await;
    assert_eq!(text(&*fork, "cat /root/file").await, "1\nfork\n");
    builder.destroy().await.unwrap();
    assert_eq!(tree(&built), ["root", "root/file"]);
    assert_eq!(fs::read_to_string(built.join("root/file")).unwrap(), "1\n2\n");
}

#[tokio::test]
async fn a_checkpoint_wants_its_own_image() {
    let (subject, state) = subject().await;
    let checkpoint = state.path().join("checkpoint");
    let folder = layer(state.path(), "layer", &[("opt/a", "a")]);
    let image = |id: &str| {
        let mut spec = subject.spec.clone();
        spec.image.layers = vec![Layer::unmanaged(id, &folder)];
        spec
    };
    let sandbox = subject.backend.create(&image("one")).await.unwrap();
    text(&*sandbox, "rm /opt/a; touch /root/x").await;
    sandbox.checkpoint(&checkpoint).await.unwrap();
    for spec in [image("other"), subject.spec.clone()] {
        let Err(error) = subject.backend.restore(&spec, &checkpoint).await else { panic!("it was restored") };
        assert!(error.to_string().ends_with("it was made from another image"), "{error}");
    }
    let restored = subject.backend.restore(&image("one"), &checkpoint).await.unwrap();
    assert_eq!(text(&*restored, "ls /opt /root").await, "/opt:\n\n/root:\nx\n");
}

/// Bytes of the files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    tree(folder)
        .iter()
        .map(|path| fs::symlink_metadata(folder.join(path)).unwrap())
        .map(|about| about.len())
        .sum()
}

#[tokio::test]
async fn written_files_lie_on_disk_by_choice() {
    let (subject, state) = subject().await;
    let disk = state.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let disks = || fs::read_dir(&disk).unwrap().count();
    assert!(subject.backend.unenforced().iter().all(|limit| !limit.contains("disk")));
    let parent = subject
        .with(|spec| {
            spec.upper = Upper::Disk(disk.clone());
            spec.limits.disk_bytes = 8 << 20;
        })
        .await;
    assert!(subject.backend.unenforced().iter().any(|limit| limit.contains("disk")));
    // The folder tells nobody but its owner what is in it.
    let folder = fs::read_dir(&disk).unwrap().next().unwrap().unwrap();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    text(&*parent, "head -c 30000000 /dev/urandom > /root/big; rm /etc/group; mkdir -m 0 /root/closed").await;
    if Uid::effective().is_root() {
        assert!(bytes_below(&disk) > 30_000_000);
    }

    let child = parent.fork().await.unwrap();
    text(&*child, "cmp -n 4 /root/big /dev/zero && exit 1; echo x >> /root/small; ls /etc/group || true")
        .await;
    if Uid::effective().is_root() {
        assert!(bytes_below(&disk) < 31_000_000, "nothing was copied");
    }
    text(&*parent, "echo y >> /root/small").await;
    let before = text(&*child, "md5sum < /root/big").await;
    parent.destroy().await.unwrap();
    assert_eq!(disks(), 2, "the child needs both");
    let grandchild = child.fork().await.unwrap();
    drop(child);
    assert_eq!(text(&*grandchild, "cat /root/small; md5sum < /root/big").await, format!("x\n{before}"));
    grandchild.destroy().await.unwrap();
    assert_eq!(disks(), 0);
}

#[tokio::test]
async fn nothing_on_disk_withstands_removal() {
    let (subject, state) = subject().await;
    let disk = state.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let sandbox = subject.with(|spec| spec.upper = Upper::Disk(disk.clone())).await;
    let script = "\
cd /root; n=$(printf %0200d 0); for i in $(seq 60); do mkdir $n; cd $n; touch file; done
ln -s / /root/link; mkfifo /root/pipe; mkdir -p /root/closed/below; chmod 0 /root/closed/below /root/closed";
    text(&*sandbox, script).await;
    sandbox.destroy().await.unwrap();
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
    let missing = subject.spec.clone();
    let missing = SandboxSpec { upper: Upper::Disk(state.path().join("nowhere")), ..missing };
    let Err(error) = subject.backend.create(&missing).await else { panic!("it was made") };
    assert!(error.to_string().starts_with("create a sandbox: make a folder in `"), "{error}");
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
    let disk = Path::new(&state).join("disk");
    fs::create_dir(&disk).unwrap();
    let on_disk = backend.create(&SandboxSpec { upper: Upper::Disk(disk), ..spec() }).await.unwrap();
    text(&*on_disk, "mkdir -m 0 /root/closed; cd /root; for i in $(seq 3000); do echo > $i; done").await;
    let fork = on_disk.fork().await.unwrap();
    let script = detached_sleep(&marker(std::process::id()));
    for sandbox in [&sandbox, &other, &on_disk, &fork] {
        text(&**sandbox, &script).await;
    }
    fs::write(Path::new(&state).join("ready"), "").unwrap();
    // Visitors come and go.
    loop {
        on_disk.changes().await.unwrap();
    }
}

/// Processes below this one.
fn descendants(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let children: Vec<u32> = children
        .flat_map(|line| line.split_whitespace().map(|child| child.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    children.into_iter().flat_map(|child| descendants(child).into_iter().chain([child])).collect()
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
    assert_eq!(processes_with(&marker), 4);
    assert!(!traces_of(owner.id(), state.path()).is_empty());
    let disks = || fs::read_dir(state.path().join("disk")).unwrap().count();
    assert_eq!(disks(), 2);

    let processes = descendants(owner.id());
    assert!(processes.len() > 4);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("nothing is left", || {
        processes_with(&marker) == 0 && traces_of(owner.id(), state.path()).is_empty() && disks() == 0
    });
    wait_until("no process is left", || {
        processes.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
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
    assert_eq!(
        names,
        ["kernel", "user namespaces", "overlayfs", "proc", "limits", "seccomp", "landlock", "sandbox"]
    );
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
    support::run_as_an_ordinary_user();
}
