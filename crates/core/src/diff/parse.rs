//! The parser of unidiff 0.7.5: a loop over lines that takes each for the first thing that it looks like.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

use super::file::DEV_NULL;
use super::header::{Ranges, git_names, line_number, name, ranges};
use super::python::pattern;
use super::{DiffError, Hunk, Line, LineKind, PatchedFile};

static NEW_FILE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^new file mode \d+\n?$"));
static DELETED_FILE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^deleted file mode \d+\n?$"));
static BINARY: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"((?-u:[^\t])+?)(?:\t[\s0-9:+-]+)?";
    pattern(&format!("^Binary files? {name}(?: and {name})? (?:differ|has changed)"))
});
const NO_NEWLINE: &[u8] = b"\\ No newline at end of file";

/// Reads the files of a patch. What is no part of a diff is skipped.
///
/// # Errors
/// [`DiffError`] where unidiff raises an exception.
pub fn parse(patch: &[u8]) -> Result<Vec<PatchedFile<'_>>, DiffError> {
    let mut parser = Parser {
        patch,
        rest: patch,
        number: 0,
        files: Vec::new(),
        headers: Vec::new(),
        current: None,
        header: None,
        source: None,
        source_timestamp: None,
    };
    while let Some(line) = parser.next_line() {
        parser.read(line)?;
    }
    Ok(parser.finish())
}

struct Parser<'a> {
    patch: &'a [u8],
    /// What is still to be read.
    rest: &'a [u8],
    /// Of the line that was read last, from 1.
    number: usize,
    /// Each with the index of its header, which two files may share.
    files: Vec<(PatchedFile<'a>, Option<usize>)>,
    /// Where the lines of each header stand; lines that follow each other are one run.
    headers: Vec<Vec<Range<usize>>>,
    /// Index of the file to which the next lines belong.
    current: Option<usize>,
    /// Index of the header to which the next lines belong.
    header: Option<usize>,
    /// The last old name that was seen anywhere.
    source: Option<&'a [u8]>,
    /// What stood behind the last line `---`, if there was one.
    source_timestamp: Option<Option<&'a [u8]>>,
}

