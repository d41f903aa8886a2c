//! The repository of an image: commits, refs and other ways into the future of its base commit.

use std::collections::{BTreeSet, HashSet};

use swegym_core::{CommitId, Finding};
use swegym_sandbox::{Sandbox, SandboxError};

use super::gold_text::GoldText;
use super::objects::{Foreign, audit_git};
use super::search::run;
use crate::findings::{
    AUDIT_INCOMPLETE, FUTURE_COMMITS, FUTURE_REFS, GIT_ALTERNATES, GIT_REMOTES, REPOSITORY_COPY,
    SIDE_COMMITS, finding, finding_of,
};
use crate::git::command;

/// Largest file of git's own that is read.
const FILE_BYTES: u64 = 1 << 20;
/// Ids in reflogs and in the files that commands leave: `path NUL id LF` each.
const NAMED: &str = r#"cd "$1" && { grep -rsoHZE '[0-9a-f]{40,64}' logs *_HEAD | head -c 32000000; true; }"#;

/// The repository at `/testbed`, as nobody has changed it yet.
pub(super) struct Repository<'a> {
    pub(super) sandbox: &'a dyn Sandbox,
    pub(super) base: &'a CommitId,
    /// Its `.git` folder.
    folder: String,
    /// When the base commit was made, in seconds since 1970.
    base_time: i64,
}

/// Commits that the base commit does not lead to.
#[derive(Default)]
struct Strangers {
    /// Later than the base commit.
    future: BTreeSet<String>,
    /// The others.
    past: BTreeSet<String>,
}

impl<'a> Repository<'a> {
    /// The inner error says why it cannot be read.
    pub(super) async fn open(
        sandbox: &'a dyn Sandbox,
        base: &'a CommitId,
    ) -> Result<Result<Self, String>, SandboxError> {
        let folder = run(sandbox, &audit_git(&["rev-parse", "--absolute-git-dir"])).await?;
        let time = run(sandbox, &audit_git(&["rev-list", "--no-walk", "--timestamp", base.as_str()])).await?;
        Ok(match (folder, time) {
            (Ok(folder), Ok(time)) => {
                let folder = String::from_utf8_lossy(&folder).trim_end().to_owned();
                let base_time = times(&time).next().map_or(0, |(time, _)| time);
                Ok(Self { sandbox, base, folder, base_time })
            }
            (Err(said), _) | (_, Err(said)) => Err(said),
        })
    }

    /// Everything of it that is worth saying.
    pub(super) async fn findings(&self, gold: &GoldText) -> Result<Vec<Finding>, SandboxError> {
        let mut findings = self.ways_out().await?;
        let foreign = match Foreign::list(self.sandbox, self.base).await? {
            Ok(foreign) => foreign,
            Err(said) => {
                findings.push(finding(AUDIT_INCOMPLETE, format!("objects cannot be listed: {said}")));
                return Ok(findings);
            }
        };
        let strangers = self.strangers(foreign.commits).await?;
        let count = |what: &str, ids: &BTreeSet<String>| format!("{} commits {what}", ids.len());
        let later = count("that the base commit does not lead to, later than it", &strangers.future);
        let earlier = count("of other lines of work, not later than the base commit", &strangers.past);
        findings.extend(finding_of(FUTURE_COMMITS, &later, &strangers.future));
        findings.extend(finding_of(SIDE_COMMITS, &earlier, &strangers.past));
        if !strangers.future.is_empty() {
            let names = self.names_of(&strangers.future).await?;
            findings.extend(finding_of(FUTURE_REFS, "they are named by", names));
        }
        findings.extend(gold.in_objects(self.sandbox, &foreign.blobs).await?);
        Ok(findings)
    }

    /// Whether a repository elsewhere is one of the same project.
    pub(super) async fn clone_at(&self, folder: &str) -> Result<Option<Finding>, SandboxError> {
        let (at, commit) = (format!("--git-dir={folder}"), format!("{}^{{commit}}", self.base));
        let has_base = run(self.sandbox, &audit_git(&[&at, "cat-file", "-e", &commit])).await?.is_ok();
        Ok(has_base.then(|| finding(REPOSITORY_COPY, format!("the base commit is also in `{folder}`"))))
    }

    /// A text file at the base commit; empty where there is none.
    pub(super) async fn file(&self, path: &str) -> Result<String, SandboxError> {
        let shown = run(self.sandbox, &audit_git(&["show", &format!("{}:{path}", self.base)])).await?;
        Ok(String::from_utf8_lossy(&shown.unwrap_or_default()).into_owned())
    }

