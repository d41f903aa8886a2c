//! What the model answers in each state, as JSON that is checked.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::index::SearchRequest;

/// Requests of one search that are looked up; upstream has no limit.
const MAX_REQUESTS: usize = 25;
/// Characters of what is wrong with an answer.
const MAX_COMPLAINT: usize = 500;

/// Looks for code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Search {
    pub(super) scratch_pad: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) search_requests: Vec<SearchRequest>,
    #[serde(default)]
    pub(super) complete: Option<bool>,
}

/// Says which of the code that was found matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Identify {
    pub(super) scratch_pad: String,
    #[serde(default)]
    pub(super) identified_spans: Option<Vec<FileSpans>>,
}

/// Spans of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FileSpans {
    pub(super) file_path: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) span_ids: Vec<String>,
}

/// Says whether all code that matters was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Decision {
    pub(super) scratch_pad: String,
    #[serde(default)]
    pub(super) relevant: bool,
    #[serde(default)]
    pub(super) complete: bool,
    #[serde(default)]
    pub(super) search_suggestions: Option<String>,
}

/// Asks for a change, or ends the work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ApplyChange {
    pub(super) scratch_pad: String,
    pub(super) action: String,
    #[serde(default)]
    pub(super) instructions: Option<String>,
    #[serde(default)]
    pub(super) file_path: Option<String>,
    #[serde(default)]
    pub(super) span_id: Option<String>,
    #[serde(default)]
    pub(super) reject: Option<String>,
    #[serde(default)]
    pub(super) finish: Option<String>,
    /// Fields that nobody asked for stay in the history.
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

/// Says which lines of a span are to change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SpecifyLines {
    pub(super) scratch_pad: String,
    pub(super) start_line: i64,
    pub(super) end_line: i64,
    #[serde(default)]
    pub(super) reject: Option<bool>,
}

/// Reads an answer: the object from its first brace to its last.
///
/// # Errors
/// What is wrong with it, for the model.
pub(super) fn read<T: DeserializeOwned>(answer: &str) -> Result<T, String> {
    let object = answer.find('{').zip(answer.rfind('}')).filter(|(start, end)| start < end);
    let Some((start, end)) = object else {
        return Err("The answer must be one JSON object that fits the schema, but there is no object in it."
            .to_owned());
    };
    serde_json::from_str(&answer[start..=end]).map_err(|error| {
        let error = error.to_string();
        let error = crate::clip::first(&error, MAX_COMPLAINT);
        format!("The answer must be one JSON object that fits the schema: {error}")
    })
}

impl Search {
    /// What keeps it from being looked up, if anything.
    pub(super) fn complaint(&self) -> Option<&'static str> {
        let requests = &self.search_requests;
        if requests.is_empty() || !requests.iter().all(SearchRequest::is_specific) {
            Some(
                "Every search request needs at least one of query, code_snippet, class_names and function_names. Set \
                 complete to true if there is nothing left to search for.",
            )
        } else if requests.len() > MAX_REQUESTS {
            Some("These are too many search requests at once.")
        } else if requests
            .iter()
            .filter_map(|request| request.file_pattern.as_deref())
            .any(super::is_test_pattern)
        {
            Some("Test files cannot be searched.")
        } else {
            None
        }
    }
}

/// Reads `null` as nothing given.
pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn object(title: &str, required: &[&str], properties: Value) -> Value {
    json!({"title": title, "type": "object", "required": required, "properties": properties})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn texts(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": description})
}

fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn line(description: &str) -> Value {
    json!({"type": "integer", "description": description})
}

/// Schema of [`Search`].
pub(super) fn search_schema() -> Value {
    let request = json!({
        "file_pattern": text("Glob pattern of the files to search."),
        "query": text("What the code is about, in plain words."),
        "code_snippet": text("Code that must be there as written."),
        "class_names": texts("Names of classes."),
        "function_names": texts("Names of functions."),
    });
    let requests = json!({"type": "array", "items": object("SearchRequest", &[], request)});
    let properties = json!({
        "scratch_pad": text("Your thoughts on what to search for."),
        "search_requests": requests,
        "complete": flag("Whether all relevant code has been found already."),
    });
    object("Search", &["scratch_pad"], properties)
}

/// Schema of [`Identify`].
pub(super) fn identify_schema() -> Value {
    let file = json!({
        "file_path": text("Path of the file."),
        "span_ids": texts("Ids of the relevant spans of the file."),
    });
    let files = json!({"type": "array", "items": object("FileWithSpans", &["file_path"], file)});
    let properties = json!({
        "scratch_pad": text("Your thoughts on which code is relevant, and why."),
        "identified_spans": files,
    });
    object("Identify", &["scratch_pad"], properties)
}

/// Schema of [`Decision`].
pub(super) fn decision_schema() -> Value {
    let properties = json!({
        "scratch_pad": text("Your thoughts on whether the code is relevant and complete."),
        "relevant": flag("Whether the relevant code is there."),
        "complete": flag("Whether all of the relevant code is there."),
        "search_suggestions": text("How to find what is missing."),
    });
    object("Decision", &["scratch_pad"], properties)
}

/// Schema of [`ApplyChange`].
pub(super) fn change_schema() -> Value {
    let properties = json!({
        "scratch_pad": text("Your thoughts on the change."),
        "action": text("One of modify, review, finish and reject."),
        "instructions": text("What exactly is to change."),
        "file_path": text("Path of the file that is to change."),
        "span_id": text("Id of the span that is to change."),
        "reject": text("Why the task cannot be done."),
        "finish": text("Why the task is done."),
    });
    object("ApplyChange", &["scratch_pad", "action"], properties)
}

/// Schema of [`SpecifyLines`].
pub(super) fn lines_schema() -> Value {
    let properties = json!({
        "scratch_pad": text("Your thoughts on which lines to choose."),
        "start_line": line("First line that is to change."),
        "end_line": line("Last line that is to change."),
        "reject": flag("Whether the instructions cannot be followed."),
    });
    object("SpecifyLines", &["scratch_pad", "start_line", "end_line"], properties)
}
