//! Reading what a command works on, before anything is made.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use swegym_core::Instance;
use swegym_data::{ValidationFile, digest_file, load_instances, without};
use swegym_environment::Specs;

use crate::args::{InstanceArgs, SetArgs};

/// Instances and specs, read and checked, with digests of the files they come from.
pub(crate) struct Inputs {
    pub(crate) instances: Vec<Arc<Instance>>,
    pub(crate) specs: Specs,
    /// What images are built from, where the flags say.
    pub(crate) repos: Option<PathBuf>,
    pub(crate) digests: BTreeMap<String, String>,
    /// What of the flags belongs into `run.toml`.
    pub(crate) settings: toml::Table,
}

/// Reads everything that the flags name. What is wrong with any of it is said now, not after an hour.
pub(crate) fn load(args: &InstanceArgs) -> anyhow::Result<Inputs> {
    let mut inputs = load_set(&args.source)?;
    check_specs(&inputs)?;
    if let Some(path) = &args.validation {
        take_into_account(path, &mut inputs)?;
    }
    for instance in &inputs.instances {
        let has_command = !inputs.specs.get(&instance.environment)?.test_cmd.is_empty();
        ensure!(has_command, "prepare `{}`: its environment spec has no `test_cmd`", instance.id());
    }
    Ok(inputs)
}

/// Takes the tests in quarantine out of the lists of their instances. An instance that would have none left to turn
/// keeps its lists: it stays in the count.
fn take_into_account(path: &Path, inputs: &mut Inputs) -> anyhow::Result<()> {
    let file = ValidationFile::load(path)?;
    inputs.digests.insert(path.display().to_string(), digest_file(path)?);
    for instance in &mut inputs.instances {
        let Some(validation) = file.instances.get(instance.id()) else { continue };
        let grading = without(&instance.grading, &validation.quarantine);
        if !grading.fail_to_pass.is_empty() {
            Arc::make_mut(instance).grading = grading;
        }
    }
    Ok(())
}

/// Says which instance has no spec, if one has none.
pub(crate) fn check_specs(inputs: &Inputs) -> anyhow::Result<()> {
    for instance in &inputs.instances {
        inputs.specs.get(&instance.environment).with_context(|| format!("prepare `{}`", instance.id()))?;
    }
    Ok(())
}

/// Reads the instances that the flags select, and the specs, which may lack some of theirs.
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
    let specs = load_specs(args, &mut digests)?;
    let repos = args.repos.as_deref().map(repositories).transpose()?;
    let instances = instances.into_iter().map(Arc::new).collect();
    let python = args.python.iter().map(|version| ("python".to_owned(), version.as_str().into()));
    Ok(Inputs { instances, specs, repos, digests, settings: python.collect() })
}

fn repositories(folder: &Path) -> anyhow::Result<PathBuf> {
    let repos = std::path::absolute(folder).with_context(|| format!("find `{}`", folder.display()))?;
    ensure!(repos.is_dir(), "open the repositories folder `{}`: it is not a folder", repos.display());
    Ok(repos)
}

/// The specs that the flags name, else the built-in ones, with the interpreter that the flags name.
fn load_specs(args: &SetArgs, digests: &mut BTreeMap<String, String>) -> anyhow::Result<Specs> {
    let specs = match &args.specs {
        Some(path) => {
            let specs = Specs::load(path)?;
            for file in Specs::files(path)? {
                digests.insert(file.display().to_string(), digest_file(&file)?);
            }
            specs
        }
        None => {
            digests.insert("built-in specs".to_owned(), Specs::builtin_digest());
            Specs::builtin()?
        }
    };
    Ok(match &args.python {
        Some(version) => specs.with_python(version),
        None => specs,
    })
}
