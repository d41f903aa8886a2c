//! Images of instances: base of the host, packages, repository, install; each a layer that others share.

mod installing;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use swegym_core::{CommitId, Environment, Instance, InstanceId};
use swegym_images::{Begin, HostBind, Image, ImageConfig, Layer, LayerBuild, LayerStore, Recipe};
use swegym_sandbox::Backend;
use tokio::sync::{Mutex, OnceCell};

use crate::git::{GitRepository, find_repository};
use crate::history::{Segment, segments};
use crate::layers::{RepositoryStep, TESTBED, VENV, build_repository};
use crate::plan::{Plan, Sources, make_plan};
use crate::uv::{Places, Python, ensure_uv};
use crate::{EnvironmentError, PackageIndex, Specs};

/// Raised when a build step changes, so that layers built before are not taken for its result.
const RECIPE_VERSION: u32 = 2;
/// Raised when histories are cut or packed differently.
const HISTORY_VERSION: u32 = 1;

/// What build sandboxes need to know of the network: the address of an index, proxies.
#[derive(Debug, Clone, Default)]
pub struct NetworkSettings {
    /// Address of the package index, where the user's settings name one.
    pub index: Option<String>,
    /// Variables for package installers, such as `HTTPS_PROXY`.
    pub env: BTreeMap<String, String>,
}

/// What an [`ImageBuilder`] works with.
#[derive(Debug, Clone)]
pub struct BuilderConfig {
    /// Folder for downloads, `uv` and its cache.
    pub cache: PathBuf,
    /// Environment specs.
    pub specs: Specs,
    /// Folder of git repositories.
    pub repos: PathBuf,
    /// Folders with interpreters that are not on the search path.
    pub pythons: Vec<PathBuf>,
    /// How package installers reach the network.
    pub network: NetworkSettings,
    /// Uid and gid that sandboxes map their root to, where the host user is root.
    pub owner: Option<(u32, u32)>,
    /// Parts of the host that every image shows, and folders of them that it shows empty.
    pub host: (Vec<HostBind>, Vec<PathBuf>),
}

/// An image, and whether every layer of it was there before.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// The image.
    pub image: Image,
    /// Whether nothing had to be built.
    pub reused: bool,
}

/// Builds images of instances, or finds them in the store.
pub struct ImageBuilder {
    config: BuilderConfig,
    store: LayerStore,
    backend: Arc<dyn Backend>,
    index: PackageIndex,
    uv: OnceCell<PathBuf>,
    pythons: Mutex<HashMap<String, Result<Python, String>>>,
}

