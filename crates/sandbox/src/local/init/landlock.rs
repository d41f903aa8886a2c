//! The second wall: what the kernel's Landlock forbids to everything in a sandbox, beside namespaces, ids and
//! the filter of system calls.
//!
//! A process of its domain cannot mount anything, and cannot trace one outside of it. No devices can be made
//! anywhere, also none that pose as the marks an overlay keeps; devices are asked for special services below
//! `/dev` only; and no signal or connection by an abstract name leaves the domain, which matters where the
//! network is the host's.
//!
//! Writing is not limited here: a right that is given to a folder holds for everything below it, and nothing
//! can be taken out again, so "the overlay, but not what is mounted in it" cannot be said. Read-only mounts say
//! it. Init is in the domain itself, and with it everything that it forks: it can signal them, and they can
//! move files between folders and start and connect to whatever they like.

use std::path::Path;

use landlock::{
    AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};

type Error = Box<dyn std::error::Error>;

/// What the kernel can do of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    None,
    /// Without the signals and abstract names, which came with Linux 6.12, or the services of devices (6.10).
    Partial,
    Full,
}

/// Asks the kernel.
pub(crate) fn support() -> Support {
    let required = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    // A kernel before 5.19 forbids every process with a domain to move files between folders, which breaks too
    // much: it counts as one that has none.
    if required().handle_access(AccessFs::Refer).and_then(Ruleset::create).is_err() {
        return Support::None;
    }
    let newest = required()
        .handle_access(handled())
        .and_then(|ruleset| ruleset.scope(BitFlags::<Scope>::all()))
        .and_then(Ruleset::create);
    if newest.is_ok() { Support::Full } else { Support::Partial }
}

fn handled() -> BitFlags<AccessFs> {
    AccessFs::Refer | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev
}

/// Puts this process, and everything it forks, into a domain as narrow as the kernel can.
pub(super) fn confine() -> Result<(), Error> {
    if support() == Support::None {
        return Ok(());
    }
    let rule = |path: &str, access: BitFlags<AccessFs>| -> Result<_, Error> {
        Ok(PathBeneath::new(PathFd::new(Path::new(path))?, access))
    };
    Ruleset::default()
        .handle_access(handled())?
        .scope(BitFlags::<Scope>::all())?
        .create()?
        .add_rule(rule("/", AccessFs::Refer.into())?)?
        .add_rule(rule("/dev", AccessFs::Refer | AccessFs::IoctlDev)?)?
        .restrict_self()?;
    Ok(())
}
