//! What an owner keeps outside its sandboxes, and how it is removed when the owner could not do it.
//!
//! An owner has a scratch folder in the state folder, named after it, and groups of the same name. The name
//! holds process id and start time, so what belongs to a living owner is never mistaken.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::cgroup;
use super::identity::{Owner, layer_owner};
use super::remove::remove_tree;
use crate::SandboxError;

const MACHINE: &str = "machine";
const MOUNT_POINT: &str = "root";
const WORK_RECORD: &str = "work-folder";
const DISK_RECORD: &str = "disk-folder";

/// How long a launcher is waited for that is removing what belongs to its dead owner.
const LAUNCHER_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// The folder of one owner. It holds an empty folder to mount on, where the owner runs, and for each sandbox
/// that writes into a folder of the host the path of the work folder beside it, or of the folder that is its own.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Makes the folder of this owner.
    pub(crate) fn make(state_dir: &Path, owner: &str) -> io::Result<Self> {
        let scratch = Self::at(fs::canonicalize(state_dir)?.join(owner));
        fs::create_dir_all(scratch.mount_point())?;
        fs::write(scratch.folder.join(MACHINE), Machine::current().text)?;
        Ok(scratch)
    }

    /// Held by the launcher: while anybody has it, what belongs to the owner is being removed, or will be.
    pub(crate) fn lock(&self) -> io::Result<Flock<File>> {
        let file = File::open(self.folder.join(MACHINE))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn mount_point(&self) -> PathBuf {
        self.folder.join(MOUNT_POINT)
    }

    /// Makes a work folder, and remembers it before it is there.
    pub(crate) fn make_work_folder(&self, sandbox: u64, work: &Path) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt;
        fs::write(self.work_record(sandbox), work.as_os_str().as_bytes())?;
        remove_work_folder(work)?;
        fs::create_dir(work)
    }

    pub(crate) fn remove_work_folder(&self, sandbox: u64, work: &Path) {
        if remove_work_folder(work).is_ok() {
            let _ = fs::remove_file(self.work_record(sandbox));
        }
    }

    fn work_record(&self, sandbox: u64) -> PathBuf {
        self.folder.join(format!("{WORK_RECORD}-{sandbox}"))
    }

    /// Makes a folder below this one for what a sandbox writes, and remembers it before it is there.
    pub(crate) fn make_disk_folder(&self, sandbox: u64, below: &Path) -> io::Result<DiskFolder> {
        use std::os::unix::ffi::OsStrExt;
        let owner = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let path = fs::canonicalize(below)?.join(format!("{owner}-{sandbox}"));
        let record = self.folder.join(format!("{DISK_RECORD}-{sandbox}"));
        fs::write(&record, path.as_os_str().as_bytes())?;
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        let owner = layer_owner();
        std::os::unix::fs::chown(&path, owner.map(|(uid, _)| uid), owner.map(|(_, gid)| gid))?;
        Ok(DiskFolder { path, record })
    }

    /// Whether a record was written to its end.
    fn is_disk_folder(&self, path: &Path) -> bool {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name(path).starts_with(&name(&self.folder))
    }

    /// Removes everything that the records name, then the folder.
    pub(crate) fn remove(&self) -> io::Result<()> {
        use std::os::unix::ffi::OsStringExt;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let named =
                || fs::read(entry.path()).map(|path| PathBuf::from(std::ffi::OsString::from_vec(path)));
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(WORK_RECORD) {
                remove_work_folder(&named()?)?;
            } else if name.to_string_lossy().starts_with(DISK_RECORD) {
                let disk = named()?;
                if self.is_disk_folder(&disk) {
                    remove_tree(&disk)?;
                }
            }
        }
        fs::remove_dir_all(&self.folder)
    }
}

/// A folder of the host that a sandbox writes into, and that its forks read.
#[derive(Debug)]
pub(crate) struct DiskFolder {
    pub(crate) path: PathBuf,
    record: PathBuf,
}

impl DiskFolder {
    pub(crate) fn remove(&self) {
        if remove_tree(&self.path).is_ok() {
            let _ = fs::remove_file(&self.record);
        }
    }
}

/// The kernel leaves a folder in it that not even its owner may enter.
fn remove_work_folder(work: &Path) -> io::Result<()> {
    let _ = fs::set_permissions(work.join("work"), fs::Permissions::from_mode(0o700));
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Where process ids mean something: a state folder may be shared by machines and containers.
#[derive(PartialEq, Eq)]
pub(crate) struct Machine {
    /// Host name and process namespace on one line, the boot on the next.
    pub(crate) text: String,
}

impl Machine {
    pub(crate) fn current() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let name = read("/proc/sys/kernel/hostname");
        let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |about| about.ino());
        let boot = read("/proc/sys/kernel/random/boot_id");
        Self { text: format!("{name} {namespace}\n{boot}\n") }
    }

    fn place(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// After a restart of the machine the process namespace has another number, but then nothing lives any more.
    pub(crate) fn is(&self, here: &Self) -> bool {
        let name = |machine: &Self| machine.place().split(' ').next().map(str::to_owned);
        let same_boot = self.text.lines().nth(1) == here.text.lines().nth(1);
        if same_boot { self.place() == here.place() } else { name(self) == name(here) }
    }
}

/// What [`clean_leftovers`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftoverReport {
    /// Control groups of sandboxes and owners.
    pub groups: Vec<PathBuf>,
    /// Scratch folders of owners.
    pub folders: Vec<PathBuf>,
    /// Processes that were killed.
    pub processes: usize,
}

