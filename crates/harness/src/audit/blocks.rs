//! Changes of the gold patch too short to be told by their lines: told by their surroundings as well. A block is a run of
//! lines that the patch adds with the lines before and after it, as the file reads when the patch is applied.

use swegym_core::diff::{LineKind, PatchedFile};

/// Lines of context that count on each side.
const CONTEXT: usize = 3;
/// Lines and bytes that make a block telling.
const FEWEST_LINES: usize = 3;
const MOST_LINES: usize = 40;
const FEWEST_BYTES: usize = 40;

/// Lines that follow each other, without blanks around them and without empty lines between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    lines: Vec<String>,
    /// Which of them is the longest.
    longest: usize,
}

/// The telling blocks of a patch.
pub(super) fn blocks(files: &[PatchedFile<'_>]) -> Vec<Block> {
    let mut blocks = Vec::new();
    for hunk in files.iter().flat_map(|file| &file.hunks) {
        let after: Option<Vec<(bool, &str)>> = hunk
            .lines()
            .filter(|line| matches!(line.kind, LineKind::Added | LineKind::Context))
            .map(|line| Some((line.kind == LineKind::Added, str::from_utf8(line.value).ok()?.trim())))
            .collect();
        let after: Vec<_> =
            after.unwrap_or_default().into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let mut begin = 0;
        for run in after.chunk_by(|one, other| one.0 == other.0) {
            let end = begin + run.len();
            if run[0].0 {
                let around = &after[begin.saturating_sub(CONTEXT)..(end + CONTEXT).min(after.len())];
                blocks.extend(Block::of(around.iter().map(|(_, text)| (*text).to_owned()).collect()));
            }
            begin = end;
        }
    }
    blocks
}

impl Block {
    fn of(lines: Vec<String>) -> Option<Self> {
        let bytes: usize = lines.iter().map(String::len).sum();
        let longest = (0..lines.len()).max_by_key(|index| lines[*index].len())?;
        let has_nul = lines.iter().any(|line| line.contains('\0'));
        ((FEWEST_LINES..=MOST_LINES).contains(&lines.len()) && bytes >= FEWEST_BYTES && !has_nul)
            .then_some(Self { lines, longest })
    }

    /// Its longest line, which a file with the block has.
    pub(super) fn anchor(&self) -> &str {
        &self.lines[self.longest]
    }

    /// All of it, in one line.
    pub(super) fn text(&self) -> String {
        self.lines.join(" | ")
    }

    /// Whether a text has the block.
    pub(super) fn is_in(&self, lines: &[&str]) -> bool {
        let anchors = lines.iter().enumerate().filter(|(_, line)| **line == self.anchor()).map(|(at, _)| at);
        let mut starts = anchors.filter_map(|at| at.checked_sub(self.longest));
        starts.any(|start| {
            let there = lines.get(start..start + self.lines.len());
            there.is_some_and(|there| there.iter().zip(&self.lines).all(|(line, own)| line == own))
        })
    }
}

/// Lines of a text as blocks have them.
pub(super) fn lines_of(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use swegym_core::diff::parse;

    use super::*;

    const PATCH: &str = "--- a/x.py\n+++ b/x.py\n@@ -1,5 +1,5 @@\n def mean(values):\n     total = sum(values)\n\n\
        -    if total:\n+    if values:\n         return total / len(values)\n";

    #[test]
    fn a_short_fix_is_told_by_what_stands_around_it() {
        let blocks = blocks(&parse(PATCH.as_bytes()).unwrap());
        let [block] = &blocks[..] else { panic!("{blocks:?}") };
        assert_eq!(block.anchor(), "return total / len(values)");
        let has = |text: &str| block.is_in(&lines_of(text));
        let fixed = "x = 1\ndef mean(values):\n\ttotal = sum(values)\r\n\tif values:\n\t\treturn total / len(values)\n\n";
        assert!(has(fixed));
        assert!(!has(&fixed.replace("if values", "if total")));
        assert!(!has(&fixed.replace("\tif", "\tpass\n\tif")));
        assert!(!has("return total / len(values)"));
        assert!(!has(""));
    }

    #[test]
    fn what_has_no_surroundings_tells_nothing() {
        for patch in [
            "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n",
            "--- a/x\n+++ b/x\n@@ -1,3 +1,2 @@\n a\n-b\n c\n",
            "no patch",
        ] {
            assert_eq!(blocks(&parse(patch.as_bytes()).unwrap()), []);
        }
    }
}
