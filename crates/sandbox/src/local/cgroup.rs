//! Control groups: how the limits on memory and processes are enforced.
//!
//! Both versions are used, whichever holds a controller. An owner has one group in each place, a sandbox one
//! below it. A place that cannot be written is not an error: the limit is reported as not enforced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use super::identity::is_privileged;
use super::protocol::{SetupError, Step};

/// How long the kernel gets to forget the processes of a group that have been reaped.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(2);
/// Processes of a sandbox that are ours: init, and what it forks to run a command or open a file.
const OWN_PROCESSES: u64 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }

    fn limits(self) -> &'static str {
        match self {
            Self::Memory => "the memory limit",
            Self::Pids => "the limit on processes",
        }
    }
}

/// A folder of a cgroup file system below which groups may be made, for one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    version: Version,
    controller: Controller,
    folder: PathBuf,
}

/// Finds where a controller may be, best first: the own group, then the ones above it.
fn places(controller: Controller, mountinfo: &str, own: &str) -> Vec<Place> {
    let one = mounts(mountinfo, "cgroup", Some(controller.name()))
        .map(|mount| (Version::One, mount.inside(own_path(own, Some(controller.name())))));
    let two =
        mounts(mountinfo, "cgroup2", None).map(|mount| (Version::Two, mount.inside(own_path(own, None))));
    one.chain(two)
        .flat_map(|(version, (top, group))| {
            let levels: Vec<PathBuf> = match version {
                Version::One => vec![group],
                Version::Two => group
                    .ancestors()
                    .take_while(|level| level.starts_with(&top))
                    .map(Path::to_path_buf)
                    .collect(),
            };
            levels.into_iter().map(move |folder| Place { version, controller, folder })
        })
        .collect()
}

/// A mounted cgroup hierarchy: which group of it is seen at which path.
struct Mount {
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// The mount point, and the folder of a group in it.
    fn inside(self, group: &Path) -> (PathBuf, PathBuf) {
        let folder = match group.strip_prefix(&self.root) {
            Ok(below) => self.point.join(below),
            Err(_) => self.point.clone(),
        };
        (self.point, folder)
    }
}

/// Mounts of this type, with this option, in `/proc/PID/mountinfo`.
fn mounts<'a>(
    mountinfo: &'a str,
    kind: &'a str,
    option: Option<&'a str>,
) -> impl Iterator<Item = Mount> + 'a {
    mountinfo.lines().filter_map(move |line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        let is_wanted = file_system.next()? == kind
            && option.is_none_or(|option| {
                file_system.nth(1).is_some_and(|all| all.split(',').any(|o| o == option))
            });
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        is_wanted.then(|| Mount { root: root.into(), point: point.into() })
    })
}

/// The group of this process, from `/proc/self/cgroup`: of a version 1 controller, or of version 2.
fn own_path<'a>(own: &'a str, controller: Option<&str>) -> &'a Path {
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let matches = match controller {
            Some(controller) => controllers.split(',').any(|name| name == controller),
            None => number == "0",
        };
        matches.then_some(path)
    });
    Path::new(path.unwrap_or("/"))
}

/// Folders in which groups of owners may lie, for cleaning up.
pub(crate) fn owner_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for controller in [Controller::Memory, Controller::Pids] {
        for place in local_places(controller) {
            if !folders.contains(&place.folder) {
                folders.push(place.folder);
            }
        }
    }
    folders
}

fn local_places(controller: Controller) -> Vec<Place> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    places(controller, &mountinfo, &own)
}

/// What may be changed in a group of version 2 to make groups below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    AsItIs,
    /// Its controllers may be handed down.
    Enable,
    /// So may they, and its processes may be moved out of the way.
    MoveProcesses,
}

/// The groups of an owner.
#[derive(Debug)]
pub(crate) struct OwnerGroups {
    places: Vec<Place>,
    /// One sentence for each limit that no group enforces.
    pub(crate) unenforced: Vec<String>,
}

