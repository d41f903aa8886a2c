//! Rollouts of scripted policies on small repositories of the host.

mod patch;
mod rollout;
mod support;
mod text_calls;
mod tools;
