//! From a source text to blocks and spans.

use std::collections::{HashMap, HashSet};

use tree_sitter::{Node, Parser};

use super::block::{Block, BlockId, Kind, Module, path_of};
use super::references::references;
use super::shape::{Shape, children, shape};
use super::span::Spans;
use crate::workflow::tokens::CountTokens;

/// Largest source that is read: the largest hand-written modules have about half a megabyte.
const MAX_SOURCE: usize = 2 << 20;
/// Blocks in blocks. Python itself gives up at 100 levels of indentation.
const MAX_DEPTH: usize = 150;
/// Bytes of a path of names: they are part of every id below them.
const MAX_PATH: usize = 1024;
/// Characters of the first line that stand for a name.
const NAME_CHARS: usize = 25;

/// How modules are read.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// How tokens are counted.
    pub(crate) tokens: &'a dyn CountTokens,
    /// Tokens beyond which code of the module itself begins a further span.
    pub(crate) max_span_tokens: usize,
    /// Whether white space before a block may be anything that Python takes for it. The profile `swegym` refuses
    /// all but spaces, line ends and backslashes, and with it every file that is indented by tabs.
    pub(crate) any_space: bool,
}

/// Why a text cannot be read as a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// What upstream calls a `ValueError`.
    #[error("read a block: there is `{0}` before it")]
    Space(String),
    #[error("read a module: it is too large or too deep")]
    Limit,
}

impl Module {
    /// Reads a module. Line ends must be `\n` alone.
    ///
    /// # Errors
    /// [`ParseError`] when there is unexpected space between blocks, or it goes beyond the limits. Broken code is
    /// no error: it gives blocks of kind [`Kind::Error`], or none at all.
    pub(crate) fn parse(source: &str, rules: Rules<'_>) -> Result<Self, ParseError> {
        if source.len() > MAX_SOURCE {
            return Err(ParseError::Limit);
        }
        let mut parser = Parser::new();
        let language = tree_sitter_python::LANGUAGE.into();
        let tree = parser.set_language(&language).ok().and_then(|()| parser.parse(source, None));
        let tree = tree.ok_or(ParseError::Limit)?;
        let mut builder = Builder { source, rules, blocks: Vec::new(), spans: Spans::default() };
        builder.module(tree.root_node())?;
        let Builder { blocks, spans, .. } = builder;
        let span_by_id = spans.all.iter().enumerate().map(|(index, span)| (span.id.clone(), index)).collect();
        let broken = tree.root_node().has_error();
        Ok(Self { source: source.to_owned(), broken, blocks, spans: spans.all, span_by_id })
    }
}

struct Builder<'a> {
    source: &'a str,
    rules: Rules<'a>,
    blocks: Vec<Block>,
    spans: Spans,
}

/// Names that the blocks of one parent have, by kind.
type Names = HashMap<Kind, (HashSet<String>, usize)>;

