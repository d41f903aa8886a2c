//! Patterns of paths as Python's `glob` reads them.

/// Characters of a pattern; a longer one matches nothing.
const MAX_PATTERN: usize = 256;

/// The paths that a pattern matches. A pattern that matches nothing is tried in any folder, unless it begins with
/// a wildcard.
pub(crate) fn matching<'a>(paths: &[&'a str], pattern: &str) -> Vec<&'a str> {
    if pattern.len() > MAX_PATTERN {
        return Vec::new();
    }
    let found = matching_from_root(paths, pattern);
    if found.is_empty() && !pattern.starts_with('*') {
        return matching_from_root(paths, &format!("**/{pattern}"));
    }
    found
}

fn matching_from_root<'a>(paths: &[&'a str], pattern: &str) -> Vec<&'a str> {
    let pattern: Vec<Vec<char>> = pattern.split('/').map(|part| part.chars().collect()).collect();
    paths.iter().filter(|path| matches_path(path, &pattern)).copied().collect()
}

/// `**` as a whole part stands for any number of folders; no wildcard stands for a name that begins with a dot.
fn matches_path(path: &str, pattern: &[Vec<char>]) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    // reachable[n]: the pattern so far can have matched the first n parts.
    let mut reachable = vec![false; parts.len() + 1];
    reachable[0] = true;
    for (index, part) in pattern.iter().enumerate() {
        let mut next = vec![false; parts.len() + 1];
        if part[..] == ['*', '*'] {
            // At the end it stands for what is in a folder, and not for the folder.
            let is_last = index + 1 == pattern.len();
            next[0] = reachable[0] && !is_last;
            let mut inside = false;
            for n in 1..=parts.len() {
                inside = (inside || reachable[n - 1]) && !parts[n - 1].starts_with('.');
                next[n] = inside || reachable[n] && !is_last;
            }
        } else {
            for n in 0..parts.len() {
                next[n + 1] = reachable[n] && matches_name(parts[n], part);
            }
        }
        reachable = next;
    }
    reachable[parts.len()]
}

fn matches_name(name: &str, pattern: &[char]) -> bool {
    let name: Vec<char> = name.chars().collect();
    let is_hidden = name.first() == Some(&'.') && pattern.first() != Some(&'.');
    !is_hidden && matches_chars(&name, pattern)
}

/// `fnmatch` of `*`, `?` and sets; steps back to the last `*` only, so that the time is bounded by the product of
/// the lengths.
pub(super) fn matches_chars(name: &[char], pattern: &[char]) -> bool {
    let (mut n, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((n, p));
            p += 1;
        } else if let Some(length) = pattern.get(p..).and_then(|rest| matches_one(name[n], rest)) {
            (n, p) = (n + 1, p + length);
        } else if let Some((at, star_at)) = star {
            star = Some((at + 1, star_at));
            (n, p) = (at + 1, star_at + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of the pattern one character matches.
fn matches_one(c: char, pattern: &[char]) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', rest @ ..] => match set(rest) {
            Some((members, negated)) => {
                (in_set(c, members) != negated).then_some(members.len() + 2 + usize::from(negated))
            }
            None => (c == '[').then_some(1),
        },
        [other, ..] => (c == *other).then_some(1),
        [] => None,
    }
}

/// The members of a set, whose first may be `]`, and whether it is negated.
fn set(rest: &[char]) -> Option<(&[char], bool)> {
    let negated = rest.first() == Some(&'!');
    let members = &rest[usize::from(negated)..];
    let end = members.iter().skip(1).position(|c| *c == ']')? + 1;
    Some((&members[..end], negated))
}

fn in_set(c: char, members: &[char]) -> bool {
    match members {
        [from, '-', to, rest @ ..] => (*from..=*to).contains(&c) || in_set(c, rest),
        [one, rest @ ..] => c == *one || in_set(c, rest),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 7] = [
        "setup.py",
        "a/core.py",
        "a/tests/test_core.py",
        "a/.hidden/x.py",
        "tests/test_a.py",
        "tests.py",
        "b/c/core.py",
    ];

    #[test]
    fn patterns_match_as_in_python() {
        for (pattern, expected) in [
            ("*.py", &["setup.py", "tests.py"][..]),
            ("a/*.py", &["a/core.py"]),
            (
                "**/*.py",
                &[
                    "setup.py",
                    "a/core.py",
                    "a/tests/test_core.py",
                    "tests/test_a.py",
                    "tests.py",
                    "b/c/core.py",
                ],
            ),
            ("**/tests/**", &["a/tests/test_core.py", "tests/test_a.py"]),
            ("**/test*/**", &["a/tests/test_core.py", "tests/test_a.py"]),
            ("core.py", &["a/core.py", "b/c/core.py"]),
            ("c/*.py", &["b/c/core.py"]),
            ("a/.hidden/*.py", &["a/.hidden/x.py"]),
            ("*_test.py", &[]),
            ("[st]e[!a-r]*.py", &["setup.py", "tests.py"]),
            ("tests?py", &["tests.py"]),
            ("[", &[]),
            ("", &[]),
            ("/a/core.py", &[]),
        ] {
            assert_eq!(matching(&PATHS, pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn hostile_patterns_take_no_exponential_time() {
        assert!(matching(&PATHS, &"**/".repeat(1000)).is_empty());
        let path = format!("{}/x", "a".repeat(200));
        assert!(matching(&[path.as_str()], &format!("{}/y", "*a".repeat(100))).is_empty());
        let deep = "a/".repeat(500);
        assert!(matching(&[deep.as_str()], &"**/".repeat(80)).len() <= 1);
    }
}
