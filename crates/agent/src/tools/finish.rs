//! The tool that ends a rollout.

use serde_json::json;
use swegym_core::ToolSpec;

use super::arguments::Arguments;
use super::toolbox::{Reply, ToolError};

pub(super) const NAME: &str = "finish";

pub(super) fn spec() -> ToolSpec {
    ToolSpec {
        name: NAME.to_owned(),
        description:
            "Ends the work on the task. Call it when the task is done, or when nothing more can be done."
                .to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "What was done, in a sentence or two."},
            },
            "required": [],
        }),
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Reply, ToolError> {
    arguments.optional_text("message").map(|_| Reply::Finish)
}
