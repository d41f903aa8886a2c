//! How rollouts go and end.

use std::time::Duration;

use serde_json::json;
use swegym_core::{Boundary, Completion, ExitStatus, Failure, Message, Role, ToolCall};
use swegym_model::ModelError;

use crate::support::{Script, Workplace, answer, bash, finish, observations, raw_call, script};

fn silence() -> Completion {
    Completion { message: Message::text(Role::Assistant, "I think that ..."), ..answer(Vec::new()) }
}

#[tokio::test]
async fn a_policy_that_finishes_leaves_a_trajectory_and_a_patch() {
    let place = Workplace::new();
    let answers = vec![
        answer(vec![bash("pwd; cat src/app.py")]),
        answer(vec![bash("sed -i s/1/2/ src/app.py"), finish(), bash("rm -r src")]),
    ];
    let outcome = place.run(script(answers)).await.unwrap();
    let trajectory = &outcome.trajectory;
    assert_eq!(trajectory.exit_status, ExitStatus::Finished);
    assert_eq!((trajectory.scaffold.as_str(), trajectory.policy.as_str()), ("codeact", "script"));
    assert_eq!((trajectory.instance_id.as_str(), trajectory.sample), ("toy__toy-1", 3));
    assert_eq!(trajectory.usage.total(), 20);
    let roles: Vec<Role> = trajectory.messages.iter().map(|message| message.role).collect();
    let expected = [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Assistant, Role::Tool];
    assert_eq!(roles, expected, "what follows `finish` is not executed");
    assert_eq!(trajectory.steps.iter().map(|step| step.message_index).collect::<Vec<_>>(), [2, 4]);
    assert!(trajectory.messages[1].content.contains("It is broken."));
    let repo_dir = &place.config.repo_dir;
    let printed = format!("{repo_dir}\ndef f():\n\treturn 1\n[exit code 0]");
    assert_eq!(observations(trajectory), [printed.as_str(), "[exit code 0]"]);
    assert!(outcome.patch.to_text_lossy().contains("-\treturn 1\n+\treturn 2\n"));
    let names: Vec<&str> = trajectory.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["execute_bash", "str_replace_editor", "finish"]);
}

#[tokio::test]
async fn steps_are_limited() {
    let mut place = Workplace::new();
    place.config.max_steps = 3;
    let endless = Script(|number| Some(Ok(answer(vec![bash(&format!("echo {number}"))]))));
    let outcome = place.run(endless).await.unwrap();
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::StepLimit);
    assert_eq!(outcome.trajectory.steps.len(), 3);
}

#[tokio::test]
async fn tokens_are_limited() {
    let mut place = Workplace::new();
    place.config.max_tokens = Some(15);
    let endless = Script(|number| Some(Ok(answer(vec![bash(&format!("echo {number}"))]))));
    let outcome = place.run(endless).await.unwrap();
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::TokenLimit);
    assert_eq!(outcome.trajectory.steps.len(), 2);
}

#[tokio::test]
async fn a_full_context_window_is_an_end() {
    let place = Workplace::new();
    let full = || ModelError::ContextWindow { message: "too long".into() };
    let policy =
        Script(|number| Some(if number == 0 { Ok(answer(vec![bash("echo x > new")])) } else { Err(full()) }));
    let outcome = place.run(policy).await.unwrap();
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::TokenLimit);
    assert!(outcome.patch.to_text_lossy().contains("b/new"));
}

#[tokio::test]
async fn time_is_limited() {
    let mut place = Workplace::new();
    place.config.time_limit = Duration::from_millis(300);
    let outcome = place.run(Script(|_| None)).await.unwrap();
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::TimeLimit);
    assert_eq!(outcome.trajectory.steps.len(), 0);

    let calls = vec![bash("echo x > new; sleep 1000"), bash("rm new")];
    let outcome = place.run(script(vec![answer(calls)])).await.unwrap();
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::TimeLimit);
    let seen = observations(&outcome.trajectory);
    assert!(seen[0].starts_with("[timed out after 0."), "{}", seen[0]);
    assert_eq!(seen[1], "ERROR: not executed: the time limit is reached");
    assert!(outcome.patch.to_text_lossy().contains("b/new"));
}

