//! The owner's side: finding the daemon, and sandboxes through it.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::ContainerCreateBody;
use swegym_images::ImageConfig;

use super::container::{Container, Order};
use super::control::{Control, peer};
use super::daemon::Daemon;
use super::images::{ForkImage, Images, Known};
use super::kit::Kit;
use super::leftovers;
use super::limits;
use super::sandbox::Contained;
use crate::local::cgroup::UsageFiles;
use crate::local::channel::Channel;
use crate::local::identity::Owner;
use crate::local::leftovers::{Scratch, clean_leftovers};
use crate::local::protocol::{GuestReply, Step};
use crate::local::proxy::Policy;
use crate::local::sandbox::GuestSandbox;
use crate::{Backend, Change, Limits, Sandbox, SandboxError, SandboxSpec, Upper};

/// How long our program may take to call home once its container has started.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// After this long without a call the container is looked at.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// How the backend is started.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// The socket of the daemon: a path, or `unix://` and a path.
    pub socket: String,
    /// Whether images that the daemon does not have are pulled.
    pub pull: bool,
    /// A program for x86-64 or any other little-endian 64-bit machine that calls [`guest_main`](super::guest_main)
    /// with its last argument when it gets `guest_args` and one more.
    pub guest_program: PathBuf,
    /// Its arguments.
    pub guest_args: Vec<String>,
    /// A folder for small scratch files of this and later owners, which the daemon must be able to reach; made
    /// when it is not there.
    pub state_dir: PathBuf,
}

/// Sandboxes that are containers of a daemon on this machine.
pub struct DockerBackend {
    shared: Arc<Shared>,
    images: Images,
}

/// What all sandboxes of a backend need, for as long as one of them is there.
pub(super) struct Shared {
    pub(super) daemon: Daemon,
    pub(super) owner: String,
    pub(super) kit: Kit,
    scratch: Scratch,
    next: AtomicU64,
    limit_disk: AtomicBool,
    unenforced: Mutex<Vec<String>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.scratch.remove();
    }
}

impl DockerBackend {
    /// Finds the daemon, and removes what dead owners have left in it.
    ///
    /// # Errors
    /// [`SandboxError::Daemon`] when it cannot be reached, [`SandboxError::Launcher`] when our program cannot be
    /// made ready for containers.
    pub async fn start(config: &DockerConfig) -> Result<Self, SandboxError> {
        let daemon = Daemon::connect(&config.socket).await?;
        // What others left is no reason not to start.
        let _ = leftovers::clean(&daemon).await;
        let for_kit = config.clone();
        let made = tokio::task::spawn_blocking(move || make_kit(&for_kit)).await;
        let (owner, scratch, kit) = made.map_err(std::io::Error::other)?.map_err(|error| {
            SandboxError::Launcher { message: format!("make its program ready for containers: {error}") }
        })?;
        let shared = Shared {
            limit_disk: AtomicBool::new(limits::may_limit_disk(&daemon.info)),
            unenforced: Mutex::new(limits::unenforced(&daemon)),
            daemon,
            owner,
            kit,
            scratch,
            next: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), images: Images::new(config.pull) })
    }
}

fn make_kit(config: &DockerConfig) -> std::io::Result<(String, Scratch, Kit)> {
    fs::create_dir_all(&config.state_dir)?;
    let _ = clean_leftovers(&config.state_dir);
    let owner = Owner::new()?.name();
    let scratch = Scratch::make(&config.state_dir, &owner)?;
    // Nobody else may connect to what lies in it.
    fs::set_permissions(scratch.folder(), Permissions::from_mode(0o700))?;
    match Kit::make(scratch.folder().join("kit"), &config.guest_program, &config.guest_args) {
        Ok(kit) => Ok((owner, scratch, kit)),
        Err(error) => {
            let _ = scratch.remove();
            Err(error)
        }
    }
}

#[async_trait]
impl Backend for DockerBackend {
    async fn create(&self, spec: &SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        if matches!(spec.upper, Upper::Folder(_)) {
            return Err(SandboxError::Unsupported { action: "write the files of a sandbox into a folder" });
        }
        Policy::of(&spec.network)?;
        for (source, _, _) in &spec.extra_binds {
            // A daemon may make it, as root.
            fs::metadata(source).step(format!("find `{}`", source.display()))?;
        }
        let known = self.images.find(&self.shared.daemon, &spec.image).await?;
        self.shared.create_apart(spec.clone(), Source::of_image(known, spec)).await
    }

    fn unenforced_of(&self, limits: &Limits) -> Vec<String> {
        let on_demand = limits::unenforced_on_demand(&self.shared.daemon, limits);
        self.unenforced().into_iter().chain(on_demand).collect()
    }

