//! Requirements files of a repository, with the files that they include.

use std::collections::BTreeSet;

use super::LeftOut;
use super::make::Sources;
use crate::EnvironmentError;

/// Files that one may include, all levels together.
const MAX_FILES: usize = 64;

/// The text at the first of the paths that the base commit has, with the files that it includes before it.
pub(super) async fn text(
    sources: &Sources<'_>,
    paths: &[String],
) -> Result<Option<String>, EnvironmentError> {
    match sources.first(paths).await? {
        Some((path, text)) => with_included(sources, path, text).await.map(Some),
        None => Ok(None),
    }
}

async fn with_included(sources: &Sources<'_>, path: &str, text: String) -> Result<String, EnvironmentError> {
    let mut seen = BTreeSet::from([path.to_owned()]);
    let mut texts = Vec::new();
    let mut waiting = vec![(path.to_owned(), text)];
    while let Some((path, text)) = waiting.pop() {
        let mut own = String::new();
        for line in text.lines() {
            let Some(included) = included(line) else {
                own.push_str(line);
                own.push('\n');
                continue;
            };
            let beside = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let included = joined(beside, included);
            if seen.len() < MAX_FILES
                && seen.insert(included.clone())
                && let Some(text) = sources.file(&included).await?
            {
                waiting.push((included, text));
            }
        }
        texts.push(own);
    }
    texts.reverse();
    Ok(texts.concat())
}

fn included(line: &str) -> Option<&str> {
    let line = line.trim();
    let rest = line.strip_prefix("--requirement").or_else(|| line.strip_prefix("-r"))?;
    let file = rest.split(" #").next().unwrap_or_default().trim_start_matches('=').trim();
    (!file.is_empty()).then_some(file)
}

/// A path from a folder of the repository, without `.` and `..`.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The requirements in a text, and what of it is left out.
pub(super) fn lines(text: &str) -> (Vec<String>, Vec<LeftOut>) {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    // A backslash joins a line with the next.
    for line in text.replace("\\\n", " ").lines().map(str::trim) {
        match reason(line) {
            None => kept.push(line.to_owned()),
            Some("") => {}
            Some(reason) => {
                left_out.push(LeftOut { what: line.to_owned(), reason: reason.to_owned() });
            }
        }
    }
    (kept, left_out)
}

/// Why a line is no requirement; empty where that goes without saying.
fn reason(line: &str) -> Option<&'static str> {
    let path = line.strip_prefix("-e").or_else(|| line.strip_prefix("--editable")).unwrap_or(line);
    match path.trim_start_matches('=').trim() {
        "" => Some(""),
        comment if comment.starts_with('#') => Some(""),
        own if own.starts_with('.') || own.starts_with('/') || own.starts_with("file:") => {
            Some("the repository is installed by its own command, after its requirements")
        }
        _ if line.starts_with("-e") || line.starts_with("--editable") => {
            Some("editable copies of other repositories are not kept in images")
        }
        option if option.starts_with('-') => Some("options of requirements files are not followed"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requirements_are_told_from_the_rest() {
        let text = "# x\n\npytest>=7, <8  # why\n-e .[all]\n.[test]\n--index-url https://h\n-e git+https://h/o/n\nnumpy \\\n  ; python_version < '3.9'\n";
        let (kept, left_out) = lines(text);
        assert_eq!(kept, ["pytest>=7, <8  # why", "numpy    ; python_version < '3.9'"]);
        let left_out: Vec<&str> = left_out.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(left_out, ["-e .[all]", ".[test]", "--index-url https://h", "-e git+https://h/o/n"]);
    }

    #[test]
    fn included_files_lie_beside_the_one_that_names_them() {
        assert_eq!(included(" -r requirements.txt # all"), Some("requirements.txt"));
        assert_eq!(included("--requirement=a/b.txt"), Some("a/b.txt"));
        assert_eq!(included("requests"), None);
        assert_eq!(joined("requirements", "../tests/./a.txt"), "tests/a.txt");
        assert_eq!(joined("", "../../etc/passwd"), "etc/passwd");
    }

    proptest! {
        #[test]
        fn any_text_gives_single_lines(text in "\\PC*") {
            let (kept, _) = lines(&text);
            prop_assert!(kept.iter().all(|line| !line.contains('\n') && !line.starts_with('-')));
        }
    }
}