#[tokio::test]
async fn three_answers_in_a_row_without_a_call_are_an_end() {
    let place = Workplace::new();
    let answers = vec![silence(), silence(), answer(vec![bash("true")]), silence(), silence(), silence()];
    let outcome = place.run(script(answers)).await.unwrap();
    let trajectory = &outcome.trajectory;
    assert_eq!(trajectory.exit_status, ExitStatus::NoToolCall);
    assert_eq!(trajectory.steps.len(), 6);
    let reminders = trajectory.messages[2..].iter().filter(|message| message.role == Role::User);
    assert_eq!(reminders.count(), 4);
    assert!(trajectory.messages[3].content.contains("`finish`"));
    assert!(outcome.patch.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_an_observation() {
    let place = Workplace::new();
    let calls = [
        ("execute_bash", "{\"command\": \"ls", "are not JSON"),
        ("execute_bash", "[\"ls\"]", "must be a JSON object"),
        ("execute_bash", "{}", "`command` is missing"),
        ("execute_bash", "{\"command\": 7}", "`command` must be a string"),
        ("execute_bash", "{\"command\": \"ls\", \"timeout\": -1}", "`timeout` must be a number above 0"),
        ("execute_bash", "{\"command\": \"a\\u0000b\"}", "NUL"),
        ("finish", "{\"message\": 1}", "`message` must be a string"),
        ("finish", "{\"answer\": 1}", "no parameter `answer`"),
        (
            "python",
            "{}",
            "no tool is called `python`; the tools are execute_bash, str_replace_editor, finish",
        ),
        ("", "", "no tool is called ``"),
    ];
    let made = calls.iter().map(|(name, arguments, _)| raw_call(name, arguments)).collect();
    let outcome = place.run_calls(made).await;
    let seen = observations(&outcome.trajectory);
    assert_eq!(seen.len(), calls.len());
    for (seen, (name, arguments, expected)) in seen.iter().zip(calls) {
        assert!(seen.starts_with("ERROR: ") && seen.contains(expected), "{name} {arguments}: {seen}");
    }
    assert_eq!(outcome.trajectory.steps.len(), 2, "a bad call is a step");
}

#[tokio::test]
async fn many_calls_of_one_answer_are_executed_in_order() {
    let place = Workplace::new();
    let calls = (0..200).map(|number| bash(&format!("echo {number} >> numbers; wc -l < numbers"))).collect();
    let outcome = place.run_calls(calls).await;
    let seen = observations(&outcome.trajectory);
    assert_eq!(seen.len(), 200);
    assert_eq!(seen[199], "200\n[exit code 0]");

    let outcome = place.run_calls((0..300).map(|_| bash("true")).collect()).await;
    let seen = observations(&outcome.trajectory);
    assert_eq!(seen[255], "[exit code 0]");
    assert!(seen[256..].iter().all(|text| text.starts_with("ERROR: not executed")), "{}", seen[256]);
    assert_eq!(seen.len(), 300);
}

#[tokio::test]
async fn calls_without_id_get_one() {
    let place = Workplace::new();
    let nameless = || ToolCall::new("", "execute_bash", &json!({"command": "true"}));
    let outcome = place.run_calls(vec![nameless(), nameless()]).await;
    let messages = &outcome.trajectory.messages;
    let ids: Vec<&str> = messages[2].tool_calls.iter().map(|call| call.id.as_str()).collect();
    assert_ne!(ids[0], ids[1]);
    let answered: Vec<Option<&str>> =
        messages[3..5].iter().map(|message| message.tool_call_id.as_deref()).collect();
    assert_eq!(answered, [Some(ids[0]), Some(ids[1])]);
}

#[tokio::test]
async fn going_round_in_circles_is_an_end() {
    let place = Workplace::new();
    let outcome = place.run(Script(|_| Some(Ok(answer(vec![bash("ls")]))))).await.unwrap();
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::StuckInLoop);
    assert_eq!(outcome.trajectory.steps.len(), 4);
}

#[tokio::test]
async fn hostile_text_is_only_text() {
    let place = Workplace::new();
    let hostile = "\0\u{1b}[2J\u{202e}</issue>{{ x }}\u{ffff}";
    let mut strange = answer(vec![
        bash("printf '\\000\\033[31m\\377'"),
        bash("head -c 3000000 /dev/zero"),
        raw_call("execute_bash", &format!("{{\"command\": \"{}\"}}", "x".repeat(10 << 20))),
        bash(&"x".repeat(200_000)),
        raw_call(&"n".repeat(1 << 20), hostile),
    ]);
    strange.message.content = hostile.into();
    strange.message.role = Role::User;
    let outcome = place.run(script(vec![strange, answer(vec![finish()])])).await.unwrap();
    let seen = observations(&outcome.trajectory);
    assert_eq!(seen[0], "\0\u{1b}[31m\u{fffd}\n[exit code 0]");
    assert!(seen[1].contains("\n[... 2970000 bytes left out ...]\n"), "{}", seen[1].len());
    assert!(seen[2].contains("more than the limit of 1048576"), "{}", seen[2]);
    assert!(seen[3].ends_with("[exit code 126]") || seen[3].ends_with("[exit code 127]"), "{}", seen[3]);
    assert!(seen[4].len() < 300);
    assert_eq!(outcome.trajectory.messages[2].role, Role::Assistant);
    assert_eq!(outcome.trajectory.messages[2].content, hostile);
    assert!(serde_json::to_string(&outcome.trajectory).is_ok());
}

#[tokio::test]
async fn a_policy_that_fails_keeps_its_trajectory() {
    let place = Workplace::new();
    let error = place.run(script(vec![answer(vec![bash("echo hello")])])).await.unwrap_err();
    assert_eq!(observations(&error.trajectory), ["hello\n[exit code 0]"]);
    assert_eq!(error.to_string(), "answer from the script: it ended after 1 answers");
    let failure = Failure::from(&error);
    assert_eq!((failure.boundary, failure.kind.as_str()), (Boundary::Model, "script_ended"));
}

#[tokio::test]
async fn a_deleted_working_directory_is_seen_by_the_policy() {
    let place = Workplace::new();
    let backup = place.beside("backup");
    let away = format!("mv {} {}", place.config.repo_dir, backup.display());
    let calls = vec![bash(&away), bash("ls")];
    let error = place.run(script(vec![answer(calls), answer(vec![finish()])])).await.unwrap_err();
    let seen = observations(&error.trajectory);
    assert!(seen[1].starts_with("ERROR: failed to start `bash`"), "{}", seen[1]);
    assert_eq!(Failure::from(&error).kind, "patch");
}
