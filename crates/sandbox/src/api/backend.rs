//! Makers of sandboxes, and sandboxes.

use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;
use swegym_core::Connections;

use crate::{
    Captured, Change, ExecOutput, ExecRequest, FileEntry, FileStat, Limits, SandboxError, SandboxSpec,
    Session, SessionSpec, SideChannel, TreeLimits, Usage,
};

/// Makes sandboxes.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Makes a sandbox: the files of the image, a writable layer, limits. Nothing runs in it yet.
    ///
    /// # Errors
    /// [`SandboxError::Create`] names the step that the kernel refused.
    async fn create(&self, spec: &SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError>;

    /// Makes a sandbox with the files that [`Sandbox::checkpoint`] wrote into `folder`. The image of `spec` must
    /// be the one that the other sandbox was made from. The folder must stay while the sandbox lives.
    ///
    /// # Errors
    /// As for [`Self::create`]; [`SandboxError::Checkpoint`] when the folder does not hold one of this backend.
    async fn restore(&self, _spec: &SandboxSpec, _folder: &Path) -> Result<Box<dyn Sandbox>, SandboxError> {
        Err(SandboxError::Unsupported { action: "restore a sandbox" })
    }

    /// Limits of every sandbox that this backend cannot enforce on this machine, one sentence each; empty when
    /// all hold.
    fn unenforced(&self) -> Vec<String>;

    /// As [`Self::unenforced`], for these limits, some of which are set on demand only.
    fn unenforced_of(&self, _limits: &Limits) -> Vec<String> {
        self.unenforced()
    }
}

