//! Several endpoints, and many rollouts at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use swegym_core::{ChatRequest, Message, Role};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, ModelError, Policy, Prices};
use swegym_testkit::{RecordedRequest, Reply, ScriptedServer};

fn config(servers: &[&ScriptedServer]) -> ClientConfig {
    ClientConfig {
        base_urls: servers.iter().map(|server| server.base_url()).collect(),
        max_tries: 8,
        first_backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
        ..ClientConfig::new("", "toy-model")
    }
}

fn client(config: ClientConfig) -> Arc<ChatClient> {
    Arc::new(ChatClient::new(config).expect("the addresses are good"))
}

/// One rollout of some steps; gives what was answered last.
async fn roll_out(client: Arc<ChatClient>, number: usize, steps: usize) -> Result<String, ModelError> {
    let mut policy = ChatPolicy::new(client);
    let mut messages = vec![Message::text(Role::User, format!("{number}"))];
    for _ in 0..steps {
        let completion = policy.complete(&ChatRequest::new(&messages, &[])).await?;
        messages.push(completion.message);
    }
    Ok(messages.pop().expect("there is at least the task").content)
}

/// Many rollouts at once, none of which may be lost.
async fn roll_out_all(client: &Arc<ChatClient>, rollouts: usize, steps: usize) {
    let all: Vec<_> =
        (0..rollouts).map(|number| tokio::spawn(roll_out(Arc::clone(client), number, steps))).collect();
    for (number, rollout) in all.into_iter().enumerate() {
        assert_eq!(
            rollout.await.expect("no rollout panics").expect("no rollout is lost"),
            format!("{number}:{}", steps - 1)
        );
    }
}

/// Names the rollout and the turn.
fn answer(request: &RecordedRequest) -> Reply {
    Reply::text(&format!("{}:{}", request.messages()[0].content, request.turn()))
}

async fn good_server() -> ScriptedServer {
    ScriptedServer::start_with(answer).await
}

#[tokio::test]
async fn rollouts_stay_where_they_began_and_endpoints_share_them() {
    let (one, two) = (good_server().await, good_server().await);
    let client = client(config(&[&one, &two]));
    roll_out_all(&client, 8, 5).await;
    let mut places: HashMap<String, [usize; 2]> = HashMap::new();
    for (place, server) in [&one, &two].into_iter().enumerate() {
        for request in server.requests() {
            places.entry(request.messages()[0].content.clone()).or_default()[place] += 1;
        }
    }
    assert_eq!(places.len(), 8);
    assert!(places.values().all(|counts| counts.contains(&5)), "{places:?}");
    assert!(!one.requests().is_empty() && !two.requests().is_empty());
    assert_eq!(client.totals().answers, 40);
}

