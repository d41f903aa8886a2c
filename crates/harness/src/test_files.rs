//! Brings the files that tests and their runner depend on back to the base commit, and then up to date with the test
//! patch: what a prediction did to them does not count, and is reported.

use std::collections::BTreeMap;

use swegym_core::diff::is_test_path;
use swegym_core::{Finding, Instance, Patch};
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError};

use crate::findings::{RUNNER_CONFIG_CHANGED, TEST_FILES_CHANGED, finding_of};
use crate::git::{TESTBED, command, git, said};
use crate::patch_paths::{Paths, touched_paths};
use crate::runner_config::with_runner_sections_of;
use crate::runner_files::{is_shared_config, role_of};

/// Longest configuration file that is read.
const CONFIG_BYTES: u64 = 1 << 20;

/// What the tests of an instance depend on, seen before a prediction is applied.
pub(crate) struct TestFiles<'a> {
    instance: &'a Instance,
    /// Files of the base commit.
    base: Paths,
    /// Files that the image itself changed or added.
    changed_by_image: Paths,
    /// Those of them that the runner reads, and an archive with their content.
    runner_files_of_image: (Paths, Vec<u8>),
}

/// What a prediction changed.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Files, relative to the repository, as the prediction left them.
    pub(crate) predicted: Paths,
    /// What was undone.
    pub(crate) findings: Vec<Finding>,
    /// Files of the required tests in whose folder, or in a `conftest.py` above it, anything speaks of expected
    /// failures, once the files are up to date.
    may_xfail: Paths,
}

