//! What building the image of an instance takes, worked out before anything is built: interpreter, requirements,
//! commands, and what of the upstream's steps is left out.

mod commands;
mod conda;
mod environment_yml;
mod make;
mod requirements;

pub use make::{LeftOut, Plan, PythonPlan};
pub(crate) use make::{Sources, make_plan};
