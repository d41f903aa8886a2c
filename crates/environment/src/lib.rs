//! Environment specs, and building images from them: interpreter and packages with `uv`, the repository at a
//! base commit and nothing of its later history, and what installing the repository adds.
//!
//! Package installers are hostile: they run in sandboxes, and what runs third-party code cannot write to the
//! cache that other builds use.

mod builder;
mod error;
mod git;
mod history;
mod index;
mod layers;
mod plan;
mod published;
mod sdist;
mod spec;
mod step_layers;
pub mod upstream;
mod uv;

pub use builder::{BuilderConfig, BuiltImage, ImageBuilder, NetworkSettings};
pub use error::EnvironmentError;
pub use git::{Author, GitRepository, find_repository};
pub use index::{PackageIndex, PinnedFile};
pub use plan::{LeftOut, Plan, PythonPlan};
pub use published::{PublishedImages, PublishedSource, RegistrySource};
pub use sdist::unpack_sdist;
pub use spec::{EnvironmentSpec, PackageSource, Pins, Setup, Specs, Steps, Upstream};
pub use uv::Python;