impl<'a> Parser<'a> {
    fn next_line(&mut self) -> Option<&'a [u8]> {
        self.number += 1;
        let line = self.rest.split_inclusive(|byte| *byte == b'\n').next()?;
        self.rest = &self.rest[line.len()..];
        Some(line)
    }

    fn read(&mut self, line: &'a [u8]) -> Result<(), DiffError> {
        let number = self.number;
        let malformed = |what| Err(DiffError::Malformed { line: number, what });
        if let Some((source, target)) = git_names(line) {
            self.begin_git_file(source, target);
        } else if NEW_FILE.is_match(line) {
            let Some(file) = self.git_file() else { return malformed("a new file out of place") };
            file.source = DEV_NULL;
        } else if DELETED_FILE.is_match(line) {
            let Some(file) = self.git_file() else { return malformed("a deleted file out of place") };
            file.target = Some(DEV_NULL);
        } else if let Some((name, timestamp)) = name(line, b"--- ") {
            self.source_name(name, timestamp);
        } else if let Some((name, timestamp)) = name(line, b"+++ ") {
            self.target_name(name, timestamp)?;
        } else if let Some(ranges) = ranges(line) {
            self.header = None;
            let Some(index) = self.current else { return malformed("a hunk without a file") };
            let hunk = self.hunk(&ranges)?;
            self.files[index].0.hunks.push(hunk);
        } else if line.starts_with(NO_NEWLINE) {
            if !self.append(LineKind::NoNewline) {
                return malformed("a missing line end without a line");
            }
        } else if line == b"\n" && self.current.is_some() {
            if !self.append(LineKind::Blank) {
                return malformed("an empty line without a hunk");
            }
        } else {
            self.other(line)?;
        }
        Ok(())
    }

    fn begin_git_file(&mut self, source: &'a [u8], target: &'a [u8]) {
        self.source = Some(source);
        self.header = Some(self.headers.len());
        self.headers.push(Vec::new());
        self.keep(self.headers.len() - 1);
        self.begin_file(source, Some(target));
    }

    /// Adds the line that was read last to a header.
    fn keep(&mut self, header: usize) {
        let end = self.patch.len() - self.rest.len();
        let start =
            self.patch[..end - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
        let runs = &mut self.headers[header];
        match runs.last_mut() {
            Some(run) if run.end == start => run.end = end,
            _ => runs.push(start..end),
        }
    }

    fn begin_file(&mut self, source: &'a [u8], target: Option<&'a [u8]>) -> &mut PatchedFile<'a> {
        let file = PatchedFile {
            header: Vec::new(),
            source,
            target,
            source_timestamp: None,
            target_timestamp: None,
            is_binary: false,
            hunks: Vec::new(),
        };
        let index = self.files.len();
        self.current = Some(index);
        self.files.push((file, self.header));
        &mut self.files[index].0
    }

    /// The file whose header the line continues.
    fn git_file(&mut self) -> Option<&mut PatchedFile<'a>> {
        let (index, header) = (self.current?, self.header?);
        self.keep(header);
        Some(&mut self.files[index].0)
    }

    fn source_name(&mut self, name: &'a [u8], timestamp: Option<&'a [u8]>) {
        self.source = Some(name);
        self.source_timestamp = Some(timestamp);
        let Some(index) = self.current else { return };
        if self.files[index].0.source == name {
            self.files[index].0.source_timestamp = timestamp;
        } else {
            self.current = None;
        }
    }

    fn target_name(&mut self, name: &'a [u8], timestamp: Option<&'a [u8]>) -> Result<(), DiffError> {
        if let Some(index) = self.current {
            let file = &mut self.files[index].0;
            if file.target != Some(name) {
                let what = "a new file name that does not belong to the old one";
                return Err(DiffError::Malformed { line: self.number, what });
            }
            file.target_timestamp = timestamp;
            return Ok(());
        }
        let (Some(source), Some(source_timestamp)) = (self.source, self.source_timestamp) else {
            return Err(DiffError::NoSource { line: self.number });
        };
        let file = self.begin_file(source, Some(name));
        file.source_timestamp = source_timestamp;
        file.target_timestamp = timestamp;
        self.header = None;
        Ok(())
    }

    fn hunk(&mut self, ranges: &Ranges<'a>) -> Result<Hunk<'a>, DiffError> {
        let malformed = |line, what| Err(DiffError::Malformed { line, what });
        let header = self.number;
        let [source_start, source_length, target_start, target_length] = ranges.numbers.map(line_number);
        let mut hunk = Hunk {
            source_start: source_start?,
            source_length: source_length?,
            target_start: target_start?,
            target_length: target_length?,
            heading: ranges.heading,
            body: self.rest,
            after: Vec::new(),
        };
        let (mut source, mut target) = (0, 0);
        while let Some(line) = self.next_line() {
            let Some(line) = Line::read(line) else {
                return malformed(self.number, "it is no line of a hunk");
            };
            source += u64::from(matches!(line.kind, LineKind::Context | LineKind::Removed));
            target += u64::from(matches!(line.kind, LineKind::Context | LineKind::Added));
            if source > hunk.source_length || target > hunk.target_length {
                return malformed(self.number, "the hunk is longer than its lengths say");
            }
            if (source, target) == (hunk.source_length, hunk.target_length) {
                break;
            }
        }
        if source < hunk.source_length || target < hunk.target_length {
            return malformed(header, "the hunk is shorter than its lengths say");
        }
        hunk.body = &hunk.body[..hunk.body.len() - self.rest.len()];
        Ok(hunk)
    }

    /// Adds a line to the last hunk; false where there is none.
    fn append(&mut self, line: LineKind) -> bool {
        let hunk = self.current.and_then(|index| self.files[index].0.hunks.last_mut());
        hunk.is_some_and(|hunk| {
            hunk.after.push(line);
            true
        })
    }

    /// A line that is none of a diff begins or continues a header, or says that a file is binary.
    fn other(&mut self, line: &'a [u8]) -> Result<(), DiffError> {
        let header = self.header.unwrap_or_else(|| {
            self.current = None;
            self.headers.push(Vec::new());
            self.headers.len() - 1
        });
        self.header = Some(header);
        if let Some(names) = BINARY.captures(line) {
            self.source = group(&names, 1);
            self.keep(header);
            match self.current {
                Some(index) => self.files[index].0.is_binary = true,
                None => {
                    self.begin_file(self.source.unwrap_or_default(), group(&names, 2)).is_binary = true;
                }
            }
        } else if line == b"GIT binary patch\n" {
            let Some(index) = self.current else {
                return Err(DiffError::BinaryWithoutFile { line: self.number });
            };
            self.files[index].0.is_binary = true;
        } else {
            self.keep(header);
            return Ok(());
        }
        (self.current, self.header) = (None, None);
        Ok(())
    }

    fn finish(self) -> Vec<PatchedFile<'a>> {
        let Self { patch, files, headers, .. } = self;
        let with_header = |(file, header): (PatchedFile<'a>, Option<usize>)| {
            let runs = header.map(|index| headers[index].iter()).unwrap_or_default();
            PatchedFile { header: runs.map(|run| &patch[run.clone()]).collect(), ..file }
        };
        files.into_iter().map(with_header).collect()
    }
}

