//! Making task instances: bugs planted in functions that tests cover, and validation by execution.
//!
//! Everything that runs code goes through [`swegym_sandbox::Sandbox`]. The same sources, seed and test
//! outcomes give the same instances, whatever the number of jobs. What comes out of a sandbox is hostile input.

mod coverage;
mod diff;
mod error;
mod instance;
mod operators;
mod plan;
mod statement;
mod synth;
mod test_run;
mod validate;

pub use error::SynthError;
pub use operators::{FunctionSite, Mutation, mutations};
pub use plan::is_test_path;
pub use synth::{SynthPackage, Workbench, synthesize};
pub use validate::{Validation, validate};
