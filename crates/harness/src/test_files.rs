//! Brings the files that tests depend on back to the base commit, and then up to date with the test patch: what a
//! prediction did to them does not count.

use swegym_core::Instance;
use swegym_sandbox::{ExecRequest, Sandbox, SandboxError};

use crate::git::{command, git, said};
use crate::patch_paths::{Paths, touched_paths};

/// Files that change how pytest runs wherever they lie.
const PYTEST_FILES: [&str; 4] = ["conftest.py", "pytest.ini", "tox.ini", ".pytest.ini"];

/// What the tests of an instance depend on, seen before a prediction is applied.
pub(crate) struct TestFiles<'a> {
    instance: &'a Instance,
    /// Files of the base commit.
    base: Paths,
    /// Of [`PYTEST_FILES`], those that the image itself changed or added.
    changed_by_image: Paths,
}

/// Why the tests could not be brought up to date.
pub(crate) enum Blocked {
    /// The sandbox failed.
    Sandbox(SandboxError),
    /// A command failed.
    Step {
        /// Short stable name, for a [`swegym_core::Failure`].
        kind: &'static str,
        /// What it was for, as in "failed to ...".
        step: &'static str,
        /// What it said.
        said: String,
    },
}

impl<'a> TestFiles<'a> {
    /// Looks at the untouched tree, and whether the test patch applies to it.
    pub(crate) async fn survey(sandbox: &dyn Sandbox, instance: &'a Instance) -> Result<Self, Blocked> {
        let list = git(&["ls-tree", "-r", "-z", "HEAD"]);
        let listed = run(sandbox, ("base_tree", "list the files of the base commit"), &list).await?;
        let test_patch = &instance.grading.test_patch;
        if !test_patch.is_empty() {
            let check = git(&["apply", "--check", "-"]).with_stdin(test_patch.as_bytes());
            run(sandbox, ("test_patch", "apply the test patch to the base commit"), &check).await?;
        }
        let base = nul_separated(&listed).filter_map(blob_path).collect();
        let changed_by_image = changed_pytest_files(sandbox).await?;
        Ok(Self { instance, base, changed_by_image })
    }

    /// Undoes what the prediction did to test files and applies the test patch. As the patch applied to the
    /// untouched tree, a step that fails now fails because of the prediction.
    pub(crate) async fn bring_up_to_date(&self, sandbox: &dyn Sandbox) -> Result<(), Blocked> {
        let mut paths = self.paths_of_tests();
        let gold = touched_paths(self.instance.grading.patch.as_bytes());
        let changed = changed_pytest_files(sandbox).await?;
        paths.extend(
            changed.into_iter().filter(|path| !self.changed_by_image.contains(path) && !gold.contains(path)),
        );
        let restored: Paths = paths.intersection(&self.base).cloned().collect();

        if !paths.is_empty() {
            let remove = command(&["xargs", "-0", "rm", "-rf", "--"]).with_stdin(with_nuls(&paths));
            run(sandbox, ("test_files", "remove changed test files"), &remove).await?;
        }
        if !restored.is_empty() {
            let checkout = git(&["checkout", "HEAD", "--pathspec-from-file=-", "--pathspec-file-nul"]);
            run(sandbox, ("test_files", "restore test files"), &checkout.with_stdin(with_nuls(&restored)))
                .await?;
        }
        let test_patch = &self.instance.grading.test_patch;
        if !test_patch.is_empty() {
            let apply = git(&["apply", "--verbose", "-"]).with_stdin(test_patch.as_bytes());
            run(sandbox, ("test_patch", "apply the test patch"), &apply).await?;
        }
        Ok(())
    }

    /// What the test patch touches, and the files of the required tests. The latter only where they look like
    /// tests and the gold patch leaves them alone: a doctest lies in the very file that is to be fixed.
    fn paths_of_tests(&self) -> Paths {
        let grading = &self.instance.grading;
        let gold = touched_paths(grading.patch.as_bytes());
        let file = |id: &String| id.split("::").next().unwrap_or_default().as_bytes().to_vec();
        let ids = grading.fail_to_pass.iter().chain(&grading.pass_to_pass);
        let files: Paths = ids.map(file).collect();
        let mut paths = touched_paths(grading.test_patch.as_bytes());
        paths.extend(
            files
                .into_iter()
                .filter(|path| looks_like_test(path) && self.base.contains(path) && !gold.contains(path)),
        );
        paths
    }
}

/// The rule by which SWE-bench tells test files from others.
fn looks_like_test(path: &[u8]) -> bool {
    path.windows(4).any(|part| part == b"test") || path.windows(3).any(|part| part == b"e2e")
}

/// Those of [`PYTEST_FILES`] that differ from the base commit, were added or are gone, ignored ones included.
async fn changed_pytest_files(sandbox: &dyn Sandbox) -> Result<Paths, Blocked> {
    const STATUS: [&str; 7] =
        ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignored", "--"];
    let patterns = PYTEST_FILES.map(|name| format!(":(glob)**/{name}"));
    let mut status = git(&[&STATUS[..], &patterns.each_ref().map(String::as_str)].concat());
    status.env.remove("GIT_LITERAL_PATHSPECS");
    let entries = run(sandbox, ("test_files", "find changed test configuration"), &status).await?;
    // Each entry is two letters, a space and the path.
    Ok(nul_separated(&entries).filter_map(|entry| entry.get(3..)).map(<[u8]>::to_vec).collect())
}

/// What a command prints when it succeeds; `(kind, step)` say what it is for when it does not.
async fn run(
    sandbox: &dyn Sandbox,
    (kind, step): (&'static str, &'static str),
    request: &ExecRequest,
) -> Result<Vec<u8>, Blocked> {
    let output = sandbox.exec(request).await.map_err(Blocked::Sandbox)?;
    if output.success() && output.stdout.dropped == 0 {
        return Ok(output.stdout.head);
    }
    Err(Blocked::Step { kind, step, said: said(&output) })
}

/// The path in `mode SP type SP object TAB path`; none for a submodule.
fn blob_path(entry: &[u8]) -> Option<Vec<u8>> {
    let tab = entry.iter().position(|byte| *byte == b'\t')?;
    let is_blob = entry[..tab].split(|byte| *byte == b' ').nth(1) == Some(b"blob");
    is_blob.then(|| entry[tab + 1..].to_vec())
}

fn nul_separated(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty())
}

fn with_nuls(paths: &Paths) -> Vec<u8> {
    paths.iter().flat_map(|path| path.iter().copied().chain([0])).collect()
}
