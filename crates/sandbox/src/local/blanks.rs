//! The blanks of a launcher: sandboxes made ahead, up to what follows from the image or, where the last two had the
//! same image, to the end.
//!
//! They cost nothing where they are of no use: the first is made after two sandboxes in a row that differ in
//! nothing but their image, in a moment when nothing is asked of the launcher, and they go when none was wanted
//! for a while.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::MsgFlags;
use nix::unistd::Pid;

use super::cgroup::SandboxGroups;
use super::init::Extent;
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
    /// The layers that it was made with, where it was made for one image.
    pub(super) layers: Option<Layers>,
}

/// Device and inode of each layer of an image: one that was removed and made again is another one.
pub(super) type Layers = Vec<(u64, u64)>;

fn layers_at(paths: &[PathBuf]) -> io::Result<Layers> {
    paths.iter().map(|path| fs::metadata(path).map(|about| (about.dev(), about.ino()))).collect()
}

/// What a blank is made from.
pub(super) struct BlankKind {
    pub(super) template: CreateSpec,
    /// As [`Blank::layers`].
    pub(super) layers: Option<Layers>,
}

impl BlankKind {
    pub(super) fn extent(&self) -> Extent {
        if self.layers.is_some() { Extent::ThisImage } else { Extent::AnyImage }
    }
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
    /// Whether another like it is expected, of any image.
    expected: bool,
    /// Whether it is expected to have the same image, too.
    image_expected: bool,
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
            image_expected: false,
            last_used: None,
        }
    }

    /// Takes one for a sandbox, and learns from it what the next may be like.
    pub(super) fn take(&mut self, spec: &CreateSpec) -> Option<Blank> {
        // One that no blank could become says nothing about the next that one could.
        let template = template_of(spec)?;
        self.expected = self.template.as_ref().is_some_and(|last| is_alike(last, &template));
        self.image_expected = self.template.as_ref() == Some(&template);
        self.last_used = Some(Instant::now());
        if !self.expected || self.mounts_changed() {
            self.dismiss();
        }
        self.dismiss_other_images(&template);
        self.template = Some(template);
        let best = self.waiting.iter().position(|blank| blank.layers.is_some());
        best.map(|blank| self.waiting.swap_remove(blank)).or_else(|| self.waiting.pop())
    }

    fn dismiss_other_images(&mut self, template: &CreateSpec) {
        if self.waiting.iter().any(|blank| blank.layers.is_some()) {
            let layers = layers_at(&template.layers).ok();
            self.kill(|blank| blank.layers.is_some() && blank.layers != layers);
        }
    }

    /// One that was taken turned out to have ended.
    pub(super) fn discard(&mut self, blank: Blank) {
        self.hopeless = true;
        self.ending.push(blank);
    }

    /// What another blank should be made from, if there should be one. One of them always fits any image.
    pub(super) fn wanted(&self) -> Option<BlankKind> {
        let likely = self.expected && !self.hopeless && self.waiting.len() < MOST;
        let template = self.template.as_ref().filter(|_| likely)?;
        let is_provided_for = self.waiting.iter().any(|blank| blank.layers.is_none());
        if self.image_expected
            && is_provided_for
            && let Ok(layers) = layers_at(&template.layers)
        {
            return Some(BlankKind { template: template.clone(), layers: Some(layers) });
        }
        Some(BlankKind { template: CreateSpec { layers: Vec::new(), ..template.clone() }, layers: None })
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
        (self.expected, self.image_expected) = (false, false);
        self.kill(|_| true);
    }

    fn kill(&mut self, chosen: impl FnMut(&mut Blank) -> bool) {
        for blank in self.waiting.extract_if(.., chosen) {
            let _ = kill(blank.pid, Signal::SIGKILL);
            self.ending.push(blank);
        }
    }
}

/// Whether sandboxes differ in nothing but their image.
fn is_alike(one: &CreateSpec, other: &CreateSpec) -> bool {
    CreateSpec { layers: Vec::new(), ..one.clone() } == CreateSpec { layers: Vec::new(), ..other.clone() }
}

/// What a blank for this sandbox would be made from; none where too much depends on the host's folders of the
/// moment, or on another sandbox.
fn template_of(spec: &CreateSpec) -> Option<CreateSpec> {
    let in_memory = spec.upper.is_none() && spec.disk.is_none();
    let is_usual = spec.extra_binds.is_empty() && spec.inherited == Inherited::Nothing && !spec.host_network;
    // The disks that such a limit holds for are those of the layers, too.
    let is_usual = is_usual && spec.io_bytes_per_second.is_none();
    (in_memory && is_usual).then(|| CreateSpec { sandbox: 0, ..spec.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::protocol::socket_pair;
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

    fn wanted(blanks: &Blanks) -> Option<(CreateSpec, Extent)> {
        blanks.wanted().map(|kind| (kind.template.clone(), kind.extent()))
    }

    /// One whose process is none.
    fn blank(kind: BlankKind) -> Blank {
        let socket = socket_pair().unwrap().0;
        Blank { pid: Pid::from_raw(i32::MAX), groups: SandboxGroups::default(), socket, layers: kind.layers }
    }

    fn add_wanted(blanks: &mut Blanks) {
        while let Some(kind) = blanks.wanted() {
            blanks.add(blank(kind));
        }
    }

    #[test]
    fn the_first_blank_is_made_after_two_sandboxes_that_differ_in_their_image_alone() {
        let mut blanks = Blanks::new();
        assert!(blanks.take(&spec()).is_none() && blanks.wanted().is_none());
        let other_image = CreateSpec { sandbox: 8, layers: Vec::new(), ..spec() };
        assert!(blanks.take(&other_image).is_none());
        assert_eq!(wanted(&blanks), Some((CreateSpec { sandbox: 0, ..other_image }, Extent::AnyImage)));
        blanks.take(&CreateSpec { disk_bytes: 2, ..spec() });
        assert!(blanks.wanted().is_none());
    }

    #[test]
    fn all_but_one_blank_are_for_the_image_that_comes_again() {
        let layer = tempfile::tempdir().unwrap();
        let spec = CreateSpec { layers: vec![layer.path().into()], ..spec() };
        let mut blanks = Blanks::new();
        assert!(blanks.take(&spec).is_none() && blanks.take(&spec).is_none());
        add_wanted(&mut blanks);
        let waiting = |blanks: &Blanks| blanks.waiting.iter().filter(|it| it.layers.is_some()).count();
        assert_eq!((waiting(&blanks), blanks.waiting.len()), (MOST - 1, MOST));
        assert!(blanks.take(&spec).unwrap().layers.is_some());

        let other = CreateSpec { layers: Vec::new(), ..spec };
        assert!(blanks.take(&other).unwrap().layers.is_none(), "one fits any image");
        assert_eq!((waiting(&blanks), blanks.ending.len()), (0, MOST - 2));
    }

    #[test]
    fn a_blank_is_of_no_use_once_a_layer_was_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("layer");
        fs::create_dir(&layer).unwrap();
        let spec = CreateSpec { layers: vec![layer.clone()], ..spec() };
        let mut blanks = Blanks::new();
        assert!(blanks.take(&spec).is_none() && blanks.take(&spec).is_none());
        add_wanted(&mut blanks);
        fs::rename(&layer, folder.path().join("removed")).unwrap();
        fs::create_dir(&layer).unwrap();
        assert!(blanks.take(&spec).unwrap().layers.is_none());
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
            assert!(blanks.wanted().is_none());
        }
    }
}
