//! The owner's side: starting the launcher, and sandboxes through it.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::cgroup::{Controller, Unenforced, UsageFiles};
use super::channel::Channel;
use super::checkpoint;
use super::identity::Owner;
use super::launched::Launched;
use super::leftovers::{Scratch, clean_leftovers};
use super::protocol::{CreateSpec, GuestReply, LauncherReply, LauncherRequest, SetupError, socket_pair};
use super::proxy::Policy;
use super::sandbox::GuestSandbox;
use super::visit::Inherited;
use crate::{Backend, Limits, Network, Sandbox, SandboxError, SandboxSpec, Upper};

/// How long the launcher may take to answer for the first time.
const LAUNCHER_PATIENCE: Duration = Duration::from_secs(30);

/// How long a sandbox may take to be set up; a disk or a machine that is that slow is of no use.
const SETUP_PATIENCE: Duration = Duration::from_secs(120);

const DISK_UNENFORCED: &str =
    "the limit on disk space is not enforced for sandboxes that write into a folder of the host";

/// How the backend is started.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// A program that calls [`launcher_main`](super::launcher_main) when it gets `guest_args`.
    pub guest_program: PathBuf,
    /// Its arguments.
    pub guest_args: Vec<String>,
    /// A folder for small scratch files of this and later owners; made when it is not there.
    pub state_dir: PathBuf,
}

/// Sandboxes on this machine: Linux namespaces, overlayfs and control groups.
pub struct LocalBackend {
    launcher: Arc<LauncherHandle>,
    unenforced: Vec<Unenforced>,
    no_filter: Option<String>,
}

/// The launcher; it ends, and every sandbox with it, when this is dropped.
pub(crate) struct LauncherHandle {
    pub(crate) channel: Channel<LauncherReply>,
    next_sandbox: AtomicU64,
    /// Whether a sandbox writes into a folder of the host.
    uses_disk: AtomicBool,
}

impl LocalBackend {
    /// Starts the launcher, after removing what dead owners have left behind.
    ///
    /// # Errors
    /// [`SandboxError::Launcher`] when it cannot be started.
    pub async fn start(config: &LocalConfig) -> Result<Self, SandboxError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| SandboxError::Launcher {
            message: format!("{what}: {error}"),
        };
        raise_open_files();
        let state_dir = &config.state_dir;
        fs::create_dir_all(state_dir).map_err(|error| failed("make the state folder", &error))?;
        // What others left is no reason not to start.
        let _ = clean_leftovers(state_dir);
        let owner = Owner::new().map(Owner::name).map_err(|error| failed("name the owner", &error))?;
        let scratch =
            Scratch::make(state_dir, &owner).map_err(|error| failed("make the scratch folder", &error))?;
        let channel = spawn(config).map_err(|error| failed("start its program", &error))?;
        let begin = LauncherRequest::Begin { owner, scratch: scratch.folder().to_path_buf() };
        match tokio::time::timeout(LAUNCHER_PATIENCE, channel.call(begin, &[])).await {
            Ok(Ok((LauncherReply::Begun { unenforced, no_filter }, _))) => Ok(Self {
                launcher: Arc::new(LauncherHandle {
                    channel,
                    next_sandbox: AtomicU64::new(0),
                    uses_disk: AtomicBool::new(false),
                }),
                unenforced,
                no_filter,
            }),
            _ => Err(failed("wait for it", &"it ended or did not answer")),
        }
    }
}

/// Each sandbox takes an open file of this process, each running command some more. What is allowed by default is
/// for programs that use `select`, which cannot take more.
fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it may not be raised, the next sandbox that has no room says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// The control socket of a new sandbox.
fn control_sockets() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    socket_pair().map_err(|error| match error.raw_os_error() {
        Some(libc::EMFILE) => {
            let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
            let message = format!(
                "all of the {limit} files that this process may have open are in use: run fewer sandboxes at \
                 once, or raise the limit (`ulimit -Hn`)"
            );
            SandboxError::Create { step: "open its control socket".to_owned(), message }
        }
        _ => error.into(),
    })
}

/// Starts the launcher's program.
fn spawn(config: &LocalConfig) -> io::Result<Channel<LauncherReply>> {
    let (ours, theirs) = socket_pair()?;
    let program = sealed_copy(&config.guest_program)?;
    tokio::process::Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0("swegym-sandbox")
        .args(&config.guest_args)
        .env_clear()
        .current_dir("/")
        .stdin(theirs)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    Ok(Channel::open(ours)?.0)
}

/// A copy of the program in memory that nobody can change. Commands in a sandbox can reach the program of
/// whoever starts them, and the sandboxes of an ordinary user have that user's rights on files.
fn sealed_copy(program: &Path) -> io::Result<File> {
    let mut source = File::open(program)?;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut copy = File::from(memfd_create("swegym-sandbox", flags)?);
    io::copy(&mut source, &mut copy)?;
    copy.rewind()?;
    let seals =
        SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(copy)
}

#[async_trait]
impl Backend for LocalBackend {
    async fn create(&self, spec: &SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        Ok(Box::new(self.launcher.create(spec, Inherited::Nothing, None).await?))
    }

    async fn restore(&self, spec: &SandboxSpec, folder: &Path) -> Result<Box<dyn Sandbox>, SandboxError> {
        let folders = checkpoint::read_checkpoint(spec, folder)?;
        Ok(Box::new(self.launcher.create(spec, Inherited::Checkpoint { folders }, None).await?))
    }

