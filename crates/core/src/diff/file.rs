//! The files of a patch.

use super::DiffError;

pub(super) const DEV_NULL: &[u8] = b"/dev/null";

/// One file of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchedFile<'a> {
    /// Lines before the names: `diff --git`, `index`, modes. Those of binary stubs too. Lines that follow each other in
    /// the patch are one piece.
    pub header: Vec<&'a [u8]>,
    /// Old name with its prefix, `/dev/null` for a file that is added.
    pub source: &'a [u8],
    /// New name with its prefix, `/dev/null` for a file that is removed; a binary stub may have none.
    pub target: Option<&'a [u8]>,
    /// What stands after a tab behind the old name.
    pub source_timestamp: Option<&'a [u8]>,
    /// What stands after a tab behind the new name.
    pub target_timestamp: Option<&'a [u8]>,
    /// Whether git or diff says that the content is binary.
    pub is_binary: bool,
    /// Changed places.
    pub hunks: Vec<Hunk<'a>>,
}

/// One changed place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk<'a> {
    /// First line in the old file, from 1; 0 where there is none.
    pub source_start: u64,
    /// Context and removed lines.
    pub source_length: u64,
    /// First line in the new file, from 1; 0 where there is none.
    pub target_start: u64,
    /// Context and added lines.
    pub target_length: u64,
    /// What follows the second `@@`, without the blank before it.
    pub heading: &'a [u8],
    /// Its lines as they stand in the patch: each is one that can be read.
    pub(super) body: &'a [u8],
    /// Kinds of the lines that follow its end and belong to it.
    pub(super) after: Vec<LineKind>,
}

/// One line of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What the line is.
    pub kind: LineKind,
    /// The line without its first character, with its line end.
    pub value: &'a [u8],
}

/// What a line of a hunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// In both files.
    Context,
    /// In the old file.
    Removed,
    /// In the new file.
    Added,
    /// Says that the line before it has no line end.
    NoNewline,
    /// An empty line after the end of the hunk.
    Blank,
}

impl<'a> PatchedFile<'a> {
    /// Path without its prefix `a/` or `b/`: the new one for a file that is renamed or added, else the old one.
    ///
    /// # Errors
    /// [`DiffError::NoTarget`] for a binary stub with one name.
    pub fn path(&self) -> Result<&'a [u8], DiffError> {
        let Some(target) = self.target else {
            let old_name = String::from_utf8_lossy(self.source).into_owned();
            return Err(DiffError::NoTarget { old_name });
        };
        let is_new = self.source == DEV_NULL || self.is_rename();
        let name = if is_new { target } else { self.source };
        Ok(name.strip_prefix(b"a/").or_else(|| name.strip_prefix(b"b/")).unwrap_or(name))
    }

    /// Whether the names differ after their first two characters, whatever those are.
    pub fn is_rename(&self) -> bool {
        self.target.is_some_and(|target| {
            self.source != DEV_NULL && target != DEV_NULL && tail(self.source) != tail(target)
        })
    }

    /// Whether the file is new; so is one whose only hunk begins with nothing.
    pub fn is_added(&self) -> bool {
        let from_nothing = |hunk: &Hunk<'_>| hunk.source_start == 0 && hunk.source_length == 0;
        self.source == DEV_NULL || self.only_hunk().is_some_and(from_nothing)
    }

    /// Whether the file goes away; so does one whose only hunk leaves nothing.
    pub fn is_removed(&self) -> bool {
        let to_nothing = |hunk: &Hunk<'_>| hunk.target_start == 0 && hunk.target_length == 0;
        self.target == Some(DEV_NULL) || self.only_hunk().is_some_and(to_nothing)
    }

    /// Whether the file is neither new nor goes away.
    pub fn is_modified(&self) -> bool {
        !self.is_added() && !self.is_removed()
    }

    /// Number of lines of one kind in all hunks.
    pub fn count(&self, kind: LineKind) -> usize {
        self.hunks.iter().flat_map(Hunk::lines).filter(|line| line.kind == kind).count()
    }

    fn only_hunk(&self) -> Option<&Hunk<'a>> {
        match self.hunks.as_slice() {
            [hunk] => Some(hunk),
            _ => None,
        }
    }

    /// Writes the file as unidiff does: lengths of hunks are always given, blanks of empty context lines are put
    /// back, and the names of a file without hunks and the content of a binary one are lost.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend(self.header.iter().copied().flatten());
        if !self.is_binary && !self.hunks.is_empty() {
            write_name(out, b"--- ", self.source, self.source_timestamp);
            write_name(out, b"+++ ", self.target.unwrap_or_default(), self.target_timestamp);
        }
        for hunk in &self.hunks {
            hunk.write_to(out);
        }
    }
}

impl<'a> Hunk<'a> {
    /// Its lines.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> {
        let body = self.body.split_inclusive(|byte| *byte == b'\n').filter_map(Line::read);
        body.chain(self.after.iter().map(|kind| Line { kind: *kind, value: kind.text_after_hunk() }))
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        let Self { source_start, source_length, target_start, target_length, heading, .. } = self;
        let ranges = format!("@@ -{source_start},{source_length} +{target_start},{target_length} @@");
        out.extend_from_slice(ranges.as_bytes());
        if !heading.is_empty() {
            out.push(b' ');
            out.extend_from_slice(heading);
        }
        out.push(b'\n');
        for line in self.lines() {
            out.extend(line.kind.sign());
            out.extend_from_slice(line.value);
        }
    }
}

impl<'a> Line<'a> {
    /// A line inside of a hunk. Its type is its first character; an empty line is context that lost its blank.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let (first, rest) = line.split_first()?;
        let kind = match first {
            b' ' => LineKind::Context,
            b'-' => LineKind::Removed,
            b'+' => LineKind::Added,
            b'\\' => LineKind::NoNewline,
            b'\r' | b'\n' => {
                // What follows a lone carriage return is lost, as unidiff loses it.
                let ends = line.iter().take(2).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                return Some(Line { kind: LineKind::Context, value: &line[..ends] });
            }
            _ => return None,
        };
        Some(Line { kind, value: rest })
    }
}

impl LineKind {
    /// What a line of this kind says behind the end of a hunk.
    fn text_after_hunk(self) -> &'static [u8] {
        if self == Self::NoNewline { b" No newline at end of file\n" } else { b"\n" }
    }

    /// First character of such a line.
    fn sign(self) -> Option<u8> {
        match self {
            Self::Context => Some(b' '),
            Self::Removed => Some(b'-'),
            Self::Added => Some(b'+'),
            Self::NoNewline => Some(b'\\'),
            Self::Blank => None,
        }
    }
}

fn write_name(out: &mut Vec<u8>, sign: &[u8], name: &[u8], timestamp: Option<&[u8]>) {
    out.extend_from_slice(sign);
    out.extend_from_slice(name);
    if let Some(timestamp) = timestamp {
        out.push(b'\t');
        out.extend_from_slice(timestamp);
    }
    out.push(b'\n');
}

/// A name without its first two characters.
fn tail(name: &[u8]) -> &[u8] {
    let is_start = |byte: &u8| byte & 0xc0 != 0x80;
    let third = name.iter().enumerate().filter(|(_, byte)| is_start(byte)).nth(2);
    third.map_or(&[], |(position, _)| &name[position..])
}
