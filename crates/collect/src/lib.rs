//! Making task instances: bugs planted in functions that tests cover, pull requests that solve issues, and validation
//! by execution.
//!
//! Everything that runs code goes through [`swegym_sandbox::Sandbox`]. The same sources, seed and test
//! outcomes give the same instances, whatever the number of jobs. What comes out of a sandbox is hostile input.

mod coverage;
mod diff;
mod error;
mod instance;
mod operators;
mod plan;
mod pulls;
mod statement;
mod synth;
mod test_run;
mod text;
mod validate;
mod version_table;
mod versions;

pub use error::SynthError;
pub use operators::{FunctionSite, Mutation, mutations};
pub use plan::is_test_path;
pub use pulls::{
    CollectedInstance, Issue, IssueComment, PullCommit, PullRequest, listed_pulls, problem_statement,
};
pub use synth::{SynthPackage, Workbench, synthesize};
pub use validate::{Validation, validate};
pub use versions::{VersionFiles, version_command, version_from_output};
