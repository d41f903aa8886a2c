//! The scripts with which SWE-Gym's fork of SWE-bench and SWE-bench itself build their images, to the byte: images
//! that were published are named by digests of them.
//!
//! Everything here is pure: files of a commit come from a function that the caller hands in, and what of the texts is
//! hostile ends up in the text of a script, never in a command of ours.

mod env_script;
mod environment_yml;
mod image_keys;
mod repo_script;
mod requirements;
mod rules;

pub use env_script::{PackageTexts, env_script};
pub use environment_yml::environment_yml_text;
pub use image_keys::{Architecture, base_image_key, env_image_key, instance_image_key};
pub use repo_script::repo_script;
pub use requirements::{fork_requirements_lines, requirements_text};
pub use rules::{PackageFile, ScriptRules, UpstreamSpec, setup_script_text};
