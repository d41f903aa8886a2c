//! Calls that come to no whole answer: what the endpoint is spared, and what is kept of them.

use std::time::Duration;

use serde_json::{Value, json};
use swegym_core::{CallFailureKind, ExitStatus, FailedCall, Trajectory, sent_prompt};
use swegym_model::gateway::{GatewayLimits, Recording};
use swegym_testkit::{Reply, ScriptedServer};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Place, asking, begun, code, event, name, stream};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn streaming(text: &str) -> String {
    let mut body = asking(text);
    body["stream"] = true.into();
    body.to_string()
}

fn told(calls: &[FailedCall]) -> Vec<(CallFailureKind, Option<u16>, &str)> {
    calls.iter().map(|call| (call.kind, call.status, call.message.as_str())).collect()
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_the_request_and_leaves_what_had_come() {
    let mut first: Value = serde_json::from_str(
        event(&json!({"role": "assistant", "content": "hel"}), None).trim_start_matches("data: ").trim(),
    )
    .unwrap();
    first["prompt_token_ids"] = json!([1, 2]);
    first["choices"][0]["token_ids"] = json!([3, 4]);
    let half = Reply::SilentStream(vec![format!("data: {first}\n\n").into_bytes()]);
    let place =
        Place::new(ScriptedServer::start(vec![half, Reply::text("ok")]).await, |config| config.tokens = true)
            .await;
    let key = place.open("r-1");
    let mut response = place.post("/v1/chat/completions", &key, streaming("hello")).await;
    assert!(String::from_utf8_lossy(&response.chunk().await.unwrap().unwrap()).contains("hel"));
    drop(response);
    timeout(PATIENCE, place.server.idle()).await.expect("the request to the endpoint ends");
    assert_eq!(place.ask(&key, &asking("hello")).await.0, 200);

    let Recording { trajectory, last_failure, .. } = place.close("r-1").await;
    let call = &trajectory.failed_calls[0];
    assert_eq!((call.kind, call.steps_before), (CallFailureKind::Abandoned, 0));
    assert_eq!(call.message, "the caller hung up in the middle of the answer");
    assert_eq!(
        Value::Object(call.received[0].message.clone()),
        json!({"role": "assistant", "content": "hel"})
    );
    let tokens = call.received[0].tokens.clone().unwrap();
    assert_eq!((tokens.prompt_token_ids, tokens.completion_token_ids), (vec![1, 2], vec![3, 4]));
    assert_eq!((trajectory.steps.len(), last_failure), (1, None), "half an answer is no step");
    assert_eq!(trajectory.messages.len(), 2, "the same prompt is kept once");
    assert_eq!(call.prompt, [(0, 1)]);
}

#[tokio::test]
async fn a_caller_who_does_not_wait_for_the_answer_ends_the_request() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = ScriptedServer::start_with(move |_| {
        arrived.send(()).unwrap();
        Reply::Hang
    })
    .await;
    let place = Place::new(server, |_| {}).await;
    let limits = GatewayLimits { max_steps: 2, ..GatewayLimits::default() };
    let key = place.gateway.open(&name("r-1"), begun(), limits);
    for body in [asking("one").to_string(), streaming("two")] {
        tokio::select! {
            response = place.post("/v1/chat/completions", &key, body) => panic!("{response:?}"),
            _ = arrivals.recv() => {}
        }
        timeout(PATIENCE, place.server.idle()).await.expect("the request to the endpoint ends");
    }
    let refused = place.ask(&key, &asking("three")).await;
    assert_eq!(code(&refused), (403, "budget_exceeded"), "calls that are given up count");
    let Recording { trajectory, limit, last_failure } = place.close("r-1").await;
    let expected = (CallFailureKind::Abandoned, None, "the caller hung up before there was an answer");
    assert_eq!(told(&trajectory.failed_calls), [expected, expected]);
    assert_eq!((limit, last_failure), (Some(ExitStatus::StepLimit), None));
}