/// Removes what owners left behind that are gone: their control groups, with the processes in them, and their
/// scratch folders in `state_dir`. What belongs to a living owner, or to another machine, is not touched.
///
/// # Errors
/// [`SandboxError::Io`] when something is there and cannot be removed.
pub fn clean_leftovers(state_dir: &Path) -> Result<LeftoverReport, SandboxError> {
    let mut report = LeftoverReport::default();
    owned_by_the_dead(state_dir).into_iter().for_each(|folder| wait_for_launcher(&Scratch::at(folder)));
    for place in cgroup::owner_folders() {
        for group in owned_by_the_dead(&place) {
            unless_gone(remove_groups(&group, &mut report))?;
        }
    }
    let here = Machine::current();
    for folder in owned_by_the_dead(state_dir) {
        if is_of_this_machine(&folder, &here) {
            unless_gone(Scratch::at(folder.clone()).remove())?;
            report.folders.push(folder);
        }
    }
    Ok(report)
}

/// A launcher removes everything when its owner is gone, which takes a moment.
fn wait_for_launcher(scratch: &Scratch) {
    let give_up = Instant::now() + LAUNCHER_PATIENCE;
    while scratch.lock().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        && Instant::now() < give_up
    {
        std::thread::sleep(PAUSE);
    }
}

/// Another owner may be cleaning up too, and groups of other users are theirs to remove.
fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(())
        }
        other => other,
    }
}

/// Folders named after an owner that is gone.
fn owned_by_the_dead(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry.file_name().to_str().and_then(Owner::parse).is_some_and(|owner| !owner.is_alive())
        })
        .map(|entry| entry.path())
        .collect()
}

fn is_of_this_machine(folder: &Path, here: &Machine) -> bool {
    let Ok(text) = fs::read_to_string(folder.join(MACHINE)) else {
        return false;
    };
    Machine { text }.is(here)
}

/// Kills what is in the groups at and below `group`, then removes them.
fn remove_groups(group: &Path, report: &mut LeftoverReport) -> io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path(), report)?;
        }
    }
    report.processes += cgroup::kill_processes(group)?;
    cgroup::remove_group(group)?;
    report.groups.push(group.to_path_buf());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of an owner that cannot be alive: process ids end far below.
    const DEAD: &str = "swegym-2147483647-1-0";

    fn scratch_of_a_dead_owner(state: &Path) -> Scratch {
        Scratch::make(state, DEAD).unwrap()
    }

    #[test]
    fn what_a_dead_owner_left_is_removed_with_its_work_folders() {
        let state = tempfile::tempdir().unwrap();
        let scratch = scratch_of_a_dead_owner(state.path());
        let work = state.path().join("layer.work");
        scratch.make_work_folder(3, &work).unwrap();
        let locked = work.join("work");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();

        let report = clean_leftovers(state.path()).unwrap();
        assert_eq!(report.folders, [fs::canonicalize(state.path()).unwrap().join(DEAD)]);
        assert!(fs::read_dir(state.path()).unwrap().next().is_none());
    }

    #[test]
    fn what_a_dead_owner_wrote_to_disk_is_removed() {
        let state = tempfile::tempdir().unwrap();
        let disk = tempfile::tempdir().unwrap();
        let scratch = scratch_of_a_dead_owner(state.path());
        let folder = scratch.make_disk_folder(3, disk.path()).unwrap();
        fs::create_dir_all(folder.path.join("0/below")).unwrap();
        fs::set_permissions(folder.path.join("0"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::create_dir(disk.path().join("other")).unwrap();
        // A record that was not written to its end names something else.
        fs::write(scratch.folder().join("disk-folder-4"), disk.path().as_os_str().as_encoded_bytes())
            .unwrap();

        assert_eq!(clean_leftovers(state.path()).unwrap().folders.len(), 1);
        let left: Vec<_> =
            fs::read_dir(disk.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["other"]);
    }

    #[test]
    fn what_living_owners_and_other_machines_have_stays() {
        let state = tempfile::tempdir().unwrap();
        Scratch::make(state.path(), &Owner::new().unwrap().name()).unwrap();
        let other = scratch_of_a_dead_owner(state.path());
        fs::write(other.folder().join(MACHINE), "another-machine 1\nboot\n").unwrap();
        fs::create_dir(state.path().join("images")).unwrap();

        assert!(clean_leftovers(state.path()).unwrap().folders.is_empty());
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 3);
    }

    /// Not named like an owner's, or a test beside this one would remove it.
    fn groups_of_this_test() -> Vec<PathBuf> {
        let name = format!("test-of-swegym-{}", std::process::id());
        let groups = cgroup::owner_folders().into_iter().map(|place| place.join(&name));
        groups.filter(|group| fs::create_dir_all(group.join("0")).is_ok()).collect()
    }

    #[test]
    fn groups_are_removed_with_their_processes() {
        let groups = groups_of_this_test();
        if groups.is_empty() {
            println!("skipped: no cgroup can be made here");
            return;
        }
        let mut left = std::process::Command::new("sleep")
            .arg("60")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let joined =
            groups.iter().all(|group| fs::write(group.join("0/cgroup.procs"), left.id().to_string()).is_ok());
        // The kernel lets go of a group when its processes have been reaped.
        let reaper = std::thread::spawn(move || left.wait().unwrap());
        let mut report = LeftoverReport::default();
        for group in &groups {
            remove_groups(group, &mut report).unwrap();
        }
        assert!(joined && !reaper.join().unwrap().success());
        assert_eq!(report.groups.len(), 2 * groups.len());
        assert!(groups.iter().all(|group| !group.exists()));
    }
}