fn group<'a>(captures: &Captures<'a>, index: usize) -> Option<&'a [u8]> {
    captures.get(index).map(|found| found.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(patch: &str) -> Vec<String> {
        let files = parse(patch.as_bytes()).unwrap();
        files.iter().map(|file| String::from_utf8_lossy(file.path().unwrap()).into_owned()).collect()
    }

    fn error(patch: &str) -> DiffError {
        parse(patch.as_bytes()).unwrap_err()
    }

    #[test]
    fn every_kind_of_change_is_a_file() {
        let patch = "Subject: a mail\n\
            diff --git a/old.py b/new.py\nsimilarity index 90%\nrename from old.py\nrename to new.py\n\
            --- a/old.py\n+++ b/new.py\n@@ -1 +1,2 @@ def f():\n-a\n+b\n+c\n\\ No newline at end of file\n\
            diff --git a/n.py b/n.py\nnew file mode 100644\n--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+n\n\
            diff --git a/mode b/mode\nold mode 100644\nnew mode 100755\n\
            diff --git a/logo.png b/logo.png\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcm\n\n\
            diff --git a/b.png b/b.png\nBinary files a/b.png and b/b.png differ\n";
        assert_eq!(paths(patch), ["new.py", "n.py", "mode", "logo.png", "b.png"]);
        let files = parse(patch.as_bytes()).unwrap();
        let kinds = files.iter().map(|file| (file.is_rename(), file.is_added(), file.is_binary));
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [
                (true, false, false),
                (false, true, false),
                (false, false, false),
                (false, false, true),
                (false, false, true)
            ]
        );
        assert_eq!((files[0].count(LineKind::Added), files[0].count(LineKind::Removed)), (2, 1));
        assert_eq!(files[0].hunks[0].heading, b"def f():");
    }

    #[test]
    fn carriage_returns_belong_to_names_and_quotes_stay() {
        // The names of the header differ from those of the lines below it by the carriage return: two files.
        let patch = "diff --git a/x b/x\r\n--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n";
        assert_eq!(paths(patch), ["x\r", "x\r"]);
        assert_eq!(paths("diff --git \"a/\\303\" \"b/\\303\"\n"), ["\"a/\\303\""]);
    }

    #[test]
    fn bytes_stay_bytes_and_blank_context_gets_its_blank_back() {
        let patch = b"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-\xff\0\n+\xfe\r\n\n";
        let mut written = Vec::new();
        parse(patch).unwrap()[0].write_to(&mut written);
        assert_eq!(written, b"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-\xff\0\n+\xfe\r\n \n");
    }

    #[test]
    fn errors_say_where_and_which_exception_upstream_raises() {
        let head = "--- a/x\n+++ b/x\n";
        for (patch, message, exception) in [
            (
                format!("{head}@@ -1,2 +1 @@\n-a\n"),
                "line 3: the hunk is shorter than its lengths say",
                "UnidiffParseError",
            ),
            (
                format!("{head}@@ -1 +1 @@\n-a\n-b\n"),
                "line 5: the hunk is longer than its lengths say",
                "UnidiffParseError",
            ),
            (format!("{head}@@ -1 +1 @@\nx\n"), "line 4: it is no line of a hunk", "UnidiffParseError"),
            ("@@ -1 +1 @@\n".to_owned(), "line 1: a hunk without a file", "UnidiffParseError"),
            ("+++ b/x\n".to_owned(), "line 1: a new file name without an old one", "UnboundLocalError"),
            ("GIT binary patch\n".to_owned(), "line 1: binary content without a file", "AttributeError"),
        ] {
            let error = error(&patch);
            assert_eq!(error.to_string(), format!("parse the patch: {message}"));
            assert_eq!(error.upstream(), exception);
        }
        let stub = parse(b"Binary file x has changed\n").unwrap();
        assert_eq!(stub[0].path().unwrap_err().upstream(), "TypeError");
    }
}
