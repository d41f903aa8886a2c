//! `truncate`: observations that are too long.

use serde_json::{Value, json};
use swegym_agent::truncate_observation;

use crate::compare::{same, text};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let limit = record["max_chars"].as_i64().ok_or("`max_chars` is no number")?;
    let ours = truncate_observation(text(record, "content")?, limit);
    same("text", &json!(ours), &record["expected"])
}
