//! What a daemon does with a container from outside: ends it, lists its changes, forks it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::backend::Source;
use super::changes::{after, changes};
use super::container::Container;
use super::daemon::call;
use super::images::{ForkImage, Known};
use crate::local::sandbox::{GuestSandbox, Keeper};
use crate::{Change, Sandbox, SandboxError, SandboxSpec};

pub(super) struct Contained {
    pub(super) container: Arc<Container>,
    pub(super) known: Known,
    /// What it was made from, for forks.
    pub(super) spec: SandboxSpec,
    /// How its files differed from those of the known image when it was made.
    pub(super) inherited: Vec<Change>,
}

impl Contained {
    /// Freezes its files, in a task of its own: a daemon goes on with what it has begun, also when nobody waits
    /// for it any more, and then the image must go again.
    async fn freeze(&self) -> Result<ForkImage, SandboxError> {
        let container = Arc::clone(&self.container);
        let alone = Arc::clone(&container.copied).lock_owned().await;
        let frozen = tokio::spawn(async move {
            let _alone = alone;
            let shared = &container.shared;
            ForkImage::commit(&shared.daemon, &container.name, &shared.next_name(), container.image()).await
        });
        frozen.await.map_err(std::io::Error::other)?
    }
}

#[async_trait]
impl Keeper for Contained {
    async fn end(&self) -> Result<(), SandboxError> {
        self.container.end().await
    }

    /// Its process 1 ends when the control socket closes, and dropping the container does the rest.
    fn end_soon(&self) {}

    /// As the daemon sees it: names that are not UTF-8 come changed, and a folder whose mode alone changed is not
    /// told when something in it changed too. What a fork has from its parent is what was told of that just
    /// before, so that a file which was written at that moment may be missing.
    async fn changes(&self, _sandbox: &GuestSandbox) -> Result<Vec<Change>, SandboxError> {
        let api = &self.container.shared.daemon.api;
        let listed = call("list changed files", api.container_changes(&self.container.name)).await;
        let mounted: Vec<PathBuf> = self.spec.extra_binds.iter().map(|(_, path, _)| path.clone()).collect();
        Ok(after(&self.inherited, changes(listed?.unwrap_or_default(), &mounted)))
    }

    async fn fork(&self, sandbox: &GuestSandbox) -> Result<Box<dyn Sandbox>, SandboxError> {
        let changes = self.changes(sandbox).await?;
        let image = self.freeze().await?;
        let source = Source {
            known: self.known.clone(),
            config: sandbox.config().clone(),
            image: image.id.clone(),
            fork: Some(Arc::new(image)),
            changes,
        };
        self.container.shared.create_apart(self.spec.clone(), source).await
    }

    async fn pristine(&self) -> Result<Box<dyn Sandbox>, SandboxError> {
        let spec = self.spec.pristine();
        let source = Source::of_image(self.known.clone(), &spec);
        self.container.shared.create_apart(spec, source).await
    }

    async fn checkpoint(&self, _sandbox: &GuestSandbox, _folder: &Path) -> Result<(), SandboxError> {
        Err(SandboxError::Unsupported { action: "checkpoint the sandbox" })
    }
}
