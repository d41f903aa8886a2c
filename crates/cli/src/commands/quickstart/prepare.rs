//! From a source distribution to a git repository and validated instances.
//!
//! What comes of a package is kept in the layer store like an image, by a recipe of everything that it follows
//! from: a second run finds it, and a killed run leaves nothing half-made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use swegym_collect::{SynthError, SynthPackage, Workbench, synthesize};
use swegym_core::{CommitId, Environment, Instance, InstanceId};
use swegym_data::{load_instances, write_instances};
use swegym_environment::{Author, EnvironmentError, GitRepository, unpack_sdist};
use swegym_images::{Begin, Image, Layer, LayerBuild, Recipe};
use swegym_sandbox::{Backend, Limits, Network, Sandbox, SandboxSpec, Upper};

use super::packages::{PYTHON, Package, specs};
use crate::engine::Engine;

/// Raised when bugs are planted or described differently, so that instances made before are not reused.
const SYNTH_VERSION: u32 = 1;
/// Bugs tried for each instance that is wanted.
const CANDIDATES_PER_INSTANCE: usize = 10;

/// From what seed instances are made, and how many test runs at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) seed: u64,
    pub(super) jobs: usize,
}

/// The instances of a package; its repository appears in `repos`.
pub(super) async fn prepare(
    engine: &Engine,
    package: &Package,
    wanted: Wanted,
    repos: &Path,
) -> anyhow::Result<(Vec<Instance>, bool)> {
    // A throw-away builder over an empty folder: it knows interpreters and the index.
    let python = engine.image_builder(specs(), repos.to_owned())?.python(PYTHON).await?;
    let inputs = (
        SYNTH_VERSION,
        package.sdist.sha256,
        specs().pinned_as_json(),
        python,
        package.instances,
        wanted.seed,
    );
    let recipe = Recipe::new("quickstart", &inputs)?;
    let store = engine.store.clone();
    let (layer, reused) = match tokio::task::spawn_blocking(move || store.begin(&recipe)).await?? {
        Begin::Ready(layer) => (layer, true),
        Begin::Build(build) => (make(engine, package, wanted, build).await?, false),
    };
    let name = package.repo_name()?.folder();
    copy_tree(&layer.path.join(&name), &repos.join(&name)).with_context(|| {
        format!("copy the repository of {} to `{}`", package.distribution, repos.display())
    })?;
    Ok((load_instances(&layer.path.join("instances.jsonl"))?, reused))
}

async fn make(
    engine: &Engine,
    package: &Package,
    wanted: Wanted,
    build: LayerBuild,
) -> anyhow::Result<Layer> {
    let author = Author { name: package.distribution, email: "packages@localhost", date: package.created_at };
    let images = engine.image_builder(specs(), build.files())?;
    let archive = images.index().file(&package.sdist).await?;
    let tree = build.temporary_folder()?;
    unpack_sdist(&archive, tree.path())?;
    let repo = package.repo_name()?;
    let repository = GitRepository::init_bare(&build.files().join(repo.folder())).await?;
    let message = format!("{} {}", package.distribution, package.version);
    let clean = repository.commit_tree_of(tree.path(), &author, &message).await?;
    repository.set_branch("main", &clean).await?;
    let environment =
        Environment { repo: repo.clone(), base_commit: clean.clone(), version: package.version.to_owned() };
    let image =
        images.image_of(&environment, &InstanceId::new(format!("{}-clean", repo.folder()))?).await?.image;
    let synth = SynthPackage {
        repo,
        version: package.version.to_owned(),
        distribution: package.distribution.to_owned(),
        test_command: images.specs().get(&environment)?.test_command(),
        files: python_sources(tree.path())?,
        created_at: package.created_at.to_owned(),
        instances: package.instances,
        seed: wanted.seed,
        max_candidates: package.instances * CANDIDATES_PER_INSTANCE,
    };
    let bench =
        PackageBench { backend: Arc::clone(&engine.backend), image, repository, clean, author, message };
    let instances = synthesize(&synth, &bench, wanted.jobs).await?;
    drop(tree);
    write_instances(&build.files().join("instances.jsonl"), &instances)?;
    Ok(tokio::task::spawn_blocking(move || build.commit()).await??)
}

/// Sandboxes of the clean tree, and commits with a bug.
struct PackageBench {
    backend: Arc<dyn Backend>,
    image: Image,
    repository: GitRepository,
    clean: CommitId,
    author: Author,
    message: String,
}

#[async_trait]
impl Workbench for PackageBench {
    async fn sandbox(&self) -> Result<Box<dyn Sandbox>, SynthError> {
        let spec = SandboxSpec {
            image: self.image.clone(),
            upper: Upper::Memory,
            limits: Limits::default(),
            network: Network::None,
            extra_binds: Vec::new(),
        };
        Ok(self.backend.create(&spec).await?)
    }

    async fn commit(&self, name: &str, path: &str, content: &[u8]) -> Result<CommitId, SynthError> {
        let failed = |error: EnvironmentError| SynthError::Workbench(Box::new(error));
        let commit =
            self.repository.commit_with_file(&self.clean, (path, content), &self.author, &self.message).await;
        let commit = commit.map_err(failed)?;
        self.repository.set_branch(name, &commit).await.map_err(failed)?;
        Ok(commit)
    }
}

/// Path -> content of every Python file below `root`.
fn python_sources(root: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut sources = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
                sources.insert(name, fs::read(&path)?);
            }
        }
    }
    Ok(sources)
}

/// Copies folders and files; what is there already is written again, the same.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            // Object files are read-only, so one that is there cannot be opened for writing.
            fs::remove_file(&target).or_else(ignore_missing)?;
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
