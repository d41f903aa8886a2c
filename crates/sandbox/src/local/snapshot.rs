//! Forks, checkpoints and changed files, on the owner's side.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::identity::is_privileged;
use super::launched::Launched;
use super::protocol::{GuestReply, GuestRequest, LauncherReply, LauncherRequest, SetupError, socket_pair};
use super::remove::remove_tree;
use super::sandbox::LocalSandbox;
use super::visit::{self, Inherited, Visit, VisitReply, read_changes};
use crate::{Change, SandboxError, SandboxSpec, Upper};

/// How long a visitor may take; it ends itself before.
const VISIT_PATIENCE: Duration = Duration::from_secs(visit::SECONDS as u64 + 10);

/// The file of a checkpoint that tells about it, written last.
const ABOUT: &str = "checkpoint.json";
/// Its folder of writable layers.
const UPPERS: &str = "uppers";
const SCHEMA_VERSION: u32 = 1;
/// Longest [`ABOUT`]: some thousand layers.
const ABOUT_BYTES: u64 = 1 << 20;

impl Launched {
    pub(super) async fn list_changes(&self, sandbox: &LocalSandbox) -> Result<Vec<Change>, SandboxError> {
        let _visited = self.visited.lock().await;
        let (reply, namespaces) = sandbox.channel.call(GuestRequest::Namespaces, &[]).await?;
        let GuestReply::Namespaces = reply else { return Err(SandboxError::Gone) };
        let (reply, descriptors) = self.visit(Visit::Changes, &namespaces.iter().collect::<Vec<_>>()).await?;
        match (reply, descriptors.into_iter().next()) {
            (VisitReply::Compared, Some(list)) => {
                let read = tokio::task::spawn_blocking(move || read_changes(File::from(list)));
                Ok(read.await.map_err(io::Error::other)??)
            }
            (VisitReply::Failed(SetupError { step, message }), _) => Err(SandboxError::File {
                action: "compare",
                path: "/".to_owned(),
                message: format!("{step}: {message}"),
                errno: None,
            }),
            _ => Err(SandboxError::Gone),
        }
    }

    pub(super) async fn make_fork(&self, sandbox: &LocalSandbox) -> Result<LocalSandbox, SandboxError> {
        let _visited = self.visited.lock().await;
        let (stopped, quiet) = stop(sandbox).await?;
        let (reply, descriptors) =
            self.visit(Visit::Fork { quiet }, &stopped.namespaces.iter().collect::<Vec<_>>()).await?;
        let (plan, family) = match (reply, descriptors.into_iter().next()) {
            (VisitReply::Forked(plan), Some(family)) => (plan, family),
            (VisitReply::Failed(error), _) => return Err(error.into()),
            _ => return Err(SandboxError::Gone),
        };
        if plan.switched {
            sandbox.after_root_switch().await?;
        }
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
        sandbox: &LocalSandbox,
        folder: &Path,
    ) -> Result<(), SandboxError> {
        let failed = |message: String| SandboxError::Checkpoint {
            action: "write",
            folder: folder.to_path_buf(),
            message,
        };
        let aside = Aside::make(folder).map_err(|error| failed(error.to_string()))?;
        let uppers = {
            let _visited = self.visited.lock().await;
            let (stopped, _) = stop(sandbox).await?;
            let needed: Vec<&OwnedFd> = stopped.namespaces.iter().chain([&aside.uppers]).collect();
            let visited = self.visit(Visit::Checkpoint, &needed).await;
            stopped.go_on().await?;
            match visited?.0 {
                VisitReply::Written { uppers } => uppers,
                VisitReply::Failed(SetupError { step, message }) => {
                    return Err(failed(format!("{step}: {message}")));
                }
                _ => return Err(SandboxError::Gone),
            }
        };
        let about = About::of(&self.spec, uppers);
        let folder = folder.to_path_buf();
        let finished = tokio::task::spawn_blocking(move || aside.finish(&about, &folder));
        finished.await.map_err(io::Error::other)?.map_err(|error| failed(error.to_string()))
    }

    /// Sends a visitor, and waits for its answer. It needs the namespaces, and what the visit is about.
    async fn visit(
        &self,
        visit: Visit,
        needed: &[&OwnedFd],
    ) -> Result<(VisitReply, Vec<OwnedFd>), SandboxError> {
        let (ours, theirs) = socket_pair()?;
        let (_channel, mut answer) = Channel::open(ours)?;
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![theirs.as_fd()];
        descriptors.extend(needed.iter().map(|descriptor| descriptor.as_fd()));
        let request = LauncherRequest::Visit { sandbox: self.id, visit };
        match self.launcher.channel.call(request, &descriptors).await {
            Ok((LauncherReply::Visiting, _)) => {}
            Ok((LauncherReply::Failed(error), _)) => return Err(error.into()),
            _ => return Err(SandboxError::Launcher { message: "it is gone".to_owned() }),
        }
        // The visitor has the only one left, so that its end is seen.
        drop(theirs);
        match tokio::time::timeout(VISIT_PATIENCE, answer.reply()).await {
            Ok(Ok(reply)) => Ok(reply),
            _ => Err(SandboxError::File {
                action: "visit",
                path: "/".to_owned(),
                message: format!(
                    "it ended before it was done, or took longer than {} seconds",
                    visit::SECONDS
                ),
                errno: None,
            }),
        }
    }
}

