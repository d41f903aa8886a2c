//! What tests need: a toy repository with a task in it, and a model endpoint that plays a script and can fail in
//! every way that a real one can. Helpers panic where they cannot do their work: that is a failed test.

mod http;
mod server;
mod solver;
mod stream;
mod toy_repo;

pub use http::RecordedRequest;
pub use server::{Reply, ScriptedServer};
pub use solver::{Dialect, Solver};
pub use toy_repo::{ToyRepo, toy_repo};
