//! A sandbox, as its owner sees it.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use swegym_images::ImageConfig;

use super::backend::LauncherHandle;
use super::cgroup::UsageFiles;
use super::channel::{Channel, Closed};
use super::exec;
use super::protocol::{GuestReply, GuestRequest, LauncherReply, LauncherRequest, memory_file};
use super::proxy::Proxy;
use crate::{Connection, ExecOutput, ExecRequest, Sandbox, SandboxError, Usage};

pub(crate) struct LocalSandbox {
    id: u64,
    pub(super) channel: Channel<GuestReply>,
    launcher: Arc<LauncherHandle>,
    /// Where the kernel tells what the sandbox has used.
    pub(super) usage: UsageFiles,
    pub(super) config: ImageConfig,
    proxy: Option<Proxy>,
    destroyed: bool,
}

impl From<Closed> for SandboxError {
    fn from(Closed: Closed) -> Self {
        Self::Gone
    }
}

impl LocalSandbox {
    pub(super) fn new(
        id: u64,
        channel: Channel<GuestReply>,
        launcher: Arc<LauncherHandle>,
        usage: UsageFiles,
        config: ImageConfig,
    ) -> Self {
        Self { id, channel, launcher, usage, config, proxy: None, destroyed: false }
    }

    /// Lets commands reach the proxy's hosts.
    pub(super) fn use_proxy(&mut self, proxy: Proxy) {
        self.config.env.extend(proxy.environment());
        self.proxy = Some(proxy);
    }

    /// The working directory of commands that do not say.
    pub(super) fn workdir(&self) -> &Path {
        if self.config.workdir.as_os_str().is_empty() { Path::new("/") } else { &self.config.workdir }
    }

    /// Kills every process inside and waits until nothing is left.
    pub(super) async fn end(&self) -> Result<(), SandboxError> {
        let request = LauncherRequest::Destroy { sandbox: self.id };
        match self.launcher.channel.call(request, &[]).await {
            Ok((LauncherReply::Destroyed, _)) => Ok(()),
            _ => Err(std::io::Error::other("the launcher is gone").into()),
        }
    }

    /// A path inside, with relative ones taken from the working directory.
    fn absolute(&self, path: &str) -> String {
        self.workdir().join(path).to_string_lossy().into_owned()
    }
}

impl Drop for LocalSandbox {
    fn drop(&mut self) {
        if !self.destroyed {
            self.launcher.channel.notify(LauncherRequest::Destroy { sandbox: self.id });
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

    fn connections(&self) -> Vec<Connection> {
        self.proxy.as_ref().map(Proxy::connections).unwrap_or_default()
    }

    async fn usage(&self) -> Result<Usage, SandboxError> {
        Ok(self.usage.read())
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
