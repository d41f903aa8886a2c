//! The layers of packages: those that the environment begins with, and what installing the repository adds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use swegym_core::CommitId;
use swegym_images::{Begin, Image, Layer, LayerBuild};

use super::{ImageBuilder, RECIPE_VERSION, commit, recipe};
use crate::EnvironmentError;
use crate::layers::{PackagesStep, build_install, build_packages};
use crate::plan::Plan;
use crate::step_layers::{CommandsStep, build_commands, steps_digest};
use crate::uv::{Python, UV_VERSION};

/// Install commands of specs call `pip`; this one runs on Python 3.7 and later.
const PIP: &str = "pip==24.0";
/// Environments of conda have these, and the install commands of upstream count on it.
const BUILD_TOOLS: [&str; 2] = ["setuptools", "wheel"];

impl ImageBuilder {
    pub(super) async fn packages(
        &self,
        base: &Image,
        python: &Python,
        plan: &Plan,
    ) -> Result<(Layer, bool), EnvironmentError> {
        let mut packages = plan.requirements.clone();
        if !packages.iter().any(|package| package.starts_with("pip==")) {
            packages.push(PIP.to_owned());
        }
        let recipe = if plan.with_dependencies {
            packages.extend(BUILD_TOOLS.map(str::to_owned));
            let (later, time) = (&plan.pip_packages, &plan.exclude_newer);
            recipe("resolved packages", &(RECIPE_VERSION, UV_VERSION, python, &packages, later, time))?
        } else {
            recipe("packages", &(RECIPE_VERSION, UV_VERSION, python, &packages))?
        };
        let build = match self.begin(&recipe).await? {
            Begin::Ready(layer) => return Ok((layer, true)),
            Begin::Build(build) => build,
        };
        let cache_root = self.uv_cache(&build)?;
        let network_env = self.network_env().await?;
        let step = PackagesStep {
            uv: self.uv().await?,
            cache_root: &cache_root,
            python,
            packages: &packages,
            later: &plan.pip_packages,
            with_dependencies: plan.with_dependencies,
            exclude_newer: plan.exclude_newer.as_deref(),
            network_env: &network_env,
        };
        build_packages(&*self.backend, base, &build, &step).await?;
        commit(build).await
    }

    /// Adds the layer of the commands that install the repository, where there are any.
    pub(super) async fn install(
        &self,
        image: &mut Image,
        (plan, commit_id): (&Plan, &CommitId),
        python: &Python,
    ) -> Result<bool, EnvironmentError> {
        let Some(first) = plan.commands.first() else { return Ok(true) };
        let below: Vec<&str> = image.layers.iter().map(|layer| layer.id.as_str()).collect();
        let recipe = if plan.network {
            let (commands, time) = (&plan.commands, &plan.exclude_newer);
            recipe("install by steps", &(RECIPE_VERSION, UV_VERSION, steps_digest(), below, commands, time))?
        } else {
            recipe("install", &(RECIPE_VERSION, below, first))?
        };
        let (layer, reused) = match self.begin(&recipe).await? {
            Begin::Ready(layer) => (layer, true),
            Begin::Build(build) if plan.network => {
                let step = CommandsStep {
                    uv: self.uv().await?,
                    cache_root: &self.uv_cache(&build)?,
                    python,
                    plan,
                    commit: commit_id,
                    network_env: &self.network_env().await?,
                };
                build_commands(&*self.backend, image, &build, &step).await?;
                commit(build).await?
            }
            Begin::Build(build) => {
                build_install(&*self.backend, image, &build, (first, python)).await?;
                commit(build).await?
            }
        };
        image.layers.push(layer);
        Ok(reused)
    }

    async fn network_env(&self) -> Result<BTreeMap<String, String>, EnvironmentError> {
        let mut env = self.config.network.env.clone();
        env.insert("UV_DEFAULT_INDEX".to_owned(), self.index.address().await?.to_owned());
        Ok(env)
    }

    /// The cache of `uv` lies at the path that sandboxes see it at, below a folder that can be one of their
    /// layers, and belongs to their root.
    fn uv_cache(&self, build: &LayerBuild) -> Result<PathBuf, EnvironmentError> {
        let root = self.config.cache.join("uv-cache");
        let folder = root.join("opt/uv-cache");
        if !folder.is_dir() {
            std::fs::create_dir_all(&folder).map_err(|source| EnvironmentError::Io {
                action: "make",
                path: folder.clone(),
                source,
            })?;
            build.own_tree(&root)?;
        }
        Ok(root)
    }
}
