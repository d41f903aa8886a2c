//! Mutation operators on Python source: small, plausible bugs inside functions.

mod mutation;
mod names;
mod rules;
mod walk;

#[cfg(test)]
mod tests;

pub use mutation::{FunctionSite, Mutation};
pub use walk::mutations;
