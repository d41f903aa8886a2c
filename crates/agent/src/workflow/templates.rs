//! Prompts: templates by name, each of which can be replaced.

use std::collections::BTreeMap;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

/// The templates that come with the program.
const BUILT_IN: [(&str, &str); 13] = [
    ("answer.j2", include_str!("../../prompts/workflow/answer.j2")),
    ("search_system.j2", include_str!("../../prompts/workflow/search_system.j2")),
    ("search.j2", include_str!("../../prompts/workflow/search.j2")),
    ("identify_system.j2", include_str!("../../prompts/workflow/identify_system.j2")),
    ("identify.j2", include_str!("../../prompts/workflow/identify.j2")),
    ("decide_system.j2", include_str!("../../prompts/workflow/decide_system.j2")),
    ("decide.j2", include_str!("../../prompts/workflow/decide.j2")),
    ("plan_system.j2", include_str!("../../prompts/workflow/plan_system.j2")),
    ("plan.j2", include_str!("../../prompts/workflow/plan.j2")),
    ("clarify_system.j2", include_str!("../../prompts/workflow/clarify_system.j2")),
    ("clarify.j2", include_str!("../../prompts/workflow/clarify.j2")),
    ("edit_system.j2", include_str!("../../prompts/workflow/edit_system.j2")),
    ("edit.j2", include_str!("../../prompts/workflow/edit.j2")),
];

/// The templates of a rollout, strict about missing variables and without any escaping.
#[derive(Debug, Clone)]
pub(crate) struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    /// The built-in ones, with those of `others` in their place.
    ///
    /// # Errors
    /// [`minijinja::Error`] when a template cannot be read.
    pub(crate) fn new(others: &BTreeMap<String, String>) -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        for (name, text) in BUILT_IN {
            environment.add_template(name, text)?;
        }
        for (name, text) in others {
            environment.add_template_owned(name.clone(), text.clone())?;
        }
        Ok(Self { environment })
    }

    /// Fills a template in.
    ///
    /// # Errors
    /// [`minijinja::Error`] when there is no such template, or it names a variable that is not given.
    pub(crate) fn render(&self, name: &str, facts: Value) -> Result<String, minijinja::Error> {
        self.environment.get_template(name)?.render(facts)
    }
}
