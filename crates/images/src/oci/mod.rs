//! Images of the OCI and Docker world: pulled from registries, read from and written to archives, pushed.
//!
//! Everything passes through one folder of blobs, each named by its SHA-256: a registry or an archive fills it,
//! layers of the store are unpacked from it, and what is packed for an archive or a registry lands in it first.
//! What a registry or an archive says is hostile until a digest that we trust has confirmed it; what a layer
//! holds is hostile even then.

mod assemble;
mod auth;
mod blobs;
mod blocking;
mod client;
mod digest;
mod error;
mod fetch;
mod layer;
mod manifest;
mod named;
mod pause;
mod published;
mod pull;
mod reference;
mod tree;
mod unpack;
mod untar;
pub use auth::Credentials;
pub use blobs::BlobCache;
pub use client::{Mirror, Registries, RegistryConfig};
pub use digest::Digest;
pub use error::{OciError, UnpackError};
pub use layer::UnpackLimits;
pub use manifest::{Platform, RunConfig};
pub use named::{NamedImage, NamedImages, NamedLayer};
pub use published::{Family, ImageFields, published_image};
pub use pull::{Destination, LayerNews, PullOptions, pull};
pub use reference::Reference;
