//! The lists in an `environment.yml` of conda: block lists of plain or quoted scalars, which is how they are written.

/// What an `environment.yml` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EnvironmentYml {
    /// Packages in conda's notation.
    pub(super) conda: Vec<String>,
    /// Requirements of the `pip:` list.
    pub(super) pip: Vec<String>,
}

/// Reads the `dependencies:` and the `pip:` list in it; everything else is not of interest.
pub(super) fn read(text: &str) -> EnvironmentYml {
    let mut found = EnvironmentYml::default();
    let mut in_dependencies = false;
    // Column of the dash before `pip:`, while its list goes on.
    let mut pip_column = None;
    for line in text.lines() {
        let line = without_comment(line);
        let column = line.len() - line.trim_start().len();
        let item = line.trim();
        if item.is_empty() {
            continue;
        }
        let Some(item) =
            item.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        else {
            in_dependencies = column == 0 && item == "dependencies:" || in_dependencies && column > 0;
            continue;
        };
        let item = unquote(item.trim());
        if !in_dependencies || item.is_empty() {
            continue;
        }
        if pip_column.is_some_and(|pip| column > pip) {
            found.pip.push(item.to_owned());
        } else if item == "pip:" {
            pip_column = Some(column);
        } else {
            pip_column = None;
            found.conda.push(item.to_owned());
        }
    }
    found
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    let comment = line.find(" #").or_else(|| line.find("\t#"));
    comment.map_or(line, |at| &line[..at])
}

fn unquote(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_lists_are_read() {
        let text = "# job\nname: test\nchannels:\n  - conda-forge\ndependencies:\n  # required\n  - python=3.10\n  - numpy=1.23  # old\n  - 'pandas>=1'\n  - pip\n  - pip:\n    - \"moto[all]\"\n    - git+https://host/o/n#egg=n\n  - scipy\nvariables:\n  - no\n";
        let read = read(text);
        assert_eq!(read.conda, ["python=3.10", "numpy=1.23", "pandas>=1", "pip", "scipy"]);
        assert_eq!(read.pip, ["moto[all]", "git+https://host/o/n#egg=n"]);
    }

    #[test]
    fn lists_may_stand_at_the_margin() {
        let read = read("dependencies:\n- a\n- pip:\n  - b\n- c\r\nprefix: /x\n- d");
        assert_eq!((read.conda, read.pip), (vec!["a".to_owned(), "c".to_owned()], vec!["b".to_owned()]));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[-# \\n:'\"a-z]{0,200}|\\PC*") {
            let read = read(&text);
            prop_assert!(read.conda.len() + read.pip.len() <= text.lines().count());
        }
    }
}
