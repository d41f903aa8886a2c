//! Prompts: minijinja templates in `prompts/`, each of which a folder of the user's may replace by a file of the same
//! name. They are filled in without any escaping; a variable that nobody gives is an error, found when the folder is
//! read and not in the middle of a rollout.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use swegym_core::ToolSpec;

use crate::PromptError;

/// File that replaces the tools as they are listed to the policy.
const TOOLS: &str = "tools.json";
/// The words around calls in text form, which scaffolds have nothing to do with.
const TEXT_CALLS: &str = "text_calls.json";
/// Bytes of a file.
const SIZE_LIMIT: u64 = 4 << 20;

/// A prompt of a scaffold.
#[derive(Debug)]
pub struct Template {
    /// Its file name.
    pub file: &'static str,
    /// Its text, where nothing replaces it.
    pub source: &'static str,
    /// Variables for a trial: all that it may name, each with a value of its kind.
    pub sample: fn() -> Value,
}

/// The prompts of a scaffold.
#[derive(Debug, Clone)]
pub struct Prompts {
    templates: &'static [Template],
    replaced: BTreeMap<String, String>,
    tools: Option<Vec<ToolSpec>>,
    digest: Option<String>,
}

impl Prompts {
    /// Those that come with the scaffold.
    pub const fn builtin(templates: &'static [Template]) -> Self {
        Self { templates, replaced: BTreeMap::new(), tools: None, digest: None }
    }

    /// The same, with the files of a folder in place of those of the same name. Beside them it may hold `tools.json`,
    /// the tools as they are listed to the policy; `known` are those that the scaffold has.
    ///
    /// # Errors
    /// [`PromptError`] names the file, and the line where one is at fault: what cannot be read, is no prompt of this
    /// scaffold, is no template, or names a variable that the prompt does not have.
    pub fn from_folder(
        templates: &'static [Template],
        known: &[ToolSpec],
        folder: &Path,
    ) -> Result<Self, PromptError> {
        let at = |path: &Path, error: std::io::Error| {
            PromptError::new(path.display().to_string(), None, error.to_string())
        };
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(|error| at(folder, error))? {
            let path = entry.map_err(|error| at(folder, error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut text = String::new();
            let file = std::fs::File::open(&path).map_err(|error| at(&path, error))?;
            file.take(SIZE_LIMIT).read_to_string(&mut text).map_err(|error| at(&path, error))?;
            files.insert(name, text);
        }
        Self::from_files(templates, known, files)
    }

    /// The same with files that are read already: name -> text.
    ///
    /// # Errors
    /// As for [`Self::from_folder`].
    pub fn from_files(
        templates: &'static [Template],
        known: &[ToolSpec],
        mut files: BTreeMap<String, String>,
    ) -> Result<Self, PromptError> {
        let digest = digest(&files);
        files.remove(TEXT_CALLS);
        let tools = files.remove(TOOLS).map(|text| tools(&text, known)).transpose()?;
        for (file, text) in &files {
            let template = templates.iter().find(|template| template.file == file);
            check(template.ok_or_else(|| unknown(file, templates))?, text)?;
        }
        Ok(Self { templates, replaced: files, tools, digest: Some(digest) })
    }

    /// The text of every prompt, before it is filled in.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &str> {
        let source = |template: &'static Template| {
            self.replaced.get(template.file).map_or(template.source, String::as_str)
        };
        self.templates.iter().map(source)
    }

    /// SHA-256 of the files that replace something, in hexadecimal; `None` where there is no folder.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The tools as they are listed to the policy, where they are not `builtin`.
    pub(crate) fn tools(&self, builtin: Vec<ToolSpec>) -> Vec<ToolSpec> {
        self.tools.clone().unwrap_or(builtin)
    }

    /// Fills in a prompt.
    ///
    /// # Errors
    /// [`PromptError`] when there is no such prompt, or it fails on these values alone.
    pub fn render(&self, file: &str, facts: Value) -> Result<String, PromptError> {
        let source = self.replaced.get(file).map(String::as_str);
        let builtin = || self.templates.iter().find(|template| template.file == file).map(|t| t.source);
        let source = source.or_else(builtin).ok_or_else(|| unknown(file, self.templates))?;
        render(file, source, facts)
    }
}

fn render(file: &str, source: &str, facts: Value) -> Result<String, PromptError> {
    let mut environment = environment();
    environment.add_template(file, source).map_err(|error| PromptError::of(file, &error))?;
    let rendered = environment.get_template(file).and_then(|template| template.render(facts));
    rendered.map_err(|error| PromptError::of(file, &error))
}

fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // A template is the user's own, yet no mistake in it may hang a run.
    environment.set_recursion_limit(100);
    environment
}

