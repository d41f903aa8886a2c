//! A container, as its owner sees it: what it does through its process 1 is what any sandbox of ours does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::backend::Source;
use super::changes::changes;
use super::container::Container;
use super::daemon::call;
use super::images::{ForkImage, Known};
use crate::local::sandbox::LocalSandbox;
use crate::{
    Change, ExecOutput, ExecRequest, FileEntry, FileStat, Sandbox, SandboxError, SandboxSpec, Session,
    SessionSpec, TreeLimits,
};

pub(super) struct DockerSandbox {
    pub(super) guest: LocalSandbox,
    pub(super) container: Arc<Container>,
    pub(super) known: Known,
    /// What it was made from, for forks.
    pub(super) spec: SandboxSpec,
}

#[async_trait]
impl Sandbox for DockerSandbox {
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        self.guest.exec(request).await
    }

    async fn open_session(&self, spec: &SessionSpec) -> Result<Box<dyn Session>, SandboxError> {
        self.guest.open_session(spec).await
    }

    async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        self.guest.read_file(path, limit).await
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        self.guest.write_file(path, content).await
    }

    async fn stat(&self, path: &str) -> Result<FileStat, SandboxError> {
        self.guest.stat(path).await
    }

    async fn list(&self, path: &str) -> Result<Vec<FileEntry>, SandboxError> {
        self.guest.list(path).await
    }

    async fn upload(&self, folder: &Path, path: &str) -> Result<(), SandboxError> {
        self.guest.upload(folder, path).await
    }

    async fn download(&self, path: &str, folder: &Path, limits: TreeLimits) -> Result<(), SandboxError> {
        self.guest.download(path, folder, limits).await
    }

    /// As the daemon sees it: names that are not UTF-8 come changed, and a folder whose mode alone changed is not
    /// told when something in it changed too.
    async fn changes(&self) -> Result<Vec<Change>, SandboxError> {
        let api = &self.container.shared.daemon.api;
        let listed = call("list changed files", api.container_changes(&self.container.name)).await;
        let mounted: Vec<PathBuf> = self.spec.extra_binds.iter().map(|(_, path, _)| path.clone()).collect();
        Ok(changes(listed?.unwrap_or_default(), &mounted))
    }

    async fn fork(&self) -> Result<Box<dyn Sandbox>, SandboxError> {
        let shared = &self.container.shared;
        let parent = self.container.image.clone();
        let name = shared.next_name();
        let image = ForkImage::commit(&shared.daemon, &self.container.name, &name, parent).await?;
        let source = Source {
            known: self.known.clone(),
            config: self.guest.config().clone(),
            image: image.id.clone(),
            fork: Some(Arc::new(image)),
        };
        shared.create(name, &self.spec, source).await
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        let Self { guest, container, .. } = *self;
        Box::new(guest).destroy().await?;
        if let Some(mut container) = Arc::into_inner(container) {
            ForkImage::release(container.image.take()).await;
        }
        Ok(())
    }
}
