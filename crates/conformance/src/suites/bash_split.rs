//! `bash_split`: the input of a shell as top-level commands.

use serde_json::{Value, json};
use swegym_agent::split_commands;

use crate::compare::{same_outcome, text};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let split = split_commands(text(record, "command")?);
    let ours = split.as_ref().map(|commands| json!(commands)).map_err(|error| error.kind);
    same_outcome("commands", ours, &record["expected"])
}
