//! Images that the daemon has, by name, and those that forks are made from.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::ContainerConfig;
use bollard::query_parameters::{CommitContainerOptions, CreateImageOptions};
use futures_util::StreamExt;
use swegym_images::ImageConfig;

use super::daemon::{Daemon, IMAGE_CHANGES, call, said};
use crate::SandboxError;

/// How long pulling an image may take.
const PULL_PATIENCE: Duration = Duration::from_secs(3600);
/// Longest name of an image: registry, repository, tag and digest.
const REFERENCE_BYTES: usize = 512;
/// Repository of the images that forks are made from.
const FORKS: &str = "localhost/swegym-fork";
/// How often a container is copied again when the daemon loses one of its layers.
const COMMIT_RETRIES: u32 = 8;
/// Before the first time; the others wait as much longer as they come later.
const COMMIT_PAUSE: Duration = Duration::from_millis(50);
/// How an image names its root user.
const ROOTS: [&str; 5] = ["", "0", "root", "0:0", "root:root"];

const NO_REFERENCE: &str = "it has no name that the container daemon knows";
const LAYERS: &str = "it is made of layers of this machine, which a container daemon cannot use";

/// An image of the daemon.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Which stays when its name goes to another one.
    pub(super) id: String,
    env: BTreeMap<String, String>,
    workdir: String,
    user: String,
    /// Whether the daemon would run commands of the image in its containers.
    pub(super) has_health_check: bool,
}

impl Known {
    /// What an image's own settings and those of the specification, which win, make together.
    pub(super) fn config(&self, wanted: &ImageConfig) -> ImageConfig {
        let mut env = self.env.clone();
        if ROOTS.contains(&self.user.as_str()) {
            env.entry("HOME".to_owned()).or_insert_with(|| "/root".to_owned());
        }
        env.extend(wanted.env.clone());
        let workdir = [wanted.workdir.clone(), self.workdir.clone().into(), "/".into()];
        let workdir = workdir.into_iter().find(|path| path.is_absolute()).unwrap_or_default();
        ImageConfig { env, workdir, ..ImageConfig::default() }
    }

    /// Names of variables by which the image would change what the loader of our program does.
    pub(super) fn loader_variables(&self) -> impl Iterator<Item = &str> {
        let names = self.env.keys().map(String::as_str);
        names.filter(|name| name.starts_with("LD_") || *name == "GLIBC_TUNABLES")
    }
}

/// Images that were looked up. One name means one image as long as this lives, whatever happens to the name.
#[derive(Debug)]
pub(super) struct Images {
    pull: bool,
    known: Mutex<HashMap<String, Known>>,
}

impl Images {
    pub(super) fn new(pull: bool) -> Self {
        Self { pull, known: Mutex::default() }
    }

    /// Finds the image of a specification.
    pub(super) async fn find(
        &self,
        daemon: &Daemon,
        image: &swegym_images::Image,
    ) -> Result<Known, SandboxError> {
        let reference = reference(image)?;
        if let Some(known) = self.lock().get(reference) {
            return Ok(known.clone());
        }
        let known = self.look_up(daemon, reference).await?;
        self.lock().insert(reference.to_owned(), known.clone());
        Ok(known)
    }