impl Builder<'_> {
    fn module(&mut self, node: Node<'_>) -> Result<(), ParseError> {
        let start = node.start_byte();
        let block = self.block(Kind::Module, node, None, start..start, start..start)?;
        let shape = shape(node);
        let Some(first) = shape.first else { return Ok(()) };
        let (_, end) = self.children(block, node, shape, first, None)?;
        self.finish(block);
        if node.end_byte() > end {
            let space = self.block(Kind::Space, node, Some(block), end..node.end_byte(), end..end)?;
            self.blocks[space].start_line = self.blocks[block].end_line;
            self.blocks[block].children.push(space);
        }
        Ok(())
    }

    /// Adds a block, still without name and span.
    fn block(
        &mut self,
        kind: Kind,
        node: Node<'_>,
        parent: Option<BlockId>,
        before: std::ops::Range<usize>,
        content: std::ops::Range<usize>,
    ) -> Result<BlockId, ParseError> {
        let space = &self.source[before.clone()];
        let allowed = |c: char| {
            matches!(c, ' ' | '\n' | '\\')
                || self.rules.any_space && (c.is_ascii_whitespace() || c == '\u{feff}')
        };
        if !space.chars().all(allowed) {
            return Err(ParseError::Space(space.chars().take(NAME_CHARS).collect()));
        }
        self.blocks.push(Block {
            kind,
            identifier: None,
            parent,
            children: Vec::new(),
            start_line: node.start_position().row + 1,
            end_line: node.end_position().row + 1,
            tokens: self.rules.tokens.count(&self.source[content.clone()]),
            before,
            content,
            continued: false,
            span: None,
            faults: Vec::new(),
            references: Vec::new(),
        });
        Ok(self.blocks.len() - 1)
    }

    /// Reads a node and all in it: its block, the span to go on from, and where the text of both ends.
    fn read(
        &mut self,
        node: Node<'_>,
        start: usize,
        parent: BlockId,
        names: &mut Names,
        current: Option<usize>,
    ) -> Result<(BlockId, Option<usize>), ParseError> {
        let shape = shape(node);
        let end = shape.first.map_or(node.end_byte(), |first| end_before(first, node));
        let before = start..node.start_byte();
        let block = self.block(shape.kind, node, Some(parent), before, node.start_byte()..end)?;
        self.blocks[block].references = references(node, shape, self.source);
        self.name(block, shape, names);
        let path: usize = path_of(&self.blocks, block).iter().map(|name| name.len() + 1).sum();
        if path > MAX_PATH {
            return Err(ParseError::Limit);
        }
        let mut span = self.spans.place(&mut self.blocks, block, current, self.rules.max_span_tokens);
        if let Some(first) = shape.first {
            span = self.children(block, node, shape, first, span)?.0;
        }
        self.spans.settle(&mut self.blocks, span);
        self.finish(block);
        let (taken, count) = names.entry(self.blocks[block].kind).or_default();
        taken.extend(self.blocks[block].identifier.clone());
        *count += 1;
        Ok((block, span))
    }

    /// Reads the children of a block, from `first` on: the span to go on from, and where the last one ends.
    fn children(
        &mut self,
        block: BlockId,
        node: Node<'_>,
        shape: Shape<'_>,
        first: Node<'_>,
        mut span: Option<usize>,
    ) -> Result<(Option<usize>, usize), ParseError> {
        if self.depth(block) > MAX_DEPTH {
            return Err(ParseError::Limit);
        }
        let mut names = Names::new();
        let mut end = end_before(first, node);
        let nodes = statements(shape.inner.unwrap_or(node)).into_iter().skip_while(|node| *node != first);
        for child in nodes {
            let (read, next) = self.read(child, end, block, &mut names, span)?;
            span = next;
            self.blocks[block].children.push(read);
            end = child.end_byte();
            if shape.last == Some(child) {
                break;
            }
        }
        Ok((span, end))
    }

    fn depth(&self, mut block: BlockId) -> usize {
        let mut depth = 0;
        while let Some(parent) = self.blocks[block].parent {
            block = parent;
            depth += 1;
        }
        depth
    }

    /// Names a block so that it differs from its siblings of the same kind.
    fn name(&mut self, block: BlockId, shape: Shape<'_>, names: &Names) {
        let name = shape.name.map(|name| self.source[name.byte_range()].to_owned());
        let content = &self.source[self.blocks[block].content.clone()];
        let it = &mut self.blocks[block];
        if it.kind == Kind::Function && name.as_deref() == Some("__init__") {
            it.kind = Kind::Constructor;
        }
        let starts = |node: Option<Node<'_>>| node.map(|node| node.start_position().row);
        if it.kind == Kind::Assignment && shape.inner.is_some() && starts(shape.inner) < starts(shape.first) {
            let first = content.split('\n').next().unwrap_or_default();
            it.continued = swegym_core::python::strip(first).ends_with('=');
        }
        let made = name.clone().unwrap_or_else(|| made_name(content, it.kind));
        it.identifier = Some(match names.get(&it.kind) {
            // Upstream's: what has no name of its own is then called `None`.
            Some((taken, count)) if taken.contains(&made) => {
                format!("{}_{count}", name.as_deref().unwrap_or("None"))
            }
            _ => made,
        });
    }

    /// What can be said only when the children are known.
    fn finish(&mut self, block: BlockId) {
        let content = &self.source[self.blocks[block].content.clone()];
        if self.blocks[block].kind == Kind::Comment && is_placeholder(content) {
            self.blocks[block].kind = Kind::Placeholder;
        }
        let children = self.blocks[block].children.clone();
        if let ([only], Kind::Class | Kind::Function) = (children.as_slice(), self.blocks[block].kind)
            && self.blocks[*only].kind == Kind::Placeholder
        {
            self.blocks[block].kind = Kind::Placeholder;
        }
        for (kind, word) in [(Kind::Function, "function"), (Kind::Class, "class")] {
            let mut seen = HashSet::new();
            for child in &children {
                if self.blocks[*child].kind != kind {
                    continue;
                }
                let name = self.blocks[*child].identifier.clone().unwrap_or_default();
                if seen.contains(&name) {
                    self.blocks[*child].faults.push(format!("Duplicate {word} name: {name}"));
                }
                seen.insert(name);
            }
        }
    }
}

/// The nodes in `node` that become blocks: its children, with those of blocks in place of the blocks.
fn statements(node: Node<'_>) -> Vec<Node<'_>> {
    let inside = |child: Node<'_>| child.kind() == "block" && child.child_count() > 0;
    children(node)
        .into_iter()
        .flat_map(|child| if inside(child) { children(child) } else { vec![child] })
        .collect()
}

/// Where the token before `node` ends, at most back to the start of `outer`.
fn end_before(node: Node<'_>, outer: Node<'_>) -> usize {
    let mut node = node;
    while node != outer {
        if let Some(before) = node.prev_sibling() {
            return before.end_byte();
        }
        match node.parent() {
            Some(parent) => node = parent,
            None => break,
        }
    }
    node.start_byte()
}

/// A name for what has none: the first line, without what cannot be in a name.
fn made_name(content: &str, kind: Kind) -> String {
    if content.is_empty() {
        return kind.label().to_lowercase();
    }
    let first = swegym_core::python::strip(content.split('\n').next().unwrap_or_default());
    let mut name = String::new();
    for c in first.chars().take(NAME_CHARS) {
        if c.is_alphanumeric() || c == '_' {
            name.push(c);
        } else if !name.ends_with('\u{0}') {
            name.push('\u{0}');
        }
    }
    name.replace('\u{0}', "_")
}

fn is_placeholder(comment: &str) -> bool {
    const WORDS: [&str; 3] = ["rest of the code", "existing code", "other code"];
    let lower = comment.to_lowercase();
    comment.starts_with("# ...") || WORDS.iter().any(|words| lower.contains(words))
}
