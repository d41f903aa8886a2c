//! What the environment of this process says. The only place that reads it.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use swegym_environment::NetworkSettings;

/// Folder of everything that can be made again: images, downloads, `uv`. `SWEGYM_CACHE`.
pub(crate) const CACHE: &str = "SWEGYM_CACHE";
/// Read-only layer stores of others, separated by `:`. `SWEGYM_SHARED_STORES`.
const SHARED_STORES: &str = "SWEGYM_SHARED_STORES";
/// Whether layers of shared stores are copied into the cache on first use: 1. `SWEGYM_COPY_SHARED`.
const COPY_SHARED: &str = "SWEGYM_COPY_SHARED";
/// Address of the model endpoint, where no flag gives one. `OPENAI_BASE_URL`.
pub(crate) const BASE_URL: &str = "OPENAI_BASE_URL";
/// Key of the model endpoint. `OPENAI_API_KEY`.
pub(crate) const API_KEY: &str = "OPENAI_API_KEY";
/// Secret of a guarded gateway: what keys of rollouts are made from. `SWEGYM_GATEWAY_SECRET`.
pub(crate) const GATEWAY_SECRET: &str = "SWEGYM_GATEWAY_SECRET";
/// Key of the endpoint of embeddings, where a flag gives it an address of its own. `SWEGYM_EMBEDDING_API_KEY`.
pub(crate) const EMBEDDING_API_KEY: &str = "SWEGYM_EMBEDDING_API_KEY";
/// File of credentials for registries, by Podman's custom. `REGISTRY_AUTH_FILE`.
const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Folder of Docker's configuration, which holds credentials for registries. `DOCKER_CONFIG`.
const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Address of a container daemon's socket, by Docker's custom. `DOCKER_HOST`.
const DOCKER_HOST: &str = "DOCKER_HOST";
/// Folder of pyenv, where it is not `.pyenv` in the home folder. `PYENV_ROOT`.
const PYENV_ROOT: &str = "PYENV_ROOT";
/// Variables that name a package index, first one first.
const INDEX: [&str; 3] = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"];
/// Variables that package installers get, besides the index.
const INSTALLER: [&str; 9] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "UV_INDEX_STRATEGY",
];

/// A variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The cache folder: `SWEGYM_CACHE`, else `swegym` in the user's cache folder.
pub(crate) fn cache_folder() -> anyhow::Result<PathBuf> {
    let in_home = || variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let user_cache = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(in_home);
    let folder = variable(CACHE).map(PathBuf::from).or_else(|| user_cache.map(|cache| cache.join("swegym")));
    let folder = folder.with_context(|| format!("find a cache folder: neither {CACHE} nor HOME is set"))?;
    std::path::absolute(&folder).with_context(|| format!("find the cache folder `{}`", folder.display()))
}

/// The file that Docker or Podman keeps credentials for registries in, the first that is there. Podman's own
/// variable counts first, as it does for Podman; Docker's folder comes before the session's file of Podman.
pub(crate) fn registry_credentials() -> Option<PathBuf> {
    if let Some(file) = variable(REGISTRY_AUTH_FILE) {
        return Some(file.into());
    }
    let docker = variable(DOCKER_CONFIG).map(PathBuf::from);
    let docker = docker.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".docker")));
    let podman = variable("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("containers/auth.json"));
    [docker.map(|folder| folder.join("config.json")), podman]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
}

/// The socket of a container daemon: `DOCKER_HOST`, else the first that is there of Docker's and of Podman's, the
/// user's own before root's.
pub(crate) fn docker_socket() -> Option<String> {
    docker_sockets().into_iter().next()
}

/// All of them that are there; the one of `DOCKER_HOST` alone, where that is set.
pub(crate) fn docker_sockets() -> Vec<String> {
    if let Some(address) = variable(DOCKER_HOST) {
        return vec![address];
    }
    let of_user = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let of_user = ["docker.sock", "podman/podman.sock"]
        .into_iter()
        .filter_map(|name| of_user.as_ref().map(|folder| folder.join(name)));
    let of_root = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
    let found = of_user.chain(of_root).filter(|path| path.exists());
    found.map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Folders of the interpreters that pyenv installed: it puts only one of them on the search path.
pub(crate) fn python_folders() -> Vec<PathBuf> {
    let in_home = || variable("HOME").map(|home| PathBuf::from(home).join(".pyenv"));
    let root = variable(PYENV_ROOT).map(PathBuf::from).or_else(in_home);
    let versions = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
    let folders = versions.into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
    folders.sort();
    folders
}

/// How package installers reach the network.
pub(crate) fn network() -> NetworkSettings {
    let index = INDEX.into_iter().find_map(variable);
    let env: BTreeMap<_, _> =
        INSTALLER.into_iter().filter_map(|name| Some((name.to_owned(), variable(name)?))).collect();
    NetworkSettings { index, env }
}

/// Read-only layer stores of others.
///
/// One that is not there is an error: without it everything would be built again.
pub(crate) fn shared_stores() -> anyhow::Result<Vec<PathBuf>> {
    let stores = env::var_os(SHARED_STORES).unwrap_or_default();
    let stores = env::split_paths(&stores).filter(|path| !path.as_os_str().is_empty()).map(|path| {
        let there = path.join("layers").is_dir();
        ensure!(
            there,
            "use the layer store `{}` that {SHARED_STORES} names: it has no folder `layers`; name the folder `store` \
             of somebody's cache",
            path.display()
        );
        Ok(std::path::absolute(path)?)
    });
    stores.collect()
}

/// Whether layers of shared stores are copied on first use.
pub(crate) fn copy_shared() -> anyhow::Result<bool> {
    match variable(COPY_SHARED).as_deref() {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => bail!("read {COPY_SHARED}: it is `{other}`, not 0 or 1"),
    }
}
