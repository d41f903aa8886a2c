//! From a spec and a base commit to a plan.

use std::path::PathBuf;

use serde::Serialize;
use swegym_core::{CommitId, InstanceId};
use swegym_images::Image;
use swegym_sandbox::Backend;

use super::{commands, conda, environment_yml, requirements};
use crate::git::GitRepository;
use crate::spec::{EnvironmentSpec, PackageSource, Setup, Steps};
use crate::step_layers::mended;
use crate::{EnvironmentError, Python};

/// What building the image of an instance takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The interpreter.
    pub python: PythonPlan,
    /// What is installed first, at once.
    pub requirements: Vec<String>,
    /// What is installed after that, at once.
    pub pip_packages: Vec<String>,
    /// Whether what packages ask for is installed too.
    pub with_dependencies: bool,
    /// Packages that the index got after this time are not there.
    pub exclude_newer: Option<String>,
    /// Shell commands in `/testbed`, in order.
    pub commands: Vec<String>,
    /// Whether the commands reach the network.
    pub network: bool,
    /// What the spec asks for and the image will not have.
    pub left_out: Vec<LeftOut>,
}

/// The interpreter of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PythonPlan {
    /// The version that is asked for, or a range.
    pub version: String,
    /// The one of this machine that it will be; without one, building first tries to fetch it.
    pub found: Option<PathBuf>,
}

/// A part of a spec that is not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The part.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What a plan is made from, besides the spec.
pub(crate) struct Sources<'a> {
    /// The repository.
    pub(crate) repository: &'a GitRepository,
    /// The base commit.
    pub(crate) commit: &'a CommitId,
    /// Runs the commands that mend requirements.
    pub(crate) backend: &'a dyn Backend,
    /// Where they run.
    pub(crate) image: Image,
}

impl Sources<'_> {
    /// A file of the base commit.
    pub(super) async fn file(&self, path: &str) -> Result<Option<String>, EnvironmentError> {
        self.repository.file(self.commit, path).await
    }

    /// The first of the paths that the base commit has, and the file there.
    pub(super) async fn first<'p>(
        &self,
        paths: &'p [String],
    ) -> Result<Option<(&'p str, String)>, EnvironmentError> {
        for path in paths {
            if let Some(text) = self.file(path).await? {
                return Ok(Some((path, text)));
            }
        }
        Ok(None)
    }
}

/// What the packages of a spec come to.
#[derive(Default)]
struct Packages {
    python: Option<String>,
    requirements: Vec<String>,
    left_out: Vec<LeftOut>,
}

/// Works out what building takes. The interpreter is not looked for.
///
/// # Errors
/// When a file that the spec needs is missing, or a command that mends it fails.
pub(crate) async fn make_plan(
    spec: &EnvironmentSpec,
    instance_id: &InstanceId,
    sources: &Sources<'_>,
) -> Result<Plan, EnvironmentError> {
    let python = |version: Option<String>| PythonPlan {
        version: spec.python.clone().or(version).unwrap_or_else(|| "3".to_owned()),
        found: None,
    };
    let steps = match &spec.setup {
        Setup::Steps(steps) => steps,
        Setup::Pinned(pins) => {
            return Ok(Plan {
                python: python(None),
                requirements: pins.packages_of(instance_id),
                pip_packages: Vec::new(),
                with_dependencies: false,
                exclude_newer: None,
                commands: pins.install_repo.iter().cloned().collect(),
                network: false,
                left_out: Vec::new(),
            });
        }
    };
    let mut packages = packages(steps, sources).await?;
    let all = steps.repo_install.iter().chain(&steps.pre_install).chain(&steps.install);
    let (commands, left_out) = commands::runnable(all);
    packages.left_out.extend(left_out);
    Ok(Plan {
        python: python(packages.python),
        requirements: packages.requirements,
        pip_packages: steps.pip_packages.clone(),
        with_dependencies: true,
        exclude_newer: exclude_newer(steps, sources).await?,
        commands,
        network: true,
        left_out: packages.left_out,
    })
}

async fn packages(steps: &Steps, sources: &Sources<'_>) -> Result<Packages, EnvironmentError> {
    let mut found = Packages::default();
    match steps.package_source() {
        PackageSource::None => {}
        PackageSource::Conda(names) => {
            for name in names.split_whitespace() {
                found.add_conda(name.trim_matches(['\'', '"']));
            }
        }
        PackageSource::Requirements => {
            let text = requirements::text(sources, &steps.requirements_paths).await?;
            let text = needed(text, "requirements file", &steps.requirements_paths)?;
            found.add_pip(&mended(sources, ("requirements.txt", &text), &steps.env_patches).await?);
        }
        PackageSource::EnvironmentYml => {
            let first = sources.first(&steps.environment_yml_paths).await?;
            let text = first.map(|(_, text)| text);
            let text = needed(text, "environment.yml", &steps.environment_yml_paths)?;
            let mended = mended(sources, ("environment.yml", &text), &steps.env_patches).await?;
            let lists = environment_yml::read(&mended);
            lists.conda.iter().for_each(|package| found.add_conda(package));
            found.add_pip(&lists.pip.join("\n"));
        }
    }
    Ok(found)
}

