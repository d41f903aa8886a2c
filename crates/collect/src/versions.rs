//! The version of a repository at a commit, which selects its environment spec: two parts, such as `4.1`.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use swegym_core::{RepoName, python};

use crate::text::without_spans;
use crate::version_table::{COMMANDS, FILES};

/// How a file says the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionForm {
    /// `__version__ = "1.2.3"`, or `VERSION = (1, 2, 3)`.
    Assigned,
    /// As [`Self::Assigned`], or `__version__ = version = "1.2.3"`.
    AssignedTwice,
    /// The first line.
    FirstLine,
    /// `version_info = 1, 2, 3`.
    VersionInfo,
}

/// Where the version of a repository is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionFiles {
    /// Paths of files that may say it, in the order in which they are read.
    pub paths: &'static [&'static str],
    form: VersionForm,
}

impl VersionFiles {
    /// Files of a repository. Repositories are looked up with regard to case; many have none.
    pub fn of(repo: &RepoName) -> Option<Self> {
        let (_, paths, form) = FILES.iter().find(|(name, ..)| *name == repo.as_str())?;
        Some(Self { paths, form: *form })
    }

    /// The version that the first file that says one has. `read` gives the text of a file of the commit.
    pub fn version(&self, mut read: impl FnMut(&str) -> Option<String>) -> Option<String> {
        let said = self.paths.iter().find_map(|path| self.form.find(&read(path)?))?;
        Some(two_parts(&said))
    }
}

/// Shell command that prints the version when it is run in the repository at the commit.
pub fn version_command(repo: &RepoName) -> Option<&'static str> {
    COMMANDS.iter().find(|(name, _)| *name == repo.as_str()).map(|(_, command)| *command)
}

/// The version in the output of a command; empty where the output has none.
pub fn version_from_output(output: &str) -> String {
    two_parts(output)
}

/// Kept from upstream: only what is a digit or a dot is left of the two parts, so `2.0rc1` is `2.01`.
fn two_parts(version: &str) -> String {
    let mut version = version.to_owned();
    for separator in ['.', ','] {
        if version.contains(separator) {
            let parts: Vec<_> = python::strip(&version).split(separator).take(2).collect();
            version = parts.join(".");
        }
    }
    version.retain(|character| character.is_ascii_digit() || character == '.');
    version
}

#[expect(clippy::unwrap_used, reason = "the patterns are constant and covered by tests")]
static STRING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"__version__ = ['"](.*)['"]"#).unwrap());
#[expect(clippy::unwrap_used, reason = "the patterns are constant and covered by tests")]
static STRING_TWICE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"__version__ = version = ['"](.*)['"]"#).unwrap());
#[expect(clippy::unwrap_used, reason = "the patterns are constant and covered by tests")]
static TUPLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"VERSION = \((.*)\)").unwrap());
#[expect(clippy::unwrap_used, reason = "the patterns are constant and covered by tests")]
static VERSION_INFO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"version_info = (\d+,[\d\s\x1c-\x1f]+,)").unwrap());

impl VersionForm {
    fn find(self, text: &str) -> Option<String> {
        let text = without_spans(text, "\"\"\"", "\"\"\"");
        let first = |patterns: &[&Regex]| {
            let found = patterns.iter().find_map(|pattern| pattern.captures(&text))?;
            Some(group(&found).replace(' ', ""))
        };
        match self {
            Self::Assigned => first(&[&STRING, &TUPLE]),
            Self::AssignedTwice => first(&[&STRING, &STRING_TWICE, &TUPLE]),
            Self::FirstLine => text.split('\n').next().map(|line| line.replace(' ', "")),
            Self::VersionInfo => Some(group(&VERSION_INFO.captures(&text)?).replace(',', ".")),
        }
    }
}

fn group<'t>(found: &Captures<'t>) -> &'t str {
    found.get(1).map_or("", |group| group.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repo(name: &str) -> RepoName {
        RepoName::new(name).unwrap()
    }

    fn version(name: &str, files: &[(&str, &str)]) -> Option<String> {
        let read =
            |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
        VersionFiles::of(&repo(name)).unwrap().version(read)
    }

    #[test]
    fn the_first_file_and_form_that_say_a_version_count() {
        let moto = |text| version("getmoto/moto", &[("moto/__init__.py", text)]);
        let cases = [
            ("__version__ = '1.2.3'\n", Some("1.2")),
            ("\"\"\"\n__version__ = '9.9'\n\"\"\"__version__ = \"1.5.2\"  # 'x'\n", Some("1.5")),
            ("VERSION = (3, 2, 0, 'alpha', 0)\n__version__ = '4'", Some("4")),
            ("VERSION = (3, 2, 0, 'alpha', 0)\n", Some("3.2")),
            ("__version__ = '2.0rc1'", Some("2.01")),
            ("__version__ = 'x'", Some("")),
            ("__version__='1.2.3'", None),
        ];
        for (text, expected) in cases {
            assert_eq!(moto(text).as_deref(), expected, "{text}");
        }
        let files = [("flask/__init__.py", "__version__ = '0.9'"), ("src/flask/__init__.py", "pass")];
        assert_eq!(version("pallets/flask", &files).unwrap(), "0.9");
        assert_eq!(version("pallets/flask", &[]), None);
    }

    #[test]
    fn other_forms_are_read() {
        let cases = [
            ("pytest-dev/pytest", "_pytest/_version.py", "__version__ = version = '5.4.1'\n", "5.4"),
            ("Qiskit/qiskit", "qiskit/VERSION.txt", "0. 46.0\nx", "0.46"),
            ("pyvista/pyvista", "pyvista/_version.py", "version_info = 0, 39, 'dev0'", "0.39"),
        ];
        for (name, path, text, expected) in cases {
            assert_eq!(version(name, &[(path, text)]).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(VersionFiles::of(&repo("Django/django")), None);
    }

    #[test]
    fn output_of_commands_is_cut_to_two_parts() {
        for (output, expected) in [
            ("2.1.0.dev0+377.g1234567\n", "2.1"),
            ("3, 2, 0\n", "3.2"),
            ("0.990+dev", "0.990"),
            ("1.2,3.4", "1.2.3"),
            ("\u{1f} 1.2.3", "1.2"),
            ("٣.١", "."),
            ("unknown\n", ""),
            ("warning: x.y\n1.2.3\n", ".1"),
        ] {
            assert_eq!(version_from_output(output), expected, "{output}");
        }
        assert_eq!(version_command(&repo("bokeh/bokeh")), Some("git describe"));
        assert_eq!(version_command(&repo("getmoto/moto")), None);
    }

    #[test]
    fn no_repository_has_both_files_and_a_command_nor_one_of_them_twice() {
        let mut names: Vec<_> =
            FILES.iter().map(|(name, ..)| *name).chain(COMMANDS.iter().map(|(name, _)| *name)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(
            text in "(\"\"\"|'|\"|__version__ = |version = |VERSION = \\(|\\)|version_info = |[0-9., \n\u{1f}é]){0,40}"
        ) {
            for (_, _, form) in FILES {
                form.find(&text);
            }
            version_from_output(&text);
        }
    }
}
