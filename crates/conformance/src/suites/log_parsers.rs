//! Each parser on each log, under each profile of upstream, from the text and as a file in text mode.

use serde_json::{Map, Value, json};
use swegym_harness::{ParserName, Profile, parse_as, read_text};

use crate::compare::same;

const VARIANTS: [(&str, Profile); 3] =
    [("fork", Profile::Swegym), ("v4.1.0", Profile::Swebench4), ("head", Profile::Swebench5)];

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let log = record["log"].as_str().ok_or("the record has no log")?;
    let expected = &record["expected"];
    let fork = parsers(&expected["fork"])?;
    for (variant, profile) in VARIANTS {
        for (parser, recorded) in parsers(&expected[variant])? {
            let recorded = if recorded == "same_as_fork" { &fork[parser] } else { recorded };
            same(&format!("{variant} {parser}"), &ours(profile, parser, log)?, recorded)?;
        }
    }
    if let Some(from_file) = record.get("expected_fork_via_text_file") {
        let log = read_text(Profile::Swegym, log.as_bytes()).map_err(|error| error.to_string())?;
        for (parser, recorded) in parsers(from_file)? {
            let recorded = if recorded == "same" { &fork[parser] } else { recorded };
            same(&format!("from a file {parser}"), &ours(Profile::Swegym, parser, &log)?, recorded)?;
        }
    }
    Ok(())
}

fn parsers(expected: &Value) -> Result<&Map<String, Value>, String> {
    expected.as_object().ok_or_else(|| "a variant has no parsers".to_owned())
}

fn ours(profile: Profile, parser: &str, log: &str) -> Result<Value, String> {
    let parser: ParserName = parser.parse().map_err(|error| format!("{error}"))?;
    Ok(match parse_as(profile, parser, log) {
        Ok(statuses) => statuses.iter().map(|(id, word)| (id.to_owned(), Value::from(word))).collect(),
        Err(error) => json!({ "__error__": error.upstream_exception() }),
    })
}
