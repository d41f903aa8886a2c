//! What every command that runs code needs: sandboxes, images, and a way to be stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use swegym_environment::{
    BuilderConfig, ImageBuilder, PublishedImages, PublishedSource, RegistrySource, Specs,
};
use swegym_images::LayerStore;
use swegym_images::oci::{BlobCache, Credentials, NamedImages, PullOptions, Registries, RegistryConfig};
use swegym_runner::Images;
use swegym_sandbox::{Backend, DockerBackend, DockerConfig, LocalBackend, LocalConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::{BackendName, ImageSource, SandboxArgs};
use crate::commands::inputs::Inputs;
use crate::printer::Printer;
use crate::settings;

/// Sandboxes and the layer store on this machine.
pub(crate) struct Engine {
    pub(crate) cache: PathBuf,
    pub(crate) store: LayerStore,
    pub(crate) backend: Arc<dyn Backend>,
}

impl Engine {
    /// Starts the local backend and opens the store; says which limits do not hold here.
    pub(crate) async fn start(printer: &Printer) -> anyhow::Result<Self> {
        let cache = settings::cache_folder()?;
        let backend = LocalBackend::start(&local_config(&cache)?).await?;
        Self::with(cache, Arc::new(backend), printer)
    }

    /// The same with the backend that the flags choose.
    pub(crate) async fn start_with(args: &SandboxArgs, printer: &Printer) -> anyhow::Result<Self> {
        args.image_source()?;
        if args.backend == BackendName::Local {
            return Self::start(printer).await;
        }
        let cache = settings::cache_folder()?;
        let backend = DockerBackend::start(&docker_config(&cache, args)?).await?;
        Self::with(cache, Arc::new(backend), printer)
    }

    fn with(cache: PathBuf, backend: Arc<dyn Backend>, printer: &Printer) -> anyhow::Result<Self> {
        for sentence in backend.unenforced() {
            printer.line(&format!("note: {sentence}"));
        }
        let store = open_store(&cache)?;
        Ok(Self { cache, store, backend })
    }

    /// Where the images of these instances come from, by the flags.
    pub(crate) fn images(&self, inputs: &Inputs, args: &SandboxArgs) -> anyhow::Result<Arc<dyn Images>> {
        let source = match (args.image_source()?, args.backend) {
            (ImageSource::Built, _) => {
                let repos = inputs.repos.clone().context(
                    "find repositories to build images from: give `--repos`, or `--images published`",
                )?;
                return Ok(Arc::new(self.image_builder(inputs.specs.clone(), repos)?));
            }
            (ImageSource::Published, BackendName::Docker) => PublishedSource::Daemon,
            (ImageSource::Published, BackendName::Local) => {
                PublishedSource::Registries(Box::new(self.registry_source()?))
            }
        };
        Ok(Arc::new((PublishedImages::new(source), inputs.specs.clone())))
    }

    fn registry_source(&self) -> anyhow::Result<RegistrySource> {
        let credentials = settings::registry_credentials();
        let credentials = credentials.map(|path| Credentials::read(&path)).transpose()?.unwrap_or_default();
        Ok(RegistrySource {
            registries: Registries::new(RegistryConfig { credentials, ..RegistryConfig::default() })?,
            cache: BlobCache::open(self.cache.join("blobs"))?,
            store: self.store.clone(),
            named: NamedImages::open(self.cache.join("store"))?,
            options: PullOptions::default(),
        })
    }

    /// A builder of images from these specs and repositories.
    pub(crate) fn image_builder(&self, specs: Specs, repos: PathBuf) -> anyhow::Result<ImageBuilder> {
        let config = BuilderConfig {
            cache: self.cache.clone(),
            specs,
            repos,
            pythons: settings::python_folders(),
            network: settings::network(),
            owner: swegym_sandbox::layer_owner(),
            host: (swegym_sandbox::host_base(), swegym_sandbox::host_package_masks()),
        };
        Ok(ImageBuilder::new(config, self.store.clone(), Arc::clone(&self.backend))?)
    }
}

/// The layer store in the cache, with the shared stores that the settings name.
pub(crate) fn open_store(cache: &Path) -> anyhow::Result<LayerStore> {
    let store = LayerStore::open(cache.join("store"), swegym_sandbox::layer_owner())?;
    Ok(store.with_shared(settings::shared_stores()?).copying_shared(settings::copy_shared()?))
}

/// How the local backend is started: this program again is its guest side.
pub(crate) fn local_config(cache: &Path) -> anyhow::Result<LocalConfig> {
    Ok(LocalConfig {
        guest_program: this_program()?,
        guest_args: vec![crate::LAUNCHER.to_owned()],
        state_dir: cache.join("sandboxes"),
    })
}

fn docker_config(cache: &Path, args: &SandboxArgs) -> anyhow::Result<DockerConfig> {
    let given = args.docker_socket.as_deref().map(absolute).transpose()?;
    let socket = given.or_else(settings::docker_socket).context(
        "find a container daemon: none of the usual sockets is there; start Docker or \
         `podman system service`, and give its socket by `--docker-socket` or DOCKER_HOST",
    )?;
    Ok(DockerConfig {
        socket,
        pull: true,
        guest_program: this_program()?,
        guest_args: vec![crate::GUEST.to_owned()],
        state_dir: cache.join("containers"),
    })
}

/// An address stays as it is, a path becomes one that does not depend on where this is run.
fn absolute(socket: &str) -> anyhow::Result<String> {
    if socket.contains("://") {
        return Ok(socket.to_owned());
    }
    let path = std::path::absolute(socket).with_context(|| format!("find the socket `{socket}`"))?;
    Ok(path.to_string_lossy().into_owned())
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("find the path of this program")
}

/// A token that Ctrl-C and SIGTERM cancel. A second one ends the process at once.
pub(crate) fn cancelled_by_signals(printer: &Printer) -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let (cancel, printer) = (token.clone(), printer.clone());
    tokio::spawn(async move {
        let mut next = async || tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () };
        next().await;
        printer.line("stopping: unfinished rollouts are given up, finished ones are kept");
        cancel.cancel();
        next().await;
        std::process::exit(130);
    });
    Ok(token)
}

/// Number of rollouts at once, where no flag says it.
pub(crate) fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
