//! Rollouts of scripted policies on small repositories of the host.

mod hostile;
mod mini;
mod patch;
mod rollout;
mod session;
mod support;
mod text_calls;
mod tools;
mod workflow;
