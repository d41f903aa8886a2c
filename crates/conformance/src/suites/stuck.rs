//! Whether an agent is stuck, by the rules of OpenHands.

use serde_json::{Value, json};
use swegym_agent::Behaviour;
use swegym_agent::history::stuck;

use super::events::events;
use crate::compare::same;

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let ours = stuck(&events(record)?, Behaviour::OpenHands);
    let ours = json!({"stuck": ours.stuck, "almost_stuck": ours.almost_stuck});
    same("expected", &ours, &record["expected"])
}
