//! Searches of an image's files, each one command in a sandbox, with limits on time and output.

use std::time::Duration;

use swegym_sandbox::{ExecRequest, Sandbox, SandboxError};

use super::gold_text::GoldText;
use crate::git::{TESTBED, command, said};

/// Where the lines that are searched for lie inside.
pub(super) const LINES: &str = "/tmp/swegym-audit/lines";
/// Folders that are not the image's.
const PASSED_OVER: [&str; 4] = ["/proc", "/sys", "/dev", "/tmp/swegym-audit"];
/// Files of a size that `grep` may hold in memory whole, as it does where one is a single line; and larger ones.
const SMALL: &str = "-16777216c";
const LARGE: &str = "+16777215c";
/// What packages come in, and other packed files; the cache of pip has packages under names that end in `.body`.
const ARCHIVES: [&str; 13] = [
    "*.whl", "*.egg", "*.zip", "*.conda", "*.tar", "*.tgz", "*.gz", "*.zst", "*.bz2", "*.tbz2", "*.xz",
    "*.txz", "*.body",
];
/// Everything that comes in, is searched for the lines and goes out, one `path NUL line LF` each.
const GREP: &str = r#""$@" | xargs -0 grep -asoHZF -f /tmp/swegym-audit/lines -- | head -c 16000000"#;
/// The same for large files, in windows of 16 MiB: twice, the second time from the middle of the first window on, so that
/// a line that one pass cuts is whole in the other.
const GREP_LARGE: &str = r#"set -o pipefail
    search() { head -c 4294967296 | split -b 16M --filter='grep -aoF -f /tmp/swegym-audit/lines; true' -; }
    { "$@" || true; } | while IFS= read -r -d '' path; do
        { search < "$path" && tail -c +8388609 -- "$path" | search || exit 1; } |
            while IFS= read -r line; do printf '%s\0%s\n' "$path" "$line"; done || exit 1
    done | head -c 16000000"#;
/// Names of files that come in and have one of the lines, each with a NUL.
const NAMES: &str = r#""$@" | xargs -0 grep -lsZF -f /tmp/swegym-audit/lines -- | head -c 16000000"#;
/// Time for files that may be large.
const LONG: Duration = Duration::from_secs(600);

/// What lies about in an image.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Entries of folders of installed packages: `d`, `f`, `l` or another letter of `find`, and the path.
    pub(super) installed: Vec<(char, String)>,
    /// Folders named `.git`, or that end so.
    pub(super) repositories: Vec<String>,
    /// Archives and other packed files, with their sizes.
    pub(super) archives: Vec<(u64, String)>,
    /// Archives that have a later version of the package in them, by what is in them.
    pub(super) later: Vec<String>,
    /// Files outside of repositories and the lines of the gold patch in them.
    pub(super) matches: Vec<(String, String)>,
    /// What could not be searched, and why.
    pub(super) incomplete: Vec<String>,
}

/// Searches everything below the roots that belongs to the image.
pub(super) async fn everything(
    sandbox: &dyn Sandbox,
    roots: &[&str],
    gold: &GoldText,
) -> Result<Found, SandboxError> {
    let mut found = Found::default();
    match run(sandbox, &listing(roots)).await? {
        Ok(entries) => entries.split(|byte| *byte == 0).for_each(|entry| found.add(entry)),
        Err(said) => {
            found.incomplete.push(format!("files cannot be listed: {said}"));
            return Ok(found);
        }
    }
    if gold.lines.is_empty() {
        return Ok(found);
    }
    sandbox.write_file(LINES, gold.lines.join("\n").as_bytes()).await?;
    for (what, request) in [("files", grep(roots)), ("large files", grep_large(roots))] {
        match run(sandbox, &request).await? {
            Ok(lines) => found.matches.extend(matches(&lines)),
            Err(said) => found.incomplete.push(format!("{what} cannot be searched: {said}")),
        }
    }
    Ok(found)
}

impl Found {
    fn add(&mut self, entry: &[u8]) {
        let entry = String::from_utf8_lossy(entry);
        let Some((kind, path)) = entry.split_once(' ') else { return };
        match kind {
            "git" => self.repositories.push(path.to_owned()),
            "archive" => {
                let sized = path.split_once(' ').and_then(|(size, path)| Some((size.parse().ok()?, path)));
                self.archives.extend(sized.map(|(size, path)| (size, path.to_owned())));
            }
            _ => self.installed.extend(kind.chars().next().map(|kind| (kind, path.to_owned()))),
        }
    }
}

