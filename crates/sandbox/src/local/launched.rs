//! What the launcher does with a sandbox from outside: ends it, and sends visitors.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::backend::LauncherHandle;
use super::protocol::{LauncherReply, LauncherRequest};
use super::sandbox::{GuestSandbox, Keeper};
use super::visit::Inherited;
use crate::{Change, Sandbox, SandboxError, SandboxSpec};

/// A sandbox that the launcher made.
pub(super) struct Launched {
    pub(super) id: u64,
    pub(super) launcher: Arc<LauncherHandle>,
    /// What it was made from; keeps the layers of its image from being collected.
    pub(super) spec: SandboxSpec,
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

    async fn changes(&self, sandbox: &GuestSandbox) -> Result<Vec<Change>, SandboxError> {
        self.list_changes(sandbox).await
    }

    async fn fork(&self, sandbox: &GuestSandbox) -> Result<Box<dyn Sandbox>, SandboxError> {
        Ok(Box::new(self.make_fork(sandbox).await?))
    }

    async fn pristine(&self) -> Result<Box<dyn Sandbox>, SandboxError> {
        Ok(Box::new(self.launcher.create(&self.spec.pristine(), Inherited::Nothing, None).await?))
    }

    async fn checkpoint(&self, sandbox: &GuestSandbox, folder: &Path) -> Result<(), SandboxError> {
        self.write_checkpoint(sandbox, folder).await
    }
}
