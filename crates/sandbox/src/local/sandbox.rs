//! A sandbox, as its owner sees it.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use swegym_core::Connections;
use swegym_images::ImageConfig;

use super::cgroup::UsageFiles;
use super::channel::{Channel, Closed, Pending};
use super::exec;
use super::protocol::{GuestReply, GuestRequest, memory_file};
use super::proxy::{Policy, Proxy};
use super::session::{self, Progress};
use super::trees;
use crate::{
    Captured, Change, ExecOutput, ExecRequest, FileEntry, FileStat, Sandbox, SandboxError, Session,
    SessionSpec, SideChannel, TreeLimits, Usage,
};

/// How long a sandbox may take to answer about a file: the process that does can be stopped from inside.
const FILE_PATIENCE: Duration = Duration::from_secs(30);

/// A sandbox with our init in it.
pub(crate) struct GuestSandbox {
    pub(super) channel: Arc<Channel<GuestReply>>,
    keeper: Arc<dyn Keeper>,
    /// Where the kernel tells what the sandbox has used.
    pub(super) usage: UsageFiles,
    pub(super) config: ImageConfig,
    /// Held by whoever stops its processes, sends a visitor, or gives a command to a shell that was idle.
    pub(super) visited: Arc<tokio::sync::Mutex<()>>,
    /// Counts how often it got a new root. A shell that was started, or went to its working directory by its
    /// path, before the last time is in the files of before, where it can read but not write: it must go there
    /// again (`cd .`) before its next command. `/` needs no care.
    pub(super) root_switches: Arc<AtomicU64>,
    /// Shells of sessions, by the exec that started them.
    shells: Mutex<Vec<(u64, Weak<Progress>)>>,
    proxy: Option<Proxy>,
    destroyed: bool,
}

/// Whoever made a sandbox, and does with it from outside what it cannot do to itself.
#[async_trait]
pub(crate) trait Keeper: Send + Sync {
    /// Kills every process inside and waits until nothing is left.
    async fn end(&self) -> Result<(), SandboxError>;

    /// Sees to it that it ends, from where nothing can wait.
    fn end_soon(&self);

    /// As [`Sandbox::changes`].
    async fn changes(&self, sandbox: &GuestSandbox) -> Result<Vec<Change>, SandboxError>;

    /// As [`Sandbox::fork`].
    async fn fork(&self, sandbox: &GuestSandbox) -> Result<Box<dyn Sandbox>, SandboxError>;

    /// As [`Sandbox::pristine`].
    async fn pristine(&self) -> Result<Box<dyn Sandbox>, SandboxError>;

    /// As [`Sandbox::checkpoint`].
    async fn checkpoint(&self, sandbox: &GuestSandbox, folder: &Path) -> Result<(), SandboxError>;
}

impl From<Closed> for SandboxError {
    fn from(Closed: Closed) -> Self {
        Self::Gone
    }
}

impl GuestSandbox {
    pub(crate) fn new(
        channel: Channel<GuestReply>,
        keeper: Arc<dyn Keeper>,
        usage: UsageFiles,
        config: ImageConfig,
    ) -> Self {
        let channel = Arc::new(channel);
        let (visited, root_switches, shells) = Default::default();
        Self { channel, keeper, usage, config, visited, root_switches, shells, proxy: None, destroyed: false }
    }

    /// What it is set up with.
    pub(crate) fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Remembers the shell of a session for as long as that is open.
    pub(super) fn remember_shell(&self, exec: u64, progress: &Arc<Progress>) {
        let mut shells = self.shells.lock().unwrap_or_else(PoisonError::into_inner);
        shells.retain(|(_, progress)| progress.strong_count() > 0);
        shells.push((exec, Arc::downgrade(progress)));
    }

    /// Requests whose commands are shells of open sessions that wait for a command. They are the only ones that
    /// keep running when the root changes; see [`Self::root_switches`].
    pub(super) fn idle_shells(&self) -> Vec<u64> {
        let shells = self.shells.lock().unwrap_or_else(PoisonError::into_inner);
        let open = shells.iter().filter_map(|(exec, progress)| Some((*exec, progress.upgrade()?)));
        open.filter(|(_, progress)| progress.running().is_none()).map(|(exec, _)| exec).collect()
    }

    /// Lets commands reach what the policy allows, through a proxy. Its listening socket is made inside, before anything
    /// else runs there, so that it belongs to the network of the sandbox.
    pub(crate) async fn allow(&mut self, policy: Policy) -> Result<(), SandboxError> {
        let answer = tokio::time::timeout(FILE_PATIENCE, self.channel.call(GuestRequest::Listen, &[])).await;
        let said = match answer {
            Ok(Ok((GuestReply::Listening, descriptors))) => match descriptors.into_iter().next() {
                Some(listener) => {
                    let proxy = Proxy::start(listener, policy)?;
                    self.config.env.extend(proxy.environment());
                    self.proxy = Some(proxy);
                    return Ok(());
                }
                None => "the socket did not come".to_owned(),
            },
            Ok(Ok((GuestReply::NotStarted { message }, _))) => message,
            Ok(_) => "it ended".to_owned(),
            Err(_) => "it does not answer".to_owned(),
        };
        Err(SandboxError::Create { step: "open the socket of its proxy".to_owned(), message: said })
    }

