//! Policies: whatever chooses the next action of a rollout.

mod policy;

pub use policy::{ModelError, Policy};
