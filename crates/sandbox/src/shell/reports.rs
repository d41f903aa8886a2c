//! What bash tells. It is hostile: what is not a well-formed report under the expected key is ignored.

use std::collections::BTreeMap;

/// Most bytes that are kept while a report is waited for; it holds a path and little else.
pub(crate) const COMMAND_BYTES: usize = 64 << 10;
/// The same for a report with the exported variables, of which a program can take 2 MiB at most by default.
pub(crate) const STATE_BYTES: usize = 4 << 20;

/// Variables of the shell itself, or of its last command, that another shell must make anew.
const NOT_STATE: [&str; 3] = ["_", "PWD", "SHLVL"];

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) exit_code: i32,
    pub(crate) cwd: String,
}

/// Listens for the report with one key.
pub(crate) struct Listener {
    /// What a report begins with.
    mark: Vec<u8>,
    heard: Vec<u8>,
    limit: usize,
}

impl Listener {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(key: &str, limit: usize) -> Self {
        Self { mark: format!("\0{key}\0").into_bytes(), heard: Vec::new(), limit }
    }

    /// Takes what came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        let too_much = self.heard.len().saturating_sub(self.limit);
        self.heard.drain(..too_much);
    }

    /// The shell's process id, when it has said hello.
    pub(crate) fn hello(&self) -> Option<i32> {
        self.find(|rest| text(field(rest)?.0)?.parse().ok().filter(|pid| *pid > 1))
    }

    /// How the command ended, once it has.
    pub(crate) fn report(&self) -> Option<Report> {
        self.find(|rest| Some(report(rest)?.0))
    }

    /// Working directory and exported variables, once all of them are there. Variables that are not UTF-8 are
    /// left out.
    pub(crate) fn state(&self) -> Option<(String, BTreeMap<String, String>)> {
        // The cheap look first: a long state comes in many pieces.
        if !self.heard.ends_with(b"\0\0") {
            return None;
        }
        self.find(|rest| {
            let (report, rest) = report(rest)?;
            Some((report.cwd, variables(rest)?))
        })
    }

    /// The first well-formed thing after a mark.
    fn find<T>(&self, parse: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let starts = self.heard.windows(self.mark.len()).enumerate();
        let mut rests = starts
            .filter(|(_, window)| *window == self.mark)
            .map(|(at, _)| &self.heard[at + self.mark.len()..]);
        rests.find_map(parse)
    }
}

/// The bytes before the next zero byte, and those after it.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// An interrupted report has no working directory, with which every complete one ends.
fn report(rest: &[u8]) -> Option<(Report, &[u8])> {
    let (status, rest) = field(rest)?;
    let (cwd, rest) = field(rest)?;
    let exit_code = text(status)?.parse().ok().filter(|code| (0..256).contains(code))?;
    let cwd = cwd.strip_suffix(b"\n")?;
    Some((Report { exit_code, cwd: String::from_utf8_lossy(cwd).into_owned() }, rest))
}

/// `NAME=VALUE`s up to an empty one.
fn variables(mut rest: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    loop {
        let (variable, after) = field(rest)?;
        if variable.is_empty() {
            return Some(variables);
        }
        if let Some((name, value)) = text(variable).and_then(|text| text.split_once('='))
            && !NOT_STATE.contains(&name)
            && !name.starts_with("__swegym")
        {
            variables.insert(name.to_owned(), value.to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[&[u8]]) -> Listener {
        let mut listener = Listener::new("key", 64);
        pieces.iter().for_each(|piece| listener.push(piece));
        listener
    }

    fn report(exit_code: i32, cwd: &str) -> Option<Report> {
        Some(Report { exit_code, cwd: cwd.to_owned() })
    }

    #[test]
    fn a_report_is_found_however_it_is_cut() {
        let whole = b"\0key\x003\0/a\nb\n\0";
        for size in 1..=whole.len() {
            let pieces: Vec<&[u8]> = whole.chunks(size).collect();
            assert_eq!(heard(&pieces).report(), report(3, "/a\nb"));
            assert_eq!(heard(&pieces[..pieces.len() - 1]).report(), None);
        }
    }

    #[test]
    fn what_is_no_report_is_ignored() {
        for garbage in [
            &b"key\x000\0/\n\0"[..],
            b"\0other\x000\0/\n\0",
            b"\0key\x00256\0/\n\0",
            b"\0key\0-1\0/\n\0",
            b"\0key\0x\0/\n\0",
            b"\0key\x000\0/\0",
            b"\0\0\0\xff\0",
        ] {
            assert_eq!(heard(&[garbage]).report(), None, "{garbage:?}");
            assert_eq!(heard(&[garbage, b"\0key\x000\0/x\n\0"]).report(), report(0, "/x"), "{garbage:?}");
        }
    }

    #[test]
    fn the_second_report_counts_where_the_first_was_interrupted() {
        assert_eq!(heard(&[b"\0key\x001\0", b"\0key\x00130\0/\n\0"]).report(), report(130, "/"));
    }

    #[test]
    fn endless_garbage_is_forgotten() {
        let mut listener = heard(&[b"\0key\0"]);
        for _ in 0..1000 {
            listener.push(&[b'x'; 99]);
        }
        assert_eq!(listener.heard.len(), 64);
        listener.push(b"\0key\x000\0/\n\0");
        assert_eq!(listener.report(), report(0, "/"));
    }

    #[test]
    fn a_hello_names_a_process() {
        assert_eq!(heard(&[b"\0key\x0042\0"]).hello(), Some(42));
        for bad in [&b"\0key\x001\0"[..], b"\0key\0-1\0", b"\0key\0\0", b"\0key\x0042"] {
            assert_eq!(heard(&[bad]).hello(), None);
        }
    }

    #[test]
    fn a_state_holds_what_another_shell_can_go_on_from() {
        let listener = heard(&[b"\0key\x000\0/\n\0", b"A=1\n=2\0_=x\0PWD=/\0B=\0C=\xff\0", b"\0"]);
        let env = [("A", "1\n=2"), ("B", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(listener.state(), Some(("/".to_owned(), env.into())));
        assert_eq!(heard(&[b"\0key\x000\0/\n\0A=1\0"]).state(), None);
    }
}
