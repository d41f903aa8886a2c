//! A model that writes its calls as text, through a whole rollout.

use std::sync::Arc;

use serde_json::{Value, json};
use swegym_agent::Outcome;
use swegym_core::fncall::TextFormat;
use swegym_core::{ExitStatus, Message, Role};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, TextTools};
use swegym_testkit::{RecordedRequest, Reply, ScriptedServer};

use crate::support::{Workplace, observations};

/// Plays answers to a rollout; gives what came of it and what was sent.
async fn play(place: &Workplace, answers: Vec<String>) -> (Outcome, Vec<RecordedRequest>) {
    let server = ScriptedServer::start(answers.iter().map(|answer| Reply::text(answer)).collect()).await;
    let client =
        ChatClient::new(ClientConfig::new(server.base_url(), "toy-model")).expect("the address is one");
    let chat = Box::new(ChatPolicy::new(Arc::new(client)));
    let policy = TextTools::new(chat, Arc::new(TextFormat::default()));
    let mut outcome = place.run(policy).await.expect("nothing is broken");
    outcome.trajectory.tool_format = Some(TextFormat::default());
    (outcome, server.requests())
}

fn call(name: &str, parameters: &[(&str, &str)]) -> String {
    let parameters: Vec<String> =
        parameters.iter().map(|(name, value)| format!("<parameter={name}>{value}</parameter>\n")).collect();
    format!("<function={name}>\n{}", parameters.concat())
}

#[tokio::test]
async fn a_model_that_writes_text_edits_files_and_finishes() {
    let place = Workplace::new();
    let file = place.path("src/app.py");
    let edit = [
        ("command", "str_replace"),
        ("path", &file),
        ("old_str", "\nreturn 1\n"),
        ("new_str", "\nx = 2\n\treturn x\n"),
    ];
    let answers = vec![
        // The server cut off the end of the call, which was what stopped it.
        format!("I look first.\n\n{}", call("execute_bash", &[("command", "cat src/app.py")])),
        // No line end after the tag: not a call.
        "<function=execute_bash><parameter=command>rm -r src</parameter></function>".to_owned(),
        // Two calls: only the first counts.
        format!(
            "{}</function>\n{}",
            call("str_replace_editor", &edit),
            call("execute_bash", &[("command", "rm -r src")])
        ),
        call("str_replace_editor", &[("command", "view"), ("path", &file), ("view_range", "[2, 3]")]),
        "Done.\n<function=finish>\n</".to_owned(),
    ];
    let (Outcome { trajectory, patch }, requests) = play(&place, answers.clone()).await;

    assert_eq!(trajectory.exit_status, ExitStatus::Finished);
    assert!(
        patch.to_text_lossy().contains("-\treturn 1\n+\tx = 2\n+\treturn x\n"),
        "{}",
        patch.to_text_lossy()
    );
    let seen = observations(&trajectory);
    assert!(seen[0].starts_with("def f():\n\treturn 1"), "{}", seen[0]);
    assert!(seen[2].contains("return x"), "{}", seen[2]);

    let steps = &trajectory.steps;
    let raw = steps.iter().map(|step| step.raw.as_ref().map(|raw| raw.content.clone()));
    let written = answers.iter().enumerate().map(|(number, text)| (number != 1).then(|| text.clone()));
    assert_eq!(raw.collect::<Vec<_>>(), written.collect::<Vec<_>>(), "the second answer makes no call");
    assert_eq!(requests.len(), steps.len());
    for (step, request) in steps.iter().zip(&requests) {
        assert!(request.body.get("tools").is_none());
        assert_eq!(request.body["stop"], json!(["</function"]));
        let sent = trajectory.sent_before(step).expect("it was sent");
        assert_eq!(request.messages(), sent, "what was sent can be written again");
        assert!(sent.iter().all(|message| message.role != Role::Tool && message.tool_calls.is_empty()));
    }
    for pair in requests.windows(2) {
        let [earlier, later] = pair else { panic!("windows of two") };
        let common = earlier.messages();
        assert_eq!(later.messages()[..common.len()], common[..], "a conversation only grows");
    }
    let last = requests[4].messages();
    let answer: Vec<&Message> = last.iter().filter(|message| message.role == Role::Assistant).collect();
    assert_eq!(answer[0].content, format!("{}</function>", answers[0]));
}

#[tokio::test]
async fn ten_megabytes_of_tags_are_an_answer_like_others() {
    let place = Workplace::new();
    let answers =
        vec!["<function=".repeat(1 << 20), "<function=execute_bash>".repeat(1 << 16), "\0".repeat(1 << 16)];
    let (outcome, requests) = play(&place, answers).await;
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::NoToolCall);
    assert_eq!(requests.len(), 3);
    assert_ne!(requests[2].body, Value::Null, "the conversation is sent whole");
}
