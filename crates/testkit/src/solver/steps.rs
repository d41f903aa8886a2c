//! Scaffolds with tools: look, edit, run the tests, finish.

use serde_json::{Map, Value, json};
use swegym_core::{Message, Role};

use super::Dialect;
use super::fix::Fix;

const REPO: &str = "/testbed";
const BASH: &str = "execute_bash";
const EDITOR: &str = "str_replace_editor";

/// What the model does at once, and what it must see of it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) says: &'static str,
    pub(super) tool: &'static str,
    pub(super) arguments: Map<String, Value>,
    expects: Vec<String>,
}

impl Step {
    fn new(says: &'static str, tool: &'static str, arguments: Value, expects: &[&str]) -> Self {
        let Value::Object(arguments) = arguments else { unreachable!("arguments are written as objects") };
        Self { says, tool, arguments, expects: expects.iter().map(|text| (*text).to_owned()).collect() }
    }

    /// Whether an observation is what the step had to lead to.
    pub(super) fn check(&self, seen: &str) -> Result<(), String> {
        let missing = self.expects.iter().find(|text| !seen.contains(text.as_str()));
        missing.map_or(Ok(()), |text| Err(format!("`{text}` is missing in: {seen}")))
    }

    /// The call between tags, without what follows the stop word.
    pub(super) fn as_text(&self) -> String {
        let parameter = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("<parameter={name}>\n{value}\n</parameter>\n")
        };
        let parameters: String = self.arguments.iter().map(parameter).collect();
        format!("{}\n\n<function={}>\n{parameters}", self.says, self.tool)
    }

    /// The command as a block.
    pub(super) fn as_block(&self) -> String {
        let command = self.arguments.get("command").and_then(Value::as_str).unwrap_or_default();
        format!("{}\n\n```bash\n{command}\n```\n", self.says)
    }
}

/// The whole way to a fix.
pub(super) fn plan(fix: &Fix, dialect: Dialect, messages: &[Message]) -> Vec<Step> {
    match dialect {
        Dialect::CodeAct | Dialect::CodeActText => codeact(fix),
        _ => mini(fix, messages),
    }
}

fn codeact(fix: &Fix) -> Vec<Step> {
    let path = format!("{REPO}/{}", fix.path);
    let (first, last) = fix.lines;
    let (old, new) = fix.replacement(usize::MAX);
    vec![
        look(fix),
        Step::new(
            "There it is.",
            EDITOR,
            json!({"command": "view", "path": path, "view_range": [first.saturating_sub(5).max(1), last]}),
            &[fix.telling_line()],
        ),
        Step::new(
            "This is what breaks it.",
            EDITOR,
            json!({"command": "str_replace", "path": path, "old_str": old, "new_str": new}),
            &["Edited "],
        ),
        test(fix),
        Step::new("The tests pass.", "finish", json!({}), &[]),
    ]
}

fn mini(fix: &Fix, messages: &[Message]) -> Vec<Step> {
    let patch = fix.patch.to_text_lossy();
    let apply = format!("git apply - <<'END'\n{patch}END\ngit diff --stat");
    vec![
        look(fix),
        Step::new("This breaks it.", BASH, json!({ "command": apply }), &["1 file changed", "[exit code 0"]),
        test(fix),
        Step::new("The tests pass.", BASH, json!({ "command": last_command(messages) }), &[]),
    ]
}

fn look(fix: &Fix) -> Step {
    let line = fix.telling_line().trim();
    let command = format!("grep -rnF --include='*.py' -e {} .", quote(line));
    Step::new(
        "I look for the place.",
        BASH,
        json!({ "command": command }),
        &[&fix.path, line, "[exit code 0"],
    )
}

fn test(fix: &Fix) -> Step {
    let files: Vec<String> = fix.test_files.iter().map(|file| quote(file)).collect();
    let command = format!("python -m pytest -q -p no:cacheprovider {}", files.join(" "));
    Step::new("Now the tests.", BASH, json!({ "command": command }), &[" passed", "[exit code 0"])
}

/// The command that ends the work: what the task ends with.
fn last_command(messages: &[Message]) -> String {
    let task = messages.iter().find(|message| message.role == Role::User);
    let lines = task.map(|task| task.content.lines().rev()).into_iter().flatten();
    let mut commands = lines.filter(|line| !line.trim().is_empty() && !line.starts_with("```"));
    commands.next().unwrap_or_default().to_owned()
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
