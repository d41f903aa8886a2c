//! The packages that `quickstart` plants bugs in: small, widely used, pure Python, with their tests in the source
//! distribution. Pinned by version and hash, and old enough for Python 3.9.

use swegym_core::RepoName;
use swegym_environment::{EnvironmentSpec, PinnedFile, Pins, Setup, Specs};

/// A package.
pub(super) struct Package {
    /// Its repository.
    pub(super) repo: &'static str,
    /// What its users call it.
    pub(super) distribution: &'static str,
    /// Version of the source distribution.
    pub(super) version: &'static str,
    /// When that version appeared.
    pub(super) created_at: &'static str,
    /// The source distribution.
    pub(super) sdist: PinnedFile,
    /// Bugs that are planted in it.
    pub(super) instances: usize,
}

pub(super) const PACKAGES: [Package; 3] = [
    Package {
        repo: "jpvanhal/inflection",
        distribution: "inflection",
        version: "0.5.1",
        created_at: "2020-08-22T08:16:29Z",
        sdist: PinnedFile {
            project: "inflection",
            file: "inflection-0.5.1.tar.gz",
            sha256: "1a29730d366e996aaacffb2f1f1cb9593dc38e2ddd30c91250c6dde09ea9b417",
        },
        instances: 3,
    },
    Package {
        repo: "pytoolz/toolz",
        distribution: "toolz",
        version: "1.0.0",
        created_at: "2024-10-04T16:17:04Z",
        sdist: PinnedFile {
            project: "toolz",
            file: "toolz-1.0.0.tar.gz",
            sha256: "2c86e3d9a04798ac556793bced838816296a2f085017664e4995cb40a1047a02",
        },
        instances: 2,
    },
    Package {
        repo: "tkem/cachetools",
        distribution: "cachetools",
        version: "6.2.6",
        created_at: "2026-01-27T20:32:59Z",
        sdist: PinnedFile {
            project: "cachetools",
            file: "cachetools-6.2.6.tar.gz",
            sha256: "16c33e1f276b9a9c0b49ab5782d901e3ad3de0dd6da9bf9bcd29ac5672f2f9e6",
        },
        instances: 3,
    },
];

/// Interpreters that the packages and [`REQUIREMENTS`] run on.
pub(super) const PYTHON: &str = ">=3.9";

/// What the tests of all three need.
const REQUIREMENTS: [&str; 10] = [
    "exceptiongroup==1.3.0 ; python_version < '3.11'",
    "iniconfig==2.1.0",
    "packaging==25.0",
    "pluggy==1.6.0",
    "pygments==2.19.2",
    "pytest==8.4.2",
    "setuptools==80.9.0",
    "tomli==2.3.0 ; python_version < '3.11'",
    "typing-extensions==4.15.0 ; python_version < '3.13'",
    "wheel==0.45.1",
];

impl Package {
    /// Its repository, as a checked name.
    pub(super) fn repo_name(&self) -> anyhow::Result<RepoName> {
        Ok(RepoName::new(self.repo)?)
    }

    fn spec(&self) -> EnvironmentSpec {
        let install = "python -m pip install --quiet --use-pep517 --no-build-isolation --no-deps -e .";
        EnvironmentSpec {
            python: Some(PYTHON.to_owned()),
            setup: Setup::Pinned(Pins {
                packages: REQUIREMENTS.map(str::to_owned).to_vec(),
                install_repo: Some(install.to_owned()),
                ..Pins::default()
            }),
            test_cmd: "pytest -rA --tb=short -p no:cacheprovider".to_owned(),
            ..EnvironmentSpec::default()
        }
    }
}

/// Environment specs of all packages.
pub(super) fn specs() -> Specs {
    let mut specs = Specs::default();
    for package in &PACKAGES {
        specs.insert(package.repo, package.version, package.spec());
    }
    specs
}
