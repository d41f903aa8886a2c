//! The groups of an owner, below which those of its sandboxes are.

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use super::places::{Place, local_places};
use super::{Controller, Version, make_group, processes, remove_group, write};
use crate::local::identity::is_privileged;

/// A limit that no group enforces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unenforced {
    pub(crate) controller: Controller,
    /// A sentence that says why.
    pub(crate) reason: String,
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

impl Effort {
    /// Nothing is moved for a limit that may never be asked for.
    fn all(controller: Controller) -> &'static [Self] {
        let all = &[Self::AsItIs, Self::Enable, Self::MoveProcesses];
        if controller.is_always_on() { all } else { &all[..2] }
    }
}

/// The groups of an owner.
#[derive(Debug)]
pub(crate) struct OwnerGroups {
    pub(super) places: Vec<Place>,
    pub(crate) unenforced: Vec<Unenforced>,
}

impl OwnerGroups {
    /// Makes the groups of the owner wherever the kernel lets us.
    pub(crate) fn make(owner: &str) -> Self {
        let mut groups = Self { places: Vec::new(), unenforced: Vec::new() };
        for controller in Controller::ALL {
            match make_somewhere(controller, owner) {
                Ok(place) => {
                    groups.unenforced.extend(weakness(&place));
                    groups.places.push(place);
                }
                Err(_) if controller == Controller::Pids && is_limited_by_user() => {}
                Err(why) => {
                    let reason = format!("{} is not enforced: {why}", controller.limits());
                    groups.unenforced.push(Unenforced { controller, reason });
                }
            }
        }
        groups
    }

    /// Removes the groups of the owner; those of its sandboxes must be gone.
    pub(crate) fn remove(&self) {
        for place in &self.places {
            let _ = remove_group(&place.folder);
        }
    }
}

/// The kernel writes changed pages back outside of the groups of version 1.
fn weakness(place: &Place) -> Option<Unenforced> {
    let is_weak = (place.version, place.controller) == (Version::One, Controller::Io);
    is_weak.then(|| Unenforced {
        controller: Controller::Io,
        reason: "the limit on writing disks holds for direct writes only: cgroup version 1 does not see who \
                 changed a page that is written back later"
            .to_owned(),
    })
}

/// Makes the group of the owner in the best place that lets us, or says why none does.
fn make_somewhere(controller: Controller, owner: &str) -> Result<Place, String> {
    let name = controller.name(Version::Two);
    let mut why = format!("no cgroup hierarchy with the `{name}` controller is mounted");
    let made = Effort::all(controller).iter().find_map(|effort| {
        local_places(controller).into_iter().find_map(|place| {
            let made = make_owner_group(&place, owner, *effort);
            made.map_err(|error| why = format!("`{}`: {error}", place.folder.display())).ok()
        })
    });
    made.ok_or(why)
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
    let is_new = make_group(&folder)?;
    if place.version == Version::Two
        && let Err(error) = hand_down(&folder, place.controller, Effort::Enable)
    {
        // Another controller may already use it.
        if is_new {
            let _ = fs::remove_dir(&folder);
        }
        return Err(error);
    }
    Ok(Place { folder, ..place.clone() })
}

/// Makes a controller of version 2 available to the groups below a group.
fn hand_down(folder: &Path, controller: Controller, effort: Effort) -> io::Result<()> {
    let name = controller.name(Version::Two);
    let has = |file: &str| -> io::Result<bool> {
        let names = fs::read_to_string(folder.join(file))?;
        Ok(names.split_whitespace().any(|other| other == name))
    };
    if has("cgroup.subtree_control")? {
        return Ok(());
    }
    if effort == Effort::AsItIs || !has("cgroup.controllers")? {
        return Err(io::Error::other(format!("the `{name}` controller is not delegated to this group")));
    }
    let enable = format!("+{name}");
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