/// An isolated place where commands run. Dropping it destroys it: every process inside is killed and its
/// writable layer is gone.
///
/// A backend that cannot do one of the things beyond running commands and reaching single files answers
/// [`SandboxError::Unsupported`].
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Runs a command and waits for it. A command that fails, is killed or runs out of time is an
    /// [`ExecOutput`], not an error.
    ///
    /// Processes that the command leaves behind live on until the sandbox is destroyed, unless the command ran
    /// into its time limit: then its whole process tree is killed, also what it double-forked.
    ///
    /// # Errors
    /// [`SandboxError::Start`] when it cannot be started, [`SandboxError::Gone`] when the sandbox is gone.
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError>;

    /// As [`Self::exec`], with one more descriptor for the command. Returns also what was written into it until the
    /// command ended.
    ///
    /// # Errors
    /// As for [`Self::exec`]; [`SandboxError::Unsupported`] before anything ran.
    async fn exec_with_channel(
        &self,
        _request: &ExecRequest,
        _channel: &SideChannel,
    ) -> Result<(ExecOutput, Captured), SandboxError> {
        Err(SandboxError::Unsupported { action: "give a command a side channel" })
    }

    /// Opens a shell that keeps its state between commands.
    ///
    /// # Errors
    /// [`SandboxError::Start`] when the image has no `bash`.
    async fn open_session(&self, _spec: &SessionSpec) -> Result<Box<dyn Session>, SandboxError> {
        Err(SandboxError::Unsupported { action: "open a shell session" })
    }

    /// Reads a regular file, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`SandboxError::File`] when it is not there, not a regular file, or not readable.
    async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError>;

    /// Writes a file, replacing its content and keeping its mode; missing parent folders are made.
    ///
    /// # Errors
    /// [`SandboxError::File`] when the path is not a regular file, not writable, or the disk limit is reached.
    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), SandboxError>;

    /// What a path leads to; a link at its end is not followed.
    ///
    /// # Errors
    /// [`SandboxError::File`] when it is not there.
    async fn stat(&self, _path: &str) -> Result<FileStat, SandboxError> {
        Err(SandboxError::Unsupported { action: "look at a file" })
    }

    /// The entries of a folder, sorted by name.
    ///
    /// # Errors
    /// [`SandboxError::File`] when it is not a folder, or has more entries than [`TreeLimits::default`] allows.
    async fn list(&self, _path: &str) -> Result<Vec<FileEntry>, SandboxError> {
        Err(SandboxError::Unsupported { action: "list a folder" })
    }

    /// Copies a folder of the host, with everything below it, to `path`, merging it into what is there. Links are
    /// copied as links; modes are kept, owners are not.
    ///
    /// # Errors
    /// [`SandboxError::File`] when something cannot be read outside or written inside.
    async fn upload(&self, _folder: &Path, _path: &str) -> Result<(), SandboxError> {
        Err(SandboxError::Unsupported { action: "upload files" })
    }

    /// Makes what a tar archive holds below `path`, merging it into what is there: a file or link gives way, a folder
    /// does not, and links are not followed. The archive has the folders that its files lie in, before them.
    ///
    /// # Errors
    /// [`SandboxError::File`] when something cannot be written, or is neither file, folder nor link.
    async fn unpack(&self, _archive: &[u8], _path: &str) -> Result<(), SandboxError> {
        Err(SandboxError::Unsupported { action: "unpack an archive" })
    }

    /// Copies a folder out of the sandbox into `folder`, which is made. What is neither file, folder nor link is
    /// left out, set-id bits are dropped, and nothing is ever written outside `folder`.
    ///
    /// # Errors
    /// [`SandboxError::File`] when it cannot be read, or exceeds `limits`.
    async fn download(&self, _path: &str, _folder: &Path, _limits: TreeLimits) -> Result<(), SandboxError> {
        Err(SandboxError::Unsupported { action: "download files" })
    }

    /// How the files differ from those of the image, sorted by path.
    ///
    /// # Errors
    /// [`SandboxError::Gone`] when the sandbox is gone.
    async fn changes(&self) -> Result<Vec<Change>, SandboxError> {
        Err(SandboxError::Unsupported { action: "list changed files" })
    }

    /// A sandbox with the same files, of which both can change theirs from here on. Processes are not copied.
    ///
    /// # Errors
    /// As for [`Backend::create`].
    async fn fork(&self) -> Result<Box<dyn Sandbox>, SandboxError> {
        Err(SandboxError::Unsupported { action: "fork the sandbox" })
    }

    /// Another sandbox of the image that this one began with, within the same limits, with nothing of what was written
    /// here. It reaches nothing, and sees no folders of the host but those of the image.
    ///
    /// # Errors
    /// As for [`Backend::create`].
    async fn pristine(&self) -> Result<Box<dyn Sandbox>, SandboxError> {
        Err(SandboxError::Unsupported { action: "make a fresh sandbox of the same image" })
    }

    /// Writes what differs from the image into `folder`, which is made, for [`Backend::restore`].
    ///
    /// # Errors
    /// [`SandboxError::Checkpoint`] when it cannot be written.
    async fn checkpoint(&self, _folder: &Path) -> Result<(), SandboxError> {
        Err(SandboxError::Unsupported { action: "checkpoint the sandbox" })
    }

    /// What the sandbox asked for through its [`Allowlist`](crate::Allowlist) so far, if it has one. At most 1,000
    /// connections are listed.
    fn connections(&self) -> Option<Connections> {
        None
    }

    /// Where the service of its [`Allowlist`](crate::Allowlist) is reached from inside, if there is one.
    fn service(&self) -> Option<SocketAddr> {
        None
    }

    /// What everything inside together has used so far.
    ///
    /// # Errors
    /// [`SandboxError::Gone`] when the sandbox is gone.
    async fn usage(&self) -> Result<Usage, SandboxError> {
        Err(SandboxError::Unsupported { action: "tell what the sandbox has used" })
    }

    /// Destroys it and waits until its processes and cgroups are gone, and whatever is mounted on a folder that
    /// [`Upper::Folder`](crate::Upper::Folder) names.
    ///
    /// # Errors
    /// [`SandboxError::Io`] when the launcher cannot be reached.
    async fn destroy(self: Box<Self>) -> Result<(), SandboxError>;
}