/// Stops every process inside. Returns what lets them go on, and whether there were none that mind a change
/// of the root.
async fn stop(sandbox: &LocalSandbox) -> Result<(Stopped<'_>, bool), SandboxError> {
    let mut stopped = Stopped { sandbox, namespaces: Vec::new(), going: false };
    let request = GuestRequest::Freeze { shells: sandbox.idle_shells() };
    match sandbox.channel.call(request, &[]).await? {
        (GuestReply::Frozen { complete: true, quiet }, namespaces) => {
            stopped.namespaces = namespaces;
            Ok((stopped, quiet))
        }
        _ => Err(SandboxError::Create {
            step: "stop the processes".to_owned(),
            message: "some go on".to_owned(),
        }),
    }
}

impl LocalSandbox {
    /// Requests whose commands are shells of open sessions that wait for a command. They are the only ones that
    /// keep running when the root changes.
    fn idle_shells(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Called when the root was changed, while the idle shells still stand still: what is written to them now is
    /// what they read first. A shell whose working directory is not `/` is in the files of before, where it can
    /// read but not write, until it goes there again by its path.
    async fn after_root_switch(&self) -> Result<(), SandboxError> {
        Ok(())
    }
}

/// A sandbox whose processes stand still until this is dropped.
struct Stopped<'a> {
    sandbox: &'a LocalSandbox,
    /// For visitors.
    namespaces: Vec<OwnedFd>,
    going: bool,
}

impl Stopped<'_> {
    async fn go_on(mut self) -> Result<(), SandboxError> {
        self.sandbox.channel.call(GuestRequest::Thaw, &[]).await?;
        self.going = true;
        Ok(())
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if !self.going {
            self.sandbox.channel.notify(GuestRequest::Thaw);
        }
    }
}

/// What a checkpoint says about itself.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    schema_version: u32,
    backend: String,
    /// Whose marks and ids the layers have: `root` or `user`.
    written_as: String,
    /// Ids of the image's layers, lowest first.
    layers: Vec<String>,
    /// How many writable layers there are.
    uppers: usize,
}

impl About {
    fn of(spec: &SandboxSpec, uppers: usize) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            backend: "local".to_owned(),
            written_as: if is_privileged() { "root" } else { "user" }.to_owned(),
            layers: spec.image.layers.iter().map(|layer| layer.id.clone()).collect(),
            uppers,
        }
    }

    /// Why a sandbox of this kind cannot be made from it.
    fn mismatch(&self, wanted: &Self) -> Option<String> {
        if self.schema_version != wanted.schema_version {
            return Some(format!("it has version {} of the format", self.schema_version));
        }
        if self.backend != wanted.backend {
            return Some(format!("it was written by the backend `{}`", self.backend));
        }
        if self.written_as != wanted.written_as {
            return Some(format!("it was written as {}", self.written_as));
        }
        (self.layers != wanted.layers).then(|| "it was made from another image".to_owned())
    }
}

/// The folders of writable layers of a checkpoint, lowest first.
pub(super) fn read_checkpoint(spec: &SandboxSpec, folder: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    let failed =
        |message: String| SandboxError::Checkpoint { action: "read", folder: folder.to_path_buf(), message };
    let about = read_about(folder).map_err(|error| failed(error.to_string()))?;
    if let Some(mismatch) = about.mismatch(&About::of(spec, about.uppers)) {
        return Err(failed(mismatch));
    }
    let uppers = fs::canonicalize(folder).map_err(|error| failed(error.to_string()))?.join(UPPERS);
    let folders: Vec<PathBuf> = (0..about.uppers).map(|number| uppers.join(number.to_string())).collect();
    match folders.iter().find(|folder| !fs::symlink_metadata(folder).is_ok_and(|about| about.is_dir())) {
        Some(missing) => Err(failed(format!("`{}` is no folder", missing.display()))),
        None => Ok(folders),
    }
}

fn read_about(folder: &Path) -> io::Result<About> {
    let mut text = Vec::new();
    File::open(folder.join(ABOUT))?.take(ABOUT_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// A checkpoint beside its place, until it is whole.
struct Aside {
    folder: PathBuf,
    uppers: OwnedFd,
    finished: bool,
}

impl Aside {
    fn make(folder: &Path) -> io::Result<Self> {
        let name = folder.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        let parent = parent(folder);
        fs::create_dir_all(parent)?;
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(io::Error::other("it is there already"));
        }
        let aside = parent.join(format!(".{name}.partial-{}", std::process::id()));
        fs::create_dir(&aside)?;
        let uppers = aside.join(UPPERS);
        let opened = fs::create_dir(&uppers)
            .and_then(|()| OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(&uppers));
        match opened {
            Ok(uppers) => Ok(Self { folder: aside, uppers: uppers.into(), finished: false }),
            Err(error) => {
                let _ = remove_tree(&aside);
                Err(error)
            }
        }
    }

    /// Makes it last, and puts it in its place.
    fn finish(mut self, about: &About, folder: &Path) -> io::Result<()> {
        let mut file = File::create(self.folder.join(ABOUT))?;
        file.write_all(&serde_json::to_vec_pretty(about)?)?;
        nix::unistd::syncfs(&self.uppers)?;
        fs::rename(&self.folder, folder)?;
        self.finished = true;
        File::open(parent(folder))?.sync_all()
    }
}

fn parent(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.finished {
            let _ = remove_tree(&self.folder);
        }
    }
}
