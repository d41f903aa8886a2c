//! Brings the files that tests and their runner depend on back to the base commit, and then up to date with the test
//! patch: what a prediction did to them does not count, and is reported.

use std::collections::BTreeMap;

use swegym_core::{Finding, Patch};
use swegym_sandbox::{ChangeKind, Sandbox, SandboxError};

use crate::findings::{RUNNER_CONFIG_CHANGED, finding_of};
use crate::git::{TESTBED, git};
use crate::patch_paths::{Paths, touched_paths};
use crate::runner_config::with_runner_sections_of;
use crate::runner_files::{is_shared_config, role_of};
use crate::steps::{Blocked, Step, over, run, with_nuls};
use crate::tree_paths::{below, has_below};
use crate::xfail::{ExpectedFailures, file_of};

/// Longest configuration file that is read.
const CONFIG_BYTES: u64 = 1 << 20;

/// What the tests of an instance depend on, as a [`crate::Survey`] saw it.
pub(crate) struct TestFiles {
    /// Files of the base commit.
    pub(crate) base: Paths,
    /// Files that the gold patch touches: in these a prediction is free.
    pub(crate) gold: Paths,
    /// Files of the tests, and those of the runner that the image itself changed: the same with every prediction.
    pub(crate) settled: Paths,
    /// Those of them that the image has and the tests must not find.
    pub(crate) gone: Paths,
    /// A tar archive of those that they must.
    pub(crate) archive: Vec<u8>,
    pub(crate) expected_failures: ExpectedFailures,
}

/// What a prediction changed.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Files, relative to the repository, as the prediction left them.
    pub(crate) predicted: Paths,
    /// What was undone.
    pub(crate) findings: Vec<Finding>,
    /// Files of the required tests that may be expected to fail.
    may_xfail: Paths,
}

impl Restored {
    /// Whether a test may be expected to fail, as far as its sources say.
    pub(crate) fn may_xfail(&self, id: &str) -> bool {
        self.may_xfail.contains(file_of(id))
    }
}

impl TestFiles {
    /// Undoes what the prediction did to files of the tests and their runner, and brings the tests up to date. As that
    /// could be done in the untouched tree, a step that fails now fails because of the prediction.
    pub(crate) async fn bring_up_to_date(
        &self,
        sandbox: &dyn Sandbox,
        prediction: &Patch,
    ) -> Result<Restored, Blocked> {
        let predicted = self.predicted(sandbox, prediction).await?;
        let roles: BTreeMap<&Vec<u8>, &str> = predicted
            .difference(&self.gold)
            .filter_map(|path| Some((path, role_of(path, &self.base)?)))
            .collect();
        let mut undone: Paths = roles.keys().map(|path| (*path).clone()).collect();
        let is_changed = |path: &&Vec<u8>| predicted.contains(*path) || has_below(&predicted, path);
        undone.extend(self.settled.iter().filter(is_changed).cloned());
        undone.extend(self.gone.iter().cloned());
        remove_in_the_way(sandbox, &predicted, &undone).await?;
        let of_base = undone.intersection(&self.base).filter(|path| !self.settled.contains(*path));
        put_back(sandbox, &undone, &of_base.cloned().collect()).await?;

        let left: Paths = predicted.difference(&undone).cloned().collect();
        let mut findings = findings(&roles);
        findings.extend(self.restore_sections(sandbox, &left).await?);
        self.settle(sandbox).await?;
        let may_xfail = self.expected_failures.after(sandbox, &left).await?;
        Ok(Restored { predicted, findings, may_xfail })
    }

    /// The files that a prediction names or changed.
    async fn predicted(&self, sandbox: &dyn Sandbox, prediction: &Patch) -> Result<Paths, Blocked> {
        let changes = sandbox.changes().await.map_err(Blocked::Sandbox)?;
        let inside = changes.iter().filter_map(|change| Some((path_inside(&change.path)?, change.kind)));
        let changed: BTreeMap<Vec<u8>, ChangeKind> = inside.collect();
        let paths: Paths = changed.keys().cloned().collect();
        let mut predicted = touched_paths(prediction.as_bytes());
        for (path, kind) in changed {
            // A folder is changed by what is in it, if that can be told.
            if self.base.contains(&path) || !has_below(&paths, &path) {
                let hidden = below(&self.base, &path).filter(|_| kind != ChangeKind::Added);
                predicted.extend(hidden.cloned());
                predicted.insert(path);
            }
        }
        Ok(predicted)
    }

