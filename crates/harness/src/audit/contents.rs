//! What must be read to be judged: archives, and files that may have a short fix of the gold patch in them.

use std::collections::BTreeSet;

use regex::bytes::Regex;
use swegym_sandbox::{Sandbox, SandboxError};

use super::archive::{Limits, look_through};
use super::blocks::lines_of;
use super::gold_text::GoldText;
use super::names::{PackageNames, is_later};
use super::search::{Found, files_with, run};
use crate::git::command;

/// Largest archive that is looked through.
const LARGEST_ARCHIVE: u64 = 128 << 20;
/// Bytes of all archives of an image that are looked through.
const ARCHIVE_BYTES: u64 = 8 << 30;
/// Files that are read for a short fix, and how much of each.
const MOST_FILES: usize = 5000;
const FILE_BYTES: u64 = 4 << 20;
/// Characters of a line of the gold patch by which it is known in archives.
const LINE_CHARACTERS: usize = 200;
/// Unpacks the second word by the first one, as much as may come out and a byte.
const UNPACK: &str = r#"{ "$1" -dc -- "$2" || true; } | head -c 134217729"#;

/// What is looked for in files.
pub(super) struct Wanted<'a> {
    names: &'a PackageNames,
    gold: &'a GoldText,
    version: &'a str,
    /// Finds the lines of the gold patch.
    lines: Option<Regex>,
}

/// What was found in archives.
#[derive(Default)]
struct Inside {
    later: BTreeSet<String>,
    matches: BTreeSet<(String, String)>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(names: &'a PackageNames, gold: &'a GoldText, version: &'a str) -> Self {
        let beginning = |line: &String| line.chars().take(LINE_CHARACTERS).collect::<String>();
        let escaped: Vec<String> = gold.lines.iter().map(|line| regex::escape(&beginning(line))).collect();
        let lines = if escaped.is_empty() { None } else { Regex::new(&escaped.join("|")).ok() };
        Self { names, gold, version, lines }
    }

    /// Looks through the archives that were found, and adds what is in them.
    pub(super) async fn add_archives(
        &self,
        sandbox: &dyn Sandbox,
        found: &mut Found,
    ) -> Result<(), SandboxError> {
        let mut left = ARCHIVE_BYTES;
        let mut inside = Inside::default();
        for (size, path) in &found.archives {
            let unread = if *size > left.min(LARGEST_ARCHIVE) {
                Some("it is too large".to_owned())
            } else {
                left -= size;
                match content(sandbox, path).await? {
                    Ok(content) => {
                        let visit = &mut |path: &str, content: &[u8]| self.visit(path, content, &mut inside);
                        look_through(path, &content, Limits::default(), visit).map(str::to_owned)
                    }
                    Err(said) => Some(said),
                }
            };
            found
                .incomplete
                .extend(unread.map(|why| format!("`{path}` was not looked through whole: {why}")));
        }
        found.later.extend(inside.later);
        found.matches.extend(inside.matches);
        Ok(())
    }

    fn visit(&self, path: &str, content: &[u8], inside: &mut Inside) {
        // The name of the archive itself is judged with those of other files.
        let parts = || path.split_once('!').map_or("", |(_, inner)| inner).split(['/', '!']);
        let is_later_name =
            |part: &str| self.names.version_of(part).is_some_and(|found| is_later(found, self.version));
        let is_metadata = matches!(parts().next_back(), Some("METADATA" | "PKG-INFO"));
        if parts().any(is_later_name) || (is_metadata && self.declares_later(content)) {
            // One entry is enough for an archive.
            inside.later.extend(path.split('!').next().map(str::to_owned));
        }
        for line in self.lines.iter().flat_map(|lines| lines.find_iter(content)) {
            inside.matches.insert((path.to_owned(), String::from_utf8_lossy(line.as_bytes()).into_owned()));
        }
        inside.matches.extend(self.block_in(content).map(|line| (path.to_owned(), line)));
    }

    fn declares_later(&self, metadata: &[u8]) -> bool {
        let text = String::from_utf8_lossy(metadata);
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let (name, version) = (value("Name:").unwrap_or_default(), value("Version:").unwrap_or_default());
        self.names.has(name) && is_later(version, self.version)
    }

    /// Files of the image with the surroundings of a short fix.
    pub(super) async fn add_blocks(
        &self,
        sandbox: &dyn Sandbox,
        roots: &[&str],
        found: &mut Found,
    ) -> Result<(), SandboxError> {
        if self.gold.blocks.is_empty() {
            return Ok(());
        }
        let files = match files_with(sandbox, roots, &self.gold.anchors()).await? {
            Ok(files) => files,
            Err(said) => {
                found.incomplete.push(format!("files cannot be searched: {said}"));
                return Ok(());
            }
        };
        for path in files.iter().take(MOST_FILES) {
            let Ok(content) = sandbox.read_file(path, FILE_BYTES).await else { continue };
            found.matches.extend(self.block_in(&content).map(|line| (path.clone(), line)));
        }
        if files.len() > MOST_FILES {
            let rest = files.len() - MOST_FILES;
            found
                .incomplete
                .push(format!("{rest} files that have a line of the code around the fix were not read"));
        }
        Ok(())
    }

    /// What stands for a block in a list of matches, where the content has one: long enough to be telling.
    fn block_in(&self, content: &[u8]) -> Option<String> {
        let blocks = &self.gold.blocks;
        let anchors = blocks.iter().map(|block| block.anchor().as_bytes());
        let may_have =
            anchors.into_iter().any(|anchor| content.windows(anchor.len()).any(|part| part == anchor));
        let text = may_have.then(|| String::from_utf8_lossy(content))?;
        let lines = lines_of(&text);
        let block = blocks.iter().find(|block| block.is_in(&lines))?;
        Some(block.text())
    }
}

/// A packed file. What no program here is needed for is unpacked later.
async fn content(sandbox: &dyn Sandbox, path: &str) -> Result<Result<Vec<u8>, String>, SandboxError> {
    let program = match path.rsplit('.').next() {
        Some("bz2" | "tbz2") => "bzip2",
        Some("xz" | "txz") => "xz",
        _ => {
            return match sandbox.read_file(path, LARGEST_ARCHIVE).await {
                Err(SandboxError::File { .. }) => Ok(Err("it cannot be read".to_owned())),
                content => content.map(Ok),
            };
        }
    };
    let mut unpack = command(&["sh", "-c", UNPACK, "sh", program, path]);
    unpack.output_limit.head = usize::try_from(LARGEST_ARCHIVE + 1).unwrap_or(usize::MAX);
    let content = run(sandbox, &unpack).await?;
    Ok(content.and_then(|content| match content.len() as u64 {
        0 => Err(format!("`{program}` gives nothing")),
        size if size > LARGEST_ARCHIVE => Err("too much comes out of it".to_owned()),
        _ => Ok(content),
    }))
}
