//! The blanks of a launcher: sandboxes made ahead, up to what follows from the image.
//!
//! They cost nothing where they are of no use: the first is made after two sandboxes in a row that differ in
//! nothing but their image, in a moment when nothing is asked of the launcher, and they go when none was wanted
//! for a while.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::MsgFlags;
use nix::unistd::Pid;

use super::cgroup::SandboxGroups;
use super::protocol::{CreateSpec, Envelope, send};
use super::visit::Inherited;

/// Blanks at any time.
const MOST: usize = 4;
/// Time without a sandbox made, after which they go.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A process 1 that waits to become a sandbox.
pub(super) struct Blank {
    pub(super) pid: Pid,
    pub(super) groups: SandboxGroups,
    /// Where it learns what it becomes.
    pub(super) socket: OwnedFd,
}

impl Blank {
    /// Makes it this sandbox, whose owner is at the other end of the first descriptor. Fails when it has ended.
    pub(super) fn become_sandbox(&self, spec: &CreateSpec, descriptors: &[OwnedFd]) -> io::Result<()> {
        let message = Envelope { id: spec.sandbox, body: spec };
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        send(self.socket.as_fd(), &message, &descriptors, MsgFlags::MSG_DONTWAIT)
    }
}

/// Those there are, and what they are like.
pub(super) struct Blanks {
    waiting: Vec<Blank>,
    /// Killed, not yet reaped.
    ending: Vec<Blank>,
    /// Tells when something was mounted on the host, which those that wait do not see.
    mounts: io::Result<File>,
    /// One ended by itself: so would others.
    hopeless: bool,
    /// What the last sandbox was like.
    template: Option<CreateSpec>,
    /// Whether another like it is expected.
    expected: bool,
    last_used: Option<Instant>,
}

impl Blanks {
    pub(super) fn new() -> Self {
        Self {
            waiting: Vec::new(),
            ending: Vec::new(),
            mounts: File::open("/proc/self/mountinfo"),
            hopeless: false,
            template: None,
            expected: false,
            last_used: None,
        }
    }

    /// Takes one for a sandbox, and learns from it what the next may be like.
    pub(super) fn take(&mut self, spec: &CreateSpec) -> Option<Blank> {
        // One that no blank could become says nothing about the next that one could.
        let template = Some(template_of(spec)?);
        self.expected = template == self.template;
        self.last_used = Some(Instant::now());
        if !self.expected || self.mounts_changed() {
            self.dismiss();
            self.template = template;
        }
        self.waiting.pop()
    }

    /// One that was taken turned out to have ended.
    pub(super) fn discard(&mut self, blank: Blank) {
        self.hopeless = true;
        self.ending.push(blank);
    }

    /// What another blank should be like, if there should be one.
    pub(super) fn wanted(&self) -> Option<&CreateSpec> {
        self.template.as_ref().filter(|_| self.expected && !self.hopeless && self.waiting.len() < MOST)
    }

    pub(super) fn add(&mut self, blank: Blank) {
        self.waiting.push(blank);
    }

    /// Makes no more.
    pub(super) fn give_up(&mut self) {
        self.hopeless = true;
    }

    /// A process has ended. Returns its groups if it was a blank.
    pub(super) fn forget(&mut self, pid: Pid) -> Option<SandboxGroups> {
        if let Some(at) = self.ending.iter().position(|blank| blank.pid == pid) {
            return Some(self.ending.swap_remove(at).groups);
        }
        let at = self.waiting.iter().position(|blank| blank.pid == pid)?;
        self.give_up();
        Some(self.waiting.swap_remove(at).groups)
    }

    /// A mount of a sandbox's own is none of the host's. Where it cannot be told, it is taken for granted.
    fn mounts_changed(&self) -> bool {
        let Ok(mounts) = &self.mounts else { return true };
        let mut changed = [PollFd::new(mounts.as_fd(), PollFlags::POLLPRI)];
        !matches!(poll(&mut changed, PollTimeout::ZERO), Ok(0))
    }