impl Restored {
    /// Whether a test may be expected to fail, as far as its sources say. A program decides that while it runs, so
    /// the word alone is looked for.
    pub(crate) fn may_xfail(&self, id: &str) -> bool {
        self.may_xfail.contains(file_of(id))
    }
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
        let base: Paths = nul_separated(&listed).filter_map(blob_path).collect();
        let changed_by_image = changed_files(sandbox).await?;
        let is_runners =
            |path: &&Vec<u8>| role_of(path, &base).is_some_and(|kind| kind != TEST_FILES_CHANGED);
        let runner_files: Paths = changed_by_image.iter().filter(is_runners).cloned().collect();
        let archive = archive(sandbox, &runner_files).await?;
        Ok(Self { instance, base, changed_by_image, runner_files_of_image: (runner_files, archive) })
    }

    /// Undoes what the prediction did to test files and applies the test patch. As the patch applied to the
    /// untouched tree, a step that fails now fails because of the prediction.
    pub(crate) async fn bring_up_to_date(
        &self,
        sandbox: &dyn Sandbox,
        prediction: &Patch,
    ) -> Result<Restored, Blocked> {
        let gold = touched_paths(self.instance.grading.patch.as_bytes());
        let mut predicted = touched_paths(prediction.as_bytes());
        let changed = changed_files(sandbox).await?;
        predicted.extend(changed.into_iter().filter(|path| !self.changed_by_image.contains(path)));
        let foreign: Paths = predicted.difference(&gold).cloned().collect();
        let roles: BTreeMap<&Vec<u8>, &str> =
            foreign.iter().filter_map(|path| Some((path, role_of(path, &self.base)?))).collect();

        let mut paths = self.paths_of_tests();
        paths.extend(roles.keys().map(|path| (*path).clone()));
        let (of_image, archive) = &self.runner_files_of_image;
        paths.extend(of_image.difference(&gold).cloned());
        self.put_back(sandbox, &paths, &predicted).await?;
        if !archive.is_empty() {
            let unpack = command(&["tar", "-x", "-f", "-"]).with_stdin(archive.as_slice());
            run(sandbox, ("test_files", "restore files of the image"), &unpack).await?;
        }
        let mut findings = findings(&roles);
        findings.extend(self.restore_sections(sandbox, &foreign).await?);
        let test_patch = &self.instance.grading.test_patch;
        if !test_patch.is_empty() {
            let apply = git(&["apply", "--verbose", "-"]).with_stdin(test_patch.as_bytes());
            run(sandbox, ("test_patch", "apply the test patch"), &apply).await?;
        }
        let may_xfail = self.files_that_may_xfail(sandbox).await?;
        Ok(Restored { predicted, findings, may_xfail })
    }

    async fn files_that_may_xfail(&self, sandbox: &dyn Sandbox) -> Result<Paths, Blocked> {
        let grading = &self.instance.grading;
        let ids = grading.fail_to_pass.iter().chain(&grading.pass_to_pass);
        let of_test_patch = touched_paths(grading.test_patch.as_bytes());
        let is_there = |file: &&[u8]| self.base.contains(*file) || of_test_patch.contains(*file);
        let files: Paths = ids.map(|id| file_of(id)).filter(is_there).map(<[u8]>::to_vec).collect();
        let folders: Paths = files.iter().map(|file| folder_of(file).to_vec()).collect();
        let mut sources: Paths =
            self.base.iter().filter(|path| folders.contains(folder_of(path))).cloned().collect();
        sources.extend(files.iter().cloned());
        sources.retain(|path| path.ends_with(b".py"));
        sources.extend(folders.iter().flat_map(|folder| conftests_above(folder)));
        let grep = over(&["grep", "-lZsE", "xfail|expectedFailure", "--"], &sources);
        // Some of the files are not there, and often none has the word: both are exit codes of their own.
        let found = sandbox.exec(&grep).await.map_err(Blocked::Sandbox)?;
        let found = match found.exit_code() {
            Some(_) if found.stdout.dropped == 0 => found.stdout.head,
            _ => return Err(step(("test_files", "search the tests"), &found)),
        };
        let found: Paths = nul_separated(&found).map(<[u8]>::to_vec).collect();
        let beside: Paths = found.iter().map(|path| folder_of(path).to_vec()).collect();
        let may = |folder: &&Vec<u8>| {
            beside.contains(*folder) || conftests_above(folder).iter().any(|path| found.contains(path))
        };
        let folders: Paths = folders.iter().filter(may).cloned().collect();
        Ok(files.into_iter().filter(|file| folders.contains(folder_of(file))).collect())
    }

    /// Removes these paths, links and files that stand where their folders were, and makes those of the base commit
    /// anew.
    async fn put_back(&self, sandbox: &dyn Sandbox, paths: &Paths, predicted: &Paths) -> Result<(), Blocked> {
        let in_the_way: Paths = predicted.iter().filter(|path| has_below(paths, path)).cloned().collect();
        if !in_the_way.is_empty() {
            const UNLINK: &str =
                r#"for path; do [ -L "$path" ] || [ ! -d "$path" ] && rm -f -- "$path"; done; true"#;
            let unlink = over(&["sh", "-c", UNLINK, "sh"], &in_the_way);
            run(sandbox, ("test_files", "remove what stands for folders of tests"), &unlink).await?;
        }
        if !paths.is_empty() {
            let remove = over(&["rm", "-rf", "--"], paths);
            run(sandbox, ("test_files", "remove changed test files"), &remove).await?;
        }
        let in_base: Paths = paths.intersection(&self.base).cloned().collect();
        if !in_base.is_empty() {
            let checkout = git(&["checkout", "HEAD", "--pathspec-from-file=-", "--pathspec-file-nul"]);
            run(sandbox, ("test_files", "restore test files"), &checkout.with_stdin(with_nuls(&in_base)))
                .await?;
        }
        Ok(())
    }

    /// Gives the runner's sections of shared configuration files back what the base commit has there.
    async fn restore_sections(
        &self,
        sandbox: &dyn Sandbox,
        changed: &Paths,
    ) -> Result<Option<Finding>, Blocked> {
        let mut restored = Vec::new();
        for path in changed.iter().filter(|path| is_shared_config(path)) {
            let Ok(name) = str::from_utf8(path) else { continue };
            let place = format!("{TESTBED}/{name}");
            let base = match self.base.contains(path) {
                true => {
                    let show = git(&["show", &format!("HEAD:{name}")]);
                    run(sandbox, ("test_files", "read the configuration of the base commit"), &show).await?
                }
                false => Vec::new(),
            };
            let Ok(current) = sandbox.read_file(&place, CONFIG_BYTES).await else {
                // Deleted, or no file any more: what is not there configures nothing, but something may lie in its place.
                self.put_back(sandbox, &Paths::from([path.clone()]), &Paths::new()).await?;
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

    /// What the test patch touches, and the files of the required tests. The latter only where they look like
    /// tests and the gold patch leaves them alone: a doctest lies in the very file that is to be fixed.
    fn paths_of_tests(&self) -> Paths {
        let grading = &self.instance.grading;
        let gold = touched_paths(grading.patch.as_bytes());
        let file = |id: &String| file_of(id).to_vec();
        let ids = grading.fail_to_pass.iter().chain(&grading.pass_to_pass);
        let files: Paths = ids.map(file).collect();
        let mut paths = touched_paths(grading.test_patch.as_bytes());
        paths.extend(
            files
                .into_iter()
                .filter(|path| is_test_path(path) && self.base.contains(path) && !gold.contains(path)),
        );
        paths
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

/// Files that differ from the base commit, were added or are gone, ignored ones included.
async fn changed_files(sandbox: &dyn Sandbox) -> Result<Paths, Blocked> {
    let status = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignored"];
    let entries = run(sandbox, ("test_files", "find changed files"), &git(&status)).await?;
    // Each entry is two letters, a space and the path.
    Ok(nul_separated(&entries).filter_map(|entry| entry.get(3..)).map(<[u8]>::to_vec).collect())
}

/// An archive of these files; empty where there are none. Some may be gone.
async fn archive(sandbox: &dyn Sandbox, files: &Paths) -> Result<Vec<u8>, Blocked> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    const PACK: &str = r#"while IFS= read -r -d '' path; do [ -e "$path" ] && printf '%s\0' "$path"; done |
        tar -c --null --no-recursion --verbatim-files-from -T - -f -"#;
    let pack = command(&["bash", "-c", PACK]).with_stdin(with_nuls(files));
    run(sandbox, ("test_files", "keep files of the image"), &pack).await
}

/// The file that a test is in, by its id.
fn file_of(id: &str) -> &[u8] {
    id.split("::").next().unwrap_or_default().as_bytes()
}

/// The folder that a file is in; empty at the top.
fn folder_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// `conftest.py` of a folder and of all above it.
fn conftests_above(folder: &[u8]) -> Vec<Vec<u8>> {
    let mut conftests = vec![b"conftest.py".to_vec()];
    let inside = [folder, b"/x"].concat();
    let folders = parents(&inside).into_iter().filter(|folder| !folder.is_empty());
    conftests.extend(folders.map(|folder| [folder.as_slice(), b"/conftest.py"].concat()));
    conftests
}

/// Whether any of the paths lies below `folder`.
fn has_below(paths: &Paths, folder: &[u8]) -> bool {
    let inside = [folder, b"/"].concat();
    paths.range(inside.clone()..).next().is_some_and(|path| path.starts_with(&inside))
}

/// The folders that a path lies in, within the repository.
fn parents(path: &[u8]) -> Vec<Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(place, _)| path[..place].to_vec()).collect()
}

/// What a command prints when it succeeds; `(kind, step)` say what it is for when it does not.
async fn run(
    sandbox: &dyn Sandbox,
    what: (&'static str, &'static str),
    request: &ExecRequest,
) -> Result<Vec<u8>, Blocked> {
    let output = sandbox.exec(request).await.map_err(Blocked::Sandbox)?;
    if output.success() && output.stdout.dropped == 0 {
        return Ok(output.stdout.head);
    }
    Err(step(what, &output))
}

fn step((kind, step): (&'static str, &'static str), output: &ExecOutput) -> Blocked {
    Blocked::Step { kind: kind_of(output.status).unwrap_or(kind), step, said: said(output) }
}

/// A command with these paths behind it: as arguments where they are few, else by `xargs`, which is a process more.
fn over(argv: &[&str], paths: &Paths) -> ExecRequest {
    const FEW_BYTES: usize = 32 << 10;
    let are_few = paths.iter().map(|path| path.len() + 1).sum::<usize>() <= FEW_BYTES;
    let texts: Option<Vec<&str>> = paths.iter().map(|path| str::from_utf8(path).ok()).collect();
    match texts.filter(|_| are_few) {
        Some(texts) => command(&[argv, &texts].concat()),
        None => command(&[&["xargs", "-0"], argv].concat()).with_stdin(with_nuls(paths)),
    }
}

/// The kind of failure of a command that did not end by itself.
fn kind_of(status: ExecStatus) -> Option<&'static str> {
    match status {
        ExecStatus::TimedOut => Some("timeout"),
        ExecStatus::OutOfMemory => Some("out_of_memory"),
        ExecStatus::Signaled(_) => Some("killed"),
        ExecStatus::Exited(_) => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_paths_are_arguments_and_others_go_by_a_pipe() {
        let paths = |names: &[&[u8]]| names.iter().map(|name| name.to_vec()).collect::<Paths>();
        assert_eq!(over(&["rm", "--"], &paths(&[b"a b", b"-c"])).argv, ["rm", "--", "-c", "a b"]);
        for many in [paths(&[b"\xff"]), paths(&[&[b'a'; 40_000]])] {
            let request = over(&["rm", "--"], &many);
            assert_eq!(request.argv, ["xargs", "-0", "rm", "--"]);
            assert_eq!(request.stdin, Some(with_nuls(&many)));
        }
    }

    #[test]
    fn what_lies_below_a_folder_is_told_from_its_neighbours() {
        let paths: Paths = [&b"a-b/c"[..], b"a/b/c", b"a0"].map(<[u8]>::to_vec).into();
        for (folder, expected) in
            [("a", true), ("a/b", true), ("a-b", true), ("a0", false), ("a/b/c", false), ("", false)]
        {
            assert_eq!(has_below(&paths, folder.as_bytes()), expected, "{folder}");
        }
    }
}
