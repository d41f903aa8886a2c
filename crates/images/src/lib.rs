//! Images: an ordered list of immutable layers plus a small config, in a store that all instances share.

mod image;

pub use image::{HostBind, Image, ImageConfig, Layer};
