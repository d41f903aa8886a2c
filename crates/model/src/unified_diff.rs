//! Reads patches as git writes them. It is strict: whatever it does not understand to the last byte it refuses,
//! and then the patch is git's to apply.

use std::iter::Peekable;
use std::slice::SplitInclusive;

/// The part of a patch that is about one file. Header and hunks together are all bytes of that part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileDiff {
    header: Vec<u8>,
    pub(crate) change: Change,
    pub(crate) hunks: Vec<Hunk>,
}

/// What happens to the file. Paths are relative, and plain: UTF-8, unquoted, without `.`, `..` and `.git`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing but the content of a regular file changes.
    Edit(String),
    /// A regular file without the executable bit is made.
    Create(String),
    /// Anything else: removal, rename, copy, mode, symbolic link, binary content, unusual path.
    Other,
}

/// One hunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hunk {
    raw: Vec<u8>,
    /// First line in the old file, from 1 (0 where the old file is empty).
    pub(crate) start: u64,
    /// Number of lines of `old`.
    pub(crate) lines: u64,
    /// Context and removed lines.
    pub(crate) old: Vec<u8>,
    /// Context and added lines.
    pub(crate) new: Vec<u8>,
}

impl FileDiff {
    /// The patch of this file with its first `hunks` hunks only.
    pub(crate) fn part(&self, hunks: usize) -> Vec<u8> {
        let hunks = self.hunks.iter().take(hunks).flat_map(|hunk| &hunk.raw);
        self.header.iter().chain(hunks).copied().collect()
    }
}

type Lines<'a> = Peekable<SplitInclusive<'a, u8, fn(&u8) -> bool>>;

/// The files of a patch, or nothing where it is not entirely in git's form.
pub(crate) fn parse(patch: &[u8]) -> Option<Vec<FileDiff>> {
    let ends_line: fn(&u8) -> bool = |byte| *byte == b'\n';
    let mut lines = patch.split_inclusive(ends_line).peekable();
    let mut files = Vec::new();
    while lines.peek().is_some() {
        files.push(file(&mut lines)?);
    }
    Some(files)
}

fn begins_file(line: &[u8]) -> bool {
    line.starts_with(b"diff --git ")
}

fn begins_hunk(line: &[u8]) -> bool {
    line.starts_with(b"@@ -")
}

fn file(lines: &mut Lines<'_>) -> Option<FileDiff> {
    let mut header = lines.next_if(|line| begins_file(line))?.to_vec();
    while let Some(line) = lines.next_if(|line| !begins_file(line) && !begins_hunk(line)) {
        header.extend_from_slice(line);
    }
    let mut hunks = Vec::new();
    while let Some(line) = lines.next_if(|line| begins_hunk(line)) {
        hunks.push(hunk(line, lines)?);
    }
    Some(FileDiff { change: change(&header), header, hunks })
}

fn change(header: &[u8]) -> Change {
    let (mut created, mut from, mut to) = (false, None, None);
    for line in header.split(|byte| *byte == b'\n').skip(1) {
        if let Some(path) = line.strip_prefix(b"--- ") {
            from = Some(path);
        } else if let Some(path) = line.strip_prefix(b"+++ ") {
            to = Some(path);
        } else if line == b"new file mode 100644" {
            created = true;
        } else if !(line.is_empty() || is_index_of_regular_file(line)) {
            return Change::Other;
        }
    }
    let path = |side: Option<&[u8]>, prefix| side.and_then(|side| plain_path(side, prefix));
    match (created, path(from, "a/"), path(to, "b/")) {
        (false, Some(from), Some(to)) if from == to => Change::Edit(to),
        (true, None, Some(to)) if from == Some(b"/dev/null") => Change::Create(to),
        _ => Change::Other,
    }
}

/// `index 0123..4567 100644`; the mode is absent where the header has it elsewhere.
fn is_index_of_regular_file(line: &[u8]) -> bool {
    let mode = line.strip_prefix(b"index ").map(|ids| ids.split(|byte| *byte == b' ').nth(1));
    matches!(mode, Some(None | Some(b"100644" | b"100755")))
}

fn plain_path(side: &[u8], prefix: &str) -> Option<String> {
    // After a path with spaces git writes a tab, others write a tab and the date.
    let path = side.split(|byte| *byte == b'\t').next()?;
    let path = std::str::from_utf8(path).ok()?.strip_prefix(prefix)?;
    let plain = |part: &str| !matches!(part, "" | "." | ".." | ".git") && !part.contains(char::is_control);
    path.split('/').all(plain).then(|| path.to_owned())
}

fn hunk(head: &[u8], lines: &mut Lines<'_>) -> Option<Hunk> {
    let ((start, old_lines), (_, new_lines)) = ranges(head)?;
    let mut old = Side::of(old_lines);
    let mut new = Side::of(new_lines);
    let mut raw = head.to_vec();
    let (mut in_old, mut in_new) = (false, false);
    while let Some(line) = lines.next_if(|line| old.left + new.left > 0 || line.starts_with(b"\\")) {
        raw.extend_from_slice(line);
        if line.starts_with(b"\\") {
            // `\ No newline at end of file` is about the line before it.
            old.end_if(in_old);
            new.end_if(in_new);
            continue;
        }
        (in_old, in_new) = match line.first()? {
            b' ' | b'\n' => (true, true),
            b'-' => (true, false),
            b'+' => (false, true),
            _ => return None,
        };
        // Some programs strip the blank of an empty context line, and git reads that.
        let content = if line == b"\n" { line } else { &line[1..] };
        if in_old {
            old.push(content)?;
        }
        if in_new {
            new.push(content)?;
        }
    }
    let complete = old.left == 0 && new.left == 0;
    complete.then_some(Hunk { raw, start, lines: old_lines, old: old.text, new: new.text })
}

