//! Environment specs: how the image of a repository at a version is built and how its tests run.

mod builtin;
mod environment_spec;
mod json_form;
mod nearest;
mod specs;
mod toml_form;

pub use environment_spec::{EnvironmentSpec, PackageSource, Pins, Setup, Steps};
pub use specs::{Specs, Upstream};
