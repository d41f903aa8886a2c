//! Reading what a command works on, before anything is made.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use swegym_core::Instance;
use swegym_data::{digest_file, load_instances};
use swegym_environment::Specs;

use crate::args::{InstanceArgs, SetArgs};

/// Instances and specs, read and checked, with digests of the files they come from.
pub(crate) struct Inputs {
    pub(crate) instances: Vec<Arc<Instance>>,
    pub(crate) specs: Specs,
    /// What images are built from, where the flags say.
    pub(crate) repos: Option<PathBuf>,
    pub(crate) digests: BTreeMap<String, String>,
}

/// Reads everything that the flags name. What is wrong with any of it is said now, not after an hour.
pub(crate) fn load(args: &InstanceArgs) -> anyhow::Result<Inputs> {
    load_set(&args.source)
}

/// Reads the instances that the flags select, and their specs.
pub(crate) fn load_set(args: &SetArgs) -> anyhow::Result<Inputs> {
    let mut instances = Vec::new();
    let mut digests = BTreeMap::new();
    for path in &args.instances {
        instances.extend(load_instances(path)?);
        digests.insert(path.display().to_string(), digest_file(path)?);
    }
    let mut seen = HashSet::new();
    if let Some(twice) = instances.iter().find(|instance| !seen.insert(instance.id().clone())) {
        bail!("read the instances: `{}` is in more than one file", twice.id());
    }
    let known = |id: &&String| !instances.iter().any(|instance| instance.id().as_str() == id.as_str());
    if let Some(unknown) = args.only.iter().find(known) {
        bail!("select instances: no instance is named `{unknown}`");
    }
    instances
        .retain(|instance| args.only.is_empty() || args.only.iter().any(|id| id == instance.id().as_str()));
    instances.truncate(args.limit.unwrap_or(usize::MAX));
    ensure!(!instances.is_empty(), "find instances: the files hold none");
    let specs = Specs::load(&args.specs)?;
    digests.insert(args.specs.display().to_string(), digest_file(&args.specs)?);
    for instance in &instances {
        specs.get(&instance.environment).with_context(|| format!("prepare `{}`", instance.id()))?;
    }
    let repos = args.repos.as_deref().map(repositories).transpose()?;
    Ok(Inputs { instances: instances.into_iter().map(Arc::new).collect(), specs, repos, digests })
}

fn repositories(folder: &Path) -> anyhow::Result<PathBuf> {
    let repos = std::path::absolute(folder).with_context(|| format!("find `{}`", folder.display()))?;
    ensure!(repos.is_dir(), "open the repositories folder `{}`: it is not a folder", repos.display());
    Ok(repos)
}
