//! Meaning as vectors, from wherever they come.

use async_trait::async_trait;
use swegym_model::{EmbeddingClient, ModelError};

/// Turns texts into vectors whose distance says how much they differ in meaning.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// One vector for each text, in their order, all of one length.
    ///
    /// # Errors
    /// [`ModelError`] when there are none to be had.
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError>;
}

/// The vectors nearest to `query`, nearest first, at most `most`; vectors of another length are as far as can be.
pub(super) fn nearest(vectors: &[Vec<f32>], query: &[f32], most: usize) -> Vec<usize> {
    let distance = |vector: &Vec<f32>| -> f32 {
        if vector.len() != query.len() {
            return f32::INFINITY;
        }
        vector.iter().zip(query).map(|(one, other)| (one - other) * (one - other)).sum()
    };
    let mut found: Vec<(usize, f32)> = vectors.iter().map(distance).enumerate().collect();
    found.sort_by(|one, other| one.1.total_cmp(&other.1));
    found.into_iter().map(|(index, _)| index).take(most).collect()
}

#[async_trait]
impl Embedder for EmbeddingClient {
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        Self::embed(self, texts).await
    }
}
