//! Running the program in an environment of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Set to 1 where tests may fetch packages from the index that this machine is set up with.
const NETWORK: &str = "SWEGYM_TEST_NETWORK";
/// What the program may see of the environment that the tests run in: how to find programs and packages.
const INHERITED: [&str; 6] =
    ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "PIP_INDEX_URL", "UV_DEFAULT_INDEX"];

/// A folder for one test, with a home and a cache of its own.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    cache: PathBuf,
}

impl Place {
    /// With an empty cache.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        Self { folder, cache }
    }

    /// With the cache that all tests share, so that packages are fetched once.
    pub(crate) fn with_shared_cache() -> Self {
        Self { cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"), ..Self::new() }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The cache folder.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Writes a file in the folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The program with these arguments, in the folder.
    pub(crate) fn swegym(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swegym"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.envs(INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("HOME", self.folder.path()).env("SWEGYM_CACHE", &self.cache);
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.swegym(arguments).output().unwrap())
    }
}

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Whether tests may fetch packages; says that the test is skipped where not.
pub(crate) fn network() -> bool {
    let allowed = std::env::var(NETWORK).is_ok_and(|value| value == "1");
    if !allowed {
        println!("skipped: it fetches packages; {NETWORK}=1 lets it");
    }
    allowed
}
