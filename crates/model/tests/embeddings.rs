//! The client of embeddings against a scripted endpoint.

use std::time::Duration;

use serde_json::{Value, json};
use swegym_model::{ClientConfig, EmbeddingClient, ModelError, Secret};
use swegym_testkit::{Reply, ScriptedServer};

const KEY: &str = "sk-very-secret-0123456789";

async fn embed(server: &ScriptedServer, texts: usize) -> Result<Vec<Vec<f32>>, ModelError> {
    let config = ClientConfig {
        api_key: Some(Secret::new(KEY)),
        max_tries: 3,
        first_backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
        ..ClientConfig::new(server.base_url(), "toy-embedder")
    };
    let texts: Vec<String> = (0..texts).map(|text| text.to_string()).collect();
    EmbeddingClient::new(config)?.embed(&texts).await
}

fn entry(index: usize, number: usize) -> Value {
    json!({"object": "embedding", "index": index, "embedding": [number, 0.5]})
}

#[tokio::test]
async fn many_texts_come_in_batches_and_in_order() {
    let server = ScriptedServer::start_with(|request| {
        let texts = request.body["input"].as_array().unwrap();
        let number = |text: &Value| text.as_str().unwrap().parse().unwrap();
        let entries: Vec<Value> =
            texts.iter().enumerate().rev().map(|(index, text)| entry(index, number(text))).collect();
        Reply::Json(json!({"data": entries}))
    })
    .await;
    let vectors = embed(&server, 150).await.unwrap();
    let numbers: Vec<f32> = vectors.iter().map(|vector| vector[0]).collect();
    assert_eq!(numbers, (0..150_u16).map(f32::from).collect::<Vec<_>>());
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].target, "POST /v1/embeddings");
    assert_eq!(requests[0].header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(requests[0].body["model"], "toy-embedder");
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again() {
    let good = Reply::Json(json!({"data": [entry(0, 7)]}));
    let wrong = Reply::Json(json!({"data": [entry(0, 1), entry(0, 2)]}));
    let server = ScriptedServer::start(vec![Reply::status(503, "busy"), wrong, good]).await;
    assert_eq!(embed(&server, 1).await.unwrap(), [[7.0, 0.5]]);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn refusals_are_said_without_the_key() {
    let server = ScriptedServer::start(vec![Reply::status(401, &format!("bad key {KEY}"))]).await;
    let error = embed(&server, 1).await.unwrap_err();
    assert!(matches!(error, ModelError::Status { tries: 1, status: 401, .. }), "{error}");
    assert!(error.to_string().contains("bad key [redacted]"), "{error}");
    let config = ClientConfig::new("ftp://host", "m");
    assert!(EmbeddingClient::new(config).unwrap_err().to_string().contains("must begin with http"));
}
