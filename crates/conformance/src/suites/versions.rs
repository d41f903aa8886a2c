//! `versions`: the version that a file or the output of a command says.

use serde_json::{Value, json};
use swegym_collect::{VersionFiles, version_from_output};
use swegym_core::RepoName;

use crate::compare::same;

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let text = |field: &str| record[field].as_str().ok_or_else(|| format!("no text `{field}`"));
    let version = match text("kind")? {
        "from_file_text" => {
            let repo = RepoName::new(text("repo")?).map_err(|error| error.to_string())?;
            let files = VersionFiles::of(&repo).ok_or("no files are known")?;
            same("paths", &json!(files.paths), &record["paths"])?;
            let served = text("text")?;
            files.version(|_| Some(served.to_owned()))
        }
        "from_command_stdout" => Some(version_from_output(text("stdout")?)),
        unknown => return Err(format!("unknown kind `{unknown}`")),
    };
    same("version", &json!(version), &record["expected"])
}