    fn unenforced(&self) -> Vec<String> {
        self.unenforced_of(&Limits::default())
    }

    fn unenforced_of(&self, limits: &Limits) -> Vec<String> {
        let is_asked_for = |controller| match controller {
            Controller::Memory | Controller::Pids => true,
            Controller::Cpu => limits.cpu_millis.is_some(),
            Controller::Io => limits.io_bytes_per_second.is_some(),
        };
        let limits = self.unenforced.iter().filter(|limit| is_asked_for(limit.controller));
        let disk = self.launcher.uses_disk.load(Ordering::Relaxed).then(|| DISK_UNENFORCED.to_owned());
        limits.map(|limit| limit.reason.clone()).chain(self.no_filter.clone()).chain(disk).collect()
    }
}

impl LocalBackend {
    /// Why system calls are not filtered, where they are not.
    pub(super) fn no_filter(&self) -> Option<&str> {
        self.no_filter.as_deref()
    }
}

impl LauncherHandle {
    /// Makes a sandbox; that of a fork needs the family of its parent.
    pub(super) async fn create(
        self: &Arc<Self>,
        spec: &SandboxSpec,
        inherited: Inherited,
        family: Option<OwnedFd>,
    ) -> Result<GuestSandbox, SandboxError> {
        let policy = Policy::of(&spec.network)?;
        let id = self.next_sandbox.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = control_sockets()?;
        let usage = self.launch(CreateSpec { inherited, ..create_spec(id, spec) }, theirs, family).await?;
        if matches!(spec.upper, Upper::Disk(_)) {
            self.uses_disk.store(true, Ordering::Relaxed);
        }
        let (channel, mut first) = Channel::open(ours)?;
        // From here on dropping it destroys what there is of it.
        let keeper = Launched { id, launcher: Arc::clone(self), spec: spec.clone() };
        let config = spec.image.config.clone();
        let mut sandbox = GuestSandbox::new(channel, Arc::new(keeper), usage, config);
        let not_ready =
            |message: &str| SandboxError::Create { step: "set up".to_owned(), message: message.to_owned() };
        match tokio::time::timeout(SETUP_PATIENCE, first.reply()).await {
            Ok(Ok((GuestReply::Ready, _))) => {
                if let Some(policy) = policy {
                    sandbox.allow(policy).await?;
                }
                Ok(sandbox)
            }
            Ok(Ok((GuestReply::Failed(error), _))) => Err(error.into()),
            Ok(_) => Err(not_ready("it ended before it was ready")),
            Err(_) => Err(not_ready("it is not ready after two minutes")),
        }
    }

    async fn launch(
        &self,
        spec: CreateSpec,
        control: OwnedFd,
        family: Option<OwnedFd>,
    ) -> Result<UsageFiles, SandboxError> {
        let request = LauncherRequest::Create(Box::new(spec));
        let descriptors: Vec<BorrowedFd<'_>> =
            [Some(&control), family.as_ref()].into_iter().flatten().map(OwnedFd::as_fd).collect();
        match self.channel.call(request, &descriptors).await {
            Ok((LauncherReply::Created { usage }, _)) => Ok(usage),
            Ok((LauncherReply::Failed(error), _)) => Err(error.into()),
            _ => Err(SandboxError::Launcher { message: "it is gone".to_owned() }),
        }
    }
}

fn create_spec(sandbox: u64, spec: &SandboxSpec) -> CreateSpec {
    let config = &spec.image.config;
    CreateSpec {
        sandbox,
        layers: spec.image.layers.iter().map(|layer| layer.path.clone()).collect(),
        binds: config.binds.iter().map(|bind| bind.path.clone()).collect(),
        masks: config.masks.clone(),
        extra_binds: spec.extra_binds.clone(),
        upper: match &spec.upper {
            Upper::Memory | Upper::Disk(_) => None,
            Upper::Folder(folder) => Some((folder.clone(), work_folder(folder))),
        },
        disk: match &spec.upper {
            Upper::Disk(below) => Some(below.clone()),
            Upper::Memory | Upper::Folder(_) => None,
        },
        inherited: Inherited::Nothing,
        workdir: config.workdir.clone(),
        host_network: spec.network == Network::Host,
        memory_bytes: spec.limits.memory_bytes,
        processes: spec.limits.processes,
        disk_bytes: spec.limits.disk_bytes,
        cpu_millis: spec.limits.cpu_millis,
        io_bytes_per_second: spec.limits.io_bytes_per_second,
    }
}

/// The kernel needs a folder on the same file system as the upper one.
fn work_folder(upper: &Path) -> PathBuf {
    let mut name = upper.file_name().unwrap_or_default().to_owned();
    name.push(".work");
    upper.with_file_name(name)
}

impl From<SetupError> for SandboxError {
    fn from(SetupError { step, message }: SetupError) -> Self {
        Self::Create { step, message }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn nobody_can_change_the_copy_of_the_guest_program() {
        let mut program = tempfile::NamedTempFile::new().unwrap();
        program.write_all(b"program").unwrap();
        let copy = sealed_copy(program.path()).unwrap();
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        assert_eq!(fs::read(&path).unwrap(), b"program");
        assert!(fs::write(&path, "changed").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"program");
    }
}