impl Packages {
    fn add_conda(&mut self, package: &str) {
        match conda::map(package) {
            conda::Mapped::Requirement(requirement) => self.requirements.push(requirement),
            conda::Mapped::Python(version) => self.python = Some(version).filter(|text| !text.is_empty()),
            conda::Mapped::LeftOut(reason) => {
                self.left_out.push(LeftOut { what: package.to_owned(), reason });
            }
        }
    }

    fn add_pip(&mut self, text: &str) {
        let (kept, left_out) = requirements::lines(text);
        self.requirements.extend(kept);
        self.left_out.extend(left_out);
    }
}

fn needed(text: Option<String>, what: &str, paths: &[String]) -> Result<String, EnvironmentError> {
    text.ok_or_else(|| EnvironmentError::Build {
        step: format!("find the {what}"),
        message: match paths {
            [] => "the spec does not say where the repository has it".to_owned(),
            paths => format!("the base commit has none of {}", paths.join(", ")),
        },
    })
}

/// The spec's day, or the base commit's where that is later: a commit may need what came out just before it.
async fn exclude_newer(steps: &Steps, sources: &Sources<'_>) -> Result<Option<String>, EnvironmentError> {
    let Some(date) = &steps.exclude_newer else { return Ok(None) };
    let day = sources.repository.day_of(sources.commit).await?;
    Ok(Some(if *date > day { format!("{date}T00:00:00Z") } else { format!("{day}T23:59:59Z") }))
}

impl Plan {
    /// Sets the interpreter that was found.
    pub(crate) fn with_interpreter(mut self, python: Option<&Python>) -> Self {
        self.python.found = python.map(|python| python.executable.clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use swegym_sandbox::{Sandbox, SandboxError, SandboxSpec};

    use super::*;
    use crate::git::Author;

    /// No plan here mends anything.
    struct NoSandboxes;

    #[async_trait]
    impl Backend for NoSandboxes {
        async fn create(&self, _: &SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
            Err(SandboxError::Unsupported { action: "make a sandbox" })
        }

        fn unenforced(&self) -> Vec<String> {
            Vec::new()
        }
    }

    /// The plan for a repository with these files, committed on 2024-12-20.
    async fn plan(steps: Steps, files: &[(&str, &str)]) -> Result<Plan, EnvironmentError> {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        for (path, text) in files {
            let path = tree.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let repository = GitRepository::init_bare(&folder.path().join("bare")).await.unwrap();
        let author = Author { name: "a", email: "a@localhost", date: "2024-12-20T23:00:00-0700" };
        let commit = &repository.commit_tree_of(&tree, &author, "x").await.unwrap();
        let sources =
            Sources { repository: &repository, commit, backend: &NoSandboxes, image: Image::default() };
        let spec = EnvironmentSpec { setup: Setup::Steps(Box::new(steps)), ..EnvironmentSpec::default() };
        make_plan(&spec, &InstanceId::new("o__n-1").unwrap(), &sources).await
    }

    fn steps(packages: &str) -> Steps {
        Steps {
            packages: Some(packages.to_owned()),
            requirements_paths: vec!["none.txt".to_owned(), "requirements/dev.txt".to_owned()],
            environment_yml_paths: vec!["environment.yml".to_owned()],
            ..Steps::default()
        }
    }

    #[tokio::test]
    async fn requirements_come_with_the_files_that_they_include() {
        let files = [
            ("requirements/dev.txt", "-r base.txt\n-r ../tests.txt\nmypy\n-e .\n"),
            ("requirements/base.txt", "attrs>=20\n-r dev.txt\n"),
            ("tests.txt", "# tests\npytest\n"),
        ];
        let plan = plan(steps("requirements.txt"), &files).await.unwrap();
        assert_eq!(plan.requirements, ["attrs>=20", "pytest", "mypy"]);
        assert_eq!((plan.left_out.len(), plan.left_out[0].what.as_str()), (1, "-e ."));
    }

    #[tokio::test]
    async fn an_environment_yml_names_the_interpreter() {
        let yml = "dependencies:\n  - python=3.10\n  - numpy=1.23\n  - nodejs\n  - pip:\n    - moto[all]\n";
        let plan = plan(steps("environment.yml"), &[("environment.yml", yml)]).await.unwrap();
        assert_eq!(plan.python.version, "3.10");
        assert_eq!(plan.requirements, ["numpy==1.23.*", "moto[all]"]);
        assert_eq!(plan.left_out[0].what, "nodejs");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        let error = plan(steps("requirements.txt"), &[("x", "")]).await.unwrap_err().to_string();
        assert!(error.ends_with("the base commit has none of none.txt, requirements/dev.txt"), "{error}");
        let error = plan(steps("environment.yml"), &[("x", "")]).await.unwrap_err().to_string();
        assert!(error.contains("find the environment.yml"), "{error}");
    }

    #[tokio::test]
    async fn a_later_commit_moves_the_day() {
        let with = |date: &str| Steps { exclude_newer: Some(date.to_owned()), ..steps("numpy") };
        let time = async |date| plan(with(date), &[("x", "")]).await.unwrap().exclude_newer.unwrap();
        assert_eq!(time("2024-12-01").await, "2024-12-21T23:59:59Z", "the commit's day in UTC");
        assert_eq!(time("2025-01-01").await, "2025-01-01T00:00:00Z");
    }
}
