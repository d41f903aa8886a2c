//! Code spans, how they are shown, and editing by lines.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use swegym_agent::workflow::{
    CodeFile, FileRules, Show, WordTokens, is_string_in, is_test_pattern, line_after, line_before,
    without_repeated_tail,
};

use crate::compare::{same, same_outcome, text};

const PATH: &str = "m.py";

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let recorded = &record["expected"];
    let value = match text(record, "kind")? {
        "spans_and_prompts" => return spans_and_prompts(record),
        "update_content_by_line_numbers" => updated(record)?,
        "remove_duplicate_lines" => {
            let (replacement, following) =
                (texts(record, "replacement_lines")?, texts(record, "original_lines")?);
            json!(without_repeated_tail(&replacement, &following))
        }
        "is_test_pattern" => json!(is_test_pattern(text(record, "file_pattern")?)),
        "get_pre_start_line" => {
            let lines = texts(record, "content_lines")?;
            let line = line_before(number(record, "start_line")?, number(record, "min_start_line")?, &lines);
            return same_outcome("line", line.map(Value::from), recorded);
        }
        "get_post_end_line" => {
            let lines = texts(record, "content_lines")?;
            let line = line_after(number(record, "end_line")?, number(record, "max_end_line")?, &lines);
            return same_outcome("line", line.map(Value::from), recorded);
        }
        "is_string_in" => json!(is_string_in(text(record, "s1")?, text(record, "s2")?)),
        kind => return Err(format!("kind `{kind}` is not known")),
    };
    same("result", &value, recorded)
}

/// As upstream reads files.
fn parse(record: &Value) -> Result<Result<CodeFile, &'static str>, String> {
    let rules = FileRules { tokens: Arc::new(WordTokens), as_upstream: true };
    Ok(CodeFile::parse(PATH, text(record, "source")?, &rules).map_err(|error| error.kind))
}

/// Counts of tokens are not compared: they were recorded with a stand-in.
fn spans_and_prompts(record: &Value) -> Result<(), String> {
    let recorded = &record["expected"];
    let file = match parse(record)? {
        Ok(file) => file,
        Err(kind) => {
            let mut recorded = recorded.clone();
            recorded.as_object_mut().and_then(|error| error.remove("message"));
            return same_outcome("error", Err(kind), &recorded);
        }
    };
    let ours: Value = file
        .spans()
        .iter()
        .map(|span| {
            json!({
                "span_id": span.id, "type": span.kind,
                "start_line": span.start_line, "end_line": span.end_line,
            })
        })
        .collect();
    let mut spans = recorded["spans"].clone();
    for span in spans.as_array_mut().ok_or("`spans` is no list")? {
        span.as_object_mut().ok_or("a span is no object")?.remove("tokens");
    }
    same("spans", &ours, &spans)?;
    for (key, prompts) in recorded["prompts"].as_object().ok_or("`prompts` is no object")? {
        let ids: Vec<String> = serde_json::from_str(key).map_err(|error| error.to_string())?;
        same(key, &shown(&file, &ids.iter().map(String::as_str).collect::<Vec<_>>()), prompts)?;
    }
    Ok(())
}

/// The three forms in which code is shown.
fn shown(file: &CodeFile, ids: &[&str]) -> Value {
    let with_ids = Show {
        span_ids: true,
        hide_comments: true,
        placeholder: Some("... rest of the code"),
        ..Show::default()
    };
    let lines = Show { line_numbers: true, placeholder: Some("... other code"), ..Show::default() };
    json!({
        "ids": file.show(ids, with_ids),
        "lines": file.show(ids, lines),
        "plain": file.show(ids, Show::default()),
    })
}

fn updated(record: &Value) -> Result<Value, String> {
    let mut file = match parse(record)? {
        Ok(file) => file,
        Err(kind) => return Ok(json!({"__error__": kind})),
    };
    let index =
        |key| number(record, key).and_then(|index| usize::try_from(index).map_err(|error| error.to_string()));
    let update = file.replace_lines(
        index("start_line_index")?,
        index("end_line_index")?,
        text(record, "replacement")?,
    );
    let mut ours = Map::new();
    ours.insert("updated".to_owned(), update.updated.into());
    ours.insert("diff".to_owned(), update.diff.into());
    ours.insert("error".to_owned(), update.error.into());
    ours.insert("content".to_owned(), file.content().into());
    Ok(ours.into())
}

fn number(record: &Value, key: &str) -> Result<i64, String> {
    record[key].as_i64().ok_or_else(|| format!("`{key}` is no number"))
}

fn texts<'a>(record: &'a Value, key: &str) -> Result<Vec<&'a str>, String> {
    let list = record[key].as_array().ok_or_else(|| format!("`{key}` is no list"))?;
    list.iter().map(|text| text.as_str().ok_or_else(|| format!("`{key}` has more than texts"))).collect()
}
