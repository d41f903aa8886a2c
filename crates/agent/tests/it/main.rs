//! Rollouts of scripted policies on small repositories of the host.

mod patch;
mod rollout;
mod support;
mod tools;
mod workflow;
