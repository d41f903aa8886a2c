//! The objects of a repository that a commit does not lead to.

use std::collections::HashSet;

use swegym_core::CommitId;
use swegym_sandbox::{ExecRequest, Sandbox, SandboxError};

use super::search::run;
use crate::git::git;

/// Ids of objects that the base commit and the tags of its past do not lead to.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    pub(super) commits: Vec<String>,
    /// Content of files, or what of it is left.
    pub(super) blobs: Vec<String>,
}

impl Foreign {
    /// Those of the repository; the inner error says why they cannot be listed.
    pub(super) async fn list(
        sandbox: &dyn Sandbox,
        base: &CommitId,
    ) -> Result<Result<Self, String>, SandboxError> {
        let merged = format!("--merged={base}");
        let tags = ["for-each-ref", &merged, "--format=%(objectname)", "refs/tags"];
        let mut roots = match run(sandbox, &audit_git(&tags)).await? {
            Ok(tags) => tags,
            Err(said) => return Ok(Err(said)),
        };
        roots.extend_from_slice(format!("{base}\n").as_bytes());
        let reached = ["rev-list", "--objects", "--no-object-names", "--missing=allow-any", "--stdin"];
        let reached = run(sandbox, &audit_git(&reached).with_stdin(roots)).await?;
        let all = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)"];
        let all = run(sandbox, &audit_git(&all)).await?;
        Ok(match (all, reached) {
            (Ok(all), Ok(reached)) => Ok(Self::between(&all, &reached)),
            (Err(said), _) | (_, Err(said)) => Err(said),
        })
    }

    fn between(all: &[u8], reached: &[u8]) -> Self {
        let reached: HashSet<&[u8]> = reached.split(|byte| *byte == b'\n').collect();
        let mut foreign = Self::default();
        for line in all.split(|byte| *byte == b'\n') {
            let mut words = line.splitn(2, |byte| *byte == b' ');
            let (Some(id), Some(kind)) = (words.next(), words.next()) else { continue };
            let list = match kind {
                b"commit" => &mut foreign.commits,
                b"blob" => &mut foreign.blobs,
                _ => continue,
            };
            if !reached.contains(id) {
                list.push(String::from_utf8_lossy(id).into_owned());
            }
        }
        foreign
    }
}

/// A git command that believes nothing of a repository but its objects: no replacements, no grafts, no graph that was
/// computed before, and nothing is fetched.
pub(super) fn audit_git(args: &[&str]) -> ExecRequest {
    let mut request = git(&[["-c", "core.commitGraph=false"].as_slice(), args].concat());
    let env = [("GIT_NO_REPLACE_OBJECTS", "1"), ("GIT_GRAFT_FILE", "/dev/null"), ("GIT_NO_LAZY_FETCH", "1")];
    request.env.extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_reached_is_foreign() {
        let all = b"aa commit\nbb commit\ncc blob\ndd tree\nee blob\nbroken\n";
        let foreign = Foreign::between(all, b"aa\ncc\n");
        assert_eq!((foreign.commits, foreign.blobs), (vec!["bb".to_owned()], vec!["ee".to_owned()]));
    }
}
