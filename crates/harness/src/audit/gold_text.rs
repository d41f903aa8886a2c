//! Lines of the gold patch that are found nowhere in the base commit, and where else they stand.

use std::collections::{BTreeMap, BTreeSet};

use swegym_core::diff::{Hunk, LineKind, parse};
use swegym_core::{Finding, Patch};
use swegym_sandbox::{Sandbox, SandboxError};

use super::blocks::{Block, blocks, lines_of};
use super::objects::audit_git;
use super::repository::Repository;
use super::search::{LINES, run, searched};
use crate::findings::{AUDIT_INCOMPLETE, GOLD_IN_OBJECTS, GOLD_TEXT, finding, finding_of};

/// Bytes of a line that may be told from others.
const SHORTEST: usize = 16;
/// Bytes of a line that nobody writes by chance; of shorter ones there must be two.
const TELLING: usize = 40;
/// Lines that are searched for: the longest.
const MOST_LINES: usize = 40;
/// Files of the base commit that are read to see whether they have the surroundings of a fix.
const MOST_FILES: usize = 2000;
/// Objects that are searched.
const MOST_OBJECTS: usize = 100_000;

/// Lines that the gold patch adds, without blanks around them.
#[derive(Debug, Default)]
pub(super) struct GoldText {
    pub(super) lines: Vec<String>,
    /// Where the lines alone do not tell a fix: its surroundings, which no file of the base commit has.
    pub(super) blocks: Vec<Block>,
}

impl GoldText {
    /// The lines of a patch that can be told from others. What is no text, or no patch, has none.
    pub(super) fn of(patch: &Patch) -> Self {
        let files = parse(patch.as_bytes()).unwrap_or_default();
        let lines = files.iter().flat_map(|file| &file.hunks).flat_map(Hunk::lines);
        let (mut added, mut others) = (BTreeSet::new(), BTreeSet::new());
        for line in lines {
            let Ok(text) = str::from_utf8(line.value) else { continue };
            let set = if line.kind == LineKind::Added { &mut added } else { &mut others };
            set.insert(text.trim());
        }
        let is_distinct = |line: &&str| {
            line.len() >= SHORTEST && line.chars().any(char::is_alphabetic) && !line.contains('\0')
        };
        let mut lines: Vec<String> =
            added.difference(&others).copied().filter(is_distinct).map(str::to_owned).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
        lines.truncate(MOST_LINES);
        Self { lines, blocks: blocks(&files) }
    }

    /// Leaves out what the base commit has anyway.
    pub(super) async fn without_those_in(self, repository: &Repository<'_>) -> Result<Self, SandboxError> {
        let known = self.known_lines(repository).await?;
        let known: BTreeSet<&str> = known.lines().collect();
        let lines: Vec<String> =
            self.lines.into_iter().filter(|line| !known.contains(line.as_str())).collect();
        if is_telling(&lines.iter().map(String::as_str).collect()) {
            return Ok(Self { lines, blocks: Vec::new() });
        }
        let mut gold = Self { lines, blocks: self.blocks };
        let files = repository.files_with(&gold.anchors()).await?;
        for file in files.iter().take(MOST_FILES) {
            let text = repository.file(file).await?;
            let lines = lines_of(&text);
            gold.blocks.retain(|block| !block.is_in(&lines));
        }
        Ok(gold)
    }

    async fn known_lines(&self, repository: &Repository<'_>) -> Result<String, SandboxError> {
        if self.lines.is_empty() {
            return Ok(String::new());
        }
        let grep =
            audit_git(&["grep", "-a", "-h", "-o", "-F", "--no-color", "-f", "-", repository.base.as_str()]);
        let known = run(repository.sandbox, &grep.with_stdin(self.lines.join("\n"))).await?;
        // It fails where it finds nothing.
        Ok(String::from_utf8_lossy(&known.unwrap_or_default()).into_owned())
    }

    /// Lines of which every file with one of the blocks has one.
    pub(super) fn anchors(&self) -> Vec<&str> {
        self.blocks.iter().map(Block::anchor).collect()
    }

    /// Files with lines of the patch. Those of the base commit have none, so that they may lie anywhere.
    pub(super) fn findings(&self, matches: &[(String, String)]) -> Option<Finding> {
        let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (file, line) in matches {
            files.entry(file).or_default().insert(line);
        }
        let files = files.into_iter().filter(|(_, lines)| is_telling(lines)).map(|(file, _)| file);
        finding_of(GOLD_TEXT, "lines of the gold patch are in", files)
    }

    /// Whether objects of a repository, by their ids, have lines of the patch.
    pub(super) async fn in_objects(
        &self,
        sandbox: &dyn Sandbox,
        blobs: &[String],
    ) -> Result<Vec<Finding>, SandboxError> {
        if self.lines.is_empty() || blobs.is_empty() {
            return Ok(Vec::new());
        }
        sandbox.write_file(LINES, self.lines.join("\n").as_bytes()).await?;
        let ids = blobs.iter().take(MOST_OBJECTS).map(|id| format!("{id}\n")).collect::<String>();
        let request = searched(&audit_git(&["cat-file", "--batch", "--buffer"])).with_stdin(ids);
        let mut findings = Vec::new();
        match run(sandbox, &request).await? {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                let lines: BTreeSet<&str> = text.lines().collect();
                if is_telling(&lines) {
                    let what = "lines of the gold patch are in objects that the base commit does not lead to";
                    findings.extend(finding_of(GOLD_IN_OBJECTS, what, lines));
                }
            }
            Err(said) => {
                findings.push(finding(AUDIT_INCOMPLETE, format!("objects cannot be searched: {said}")));
            }
        }
        if blobs.len() > MOST_OBJECTS {
            let rest = blobs.len() - MOST_OBJECTS;
            findings.push(finding(AUDIT_INCOMPLETE, format!("{rest} objects were not searched")));
        }
        Ok(findings)
    }
}

/// Whether these lines together are no accident.
fn is_telling(lines: &BTreeSet<&str>) -> bool {
    lines.len() >= 2 || lines.iter().any(|line| line.len() >= TELLING)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,5 @@\n def f(values):\n-    return compute_the_mean(values)\n\
        +    if not values:\n+        return compute_the_mean_of_nothing()\n+    return compute_the_mean(values)\n+}\n";

    #[test]
    fn lines_that_are_new_and_long_enough_can_be_told() {
        assert_eq!(GoldText::of(&Patch::from(PATCH)).lines, ["return compute_the_mean_of_nothing()"]);
        assert_eq!(GoldText::of(&Patch::from("no patch")).lines, [""; 0]);
    }

    #[test]
    fn one_short_line_may_be_an_accident_and_two_are_none() {
        let gold = GoldText::default();
        let hit = |file: &str, line: &str| (file.to_owned(), line.to_owned());
        let (short, long) = ("x".repeat(SHORTEST), "y".repeat(TELLING));
        assert_eq!(gold.findings(&[hit("/a", &short), hit("/b", &short), hit("/b", &short)]), None);
        let found = gold.findings(&[hit("/a", &short), hit("/a", "other short line"), hit("/b", &long)]);
        assert_eq!(found.unwrap().detail, "lines of the gold patch are in: `/a`, `/b`");
    }
}
