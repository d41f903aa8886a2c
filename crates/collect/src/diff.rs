//! A unified diff between two versions of a file that differ in one place.

use swegym_core::Patch;

const CONTEXT: usize = 3;

/// The patch that turns `old` into `new`, with git's headers; empty when they are the same. One hunk holds
/// everything from the first to the last difference.
pub(crate) fn unified_diff(path: &str, old: &[u8], new: &[u8]) -> Patch {
    if old == new {
        return Patch::default();
    }
    let (old, new) = (lines(old), lines(new));
    let same_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same_start;
    let same_end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let start = same_start.saturating_sub(CONTEXT);
    let (old_end, new_end) = (old.len() - same_end, new.len() - same_end);
    let after = same_end.min(CONTEXT);

    let ranges = [old_end, new_end].map(|end| range(start, end + after - start));
    let header = format!(
        "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -{} +{} @@\n",
        ranges[0], ranges[1]
    );
    let mut diff = header.into_bytes();
    push(&mut diff, b' ', &old[start..same_start]);
    push(&mut diff, b'-', &old[same_start..old_end]);
    push(&mut diff, b'+', &new[same_start..new_end]);
    push(&mut diff, b' ', &old[old_end..old_end + after]);
    Patch::new(diff)
}

/// Lines with their ends.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Of `count` lines after the first `start`. An empty range is named by the line before it.
fn range(start: usize, count: usize) -> String {
    let first = if count == 0 { start } else { start + 1 };
    if count == 1 { first.to_string() } else { format!("{first},{count}") }
}

fn push(diff: &mut Vec<u8>, mark: u8, lines: &[&[u8]]) {
    for line in lines {
        diff.push(mark);
        diff.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            diff.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_looks_like_gits() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9";
        let patch = unified_diff("a.py", old.as_bytes(), old.replace('5', "five").as_bytes());
        assert_eq!(
            patch.to_text_lossy(),
            "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        );
        let patch = unified_diff("a.py", b"1\n2", b"1\n2\n");
        assert!(patch.to_text_lossy().ends_with(" 1\n-2\n\\ No newline at end of file\n+2\n"), "{patch:?}");
        assert!(unified_diff("a.py", b"1\n", b"1\n").is_empty());
    }

    /// What `git apply` makes of `old`.
    fn applied(folder: &std::path::Path, old: &[u8], patch: &Patch) -> Vec<u8> {
        let file = folder.join("a.py");
        std::fs::write(&file, old).unwrap();
        let mut git = Command::new("git")
            .args(["apply", "-"])
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CEILING_DIRECTORIES", folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        git.stdin.take().unwrap().write_all(patch.as_bytes()).unwrap();
        assert!(git.wait().unwrap().success(), "{}", patch.to_text_lossy());
        std::fs::read(file).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn git_applies_it(
            start in "([ab]\r?\n){0,6}", old in "([ac]\n){0,2}", new in "([ad]\n){0,2}", end in "([ab]\n){0,5}(b)?",
        ) {
            let (old, new) = (format!("{start}{old}{end}"), format!("{start}{new}{end}"));
            // An emptied file would be a deletion, which no planted bug is.
            prop_assume!(old != new && !old.is_empty() && !new.is_empty());
            let folder = tempfile::tempdir().unwrap();
            let patch = unified_diff("a.py", old.as_bytes(), new.as_bytes());
            prop_assert_eq!(applied(folder.path(), old.as_bytes(), &patch), new.into_bytes());
        }
    }
}
