//! The sections of `setup.cfg` and `pyproject.toml` that configure the test runner, brought back to those of the base
//! commit while the rest stays. Pure; the files are hostile.

/// The content that such a file must have, or `None` where the runner reads the same from both. `base` is empty where
/// the base commit has no such file.
pub(crate) fn with_runner_sections_of(path: &str, base: &[u8], current: &[u8]) -> Option<Vec<u8>> {
    let (Ok(base_text), Ok(text)) = (str::from_utf8(base), str::from_utf8(current)) else {
        return (base != current).then(|| base.to_vec());
    };
    if path.ends_with(".toml") { toml_file(base_text, text) } else { ini_file(base_text, text) }
}

fn ini_file(base: &str, current: &str) -> Option<Vec<u8>> {
    let is_runner = |name: &str| matches!(name, "tool:pytest" | "pytest");
    let sections = Sections { header: ini_header, is_runner };
    (sections.of_runner(base) != sections.of_runner(current)).then(|| sections.replace(base, current))
}

fn toml_file(base: &str, current: &str) -> Option<Vec<u8>> {
    let meaning = |text: &str| {
        let table: toml::Table = text.parse().ok()?;
        Some(table.get("tool").and_then(|tool| tool.get("pytest")).cloned())
    };
    let wanted = meaning(base);
    if meaning(current) == wanted {
        return None;
    }
    let is_runner = |name: &str| {
        let mut keys = name.split('.').map(|key| key.trim().trim_matches(['"', '\'']));
        keys.next() == Some("tool") && keys.next() == Some("pytest")
    };
    let replaced = Sections { header: toml_header, is_runner }.replace(base, current);
    // What is written in another way than as sections is not taken apart: then the whole file goes back.
    let same = str::from_utf8(&replaced).is_ok_and(|text| meaning(text) == wanted);
    Some(if same { replaced } else { base.as_bytes().to_vec() })
}

/// A section header of pytest's reader: at the start of a line, a comment may follow.
fn ini_header(line: &str) -> Option<&str> {
    let line = line.split(['#', ';']).next().unwrap_or_default().trim_end();
    line.strip_prefix('[')?.strip_suffix(']')
}

fn toml_header(line: &str) -> Option<&str> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let line = line.strip_prefix('[')?.strip_suffix(']')?;
    Some(line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).unwrap_or(line).trim())
}

/// How a file is cut into sections.
struct Sections {
    header: fn(&str) -> Option<&str>,
    is_runner: fn(&str) -> bool,
}

impl Sections {
    /// The lines of the runner's sections, or of all others.
    fn lines<'t>(&self, text: &'t str, of_runner: bool) -> Vec<&'t str> {
        let mut inside = false;
        let mut lines = Vec::new();
        for line in text.split_inclusive(is_line_end) {
            if let Some(name) = (self.header)(line.trim_end_matches(is_line_end)) {
                inside = (self.is_runner)(name);
            }
            if inside == of_runner {
                lines.push(line);
            }
        }
        lines
    }

    fn of_runner(&self, text: &str) -> String {
        self.lines(text, true).concat().trim_end().to_owned()
    }

    fn replace(&self, base: &str, current: &str) -> Vec<u8> {
        let mut text = self.lines(current, false).concat();
        let sections = self.lines(base, true).concat();
        if !text.is_empty() && !text.ends_with('\n') && !sections.is_empty() {
            text.push('\n');
        }
        text.push_str(&sections);
        text.into_bytes()
    }
}