    async fn look_up(&self, daemon: &Daemon, reference: &str) -> Result<Known, SandboxError> {
        let mut found = daemon.find_image(reference).await?;
        if found.is_none() && self.pull {
            pull(daemon, reference).await?;
            found = daemon.find_image(reference).await?;
        }
        let Some(found) = found else {
            return Err(SandboxError::Image {
                reference: reference.to_owned(),
                message: "the container daemon does not have it".to_owned(),
                hint: Some("pull it, or allow images to be pulled"),
            });
        };
        let config = found.config.unwrap_or_default();
        let variables = config.env.unwrap_or_default().into_iter();
        let pairs = variables.filter_map(|variable| {
            let (name, value) = variable.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Ok(Known {
            id: found.id.unwrap_or_else(|| reference.to_owned()),
            env: pairs.collect(),
            workdir: config.working_dir.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            has_health_check: config.healthcheck.is_some(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of an image that a daemon can make containers from.
fn reference(image: &swegym_images::Image) -> Result<&str, SandboxError> {
    let reference = image.reference.as_deref().unwrap_or_default();
    let refused = |message: &str, hint| SandboxError::Image {
        reference: reference.chars().take(REFERENCE_BYTES).collect(),
        message: message.to_owned(),
        hint,
    };
    if !image.layers.is_empty() || !image.config.binds.is_empty() {
        return Err(refused(
            LAYERS,
            Some("export it as a container image first, or use the `local` backend"),
        ));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
    match reference {
        "" => Err(refused(NO_REFERENCE, Some("name an image of the daemon, or use the `local` backend"))),
        _ if reference.len() > REFERENCE_BYTES
            || reference.contains("..")
            || !reference.bytes().all(is_plain) =>
        {
            Err(refused("it is not a name of an image", None))
        }
        _ => Ok(reference),
    }
}

async fn pull(daemon: &Daemon, reference: &str) -> Result<(), SandboxError> {
    let failed = |message: String| SandboxError::Image {
        reference: reference.to_owned(),
        message: format!("pull it: {message}"),
        hint: Some("pull it by hand: the daemon may need credentials or a proxy for its registry"),
    };
    let options =
        CreateImageOptions { from_image: Some(with_tag(reference)), ..CreateImageOptions::default() };
    let mut progress = daemon.api.create_image(Some(options), None, None);
    let pulled = async {
        while let Some(step) = progress.next().await {
            step.map_err(|error| failed(said(&error)))?;
        }
        Ok(())
    };
    let pulled = tokio::time::timeout(PULL_PATIENCE, pulled).await;
    pulled.unwrap_or_else(|_| Err(failed("it takes more than an hour".to_owned())))
}

/// Without a tag a daemon would pull them all.
fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or_default();
    let suffix = if name.contains([':', '@']) { "" } else { ":latest" };
    format!("{reference}{suffix}")
}

/// An image that forks are made from; removed when neither they nor theirs need it any more.
#[derive(Debug)]
pub(super) struct ForkImage {
    pub(super) id: String,
    daemon: Daemon,
    /// The one that it was made on top of.
    parent: Option<Arc<Self>>,
    removed: bool,
}

impl ForkImage {
    /// Freezes the files of a container, of which it carries the labels.
    pub(super) async fn commit(
        daemon: &Daemon,
        container: &str,
        tag: &str,
        parent: Option<Arc<Self>>,
    ) -> Result<Self, SandboxError> {
        let options = |pause| CommitContainerOptions {
            container: Some(container.to_owned()),
            repo: Some(FORKS.to_owned()),
            tag: Some(tag.to_owned()),
            pause,
            ..CommitContainerOptions::default()
        };
        let commit = |pause| {
            let committed = daemon.api.commit_container(options(pause), ContainerConfig::default());
            call("copy the files of a container", committed)
        };
        let _alone = IMAGE_CHANGES.lock().await;
        let mut made = commit(true).await;
        for retry in 1..=COMMIT_RETRIES {
            // Podman takes a layer for known that goes with another image meanwhile.
            match &made {
                Err(SandboxError::Daemon { message, .. }) if message.contains("layer not known") => {
                    tokio::time::sleep(COMMIT_PAUSE * retry).await;
                    made = commit(true).await;
                }
                _ => break,
            }
        }
        let made = match made {
            // Where there are no cgroups nothing can be paused; writes under way may then be cut in two.
            Err(SandboxError::Daemon { message, .. }) if message.contains("paus") => commit(false).await?,
            made => made?,
        };
        Ok(Self { id: made.id.trim().to_owned(), daemon: daemon.clone(), parent, removed: false })
    }

    /// Removes the images that nobody needs but this one does, itself first.
    pub(super) async fn release(image: Option<Arc<Self>>) {
        let mut next = image;
        while let Some(mut image) = next.and_then(Arc::into_inner) {
            image.removed = true;
            // What cannot be removed now is a leftover, found by its labels.
            let _ = image.daemon.remove_image(&image.id).await;
            next = image.parent.take();
        }
    }
}

impl Drop for ForkImage {
    fn drop(&mut self) {
        if !self.removed
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (daemon, id, parent) =
                (self.daemon.clone(), std::mem::take(&mut self.id), self.parent.take());
            runtime.spawn(async move {
                let _ = daemon.remove_image(&id).await;
                drop(parent);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use swegym_images::{Image, Layer};

    use super::*;

    fn named(reference: &str) -> Image {
        Image { reference: Some(reference.to_owned()), ..Image::default() }
    }

    #[test]
    fn only_plain_names_are_taken() {
        for good in ["python:3.12", "localhost:5000/a/b@sha256:00ff", "a/b_c.d-e"] {
            assert_eq!(reference(&named(good)).unwrap(), good);
        }
        for bad in ["a b", "../containers/x", "a?x=y", "é", &"a".repeat(600)] {
            let error = reference(&named(bad)).unwrap_err();
            assert!(error.to_string().ends_with("it is not a name of an image"), "{error}");
        }
        assert!(reference(&Image::default()).unwrap_err().to_string().contains(NO_REFERENCE));
    }

    #[test]
    fn layers_are_refused_with_a_hint() {
        let layer = Layer::unmanaged("", "/layer");
        let error = reference(&Image { layers: vec![layer], ..named("x") }).unwrap_err();
        assert_eq!(error.to_string(), format!("use the image `x`: {LAYERS}"));
        assert_eq!(error.hints().len(), 1);
    }

    #[test]
    fn one_tag_is_pulled() {
        assert_eq!(with_tag("localhost:5000/a"), "localhost:5000/a:latest");
        assert_eq!(with_tag("a:1"), "a:1");
        assert_eq!(with_tag("a@sha256:0"), "a@sha256:0");
    }

    #[test]
    fn settings_of_the_specification_win() {
        let env = [("PATH", "/image"), ("LD_PRELOAD", "x"), ("KEPT", "1")];
        let known = Known {
            id: String::new(),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            workdir: "/of/image".to_owned(),
            user: String::new(),
            has_health_check: false,
        };
        let wanted =
            ImageConfig { env: [("PATH".to_owned(), "/spec".to_owned())].into(), ..Default::default() };
        let config = known.config(&wanted);
        assert_eq!(config.workdir, Path::new("/of/image"));
        assert_eq!(
            (&*config.env["PATH"], &*config.env["KEPT"], &*config.env["HOME"]),
            ("/spec", "1", "/root")
        );
        assert_eq!(known.loader_variables().collect::<Vec<_>>(), ["LD_PRELOAD"]);
        let wanted = ImageConfig { workdir: "/work".into(), ..Default::default() };
        assert_eq!(Known { user: "1000".into(), ..known }.config(&wanted).env.get("HOME"), None);
    }
}
