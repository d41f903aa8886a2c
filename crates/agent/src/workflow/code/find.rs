//! Looking blocks and spans up.

use std::collections::HashSet;

use super::block::{BlockId, Kind, Module};
use super::span::{Span, SpanKind};

impl Module {
    /// The span with this id.
    pub(crate) fn span(&self, id: &str) -> Option<&Span> {
        self.span_by_id.get(id).map(|index| &self.spans[*index])
    }

    /// Index of the span with this id.
    pub(crate) fn span_index(&self, id: &str) -> Option<usize> {
        self.span_by_id.get(id).copied()
    }

    /// Whether a block in `block` belongs to one of `spans`.
    pub(crate) fn has_span_inside(&self, block: BlockId, spans: &[&str]) -> bool {
        let belongs = |block: BlockId| {
            self.blocks[block].span.is_some_and(|span| spans.contains(&&*self.spans[span].id))
        };
        self.descendants(block).skip(1).any(belongs)
    }

    /// The first block in `within` that begins at a line or after it, or that has the line and nothing in it.
    pub(crate) fn block_from_line(&self, within: BlockId, line: usize) -> Option<BlockId> {
        self.children(within).find_map(|(id, child)| {
            if child.start_line >= line || child.end_line >= line && child.children.is_empty() {
                Some(id)
            } else if child.end_line >= line {
                self.block_from_line(id, line)
            } else {
                None
            }
        })
    }

    /// Spans that a span should be seen with: of what it refers to and what refers to it, the head of its class,
    /// the imports of the module.
    pub(crate) fn related_spans(&self, span: usize) -> Vec<usize> {
        let own = || self.blocks.iter().enumerate().filter(move |(_, block)| block.span == Some(span));
        let paths: HashSet<String> = own().map(|(id, _)| self.path_text(id)).collect();
        let named: HashSet<&str> =
            own().flat_map(|(_, block)| &block.references).map(String::as_str).collect();
        let mut related: HashSet<usize> = HashSet::new();
        for (id, block) in self.blocks.iter().enumerate() {
            let refers = block.references.iter().any(|name| paths.contains(name));
            if refers || named.contains(self.path_text(id).as_str()) {
                related.extend(block.span);
            }
        }
        for class in own().filter_map(|(_, block)| block.parent) {
            if self.blocks[class].kind == Kind::Class {
                related.insert(span);
                let members = self.children(class).filter_map(|(_, member)| member.span);
                related.extend(members.filter(|member| self.spans[*member].kind == SpanKind::Initiation));
            }
        }
        let of_module = |span: &Span| self.blocks[span.block].kind == Kind::Module;
        let imports = self.spans.iter().enumerate().filter(|(_, span)| of_module(span));
        related.extend(imports.filter(|(_, span)| span.kind == SpanKind::Initiation).map(|(index, _)| index));
        // Upstream's order is that of a set; ours is that of the file.
        let mut related: Vec<usize> = related.into_iter().collect();
        related.sort_unstable();
        related
    }

    /// Spans that come with the ones that were chosen: imports, and the head of a class whose span was chosen.
    pub(crate) fn initiating_spans(&self, chosen: &[usize]) -> Vec<usize> {
        let initiates = |span: &usize| self.spans[*span].kind == SpanKind::Initiation;
        let imports = self.children(Self::ROOT).filter(|(_, child)| child.kind == Kind::Import);
        let mut found: Vec<usize> = imports.filter_map(|(_, child)| child.span).filter(initiates).collect();
        for span in chosen {
            let block = self.spans[*span].block;
            if self.blocks[block].kind == Kind::Class {
                found.extend(self.children(block).filter_map(|(_, child)| child.span).filter(initiates));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
