//! How code is shown to the model: the spans that it is to see, comments in place of the rest.

use super::code::{BlockId, Group, Kind, Module};

/// What is shown, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Show<'a> {
    /// The id of each span is shown before it.
    pub span_ids: bool,
    /// Every line has its number.
    pub line_numbers: bool,
    /// Comments and texts that stand alone are left out.
    pub hide_comments: bool,
    /// Comment that stands where code is left out; nothing does when `None`.
    pub placeholder: Option<&'a str>,
}

/// A span that is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownSpan {
    pub(crate) id: String,
    /// Tokens of it beyond its first block that may be shown; all when `None` or 0.
    pub(crate) tokens: Option<usize>,
}

/// The module with the code of `spans`, or with all of it when `spans` is `None`.
pub(crate) fn show(module: &Module, spans: Option<&[ShownSpan]>, how: Show<'_>) -> String {
    let chosen = spans.unwrap_or_default();
    let by_span = module.spans.iter().map(|span| chosen.iter().find(|shown| shown.id == span.id));
    let mut view =
        View { module, how, everything: spans.is_none(), by_span: by_span.collect(), inside: Vec::new() };
    view.inside = view.blocks_with_shown_inside();
    let mut text = String::new();
    view.children(Module::ROOT, &mut Part::default(), &mut text);
    text
}

/// The span of which blocks are being shown, and the tokens of it so far.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    span: Option<usize>,
    tokens: usize,
}

struct View<'a> {
    module: &'a Module,
    how: Show<'a>,
    everything: bool,
    /// For each span of the module, how it is to be shown, if at all.
    by_span: Vec<Option<&'a ShownSpan>>,
    /// For each block, whether a block in it belongs to a span that is shown.
    inside: Vec<bool>,
}

impl View<'_> {
    /// Children come after their parents.
    fn blocks_with_shown_inside(&self) -> Vec<bool> {
        let blocks = &self.module.blocks;
        let mut inside = vec![false; blocks.len()];
        for (index, block) in blocks.iter().enumerate().rev() {
            let shown = block.span.is_some_and(|span| self.by_span[span].is_some());
            if let Some(parent) = block.parent.filter(|_| shown || inside[index]) {
                inside[parent] = true;
            }
        }
        inside
    }

    /// Shows the children of a block. A part that goes on from the caller counts its tokens there, too; one that
    /// begins here is forgotten at the end.
    fn children(&self, parent: BlockId, outer: &mut Part, text: &mut String) {
        let mut own: Option<Part> = None;
        let mut hidden: Option<BlockId> = None;
        let mut last = None;
        for (id, block) in self.module.children(parent) {
            last = Some(block.kind);
            if self.how.hide_comments && block.kind.group() == Group::Comment {
                continue;
            }
            let part = own.as_mut().unwrap_or(outer);
            let (shown, begins) = self.is_shown(id, part);
            if begins {
                own = Some(Part { span: block.span, tokens: 0 });
            }
            if shown || self.everything {
                if let Some(hidden) = hidden.take() {
                    self.placeholder(hidden, text);
                }
                self.own_text(id, begins && self.how.span_ids, text);
                self.children(id, own.as_mut().unwrap_or(outer), text);
            } else if self.how.placeholder.is_some() && hidden.is_none() {
                hidden = Some(id);
            }
        }
        if let (Some(hidden), Some(last)) = (hidden, last)
            && !matches!(last, Kind::Comment | Kind::Placeholder | Kind::Space)
        {
            self.placeholder(hidden, text);
        }
    }

    /// Whether a block is shown, and whether its span begins with it.
    fn is_shown(&self, id: BlockId, part: &mut Part) -> (bool, bool) {
        let block = &self.module.blocks[id];
        let changes = block.span.is_some() && block.span != part.span;
        let Some(chosen) = block.span.and_then(|span| self.by_span[span]) else {
            return (self.inside[id], self.inside[id] && changes);
        };
        if changes {
            return (true, true);
        }
        let Some(limit) = chosen.tokens.filter(|tokens| *tokens > 0) else { return (true, false) };
        let whole = block.kind.group() == Group::Implementation
            && !matches!(block.kind, Kind::Compound | Kind::DependentClause);
        let tokens = if whole { self.module.tokens(id) } else { block.tokens };
        part.tokens += tokens;
        (part.tokens <= limit, false)
    }

    fn placeholder(&self, hidden: BlockId, text: &mut String) {
        let block = &self.module.blocks[hidden];
        text.push('\n');
        self.number(block.start_line, text);
        text.push_str(self.module.indentation(hidden));
        text.push_str("# ");
        text.push_str(self.how.placeholder.unwrap_or_default());
    }

    fn own_text(&self, id: BlockId, with_id: bool, text: &mut String) {
        let block = &self.module.blocks[id];
        let before = self.module.lines_before(id);
        if let Some(span) = block.span.filter(|_| with_id) {
            text.push_str(&format!("\n\n\n<span id='{}'>", self.module.spans[span].id));
            if before == 0 {
                text.push('\n');
            }
        }
        if self.stands_first(id) {
            self.number(block.start_line, text);
        }
        for line in (0..before).rev() {
            text.push('\n');
            self.number(block.start_line.saturating_sub(line), text);
        }
        let (first, others) = self.module.lines(id);
        text.push_str(self.module.indentation(id));
        text.push_str(&first);
        for (index, line) in others.enumerate() {
            text.push('\n');
            self.number(block.start_line + index + 1, text);
            text.push_str(line);
        }
    }

    /// Upstream compares blocks by their paths here, so that one of the same name as the first counts as first.
    fn stands_first(&self, id: BlockId) -> bool {
        let block = &self.module.blocks[id];
        let mut siblings = self.module.children(Module::ROOT);
        block.parent == Some(Module::ROOT)
            && siblings.next().is_some_and(|(_, first)| first.identifier == block.identifier)
    }

    fn number(&self, line: usize, text: &mut String) {
        if self.how.line_numbers {
            text.push_str(&format!("{line:<6}"));
        }
    }
}