#[tokio::test]
async fn an_outage_of_one_of_two_endpoints_loses_nothing() {
    for outage in [Reply::CutConnection, Reply::status(500, "dead"), Reply::CutInBody] {
        let served = AtomicUsize::new(0);
        let dying = ScriptedServer::start_with(move |request| {
            // It dies in the middle of the run.
            if served.fetch_add(1, Ordering::SeqCst) < 40 { answer(request) } else { outage.clone() }
        })
        .await;
        dying.set_healthy(false);
        let good = good_server().await;
        let client = client(config(&[&dying, &good]));
        roll_out_all(&client, 64, 4).await;
        assert!(dying.requests().len() < 40 + 64 + 8, "rollouts must leave it: {}", dying.requests().len());
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_done_without() {
    let gone = good_server().await;
    let good = good_server().await;
    let client = client(config(&[&gone, &good]));
    drop(gone);
    roll_out_all(&client, 64, 3).await;
    assert_eq!(good.requests().len(), 192);
}

#[tokio::test]
async fn endpoints_are_asked_for_their_health_and_only_where_there_is_a_choice() {
    let (one, two) = (good_server().await, good_server().await);
    two.set_healthy(false);
    roll_out_all(&client(config(&[&one, &two])), 4, 20).await;
    assert_eq!((one.checks(), two.checks()), (1, 1), "once per interval");
    let alone = good_server().await;
    roll_out_all(&client(config(&[&alone])), 4, 2).await;
    assert_eq!(alone.checks(), 0);
}

#[tokio::test]
async fn a_storm_of_refusals_is_survived_with_fewer_requests_at_once() {
    for code in [429, 503] {
        let under_way = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
        let server = ScriptedServer::start_with(move |request| {
            // Each rollout is turned away twice.
            let mut tries = under_way.lock().unwrap();
            let tries = tries.entry(request.messages()[0].content.clone()).or_default();
            *tries += 1;
            if *tries <= 2 { Reply::status(code, "slow down") } else { answer(request) }
        })
        .await;
        let client = client(config(&[&server]));
        roll_out_all(&client, 32, 1).await;
        assert_eq!(client.totals().failed_tries, 64);
    }
}

#[tokio::test]
async fn what_an_endpoint_asks_for_holds_for_all_rollouts() {
    let asked = Mutex::new(true);
    let server = ScriptedServer::start_with(move |request| {
        if std::mem::take(&mut *asked.lock().unwrap()) {
            Reply::Status { code: 429, retry_after: Some("7200".to_owned()), body: String::new() }
        } else {
            answer(request)
        }
    })
    .await;
    let config = ClientConfig { max_backoff: Duration::from_secs(7200), ..config(&[&server]) };
    let (told, other) = (client(config.clone()), client(config));
    let first = tokio::spawn(roll_out(Arc::clone(&told), 1, 1));
    while told.totals().failed_tries == 0 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn(roll_out(told, 2, 1));
    // A client that was told nothing goes there and back often enough for the second rollout to have been there.
    roll_out(other, 3, 20).await.unwrap();
    let asked = |number: &str| {
        server.requests().iter().filter(|request| request.messages()[0].content == number).count()
    };
    assert_eq!([asked("1"), asked("2"), asked("3")], [1, 0, 20], "the second rollout waits with the first");
    first.abort();
    second.abort();
}

#[tokio::test]
async fn many_requests_at_once_stay_within_the_limit() {
    let server = good_server().await;
    let client = client(ClientConfig { max_concurrency: 16, stream: true, ..config(&[&server]) });
    roll_out_all(&client, 256, 2).await;
    assert_eq!(client.totals().answers, 512);
    assert!(server.most_at_once() <= 16, "{}", server.most_at_once());
}

#[tokio::test]
async fn a_rollout_that_is_given_up_gives_its_place_up() {
    let turn = AtomicUsize::new(0);
    let server = ScriptedServer::start_with(move |request| match turn.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Hang,
        _ => answer(request),
    })
    .await;
    let client = client(ClientConfig { max_concurrency: 1, ..config(&[&server]) });
    let hangs = tokio::spawn(roll_out(Arc::clone(&client), 1, 1));
    let waits = tokio::spawn(roll_out(Arc::clone(&client), 2, 1));
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    hangs.abort();
    waits.abort();
    assert_eq!(roll_out(client, 3, 1).await.unwrap(), "3:0");
}

#[tokio::test]
async fn tokens_and_dollars_are_added_up() {
    let server = good_server().await;
    let prices = Prices::from_toml("[\"toy-*\"]\nprompt = 1\ncompletion = 10").unwrap();
    let client = client(ClientConfig { price: prices.of("toy-model"), ..config(&[&server]) });
    roll_out_all(&client, 3, 2).await;
    let totals = client.totals();
    assert_eq!((totals.usage.prompt_tokens, totals.usage.completion_tokens), (600, 60));
    let cost = totals.cost.unwrap();
    assert!((cost - 0.0012).abs() < 1e-12, "{cost}");
}

#[tokio::test]
async fn a_rollout_has_a_seed_of_its_own() {
    let server = good_server().await;
    let client = client(config(&[&server]));
    let mut policy = ChatPolicy::new(client).with_seed(7);
    let messages = [Message::text(Role::User, "1")];
    policy.complete(&ChatRequest::new(&messages, &[])).await.unwrap();
    assert_eq!(server.requests()[0].body["seed"], json!(7));
}
