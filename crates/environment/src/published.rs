//! Images that the makers of instance sets publish, in place of ones built here.

use std::collections::BTreeMap;

use swegym_core::{Environment, Instance};
use swegym_images::oci::{
    BlobCache, Destination, Family, ImageFields, NamedImages, OciError, PullOptions, Reference, Registries,
    published_image, pull,
};
use swegym_images::{Image, ImageConfig, LayerStore};

use crate::{BuiltImage, EnvironmentError};

/// Where SWE-bench and those who build on it keep the repository.
const TESTBED: &str = "/testbed";
/// Part of the names of images in which the tests need the conda environment `testbed`.
const WITH_CONDA: &str = "sweb.eval.";
const CONDA: &str = "/opt/miniconda3";
/// What images search where they do not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Repositories of SWE-Gym; SWE-bench has others.
const SWE_GYM: [&str; 11] = [
    "bokeh/bokeh",
    "conan-io/conan",
    "dask/dask",
    "facebookresearch/hydra",
    "getmoto/moto",
    "iterative/dvc",
    "modin-project/modin",
    "pandas-dev/pandas",
    "project-monai/monai",
    "pydantic/pydantic",
    "python/mypy",
];

/// What published images are taken from.
pub enum PublishedSource {
    /// The container daemon of the `docker` backend, which has or pulls them.
    Daemon,
    /// Registries, from which they are pulled into the layer store.
    Registries(Box<RegistrySource>),
}

/// Registries, and what pulled images are kept in.
pub struct RegistrySource {
    /// How registries are reached.
    pub registries: Registries,
    /// Compressed layers.
    pub cache: BlobCache,
    /// Unpacked layers.
    pub store: LayerStore,
    /// Names of images in the store.
    pub named: NamedImages,
    /// How much at once, and for which machine.
    pub options: PullOptions,
}

/// Finds the published images of instances.
pub struct PublishedImages {
    source: PublishedSource,
}

impl PublishedImages {
    /// Takes them from there.
    pub fn new(source: PublishedSource) -> Self {
        Self { source }
    }

    /// The name of the image of an instance: that of a column, else what custom makes of its id.
    ///
    /// # Errors
    /// [`EnvironmentError::Image`] when the name is none.
    pub fn reference(instance: &Instance) -> Result<Reference, EnvironmentError> {
        let column = |name: &str| instance.to_row().get(name).and_then(serde_json::Value::as_str);
        let fields = ImageFields {
            instance_id: instance.id().as_str(),
            image: column("image"),
            image_name: column("image_name"),
            docker_image: column("docker_image"),
        };
        Ok(published_image(fields, Some(family(&instance.environment)))?)
    }

    /// The image of an instance.
    ///
    /// # Errors
    /// [`EnvironmentError::Image`] when it has no name, or cannot be pulled.
    pub async fn image_of(&self, instance: &Instance) -> Result<BuiltImage, EnvironmentError> {
        let reference = Self::reference(instance)?;
        let (mut image, reused) = match &self.source {
            PublishedSource::Daemon => (named(&reference), true),
            PublishedSource::Registries(source) => source.image(&reference).await?,
        };
        image.config.workdir = TESTBED.into();
        activate(&reference, &mut image.config.env);
        Ok(BuiltImage { image, reused })
    }
}

impl RegistrySource {
    /// What is there already is not asked for again: published images are not changed.
    async fn image(&self, reference: &Reference) -> Result<(Image, bool), EnvironmentError> {
        match self.named.get(reference).and_then(|known| known.image(&self.store)) {
            Ok(image) => return Ok((image, true)),
            Err(OciError::NoSuchImage(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let destination =
            Destination { cache: &self.cache, store: &self.store, named: &self.named, news: &|_| () };
        let pulled = Box::pin(pull(&self.registries, reference, destination, &self.options)).await?;
        Ok((pulled.image(&self.store)?, false))
    }
}

/// An image that a container daemon knows by its name.
fn named(reference: &Reference) -> Image {
    Image { layers: Vec::new(), config: ImageConfig::default(), reference: Some(reference.to_string()) }
}

fn family(environment: &Environment) -> Family {
    let repo = environment.repo.as_str().to_lowercase();
    if SWE_GYM.contains(&repo.as_str()) { Family::SweGym } else { Family::SweBench }
}

/// Does what `conda activate testbed` does for the programs that are found.
fn activate(reference: &Reference, env: &mut BTreeMap<String, String>) {
    if !reference.to_string().contains(WITH_CONDA) {
        return;
    }
    let prefix = format!("{CONDA}/envs/testbed");
    let before = env.get("PATH").map_or(PATH, String::as_str);
    let path = format!("{prefix}/bin:{CONDA}/condabin:{before}");
    env.extend([
        ("PATH".to_owned(), path),
        ("CONDA_PREFIX".to_owned(), prefix),
        ("CONDA_DEFAULT_ENV".to_owned(), "testbed".to_owned()),
    ]);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn instance(repo: &str, id: &str, more: &Value) -> Instance {
        let mut row = json!({
            "repo": repo, "instance_id": id, "base_commit": "0".repeat(40), "patch": "", "test_patch": "",
            "problem_statement": "", "version": "1", "FAIL_TO_PASS": ["a"], "PASS_TO_PASS": [],
        });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Instance::from_row(row.as_object().unwrap().clone()).unwrap()
    }

    async fn image(instance: &Instance) -> Image {
        PublishedImages::new(PublishedSource::Daemon).image_of(instance).await.unwrap().image
    }

    #[tokio::test]
    async fn names_follow_the_set_that_an_instance_belongs_to() {
        let ours = image(&instance("Project-MONAI/MONAI", "Project-MONAI__MONAI-1", &json!({}))).await;
        let name = "docker.io/xingyaoww/sweb.eval.x86_64.project-monai_s_monai-1:latest";
        assert_eq!(ours.reference.as_deref(), Some(name));
        let bench = image(&instance("django/django", "django__django-1", &json!({}))).await;
        let name = "docker.io/swebench/sweb.eval.x86_64.django_1776_django-1:latest";
        assert_eq!(bench.reference.as_deref(), Some(name));
    }

    #[tokio::test]
    async fn tests_find_the_programs_of_the_conda_environment_where_there_is_one() {
        let with = image(&instance("getmoto/moto", "getmoto__moto-1", &json!({}))).await;
        assert!(with.config.env["PATH"].starts_with("/opt/miniconda3/envs/testbed/bin:"));
        assert_eq!(with.config.workdir.to_str(), Some("/testbed"));
        let named = json!({"image_name": "localhost/team/moto:7"});
        let without = image(&instance("getmoto/moto", "getmoto__moto-1", &named)).await;
        assert_eq!(without.reference.as_deref(), Some("localhost/team/moto:7"));
        assert!(without.config.env.is_empty());
    }

    #[test]
    fn a_column_that_holds_no_name_is_an_error() {
        let bad = instance("getmoto/moto", "getmoto__moto-1", &json!({"image": "a b"}));
        assert!(PublishedImages::reference(&bad).unwrap_err().to_string().contains("a b"));
    }
}
