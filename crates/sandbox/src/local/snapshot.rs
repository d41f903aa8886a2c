//! Forks, checkpoints and changed files, on the owner's side.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use super::channel::{Channel, Pending};
use super::checkpoint::{About, Aside};
use super::launched::Launched;
use super::protocol::{GuestReply, GuestRequest, LauncherReply, LauncherRequest, SetupError, socket_pair};
use super::sandbox::GuestSandbox;
use super::visit::{self, ForkPlan, Inherited, Visit, VisitReply, read_changes};
use crate::{Change, SandboxError, Upper};

/// How long a visitor may take; it ends itself before.
const VISIT_PATIENCE: Duration = Duration::from_secs(visit::SECONDS as u64 + 10);

impl Launched {
    pub(super) async fn list_changes(&self, sandbox: &GuestSandbox) -> Result<Vec<Change>, SandboxError> {
        let _visited = sandbox.visited.lock().await;
        let (reply, namespaces) = sandbox.channel.call(GuestRequest::Namespaces, &[]).await?;
        let GuestReply::Namespaces = reply else { return Err(SandboxError::Gone) };
        let (mut visitor, theirs) = Visitor::expect()?;
        self.send_visitor(Visit::Changes, theirs, &namespaces.iter().collect::<Vec<_>>()).await?;
        let (reply, descriptors) = visitor.answer().await?;
        match (reply, descriptors.into_iter().next()) {
            (VisitReply::Compared, Some(list)) => {
                let read = tokio::task::spawn_blocking(move || read_changes(File::from(list)));
                Ok(read.await.map_err(io::Error::other)??)
            }
            (VisitReply::Failed(SetupError { step, message }), _) => {
                Err(visit_error("compare", format!("{step}: {message}")))
            }
            _ => Err(SandboxError::Gone),
        }
    }

    pub(super) async fn make_fork(&self, sandbox: &GuestSandbox) -> Result<GuestSandbox, SandboxError> {
        let mut stopped = self.stop(sandbox).await?;
        let (reply, descriptors) = stopped.visit(Visit::Fork { quiet: stopped.quiet }, None).await?;
        let (plan, family) = match (reply, descriptors.into_iter().next()) {
            (VisitReply::Forked(plan), Some(family)) => (plan, family),
            (VisitReply::Failed(error), _) => return Err(error.into()),
            _ => return Err(SandboxError::Gone),
        };
        let mut spec = self.spec.clone();
        if matches!(spec.upper, Upper::Folder(_)) {
            // An image is built by one sandbox.
            spec.upper = Upper::Memory;
        }
        // What is copied must not change meanwhile.
        let stopped =
            if plan.copied.is_some() { Some(stopped) } else { stopped.go_on().await.map(|()| None)? };
        let inherited = Inherited::Fork { parent: self.id, plan };
        let fork = self.launcher.create(&spec, inherited, Some(family)).await;
        if let Some(stopped) = stopped {
            stopped.go_on().await?;
        }
        fork
    }

    pub(super) async fn write_checkpoint(
        &self,
        sandbox: &GuestSandbox,
        folder: &Path,
    ) -> Result<(), SandboxError> {
        let failed = |message: String| SandboxError::Checkpoint {
            action: "write",
            folder: folder.to_path_buf(),
            message,
        };
        let aside = Aside::make(folder).map_err(|error| failed(error.to_string()))?;
        let mut stopped = self.stop(sandbox).await?;
        let visited = stopped.visit(Visit::Checkpoint, Some(&aside.uppers)).await;
        stopped.go_on().await?;
        let uppers = match visited?.0 {
            VisitReply::Written { uppers } => uppers,
            VisitReply::Failed(SetupError { step, message }) => {
                return Err(failed(format!("{step}: {message}")));
            }
            _ => return Err(SandboxError::Gone),
        };
        let about = About::of(&self.spec, uppers);
        let folder = folder.to_path_buf();
        let finished = tokio::task::spawn_blocking(move || aside.finish(&about, &folder));
        finished.await.map_err(io::Error::other)?.map_err(|error| failed(error.to_string()))
    }

    /// Stops every process inside.
    async fn stop<'a>(&'a self, sandbox: &'a GuestSandbox) -> Result<Stopped<'a>, SandboxError> {
        let visited = Arc::clone(&sandbox.visited).lock_owned().await;
        let mut stopped = Stopped {
            launched: self,
            sandbox,
            namespaces: Vec::new(),
            quiet: false,
            visitor: None,
            visited: Some(visited),
        };
        let request = GuestRequest::Freeze { shells: sandbox.idle_shells() };
        match sandbox.channel.call(request, &[]).await? {
            (GuestReply::Frozen { complete: true, quiet }, namespaces) => {
                (stopped.namespaces, stopped.quiet) = (namespaces, quiet);
                Ok(stopped)
            }
            _ => Err(SandboxError::Create {
                step: "stop the processes".to_owned(),
                message: "some go on".to_owned(),
            }),
        }
    }

