//! Looking spans up.

use super::block::Module;
use super::span::Span;

impl Module {
    /// The span with this id.
    pub(crate) fn span(&self, id: &str) -> Option<&Span> {
        self.span_by_id.get(id).map(|index| &self.spans[*index])
    }
}