    /// Gives the runner's sections of shared configuration files back what the base commit has there.
    async fn restore_sections(
        &self,
        sandbox: &dyn Sandbox,
        left: &Paths,
    ) -> Result<Option<Finding>, Blocked> {
        let mut restored = Vec::new();
        for path in left.iter().filter(|path| is_shared_config(path) && !self.gold.contains(*path)) {
            let Ok(name) = str::from_utf8(path) else { continue };
            let place = format!("{TESTBED}/{name}");
            let base = match self.base.contains(path) {
                true => {
                    const STEP: Step = ("test_files", "read the configuration of the base commit");
                    run(sandbox, STEP, &git(&["show", &format!("HEAD:{name}")])).await?
                }
                false => Vec::new(),
            };
            let Ok(current) = sandbox.read_file(&place, CONFIG_BYTES).await else {
                // Deleted, or no file any more: what is not there configures nothing, but something may lie in its place.
                let path = Paths::from([path.clone()]);
                put_back(sandbox, &path, &path.intersection(&self.base).cloned().collect()).await?;
                restored.push(name);
                continue;
            };
            if let Some(content) = with_runner_sections_of(name, &base, &current) {
                sandbox.write_file(&place, &content).await.map_err(Blocked::Sandbox)?;
                restored.push(name);
            }
        }
        Ok(finding_of(RUNNER_CONFIG_CHANGED, "sections restored in", restored))
    }

    /// Makes the settled files what they are to be. Links that lie in the way lead nowhere.
    async fn settle(&self, sandbox: &dyn Sandbox) -> Result<(), Blocked> {
        if self.archive.is_empty() {
            return Ok(());
        }
        match sandbox.unpack(&self.archive, TESTBED).await {
            Err(SandboxError::File { message, .. }) => {
                Err(Blocked::Step { kind: "test_files", step: "bring the tests up to date", said: message })
            }
            unpacked => unpacked.map_err(Blocked::Sandbox),
        }
    }
}

/// What was undone, one finding a kind.
fn findings(roles: &BTreeMap<&Vec<u8>, &'static str>) -> Vec<Finding> {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, kind) in roles {
        kinds.entry(kind).or_default().push(String::from_utf8_lossy(path).into_owned());
    }
    kinds.into_iter().filter_map(|(kind, paths)| finding_of(kind, "undone in", paths)).collect()
}

/// A path within the repository, where it is one; git's own files are none.
fn path_inside(path: &[u8]) -> Option<Vec<u8>> {
    let path = path.strip_prefix(TESTBED.as_bytes())?.strip_prefix(b"/")?;
    let is_git = path.split(|byte| *byte == b'/').next() == Some(b".git");
    (!is_git).then(|| path.to_vec())
}

/// Removes links and files of the prediction that stand where folders of these paths were.
async fn remove_in_the_way(sandbox: &dyn Sandbox, predicted: &Paths, paths: &Paths) -> Result<(), Blocked> {
    const STEP: Step = ("test_files", "remove what stands for folders of tests");
    const UNLINK: &str = r#"for path; do [ -L "$path" ] || [ ! -d "$path" ] && rm -f -- "$path"; done; true"#;
    let in_the_way: Paths = predicted.iter().filter(|path| has_below(paths, path)).cloned().collect();
    if !in_the_way.is_empty() {
        run(sandbox, STEP, &over(&["sh", "-c", UNLINK, "sh"], &in_the_way)).await?;
    }
    Ok(())
}

/// Removes these paths with all below them, and makes those of the base commit anew.
pub(crate) async fn put_back(sandbox: &dyn Sandbox, paths: &Paths, of_base: &Paths) -> Result<(), Blocked> {
    if !paths.is_empty() {
        const STEP: Step = ("test_files", "remove changed test files");
        run(sandbox, STEP, &over(&["rm", "-rf", "--"], paths)).await?;
    }
    if !of_base.is_empty() {
        const STEP: Step = ("test_files", "restore test files");
        let checkout = git(&["checkout", "HEAD", "--pathspec-from-file=-", "--pathspec-file-nul"]);
        run(sandbox, STEP, &checkout.with_stdin(with_nuls(of_base))).await?;
    }
    Ok(())
}
