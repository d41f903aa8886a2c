//! What a gold patch says, in the words that an answer needs.

use std::collections::BTreeSet;

use swegym_core::diff::{Line, LineKind, parse};
use swegym_core::{Instance, Patch};

/// Lines around the change that an edit may quote.
const CONTEXT: usize = 3;

/// The fix of an instance: one changed place of one file.
#[derive(Debug)]
pub(super) struct Fix {
    pub(super) problem: String,
    pub(super) patch: Patch,
    /// The file, from the top of the repository.
    pub(super) path: String,
    /// The first line that changes, from 1, and the last one.
    pub(super) lines: (u64, u64),
    /// What of the hunk is before the change, in it, and after it.
    before: Vec<String>,
    pub(super) old: Vec<String>,
    pub(super) new: Vec<String>,
    after: Vec<String>,
    /// What git says the place is in.
    heading: String,
    /// Files of the tests that fail without it.
    pub(super) test_files: BTreeSet<String>,
}

impl Fix {
    pub(super) fn of(instance: &Instance) -> Self {
        let patch = instance.grading.patch.clone();
        let files = parse(patch.as_bytes()).expect("the gold patch is one");
        assert_eq!(files.len(), 1, "files that the gold patch changes");
        let file = &files[0];
        assert_eq!(file.hunks.len(), 1, "places that the gold patch changes");
        let hunk = &file.hunks[0];
        let lines = &hunk.lines;
        let is_changed = |line: &Line<'_>| matches!(line.kind, LineKind::Removed | LineKind::Added);
        let mut first = lines.iter().position(is_changed).expect("a hunk changes something");
        if !lines.iter().any(|line| line.kind == LineKind::Removed) {
            // Nothing but new lines: the line above them says where they go.
            let above = lines[..first].iter().rposition(|line| !line.value.trim_ascii().is_empty());
            first = above.expect("there is a line above the new ones");
        }
        let last = lines.iter().rposition(is_changed).expect("a hunk changes something");
        let in_old = |line: &&Line<'_>| matches!(line.kind, LineKind::Context | LineKind::Removed);
        let in_new = |line: &&Line<'_>| matches!(line.kind, LineKind::Context | LineKind::Added);
        let changed = &lines[first..=last];
        let old = texts(changed.iter().filter(in_old));
        let line = hunk.source_start + first as u64;
        let path = file.path().expect("the file has a name");
        let tests = instance.grading.fail_to_pass.iter();
        Self {
            problem: instance.problem.problem_statement.trim().to_owned(),
            path: String::from_utf8_lossy(path).into_owned(),
            lines: (line, line + old.len() as u64 - 1),
            before: texts(lines[..first].iter()),
            new: texts(changed.iter().filter(in_new)),
            after: texts(lines[last + 1..].iter().filter(in_old)),
            old,
            heading: String::from_utf8_lossy(hunk.heading).into_owned(),
            test_files: tests.filter_map(|id| Some(id.split_once("::")?.0.to_owned())).collect(),
            patch,
        }
    }

    /// A line that changes and says something: what to look for.
    pub(super) fn telling_line(&self) -> &str {
        self.old.iter().max_by_key(|line| line.trim().len()).expect("the fix changes a line")
    }

    /// The old and the new text, with so many lines around them.
    pub(super) fn replacement(&self, context: usize) -> (String, String) {
        let [old, new] = [&self.old, &self.new].map(|lines| self.within(lines, context).join("\n"));
        (old, new)
    }

    /// Some code with the fix in it; nothing where the place is not there, or several times.
    pub(super) fn applied_to(&self, code: &str) -> Option<String> {
        let lines: Vec<&str> = code.lines().collect();
        (0..=CONTEXT).rev().find_map(|context| {
            let [old, new] = [&self.old, &self.new].map(|lines| self.within(lines, context));
            let is_here = |start: &usize| lines[*start..].starts_with(&old);
            let places: Vec<usize> = (0..lines.len()).filter(is_here).collect();
            let [place] = places[..] else { return None };
            Some([&lines[..place], &new, &lines[place + old.len()..]].concat().join("\n"))
        })
    }

    fn within<'a>(&'a self, lines: &'a [String], context: usize) -> Vec<&'a str> {
        let before = &self.before[self.before.len().saturating_sub(context)..];
        let after = &self.after[..self.after.len().min(context)];
        before.iter().chain(lines).chain(after).map(String::as_str).collect()
    }

    /// The definition that the place is in: `def` or `class`, and its name.
    pub(super) fn definition(&self) -> Option<(&str, &str)> {
        let above = self.before.iter().map(String::as_str).rev().chain([self.heading.as_str()]);
        above.into_iter().find_map(|line| {
            let (kind, rest) = line.trim_start().split_once(' ')?;
            let name = rest.split(['(', ':']).next()?.trim();
            matches!(kind, "def" | "class").then_some((kind, name))
        })
    }
}

fn texts<'a>(lines: impl Iterator<Item = &'a Line<'a>>) -> Vec<String> {
    lines.map(|line| String::from_utf8_lossy(line.value).trim_end_matches(['\r', '\n']).to_owned()).collect()
}
