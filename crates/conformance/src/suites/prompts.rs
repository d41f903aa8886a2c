//! What a model reads: observations, the task and the standing instructions; and the names of images and folders. The
//! words of the prompts come from the first records of each kind, as a folder of prompts; later records must follow.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};
use swegym_agent::history::{Shown, observation_text};
use swegym_agent::openhands::{eval_output_dir, instance_docker_image, workspace_dir_name};
use swegym_agent::{CodeAct, ScaffoldConfig};
use swegym_core::{CommitId, InstanceId, Problem, RepoName};

use crate::compare::{same, same_outcome, text};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let expected = &record["expected"];
    match text(record, "kind")? {
        "observation_to_message" => observation(record),
        "instruction" => instruction(record),
        "system_prompt_template" => system(record),
        "instance_docker_image" => {
            let ours = instance_docker_image(text(record, "prefix")?, text(record, "instance_id")?);
            same("expected", &ours.into(), expected)
        }
        "eval_output_dir" => {
            let ours = eval_output_dir(
                text(record, "dataset_description")?,
                text(record, "agent_class")?,
                text(record, "model")?,
                record["max_iterations"].as_u64().ok_or("`max_iterations` is no number")?,
                record["eval_note"].as_str(),
            );
            same("expected", &ours.into(), expected)
        }
        kind => Err(format!("the kind `{kind}` is not known")),
    }
}

fn observation(record: &Value) -> Result<(), String> {
    let (observation, expected) = (&record["observation"], &record["expected"]);
    let extras = &observation["extras"];
    let content = text(observation, "content")?;
    let shown = match text(observation, "observation")? {
        "run" => Shown::Command {
            content,
            details: extras["interpreter_details"].as_str().unwrap_or_default(),
            exit_code: extras["exit_code"].as_i64().unwrap_or_default(),
        },
        "run_ipython" => Shown::Cell(content),
        "error" => Shown::Error(content),
        "user_rejected" => Shown::Rejected(content),
        // What is not shown to a model is none of ours.
        _ => return same_outcome("expected", Err("ValueError"), expected),
    };
    let answers_call = record["has_tool_call_metadata"] == true;
    let limit = record["max_message_chars"].as_i64().ok_or("`max_message_chars` is no number")?;
    let text = observation_text(&shown, answers_call, usize::try_from(limit).ok());
    // The record does not say which tool was called: id and name are the call's own.
    let ours = match answers_call {
        false => json!([{"role": "user", "text": [text]}]),
        true => json!([{
            "role": "tool", "text": [text], "tool_call_id": "toolu_01", "name": expected[0]["name"],
        }]),
    };
    same("expected", &ours, expected)
}

/// A text as a template that gives it back.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{{{ \"{quoted}\" }}}}")
}

fn instruction(record: &Value) -> Result<(), String> {
    static PLAIN: OnceLock<String> = OnceLock::new();
    static WITH_BROWSING: OnceLock<String> = OnceLock::new();
    let (instance, expected) = (&record["instance"], &record["expected"]);
    let folder = workspace_dir_name(text(instance, "repo")?, text(instance, "version")?);
    let statement = text(instance, "problem_statement")?;
    let template = if record["run_with_browsing"] == true { &WITH_BROWSING } else { &PLAIN };
    let given = text(expected, "instruction")?;
    let template = template.get_or_init(|| template_of(given, &folder, statement));
    let config = ScaffoldConfig { repo_dir: format!("/workspace/{folder}"), ..ScaffoldConfig::default() };
    let problem = problem(instance, statement)?;
    let ours = opening("task.j2", template, config, &problem)?[1].clone();
    same("expected", &json!({"workspace_dir_name": folder, "instruction": ours}), expected)
}

/// The template that leads to a prompt, when the folder and the statement in it are variables.
fn template_of(prompt: &str, folder: &str, statement: &str) -> String {
    // The statement may hold anything: it is looked for with the tags around it.
    let block = format!("<pr_description>\n{statement}\n</pr_description>\n");
    let around: Vec<&str> = prompt.splitn(2, &block).collect();
    let names = |text: &str| {
        let parts: Vec<String> = text.split(folder).map(literal).collect();
        parts.join("{{ repo_dir_name }}")
    };
    let around: Vec<String> = around.into_iter().map(names).collect();
    around.join("<pr_description>\n{{ problem_statement }}\n</pr_description>\n")
}

fn problem(instance: &Value, statement: &str) -> Result<Problem, String> {
    let base = CommitId::new("0".repeat(40)).map_err(|error| error.to_string())?;
    let id = InstanceId::new(text(instance, "instance_id")?).map_err(|error| error.to_string())?;
    Ok(Problem {
        instance_id: id,
        repo: RepoName::new(text(instance, "repo")?).map_err(|error| error.to_string())?,
        base_commit: base,
        problem_statement: statement.to_owned(),
    })
}

/// System prompt and task, with a file in place of one of them.
fn opening(
    file: &str,
    template: &str,
    config: ScaffoldConfig,
    problem: &Problem,
) -> Result<Vec<String>, String> {
    let files = BTreeMap::from([(file.to_owned(), template.to_owned())]);
    let prompts = CodeAct::prompts_of(files, &config).map_err(|error| error.to_string())?;
    let messages = CodeAct { config, prompts }.opening(problem).map_err(|error| error.to_string())?;
    Ok(messages.into_iter().map(|message| message.content).collect())
}

fn system(record: &Value) -> Result<(), String> {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| literal(record["expected"].as_str().unwrap_or_default()));
    let problem = problem(&json!({"instance_id": "a__b-1", "repo": "a/b"}), "")?;
    let ours = opening("system.j2", template, ScaffoldConfig::default(), &problem)?[0].clone();
    same("expected", &ours.into(), &record["expected"])
}