/// `@@ -start,lines +start,lines @@ heading`; one line where the number is left out.
fn ranges(head: &[u8]) -> Option<((u64, u64), (u64, u64))> {
    let head = head.strip_prefix(b"@@ -")?;
    let end = head.windows(3).position(|window| window == b" @@")?;
    let (old, new) = std::str::from_utf8(&head[..end]).ok()?.split_once(" +")?;
    let range = |text: &str| {
        let (start, lines) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, u64::from(lines.parse::<u32>().ok()?)))
    };
    Some((range(old)?, range(new)?))
}

/// One side of a hunk while it is read.
struct Side {
    text: Vec<u8>,
    left: u64,
    ended: bool,
}

impl Side {
    fn of(lines: u64) -> Self {
        Self { text: Vec::new(), left: lines, ended: false }
    }

    /// Nothing where the hunk's head promised fewer lines, or the file already ended, or the line is cut off.
    fn push(&mut self, line: &[u8]) -> Option<()> {
        if self.ended || !line.ends_with(b"\n") {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        self.text.extend_from_slice(line);
        Some(())
    }

    fn end_if(&mut self, was_last: bool) {
        if was_last && !self.ended {
            self.ended = true;
            self.text.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATCH: &str = "diff --git a/a b.py b/a b.py
index 0123456..89abcde 100644
--- a/a b.py\t
+++ b/a b.py\t
@@ -3,3 +3,4 @@ def f():
 x

-y
\\ No newline at end of file
+--- y
+z
diff --git a/n.py b/n.py
new file mode 100644
index 0000000..89abcde
--- /dev/null
+++ b/n.py
@@ -0,0 +1 @@
+n
diff --git a/logo.png b/logo.png
index 0123456..89abcde 100644
GIT binary patch
literal 1
IcmZPo000310RR91
";

    #[test]
    fn hunks_are_read_to_the_byte() {
        let files = parse(PATCH.as_bytes()).unwrap();
        let changes: Vec<_> = files.iter().map(|file| &file.change).collect();
        let (edit, create) = (Change::Edit("a b.py".into()), Change::Create("n.py".into()));
        assert_eq!(changes, [&edit, &create, &Change::Other]);
        let hunk = &files[0].hunks[0];
        assert_eq!((hunk.start, hunk.lines), (3, 3));
        assert_eq!((&hunk.old[..], &hunk.new[..]), (&b"x\n\ny"[..], &b"x\n\n--- y\nz\n"[..]));
    }

    #[test]
    fn what_an_editor_cannot_do_is_not_called_an_edit() {
        let edit = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
        assert_eq!(parse(edit.as_bytes()).unwrap()[0].change, Change::Edit("x".into()));
        for (part, other) in [
            ("index 1..2 100644", "index 1..2 120000"),
            ("index", "old mode 100644\nnew mode 100755\nindex"),
            ("index", "deleted file mode 100644\nindex"),
            ("--- a/x", "--- a/y"),
            ("+++ b/x", "+++ /dev/null"),
            ("/x\n", "/../x\n"),
            ("/x\n", "/.git/x\n"),
            ("/x\n", "//x\n"),
        ] {
            let patch = edit.replace(part, other);
            assert_eq!(parse(patch.as_bytes()).unwrap()[0].change, Change::Other, "{patch}");
        }
    }

    #[test]
    fn what_is_not_in_gits_form_is_refused() {
        let head = "diff --git a/x b/x\n--- a/x\n+++ b/x\n";
        for bad in [
            "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".to_owned(),
            format!("A message\n{head}@@ -1 +1 @@\n-a\n+b\n"),
            format!("{head}@@ -1 +1 @@\n-a\n"),
            format!("{head}@@ -1 +1 @@\n-a\n+b"),
            format!("{head}@@ -1 +1 @@\n-a\n+b\n+c\n"),
            format!("{head}@@ -1,99999999999999999999 +1 @@\n-a\n"),
            format!("{head}@@ -1,2 +1 @@\n-a\n\\ No newline at end of file\n-b\n+b\n"),
            format!("{head}@@ -x +1 @@\n-a\n+b\n"),
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_the_patch(position in 0..PATCH.len(), removed in 0..3_usize, put in "[-+ @\\\\\na0-9]{0,3}") {
            let mut patch = PATCH.as_bytes().to_vec();
            let end = (position + removed).min(patch.len());
            patch.splice(position..end, put.bytes());
            if let Some(files) = parse(&patch) {
                let parts: Vec<u8> = files.iter().flat_map(|file| file.part(usize::MAX)).collect();
                prop_assert_eq!(parts, patch);
            }
        }

        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>) {
            parse(&bytes);
            parse(&[b"diff --git a/x b/x\n@@ -1,3 +1,3 @@\n", &bytes[..]].concat());
        }
    }
}