    /// Files at the base commit that have one of these texts.
    pub(super) async fn files_with(&self, texts: &[&str]) -> Result<Vec<String>, SandboxError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let grep = audit_git(&["grep", "-l", "-z", "-F", "-f", "-", self.base.as_str()]);
        // It fails where it finds nothing.
        let found = run(self.sandbox, &grep.with_stdin(texts.join("\n"))).await?.unwrap_or_default();
        let named =
            |name: &[u8]| String::from_utf8_lossy(name).split_once(':').map(|(_, path)| path.to_owned());
        Ok(found.split(|byte| *byte == 0).filter_map(named).collect())
    }

    /// Paths of all files at the base commit.
    pub(super) async fn files(&self) -> Result<Vec<String>, SandboxError> {
        let list = audit_git(&["ls-tree", "-r", "-z", "--name-only", self.base.as_str()]);
        let listed = run(self.sandbox, &list).await?.unwrap_or_default();
        let paths = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    /// Other places that objects come from.
    async fn ways_out(&self) -> Result<Vec<Finding>, SandboxError> {
        let mut findings = Vec::new();
        let alternates = format!("{}/objects/info/alternates", self.folder);
        match self.sandbox.read_file(&alternates, FILE_BYTES).await {
            Ok(content) => {
                let text = String::from_utf8_lossy(&content);
                findings.extend(finding_of(GIT_ALTERNATES, "objects are also looked for in", text.lines()));
            }
            Err(SandboxError::File { .. }) => {}
            Err(error) => return Err(error),
        }
        let remotes = audit_git(&["config", "--local", "--get-regexp", r"^remote\..*\.url$"]);
        let remotes = run(self.sandbox, &remotes).await?.unwrap_or_default();
        let remotes = String::from_utf8_lossy(&remotes);
        findings.extend(finding_of(GIT_REMOTES, "remotes are set up", remotes.lines()));
        Ok(findings)
    }

    /// Leaves out the commit that the image was made with: the one of `HEAD`, right on top of the base commit. What it
    /// has in it is searched like everything else.
    async fn strangers(&self, mut commits: Vec<String>) -> Result<Strangers, SandboxError> {
        let head = run(self.sandbox, &audit_git(&["rev-list", "--parents", "-n", "1", "HEAD"])).await?;
        let head = String::from_utf8_lossy(&head.unwrap_or_default()).into_owned();
        if let [head, parent] = head.split_whitespace().collect::<Vec<_>>()[..]
            && parent == self.base.as_str()
        {
            commits.retain(|commit| commit != head);
        }
        if commits.is_empty() {
            return Ok(Strangers::default());
        }
        let ids = commits.iter().map(|id| format!("{id}\n")).collect::<String>();
        let dated = audit_git(&["rev-list", "--no-walk=unsorted", "--timestamp", "--stdin"]).with_stdin(ids);
        let dated = run(self.sandbox, &dated).await?.unwrap_or_default();
        let later = times(&dated).filter(|(time, _)| *time > self.base_time).map(|(_, id)| id);
        let later: BTreeSet<String> = later.collect();
        let (future, past) = commits.into_iter().partition(|commit| later.contains(commit));
        Ok(Strangers { future, past })
    }

    /// Refs, reflogs and leftovers of commands that name one of these commits.
    async fn names_of(&self, commits: &BTreeSet<String>) -> Result<BTreeSet<String>, SandboxError> {
        let refs = audit_git(&["for-each-ref", "--format=%(objectname) %(*objectname) %(refname)"]);
        let refs = run(self.sandbox, &refs).await?.unwrap_or_default();
        let refs = String::from_utf8_lossy(&refs);
        let names = refs.lines().filter_map(|line| {
            let (ids, name) = line.rsplit_once(' ')?;
            ids.split(' ').any(|id| commits.contains(id)).then(|| name.to_owned())
        });
        let mut names: BTreeSet<String> = names.collect();
        let files = run(self.sandbox, &command(&["sh", "-c", NAMED, "sh", &self.folder])).await?;
        let files = String::from_utf8_lossy(&files.unwrap_or_default()).into_owned();
        let seen: HashSet<(&str, &str)> = files.lines().filter_map(|line| line.split_once('\0')).collect();
        names.extend(
            seen.into_iter().filter(|(_, id)| commits.contains(*id)).map(|(name, _)| name.to_owned()),
        );
        Ok(names)
    }
}

/// Reads `rev-list --timestamp`.
fn times(text: &[u8]) -> impl Iterator<Item = (i64, String)> {
    let text = String::from_utf8_lossy(text).into_owned();
    let pair = |line: &str| {
        let (time, id) = line.split_once(' ')?;
        Some((time.parse().ok()?, id.to_owned()))
    };
    text.lines().filter_map(pair).collect::<Vec<_>>().into_iter()
}