impl OwnerGroups {
    /// Makes the groups of the owner wherever the kernel lets us.
    pub(crate) fn make(owner: &str) -> Self {
        let mut groups = Self { places: Vec::new(), unenforced: Vec::new() };
        for controller in [Controller::Memory, Controller::Pids] {
            let mut reason =
                format!("no cgroup hierarchy with the `{}` controller is mounted", controller.name());
            let made =
                [Effort::AsItIs, Effort::Enable, Effort::MoveProcesses].into_iter().find_map(|effort| {
                    local_places(controller).into_iter().find_map(|place| {
                        let made = make_owner_group(&place, owner, effort);
                        made.map_err(|error| reason = format!("`{}`: {error}", place.folder.display())).ok()
                    })
                });
            match made {
                Some(place) => groups.places.push(place),
                None if controller == Controller::Pids && is_limited_by_user() => {}
                None => groups.unenforced.push(format!("{} is not enforced: {reason}", controller.limits())),
            }
        }
        groups
    }

    /// Makes the groups of one sandbox, with its limits.
    pub(crate) fn add(
        &self,
        sandbox: u64,
        memory_bytes: u64,
        processes: u64,
    ) -> Result<SandboxGroups, SetupError> {
        let mut groups = SandboxGroups::default();
        for place in &self.places {
            let folder = place.folder.join(sandbox.to_string());
            let limited = make_group(&folder).and_then(|()| match place.controller {
                Controller::Memory => limit_memory(place.version, &folder, memory_bytes),
                Controller::Pids => {
                    write(&folder, "pids.max", &processes.saturating_add(OWN_PROCESSES).to_string())
                }
            });
            if place.controller == Controller::Memory {
                groups.oom_counter = Some(folder.join(match place.version {
                    Version::One => "memory.oom_control",
                    Version::Two => "memory.events",
                }));
            }
            if !groups.folders.contains(&folder) {
                groups.folders.push(folder);
            }
            if let Err(error) = limited {
                groups.remove();
                return Err(error).step("make cgroup");
            }
        }
        Ok(groups)
    }

    /// Removes the groups of the owner; those of its sandboxes must be gone.
    pub(crate) fn remove(&self) {
        for place in &self.places {
            let _ = remove_group(&place.folder);
        }
    }
}

/// Whether the resource limit of each process holds, which the kernel counts by user in each user namespace.
/// It exempts the host's root.
fn is_limited_by_user() -> bool {
    is_privileged() || !Uid::effective().is_root()
}

/// Makes the group of the owner at a place, and returns it as the place for its sandboxes.
fn make_owner_group(place: &Place, owner: &str, effort: Effort) -> io::Result<Place> {
    let folder = place.folder.join(owner);
    if place.version == Version::Two {
        hand_down(&place.folder, place.controller, effort)?;
    }
    make_group(&folder)?;
    if place.version == Version::Two
        && let Err(error) = hand_down(&folder, place.controller, Effort::Enable)
    {
        let _ = fs::remove_dir(&folder);
        return Err(error);
    }
    Ok(Place { folder, ..place.clone() })
}

/// Makes a controller of version 2 available to the groups below a group.
fn hand_down(folder: &Path, controller: Controller, effort: Effort) -> io::Result<()> {
    let has = |file: &str| -> io::Result<bool> {
        let names = fs::read_to_string(folder.join(file))?;
        Ok(names.split_whitespace().any(|name| name == controller.name()))
    };
    if has("cgroup.subtree_control")? {
        return Ok(());
    }
    if effort == Effort::AsItIs || !has("cgroup.controllers")? {
        let name = controller.name();
        return Err(io::Error::other(format!("the `{name}` controller is not delegated to this group")));
    }
    let enable = format!("+{}", controller.name());
    match write(folder, "cgroup.subtree_control", &enable) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) && effort == Effort::MoveProcesses => {
            move_processes_down(folder)?;
            write(folder, "cgroup.subtree_control", &enable)
        }
        other => other,
    }
}

