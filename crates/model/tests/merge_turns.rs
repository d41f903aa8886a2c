//! Conversations for templates in which turns must alternate: what is sent, and what the record says of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use serde_json::json;
use swegym_core::fncall::TextFormat;
use swegym_core::{
    ChatRequest, CommitId, InstanceId, Message, Problem, RepoName, Role, ToolCall, ToolSpec, Trajectory,
};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, MergeTurns, Policy, TextTools};
use swegym_testkit::{Reply, ScriptedServer};

fn trajectory() -> Trajectory {
    let problem = Problem {
        instance_id: InstanceId::new("a__b-1").unwrap(),
        repo: RepoName::new("a/b").unwrap(),
        base_commit: CommitId::new("0".repeat(40)).unwrap(),
        problem_statement: String::new(),
    };
    let mut trajectory = Trajectory::empty(&problem, 0, "codeact", "m");
    let call = ToolCall::new("c", "bash", &json!({"command": "ls"}));
    trajectory.tools =
        vec![ToolSpec { name: "bash".into(), description: "Runs.".into(), parameters: json!({}) }];
    trajectory.messages = vec![
        Message::text(Role::System, "You work."),
        Message::text(Role::User, "Mend it."),
        Message::text(Role::User, "Soon."),
        Message::calling("Look.", vec![call.clone()]),
        Message::tool_result(&call, "README"),
        Message::text(Role::User, "Go on."),
    ];
    trajectory
}

async fn ask(make: impl FnOnce(ChatPolicy) -> Box<dyn Policy>) {
    let server = ScriptedServer::start(vec![Reply::text("yes")]).await;
    let client = ChatClient::new(ClientConfig::new(server.base_url(), "m")).unwrap();
    let mut policy = make(ChatPolicy::new(Arc::new(client)));
    let mut trajectory = trajectory();
    let (messages, tools) = (trajectory.messages.clone(), trajectory.tools.clone());
    let answer = policy.complete(&ChatRequest::new(&messages, &tools)).await.unwrap();
    trajectory.push_answer(answer, Vec::new(), 0);
    trajectory.tool_format = policy.tool_format().cloned();
    trajectory.merged_turns = policy.merges_turns();
    let sent = server.requests()[0].messages();
    let is_user = |message: &Message| message.role == Role::User;
    assert!(!sent.windows(2).any(|pair| pair.iter().all(is_user)), "{sent:?}");
    assert!(sent.iter().any(|message| message.content.contains("Mend it.\nSoon.")), "{sent:?}");
    assert_eq!(
        trajectory.sent_before(&trajectory.steps[0]).unwrap(),
        sent,
        "the record gives back what was sent"
    );
    assert_eq!(trajectory.messages.len(), messages.len() + 1, "and has each message by itself");
}

#[tokio::test]
async fn turns_are_merged_on_the_way_and_the_record_says_so() {
    ask(|policy| Box::new(MergeTurns::new(Box::new(policy)))).await;
}

#[tokio::test]
async fn turns_that_are_made_by_calls_in_text_are_merged_too() {
    let format = Arc::new(TextFormat { example: None, ..TextFormat::default() });
    ask(|policy| Box::new(TextTools::new(Box::new(MergeTurns::new(Box::new(policy))), format))).await;
}
