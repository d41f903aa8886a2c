//! Which files a patch names, old names and new ones.
//!
//! Lines of hunks are counted, so that a removed line such as `-- a/x` is not taken for a header.

use std::collections::BTreeSet;

/// Paths relative to the top of the repository, as bytes: they need not be UTF-8.
pub(crate) type Paths = BTreeSet<Vec<u8>>;

/// Bytes of the longest path that the kernel takes.
const LONGEST: usize = 4096;

/// The paths that a patch in the form of `git diff` touches. Such as lead out of the tree or into `.git` are left
/// out: no tool applies them.
pub(crate) fn touched_paths(patch: &[u8]) -> Paths {
    let mut paths = Paths::new();
    let mut hunk = Hunk::default();
    for line in patch.split(|byte| *byte == b'\n') {
        if hunk.takes(line) {
            continue;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(header) = line.strip_prefix(b"@@ ") {
            hunk = Hunk::parse(header);
        } else {
            paths.extend(header_path(line).filter(|path| stays_inside(path)));
        }
    }
    paths
}

/// Whether a patch names anything in a `.git` folder. git refuses such patches; GNU patch writes there.
pub(crate) fn names_git_folder(patch: &[u8]) -> bool {
    const HEADERS: [&[u8]; 6] = [b"--- ", b"+++ ", b"*** ", b"Index: ", b"diff ", b"rename "];
    let is_git = |part: &[u8]| part.eq_ignore_ascii_case(b".git");
    patch
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .filter(|line| HEADERS.iter().any(|header| line.starts_with(header)))
        .any(|line| line.split(|byte| b"/\" \t".contains(byte)).any(is_git))
}

/// Lines of a hunk that are still to come.
#[derive(Default)]
struct Hunk {
    old: u64,
    new: u64,
}

impl Hunk {
    /// Reads `-1,2 +3,4 @@ heading`; a length of 1 may be left out.
    fn parse(header: &[u8]) -> Self {
        let header = String::from_utf8_lossy(header);
        let mut ranges = header.split(' ');
        let mut length = |sign: char| {
            let range = ranges.next().and_then(|range| range.strip_prefix(sign)).unwrap_or_default();
            range.split_once(',').map_or(1, |(_, length)| length.parse().unwrap_or(0))
        };
        Self { old: length('-'), new: length('+') }
    }

    /// Whether the line belongs to the hunk.
    fn takes(&mut self, line: &[u8]) -> bool {
        if self.old == 0 && self.new == 0 {
            return false;
        }
        match line.first() {
            Some(b'-') => self.old = self.old.saturating_sub(1),
            Some(b'+') => self.new = self.new.saturating_sub(1),
            Some(b' ' | b'\r') | None => {
                self.old = self.old.saturating_sub(1);
                self.new = self.new.saturating_sub(1);
            }
            Some(b'\\') => {}
            Some(_) => {
                *self = Self::default();
                return false;
            }
        }
        true
    }
}

fn header_path(line: &[u8]) -> Option<Vec<u8>> {
    const WHOLE: [&[u8]; 4] = [b"rename from ", b"rename to ", b"copy from ", b"copy to "];
    if let Some(names) = line.strip_prefix(b"diff --git ") {
        return same_path_twice(names);
    }
    if let Some(path) = WHOLE.iter().find_map(|prefix| line.strip_prefix(*prefix)) {
        return Some(unquote(path));
    }
    let name = line.strip_prefix(b"--- ").or_else(|| line.strip_prefix(b"+++ "))?;
    let name = if name.starts_with(b"\"") { name } else { name.split(|byte| *byte == b'\t').next()? };
    match unquote(name) {
        name if name == b"/dev/null" => None,
        name => without_prefix(&name),
    }
}

/// `a/X b/X`: the one header of a file whose mode alone changes, or that is binary or empty. Where the names differ,
/// the lines of the renaming follow.
fn same_path_twice(names: &[u8]) -> Option<Vec<u8>> {
    let (old, new) = names.split_at_checked(names.len() / 2)?;
    let old = without_prefix(&unquote(old))?;
    let new = without_prefix(&unquote(new.strip_prefix(b" ")?))?;
    (old == new).then_some(new)
}

fn without_prefix(name: &[u8]) -> Option<Vec<u8>> {
    let slash = name.iter().position(|byte| *byte == b'/')?;
    Some(name[slash + 1..].to_vec())
}

fn stays_inside(path: &[u8]) -> bool {
    if path.len() > LONGEST {
        return false;
    }
    let bad = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.eq_ignore_ascii_case(b".git");
    !path.contains(&0) && !path.split(|byte| *byte == b'/').any(bad)
}

/// Undoes the quoting of git for names with special characters: `"a/\303\244.py"`.
fn unquote(name: &[u8]) -> Vec<u8> {
    let Some(inner) = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")) else {
        return name.to_vec();
    };
    let mut bytes = inner.iter().copied().peekable();
    let mut path = Vec::with_capacity(inner.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            path.push(byte);
            continue;
        }
        path.push(match bytes.next() {
            Some(digit @ b'0'..=b'7') => {
                let mut value = digit - b'0';
                for _ in 0..2 {
                    if let Some(digit) = bytes.next_if(|byte| (b'0'..=b'7').contains(byte)) {
                        value = value.wrapping_mul(8).wrapping_add(digit - b'0');
                    }
                }
                value
            }
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'v') => 11,
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            Some(other) => other,
            None => break,
        });
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(patch: &str) -> Vec<String> {
        touched_paths(patch.as_bytes()).into_iter().map(|path| String::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn every_kind_of_change_is_seen() {
        let patch = "\
diff --git a/mod.py b/mod.py\n--- a/mod.py\t2024\n+++ b/mod.py\t2024\n@@ -1 +1 @@\n-a\n+b\n\
diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+b\n\
diff --git a/gone.py b/gone.py\ndeleted file mode 100644\n--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n\
diff --git a/old name.py b/d/new name.py\nsimilarity index 100%\nrename from old name.py\nrename to d/new name.py\n\
diff --git a/mode a b.sh b/mode a b.sh\nold mode 100644\nnew mode 100755\n\
diff --git \"a/\\303\\244\\t.py\" \"b/\\303\\244\\t.py\"\nold mode 100644\nnew mode 100755\n";
        let expected =
            ["d/new name.py", "gone.py", "mod.py", "mode a b.sh", "new.py", "old name.py", "ä\t.py"];
        assert_eq!(paths(patch), expected);
    }

    #[test]
    fn lines_of_hunks_are_no_headers() {
        let patch = "--- a/t.py\n+++ b/t.py\n@@ -1,3 +1,3 @@\n--- a/src.py\n+++ b/src.py\n x\n\n\\ No newline\n\
                     --- a/u.py\n+++ b/u.py\n@@ -1 +1 @@\n-x\n+y\n";
        assert_eq!(paths(patch), ["t.py", "u.py"]);
    }

    #[test]
    fn paths_that_lead_elsewhere_are_left_out() {
        let patch = "--- a/../x\n+++ b//etc/passwd\n--- a/.git/config\n+++ b/d/.GIT/x\n--- x\n--- a/\n";
        assert_eq!(paths(patch), Vec::<String>::new());
        assert_eq!(paths(&format!("rename from {}\n", "a/".repeat(9000))), Vec::<String>::new());
        assert_eq!(paths(&format!("rename from a{}\n", "/a".repeat(9000))), Vec::<String>::new());
    }

    #[test]
    fn the_git_folder_is_found_in_every_kind_of_header() {
        for header in ["+++ b/.git/config", "Index: .GIT/config", "*** .git/x\t2024", "--- \"a/.git/x\""] {
            assert!(names_git_folder(format!("x\n{header}\r\n").as_bytes()), "{header}");
        }
        assert!(!names_git_folder(b"--- a/.gitignore\n+++ b/.github/x.git\n+ .git/x\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_patch(
            patch in "(diff --git |--- |\\+\\+\\+ |@@ -1,9999999999999999999999 |[ab\"\\\\07/\n +-]){0,60}"
        ) {
            touched_paths(patch.as_bytes());
            names_git_folder(patch.as_bytes());
        }
    }
}
