//! Predictions: patches of a model, one for an instance, in every form that tools of the field write.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use swegym_core::{InstanceId, Patch};

use crate::DataError;
use crate::rows::{self, Place, SeenIds};

/// `model_name_or_path` of predictions that come without one, as those of SWE-bench-Live do.
pub const UNNAMED_MODEL: &str = "unnamed";

/// One prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// The instance that it is for.
    pub instance_id: InstanceId,
    /// Who made it.
    pub model_name_or_path: String,
    /// The patch; `None` where the model gave none.
    pub model_patch: Option<Patch>,
}

/// Reads predictions: `.jsonl`; `.json` with a list; `.json` with an object keyed by instance id, whose rows may
/// leave out the id and the name of the model. Other columns are not looked at.
///
/// # Errors
/// [`DataError::Row`] names the line (item, key) and the field that is wrong; an id that is there twice is an error
/// with both places.
pub fn load_predictions(path: &Path) -> Result<Vec<Prediction>, DataError> {
    let mut seen = SeenIds::default();
    rows::read(path, |place, row| {
        let key = match place {
            Place::Key(key) => Some(key.as_str()),
            Place::Line(_) | Place::Item(_) => None,
        };
        let prediction = prediction(key, &row)?;
        seen.claim(prediction.instance_id.as_str(), place)?;
        Ok(prediction)
    })
}

/// Writes predictions atomically: `.jsonl` with one row a line, or `.json` with a list.
///
/// A patch that is not UTF-8 cannot be written exactly; it gets replacement characters.
///
/// # Errors
/// [`DataError`] when the name ends in neither `.jsonl` nor `.json`, or the file cannot be written.
pub fn write_predictions(path: &Path, predictions: &[Prediction]) -> Result<(), DataError> {
    rows::write(path, predictions)
}

fn prediction(key: Option<&str>, row: &Map<String, Value>) -> Result<Prediction, String> {
    let text = |field: &str| match row.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("field `{field}`: must be a string")),
    };
    let id = match (key, text("instance_id")?) {
        (Some(key), Some(id)) if key != id => {
            return Err(format!("field `instance_id`: `{id}` differs from the key"));
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err("field `instance_id`: is missing".to_owned()),
    };
    let model = match text("model_name_or_path")? {
        Some(model) => model,
        None if key.is_some() => UNNAMED_MODEL,
        None => return Err("field `model_name_or_path`: is missing".to_owned()),
    };
    let model_patch = match row.get("model_patch") {
        Some(Value::Null) => None,
        Some(Value::String(patch)) => Some(Patch::from(patch.as_str())),
        Some(_) => return Err("field `model_patch`: must be a string or null".to_owned()),
        None => return Err("field `model_patch`: is missing".to_owned()),
    };
    Ok(Prediction {
        instance_id: InstanceId::new(id).map_err(|error| format!("field `instance_id`: {error}"))?,
        model_name_or_path: model.to_owned(),
        model_patch,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(name: &str, content: &str) -> Result<Vec<Prediction>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        load_predictions(&path)
    }

    fn expected(model: &str) -> Vec<Prediction> {
        let patch = Patch::from("diff --git a/x b/x\r\n+ no newline at the end");
        let one = |id: &str, model_patch| Prediction {
            instance_id: InstanceId::new(id).unwrap(),
            model_name_or_path: model.to_owned(),
            model_patch,
        };
        vec![one("b-2", Some(patch)), one("a-1", None)]
    }

    #[test]
    fn every_container_gives_the_same_predictions_in_the_order_of_the_file() {
        const PATCH: &str = r#""model_patch":"diff --git a/x b/x\r\n+ no newline at the end""#;
        let b = format!(r#"{{"instance_id":"b-2","model_name_or_path":"m","extra":[],{PATCH}}}"#);
        let a = r#"{"instance_id":"a-1","model_name_or_path":"m","model_patch":null}"#;
        assert_eq!(load("x.jsonl", &format!("{b}\n{a}\n")).unwrap(), expected("m"));
        assert_eq!(load("x.json", &format!("[{b},{a}]")).unwrap(), expected("m"));
        assert_eq!(load("x.json", &format!(r#"{{"b-2":{b},"a-1":{a}}}"#)).unwrap(), expected("m"));
        let live = format!(r#"{{"b-2":{{{PATCH}}},"a-1":{{"model_patch":null}}}}"#);
        assert_eq!(load("x.json", &live).unwrap(), expected(UNNAMED_MODEL));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x.json", "x.jsonl"] {
            let path = folder.path().join(name);
            write_predictions(&path, &expected("m")).unwrap();
            assert_eq!(load_predictions(&path).unwrap(), expected("m"));
        }
    }

    #[test]
    fn errors_name_the_place_and_the_field() {
        let row = r#"{"instance_id":"a-1","model_name_or_path":"m","model_patch":""}"#;
        let keyed = |key: &str, row: &str| format!(r#"{{"{key}": {row}}}"#);
        let cases = [
            ("x.jsonl", format!("{row}\n{row}"), "line 2: field `instance_id`: `a-1` is on line 1 already"),
            ("x.jsonl", row.replace("model_patch", "patch"), "line 1: field `model_patch`: is missing"),
            ("x.jsonl", row.replace("\"m\"", "7"), "field `model_name_or_path`: must be a string"),
            (
                "x.jsonl",
                row.replace("\"model_name_or_path\":\"m\",", ""),
                "field `model_name_or_path`: is missing",
            ),
            ("x.json", format!("[{row},{}]", row.replace("a-1", "..")), "item 2: field `instance_id`:"),
            ("x.json", row.to_owned(), "key `instance_id`: must be an object"),
            ("x.json", keyed("b-2", row), "key `b-2`: field `instance_id`: `a-1` differs from the key"),
            ("x.json", format!(r#"{{"a-1":{row},"a-1":{row}}}"#), "`a-1` is on key `a-1` already"),
        ];
        for (name, content, expected) in cases {
            let error = load(name, &content).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
