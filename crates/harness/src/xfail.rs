//! Which tests may be expected to fail, as far as their sources say. A program decides that while it runs, so the word
//! alone is looked for: in the folders of the tests, and in every `conftest.py` above them.

use swegym_core::Grading;
use swegym_sandbox::Sandbox;

use crate::patch_paths::{Paths, touched_paths};
use crate::steps::{Blocked, blocked, nul_separated, over};
use crate::tree_paths::{folder_of, parents};

/// What the sources of the required tests say before any prediction.
pub(crate) struct ExpectedFailures {
    /// Files of the required tests.
    tests: Paths,
    /// Where the word counts.
    sources: Paths,
    /// Those of the sources that have it.
    found: Paths,
}

impl ExpectedFailures {
    /// Looks at a tree whose tests are up to date.
    pub(crate) async fn survey(
        sandbox: &dyn Sandbox,
        grading: &Grading,
        base: &Paths,
    ) -> Result<Self, Blocked> {
        let of_test_patch = touched_paths(grading.test_patch.as_bytes());
        let mut tests = files_of_tests(grading);
        tests.retain(|file| base.contains(file) || of_test_patch.contains(file));
        let folders: Paths = tests.iter().map(|file| folder_of(file).to_vec()).collect();
        let mut sources: Paths =
            base.iter().filter(|path| folders.contains(folder_of(path))).cloned().collect();
        sources.extend(tests.iter().cloned());
        sources.retain(|path| path.ends_with(b".py"));
        sources.extend(folders.iter().flat_map(|folder| conftests_above(folder)));
        let found = search(sandbox, &sources).await?;
        Ok(Self { tests, sources, found })
    }

    /// Files of tests that may be expected to fail once these files are no longer what they were.
    pub(crate) async fn after(&self, sandbox: &dyn Sandbox, changed: &Paths) -> Result<Paths, Blocked> {
        let changed: Paths = self.sources.intersection(changed).cloned().collect();
        let mut found: Paths = self.found.difference(&changed).cloned().collect();
        found.extend(search(sandbox, &changed).await?);
        let beside: Paths = found.iter().map(|path| folder_of(path).to_vec()).collect();
        let may = |file: &&Vec<u8>| {
            let folder = folder_of(file);
            beside.contains(folder) || conftests_above(folder).any(|path| found.contains(&path))
        };
        Ok(self.tests.iter().filter(may).cloned().collect())
    }
}

/// The file that a test is in, by its id.
pub(crate) fn file_of(id: &str) -> &[u8] {
    id.split("::").next().unwrap_or_default().as_bytes()
}

/// The files of the required tests, by their ids.
pub(crate) fn files_of_tests(grading: &Grading) -> Paths {
    let ids = grading.fail_to_pass.iter().chain(&grading.pass_to_pass);
    ids.map(|id| file_of(id).to_vec()).collect()
}

/// Those of the sources that have the word.
async fn search(sandbox: &dyn Sandbox, sources: &Paths) -> Result<Paths, Blocked> {
    if sources.is_empty() {
        return Ok(Paths::new());
    }
    let grep = over(&["grep", "-lZsE", "xfail|expectedFailure", "--"], sources);
    let found = sandbox.exec(&grep).await.map_err(Blocked::Sandbox)?;
    // Some of the files are not there, and often none has the word: both are exit codes of their own.
    if found.exit_code().is_none() || found.stdout.dropped > 0 {
        return Err(blocked(("test_files", "search the tests"), &found));
    }
    Ok(nul_separated(&found.stdout.head).map(<[u8]>::to_vec).collect())
}

/// `conftest.py` of a folder and of all above it.
fn conftests_above(folder: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let inside = [folder, b"/x"].concat();
    let folders: Vec<Vec<u8>> =
        parents(&inside).filter(|folder| !folder.is_empty()).map(<[u8]>::to_vec).collect();
    let below = folders.into_iter().map(|folder| [folder.as_slice(), b"/conftest.py"].concat());
    [b"conftest.py".to_vec()].into_iter().chain(below)
}