    /// Sends a visitor that answers on `theirs`. It needs the namespaces, and what the visit is about.
    async fn send_visitor(
        &self,
        visit: Visit,
        theirs: OwnedFd,
        needed: &[&OwnedFd],
    ) -> Result<(), SandboxError> {
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![theirs.as_fd()];
        descriptors.extend(needed.iter().map(|descriptor| descriptor.as_fd()));
        let request = LauncherRequest::Visit { sandbox: self.id, visit };
        match self.launcher.channel.call(request, &descriptors).await {
            Ok((LauncherReply::Visiting, _)) => Ok(()),
            Ok((LauncherReply::Failed(error), _)) => Err(error.into()),
            _ => Err(SandboxError::Launcher { message: "it is gone".to_owned() }),
        }
    }
}

/// Counts a change of the root.
fn after_root_switch(root_switches: &AtomicU64, reply: &VisitReply) {
    if matches!(reply, VisitReply::Forked(ForkPlan { switched: true, .. })) {
        root_switches.fetch_add(1, Ordering::Release);
    }
}

fn visit_error(action: &'static str, message: String) -> SandboxError {
    SandboxError::File { action, path: "/".to_owned(), message, errno: None }
}

/// A visitor on its way.
struct Visitor {
    _channel: Channel<VisitReply>,
    answer: Pending<VisitReply>,
}

impl Visitor {
    /// The other value is for the visitor; once nobody has it any more, no answer will come.
    fn expect() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socket_pair()?;
        let (channel, answer) = Channel::open(ours)?;
        Ok((Self { _channel: channel, answer }, theirs))
    }

    async fn answer(&mut self) -> Result<(VisitReply, Vec<OwnedFd>), SandboxError> {
        match tokio::time::timeout(VISIT_PATIENCE, self.answer.reply()).await {
            Ok(Ok(reply)) => Ok(reply),
            _ => {
                let message = format!("it took more than {} seconds, or was killed", visit::SECONDS);
                Err(visit_error("visit", message))
            }
        }
    }
}

/// A sandbox whose processes stand still until this is dropped.
struct Stopped<'a> {
    launched: &'a Launched,
    sandbox: &'a GuestSandbox,
    /// For visitors.
    namespaces: Vec<OwnedFd>,
    /// Whether there were no processes that mind a change of the root.
    quiet: bool,
    /// One that has not answered yet.
    visitor: Option<Visitor>,
    /// `None` once they go on.
    visited: Option<OwnedMutexGuard<()>>,
}

impl Stopped<'_> {
    async fn visit(
        &mut self,
        visit: Visit,
        target: Option<&OwnedFd>,
    ) -> Result<(VisitReply, Vec<OwnedFd>), SandboxError> {
        let (visitor, theirs) = Visitor::expect()?;
        let visitor = self.visitor.insert(visitor);
        let needed: Vec<&OwnedFd> = self.namespaces.iter().chain(target).collect();
        self.launched.send_visitor(visit, theirs, &needed).await?;
        let answer = visitor.answer().await;
        self.visitor = None;
        let answer = answer?;
        after_root_switch(&self.sandbox.root_switches, &answer.0);
        Ok(answer)
    }

    async fn go_on(mut self) -> Result<(), SandboxError> {
        self.sandbox.channel.call(GuestRequest::Thaw, &[]).await?;
        self.visited = None;
        Ok(())
    }
}

impl Drop for Stopped<'_> {
    /// Where nobody waits any more, a visitor may still be at work: nothing may go on before it has ended.
    fn drop(&mut self) {
        let Some(visited) = self.visited.take() else { return };
        let channel = Arc::clone(&self.sandbox.channel);
        let root_switches = Arc::clone(&self.sandbox.root_switches);
        let visitor = self.visitor.take();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if let Some(mut visitor) = visitor
                    && let Ok((reply, _)) = visitor.answer().await
                {
                    after_root_switch(&root_switches, &reply);
                }
                let _ = channel.call(GuestRequest::Thaw, &[]).await;
                drop(visited);
            })),
            Err(_) => channel.notify(GuestRequest::Thaw),
        }
    }
}
