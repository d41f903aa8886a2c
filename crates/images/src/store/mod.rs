//! The layer store.
//!
//! ```text
//! layers/<digest>/{manifest, fs/}   one layer; the digest is the SHA-256 of its manifest
//! recipes/<recipe id>               what a layer follows from, and its digest
//! images/<name>                     which layers make up a named image
//! files/<2 hex>/<sha256>-<mode>     pool of regular files, hard-linked into layers
//! building/, trash/                 scratch of builders; what is being removed
//! locks/<recipe id>                 held by the builder of a recipe
//! ```
//!
//! What must stay true: no path in the store is absolute; whatever the moment of a crash, a layer that is visible
//! is whole; a layer whose manifest somebody holds a shared lock on is not removed.

mod attributes;
mod build;
mod commit;
mod content;
mod error;
mod gc;
mod hash;
mod lease;
mod manifest;
mod open;
mod parallel;
mod pool;
mod recipe;
mod records;
mod remove;
mod scan;
mod shared;
#[cfg(test)]
mod tests;
mod usage;
mod verify;

pub(crate) use attributes::{Attributes, is_kept};
pub use build::LayerBuild;
pub use error::StoreError;
pub use gc::GcReport;
pub(crate) use lease::Lease;
pub use manifest::FIXED_TIME;
pub use open::{Begin, LayerStore};
pub use recipe::Recipe;
pub use records::ImageRecord;
pub use usage::{LayerUsage, StoreUsage};
pub use verify::{Fault, FaultKind, VerifyReport};
