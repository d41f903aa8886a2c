//! What every command that runs code needs: sandboxes, images, and a way to be stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use swegym_environment::{BuilderConfig, ImageBuilder, Specs};
use swegym_images::LayerStore;
use swegym_sandbox::Backend;
use swegym_sandbox::{LocalBackend, LocalConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::printer::Printer;
use crate::settings;

/// Sandboxes and the layer store on this machine.
pub(crate) struct Engine {
    pub(crate) cache: PathBuf,
    pub(crate) store: LayerStore,
    pub(crate) backend: Arc<dyn Backend>,
}

impl Engine {
    /// Starts the sandbox launcher and opens the store; says which limits do not hold here.
    pub(crate) async fn start(printer: &Printer) -> anyhow::Result<Self> {
        let cache = settings::cache_folder()?;
        let backend = LocalBackend::start(&local_config(&cache)?).await?;
        for sentence in backend.unenforced() {
            printer.line(&format!("note: {sentence}"));
        }
        let store = open_store(&cache)?;
        Ok(Self { cache, store, backend: Arc::new(backend) })
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
    Ok(store.with_shared(settings::shared_stores()).copying_shared(settings::copy_shared()))
}

/// How the local backend is started: this program again is its guest side.
pub(crate) fn local_config(cache: &Path) -> anyhow::Result<LocalConfig> {
    let program = std::env::current_exe().context("find the path of this program")?;
    Ok(LocalConfig {
        guest_program: program,
        guest_args: vec![crate::LAUNCHER.to_owned()],
        state_dir: cache.join("sandboxes"),
    })
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
