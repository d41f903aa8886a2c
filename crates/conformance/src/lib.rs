//! Recorded behaviour of upstream, run against ours. A vector file holds records with a unique `id`, inputs and what
//! upstream gave; a suite says what ours must give for them.

mod compare;
mod run;
mod suites;

pub use run::{Outcome, run_folder};
