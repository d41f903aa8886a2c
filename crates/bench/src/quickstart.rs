//! The main job, from nothing and with everything cached.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::json;

/// Prints a line for the cold run, one for a warm run into a new folder, one for a run that resumes a done one.
pub(crate) fn run(program: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    for (name, output) in [("cold", "first"), ("warm", "second"), ("resume", "second")] {
        let begin = Instant::now();
        let mut command = Command::new(program);
        command.arg("quickstart").arg("-o").arg(folder.path().join(output)).env("SWEGYM_CACHE", &cache);
        let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output();
        let output = output.with_context(|| format!("run `{}`", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "run quickstart ({name}): {}: {said}", output.status);
        println!(
            "{}",
            json!({ "bench": "quickstart", "cache": name, "seconds": begin.elapsed().as_secs_f64() })
        );
    }
    Ok(())
}