/// Ends of lines as Python's `str.splitlines` sees them, which pytest's reader uses.
fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn restored(path: &str, base: &str, current: &str) -> Option<String> {
        let content = with_runner_sections_of(path, base.as_bytes(), current.as_bytes());
        content.map(|content| String::from_utf8(content).unwrap())
    }

    const INI: &str = "[metadata]\nname = x\n\n[tool:pytest]\naddopts = -q\n\n[mypy]\nstrict = 1\n";

    #[test]
    fn the_rest_of_a_file_stays_as_the_prediction_made_it() {
        let current = INI.replace("name = x", "name = y").replace("-q", "--deselect t::a");
        let expected = "[metadata]\nname = y\n\n[mypy]\nstrict = 1\n[tool:pytest]\naddopts = -q\n\n";
        assert_eq!(restored("setup.cfg", INI, &current).unwrap(), expected);
        assert_eq!(restored("setup.cfg", INI, &INI.replace("name = x", "name = y")), None);
        assert_eq!(restored("setup.cfg", "", "[pytest]\naddopts = -k x\n").unwrap(), "");
    }

    #[test]
    fn sections_are_found_as_pytest_finds_them() {
        for header in ["[tool:pytest] # why", "[x]\u{c}[tool:pytest]", "a = 1\r[pytest]"] {
            let current = format!("{header}\naddopts = -k x\n");
            let content = restored("setup.cfg", "", &current).unwrap();
            assert!(!content.contains("addopts"), "{header:?}: {content:?}");
        }
        assert_eq!(
            restored("setup.cfg", "", "[x]\na =\n  [tool:pytest]\n"),
            None,
            "an indented line is a value"
        );
    }

    #[test]
    fn a_table_is_restored_however_it_is_written() {
        let base =
            "[project]\nname = \"x\"\n[tool.pytest.ini_options]\naddopts = \"-q\"\n[tool.black]\nl = 1\n";
        let changed = base.replace("-q", "-k x").replace("\"x\"", "\"y\"");
        let content = restored("pyproject.toml", base, &changed).unwrap();
        assert!(
            content.contains("\"y\"") && content.contains("\"-q\"") && content.contains("black"),
            "{content}"
        );
        for hidden in [
            "[tool]\npytest.ini_options.addopts = \"-k x\"\n",
            "tool.pytest.ini_options = {addopts = \"-k x\"}\n",
            "[tool.\"pytest\".'ini_options']\naddopts = \"-k x\"\n",
            "[ tool . pytest . ini_options ]\naddopts = \"-k x\"\n",
            "x = \"\"\"\n[a]\n\"\"\"\n[tool]\n[tool.pytest]\nini_options = {addopts = \"-k x\"}\n",
        ] {
            let content = restored("pyproject.toml", "[project]\n", hidden).unwrap();
            assert!(!content.contains("-k x"), "{hidden}: {content}");
            assert!(restored("pyproject.toml", base, hidden).unwrap().contains("\"-q\""), "{hidden}");
        }
        assert_eq!(restored("pyproject.toml", base, "[broken").unwrap(), base);
        assert_eq!(restored("pyproject.toml", base, &base.replace("l = 1", "l = 2")), None);
    }

    #[test]
    fn what_is_no_text_goes_back_whole() {
        assert_eq!(with_runner_sections_of("setup.cfg", b"[a]\n", b"\xff"), Some(b"[a]\n".to_vec()));
    }

    proptest! {
        #[test]
        fn the_runner_reads_what_the_base_says(
            base in "(\\[pytest\\]\n|\\[x\\]\n|a = 1\n){0,6}",
            current in "(\\[pytest\\]|\\[tool:pytest\\]|\\[x\\]|a = 1|[\n\r\u{b}\u{85} #;\\[\\]]){0,30}"
        ) {
            let content = restored("setup.cfg", &base, &current).unwrap_or(current);
            let sections = Sections { header: ini_header, is_runner: |name| matches!(name, "tool:pytest" | "pytest") };
            prop_assert_eq!(sections.of_runner(&content), sections.of_runner(&base));
        }

        #[test]
        fn any_text_is_a_table(base in "[\\[\\]a-z.=\"\n]{0,40}", current in "[\\[\\]a-z.=\"'\n]{0,60}") {
            restored("pyproject.toml", &base, &current);
        }
    }
}
