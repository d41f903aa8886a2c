//! The file system of a sandbox.
//!
//! Everything is built in a tmpfs of this mount namespace, by short relative paths: the options of a mount
//! must fit in a page, and a layer's name may hold any character. Only what goes into the finished tree, whose
//! links are hostile, is looked up confined to it.
//!
//! The tmpfs stays the root of the namespace, for visitors. Processes inside have the finished tree as theirs:
//! without capabilities they cannot leave it, and nobody hands them anything from outside.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::pivot_root;

use super::Surroundings;
use super::skeleton::{self, NETWORK_FILES};
use crate::local::copy::{Pipes, copy_layer};
use crate::local::identity::{SANDBOX_UID, as_sandbox_user};
use crate::local::layout::{
    CHECKPOINT, EMPTY, FAMILY, INHERITED, LAYERS, NEXT, PARENT, ROOT, SKELETON, STORE, Stack, link_inherited,
    overlay_options, upper, work,
};
use crate::local::protocol::{CreateSpec, SetupError, Step};
use crate::local::sys::{attach_tree, clone_tree, move_mount};
use crate::local::visit::{ForkPlan, Inherited};

/// Names of steps that `doctor` tells apart.
pub(crate) const STEP_OVERLAY: &str = "mount overlay";
pub(crate) const STEP_PROC: &str = "mount /proc";

/// Attributes of what comes from the host.
const OURS: u64 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
const READ_ONLY: u64 = OURS | MOUNT_ATTR_RDONLY;
const FOLDERS: [&str; 12] =
    [FAMILY, STORE, PARENT, CHECKPOINT, LAYERS, INHERITED, SKELETON, EMPTY, ROOT, NEXT, "dev", "proc"];
/// Links to the folder of the host that an image is built in, and to its work folder.
const BUILT: (&str, &str) = ("built", "built.work");
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// Parts of `/proc` that configure the machine.
const PROC_READ_ONLY: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];
/// Parts of `/proc` that tell about the machine what no program needs.
const PROC_HIDDEN: [&str; 11] = [
    "acpi",
    "asound",
    "kallsyms",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
    "kmsg",
];

/// Everything of a root file system but what follows from its layers; the working directory is where it is made.
pub(super) struct Prepared {
    /// The folder `/proc/sys/user`, where it can be written.
    sysctls: OwnedFd,
    /// Copies of what is bound, and where they go.
    binds: Vec<(OwnedFd, PathBuf)>,
}

/// Makes what does not depend on the layers.
pub(super) fn prepare_root(
    spec: &CreateSpec,
    surroundings: &Surroundings<'_>,
) -> Result<Prepared, SetupError> {
    let privileged = surroundings.privileged;
    mount_plain(None, "/", MsFlags::MS_REC | MsFlags::MS_PRIVATE, None).step("make mounts private")?;
    let point = surroundings.mount_point;
    mount_tmpfs(point, &format!("mode=0755,{}", room(spec.disk_bytes)), privileged).step("mount tmpfs")?;
    std::env::set_current_dir(point).step("enter tmpfs")?;
    let points = skeleton::survey(spec)?;
    as_sandbox_user(privileged, || prepare(spec, &points))?;
    make_dev(privileged)?;
    let sysctls = make_proc()?;
    Ok(Prepared { sysctls, binds: copy_binds(spec)? })
}

/// Makes the rest of the root file system and moves into the tmpfs that it is in. Returns the folder
/// `/proc/sys/user`, where it can be written.
pub(super) fn finish_root(
    spec: &CreateSpec,
    family: Option<OwnedFd>,
    surroundings: &Surroundings<'_>,
    prepared: Prepared,
) -> Result<OwnedFd, SetupError> {
    let privileged = surroundings.privileged;
    as_sandbox_user(privileged, || make_room_for_layers(spec))?;
    attach_layers(spec, family)?;
    make_writable(spec, privileged)?;
    mount_overlay(spec, privileged)?;
    let root = open(ROOT, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).step("open root")?;
    attach_all(spec, &root, prepared.binds)?;
    let_go_of_host().step("pivot root")?;
    Ok(prepared.sysctls)
}

/// Makes the folders that the overlay is put together from.
fn prepare(spec: &CreateSpec, points: &[skeleton::MountPoint]) -> Result<(), SetupError> {
    FOLDERS.iter().try_for_each(fs::create_dir).step("make folders")?;
    skeleton::make(Path::new(SKELETON), spec, points)
}

/// Makes what the layers are found by.
fn make_room_for_layers(spec: &CreateSpec) -> Result<(), SetupError> {
    let checkpoint = match &spec.inherited {
        Inherited::Checkpoint { folders } => folders.len(),
        _ => 0,
    };
    let layers = (0..spec.layers.len()).map(|number| format!("{LAYERS}/{number}"));
    let mut folders = layers.chain((0..checkpoint).map(|number| format!("{CHECKPOINT}/{number}")));
    folders.try_for_each(fs::create_dir).step("make folders")?;
    let inherited = match &spec.inherited {
        Inherited::Nothing => Vec::new(),
        Inherited::Fork { plan, .. } => plan.uppers.iter().map(|path| Path::new("p").join(path)).collect(),
        Inherited::Checkpoint { folders } => {
            (0..folders.len()).map(|number| format!("c/{number}").into()).collect()
        }
    };
    link_inherited(inherited).step("link layers")
}

