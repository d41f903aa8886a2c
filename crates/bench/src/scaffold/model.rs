//! The model: a scripted endpoint, in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use clap::ValueEnum;
use serde_json::json;
use swegym_testkit::{RecordedRequest, Reply, ScriptedServer};

/// A scaffold that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measured {
    /// Calls of a shell.
    Codeact,
    /// One command a step.
    Mini,
    /// Searches, plans and edits.
    Workflow,
}

impl Measured {
    pub(super) const ALL: [Self; 3] = [Self::Codeact, Self::Mini, Self::Workflow];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Codeact => "codeact",
            Self::Mini => "mini",
            Self::Workflow => "workflow",
        }
    }
}

/// Serves answers until standard input ends.
pub(crate) fn serve(scaffold: Measured, steps: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = runtime.block_on(ScriptedServer::start_with(move |request| match scaffold {
        Measured::Workflow => state(request),
        _ => step(scaffold, request.turn(), steps),
    }));
    server.forget_requests();
    println!("{}", server.base_url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Looks at something else in every step.
fn step(scaffold: Measured, turn: usize, steps: usize) -> Reply {
    let command = match scaffold {
        Measured::Mini if turn == steps => "echo SWEGYM_WORK_IS_DONE".to_owned(),
        _ if turn == steps => return Reply::call("finish", &json!({})),
        _ => format!("echo {turn}; seq 1 500"),
    };
    Reply::call("execute_bash", &json!({ "command": command }))
}

/// Plans that are made, each followed by an edit; upstream allows no more.
const EDITS: usize = 8;
/// Answers of the workflow before the last one.
pub(super) const WORKFLOW_STEPS: usize = 3 + 2 * EDITS;

/// Finds one function of the generated repository, and changes it again and again.
fn state(request: &RecordedRequest) -> Reply {
    let messages = request.messages();
    let system = messages.first().map(|message| message.content.as_str()).unwrap_or_default();
    let shown = messages.last().map(|message| message.content.as_str()).unwrap_or_default();
    let is = |title: &str| system.contains(&format!("\"title\": \"{title}\""));
    let (file, span) = ("pkg/module_3.py", "Thing3.method_3");
    let object = if is("Search") {
        json!({"scratch_pad": "", "search_requests": [{"class_names": ["Thing3"], "function_names": ["method_3"]}]})
    } else if is("Identify") {
        json!({"scratch_pad": "", "identified_spans": [{"file_path": file, "span_ids": [span]}]})
    } else if is("Decision") {
        json!({"scratch_pad": "", "relevant": true, "complete": true})
    } else if !is("ApplyChange") {
        let code = shown.rsplit_once("<search>\n").map_or("", |(_, code)| code.trim_end_matches("</search>"));
        return Reply::text(&format!("<replace>\n{}\n", code.trim_end().replace("value +", "1 + value +")));
    } else if request.turn() == EDITS {
        json!({"scratch_pad": "", "action": "finish", "finish": "It is done."})
    } else {
        json!({"scratch_pad": "", "action": "modify", "instructions": "Add one.", "file_path": file, "span_id": span})
    };
    Reply::text(&object.to_string())
}

/// The process that serves; it ends with this.
pub(super) struct Endpoint {
    process: Child,
    pub(super) base_url: String,
}

impl Endpoint {
    pub(super) fn start(scaffold: Measured, steps: usize) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["scaffold-model", scaffold.name(), "--steps", &steps.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the model")?;
        let mut base_url = String::new();
        let output = process.stdout.take().context("read what the model prints")?;
        BufReader::new(output).read_line(&mut base_url)?;
        Ok(Self { process, base_url: base_url.trim().to_owned() })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
