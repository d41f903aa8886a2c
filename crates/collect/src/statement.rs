//! The problem statement of a planted bug, told from the tests that fail; it must not tell the fix.

use swegym_core::Patch;

/// Test ids that are named.
const MAX_NAMED: usize = 5;
/// Tests whose failure is shown.
const MAX_SHOWN: usize = 3;
/// Tests among which those shown are looked for: parameters often fail all in the same way.
const MAX_READ: usize = 30;
/// Lines shown of one test.
const MAX_CALL_LINES: usize = 3;
const MAX_ERROR_LINES: usize = 6;
/// Characters shown of a line.
const MAX_LINE: usize = 200;
/// Shorter lines of the gold patch, such as `else:`, occur everywhere and give nothing away.
const MIN_TELLING: usize = 9;

/// What was observed of a bug.
pub(crate) struct Observed<'a> {
    /// Name of the package, as its users know it.
    pub(crate) distribution: &'a str,
    pub(crate) version: &'a str,
    pub(crate) fail_to_pass: &'a [String],
    /// Logs of the runs with the bug; only what all of them say is repeated.
    pub(crate) logs: &'a [&'a str],
    /// The patch that must not show through.
    pub(crate) gold: &'a Patch,
    /// The file it changes.
    pub(crate) file: &'a str,
}

/// What one test did: the line of the test that failed, and how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Failing {
    call: Vec<String>,
    errors: Vec<String>,
}

/// The problem statement, in Markdown.
pub(crate) fn statement(observed: &Observed<'_>) -> String {
    let Observed { distribution, version, fail_to_pass, .. } = observed;
    let tests = if fail_to_pass.len() == 1 { "a test fails" } else { "tests fail" };
    let mut text = format!(
        "In {distribution} {version} {tests}: the library does not behave as its own tests expect.\n\n{}\n\n",
        heading(fail_to_pass.len())
    );
    for id in fail_to_pass.iter().take(MAX_NAMED) {
        text.push_str(&format!("- `{}`\n", clip(id)));
    }
    for (id, failing) in telling(observed) {
        text.push_str(&shown(id, &failing));
    }
    text.push_str(
        "\nThe tests in the repository show the expected behaviour. Find the cause in the library and fix it there; \
         the tests are right and must stay as they are. Tests that pass now must go on passing.\n",
    );
    text
}

/// The failures that are shown: different ones, from the first of the tests.
fn telling<'a>(observed: &Observed<'a>) -> Vec<(&'a String, Failing)> {
    let logs: Vec<Vec<Block<'_>>> = observed.logs.iter().map(|log| blocks(log)).collect();
    let mut telling: Vec<(&String, Failing)> = Vec::new();
    for id in observed.fail_to_pass.iter().take(MAX_READ) {
        let failing = agreed(&logs, id).filter(|failing| !gives_away(failing, observed));
        if let Some(failing) = failing
            && telling.len() < MAX_SHOWN
            && telling.iter().all(|(_, other)| *other != failing)
        {
            telling.push((id, failing));
        }
    }
    telling
}

fn heading(failing: usize) -> String {
    match failing {
        1 => "The failing test:".to_owned(),
        _ if failing > MAX_NAMED => format!("{failing} tests fail, among them:"),
        _ => "The failing tests:".to_owned(),
    }
}

fn shown(id: &str, failing: &Failing) -> String {
    let mut text = format!("\n`{}`", clip(id));
    if !failing.call.is_empty() {
        text.push_str(&format!(" fails at\n\n{}\nwith\n", indented(&failing.call)));
    } else {
        text.push_str(" fails with\n");
    }
    text.push('\n');
    text.push_str(&indented(&failing.errors));
    text
}

/// A Markdown code block that no line of it can end.
fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

fn clip(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(MAX_LINE).collect()
}

/// What every log says about a test; `None` where one of them shows no error of it. Lines that differ, such as
/// those with addresses, are left out.
fn agreed(logs: &[Vec<Block<'_>>], id: &str) -> Option<Failing> {
    let mut each = logs.iter().map(|blocks| find(blocks, id).map(Block::failing));
    let mut common = each.next()??;
    for failing in each {
        let failing = failing?;
        common.call.retain(|line| failing.call.contains(line));
        common.errors.retain(|line| failing.errors.contains(line));
    }
    (!common.errors.is_empty()).then_some(common)
}

/// Whether what is shown holds a changed line, or names the file of the fix.
fn gives_away(failing: &Failing, observed: &Observed<'_>) -> bool {
    let gold = observed.gold.to_text_lossy();
    let body = gold.lines().skip_while(|line| !line.starts_with("@@"));
    let telling = body
        .filter_map(|line| line.strip_prefix(['-', '+']))
        .map(str::trim)
        .filter(|line| line.chars().count() >= MIN_TELLING)
        .chain([observed.file]);
    let all = || failing.call.iter().chain(&failing.errors);
    telling.into_iter().any(|secret| all().any(|line| line.contains(secret)))
}

/// What pytest reports about one failing test.
struct Block<'a> {
    title: &'a str,
    lines: Vec<&'a str>,
}