/// A group that hands controllers down may hold no processes itself, so those of a delegated group (ours, and
/// whoever started us) move one level down.
fn move_processes_down(folder: &Path) -> io::Result<()> {
    let below = folder.join("swegym-main");
    make_group(&below)?;
    for pid in processes(folder)? {
        match write(&below, "cgroup.procs", &pid.to_string()) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn limit_memory(version: Version, folder: &Path, bytes: u64) -> io::Result<()> {
    let bytes = bytes.to_string();
    // Swap would only delay the end; kernels without swap accounting lack the files.
    match version {
        Version::One => {
            write(folder, "memory.limit_in_bytes", &bytes)?;
            let _ = write(folder, "memory.memsw.limit_in_bytes", &bytes);
        }
        Version::Two => {
            write(folder, "memory.max", &bytes)?;
            let _ = write(folder, "memory.swap.max", "0");
            let _ = write(folder, "memory.oom.group", "0");
        }
    }
    Ok(())
}

/// The groups of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct SandboxGroups {
    folders: Vec<PathBuf>,
    /// The file whose line `oom_kill N` counts what the memory limit killed.
    pub(crate) oom_counter: Option<PathBuf>,
}

impl SandboxGroups {
    /// Moves this process, which must have one thread, into them.
    pub(crate) fn join(&self) -> io::Result<()> {
        self.folders.iter().try_for_each(|folder| {
            // Of version 1. Moving a thread rather than a process spares the kernel a wait for every processor,
            // which takes longer than all the rest.
            let threads = folder.join("tasks").exists();
            write(folder, if threads { "tasks" } else { "cgroup.procs" }, "0")
        })
    }

    pub(crate) fn remove(&self) {
        for folder in &self.folders {
            let _ = remove_group(folder);
        }
    }
}

/// Processes killed by the memory limit so far.
pub(crate) fn oom_kills(counter: &Path) -> u64 {
    let counts = fs::read_to_string(counter).unwrap_or_default();
    let count = counts.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Processes in a group, not in those below it; 0 stands for one of another process namespace.
pub(crate) fn processes(folder: &Path) -> io::Result<Vec<i32>> {
    let pids = fs::read_to_string(folder.join("cgroup.procs"))?;
    Ok(pids.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).collect())
}

fn make_group(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    fs::write(folder.join(file), value)
}

/// Removes a group whose processes have ended; the kernel may need a moment to see that.
pub(crate) fn remove_group(folder: &Path) -> io::Result<()> {
    let give_up = Instant::now() + REMOVAL_PATIENCE;
    loop {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
32 25 0:28 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    fn folders(controller: Controller, mountinfo: &str, own: &str) -> Vec<String> {
        let places = places(controller, mountinfo, own).into_iter();
        places.map(|place| place.folder.display().to_string()).collect()
    }

    #[test]
    fn version_1_is_used_in_the_own_group() {
        let own = "8:pids:/\n4:memory:/user/me\n0::/\n";
        assert_eq!(folders(Controller::Memory, HYBRID, own)[0], "/sys/fs/cgroup/memory/user/me");
        assert_eq!(folders(Controller::Pids, HYBRID, own)[0], "/sys/fs/cgroup/pids/");
    }

    #[test]
    fn version_2_is_tried_from_the_own_group_upwards() {
        let mountinfo = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = folders(Controller::Memory, mountinfo, "0::/user.slice/app.slice\n");
        let expected = ["/sys/fs/cgroup/user.slice/app.slice", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount_point() {
        let mountinfo = "30 25 0:26 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        assert_eq!(folders(Controller::Pids, mountinfo, "5:pids:/docker/abc/x\n"), ["/sys/fs/cgroup/pids/x"]);
        assert_eq!(folders(Controller::Pids, mountinfo, "5:pids:/elsewhere\n"), ["/sys/fs/cgroup/pids"]);
    }

    #[test]
    fn nothing_mounted_means_nowhere() {
        assert!(folders(Controller::Pids, "", "").is_empty());
    }
}
