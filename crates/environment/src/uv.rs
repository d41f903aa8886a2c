//! `uv`, fetched once into the cache from the package index, pinned by hash, and the interpreters it finds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::EnvironmentError;
use crate::index::{PackageIndex, PinnedFile};

/// The version that the pins below are of; part of every environment's recipe.
pub(crate) const UV_VERSION: &str = "0.13.9";

/// Both are linked statically, so they run on any Linux.
const UV_WHEELS: [(&str, PinnedFile); 2] = [
    (
        "x86_64",
        PinnedFile {
            project: "uv",
            file: "uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl",
            sha256: "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
        },
    ),
    (
        "aarch64",
        PinnedFile {
            project: "uv",
            file: "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
            sha256: "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
        },
    ),
];

/// An interpreter of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// The program, with symbolic links resolved.
    pub executable: PathBuf,
    /// Folder that it and its standard library lie in.
    pub prefix: PathBuf,
    /// Full version, such as `3.11.7`.
    pub version: String,
    /// Its own folders of installed packages, which instances must not see.
    pub packages: Vec<PathBuf>,
}

/// Makes sure that `uv` lies in the cache, and gives its folder.
pub(crate) async fn ensure_uv(cache: &Path, index: &PackageIndex) -> Result<PathBuf, EnvironmentError> {
    let folder = cache.join(format!("uv-{UV_VERSION}"));
    if folder.join("uv").is_file() {
        return Ok(folder);
    }
    let arch = std::env::consts::ARCH;
    let wheel =
        UV_WHEELS.iter().find(|(name, _)| *name == arch).map(|(_, wheel)| wheel).ok_or_else(|| {
            EnvironmentError::Program {
                program: "uv".to_owned(),
                message: format!("no pinned wheel for {arch}"),
            }
        })?;
    let path = index.file(wheel).await?;
    unpack(&path, &folder).map_err(|error| EnvironmentError::Unpack {
        file: wheel.file.to_owned(),
        message: error.to_string(),
    })?;
    Ok(folder)
}

fn unpack(wheel: &Path, folder: &Path) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
    let mut program = archive.by_name(&format!("uv-{UV_VERSION}.data/scripts/uv"))?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::copy(&mut program, &mut file)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o755))?;
    file.as_file().sync_all()?;
    file.persist(folder.join("uv"))?;
    Ok(())
}

/// Where interpreters are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// Folder of `uv`, which knows the search path and its own interpreters.
    pub(crate) uv: &'a Path,
    /// Folders with interpreters that are not on the search path.
    pub(crate) folders: &'a [PathBuf],
    /// Folder for those that are fetched.
    pub(crate) fetched: &'a Path,
}

impl Places<'_> {
    /// Finds an interpreter of this machine.
    pub(crate) async fn find(&self, version: &str) -> Result<Python, String> {
        let executable = match self.query(version, None).await {
            Ok(executable) => executable,
            // Starters of version managers can stand in the way of what they start, hence a second search without.
            Err(message) => self.query(version, Some(self.folders)).await.map_err(|_| message)?,
        };
        let mut query = Command::new(executable.trim_end());
        query.args(["-I", "-S", "-c", include_str!("../python/interpreter.py")]).current_dir("/");
        let answer = output(&mut query).await?;
        serde_json::from_str(&answer).map_err(|error| format!("the interpreter answers oddly: {error}"))
    }

    /// Finds an interpreter of this machine, or fetches it.
    pub(crate) async fn ensure(
        &self,
        version: &str,
        network_env: &BTreeMap<String, String>,
    ) -> Result<Python, String> {
        let missing = match self.find(version).await {
            Ok(python) => return Ok(python),
            Err(missing) => missing,
        };
        let mut install = Command::new(self.uv.join("uv"));
        install.args(["python", "install", "--no-progress", "--no-bin", "--no-config", "--", version]);
        install.env("UV_PYTHON_INSTALL_DIR", self.fetched).env("UV_SYSTEM_CERTS", "1").envs(network_env);
        match output(install.current_dir("/").kill_on_drop(true)).await {
            Ok(_) => self.find(version).await,
            Err(message) => Err(format!(
                "{missing}; `uv python install`: {message}; `--python` builds with another version"
            )),
        }
    }

    async fn query(&self, version: &str, folders: Option<&[PathBuf]>) -> Result<String, String> {
        let mut find = Command::new(self.uv.join("uv"));
        find.args(["python", "find", "--system", "--no-project", "--no-config", "--no-python-downloads"]);
        find.arg(version).env_remove("VIRTUAL_ENV").env_remove("CONDA_PREFIX").current_dir("/");
        if let Some(folders) = folders {
            let path = std::env::join_paths(folders).map_err(|error| error.to_string())?;
            find.env("PATH", path).env("UV_PYTHON_INSTALL_DIR", self.fetched);
        }
        output(&mut find).await
    }
}

async fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().await.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(brief(&String::from_utf8_lossy(&output.stderr)))
    }
}

/// What `uv` says went wrong, and the last of the causes that it lists.
fn brief(stderr: &str) -> String {
    let lines =
        stderr.lines().map(|line| line.trim().trim_start_matches("error: ").trim_start_matches("cause: "));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    match lines[..] {
        [] => "no reason is given".to_owned(),
        [only] => only.to_owned(),
        [first, .., last] => format!("{first}: {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn the_first_and_the_last_cause_are_kept() {
        assert_eq!(brief("error: No interpreter found\n"), "No interpreter found");
        let long = "error: Failed to install x\n  cause: Request failed\n  cause: dns error\n\n";
        assert_eq!(brief(long), "Failed to install x: dns error");
        assert_eq!(brief(" \n"), "no reason is given");
    }
}