    /// The working directory of commands that do not say.
    pub(super) fn workdir(&self) -> &Path {
        if self.config.workdir.as_os_str().is_empty() { Path::new("/") } else { &self.config.workdir }
    }

    /// Kills every process inside and waits until nothing is left.
    pub(super) async fn end(&self) -> Result<(), SandboxError> {
        self.keeper.end().await
    }

    /// Asks for something about a file. No answer means that there was none in time.
    pub(super) async fn ask(
        &self,
        request: GuestRequest,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Option<GuestReply>, Vec<OwnedFd>), SandboxError> {
        let mut pending = self.channel.request(request, descriptors).await?;
        self.answer(&mut pending).await
    }

    /// Waits for the answer to a request.
    pub(super) async fn answer(
        &self,
        pending: &mut Pending<GuestReply>,
    ) -> Result<(Option<GuestReply>, Vec<OwnedFd>), SandboxError> {
        match tokio::time::timeout(FILE_PATIENCE, pending.reply()).await {
            Ok(answer) => answer.map(|(reply, descriptors)| (Some(reply), descriptors)).map_err(Into::into),
            Err(_) => Ok((None, Vec::new())),
        }
    }

    /// A path inside, with relative ones taken from the working directory.
    pub(super) fn absolute(&self, path: &str) -> String {
        self.workdir().join(path).to_string_lossy().into_owned()
    }
}

impl Drop for GuestSandbox {
    fn drop(&mut self) {
        if !self.destroyed {
            self.keeper.end_soon();
        }
    }
}

#[async_trait]
impl Sandbox for GuestSandbox {
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        Ok(exec::exec(self, request, None).await?.0)
    }

    async fn exec_with_channel(
        &self,
        request: &ExecRequest,
        channel: &SideChannel,
    ) -> Result<(ExecOutput, Captured), SandboxError> {
        exec::exec(self, request, Some(channel)).await
    }

    async fn open_session(&self, spec: &SessionSpec) -> Result<Box<dyn Session>, SandboxError> {
        Ok(Box::new(session::open(self, spec).await?))
    }

    async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        let request = GuestRequest::Read { path: self.absolute(path) };
        let (reply, descriptors) = self.ask(request, &[]).await?;
        let file = match (reply, descriptors.into_iter().next()) {
            (Some(GuestReply::Opened), Some(file)) => File::from(file),
            (reply, _) => return Err(file_error("read", path, reply)),
        };
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes).map(|_| bytes)
        });
        let read = read.await.map_err(std::io::Error::other)?;
        read.map_err(|error| SandboxError::File {
            action: "read",
            path: path.to_owned(),
            message: error.to_string(),
            errno: error.raw_os_error(),
        })
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        let content = memory_file("content", content)?;
        let request = GuestRequest::Write { path: self.absolute(path) };
        match self.ask(request, &[content.as_fd()]).await? {
            (Some(GuestReply::Written), _) => Ok(()),
            (reply, _) => Err(file_error("write", path, reply)),
        }
    }

    fn connections(&self) -> Option<Connections> {
        self.proxy.as_ref().map(Proxy::connections)
    }

    fn service(&self) -> Option<SocketAddr> {
        self.proxy.as_ref().and_then(Proxy::service)
    }

    async fn usage(&self) -> Result<Usage, SandboxError> {
        Ok(self.usage.read())
    }

    async fn stat(&self, path: &str) -> Result<FileStat, SandboxError> {
        trees::stat(self, path).await
    }

    async fn list(&self, path: &str) -> Result<Vec<FileEntry>, SandboxError> {
        trees::list(self, path).await
    }

    async fn upload(&self, folder: &Path, path: &str) -> Result<(), SandboxError> {
        trees::upload(self, folder, path).await
    }

    async fn unpack(&self, archive: &[u8], path: &str) -> Result<(), SandboxError> {
        trees::unpack(self, archive, path).await
    }

    async fn download(&self, path: &str, folder: &Path, limits: TreeLimits) -> Result<(), SandboxError> {
        trees::download(self, path, folder, limits).await
    }

    async fn changes(&self) -> Result<Vec<Change>, SandboxError> {
        self.keeper.changes(self).await
    }

    async fn fork(&self) -> Result<Box<dyn Sandbox>, SandboxError> {
        self.keeper.fork(self).await
    }

    async fn pristine(&self) -> Result<Box<dyn Sandbox>, SandboxError> {
        self.keeper.pristine().await
    }

    async fn checkpoint(&self, folder: &Path) -> Result<(), SandboxError> {
        self.keeper.checkpoint(self, folder).await
    }

    async fn destroy(mut self: Box<Self>) -> Result<(), SandboxError> {
        self.destroyed = true;
        self.end().await
    }
}

pub(super) fn file_error(action: &'static str, path: &str, reply: Option<GuestReply>) -> SandboxError {
    let (message, errno) = match reply {
        Some(GuestReply::FileError { message, errno }) => (message, errno),
        Some(GuestReply::NotStarted { message }) => (message, None),
        None => ("the process that does it does not answer".to_owned(), None),
        _ => ("the process that did it was killed".to_owned(), None),
    };
    SandboxError::File { action, path: path.to_owned(), message, errno }
}
