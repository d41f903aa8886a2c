//! What is kept of a long conversation, and what is said to an agent that calls nothing. The words come from the first
//! records of each kind, as the prompts of a folder do; later ones must follow from them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};
use swegym_agent::history::{Source, conversation_window};
use swegym_agent::{CodeAct, ScaffoldConfig};

use super::events::events;
use super::prompts::literal;
use crate::compare::{same, text};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    match text(record, "kind")? {
        "conversation_window" => window(record),
        "fake_user_response" => reply(record),
        kind => Err(format!("the kind `{kind}` is not known")),
    }
}

fn window(record: &Value) -> Result<(), String> {
    let events = events(record)?;
    let window = conversation_window(&events);
    let id = |index: Option<usize>| index.map_or(json!(-1), |index| events[index].id.into());
    let kept: Vec<u64> = window.kept.iter().map(|index| events[*index].id).collect();
    let ours = json!({"kept_ids": kept, "truncation_id": id(window.newer), "start_id": id(window.task)});
    same("expected", &ours, &record["expected"])
}

fn reply(record: &Value) -> Result<(), String> {
    static PLAIN: OnceLock<String> = OnceLock::new();
    static OFFER: OnceLock<String> = OnceLock::new();
    let expected = text(record, "expected")?;
    let user_messages = events(record)?.iter().filter(|event| event.source == Source::User).count();
    let words = if user_messages > 1 { &OFFER } else { &PLAIN };
    words.get_or_init(|| expected.to_owned());
    let branch = |words: &OnceLock<String>| literal(words.get().map_or("", String::as_str));
    let template =
        format!("{{% if user_messages > 1 %}}{}{{% else %}}{}{{% endif %}}", branch(&OFFER), branch(&PLAIN));
    let config = ScaffoldConfig::default();
    let files = BTreeMap::from([("reminder.j2".to_owned(), template)]);
    let prompts = CodeAct::prompts_of(files, &config).map_err(|error| error.to_string())?;
    let ours = CodeAct { config, prompts }.reminder(user_messages).map_err(|error| error.to_string())?;
    same("expected", &ours.into(), &record["expected"])
}
