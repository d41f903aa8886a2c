//! Finding code: by the exact names of classes and functions, and by words or meaning.

mod bm25;
mod chunks;
mod embedder;
mod glob;
mod search;
mod snapshot;

pub use embedder::Embedder;
pub(crate) use search::{CodeIndex, Hit, SearchRequest};
pub(crate) use snapshot::Snapshot;

#[cfg(test)]
mod tests;
