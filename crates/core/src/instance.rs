//! Task instances: SWE-Gym and SWE-bench rows, split into what the agent may see and what it may not.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{CommitId, InstanceId, Patch, RepoName};

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {message}")]
pub struct RowError {
    /// Name of the column.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// The part of an instance that a scaffold may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the instance.
    pub instance_id: InstanceId,
    /// Repository.
    pub repo: RepoName,
    /// Commit that the work starts from.
    pub base_commit: CommitId,
    /// The task, in words.
    pub problem_statement: String,
}

/// The part that says what the image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Repository.
    pub repo: RepoName,
    /// Commit that lies at `/testbed`.
    pub base_commit: CommitId,
    /// Selects the environment spec within the repository.
    pub version: String,
}

/// The answer. Scaffolds cannot get at it: invariant 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grading {
    /// The gold patch.
    pub patch: Patch,
    /// What the tests are brought up to date with.
    pub test_patch: Patch,
    /// Tests that must turn from failing to passing; never empty.
    pub fail_to_pass: Vec<String>,
    /// Tests that must go on passing.
    pub pass_to_pass: Vec<String>,
}

/// How the tests of an instance are run, taken from its environment spec.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestCommand {
    /// Shell commands before it.
    pub eval_commands: Vec<String>,
    /// Shell command that the test directives are appended to.
    pub test_cmd: String,
}

/// One task. [`Instance::to_row`] gives back the row it was read from: every column, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// What the agent may see.
    pub problem: Problem,
    /// What the image is made of.
    pub environment: Environment,
    /// The answer.
    pub grading: Grading,
    row: Map<String, Value>,
}

impl Instance {
    /// Reads a row. The two test lists may be JSON lists or strings that hold one.
    ///
    /// # Errors
    /// [`RowError`] names the first column that is missing or malformed.
    pub fn from_row(row: Map<String, Value>) -> Result<Self, RowError> {
        let repo: RepoName = id(&row, "repo")?;
        let base_commit: CommitId = id(&row, "base_commit")?;
        let fail_to_pass = test_list(&row, "FAIL_TO_PASS")?;
        if fail_to_pass.is_empty() {
            return Err(wrong("FAIL_TO_PASS", "is empty: without a test to turn, nothing can be resolved"));
        }
        Ok(Self {
            problem: Problem {
                instance_id: id(&row, "instance_id")?,
                repo: repo.clone(),
                base_commit: base_commit.clone(),
                problem_statement: text(&row, "problem_statement")?.to_owned(),
            },
            environment: Environment { repo, base_commit, version: version(&row)? },
            grading: Grading {
                patch: text(&row, "patch")?.into(),
                test_patch: text(&row, "test_patch")?.into(),
                fail_to_pass,
                pass_to_pass: test_list(&row, "PASS_TO_PASS")?,
            },
            row,
        })
    }

    /// The row, with unknown columns and the original form of the test lists.
    pub fn to_row(&self) -> &Map<String, Value> {
        &self.row
    }

    /// Name of the instance.
    pub fn id(&self) -> &InstanceId {
        &self.problem.instance_id
    }
}

fn wrong(field: &str, message: impl Into<String>) -> RowError {
    RowError { field: field.to_owned(), message: message.into() }
}

fn get<'a>(row: &'a Map<String, Value>, field: &str) -> Result<&'a Value, RowError> {
    row.get(field).ok_or_else(|| wrong(field, "is missing"))
}

fn text<'a>(row: &'a Map<String, Value>, field: &str) -> Result<&'a str, RowError> {
    let value = get(row, field)?;
    value.as_str().ok_or_else(|| wrong(field, format!("must be a string, not {}", kind_of(value))))
}

fn id<T: TryFrom<String, Error = crate::IdError>>(
    row: &Map<String, Value>,
    field: &str,
) -> Result<T, RowError> {
    T::try_from(text(row, field)?.to_owned()).map_err(|error| wrong(field, error.to_string()))
}

/// SWE-Gym writes versions as strings; a bare number such as `5.0` is taken as written.
fn version(row: &Map<String, Value>) -> Result<String, RowError> {
    match get(row, "version")? {
        Value::String(version) => Ok(version.clone()),
        Value::Number(version) => Ok(version.to_string()),
        other => Err(wrong("version", format!("must be a string, not {}", kind_of(other)))),
    }
}

fn test_list(row: &Map<String, Value>, field: &str) -> Result<Vec<String>, RowError> {
    let value = get(row, field)?;
    let list = match value {
        Value::String(json) => serde_json::from_str::<Vec<String>>(json).map_err(|error| error.to_string()),
        list => Vec::<String>::deserialize(list).map_err(|error| error.to_string()),
    };
    list.map_err(|error| {
        wrong(field, format!("must be a list of test ids, or a string holding one as JSON: {error}"))
    })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row() -> Value {
        json!({
            "future_column": {"kept": [1, 2.50]}, "repo": "getmoto/moto", "instance_id": "getmoto__moto-1",
            "base_commit": "0123456789012345678901234567890123456789", "patch": "diff --git a/x b/x\r\n",
            "test_patch": "", "problem_statement": "It breaks.", "version": "5.0",
            "FAIL_TO_PASS": "[\"t.py::a\"]", "PASS_TO_PASS": ["t.py::b", "t.py::b"],
        })
    }

    fn parse(value: Value) -> Result<Instance, RowError> {
        let Value::Object(map) = value else { panic!("rows are objects") };
        Instance::from_row(map)
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let instance = parse(row()).unwrap();
        assert_eq!(instance.grading.fail_to_pass, ["t.py::a"]);
        assert_eq!(instance.grading.pass_to_pass, ["t.py::b", "t.py::b"]);
        assert_eq!(serde_json::to_string(instance.to_row()).unwrap(), row().to_string());
    }

    #[test]
    fn a_bad_row_names_the_field() {
        let cases = [
            ("repo", json!("moto"), "owner/name"),
            ("instance_id", json!("../../etc"), "must not start"),
            ("base_commit", json!("HEAD"), "full commit id"),
            ("patch", Value::Null, "must be a string, not null"),
            ("FAIL_TO_PASS", json!("['a']"), "string holding one as JSON"),
            ("FAIL_TO_PASS", json!([]), "is empty"),
            ("PASS_TO_PASS", json!([1]), "list of test ids"),
            ("version", json!([]), "not a list"),
        ];
        for (field, value, message) in cases {
            let mut bad = row();
            bad[field] = value;
            let error = parse(bad).unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.message.contains(message), "{error}");
        }
    }

    #[test]
    fn a_missing_column_is_named() {
        let mut bad = row();
        bad.as_object_mut().unwrap().shift_remove("test_patch");
        assert_eq!(parse(bad).unwrap_err().to_string(), "field `test_patch`: is missing");
    }
}
