//! What the verifier of the MoatlessTools workflow is shown of a patch. Its reader takes lines for headers by how they
//! begin, inside of hunks too.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::DiffError;
use super::header::line_number;
use super::python::pattern;

// Python takes for part of a word what is a letter or a number; marks are none.
static OLD_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"^--- a/([\p{L}\p{N}_/.-]+)"));
static NEW_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\+\+\+ b/([\p{L}\p{N}_/.-]+)"));
static HUNK: LazyLock<Regex> = LazyLock::new(|| pattern(r"^@@ -([0-9]+),([0-9]+) \+([0-9]+),([0-9]+) @@"));

/// Lines that never are code, not even inside of hunks.
const NO_CODE: [&str; 6] = ["--- a/", "+++ b/", "index", "new file", "deleted file", "diff"];

/// Where a hunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HunkPlace {
    /// Old path, up to its first unusual character; nothing where the file is new.
    pub old_path: Option<String>,
    /// New path, up to its first unusual character.
    pub new_path: Option<String>,
    /// First line in the old file.
    pub old_start: u64,
    /// Number of lines in the old file.
    pub old_lines: u64,
    /// First line in the new file.
    pub new_start: u64,
    /// Number of lines in the new file.
    pub new_lines: u64,
}

/// Where the hunks of a patch are. Those whose header leaves out a length are not seen.
///
/// # Errors
/// [`DiffError::UnusualName`] and [`DiffError::NumberTooLarge`].
pub fn hunk_places(patch: &str) -> Result<Vec<HunkPlace>, DiffError> {
    let (mut old_path, mut new_path) = (None, None);
    let mut places = Vec::new();
    for line in patch.split('\n') {
        if line.starts_with("--- a/") {
            old_path = Some(path(&OLD_NAME, line)?);
        } else if line.starts_with("+++ b/") {
            new_path = Some(path(&NEW_NAME, line)?);
        } else if let Some(ranges) = HUNK.captures(line.as_bytes()) {
            let number = |index: usize| line_number(&ranges[index]);
            let (old_start, old_lines) = (number(1)?, number(2)?);
            if (old_start, old_lines) == (0, 0) {
                old_path = None;
            }
            let (old_path, new_path) = (old_path.clone(), new_path.clone());
            let (new_start, new_lines) = (number(3)?, number(4)?);
            places.push(HunkPlace { old_path, new_path, old_start, old_lines, new_start, new_lines });
        }
    }
    Ok(places)
}

fn path(name: &Regex, line: &str) -> Result<String, DiffError> {
    let found = name.captures(line.as_bytes());
    let found = found.ok_or_else(|| DiffError::UnusualName { line: line.to_owned() })?;
    Ok(String::from_utf8_lossy(&found[1]).into_owned())
}

/// The code of all hunks before and after a patch, under the names of their files. Where two files follow each other,
/// upstream gives the last hunk of the first one the name of the file before it; the hunks before the second file
/// may so have no name at all.
///
/// # Errors
/// [`DiffError::NoHeading`].
pub fn code_before_after(patch: &str) -> Result<(String, String), DiffError> {
    let mut hunks: Vec<CodeHunk<'_>> = Vec::new();
    let (mut last_file, mut file) = (None, None);
    let mut open: Option<CodeHunk<'_>> = None;
    for mut line in patch.split('\n') {
        if let Some(name) = line.strip_prefix("--- a/") {
            (last_file, file) = (file, Some(name));
            continue;
        }
        if NO_CODE.iter().any(|start| line.starts_with(start)) {
            continue;
        }
        if line.starts_with("@@") {
            hunks.extend(open.replace(CodeHunk::default()).map(|hunk| CodeHunk { file: last_file, ..hunk }));
            line = line.split("@@").nth(2).ok_or_else(|| DiffError::NoHeading { line: line.to_owned() })?;
        }
        if let Some(hunk) = &mut open {
            hunk.push(line);
        }
    }
    hunks.extend(open.map(|hunk| CodeHunk { file, ..hunk }));
    Ok((text(&hunks, BEFORE), text(&hunks, AFTER)))
}

/// Index of the old lines of a hunk.
const BEFORE: usize = 0;
/// Index of the new lines of a hunk.
const AFTER: usize = 1;

#[derive(Default)]
struct CodeHunk<'a> {
    file: Option<&'a str>,
    /// Lines with line feeds between them; none where there is no line.
    sides: [Option<String>; 2],
}

impl<'a> CodeHunk<'a> {
    fn push(&mut self, line: &'a str) {
        let mut rest = line.chars();
        let sign = rest.next();
        for (side, other) in [(BEFORE, '+'), (AFTER, '-')] {
            if sign != Some(other) {
                match &mut self.sides[side] {
                    Some(text) => {
                        text.push('\n');
                        text.push_str(rest.as_str());
                    }
                    none => *none = Some(rest.as_str().to_owned()),
                }
            }
        }
    }
}

fn text(hunks: &[CodeHunk<'_>], side: usize) -> String {
    let mut text = String::new();
    let mut last = None;
    for hunk in hunks {
        if hunk.file != last {
            // An empty name is as good as none here.
            if let Some(last) = last.filter(|name: &&str| !name.is_empty()) {
                text.push_str(&format!("\n</file=\"{last}\">\n"));
            }
            text.push_str(&format!("\n<file=\"{}\">\n", hunk.file.unwrap_or("None")));
            last = hunk.file;
        }
        text.push_str(hunk.sides[side].as_deref().unwrap_or_default());
        text.push_str("\n ... \n ... \n");
    }
    text.push_str(&format!("\n</file=\"{}\">\n", last.unwrap_or("None")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_where_the_headers_say() {
        let patch = "--- a/a-b/x.py y\n+++ b/a-b/x.py y\n@@ -1,2 +3,4 @@\n-a\n@@ -9 +9 @@\n+++ b/n.py\n@@ -0,0 +1,1 @@\n+n\n";
        let places = hunk_places(patch).unwrap();
        let path = |path: &str| Some(path.to_owned());
        let first = HunkPlace {
            old_path: path("a-b/x.py"),
            new_path: path("a-b/x.py"),
            old_start: 1,
            old_lines: 2,
            new_start: 3,
            new_lines: 4,
        };
        assert_eq!(places[0], first);
        assert_eq!((places.len(), &places[1].old_path, &places[1].new_path), (2, &None, &path("n.py")));
        assert_eq!(hunk_places("--- a/\u{301}\n").unwrap_err().upstream(), "AttributeError");
    }

    #[test]
    fn the_last_hunk_of_a_file_gets_the_name_of_the_file_before() {
        let file =
            |name: &str| format!("--- a/{name}\n+++ b/{name}\n@@ -1,2 +1,2 @@ def f():\n-old\n+new\n same");
        let (before, after) = code_before_after(&[file("x"), file("y")].join("\n")).unwrap();
        let code = |line: &str| format!("def f():\n{line}\nsame\n ... \n ... \n");
        let first = |line: &str| format!("\n<file=\"x\">\n{}\n</file=\"x\">\n", code(line));
        let second = |line: &str| format!("\n<file=\"y\">\n{}\n</file=\"y\">\n", code(line));
        assert_eq!(before, first("old") + &second("old"));
        assert_eq!(after, first("new") + &second("new"));
        assert_eq!(
            code_before_after("@@ -1 +1\n").unwrap_err(),
            DiffError::NoHeading { line: "@@ -1 +1".into() }
        );
        assert_eq!(code_before_after("").unwrap().0, "\n</file=\"None\">\n");
    }
}
