//! Instances x samples -> rollouts and verdicts: a dispatcher, workers, retries, resumption.
//!
//! What produces a patch is a [`Solver`]: a scaffold around a policy, or predictions from a file. What follows
//! is the same for both: a fresh sandbox, the harness, one committed record.

mod dispatcher;
mod error;
mod images;
mod outcome;
mod solver;
mod surveys;
mod unit;

pub use dispatcher::{EventSink, RunPlan, Runner};
pub use error::RunnerError;
pub use images::Images;
pub use solver::{AttemptError, PolicyFactory, PredictionSolver, ScaffoldSolver, Solution, Solver};
pub use unit::{Limits, Workshop};
