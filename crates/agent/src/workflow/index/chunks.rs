//! Cutting modules into chunks, the units that are ranked.

use super::super::code::{BlockId, Kind, Module};

/// Chunks smaller than this are joined with their neighbours, in tokens; so are further limits.
const MIN_TOKENS: usize = 100;
const SOFT_TOKENS: usize = 750;
const MAX_TOKENS: usize = 1500;
const HARD_TOKENS: usize = 2000;
const MAX_CHUNKS: usize = 200;

/// A part of a module that is ranked as one.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Spans that its blocks belong to, as indices, in order.
    pub(crate) spans: Vec<usize>,
    /// Its code, with the heads of what it stands in.
    pub(crate) text: String,
}

/// Cuts a module up. Modules with broken code are left out, and so are generated ones.
pub(crate) fn chunks(module: &Module) -> Vec<Chunk> {
    let tokens = module.tokens(Module::ROOT);
    let broken = module.blocks.iter().any(|block| block.kind == Kind::Error);
    if tokens == 0 || broken || tokens > HARD_TOKENS && is_generated(module) {
        return Vec::new();
    }
    let cutter = Cutter::new(module);
    let cut = if tokens < MIN_TOKENS {
        vec![module.descendants(Module::ROOT).collect()]
    } else {
        cutter.cut(Module::ROOT)
    };
    cut.iter().map(|blocks| chunk(module, blocks)).filter(|chunk| !chunk.text.is_empty()).collect()
}

fn is_generated(module: &Module) -> bool {
    module.children(Module::ROOT).next().is_some_and(|(id, first)| {
        first.kind == Kind::Comment && module.content(id).to_lowercase().contains("generated")
    })
}

fn chunk(module: &Module, blocks: &[BlockId]) -> Chunk {
    let mut shown = blocks.to_vec();
    for block in blocks {
        let mut parent = module.blocks[*block].parent;
        while let Some(block) = parent {
            shown.push(block);
            parent = module.blocks[block].parent;
        }
    }
    shown.sort_unstable();
    shown.dedup();
    let mut text = String::new();
    for block in shown {
        module.push_own_text(block, &mut text);
    }
    let mut spans: Vec<usize> = blocks.iter().filter_map(|block| module.blocks[*block].span).collect();
    spans.sort_unstable();
    spans.dedup();
    Chunk { spans, text: text.trim_matches('\n').to_owned() }
}

struct Cutter<'a> {
    module: &'a Module,
    /// Tokens of each block and all in it.
    sums: Vec<usize>,
}

impl<'a> Cutter<'a> {
    fn new(module: &'a Module) -> Self {
        let mut sums: Vec<usize> = module.blocks.iter().map(|block| block.tokens).collect();
        for (index, block) in module.blocks.iter().enumerate().rev() {
            if let Some(parent) = block.parent {
                sums[parent] += sums[index];
            }
        }
        Self { module, sums }
    }

    fn own(&self, blocks: &[BlockId]) -> usize {
        blocks.iter().map(|block| self.module.blocks[*block].tokens).sum()
    }

    fn cut(&self, block: BlockId) -> Vec<Vec<BlockId>> {
        let blocks = &self.module.blocks;
        let parent = blocks[block].parent.map_or(0, |parent| blocks[parent].tokens);
        let around = blocks[block].tokens + parent;
        let splits = |kind| matches!(kind, Kind::Function | Kind::Class | Kind::Module);
        let mut chunks: Vec<Vec<BlockId>> = Vec::new();
        let mut current: Vec<BlockId> = Vec::new();
        let mut comments: Vec<BlockId> = Vec::new();
        let mut legal_notice = false;
        for (id, child) in self.module.children(block) {
            if child.kind == Kind::Comment {
                legal_notice |= is_legal_notice(self.module.content(id));
                if legal_notice {
                    continue;
                }
                if block == Module::ROOT {
                    comments.push(id);
                    continue;
                }
            } else if child.tokens > MAX_TOKENS {
                continue;
            } else {
                legal_notice = false;
            }
            let sum = self.sums[id];
            if splits(child.kind) && sum > MIN_TOKENS || around + sum > MAX_TOKENS {
                chunks.extend((!current.is_empty()).then(|| std::mem::take(&mut current)));
                let mut first = std::mem::take(&mut comments);
                first.push(id);
                let mut inner = self.cut(id).into_iter();
                let head = inner.next().unwrap_or_default();
                if around + child.tokens + self.own(&head) < MAX_TOKENS {
                    first.extend(head);
                    chunks.push(first);
                } else {
                    chunks.extend([first, head]);
                }
                chunks.extend(inner);
                continue;
            }
            let total = around + self.own(&current) + sum;
            if !splits(blocks[block].kind) && total < MAX_TOKENS || total < SOFT_TOKENS {
                current.append(&mut comments);
                current.push(id);
            } else {
                if !current.is_empty() {
                    current.append(&mut comments);
                    chunks.push(std::mem::take(&mut current));
                }
                comments.clear();
                current = vec![id];
            }
            current.extend(self.module.descendants(id).skip(1));
        }
        match chunks.last_mut() {
            Some(last) if self.own(&current) < MIN_TOKENS => last.append(&mut current),
            _ => chunks.push(current),
        }
        self.join_small(chunks)
    }

    /// Joins small chunks with the smaller of their neighbours, as long as there are too many.
    fn join_small(&self, mut chunks: Vec<Vec<BlockId>>) -> Vec<Vec<BlockId>> {
        loop {
            let mut joined: Vec<Vec<BlockId>> = Vec::new();
            let mut changed = false;
            let too_many = chunks.len() > MAX_CHUNKS;
            let count = chunks.len();
            for index in 0..count {
                let chunk = std::mem::take(&mut chunks[index]);
                let size = self.own(&chunk);
                let fits = |other: &[BlockId]| self.own(other) + size <= HARD_TOKENS;
                let next = chunks.get(index + 1).map(|next| self.own(next));
                // What was before it has been taken over already where it was joined with this one.
                let before = joined.last().map(|before| self.own(before));
                let forward = index == 0 || next.zip(before).is_none_or(|(next, before)| before >= next);
                if size >= MIN_TOKENS && !too_many {
                    joined.push(chunk);
                } else if forward && index + 1 < count && fits(&chunks[index + 1]) {
                    let rest = std::mem::replace(&mut chunks[index + 1], chunk);
                    chunks[index + 1].extend(rest);
                    changed = true;
                } else if let Some(last) =
                    joined.last_mut().filter(|last| !forward_only(forward, index, count) && fits(last))
                {
                    last.extend(chunk);
                    changed = true;
                } else {
                    joined.push(chunk);
                }
            }
            chunks = joined;
            if chunks.len() < MAX_CHUNKS || !changed {
                return chunks;
            }
        }
    }
}

/// Whether a chunk may be joined with the one after it only.
fn forward_only(forward: bool, index: usize, count: usize) -> bool {
    forward && index + 1 < count
}

fn is_legal_notice(comment: &str) -> bool {
    let lower = comment.to_lowercase();
    comment.is_empty() || ["copyright", "license", "author"].iter().any(|word| lower.contains(word))
}