impl ImageBuilder {
    /// A builder over this store and backend.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(
        config: BuilderConfig,
        store: LayerStore,
        backend: Arc<dyn Backend>,
    ) -> Result<Self, EnvironmentError> {
        let index = PackageIndex::new(config.network.index.clone(), config.cache.join("downloads"))?;
        Ok(Self { config, store, backend, index, uv: OnceCell::new(), pythons: Mutex::default() })
    }

    /// The specs that it builds by.
    pub fn specs(&self) -> &Specs {
        &self.config.specs
    }

    /// The package index that it fetches from.
    pub fn index(&self) -> &PackageIndex {
        &self.index
    }

    /// The image of an instance.
    ///
    /// # Errors
    /// [`EnvironmentError`] says which step failed.
    pub async fn image(&self, instance: &Instance) -> Result<BuiltImage, EnvironmentError> {
        self.image_of(&instance.environment, instance.id()).await
    }

    /// The image of an environment, with the further packages that the spec has for `instance_id`.
    ///
    /// # Errors
    /// [`EnvironmentError`] says which step failed.
    pub async fn image_of(
        &self,
        environment: &Environment,
        instance_id: &InstanceId,
    ) -> Result<BuiltImage, EnvironmentError> {
        let plan = self.plan_of(environment, instance_id).await?;
        let python = self.python(&plan.python.version).await?;
        let mut image = self.base(Some(&python));
        let (packages, packages_reused) = self.packages(&image, &python, &plan).await?;
        let (repository, repository_reused) = self.repository(&image, environment).await?;
        image.layers = vec![packages, repository];
        let install_reused = self.install(&mut image, (&plan, &environment.base_commit), &python).await?;
        self.record(instance_id, environment, &image).await?;
        Ok(BuiltImage { image, reused: packages_reused && repository_reused && install_reused })
    }

    /// What building the image of an instance takes. Nothing is built, and no interpreter is fetched.
    ///
    /// # Errors
    /// [`EnvironmentError`] says what the spec needs and the repository does not have.
    pub async fn plan(&self, instance: &Instance) -> Result<Plan, EnvironmentError> {
        let plan = self.plan_of(&instance.environment, instance.id()).await?;
        let python = self.places(&self.fetched()).await?.find(&plan.python.version).await.ok();
        Ok(plan.with_interpreter(python.as_ref()))
    }

    async fn plan_of(
        &self,
        environment: &Environment,
        instance_id: &InstanceId,
    ) -> Result<Plan, EnvironmentError> {
        let commit = &environment.base_commit;
        let spec = self.config.specs.get(environment)?;
        let repository = self.source(environment, commit).await?;
        let sources =
            Sources { repository: &repository, commit, backend: &*self.backend, image: self.base(None) };
        make_plan(spec, instance_id, &sources).await
    }

    /// Finds an interpreter of this machine, or fetches it.
    ///
    /// # Errors
    /// [`EnvironmentError::NoPython`] when there is none and it cannot be fetched.
    pub async fn python(&self, version: &str) -> Result<Python, EnvironmentError> {
        let mut known = self.pythons.lock().await;
        if let Some(python) = known.get(version) {
            return python.clone().map_err(|message| no_python(version, message));
        }
        let found = self.places(&self.fetched()).await?.ensure(version, &self.config.network.env).await;
        // Other instances that need the same one do not wait for the network again.
        known.insert(version.to_owned(), found.clone());
        found.map_err(|message| no_python(version, message))
    }

    /// Folder for interpreters that are fetched.
    fn fetched(&self) -> PathBuf {
        self.config.cache.join("pythons")
    }

    async fn places<'a>(&'a self, fetched: &'a Path) -> Result<Places<'a>, EnvironmentError> {
        Ok(Places { uv: self.uv().await?, folders: &self.config.pythons, fetched })
    }

    async fn uv(&self) -> Result<&PathBuf, EnvironmentError> {
        self.uv.get_or_try_init(|| ensure_uv(&self.config.cache, &self.index)).await
    }

    fn base(&self, python: Option<&Python>) -> Image {
        let (mut binds, mut masks) = self.config.host.clone();
        if let Some(python) = python {
            if !binds.iter().any(|bind| python.prefix.starts_with(&bind.path)) {
                binds.push(HostBind { path: python.prefix.clone() });
            }
            let new = python.packages.iter().filter(|path| !masks.contains(path));
            masks.extend(new.cloned().collect::<Vec<_>>());
        }
        let path = format!("{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let env = [
            ("PATH", path.as_str()),
            ("VIRTUAL_ENV", VENV),
            ("HOME", "/root"),
            ("USER", "root"),
            ("LANG", "C.UTF-8"),
            ("TERM", "dumb"),
            // A file edited twice within a second, to the same size, would run as its stale bytecode.
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Image { config: ImageConfig { env, workdir: TESTBED.into(), binds, masks }, ..Image::default() }
    }

    async fn repository(
        &self,
        base: &Image,
        environment: &Environment,
    ) -> Result<(Layer, bool), EnvironmentError> {
        let commit_id = &environment.base_commit;
        let recipe = recipe("repository", &(RECIPE_VERSION, &environment.repo, commit_id))?;
        let build = match self.begin(&recipe).await? {
            Begin::Ready(layer) => return Ok((layer, true)),
            Begin::Build(build) => build,
        };
        let source = self.source(environment, commit_id).await?;
        let segments = self.history(&source, commit_id).await?;
        let step = RepositoryStep { source: &source, commit: commit_id, segments: &segments };
        build_repository(&*self.backend, base, &build, &step).await?;
        commit(build).await
    }

    /// The segments of a commit's past, each built once for all instances that have it.
    async fn history(
        &self,
        source: &GitRepository,
        commit_id: &CommitId,
    ) -> Result<Vec<(Segment, Layer)>, EnvironmentError> {
        // What a commit reaches follows from its id, unless the repository lacks a part of the past.
        let shallow = source.shallow_commits().await?;
        let mut layers = Vec::new();
        for segment in segments(source, commit_id).await? {
            let recipe = recipe("history", &(HISTORY_VERSION, &segment.from, &segment.to, &shallow))?;
            let layer = match self.begin(&recipe).await? {
                Begin::Ready(layer) => layer,
                Begin::Build(build) => {
                    segment.build(source, &build).await?;
                    commit(build).await?.0
                }
            };
            layers.push((segment, layer));
        }
        Ok(layers)
    }

    /// Remembers which layers the image of an instance has.
    async fn record(
        &self,
        instance_id: &InstanceId,
        environment: &Environment,
        image: &Image,
    ) -> Result<(), EnvironmentError> {
        let (store, image) = (self.store.clone(), image.clone());
        let (name, repo) = (instance_id.to_string(), environment.repo.to_string());
        Ok(blocking(move || store.record_image(&name, &repo, &image)).await??)
    }

    async fn source(
        &self,
        environment: &Environment,
        commit: &CommitId,
    ) -> Result<GitRepository, EnvironmentError> {
        let missing = |message: String| EnvironmentError::Repository {
            repo: environment.repo.to_string(),
            commit: commit.to_string(),
            message,
        };
        let repos = &self.config.repos;
        let source = find_repository(repos, &environment.repo)
            .ok_or_else(|| missing(format!("`{}` does not hold the repository", repos.display())))?;
        if source.has_commit(commit).await {
            Ok(source)
        } else {
            Err(missing(format!("`{}` does not have the commit", source.path().display())))
        }
    }

    async fn begin(&self, recipe: &Recipe) -> Result<Begin, EnvironmentError> {
        let (store, recipe) = (self.store.clone(), recipe.clone());
        Ok(blocking(move || store.begin(&recipe)).await??)
    }
}

fn no_python(version: &str, message: String) -> EnvironmentError {
    EnvironmentError::NoPython { version: version.to_owned(), message }
}

async fn commit(build: LayerBuild) -> Result<(Layer, bool), EnvironmentError> {
    Ok((blocking(move || build.commit()).await??, false))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EnvironmentError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| EnvironmentError::Build {
        step: "wait for the layer store".to_owned(),
        message: error.to_string(),
    })
}

fn recipe(kind: &str, inputs: &impl Serialize) -> Result<Recipe, EnvironmentError> {
    Recipe::new(kind, inputs).map_err(|error| EnvironmentError::Build {
        step: "write the recipe".to_owned(),
        message: error.to_string(),
    })
}
