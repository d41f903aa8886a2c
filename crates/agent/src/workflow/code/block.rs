//! Blocks: statements, definitions and what stands in them.

use std::collections::HashMap;
use std::ops::Range;

use super::span::Span;

/// Index of a block in its module.
pub(crate) type BlockId = usize;

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Module,
    Class,
    Function,
    /// A function called `__init__`.
    Constructor,
    Import,
    /// A statement that other statements stand in.
    Compound,
    /// `else:` and the like.
    DependentClause,
    Assignment,
    Call,
    Statement,
    /// Anything else.
    Code,
    /// White space at the end of the file.
    Space,
    /// A comment, or a text that stands alone.
    Comment,
    /// A comment that stands for code which is left out.
    Placeholder,
    Error,
}

/// Kinds that are treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Structure,
    Implementation,
    Import,
    Space,
    Comment,
    Error,
}

impl Kind {
    pub(crate) fn group(self) -> Group {
        match self {
            Self::Module | Self::Class | Self::Function | Self::Constructor => Group::Structure,
            Self::Import => Group::Import,
            Self::Compound
            | Self::DependentClause
            | Self::Assignment
            | Self::Call
            | Self::Statement
            | Self::Code => Group::Implementation,
            Self::Space => Group::Space,
            Self::Comment | Self::Placeholder => Group::Comment,
            Self::Error => Group::Error,
        }
    }

    /// As messages name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Module => "Module",
            Self::Class => "Class",
            Self::Function => "Function",
            Self::Constructor => "Constructor",
            Self::Import => "Import",
            Self::Compound => "Compound",
            Self::DependentClause => "DependentClause",
            Self::Assignment => "Assignment",
            Self::Call => "Call",
            Self::Statement => "Statement",
            Self::Code => "Code",
            Self::Space => "Space",
            Self::Comment => "Comment",
            Self::Placeholder => "Placeholder",
            Self::Error => "Error",
        }
    }
}

/// A block. Its text is `before`, then `content`, then that of its children.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    /// Name, or something made of the first line; unique among the siblings of its kind, nearly always.
    pub(crate) identifier: Option<String>,
    pub(crate) parent: Option<BlockId>,
    pub(crate) children: Vec<BlockId>,
    /// First line, from 1.
    pub(crate) start_line: usize,
    pub(crate) end_line: usize,
    /// White space before it, in the source.
    pub(super) before: Range<usize>,
    /// Its own text, in the source.
    pub(super) content: Range<usize>,
    /// Whether a backslash belongs to the end of its first line, which the white space after it has lost.
    pub(super) continued: bool,
    /// Index of the span that it belongs to.
    pub(crate) span: Option<usize>,
    /// Tokens of its own text.
    pub(crate) tokens: usize,
    /// What is wrong with it, beyond syntax.
    pub(crate) faults: Vec<String>,
    /// Names that it refers to.
    pub(super) references: Vec<String>,
}

/// A Python file.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    pub(super) source: String,
    /// Whether the parser found errors anywhere, in places that have no block of their own, too.
    pub(crate) broken: bool,
    /// The first is the module itself.
    pub(crate) blocks: Vec<Block>,
    /// In the order in which they begin.
    pub(crate) spans: Vec<Span>,
    pub(super) span_by_id: HashMap<String, usize>,
}

impl Module {
    /// The module itself.
    pub(crate) const ROOT: BlockId = 0;

    pub(crate) fn children(&self, block: BlockId) -> impl DoubleEndedIterator<Item = (BlockId, &Block)> {
        self.blocks[block].children.iter().map(|child| (*child, &self.blocks[*child]))
    }

    /// Whether anything but white space stands in it that could be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks[Self::ROOT].children.is_empty()
    }

    /// Own text of a block.
    pub(crate) fn content(&self, block: BlockId) -> &str {
        &self.source[self.blocks[block].content.clone()]
    }

    /// White space before a block.
    pub(super) fn before(&self, block: BlockId) -> &str {
        &self.source[self.blocks[block].before.clone()]
    }

    /// Line ends before a block.
    pub(crate) fn lines_before(&self, block: BlockId) -> usize {
        self.before(block).matches('\n').count()
    }

    /// White space between the last line end before a block and the block.
    pub(crate) fn indentation(&self, block: BlockId) -> &str {
        self.before(block).rsplit('\n').next().unwrap_or_default()
    }

    /// First line of a block's own text, and the others.
    pub(crate) fn lines(&self, block: BlockId) -> (String, impl Iterator<Item = &str>) {
        let mut lines = self.content(block).split('\n');
        let first = lines.next().unwrap_or_default();
        let end = if self.blocks[block].continued { " \\" } else { "" };
        (format!("{first}{end}"), lines)
    }

    /// Names from the module down to a block.
    pub(crate) fn path(&self, block: BlockId) -> Vec<&str> {
        path_of(&self.blocks, block)
    }

    /// [`Module::path`] with dots.
    pub(crate) fn path_text(&self, block: BlockId) -> String {
        self.path(block).join(".")
    }

    /// Tokens of a block and all in it.
    pub(crate) fn tokens(&self, block: BlockId) -> usize {
        self.descendants(block).map(|block| self.blocks[block].tokens).sum()
    }

    /// A block and all in it, in the order of the source. Blocks are stored in that order.
    pub(crate) fn descendants(&self, block: BlockId) -> std::ops::RangeInclusive<BlockId> {
        let mut last = block;
        while let Some(child) = self.blocks[last].children.last() {
            last = *child;
        }
        block..=last
    }

    /// The text of a block and all in it.
    pub(crate) fn text(&self, block: BlockId) -> String {
        let mut text = String::new();
        for block in self.descendants(block) {
            self.push_own_text(block, &mut text);
        }
        text
    }

    pub(crate) fn push_own_text(&self, block: BlockId, text: &mut String) {
        let before = self.lines_before(block);
        if before == 0 {
            text.push_str(self.before(block));
            text.push_str(self.content(block));
            return;
        }
        text.push_str(&"\n".repeat(before));
        let (first, others) = self.lines(block);
        if !first.is_empty() {
            text.push_str(self.indentation(block));
            text.push_str(&first);
        }
        for line in others {
            text.push('\n');
            text.push_str(line);
        }
    }

    /// The nearest block around `block` for which `wanted` holds.
    pub(crate) fn around(&self, block: BlockId, wanted: impl Fn(Kind) -> bool) -> Option<BlockId> {
        around(&self.blocks, block, wanted)
    }
}

pub(super) fn around(blocks: &[Block], block: BlockId, wanted: impl Fn(Kind) -> bool) -> Option<BlockId> {
    let mut parent = blocks[block].parent;
    while let Some(block) = parent {
        if wanted(blocks[block].kind) {
            return Some(block);
        }
        parent = blocks[block].parent;
    }
    None
}

pub(super) fn path_of(blocks: &[Block], block: BlockId) -> Vec<&str> {
    let mut path = Vec::new();
    let mut next = Some(block);
    while let Some(block) = next {
        path.extend(blocks[block].identifier.as_deref());
        next = blocks[block].parent;
    }
    path.reverse();
    path
}
