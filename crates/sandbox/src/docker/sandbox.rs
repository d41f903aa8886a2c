//! What a daemon does with a container from outside: ends it, lists its changes, forks it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::backend::Source;
use super::changes::changes;
use super::container::Container;
use super::daemon::call;
use super::images::{ForkImage, Known};
use crate::local::sandbox::{Keeper, LocalSandbox};
use crate::{Change, Sandbox, SandboxError, SandboxSpec};

pub(super) struct Contained {
    pub(super) container: Arc<Container>,
    pub(super) known: Known,
    /// What it was made from, for forks.
    pub(super) spec: SandboxSpec,
}

#[async_trait]
impl Keeper for Contained {
    async fn end(&self) -> Result<(), SandboxError> {
        self.container.end().await
    }

    /// Its process 1 ends when the control socket closes, and dropping the container does the rest.
    fn end_soon(&self) {}

    /// As the daemon sees it: names that are not UTF-8 come changed, and a folder whose mode alone changed is not
    /// told when something in it changed too.
    async fn changes(&self, _sandbox: &LocalSandbox) -> Result<Vec<Change>, SandboxError> {
        let api = &self.container.shared.daemon.api;
        let listed = call("list changed files", api.container_changes(&self.container.name)).await;
        let mounted: Vec<PathBuf> = self.spec.extra_binds.iter().map(|(_, path, _)| path.clone()).collect();
        Ok(changes(listed?.unwrap_or_default(), &mounted))
    }

    async fn fork(&self, sandbox: &LocalSandbox) -> Result<Box<dyn Sandbox>, SandboxError> {
        let shared = &self.container.shared;
        let name = shared.next_name();
        let parent = self.container.image();
        let image = ForkImage::commit(&shared.daemon, &self.container.name, &name, parent).await?;
        let source = Source {
            known: self.known.clone(),
            config: sandbox.config().clone(),
            image: image.id.clone(),
            fork: Some(Arc::new(image)),
        };
        shared.create(name, &self.spec, source).await
    }

    async fn checkpoint(&self, _sandbox: &LocalSandbox, _folder: &Path) -> Result<(), SandboxError> {
        Err(SandboxError::Unsupported { action: "checkpoint the sandbox" })
    }
}
