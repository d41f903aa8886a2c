//! The code that a prompt shows: which spans of which files.

use std::collections::HashMap;
use std::sync::Arc;

use super::code::{Kind, Module};
use super::file::CodeFile;
use super::index::{CodeIndex, Hit};
use super::show::{Show, ShownSpan};

/// Tokens that any span gets, however low its rank.
const MIN_SPAN_TOKENS: usize = 50;
/// How much more a rank counts than the one after it.
const DECAY: f64 = 1.05;

/// The files of the repository: as they were, or as they have become.
pub(crate) struct Workspace {
    pub(crate) index: Arc<CodeIndex>,
    changed: HashMap<String, CodeFile>,
}

impl Workspace {
    pub(crate) fn new(index: Arc<CodeIndex>) -> Self {
        Self { index, changed: HashMap::new() }
    }

    /// A Python file by its path.
    pub(crate) fn file(&self, path: &str) -> Option<&CodeFile> {
        self.changed.get(path).or_else(|| self.index.file(path))
    }

    /// Takes over what a file has become.
    pub(crate) fn change(&mut self, file: CodeFile) {
        self.changed.insert(file.path().to_owned(), file);
    }

    fn module(&self, path: &str) -> Option<&Arc<Module>> {
        self.file(path).map(CodeFile::module)
    }
}

/// Spans by file, in the order in which they came up.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileContext {
    files: Vec<(String, Vec<ShownSpan>)>,
}

impl FileContext {
    /// Paths of its files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, _)| path.as_str())
    }

    /// Ids of the spans of a file, where the file is in it.
    pub(crate) fn span_ids(&self, path: &str) -> Option<Vec<&str>> {
        let (_, spans) = self.files.iter().find(|(of_file, _)| of_file == path)?;
        Some(spans.iter().map(|span| span.id.as_str()).collect())
    }

    /// Adds a span, or gives it another limit. A file comes in even where it has no such span.
    pub(crate) fn add(&mut self, files: &Workspace, path: &str, span_id: &str, tokens: Option<usize>) {
        let Some(module) = files.module(path) else { return };
        let index = self.files.iter().position(|(of_file, _)| of_file == path).unwrap_or_else(|| {
            self.files.push((path.to_owned(), Vec::new()));
            self.files.len() - 1
        });
        let spans = &mut self.files[index].1;
        match spans.iter_mut().find(|span| span.id == span_id) {
            Some(span) => span.tokens = tokens,
            None if module.span(span_id).is_some() => {
                spans.push(ShownSpan { id: span_id.to_owned(), tokens });
            }
            None => {}
        }
    }

    /// Adds what was found. Where it has more than `most` tokens, the lowest ranks go, and the others share.
    pub(crate) fn add_ranked(&mut self, files: &Workspace, hits: &[Hit], most: usize) {
        let total: usize = hits.iter().map(|hit| hit.tokens).sum();
        if total < most {
            hits.iter().for_each(|hit| self.add(files, &hit.file_path, &hit.span_id, None));
            return;
        }
        let mut hits: Vec<&Hit> = hits.iter().collect();
        hits.sort_by_key(|hit| hit.rank);
        let mut least: usize = hits.iter().map(|hit| hit.tokens.min(MIN_SPAN_TOKENS)).sum();
        while least > most {
            least -= hits.pop().map_or(least, |hit| hit.tokens.min(MIN_SPAN_TOKENS));
        }
        let weight = |hit: &Hit| DECAY.powf(-(hit.rank as f64));
        let weights: f64 = hits.iter().map(|hit| weight(hit)).sum();
        for hit in hits {
            let share = (most - least) as f64 * (weight(hit) / weights);
            let tokens = hit.tokens.min(MIN_SPAN_TOKENS + share as usize);
            self.add(files, &hit.file_path, &hit.span_id, Some(tokens));
        }
    }

    /// Adds imports, and the heads of classes that are in it.
    pub(crate) fn expand_initiating(&mut self, files: &Workspace) {
        self.expand(files, |module, spans| module.initiating_spans(spans));
    }

    /// Adds all of a class that is all of its file in here, where it is small.
    pub(crate) fn expand_small_classes(&mut self, files: &Workspace, most: usize) {
        self.expand(files, |module, spans| match spans {
            [only] => {
                let class = module.spans[*only].block;
                let small = module.blocks[class].kind == Kind::Class && module.tokens(class) < most;
                let inside = module.descendants(class).filter(|_| small);
                inside.filter_map(|block| module.blocks[block].span).collect()
            }
            _ => Vec::new(),
        });
    }

    fn expand(&mut self, files: &Workspace, more: impl Fn(&Module, &[usize]) -> Vec<usize>) {
        for (path, spans) in self.clone().files {
            let Some(module) = files.module(&path) else { continue };
            let known: Vec<usize> = spans.iter().filter_map(|span| module.span_index(&span.id)).collect();
            for span in more(module, &known) {
                self.add(files, &path, &module.spans[span].id, None);
            }
        }
    }

    /// Adds spans that those in it are related to, up to `most` tokens of whole spans.
    pub(crate) fn expand_related(&mut self, files: &Workspace, most: usize, limit_them: bool) {
        let mut size = self.tokens(files);
        if size > most {
            return;
        }
        let before = self.files.clone();
        let mut spans: Vec<(&str, &ShownSpan)> =
            before.iter().flat_map(|(path, spans)| spans.iter().map(|span| (path.as_str(), span))).collect();
        spans.sort_by_key(|(_, span)| std::cmp::Reverse(span.tokens.unwrap_or_default()));
        for (path, span) in spans {
            let Some(module) = files.module(path) else { continue };
            let related = module.span_index(&span.id).map(|index| module.related_spans(index));
            for index in related.unwrap_or_default() {
                let other = &module.spans[index];
                if self.span_ids(path).is_some_and(|ids| ids.contains(&other.id.as_str())) {
                    continue;
                }
                let tokens = other.tokens.max(span.tokens.unwrap_or_default());
                if size + tokens > most {
                    return;
                }
                self.add(files, path, &other.id, limit_them.then_some(tokens));
                size += other.tokens;
            }
        }
    }

    /// Tokens of all its spans as a whole.
    fn tokens(&self, files: &Workspace) -> usize {
        let of_file = |(path, spans): &(String, Vec<ShownSpan>)| -> usize {
            let Some(module) = files.module(path) else { return 0 };
            spans.iter().filter_map(|span| module.span(&span.id)).map(|span| span.tokens).sum()
        };
        self.files.iter().map(of_file).sum()
    }

    /// The code, one file after the other; empty where there is none.
    pub(crate) fn show(&self, files: &Workspace, how: Show<'_>) -> String {
        let shown = |(path, spans): &(String, Vec<ShownSpan>)| Some(files.file(path)?.show_spans(spans, how));
        self.files.iter().filter_map(shown).collect()
    }
}
