//! A sandbox, as its owner sees it.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use swegym_images::ImageConfig;

use super::backend::LauncherHandle;
use super::channel::{Channel, Closed};
use super::exec;
use super::protocol::{GuestReply, GuestRequest, LauncherReply, LauncherRequest, memory_file};
use crate::{ExecOutput, ExecRequest, Sandbox, SandboxError};

/// A sandbox with our init in it.
pub(crate) struct LocalSandbox {
    pub(super) channel: Channel<GuestReply>,
    keeper: Arc<dyn Keeper>,
    /// The file that counts what the memory limit kills.
    pub(super) oom_counter: Option<PathBuf>,
    pub(super) config: ImageConfig,
    destroyed: bool,
}

/// Whoever made a sandbox, and can end it from outside.
#[async_trait]
pub(crate) trait Keeper: Send + Sync {
    /// Kills every process inside and waits until nothing is left.
    async fn end(&self) -> Result<(), SandboxError>;

    /// Sees to it that it ends, from where nothing can wait.
    fn end_soon(&self);
}

/// A sandbox that the launcher made.
pub(super) struct Launched {
    pub(super) id: u64,
    pub(super) launcher: Arc<LauncherHandle>,
}

#[async_trait]
impl Keeper for Launched {
    async fn end(&self) -> Result<(), SandboxError> {
        let request = LauncherRequest::Destroy { sandbox: self.id };
        match self.launcher.channel.call(request, &[]).await {
            Ok((LauncherReply::Destroyed, _)) => Ok(()),
            _ => Err(std::io::Error::other("the launcher is gone").into()),
        }
    }

    fn end_soon(&self) {
        self.launcher.channel.notify(LauncherRequest::Destroy { sandbox: self.id });
    }
}

impl From<Closed> for SandboxError {
    fn from(Closed: Closed) -> Self {
        Self::Gone
    }
}

impl LocalSandbox {
    pub(crate) fn new(
        channel: Channel<GuestReply>,
        keeper: Arc<dyn Keeper>,
        oom_counter: Option<PathBuf>,
        config: ImageConfig,
    ) -> Self {
        Self { channel, keeper, oom_counter, config, destroyed: false }
    }

    /// What it is set up with.
    pub(crate) fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The working directory of commands that do not say.
    pub(super) fn workdir(&self) -> &Path {
        if self.config.workdir.as_os_str().is_empty() { Path::new("/") } else { &self.config.workdir }
    }

    /// Kills every process inside and waits until nothing is left.
    pub(super) async fn end(&self) -> Result<(), SandboxError> {
        self.keeper.end().await
    }

    /// A path inside, with relative ones taken from the working directory.
    fn absolute(&self, path: &str) -> String {
        self.workdir().join(path).to_string_lossy().into_owned()
    }
}

impl Drop for LocalSandbox {
    fn drop(&mut self) {
        if !self.destroyed {
            self.keeper.end_soon();
        }
    }
}

#[async_trait]
impl Sandbox for LocalSandbox {
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        exec::exec(self, request).await
    }

    async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        let request = GuestRequest::Read { path: self.absolute(path) };
        let (reply, descriptors) = self.channel.call(request, &[]).await?;
        let file = match (reply, descriptors.into_iter().next()) {
            (GuestReply::Opened, Some(file)) => File::from(file),
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
        match self.channel.call(request, &[content.as_fd()]).await? {
            (GuestReply::Written, _) => Ok(()),
            (reply, _) => Err(file_error("write", path, reply)),
        }
    }

    async fn destroy(mut self: Box<Self>) -> Result<(), SandboxError> {
        self.destroyed = true;
        self.end().await
    }
}

fn file_error(action: &'static str, path: &str, reply: GuestReply) -> SandboxError {
    let (message, errno) = match reply {
        GuestReply::FileError { message, errno } => (message, errno),
        GuestReply::NotStarted { message } => (message, None),
        _ => ("the process that did it was killed".to_owned(), None),
    };
    SandboxError::File { action, path: path.to_owned(), message, errno }
}