/// A trial: what would fail in a rollout fails here. Variables are looked for in every branch.
fn check(template: &Template, source: &str) -> Result<(), PromptError> {
    let file = template.file;
    let mut environment = environment();
    environment.add_template(file, source).map_err(|error| PromptError::of(file, &error))?;
    let compiled = environment.get_template(file).map_err(|error| PromptError::of(file, &error))?;
    let sample = (template.sample)();
    let known: Vec<String> = sample.try_iter().into_iter().flatten().map(|key| key.to_string()).collect();
    let globals: Vec<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
    let mut named: Vec<String> = compiled.undeclared_variables(false).into_iter().collect();
    named.sort_unstable();
    if let Some(name) = named.iter().find(|name| !known.contains(name) && !globals.contains(name)) {
        let line = source.lines().position(|line| line.contains(name.as_str())).map(|index| index + 1);
        let message = format!("there is no variable `{name}`; there are {}", listed(&known));
        return Err(PromptError::new(file.to_owned(), line, message));
    }
    compiled.render(sample).map(drop).map_err(|error| PromptError::of(file, &error))
}

fn unknown(file: &str, templates: &[Template]) -> PromptError {
    let names: Vec<String> = templates.iter().map(|template| template.file.to_owned()).collect();
    let message = format!("this scaffold has no such prompt; it has {} and `{TOOLS}`", listed(&names));
    PromptError::new(file.to_owned(), None, message)
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A tool as endpoints take it, or without the wrapping.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Wrapped { function: ToolSpec },
    Plain(ToolSpec),
}

fn tools(text: &str, known: &[ToolSpec]) -> Result<Vec<ToolSpec>, PromptError> {
    let error = |line, message: String| PromptError::new(TOOLS.to_owned(), line, message);
    let listed: Vec<Listed> =
        serde_json::from_str(text).map_err(|cause| error(Some(cause.line()), cause.to_string()))?;
    let tools = listed.into_iter().map(|tool| match tool {
        Listed::Wrapped { function: tool } | Listed::Plain(tool) => tool,
    });
    let tools: Vec<ToolSpec> = tools.collect();
    match tools.iter().find(|tool| !known.iter().any(|known| known.name == tool.name)) {
        Some(tool) => Err(error(None, format!("this scaffold has no tool `{}`", tool.name))),
        None => Ok(tools),
    }
}

/// Names and texts, so that equal folders have equal digests wherever they lie.
fn digest(files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for text in files.iter().flat_map(|(name, text)| [name, text]) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    const TEMPLATES: &[Template] = &[
        Template { file: "a.j2", source: "{{ name }}!", sample: || context! { name => "x", count => 2 } },
        Template { file: "b.j2", source: "fixed", sample: || context! {} },
    ];

    fn known() -> Vec<ToolSpec> {
        vec![ToolSpec {
            name: "finish".into(),
            description: String::new(),
            parameters: serde_json::json!({}),
        }]
    }

    fn with(file: &str, text: &str) -> Result<Prompts, String> {
        let files = BTreeMap::from([(file.to_owned(), text.to_owned())]);
        Prompts::from_files(TEMPLATES, &known(), files).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_replaces_the_prompt_of_its_name_and_no_other() {
        let prompts = with("a.j2", "Dear {{ name }}{% if count > 1 %}s{% endif %}").unwrap();
        let facts = || context! { name => "<a & {{ b }}>", count => 2 };
        assert_eq!(prompts.render("a.j2", facts()).unwrap(), "Dear <a & {{ b }}>s");
        assert_eq!(prompts.render("b.j2", facts()).unwrap(), "fixed");
        assert_eq!(Prompts::builtin(TEMPLATES).render("a.j2", facts()).unwrap(), "<a & {{ b }}>!");
        assert!(prompts.digest().is_some_and(|digest| digest.len() == 64));
        assert_ne!(prompts.digest(), with("a.j2", "Dear {{ name }}").unwrap().digest());
        assert_eq!(Prompts::builtin(TEMPLATES).digest(), None);
    }

    #[test]
    fn what_would_fail_in_a_rollout_fails_when_the_folder_is_read() {
        let cases = [
            ("c.j2", "x", "read the prompt `c.j2`: this scaffold has no such prompt; it has `a.j2`, `b.j2`"),
            ("a.j2", "\n\n{% if count", "read the prompt `a.j2`: line 3: syntax error"),
            (
                "a.j2",
                "a\n{% if count > 7 %}{{ nmae }}{% endif %}",
                "read the prompt `a.j2`: line 2: there is no variable `nmae`; there are `name`, `count`",
            ),
            ("a.j2", "\n{{ name | frobnicate }}", "read the prompt `a.j2`: line 2: unknown filter"),
            ("b.j2", "{{ name }}", "there is no variable `name`"),
            ("tools.json", "[\n{\"name\": 1}]", "read the prompt `tools.json`: line 2: "),
            (
                "tools.json",
                "[{\"name\": \"fly\", \"description\": \"\", \"parameters\": {}}]",
                "no tool `fly`",
            ),
        ];
        for (file, text, expected) in cases {
            let error = with(file, text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn tools_are_listed_as_endpoints_take_them_or_plainly() {
        let plain = "{\"name\": \"finish\", \"description\": \"Ends it.\", \"parameters\": {}}";
        for text in [format!("[{plain}]"), format!("[{{\"type\": \"function\", \"function\": {plain}}}]")] {
            let prompts = with("tools.json", &text).unwrap();
            assert_eq!(prompts.tools(known())[0].description, "Ends it.");
        }
    }
}
