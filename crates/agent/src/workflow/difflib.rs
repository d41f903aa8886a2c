//! Unified diffs as Python's `difflib` makes them, which finds other matches than shortest edits have.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

/// Lines of context.
const CONTEXT: usize = 3;
/// Sequences from this length on are matched without elements that make up more than a hundredth of them.
const POPULAR_FROM: usize = 200;
/// Comparisons after which the middle counts as replaced as a whole: repetitive texts would take for ever.
const MAX_WORK: usize = 3_000_000;

/// A stretch that both sides have: its start in either, and its length.
type Match = (usize, usize, usize);

/// `difflib.unified_diff` of texts whose lines keep their ends; empty where they are equal.
pub(crate) fn unified_diff(name: &str, old: &str, new: &str) -> String {
    let (old, new) = (lines(old), lines(new));
    let mut text = String::new();
    for group in groups(&opcodes(&old, &new)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        if text.is_empty() {
            let _ = writeln!(text, "--- {name}\n+++ {name}");
        }
        let old_range = hunk_range(first.old.start..last.old.end);
        let new_range = hunk_range(first.new.start..last.new.end);
        let _ = writeln!(text, "@@ -{old_range} +{new_range} @@");
        for code in group {
            push_lines(&mut text, ' ', if code.equal { &old[code.old.clone()] } else { &[] });
            if !code.equal {
                push_lines(&mut text, '-', &old[code.old]);
                push_lines(&mut text, '+', &new[code.new]);
            }
        }
    }
    text
}

/// `str.splitlines(True)`.
fn lines(text: &str) -> Vec<&str> {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines: Vec<&str> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = match rest.char_indices().find(|(_, c)| ends(*c)) {
            Some((at, _)) if rest[at..].starts_with("\r\n") => at + 2,
            Some((at, c)) => at + c.len_utf8(),
            None => rest.len(),
        };
        let (line, after) = rest.split_at(end);
        lines.push(line);
        rest = after;
    }
    lines
}

fn push_lines(text: &mut String, sign: char, lines: &[&str]) {
    for line in lines {
        text.push(sign);
        text.push_str(line);
    }
}

fn hunk_range(range: Range<usize>) -> String {
    match range.len() {
        1 => format!("{}", range.start + 1),
        0 => format!("{},0", range.start),
        length => format!("{},{length}", range.start + 1),
    }
}

/// What becomes of a stretch of lines.
#[derive(Debug, Clone)]
struct Opcode {
    equal: bool,
    old: Range<usize>,
    new: Range<usize>,
}

fn opcodes(old: &[&str], new: &[&str]) -> Vec<Opcode> {
    let mut codes = Vec::new();
    let (mut i, mut j) = (0, 0);
    let end = (old.len(), new.len(), 0);
    for (at_old, at_new, length) in matches(old, new).into_iter().chain([end]) {
        if i < at_old || j < at_new {
            codes.push(Opcode { equal: false, old: i..at_old, new: j..at_new });
        }
        (i, j) = (at_old + length, at_new + length);
        if length > 0 {
            codes.push(Opcode { equal: true, old: at_old..i, new: at_new..j });
        }
    }
    codes
}

/// Changes with their context; changes that are near each other come together.
fn groups(codes: &[Opcode]) -> Vec<Vec<Opcode>> {
    let mut groups = Vec::new();
    let mut group: Vec<Opcode> = Vec::new();
    let last = codes.len().saturating_sub(1);
    for (index, code) in codes.iter().enumerate() {
        let Opcode { mut old, mut new, equal } = code.clone();
        if equal && index == 0 {
            old.start = old.start.max(old.end.saturating_sub(CONTEXT));
            new.start = new.start.max(new.end.saturating_sub(CONTEXT));
        }
        if equal && index == last {
            old.end = old.end.min(old.start + CONTEXT);
            new.end = new.end.min(new.start + CONTEXT);
        }
        if equal && old.len() > 2 * CONTEXT {
            let head = |range: &Range<usize>| range.start..range.start + CONTEXT;
            group.push(Opcode { equal, old: head(&old), new: head(&new) });
            groups.push(std::mem::take(&mut group));
            old.start = old.end - CONTEXT;
            new.start = new.end - CONTEXT;
        }
        group.push(Opcode { equal, old, new });
    }
    groups.push(group);
    groups.retain(|group| group.iter().any(|code| !code.equal));
    groups
}

/// Matching stretches in order, adjacent ones joined.
fn matches(old: &[&str], new: &[&str]) -> Vec<Match> {
    let mut found = Matcher::new(old, new).all().unwrap_or_else(|| ends(old, new));
    found.sort_unstable();
    let mut joined: Vec<Match> = Vec::new();
    for (i, j, length) in found {
        match joined.last_mut() {
            Some((a, b, before)) if *a + *before == i && *b + *before == j => *before += length,
            _ => joined.push((i, j, length)),
        }
    }
    joined
}

