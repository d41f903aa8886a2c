//! The scaffold that goes from state to state. The model knows the state by the schema that it is shown.

use serde_json::{Value, json};
use swegym_core::{Message, Role};

use super::fix::Fix;
use crate::{RecordedRequest, Reply};

/// The answer in the present state, or what is wrong with the prompt.
pub(super) fn answer(fix: &Fix, request: &RecordedRequest, messages: &[Message]) -> Result<Reply, String> {
    let system = messages.first().map(|message| message.content.as_str()).unwrap_or_default();
    let shown = messages.last().map(|message| message.content.as_str()).unwrap_or_default();
    let state = |title: &str| system.contains(&format!("\"title\": \"{title}\""));
    let wants_json = request.body["response_format"]["type"] == "json_object";
    let object = if state("Search") {
        search(fix, messages)
    } else if state("Identify") {
        identify(fix, shown)
    } else if state("Decision") {
        decide(fix, shown)
    } else if state("ApplyChange") {
        plan(fix, shown)?
    } else if state("SpecifyLines") {
        let (start, end) = fix.lines;
        json!({"scratch_pad": "These lines.", "start_line": start, "end_line": end})
    } else {
        return edit(fix, request, shown);
    };
    let text = if wants_json { Ok(object.to_string()) } else { Err("an object is not asked for".to_owned()) };
    Ok(Reply::text(&text?))
}

/// First by the name of what the place is in; when that led nowhere, by the words of the line.
fn search(fix: &Fix, messages: &[Message]) -> Value {
    let searched = messages.iter().any(|message| message.role == Role::Assistant);
    let request = match fix.definition().filter(|_| !searched) {
        Some(("class", name)) => json!({"class_names": [name], "file_pattern": fix.path}),
        Some((_, name)) => json!({"function_names": [name], "file_pattern": fix.path}),
        None => json!({"query": fix.telling_line(), "file_pattern": fix.path}),
    };
    json!({"scratch_pad": "The issue is about this.", "search_requests": [request]})
}

fn identify(fix: &Fix, shown: &str) -> Value {
    let found: Vec<Value> = span_of(fix, shown)
        .map(|span| json!({"file_path": fix.path, "span_ids": [span]}))
        .into_iter()
        .collect();
    json!({"scratch_pad": "What matters of it.", "identified_spans": found})
}

fn decide(fix: &Fix, shown: &str) -> Value {
    let is_there = shown.contains(fix.telling_line());
    json!({
        "scratch_pad": "Whether the place is there.",
        "relevant": is_there,
        "complete": is_there,
        "search_suggestions": fix.telling_line(),
    })
}

fn plan(fix: &Fix, shown: &str) -> Result<Value, String> {
    if let Some((_, diff)) = shown.split_once("<diff>") {
        let made = fix.new.iter().filter(|line| !fix.old.contains(line));
        let missing = made.map(|line| format!("+{line}")).find(|line| !diff.contains(line.as_str()));
        return match missing {
            Some(line) => Err(format!("`{line}` is missing in the diff: {diff}")),
            None => Ok(json!({"scratch_pad": "Done.", "action": "finish", "finish": "The cause is gone."})),
        };
    }
    let span = span_of(fix, shown).ok_or_else(|| format!("no span has the place: {shown}"))?;
    let instructions = format!("Replace `{}` by `{}`.", fix.old.join("\n"), fix.new.join("\n"));
    Ok(json!({
        "scratch_pad": "One change.", "action": "modify",
        "instructions": instructions, "file_path": fix.path, "span_id": span,
    }))
}

/// The code that is to change with the fix in it, up to the stop word if there is one.
fn edit(fix: &Fix, request: &RecordedRequest, shown: &str) -> Result<Reply, String> {
    let code = shown.split_once("<search>\n").and_then(|(_, rest)| rest.rsplit_once("\n</search>"));
    let new = code.and_then(|(code, _)| fix.applied_to(code));
    let new = new.ok_or_else(|| format!("the code to change lacks the place: {shown}"))?;
    let stops = request.body["stop"].to_string().contains("</replace>");
    let end = if stops { "" } else { "</replace>" };
    Ok(Reply::text(&format!("The line is wrong.\n<replace>\n{new}\n{end}")))
}

/// The id of the span that shows the place, in code with ids.
fn span_of<'a>(fix: &Fix, shown: &'a str) -> Option<&'a str> {
    let head = format!("\n{}\n```\n", fix.path);
    shown.split(&head).skip(1).find_map(|file| {
        let file = file.split("\n```\n").next().unwrap_or(file);
        let (above, _) = file.split_once(fix.telling_line())?;
        let (_, id) = above.rsplit_once("<span id='")?;
        Some(id.split_once('\'')?.0)
    })
}
