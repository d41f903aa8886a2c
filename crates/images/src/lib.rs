//! Images: an ordered list of immutable layers plus a small config, in a store that all instances share.
//!
//! A layer is named by the SHA-256 of its recipe: everything that its content follows from. It appears in the
//! store by one rename, whole, and never changes after that, so a killed builder leaves only scratch behind.

mod image;
pub mod oci;
mod store;

pub use image::{HostBind, Image, ImageConfig, Layer};
pub use store::{Begin, LayerBuild, LayerStore, Recipe, StoreError};