/// Mounts everything that the overlay is put together from, where it is found by a short name.
fn attach_layers(spec: &CreateSpec, family: Option<OwnedFd>) -> Result<(), SetupError> {
    for (number, layer) in spec.layers.iter().enumerate() {
        attach(layer, &Path::new(LAYERS).join(number.to_string()), MOUNT_ATTR_RDONLY)
            .step(format!("find layer `{}`", layer.display()))?;
    }
    if let Some(family) = family {
        let parent = open(PARENT, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        parent
            .and_then(|parent| move_mount(family.as_fd(), parent.as_fd()))
            .step("attach the parent's layers")?;
    }
    if let Inherited::Checkpoint { folders } = &spec.inherited {
        let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        for (number, folder) in folders.iter().enumerate() {
            attach(folder, &Path::new(CHECKPOINT).join(number.to_string()), attributes)
                .step(format!("find `{}`", folder.display()))?;
        }
    }
    if let Some(disk) = &spec.disk {
        attach(disk, Path::new(STORE), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
            .step(format!("bind `{}`", disk.display()))?;
    }
    Ok(())
}

/// Makes the writable layer. A folder of the host that an image is built in is mounted there too, for visitors.
fn make_writable(spec: &CreateSpec, privileged: bool) -> Result<(), SetupError> {
    let in_use = upper(0);
    as_sandbox_user(privileged, || -> io::Result<()> {
        fs::create_dir(&in_use)?;
        if let Some((folder, work_folder)) = &spec.upper {
            symlink(folder, BUILT.0)?;
            return symlink(work_folder, BUILT.1);
        }
        fs::create_dir(work(0))?;
        let topmost = Stack::read()?.inherited.checked_sub(1);
        let below = topmost.map(|number| fs::metadata(Path::new(INHERITED).join(number.to_string())));
        let below = below.transpose()?;
        below.map_or(Ok(()), |below| fs::set_permissions(&in_use, below.permissions()))
    })
    .step("make the writable layer")?;
    if let Some((folder, _)) = &spec.upper {
        attach(folder, Path::new(&in_use), MOUNT_ATTR_RDONLY).step("bind the upper folder")?;
    }
    match &spec.inherited {
        Inherited::Fork { plan: ForkPlan { copied: Some(copied), .. }, .. } => {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let from = open(&Path::new(PARENT).join(copied), flags, Mode::empty()).step("open layer")?;
            let to = open(in_use.as_str(), flags, Mode::empty()).step("open layer")?;
            copy_layer(&from, &to, privileged, Pipes::Copied).step("copy the parent's files")
        }
        _ => Ok(()),
    }
}

fn mount_overlay(spec: &CreateSpec, privileged: bool) -> Result<(), SetupError> {
    let lowers = Stack::read().step("find the layers")?.lowers();
    let own = (upper(0), work(0));
    let writable = if spec.upper.is_some() { BUILT } else { (own.0.as_str(), own.1.as_str()) };
    let options = overlay_options(&lowers, Some(writable), privileged);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("overlay"), ROOT, Some("overlay"), flags, Some(options.as_str())).step(STEP_OVERLAY)
}

/// Builds `/dev` aside, in the same tmpfs: with each file system of each sandbox, the kernel needs more memory for
/// every other sandbox.
fn make_dev(privileged: bool) -> Result<(), SetupError> {
    as_sandbox_user(privileged, || -> io::Result<()> {
        for name in DEVICES {
            File::create(Path::new("dev").join(name))?;
        }
        fs::create_dir("dev/shm")?;
        fs::set_permissions("dev/shm", Permissions::from_mode(0o1777))?;
        fs::create_dir("dev/pts")?;
        DEVICE_LINKS.iter().try_for_each(|(name, to)| symlink(to, Path::new("dev").join(name)))
    })
    .step("fill /dev")?;
    for name in DEVICES {
        let device = Path::new("/dev").join(name);
        attach(&device, &Path::new("dev").join(name), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
            .step(format!("bind `{}`", device.display()))?;
    }
    // Terminals are a comfort that some hosts refuse.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = "newinstance,ptmxmode=0666,mode=0620";
    let _ = mount(Some("devpts"), "dev/pts", Some("devpts"), flags, Some(options));
    Ok(())
}

/// Builds `/proc` aside, and returns `/proc/sys/user` of it as it is before it becomes read-only.
fn make_proc() -> Result<OwnedFd, SetupError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "proc", Some("proc"), flags, None::<&str>).step(STEP_PROC)?;
    let sysctls =
        open("proc/sys/user", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).step("open /proc/sys/user")?;
    for name in PROC_READ_ONLY {
        let part = Path::new("proc").join(name);
        if part.exists() {
            attach(&part, &part, MOUNT_ATTR_RDONLY).step(format!("protect `/{}`", part.display()))?;
        }
    }
    for name in PROC_HIDDEN {
        let part = Path::new("proc").join(name);
        if let Ok(about) = fs::metadata(&part) {
            let cover = Path::new(if about.is_dir() { EMPTY } else { "dev/null" });
            attach(cover, &part, MOUNT_ATTR_RDONLY).step(format!("hide `/{}`", part.display()))?;
        }
    }
    Ok(sysctls)
}