    /// How long from now until they are of no use; none when there is nothing to wait for.
    pub(super) fn patience(&self) -> Option<Duration> {
        let used = self.last_used.filter(|_| !self.waiting.is_empty())?;
        Some(PATIENCE.saturating_sub(used.elapsed()))
    }

    /// Kills them, and makes no others before they are expected again.
    pub(super) fn dismiss(&mut self) {
        self.expected = false;
        for blank in self.waiting.drain(..) {
            let _ = kill(blank.pid, Signal::SIGKILL);
            self.ending.push(blank);
        }
    }
}

/// What a blank for this sandbox would be made from; none where too much depends on the host's folders of the
/// moment, or on another sandbox.
fn template_of(spec: &CreateSpec) -> Option<CreateSpec> {
    let in_memory = spec.upper.is_none() && spec.disk.is_none();
    let is_usual = spec.extra_binds.is_empty() && spec.inherited == Inherited::Nothing && !spec.host_network;
    // The disks that such a limit holds for are those of the layers, too.
    let is_usual = is_usual && spec.io_bytes_per_second.is_none();
    (in_memory && is_usual).then(|| CreateSpec { sandbox: 0, layers: Vec::new(), ..spec.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::visit::ForkPlan;

    fn spec() -> CreateSpec {
        CreateSpec {
            sandbox: 7,
            layers: vec!["/layer".into()],
            binds: vec!["/usr".into()],
            masks: Vec::new(),
            extra_binds: Vec::new(),
            upper: None,
            disk: None,
            inherited: Inherited::Nothing,
            workdir: "/".into(),
            host_network: false,
            memory_bytes: 1,
            processes: 1,
            disk_bytes: 1,
            cpu_millis: None,
            io_bytes_per_second: None,
        }
    }

    #[test]
    fn the_first_blank_is_made_after_two_sandboxes_that_differ_in_their_image_alone() {
        let mut blanks = Blanks::new();
        assert!(blanks.take(&spec()).is_none() && blanks.wanted().is_none());
        let other_image = CreateSpec { sandbox: 8, layers: Vec::new(), ..spec() };
        assert!(blanks.take(&other_image).is_none());
        assert_eq!(blanks.wanted(), Some(&CreateSpec { sandbox: 0, ..other_image }));
        blanks.take(&CreateSpec { disk_bytes: 2, ..spec() });
        assert_eq!(blanks.wanted(), None);
    }

    #[test]
    fn forks_do_not_keep_blanks_from_being_made() {
        let fork =
            CreateSpec { inherited: Inherited::Fork { parent: 1, plan: ForkPlan::default() }, ..spec() };
        let mut blanks = Blanks::new();
        for spec in [spec(), fork, spec()] {
            assert!(blanks.take(&spec).is_none());
        }
        assert!(blanks.wanted().is_some());
    }

    #[test]
    fn none_is_made_where_folders_of_the_host_or_another_sandbox_matter() {
        let bound = CreateSpec { extra_binds: vec![("/a".into(), "/b".into(), true)], ..spec() };
        let built = CreateSpec { upper: Some(("/a".into(), "/b".into())), ..spec() };
        let online = CreateSpec { host_network: true, ..spec() };
        let on_disk = CreateSpec { disk: Some("/a".into()), ..spec() };
        let restored = Inherited::Checkpoint { folders: vec!["/a".into()] };
        let restored = CreateSpec { inherited: restored, ..spec() };
        let fork =
            CreateSpec { inherited: Inherited::Fork { parent: 1, plan: ForkPlan::default() }, ..spec() };
        let slowed = CreateSpec { io_bytes_per_second: Some(1), ..spec() };
        for spec in [bound, built, online, on_disk, restored, fork, slowed] {
            let mut blanks = Blanks::new();
            (0..3).for_each(|_| assert!(blanks.take(&spec).is_none()));
            assert_eq!(blanks.wanted(), None);
        }
    }
}
