//! What a planted bug is.

use std::ops::Range;
use std::sync::Arc;

use tree_sitter::{Parser, Tree};

/// A function definition in a source file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionSite {
    /// Path of the file, as given.
    pub file: String,
    /// Name as in Python's `__qualname__`: `Class.method`, `outer.<locals>.inner`.
    pub qualified_name: String,
    /// Line of its first decorator, or of `def`; from 1. The first line of Python's code object.
    pub first_line: usize,
    /// Its last line; from 1.
    pub last_line: usize,
}

/// One replacement in a source file that plants a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// What kind of bug, such as `off-by-one`.
    pub operator: &'static str,
    /// Bytes of the source that are replaced.
    pub range: Range<usize>,
    /// What stands there instead.
    pub replacement: String,
    /// Innermost function around it.
    pub function: Arc<FunctionSite>,
}

impl Mutation {
    /// The source with the bug in it; `None` when that would not parse, or not differ.
    pub fn apply(&self, source: &[u8]) -> Option<Vec<u8>> {
        let before = source.get(..self.range.start)?;
        let replaced = source.get(self.range.clone())?;
        let after = source.get(self.range.end..)?;
        let mutated = [before, self.replacement.as_bytes(), after].concat();
        (replaced != self.replacement.as_bytes() && parse(&mutated).is_some()).then_some(mutated)
    }
}

/// The syntax tree, where the source is free of syntax errors.
pub(super) fn parse(source: &[u8]) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok()?;
    let tree = parser.parse(source, None)?;
    (!tree.root_node().has_error()).then_some(tree)
}
