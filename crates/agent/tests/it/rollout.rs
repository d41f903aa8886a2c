//! How rollouts go and end.

use std::time::Duration;

use serde_json::json;
use swegym_agent::Behaviour;
use swegym_core::{Boundary, ChatRequest, Completion, ExitStatus, Failure, Message, Role, ToolCall};
use swegym_model::ModelError;

use crate::support::{Script, Seeing, Workplace, answer, bash, finish, observations, raw_call, script};

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
    let end = format!("[exit code 0 in {repo_dir}]");
    assert_eq!(observations(trajectory), [&format!("{repo_dir}\ndef f():\n\treturn 1\n{end}"), &end]);
    assert!(outcome.patch.to_text_lossy().contains("-\treturn 1\n+\treturn 2\n"));
    let names: Vec<&str> = trajectory.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["execute_bash", "str_replace_editor", "think", "finish"]);
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
    assert!(seen[0].starts_with("[it still runs, since 0."), "{}", seen[0]);
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
            "no tool is called `python`; the tools are execute_bash, str_replace_editor, think, finish",
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
    assert!(seen[199].starts_with("200\n[exit code 0 in "), "{}", seen[199]);

    let outcome = place.run_calls((0..300).map(|_| bash("true")).collect()).await;
    let seen = observations(&outcome.trajectory);
    assert!(seen[255].starts_with("[exit code 0 in "), "{}", seen[255]);
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
    assert_eq!(seen[0], format!("\0\u{1b}[31m\u{fffd}\n[exit code 0 in {}]", place.config.repo_dir));
    assert!(seen[1].contains("\n[... 2970000 bytes left out ...]\n"), "{}", seen[1].len());
    assert!(seen[2].contains("more than the limit of 1048576"), "{}", seen[2]);
    assert!(seen[3].contains("[exit code 12"), "{}", seen[3]);
    assert!(seen[4].len() < 300);
    assert_eq!(outcome.trajectory.messages[2].role, Role::Assistant);
    assert_eq!(outcome.trajectory.messages[2].content, hostile);
    assert!(serde_json::to_string(&outcome.trajectory).is_ok());
}

#[tokio::test]
async fn a_policy_that_fails_keeps_its_trajectory() {
    let place = Workplace::new();
    let error = place.run(script(vec![answer(vec![bash("echo hello")])])).await.unwrap_err();
    assert_eq!(
        observations(&error.trajectory),
        [format!("hello\n[exit code 0 in {}]", place.config.repo_dir)]
    );
    assert_eq!(error.to_string(), "answer from the script: it ended after 1 answers");
    let failure = Failure::from(&error);
    assert_eq!((failure.boundary, failure.kind.as_str()), (Boundary::Model, "script_ended"));
}

#[tokio::test]
async fn a_deleted_working_directory_is_seen_by_the_policy() {
    let place = Workplace::new();
    let calls = vec![bash(&format!("rm -rf {}; exit", place.config.repo_dir)), bash("ls")];
    let outcome = place.run_calls(calls).await;
    let seen = observations(&outcome.trajectory);
    assert!(
        seen[0].starts_with("[the shell has ended; the next command starts a new one in "),
        "{}",
        seen[0]
    );
    assert!(seen[1].starts_with("ERROR: failed to start `bash`"), "{}", seen[1]);
    assert!(outcome.patch.is_empty());
}

fn invalid(text: &str) -> ModelError {
    let completion = Completion { message: Message::text(Role::Assistant, text), ..answer(Vec::new()) };
    ModelError::InvalidCall { message: "there is no function `fly`".into(), completion: Box::new(completion) }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_a_step_and_the_policy_is_told() {
    for (behaviour, sent, told) in [
        (Behaviour::Sane, 4, "ERROR: there is no function `fly`"),
        (Behaviour::OpenHands, 3, "there is no function `fly`\n[Error occurred in processing last action]"),
    ] {
        let mut place = Workplace::new();
        place.config.behaviour = behaviour;
        let mut number = 0;
        let policy = Script(move |_| {
            number += 1;
            Some(if number == 1 { Err(invalid("<function=fly>")) } else { Ok(answer(vec![finish()])) })
        });
        let trajectory = place.run(policy).await.unwrap().trajectory;
        assert_eq!((trajectory.steps.len(), trajectory.exit_status), (2, ExitStatus::Finished));
        assert_eq!(trajectory.messages[2].content, "<function=fly>");
        let prompt: Vec<&Message> = trajectory.prompt_of(&trajectory.steps[1]).collect();
        assert_eq!((prompt.len(), prompt[prompt.len() - 1].content.as_str()), (sent, told));
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_goes_on_with_its_newer_half() {
    let place = Workplace::new();
    let mut questions = 0;
    let policy = Seeing(move |request: &ChatRequest<'_>| {
        questions += 1;
        let texts: Vec<&str> = request.messages.iter().map(|message| message.content.as_str()).collect();
        match questions {
            1..=4 => Ok(answer(vec![bash(&format!("echo {questions}")), bash("true")])),
            5 => Err(ModelError::ContextWindow { message: "too long".into() }),
            6 => {
                assert!(texts[1].contains("It is broken."), "{texts:?}");
                assert!(texts.iter().any(|text| text.starts_with("3\n")), "{texts:?}");
                assert!(!texts.iter().any(|text| text.starts_with("2\n")), "{texts:?}");
                Ok(answer(vec![finish()]))
            }
            _ => unreachable!(),
        }
    });
    let trajectory = place.run(policy).await.unwrap().trajectory;
    assert_eq!((trajectory.steps.len(), trajectory.exit_status), (5, ExitStatus::Finished));
    assert_eq!(trajectory.steps[3].prompt, []);
    assert_eq!(trajectory.steps[4].prompt, [(0, 2), (8, 14)]);
    assert_eq!(trajectory.messages.len(), 15, "what was left out is still there");
}

#[tokio::test]
async fn under_the_customs_of_openhands_silence_is_answered_until_the_steps_are_over() {
    let mut place = Workplace::new();
    place.config = place.config.openhands();
    place.config.max_steps = 5;
    let policy = Script(|number| {
        let message = Message::text(Role::Assistant, format!("I think {number}"));
        Some(Ok(Completion { message, ..answer(Vec::new()) }))
    });
    let trajectory = place.run(policy).await.unwrap().trajectory;
    assert_eq!((trajectory.exit_status, trajectory.steps.len()), (ExitStatus::StepLimit, 5));
    let names: Vec<&str> = trajectory.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["execute_bash", "finish", "str_replace_editor"]);
}
