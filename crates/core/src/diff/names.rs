//! Which files a patch is about.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::file::DEV_NULL;
use super::python::pattern;
use super::{DiffError, parse};

static OLD_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u)--- a/(.*)"));

/// The two parts of a change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// Changes of the program.
    pub patch: Vec<u8>,
    /// Changes of files whose path has a word about tests in it.
    pub test_patch: Vec<u8>,
}

/// Splits a change into that of the program and that of its tests, as SWE-bench does when it collects instances.
///
/// # Errors
/// [`DiffError`] where unidiff raises an exception.
pub fn split_tests(patch: &[u8]) -> Result<Parts, DiffError> {
    let mut parts = Parts::default();
    for file in parse(patch)? {
        let part = if is_test_path(file.path()?) { &mut parts.test_patch } else { &mut parts.patch };
        file.write_to(part);
    }
    Ok(parts)
}

/// Whether SWE-bench takes a file for a test: `test` or `e2e` stands anywhere in its path, as in `latest.py`.
pub fn is_test_path(path: &[u8]) -> bool {
    path.windows(4).any(|part| part == b"test") || path.windows(3).any(|part| part == b"e2e")
}

/// The files that the fork of SWE-bench brings back to the base commit before tests run: whatever follows `--- a/`
/// anywhere in the test patch, so never a file that the patch adds.
pub fn reset_files(test_patch: &[u8]) -> Vec<&[u8]> {
    let names = OLD_NAME.captures_iter(test_patch).filter_map(|captures| captures.get(1));
    names.map(|name| name.as_bytes()).collect()
}

/// The files that SWE-bench 4 and later bring back to the base commit before tests run: those that the test patch
/// does not add, under their old names.
///
/// # Errors
/// [`DiffError`] where unidiff raises an exception.
pub fn modified_files(test_patch: &[u8]) -> Result<Vec<&[u8]>, DiffError> {
    let files = parse(test_patch)?;
    let old_names = files.into_iter().map(|file| file.source).filter(|name| *name != DEV_NULL);
    Ok(old_names.filter_map(|name| name.strip_prefix(b"a/")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_about_tests_anywhere_in_the_path_decides() {
        for (path, is_test) in [
            ("tests/test_x.py", true),
            ("docs/latest.rst", true),
            ("e2e/x.py", true),
            ("src/Test.py", false),
            ("src/x.py", false),
        ] {
            assert_eq!(is_test_path(path.as_bytes()), is_test, "{path}");
        }
        let file = |name: &str| format!("diff --git a/{name} b/{name}\nold mode 100644\nnew mode 100755\n");
        let (program, test) = (file("src/x.py"), file("tests/x.py"));
        let parts = split_tests(format!("{program}{test}{program}").as_bytes()).unwrap();
        assert_eq!(parts.patch, [program.as_bytes(), program.as_bytes()].concat());
        assert_eq!(parts.test_patch, test.as_bytes());
    }
}
