//! Spans: the parts of a module that have an id of their own.

use std::collections::HashMap;

use super::block::{Block, BlockId, Group, Kind, around, path_of};

/// What a span is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// Imports and what is with them, the head of a class, a constructor.
    Initiation,
    Documentation,
    Implementation,
}

impl SpanKind {
    /// In one word.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Initiation => "init",
            Self::Documentation => "docs",
            Self::Implementation => "impl",
        }
    }
}

/// A part of a module with an id.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) id: String,
    pub(crate) kind: SpanKind,
    /// First line, from 1.
    pub(crate) start_line: usize,
    pub(crate) end_line: usize,
    /// The block that it stands for.
    pub(crate) block: BlockId,
    pub(crate) tokens: usize,
    /// How many spans of the same block came before it.
    index: usize,
    /// Length and text of the path of the block whose children make up the span.
    parent_depth: usize,
    parent_path: String,
    members: usize,
}

/// Groups blocks into spans, in the order in which they are read.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub(super) all: Vec<Span>,
    /// How often each id was asked for, whether or not a span came of it: ids that are seen are numbered by that.
    asked: HashMap<String, usize>,
    /// Comments that will belong to the span of what follows them.
    waiting: Vec<BlockId>,
}

impl Spans {
    /// Takes in a block that was just read: gives back the span that its siblings go on from.
    pub(super) fn place(
        &mut self,
        blocks: &mut [Block],
        block: BlockId,
        current: Option<usize>,
        max_tokens: usize,
    ) -> Option<usize> {
        let waits = blocks[block].kind == Kind::Comment
            && current.is_some_and(|span| {
                self.all[span].kind != SpanKind::Documentation && self.all[span].members > 1
            });
        if waits {
            self.waiting.push(block);
            return current;
        }
        let span = match (self.begin(blocks, block, current, max_tokens), current) {
            (Some(span), _) => {
                self.all.push(span);
                self.all.len() - 1
            }
            (None, Some(span)) => {
                self.all[span].end_line = blocks[block].end_line;
                span
            }
            // Without a current span one begins.
            (None, None) => return None,
        };
        self.settle(blocks, Some(span));
        self.add(blocks, span, block);
        Some(span)
    }

    /// Gives comments that still wait to a span.
    pub(super) fn settle(&mut self, blocks: &mut [Block], span: Option<usize>) {
        for block in std::mem::take(&mut self.waiting) {
            if let Some(span) = span {
                self.add(blocks, span, block);
            }
        }
    }

    fn add(&mut self, blocks: &mut [Block], span: usize, block: BlockId) {
        blocks[block].span = Some(span);
        self.all[span].members += 1;
        self.all[span].tokens += blocks[block].tokens;
    }

    fn begin(
        &mut self,
        blocks: &[Block],
        block: BlockId,
        current: Option<usize>,
        max_tokens: usize,
    ) -> Option<Span> {
        let (kind, label) = self.kind(blocks, block, current);
        let id = self.ask_id(blocks, block, label);
        let it = &blocks[block];
        let parent = it.parent?;
        let is_structure = it.kind.group() == Group::Structure;
        let span = |initiator: BlockId, parent: BlockId| {
            let path = path_of(blocks, parent);
            Span {
                id: id.clone(),
                kind,
                start_line: it.start_line,
                end_line: it.start_line,
                block: initiator,
                tokens: 0,
                index: 0,
                parent_depth: path.len(),
                parent_path: path.join("."),
                members: 0,
            }
        };
        let Some(current) = current.map(|current| &self.all[current]) else {
            return Some(if is_structure { span(block, block) } else { span(parent, parent) });
        };
        let parent_path = path_of(blocks, parent);
        let may_divide = matches!(blocks[parent].kind, Kind::Module | Kind::Class);
        if is_structure && may_divide && current.parent_path == parent_path.join(".") {
            return Some(span(block, block));
        }
        if current.parent_depth > parent_path.len() {
            return Some(span(block, if is_structure { block } else { parent }));
        }
        let is_full = current.tokens + it.tokens > max_tokens;
        (is_full && blocks[parent].kind == Kind::Module).then(|| Span {
            index: current.index + 1,
            parent_depth: current.parent_depth,
            parent_path: current.parent_path.clone(),
            ..span(current.block, parent)
        })
    }

    fn kind(
        &self,
        blocks: &[Block],
        block: BlockId,
        current: Option<usize>,
    ) -> (SpanKind, Option<&'static str>) {
        let it = &blocks[block];
        let current = current.map(|current| &self.all[current]);
        let of_module = current.is_none_or(|span| blocks[span.block].kind == Kind::Module);
        let fresh = current.is_none_or(|span| span.kind != SpanKind::Implementation || span.index == 0);
        if it.kind == Kind::Comment && of_module && fresh {
            return (SpanKind::Documentation, Some("docstring"));
        }
        let goes_on = current.is_some_and(|span| {
            matches!(blocks[span.block].kind, Kind::Class | Kind::Constructor)
                && !same_path(blocks, blocks[span.block].parent, it.parent)
                && span.kind != SpanKind::Implementation
                && it.kind != Kind::Function
        });
        if matches!(it.kind, Kind::Class | Kind::Constructor) || goes_on {
            (SpanKind::Initiation, None)
        } else if it.kind == Kind::Import && of_module {
            (SpanKind::Initiation, Some("imports"))
        } else {
            (SpanKind::Implementation, None)
        }
    }

    fn ask_id(&mut self, blocks: &[Block], block: BlockId, label: Option<&str>) -> String {
        let is_structure = blocks[block].kind.group() == Group::Structure;
        let structure = if is_structure {
            Some(block)
        } else {
            around(blocks, block, |kind| kind.group() == Group::Structure)
        };
        let path = structure.map(|block| path_of(blocks, block).join(".")).unwrap_or_default();
        let id = match (label, path.as_str()) {
            (Some(label), "") => label.to_owned(),
            (Some(label), path) => format!("{path}:{label}"),
            (None, "") => "impl".to_owned(),
            (None, _) => path,
        };
        let asked = self.asked.entry(id.clone()).or_default();
        *asked += 1;
        if *asked == 1 { id } else { format!("{id}:{asked}") }
    }
}

fn same_path(blocks: &[Block], one: Option<BlockId>, other: Option<BlockId>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => path_of(blocks, one) == path_of(blocks, other),
        (None, None) => true,
        _ => false,
    }
}
