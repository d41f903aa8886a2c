//! The tool that does nothing: it lets the policy think where an answer must make a call.

use serde_json::json;
use swegym_core::ToolSpec;

use super::arguments::Arguments;
use super::toolbox::{Observed, ToolError};
use crate::history::End;

pub(super) const NAME: &str = "think";

pub(super) fn spec() -> ToolSpec {
    ToolSpec {
        name: NAME.to_owned(),
        description:
            "Writes a thought down and changes nothing: to weigh several fixes, or to plan a longer change."
                .to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {"thought": {"type": "string", "description": "The thought."}},
            "required": ["thought"],
        }),
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Observed, ToolError> {
    arguments.text("thought").map(|_| Observed { text: "Noted.".to_owned(), end: End::Other })
}
