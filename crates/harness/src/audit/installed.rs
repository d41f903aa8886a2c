//! Installed copies of the package itself: what a solution can read there, and what tests may import in its place.

use std::collections::BTreeSet;

use swegym_core::Finding;
use swegym_sandbox::{Sandbox, SandboxError};

use super::names::{PackageNames, is_later};
use super::search::{Found, in_repository};
use crate::findings::{
    AUDIT_INCOMPLETE, INSTALLED_COPY, INSTALLED_COPY_DIFFERS, LATER_VERSION, finding, finding_of,
};
use crate::git::{command, said};

/// Files that building writes: they differ from the repository's in every copy.
const GENERATED: [&str; 4] = ["/_version.py", "/version.py", "/__version__.py", "/_git_revision.py"];

/// Copies in folders of packages, and archives of later versions.
pub(super) async fn findings(
    sandbox: &dyn Sandbox,
    found: &Found,
    names: &PackageNames,
    version: &str,
) -> Result<Vec<Finding>, SandboxError> {
    let copies: Vec<(&str, &str, &str)> =
        found.installed.iter().filter_map(|(kind, path)| copy(*kind, path, names)).collect();
    let mut findings = Vec::new();
    for (_, path, original) in &copies {
        findings.push(compared(sandbox, path, original).await?);
    }
    let beside = |path: &str| {
        copies.iter().any(|(folder, ..)| path.rsplit_once('/').is_some_and(|at| at.0 == *folder))
    };
    let metadata = found.installed.iter().map(|(_, path)| path.as_str());
    let metadata = metadata.filter(|path| path.ends_with("-info") && beside(path));
    let files = metadata.chain(found.archives.iter().map(|(_, path)| path.as_str()));
    let by_name = files.filter(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        names.version_of(name).is_some_and(|found| is_later(found, version))
    });
    let later: BTreeSet<&str> = by_name.chain(found.later.iter().map(String::as_str)).collect();
    findings.extend(finding_of(LATER_VERSION, &format!("later than `{version}`"), later));
    Ok(findings)
}

/// Folder, path and original of a copy of a module. A link to the repository is none.
fn copy<'a>(kind: char, path: &'a str, names: &'a PackageNames) -> Option<(&'a str, &'a str, &'a str)> {
    let (folder, name) = path.rsplit_once('/')?;
    let original = names.modules.get(name)?;
    (matches!(kind, 'd' | 'f') && !in_repository(path)).then_some((folder, path, original))
}

async fn compared(sandbox: &dyn Sandbox, path: &str, original: &str) -> Result<Finding, SandboxError> {
    let diff = command(&["diff", "-rq", original, path]);
    let output = match sandbox.exec(&diff).await {
        Err(error @ SandboxError::Start { .. }) => {
            return Ok(finding(AUDIT_INCOMPLETE, format!("`{path}` is not compared: failed to {error}")));
        }
        output => output?,
    };
    if !matches!(output.exit_code(), Some(0 | 1)) {
        return Ok(finding(AUDIT_INCOMPLETE, format!("`{path}` is not compared: {}", said(&output))));
    }
    let text = output.stdout.to_text();
    let what = format!("`{path}` is not the code of the base commit");
    let found =
        finding_of(INSTALLED_COPY_DIFFERS, &what, text.lines().filter_map(|line| difference(line, path)));
    Ok(found.unwrap_or_else(|| finding(INSTALLED_COPY, format!("`{path}` is a copy of the code"))))
}

/// The file of a copy that a line of `diff -rq` speaks of: code that is another, or that the repository lacks.
fn difference(line: &str, path: &str) -> Option<String> {
    let file = match line.strip_prefix("Only in ") {
        Some(rest) => {
            let (folder, name) = rest.rsplit_once(": ")?;
            format!("{folder}/{name}")
        }
        None => line.strip_prefix("Files ")?.strip_suffix(" differ")?.rsplit_once(" and ")?.1.to_owned(),
    };
    let is_written_by_hand = !GENERATED.iter().any(|name| file.ends_with(name));
    (file.starts_with(path) && file.ends_with(".py") && is_written_by_hand).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_differs_is_told_from_what_building_writes() {
        let path = "/v/site-packages/m";
        for (line, expected) in [
            ("Files /testbed/m/a.py and /v/site-packages/m/a.py differ", Some("/v/site-packages/m/a.py")),
            ("Only in /v/site-packages/m/sub: new.py", Some("/v/site-packages/m/sub/new.py")),
            ("Only in /testbed/m: old.py", None),
            ("Only in /v/site-packages/m: __pycache__", None),
            ("Files /testbed/m/_version.py and /v/site-packages/m/_version.py differ", None),
            ("garbage", None),
        ] {
            assert_eq!(difference(line, path).as_deref(), expected, "{line}");
        }
    }
}
