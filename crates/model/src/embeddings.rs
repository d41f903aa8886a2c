//! Client of an OpenAI-compatible `/embeddings` endpoint.

use std::fmt;

use serde::Deserialize;
use serde_json::json;

use crate::problem::Problem;
use crate::retry::Backoff;
use crate::transport::{Route, Transport};
use crate::{ClientConfig, ModelError};

/// Texts of one request: few enough for every server that is known to have a limit.
const BATCH: usize = 64;

/// An endpoint that turns texts into vectors.
pub struct EmbeddingClient {
    transport: Transport,
    model: String,
    max_tries: u32,
    backoff: Backoff,
}

impl fmt::Debug for EmbeddingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingClient")
            .field("endpoints", &self.transport.shown())
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl EmbeddingClient {
    /// Sets the client up; it connects with the first request. How to sample is of no importance here.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when the address cannot be used, or the system's certificates not be read.
    pub fn new(config: ClientConfig) -> Result<Self, ModelError> {
        if config.base_urls.len() > 1 {
            return Err(ModelError::Setup { message: "embeddings come from one endpoint".to_owned() });
        }
        Ok(Self {
            transport: Transport::new(&config)?,
            model: config.model,
            max_tries: config.max_tries,
            backoff: Backoff { first: config.first_backoff, max: config.max_backoff },
        })
    }

    /// One vector for each text, in their order, all of one length.
    ///
    /// # Errors
    /// [`ModelError`] when a batch of them got no fitting answer in every try.
    pub async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            vectors.extend(self.embed_batch(batch).await?);
        }
        let length = vectors.first().map_or(0, Vec::len);
        if vectors.iter().any(|vector| vector.len() != length) {
            let message = "its vectors differ in length".to_owned();
            return Err(ModelError::Malformed { tries: 1, message });
        }
        Ok(vectors)
    }

    async fn embed_batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let body = json!({"model": self.model, "input": texts, "encoding_format": "float"}).to_string();
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.transport.ask_plainly(0, Route::Embeddings, body.clone().into_bytes()).await;
            let problem = match answer.and_then(|body| vectors(&body, texts.len())) {
                Ok(vectors) => return Ok(vectors),
                Err(problem) => problem,
            };
            if tries >= self.max_tries || !problem.may_pass() {
                return Err(self.transport.error(problem, tries));
            }
            tokio::time::sleep(self.backoff.delay(tries, problem.retry_after())).await;
        }
    }
}

/// The vectors in the order of their texts, however the server sorted them.
fn vectors(body: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, Problem> {
    let malformed = |why: &str| Problem::Malformed(why.to_owned());
    let answer: Answer = serde_json::from_slice(body).map_err(|_| malformed("it has no vectors"))?;
    let mut entries: Vec<(usize, Vec<f32>)> = answer
        .data
        .into_iter()
        .enumerate()
        .map(|(at, entry)| (entry.index.unwrap_or(at), entry.embedding))
        .collect();
    entries.sort_by_key(|(index, _)| *index);
    if !entries.iter().map(|(index, _)| *index).eq(0..texts) {
        return Err(malformed("it has not one vector for each text"));
    }
    let vectors: Vec<Vec<f32>> = entries.into_iter().map(|(_, vector)| vector).collect();
    if vectors.iter().flatten().any(|number| !number.is_finite()) {
        return Err(malformed("its vectors have numbers that are none"));
    }
    Ok(vectors)
}