/// The blocks of the section `FAILURES`.
fn blocks(log: &str) -> Vec<Block<'_>> {
    let section = log.lines().skip_while(|line| ruled(line, '=') != Some("FAILURES")).skip(1);
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in section.take_while(|line| ruled(line, '=').is_none()) {
        if let Some(title) = ruled(line, '_') {
            blocks.push(Block { title, lines: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            block.lines.push(line);
        }
    }
    blocks
}

/// The title in a line such as `____ title ____`; `_ _ _ _` has none.
fn ruled(line: &str, rule: char) -> Option<&str> {
    let inner = line.strip_prefix(rule)?.strip_suffix(rule)?;
    let title = inner.trim_matches(rule).strip_prefix(' ')?.strip_suffix(' ')?;
    title.contains(|c| c != rule && c != ' ').then_some(title)
}

/// The block of a test: titles lack the file, so that the file must be named in it where tests share a title.
/// Log parsers cut ids at white space, which titles keep.
fn find<'a, 'b>(blocks: &'b [Block<'a>], id: &str) -> Option<&'b Block<'a>> {
    let (file, name) = id.split_once("::")?;
    let bracket = name.find('[').unwrap_or(name.len());
    let name = format!("{}{}", name[..bracket].replace("::", "."), &name[bracket..]);
    let matching = |block: &&Block<'_>| {
        block.title.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    blocks.iter().filter(matching).find(|block| block.lines.iter().any(|line| line.starts_with(file)))
}

impl Block<'_> {
    /// The first frame's source is the test's own line; `E` lines say what went wrong. Every other frame is
    /// inside the library, or a way to it, and is left out.
    fn failing(&self) -> Failing {
        let own = self.lines.iter().take_while(|line| !line.starts_with("---"));
        let mut failing = Failing::default();
        let mut frames = 0;
        for line in own {
            if let Some(error) = line.strip_prefix("E  ") {
                failing.errors.push(clip(error.strip_prefix(' ').unwrap_or(error)));
            } else if line.contains(": in ") && !line.starts_with(' ') {
                frames += 1;
            } else if let Some(call) = line.strip_prefix("    ").filter(|call| frames == 1 && is_source(call))
            {
                failing.call.push(clip(call));
            }
        }
        failing.call.truncate(MAX_CALL_LINES);
        failing.errors.retain(|line| !line.trim().is_empty());
        failing.errors.truncate(MAX_ERROR_LINES);
        failing
    }
}

/// Whether a line is code, not the marks that newer Pythons put under it.
fn is_source(line: &str) -> bool {
    line.contains(|c| !matches!(c, ' ' | '^' | '~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
collected 3 items

=================================== FAILURES ===================================
_______________________________ TestBox.test_get _______________________________
tests/test_box.py:5: in test_get
    assert Box([1, 2]).last() == 2
           ^^^^^^^^^^^^^^^^^^
src/box/core.py:12: in last
    return self.items[len(self.items)]
E   IndexError: list index out of range
______________________________ test_size[a b] __________________________________
tests/test_box.py:9: in test_size
    assert size(Box([1])) == 1
E   assert 2 == 1
E    +  where 2 = size(<Box at 0x7f01>)
----------------------------- Captured stdout call -----------------------------
E   nonsense
=========================== short test summary info ============================
FAILED tests/test_box.py::TestBox::test_get - IndexError: list index out of range
";

    fn told(logs: &[&str], gold: &str, ids: &[&str]) -> String {
        let fail_to_pass: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        statement(&Observed {
            distribution: "box",
            version: "1.0",
            fail_to_pass: &fail_to_pass,
            logs,
            gold: &gold.into(),
            file: "src/box/core.py",
        })
    }

    const GOLD: &str =
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-return self.items[len(self.items)]\n+return self.items[-1]\n";

    #[test]
    fn it_tells_what_the_tests_saw_and_not_where_the_bug_is() {
        let other = LOG.replace("0x7f01", "0x7f99");
        let ids = ["tests/test_box.py::TestBox::test_get", "tests/test_box.py::test_size[a"];
        assert_eq!(
            told(&[LOG, &other], GOLD, &ids),
            "In box 1.0 tests fail: the library does not behave as its own tests expect.\n\n\
             The failing tests:\n\n\
             - `tests/test_box.py::TestBox::test_get`\n- `tests/test_box.py::test_size[a`\n\n\
             `tests/test_box.py::TestBox::test_get` fails at\n\n    assert Box([1, 2]).last() == 2\n\n\
             with\n\n    IndexError: list index out of range\n\n\
             `tests/test_box.py::test_size[a` fails at\n\n    assert size(Box([1])) == 1\n\n\
             with\n\n    assert 2 == 1\n\n\
             The tests in the repository show the expected behaviour. Find the cause in the library and fix it \
             there; the tests are right and must stay as they are. Tests that pass now must go on passing.\n"
        );
    }

    #[test]
    fn lines_of_the_fix_do_not_show_through() {
        let ids = ["tests/test_box.py::TestBox::test_get"];
        for gold in ["@@\n-list index out of range\n", "@@\n+   IndexError: list index\n"] {
            let text = told(&[LOG], gold, &ids);
            assert!(!text.contains("IndexError"), "{text}");
            assert!(text.contains(ids[0]));
        }
        let named = LOG.replace("list index", "src/box/core.py: list");
        assert!(!told(&[&named], GOLD, &ids).contains("core.py"));
        assert!(!told(&[LOG], GOLD, &ids).contains("self.items"));
    }

    #[test]
    fn many_tests_are_counted() {
        let ids: Vec<String> = (0..12).map(|i| format!("t.py::test_{i}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let text = told(&[""], "", &ids);
        assert!(text.contains("12 tests fail, among them:"), "{text}");
        assert_eq!(text.matches("- `t.py::").count(), MAX_NAMED);
    }

    proptest::proptest! {
        #[test]
        fn any_log_is_read(log in "(=== FAILURES ===\n)?([_= aE:\u{e9}>-]{0,12}\n){0,20}", id in "[a-z:\\[é]{0,9}") {
            told(&[&log, &log], "", &[&id]);
        }
    }
}