    fn unenforced(&self) -> Vec<String> {
        self.shared.unenforced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a container is made from.
pub(super) struct Source {
    pub(super) known: Known,
    pub(super) config: ImageConfig,
    /// Id of the image.
    pub(super) image: String,
    /// The image, where it goes with its last container.
    pub(super) fork: Option<Arc<ForkImage>>,
    /// How its files differ from those of the known image.
    pub(super) changes: Vec<Change>,
}

impl Source {
    /// The image itself.
    pub(super) fn of_image(known: Known, spec: &SandboxSpec) -> Self {
        let config = known.config(&spec.image.config);
        Self { image: known.id.clone(), known, config, fork: None, changes: Vec::new() }
    }
}

impl Shared {
    /// A name for a container: `swegym-PID-STARTTIME-NUMBER-COUNT`.
    pub(super) fn next_name(&self) -> String {
        format!("{}-{}", self.owner, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a sandbox in a task of its own: what the daemon has begun is ended and tidied up, also when nobody
    /// waits for it any more.
    pub(super) async fn create_apart(
        self: &Arc<Self>,
        spec: SandboxSpec,
        source: Source,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        let shared = Arc::clone(self);
        let made = tokio::spawn(async move { shared.create(shared.next_name(), &spec, source).await });
        made.await.map_err(std::io::Error::other)?
    }

    async fn create(
        self: &Arc<Self>,
        name: String,
        spec: &SandboxSpec,
        source: Source,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        let policy = Policy::of(&spec.network)?;
        let control = Control::listen(self.scratch.folder().join(format!("control-{name}")))?;
        let (container, body) = self.start(name, spec, &source, &control).await?;
        let connection = self.wait_for_call(&container, &control, body).await?;
        drop(control);
        let usage = peer(&connection).map(UsageFiles::of_process).unwrap_or_default();
        if usage.oom_counter.is_none() {
            self.note(
                "running out of memory looks like being killed: the cgroups of containers cannot be seen",
            );
        }
        let (channel, mut first) = Channel::open(connection)?;
        let Source { known, config, changes, .. } = source;
        let keeper = Contained { container, known, spec: spec.clone(), inherited: changes };
        let mut sandbox = GuestSandbox::new(channel, Arc::new(keeper), usage, config);
        match tokio::time::timeout(START_PATIENCE, first.reply()).await {
            Ok(Ok((GuestReply::Ready, _))) => {}
            Ok(Ok((GuestReply::Failed(error), _))) => return Err(error.into()),
            _ => return Err(not_started("it ended before it was ready")),
        }
        if let Some(policy) = policy {
            sandbox.allow(policy).await?;
        }
        Ok(Box::new(sandbox))
    }

    /// Starts a container; without a limit on its disk, where the daemon finds that it cannot have one.
    async fn start(
        self: &Arc<Self>,
        name: String,
        spec: &SandboxSpec,
        source: &Source,
        control: &Control,
    ) -> Result<(Arc<Container>, Box<ContainerCreateBody>), SandboxError> {
        let limit_disk = self.limit_disk.load(Ordering::Relaxed);
        let order = Order {
            shared: self,
            spec,
            known: &source.known,
            image: &source.image,
            workdir: &source.config.workdir,
            control: control.folder(),
            limit_disk,
        };
        let body = order.body();
        match Container::start(self, name, body.clone(), source.fork.clone()).await {
            Err(SandboxError::Daemon { message, .. }) if limit_disk && message.contains("storage-opt") => {
                self.limit_disk.store(false, Ordering::Relaxed);
                self.note(&limits::disk_sentence("the container daemon refuses it for its storage"));
                let body = Order { limit_disk: false, ..order }.body();
                let container = Container::start(self, self.next_name(), body.clone(), source.fork.clone());
                Ok((container.await?, body))
            }
            started => Ok((started?, body)),
        }
    }

    /// Waits for our program in the container to connect.
    async fn wait_for_call(
        self: &Arc<Self>,
        container: &Container,
        control: &Control,
        body: Box<ContainerCreateBody>,
    ) -> Result<OwnedFd, SandboxError> {
        let give_up = tokio::time::Instant::now() + START_PATIENCE;
        while tokio::time::Instant::now() < give_up {
            if let Ok(connection) = tokio::time::timeout(LOOK_AFTER, control.accept()).await {
                return Ok(connection?);
            }
            if container.has_ended().await {
                let said = Container::what_it_says(self, body).await;
                return Err(not_started(&format!("it ended at once, and said: {said}")));
            }
        }
        Err(not_started("it does not call its owner within a minute"))
    }

    /// Remembers a limit that turned out not to hold.
    fn note(&self, sentence: &str) {
        let mut unenforced = self.unenforced.lock().unwrap_or_else(PoisonError::into_inner);
        if !unenforced.iter().any(|known| known == sentence) {
            unenforced.push(sentence.to_owned());
        }
    }
}

fn not_started(message: &str) -> SandboxError {
    SandboxError::Create {
        step: "start the program in the container".to_owned(),
        message: message.to_owned(),
    }
}