/// One pass over all names; folders of installed packages are listed and not entered.
fn listing(roots: &[&str]) -> ExecRequest {
    let mut words = find(roots);
    words.extend(["-path", "*-packages/*", "-printf", r"%y %p\0", "-prune", "-o"]);
    words.extend(["-type", "d", "-name", "*.git", "-printf", r"git %p\0", "-prune", "-o"]);
    words.extend(["-type", "f", "("]);
    words.extend(any_of("-name", &ARCHIVES));
    words.extend([")", "-printf", r"archive %s %p\0"]);
    command(&words)
}

fn grep(roots: &[&str]) -> ExecRequest {
    command(&[&["sh", "-c", GREP, "sh"], &files(roots, SMALL)[..]].concat())
}

fn grep_large(roots: &[&str]) -> ExecRequest {
    command(&[&["bash", "-c", GREP_LARGE, "bash"], &files(roots, LARGE)[..]].concat()).within(LONG)
}

/// Files of a size, but for those of repositories.
fn files<'a>(roots: &[&'a str], size: &'a str) -> Vec<&'a str> {
    let mut words = find(roots);
    words.extend(["-type", "d", "-name", "*.git", "-prune", "-o", "-type", "f", "-size", size, "-print0"]);
    words
}

/// Files that have one of these texts.
pub(super) async fn files_with(
    sandbox: &dyn Sandbox,
    roots: &[&str],
    texts: &[&str],
) -> Result<Result<Vec<String>, String>, SandboxError> {
    sandbox.write_file(LINES, texts.join("\n").as_bytes()).await?;
    let request = command(&[&["sh", "-c", NAMES, "sh"], &files(roots, SMALL)[..]].concat());
    let found = run(sandbox, &request).await?;
    let names = |found: Vec<u8>| {
        let names = found.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect()
    };
    Ok(found.map(names))
}

/// The beginning of a `find` over the files of the image: other file systems are the machine's.
fn find<'a>(roots: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["find"];
    words.extend(roots);
    words.extend(["-xdev", "("]);
    words.extend(any_of("-path", &PASSED_OVER));
    words.extend([")", "-prune", "-o"]);
    words
}

fn any_of<'a>(test: &'a str, values: &[&'a str]) -> Vec<&'a str> {
    let tests = values.iter().flat_map(|value| ["-o", test, value]);
    tests.skip(1).collect()
}

/// Reads what `grep -oHZ` prints.
fn matches(lines: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pair = |line: &[u8]| {
        let end = line.iter().position(|byte| *byte == 0)?;
        Some((text(&line[..end]), text(&line[end + 1..])))
    };
    lines.split(|byte| *byte == b'\n').filter_map(pair).collect()
}

/// What a command prints when it succeeds and all of it is kept; the inner error is what it said else. `find` fails
/// for a folder that it may not enter, so that what it printed counts all the same.
pub(super) async fn run(
    sandbox: &dyn Sandbox,
    request: &ExecRequest,
) -> Result<Result<Vec<u8>, String>, SandboxError> {
    let output = match sandbox.exec(request).await {
        Err(error @ SandboxError::Start { .. }) => return Ok(Err(format!("failed to {error}"))),
        output => output?,
    };
    let is_find = request.argv.first().is_some_and(|program| program == "find");
    let ended = output.success() || (is_find && output.exit_code() == Some(1));
    Ok(match ended && output.stdout.dropped == 0 {
        true => Ok(output.stdout.head),
        false => Err(said(&output)),
    })
}

/// A command in a shell pipeline that searches what it prints for the lines of the gold patch.
pub(super) fn searched(request: &ExecRequest) -> ExecRequest {
    const SEARCH: &str = r#""$@" | grep -aohF -f /tmp/swegym-audit/lines | head -c 16000000"#;
    let shell = ["sh", "-c", SEARCH, "sh"].map(str::to_owned).to_vec();
    ExecRequest { argv: [shell, request.argv.clone()].concat(), ..request.clone() }
}

/// The top of the repository, with a slash.
pub(super) fn in_repository(path: &str) -> bool {
    path.strip_prefix(TESTBED).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_find_and_grep_print_is_read() {
        let mut found = Found::default();
        for entry in
            ["d /a/site-packages/x y", "l /a/site-packages/z", "git /b/.git", "archive 7 /c.whl", "x", ""]
        {
            found.add(entry.as_bytes());
        }
        let installed = [('d', "/a/site-packages/x y".to_owned()), ('l', "/a/site-packages/z".to_owned())];
        assert_eq!(found.installed, installed);
        assert_eq!(
            (found.repositories, found.archives),
            (vec!["/b/.git".to_owned()], vec![(7, "/c.whl".to_owned())])
        );
        assert_eq!(matches(b"/a\0x = 1\nbroken\n"), [("/a".to_owned(), "x = 1".to_owned())]);
    }
}
