//! Where groups may be made: the mounted hierarchies, and our place in them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Controller, Version, processes};

/// A folder of a cgroup file system below which groups may be made, for one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) controller: Controller,
    pub(super) folder: PathBuf,
}

/// Finds where a controller may be on this machine, best first.
pub(super) fn local_places(controller: Controller) -> Vec<Place> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    places(controller, &mountinfo, &own)
}

/// The group that another process is in, where it can be seen.
pub(super) fn place_of(pid: i32, controller: Controller) -> Option<Place> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mut places = places(controller, &mountinfo, &groups).into_iter();
    places.find(|place| processes(&place.folder).is_ok_and(|inside| inside.contains(&pid)))
}

/// The own group, then the ones above it.
fn places(controller: Controller, mountinfo: &str, own: &str) -> Vec<Place> {
    let name = controller.name(Version::One);
    let one = mounts(mountinfo, "cgroup", Some(name))
        .map(|mount| (Version::One, mount.inside(own_path(own, Some(name)))));
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
    for controller in Controller::ALL {
        for place in local_places(controller) {
            if !folders.contains(&place.folder) {
                folders.push(place.folder);
            }
        }
    }
    folders
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