/// The common beginning and the common end.
fn ends(old: &[&str], new: &[&str]) -> Vec<Match> {
    let head = old.iter().zip(new).take_while(|(one, other)| one == other).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev());
    let tail = tail.take_while(|(one, other)| one == other).count();
    let all = [(0, 0, head), (old.len() - tail, new.len() - tail, tail)];
    all.into_iter().filter(|(_, _, length)| *length > 0).collect()
}

struct Matcher<'a> {
    old: &'a [&'a str],
    new: &'a [&'a str],
    /// Where each line that is not popular stands in `new`.
    places: HashMap<&'a str, Vec<usize>>,
    work: usize,
}

impl<'a> Matcher<'a> {
    fn new(old: &'a [&'a str], new: &'a [&'a str]) -> Self {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, line) in new.iter().enumerate() {
            places.entry(line).or_default().push(index);
        }
        if new.len() >= POPULAR_FROM {
            places.retain(|_, places| places.len() <= new.len() / 100 + 1);
        }
        Self { old, new, places, work: 0 }
    }

    /// The longest match, then the longest ones before and after it; nothing when that is too much work.
    fn all(mut self) -> Option<Vec<Match>> {
        let mut found = Vec::new();
        let mut open = vec![(0..self.old.len(), 0..self.new.len())];
        while let Some((old, new)) = open.pop() {
            let (i, j, length) = self.longest(&old, &new)?;
            if length == 0 {
                continue;
            }
            found.push((i, j, length));
            if old.start < i && new.start < j {
                open.push((old.start..i, new.start..j));
            }
            if i + length < old.end && j + length < new.end {
                open.push((i + length..old.end, j + length..new.end));
            }
        }
        Some(found)
    }

    /// The longest match within ranges, and of those the one that begins first; then grown by popular lines.
    fn longest(&mut self, old: &Range<usize>, new: &Range<usize>) -> Option<Match> {
        let mut best = (old.start, new.start, 0);
        let mut lengths: HashMap<usize, usize> = HashMap::new();
        for i in old.clone() {
            let places = self.places.get(self.old[i]).map_or(&[][..], Vec::as_slice);
            let from = places.partition_point(|place| *place < new.start);
            let mut next = HashMap::new();
            for &j in places[from..].iter().take_while(|place| **place < new.end) {
                let before = j.checked_sub(1).and_then(|before| lengths.get(&before));
                let length = before.copied().unwrap_or_default() + 1;
                next.insert(j, length);
                self.work += 1;
                if length > best.2 {
                    best = (i + 1 - length, j + 1 - length, length);
                }
            }
            self.work += 1;
            if self.work > MAX_WORK {
                return None;
            }
            lengths = next;
        }
        let (mut i, mut j, mut length) = best;
        while i > old.start && j > new.start && self.old[i - 1] == self.new[j - 1] {
            (i, j, length) = (i - 1, j - 1, length + 1);
        }
        while i + length < old.end && j + length < new.end && self.old[i + length] == self.new[j + length] {
            length += 1;
        }
        Some((i, j, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(unified_diff("m.py", "a\nb\n", "a\nb\n"), "");
        assert_eq!(unified_diff("m.py", "", ""), "");
    }

    #[test]
    fn changes_come_with_three_lines_around_them() {
        let old: String = (0..20).map(|line| format!("{line}\n")).collect();
        let new = old.replace("4\n", "four\n").replace("13\n", "").replace("1four\n", "14\n");
        let diff = unified_diff("m.py", &old, &new);
        let expected = "--- m.py\n+++ m.py\n@@ -2,7 +2,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n\
                        @@ -11,7 +11,6 @@\n 10\n 11\n 12\n-13\n 14\n 15\n 16\n";
        assert_eq!(diff, expected);
    }

    #[test]
    fn a_last_line_without_end_runs_into_the_next() {
        assert_eq!(unified_diff("m", "a", "b"), "--- m\n+++ m\n@@ -1 +1 @@\n-a+b");
        assert_eq!(
            unified_diff("m", "", "a\r\nb\u{2028}"),
            "--- m\n+++ m\n@@ -0,0 +1,2 @@\n+a\r\n+b\u{2028}"
        );
    }

    #[test]
    fn popular_lines_do_not_anchor_long_texts() {
        // As CPython 3.11 has it: with 200 lines or more, a line that is often there is no match by itself.
        let old: String = (0..150).map(|line| format!("{line}\n\n")).collect();
        let new: String = (150..300).map(|line| format!("{line}\n\n")).collect();
        let diff = unified_diff("m", &old, &new);
        assert_eq!(diff.lines().filter(|line| line.starts_with('-')).count(), 1 + 300);
    }

    #[test]
    fn repetitive_texts_are_compared_in_bounded_time() {
        let of = |first: usize| -> String {
            (0..60_000).map(|line| format!("{}\n", (line * first) % 101)).collect()
        };
        let diff = unified_diff("m", &of(1), &of(3));
        assert!(diff.starts_with("--- m\n+++ m\n@@ "));
    }
}
