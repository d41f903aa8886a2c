//! Images: an ordered list of immutable layers plus a small config, in a store that all instances share.
//!
//! A layer is named by the SHA-256 of its content; recipes, everything that a content follows from, lead to it. It
//! appears in the store by one rename, whole, and never changes after that, so a killed builder leaves only
//! scratch behind. Equal files of all layers are one file on disk.

mod image;
pub mod oci;
mod store;

pub use image::{HostBind, Image, ImageConfig, Layer};
pub use store::{
    Begin, FIXED_TIME, Fault, FaultKind, GcReport, ImageRecord, LayerBuild, LayerStore, LayerUsage, Recipe,
    StoreError, StoreUsage, VerifyReport,
};