/// Copies of the mounts that are bound, mounted nowhere yet. A link is not bound but made again.
fn copy_binds(spec: &CreateSpec) -> Result<Vec<(OwnedFd, PathBuf)>, SetupError> {
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
    let bound = spec.binds.iter().filter(|path| !is_link(path));
    bound
        .map(|path| {
            let tree = clone_tree(path, true, READ_ONLY).step(format!("copy mount `{}`", path.display()))?;
            Ok((tree, path.clone()))
        })
        .collect()
}

/// Mounts everything into the finished tree.
fn attach_all(spec: &CreateSpec, root: &OwnedFd, binds: Vec<(OwnedFd, PathBuf)>) -> Result<(), SetupError> {
    let (ours, read_only) = (OURS, READ_ONLY);
    for (tree, path) in binds {
        let attached = look_up(root, &path).and_then(|target| move_mount(tree.as_fd(), target.as_fd()));
        attached.step(format!("bind `{}`", path.display()))?;
    }
    if spec.host_network {
        for path in NETWORK_FILES.map(Path::new) {
            attach_network_file(path, root, read_only)?;
        }
    }
    for path in &spec.masks {
        if look_up(root, path).is_ok_and(|found| is_folder(&found)) {
            attach_inside(Path::new(EMPTY), root, path, read_only)?;
        }
    }
    attach_inside(Path::new("proc"), root, Path::new("/proc"), 0)?;
    attach_inside(Path::new("dev"), root, Path::new("/dev"), MOUNT_ATTR_NOSUID)?;
    for (source, path, writable) in &spec.extra_binds {
        attach_inside(source, root, path, if *writable { ours } else { read_only })?;
    }
    Ok(())
}

/// An image may bring such a file as a link that leads nowhere yet; it then keeps it.
fn attach_network_file(path: &Path, root: &OwnedFd, attributes: u64) -> Result<(), SetupError> {
    match fs::canonicalize(path) {
        Ok(source) if look_up(root, path).is_ok() => attach_inside(&source, root, path, attributes),
        _ => Ok(()),
    }
}

fn attach_inside(source: &Path, root: &OwnedFd, path: &Path, attributes: u64) -> Result<(), SetupError> {
    let attached = look_up(root, path).and_then(|target| attach_tree(source, target.as_fd(), attributes));
    attached.step(format!("bind `{}` at `{}`", source.display(), path.display()))
}

fn attach(source: &Path, target: &Path, attributes: u64) -> nix::Result<()> {
    let target = open(target, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    attach_tree(source, target.as_fd(), attributes)
}

/// Finds a path of the sandbox as a process inside would: no link leads out of `root`.
fn look_up(root: &OwnedFd, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how)
}

fn is_folder(found: &OwnedFd) -> bool {
    fs::metadata(PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd())))
        .is_ok_and(|about| about.is_dir())
}

fn mount_plain(source: Option<&str>, target: &str, flags: MsFlags, kind: Option<&str>) -> nix::Result<()> {
    mount(source, target, kind, flags, None::<&str>)
}

/// A file costs the kernel memory also when it is empty, so their number is limited too: one for each page of
/// the room for contents.
fn room(bytes: u64) -> String {
    const PAGE: u64 = 4096;
    const FEWEST: u64 = 1024;
    format!("size={bytes},nr_inodes={}", (bytes / PAGE).max(FEWEST))
}

/// Mounts a tmpfs whose root belongs to the sandbox's root.
fn mount_tmpfs(at: &Path, options: &str, privileged: bool) -> nix::Result<()> {
    let owner = if privileged { format!(",uid={SANDBOX_UID},gid={SANDBOX_UID}") } else { String::new() };
    let options = format!("{options}{owner}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options.as_str()))
}

/// Makes the tmpfs, which is the working directory, the root of this mount namespace, and lets go of everything
/// else.
fn let_go_of_host() -> nix::Result<()> {
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    nix::unistd::chdir("/")
}

/// Makes the finished tree the root of this process, and of all that it forks.
pub(super) fn enter_root() -> nix::Result<()> {
    nix::unistd::chroot(ROOT)?;
    nix::unistd::chdir("/")
}
