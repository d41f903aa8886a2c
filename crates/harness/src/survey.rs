//! What the tests of an instance depend on, seen before there is a prediction. It follows from the instance and its
//! image alone, so that one survey serves all predictions.

use std::sync::Arc;

use futures_util::future::try_join;
use swegym_core::diff::is_test_path;
use swegym_core::{Failure, Grading, Instance};
use swegym_sandbox::{Sandbox, SandboxError};

use crate::findings::TEST_FILES_CHANGED;
use crate::git::{command, git};
use crate::patch_paths::{Paths, touched_paths};
use crate::runner_files::role_of;
use crate::steps::{Blocked, Step, failure, nul_separated, over, run, with_nuls};
use crate::test_files::{TestFiles, put_back};
use crate::tree_paths::parents;
use crate::xfail::{ExpectedFailures, files_of_tests};

/// What is known of an instance and its image before there is a prediction.
pub struct Survey {
    pub(crate) instance: Arc<Instance>,
    /// The failure says what is wrong with the instance or its image.
    pub(crate) tests: Result<TestFiles, Failure>,
}

impl Survey {
    /// Looks at the files of an image, and brings the tests up to date in it. The sandbox must be fresh, and is of no
    /// more use afterwards: predictions are evaluated in others.
    ///
    /// # Errors
    /// [`SandboxError`] when the sandbox fails.
    pub async fn of(sandbox: &dyn Sandbox, instance: Arc<Instance>) -> Result<Self, SandboxError> {
        let tests = match survey(sandbox, &instance.grading).await {
            Ok(tests) => Ok(tests),
            Err(Blocked::Sandbox(error)) => return Err(error),
            Err(Blocked::Step { kind, step, said }) => {
                Err(failure(kind, format!("failed to {step}: {said}")))
            }
        };
        Ok(Self { instance, tests })
    }

    /// What makes every evaluation by this survey fail, if anything does.
    pub fn failure(&self) -> Option<&Failure> {
        self.tests.as_ref().err()
    }
}

async fn survey(sandbox: &dyn Sandbox, grading: &Grading) -> Result<TestFiles, Blocked> {
    let (base, changed) = try_join(files_of_base(sandbox), files_changed_by_image(sandbox)).await?;
    let gold = touched_paths(grading.patch.as_bytes());
    let is_runners = |path: &&Vec<u8>| {
        role_of(path, &base).is_some_and(|kind| kind != TEST_FILES_CHANGED) && !gold.contains(*path)
    };
    let of_runner: Paths = changed.iter().filter(is_runners).cloned().collect();
    let mut settled = paths_of_tests(grading, &base, &gold);
    let stale: Paths =
        settled.intersection(&changed).filter(|path| !of_runner.contains(*path)).cloned().collect();
    put_back(sandbox, &stale, &stale.intersection(&base).cloned().collect()).await?;
    if !grading.test_patch.is_empty() {
        const STEP: Step = ("test_patch", "apply the test patch to the base commit");
        let apply = git(&["apply", "--verbose", "-"]).with_stdin(grading.test_patch.as_bytes());
        run(sandbox, STEP, &apply).await?;
    }
    settled.extend(of_runner);
    let (there, expected_failures) =
        try_join(those_there(sandbox, &settled), ExpectedFailures::survey(sandbox, grading, &base)).await?;
    let in_image = |path: &&Vec<u8>| base.contains(*path) || changed.contains(*path);
    let gone = settled.difference(&there).filter(in_image).cloned().collect();
    let archive = archive(sandbox, &there).await?;
    Ok(TestFiles { base, gold, settled, gone, archive, expected_failures })
}

async fn files_of_base(sandbox: &dyn Sandbox) -> Result<Paths, Blocked> {
    const STEP: Step = ("base_tree", "list the files of the base commit");
    let listed = run(sandbox, STEP, &git(&["ls-tree", "-r", "-z", "HEAD"])).await?;
    Ok(nul_separated(&listed).filter_map(blob_path).collect())
}

/// The path in `mode SP type SP object TAB path`; none for a submodule.
fn blob_path(entry: &[u8]) -> Option<Vec<u8>> {
    let tab = entry.iter().position(|byte| *byte == b'\t')?;
    let is_blob = entry[..tab].split(|byte| *byte == b' ').nth(1) == Some(b"blob");
    is_blob.then(|| entry[tab + 1..].to_vec())
}

/// Files that differ from the base commit, were added or are gone, ignored ones included.
async fn files_changed_by_image(sandbox: &dyn Sandbox) -> Result<Paths, Blocked> {
    const STEP: Step = ("test_files", "find the files that the image changed");
    let status = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignored"];
    let entries = run(sandbox, STEP, &git(&status)).await?;
    // Each entry is two letters, a space and the path.
    Ok(nul_separated(&entries).filter_map(|entry| entry.get(3..)).map(<[u8]>::to_vec).collect())
}

/// What the test patch touches, and the files of the required tests. The latter only where they look like tests and
/// the gold patch leaves them alone: a doctest lies in the very file that is to be fixed.
fn paths_of_tests(grading: &Grading, base: &Paths, gold: &Paths) -> Paths {
    let mut paths = files_of_tests(grading);
    paths.retain(|path| is_test_path(path) && base.contains(path) && !gold.contains(path));
    paths.extend(touched_paths(grading.test_patch.as_bytes()));
    paths
}

async fn those_there(sandbox: &dyn Sandbox, paths: &Paths) -> Result<Paths, Blocked> {
    const STEP: Step = ("test_files", "find the files of the tests");
    const PRINT: &str =
        r#"for path; do [ -e "$path" ] || [ -L "$path" ] && printf '%s\0' "$path"; done; true"#;
    if paths.is_empty() {
        return Ok(Paths::new());
    }
    let there = run(sandbox, STEP, &over(&["sh", "-c", PRINT, "sh"], paths)).await?;
    Ok(nul_separated(&there).map(<[u8]>::to_vec).collect())
}

/// A tar archive of these files and the folders that they lie in; empty where there are none.
async fn archive(sandbox: &dyn Sandbox, files: &Paths) -> Result<Vec<u8>, Blocked> {
    const STEP: Step = ("test_files", "keep the files of the tests");
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let mut entries: Paths = files.iter().flat_map(|file| parents(file).map(<[u8]>::to_vec)).collect();
    entries.extend(files.iter().cloned());
    let mut words = vec!["tar", "-c", "-f", "-", "--no-recursion", "--hard-dereference"];
    words.extend(["--null", "--verbatim-files-from", "--files-from=-"]);
    run(sandbox, STEP, &command(&words).with_stdin(with_nuls(&entries))).await
}
