//! What a repository asks conda for, from its file.

use std::sync::LazyLock;

use regex::Regex;
use swegym_core::{RepoName, python};

use super::requirements::first_file;
use crate::EnvironmentError;

/// Paths that are tried for a repository, in order. Repositories are looked up with regard to case.
const PATHS: &[(&str, &[&str])] = &[
    ("bokeh/bokeh", &["conda/environment-test-3.10.yml", "environment.yml"]),
    (
        "dask/dask",
        &[
            "continuous_integration/environment-3.10.yaml",
            "continuous_integration/environment-3.9.yaml",
            "continuous_integration/environment-3.8.yaml",
            "continuous_integration/travis/travis-37.yaml",
        ],
    ),
    ("matplotlib/matplotlib", &["environment.yml"]),
    ("modin-project/modin", &["environment-dev.yml"]),
    ("pandas-dev/pandas", &["environment.yml"]),
    ("pydata/xarray", &["ci/requirements/environment.yml", "environment.yml"]),
    ("spyder-ide/spyder", &["requirements/main.yml"]),
];

/// `\s` of Python, for character classes.
const SPACE: &str = r"\s\x1c-\x1f";

#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static PIP_SECTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!(r"(?m)^[{SPACE}]*-[{SPACE}]*pip[{SPACE}]*:[{SPACE}]*\n")).unwrap());
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static YANKED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(r"(?m)^([{SPACE}]*-[{SPACE}]*)types-pkg_resources([<>=!~]=?.*|$)")).unwrap()
});

/// The conda environment of a repository at a commit, whose files `read` gives, under another name.
///
/// # Errors
/// [`EnvironmentError::NoPackageFile`] when there is none.
pub fn environment_yml_text(
    repo: &RepoName,
    env_name: &str,
    mut read: impl FnMut(&str) -> Option<String>,
) -> Result<String, EnvironmentError> {
    let paths = PATHS.iter().find(|(name, _)| *name == repo.as_str()).map_or(&[][..], |(_, paths)| *paths);
    let (_, text) = first_file(repo, paths, &mut read)?;
    let name = format!("name: {env_name}");
    let lines: Vec<_> =
        text.split('\n').map(|line| if line.starts_with("name:") { name.as_str() } else { line }).collect();
    Ok(lines.join("\n"))
}

/// Puts `types-setuptools` where SWE-bench 4.1.0 does: `types-pkg_resources` is no longer to be had. Only the section
/// for pip is changed; it ends at the first line that is indented no deeper than its head.
pub(super) fn replace_yanked_in_pip_section(text: &str) -> String {
    let Some(head) = PIP_SECTION.find(text) else { return text.to_owned() };
    let depth = indent(head.as_str());
    let mut end = head.end();
    let section_end = text[head.end()..].split('\n').find_map(|line| {
        let start = end;
        end += line.len() + 1;
        (!python::strip(line).is_empty() && indent(line) <= depth).then_some(start)
    });
    let (section, rest) = text[head.end()..].split_at(section_end.unwrap_or(text.len()) - head.end());
    format!("{}{}{rest}", &text[..head.end()], YANKED.replace_all(section, "${1}types-setuptools"))
}

/// How many characters of white space a text begins with; line ends count, as upstream counts them.
fn indent(text: &str) -> usize {
    text.chars().take_while(|character| python::is_space(*character)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(name: &str, path: &str, yml: &str) -> Result<String, EnvironmentError> {
        let repo = RepoName::new(name).unwrap();
        environment_yml_text(&repo, "testbed", |asked| (asked == path).then(|| yml.to_owned()))
    }

    #[test]
    fn every_name_at_the_start_of_a_line_is_replaced() {
        let yml = "name: a\r\nname:b\n  name: c";
        let renamed = "name: testbed\nname: testbed\n  name: c";
        assert_eq!(text("pydata/xarray", "environment.yml", yml).unwrap(), renamed);
    }

    #[test]
    fn repositories_are_told_apart_by_case() {
        let error = text("Dask/dask", "environment.yml", "").unwrap_err();
        assert_eq!(error.to_string(), "find the package list of `Dask/dask`: no path is known for it");
    }

    #[test]
    fn packages_are_replaced_in_the_section_for_pip_alone() {
        let yml = "dependencies:\n  - types-pkg_resources\n  - pip:\n    - types-pkg_resources==0.1\n\n    - x\n    \
                   - types-pkg_resources\n    - types-pkg_resources-2\n  - types-pkg_resources\n";
        let expected = "dependencies:\n  - types-pkg_resources\n  - pip:\n    - types-setuptools\n\n    - x\n    \
                        - types-setuptools\n    - types-pkg_resources-2\n  - types-pkg_resources\n";
        assert_eq!(replace_yanked_in_pip_section(yml), expected);
        let open = "- pip:\n  - types-pkg_resources";
        assert_eq!(replace_yanked_in_pip_section(open), "- pip:\n  - types-setuptools");
        let none = "- pip\n  - types-pkg_resources";
        assert_eq!(replace_yanked_in_pip_section(none), none);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "([ \t\r\n\u{1c}é]|- |pip:|types-pkg_resources|=|name:|x){0,40}") {
            replace_yanked_in_pip_section(&text);
        }
    }
}