#[tokio::test]
async fn what_came_before_an_endpoint_broke_off_is_kept() {
    let call = json!({"index": 0, "id": "c", "function": {"name": "f", "arguments": "{\"a\""}});
    let part = event(&json!({"role": "assistant", "tool_calls": [call]}), None);
    let place = Place::scripted(vec![stream(&[&part]), Reply::CutInBody]).await;
    let key = place.open("r-1");
    let cut = place.post("/v1/chat/completions", &key, streaming("x")).await;
    assert!(cut.text().await.is_err(), "what ended early does not look complete");
    assert_eq!(code(&place.ask(&key, &asking("x")).await), (502, "bad_gateway"));
    let Recording { trajectory, last_failure, .. } = place.close("r-1").await;
    let expected = [
        (CallFailureKind::Broken, None, "the endpoint's answer ended early"),
        (CallFailureKind::Broken, None, "the connection to the endpoint broke"),
    ];
    assert_eq!(told(&trajectory.failed_calls), expected);
    let received = &trajectory.failed_calls[0].received[0].message;
    assert_eq!(received["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{\"a\""}));
    assert_eq!(last_failure.as_deref(), Some("the connection to the endpoint broke"));
}

#[tokio::test]
async fn errors_that_are_passed_on_are_kept_in_order() {
    let throttled =
        Reply::Status { code: 429, retry_after: Some("7".to_owned()), body: "slow down".to_owned() };
    let replies = vec![throttled, Reply::status(503, "busy"), Reply::text("ok"), Reply::MalformedJson];
    let place = Place::scripted(replies).await;
    let key = place.open("r-1");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let response = place.post("/v1/chat/completions", &key, asking("x").to_string()).await;
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [429, 503, 200, 502]);
    assert_eq!(place.server.requests().len(), 4, "the gateway tries nothing again by itself");
    let trajectory = place.close("r-1").await.trajectory;
    let expected = [
        (CallFailureKind::Refused, Some(429), "HTTP status 429: slow down"),
        (CallFailureKind::Refused, Some(503), "HTTP status 503: busy"),
        (CallFailureKind::Broken, None, "the endpoint's answer is not JSON"),
    ];
    assert_eq!(told(&trajectory.failed_calls), expected);
    assert_eq!(trajectory.failed_calls.iter().map(|call| call.steps_before).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!((trajectory.messages.len(), trajectory.steps.len()), (2, 1));
    assert_eq!(sent_prompt(&trajectory, &trajectory.steps[0])[0]["content"], "x");
    let text = serde_json::to_string(&trajectory).unwrap();
    assert_eq!(serde_json::from_str::<Trajectory>(&text).unwrap(), trajectory);
}

#[tokio::test]
async fn a_rollout_that_ends_takes_its_calls_with_it() {
    let part = event(&json!({"role": "assistant", "content": "hel"}), None);
    let half = Reply::SilentStream(vec![part.into_bytes()]);
    let place = Place::scripted(vec![half]).await;
    let key = place.open("r-1");
    let mut response = place.post("/v1/chat/completions", &key, streaming("hello")).await;
    response.chunk().await.unwrap();
    let trajectory = place.close("r-1").await.trajectory;
    let expected = (CallFailureKind::Abandoned, None, "the rollout ended in the middle of the answer");
    assert_eq!(told(&trajectory.failed_calls), [expected]);
    assert_eq!(trajectory.failed_calls[0].received[0].message["content"], "hel");
    timeout(PATIENCE, place.server.idle()).await.expect("the request to the endpoint ends");
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn who_has_the_whole_answer_need_not_wait_for_its_end() {
    let part = event(&json!({"role": "assistant", "content": "all"}), Some("stop"));
    let place = Place::scripted(vec![Reply::SilentStream(vec![part.into_bytes()])]).await;
    let key = place.open("r-1");
    let mut response = place.post("/v1/chat/completions", &key, streaming("hello")).await;
    response.chunk().await.unwrap();
    drop(response);
    timeout(PATIENCE, place.server.idle()).await.expect("the request to the endpoint ends");
    let trajectory = place.close("r-1").await.trajectory;
    assert_eq!((trajectory.steps.len(), trajectory.failed_calls.len()), (1, 0));
    assert_eq!(trajectory.messages[1].content, "all");
}
