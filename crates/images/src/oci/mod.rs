//! Images of the OCI and Docker world: pulled from registries, read from and written to archives, pushed.
//!
//! Everything passes through one folder of blobs, each named by its SHA-256: a registry or an archive fills it,
//! layers of the store are unpacked from it, and what is packed for an archive or a registry lands in it first.
//! What a registry or an archive says is hostile until a digest that we trust has confirmed it; what a layer
//! holds is hostile even then.

mod archive;
mod assemble;
mod auth;
mod blobs;
mod blocking;
mod client;
mod digest;
mod error;
mod export;
mod fetch;
mod host_base;
mod layer;
mod manifest;
mod named;
mod pack;
mod pause;
mod published;
mod pull;
mod push;
mod reference;
mod tree;
mod unpack;
mod untar;
mod write;

pub use archive::import;
pub use auth::Credentials;
pub use blobs::BlobCache;
pub use client::{Mirror, Registries, RegistryConfig};
pub use digest::Digest;
pub use error::{OciError, UnpackError};
pub use export::{Compression, ExportOptions, Exported, export};
pub use layer::UnpackLimits;
pub use manifest::{Platform, RunConfig};
pub use named::{NamedImage, NamedImages, NamedLayer};
pub use published::{Family, ImageFields, published_image};
pub use pull::{Destination, LayerNews, PullOptions, pull};
pub use push::push;
pub use reference::Reference;
pub use write::{ArchiveForm, write_archive};
