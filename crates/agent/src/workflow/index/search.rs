//! Search requests against the index of a repository.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use swegym_model::ModelError;

use super::super::code::Kind;
use super::super::file::{CodeFile, FileRules};
use super::super::lines::is_string_in;
use super::bm25::Bm25;
use super::chunks::{Chunk, chunks};
use super::embedder::{Embedder, nearest};
use super::glob::{matches_chars, matching};
use super::snapshot::Snapshot;

/// Chunks that are looked at for one request.
const TOP: usize = 500;
/// Characters of a chunk that are embedded.
const MAX_EMBEDDED: usize = 8000;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SearchRequest {
    pub(crate) file_pattern: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) code_snippet: Option<String>,
    #[serde(deserialize_with = "super::super::actions::null_is_default")]
    pub(crate) class_names: Vec<String>,
    #[serde(deserialize_with = "super::super::actions::null_is_default")]
    pub(crate) function_names: Vec<String>,
}

impl SearchRequest {
    /// Whether anything is looked for at all.
    pub(crate) fn is_specific(&self) -> bool {
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        given(&self.query)
            || given(&self.code_snippet)
            || !self.class_names.is_empty()
            || !self.function_names.is_empty()
    }
}

/// A span that was found; the smaller the rank, the better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) file_path: String,
    pub(crate) span_id: String,
    pub(crate) rank: usize,
    pub(crate) tokens: usize,
}

/// An index of the Python files of a repository, as it was at the beginning.
pub(crate) struct CodeIndex {
    snapshot: Snapshot,
    files: BTreeMap<String, CodeFile>,
    /// Name -> file and index of the block.
    classes: HashMap<String, Vec<(String, usize)>>,
    functions: HashMap<String, Vec<(String, usize)>>,
    /// Chunks of files that are no tests.
    chunks: Vec<(String, Chunk)>,
    words: Bm25,
    /// One for each chunk, where there is an embedder.
    vectors: Vec<Vec<f32>>,
    embedder: Option<Arc<dyn Embedder>>,
}

impl CodeIndex {
    /// Reads all files. It takes long: not for a thread that serves others.
    pub(crate) fn build(snapshot: Snapshot, rules: &FileRules) -> Self {
        let mut index = Self {
            files: BTreeMap::new(),
            classes: HashMap::new(),
            functions: HashMap::new(),
            chunks: Vec::new(),
            words: Bm25::default(),
            vectors: Vec::new(),
            embedder: None,
            snapshot: Snapshot { paths: snapshot.paths, sources: BTreeMap::new() },
        };
        for (path, source) in snapshot.sources {
            if let Ok(file) = CodeFile::parse(&path, &source, rules) {
                index.add(path, file);
            }
        }
        index
    }

    fn add(&mut self, path: String, file: CodeFile) {
        let module = file.module();
        for (id, block) in module.blocks.iter().enumerate() {
            let names = match block.kind {
                Kind::Class => &mut self.classes,
                Kind::Function => &mut self.functions,
                _ => continue,
            };
            let name = block.identifier.clone().unwrap_or_default();
            names.entry(name).or_default().push((path.clone(), id));
        }
        if !is_test_path(&path) {
            for chunk in chunks(module) {
                self.words.add(&chunk.text);
                self.chunks.push((path.clone(), chunk));
            }
        }
        self.files.insert(path, file);
    }

    /// Ranks by meaning from here on.
    ///
    /// # Errors
    /// [`ModelError`] when the chunks cannot be embedded.
    pub(crate) async fn embed(&mut self, embedder: Arc<dyn Embedder>) -> Result<(), ModelError> {
        let clipped = |text: &str| crate::clip::first(text, MAX_EMBEDDED).to_owned();
        let texts: Vec<String> = self.chunks.iter().map(|(_, chunk)| clipped(&chunk.text)).collect();
        self.vectors = embedder.embed(&texts).await?;
        self.embedder = Some(embedder);
        Ok(())
    }

    /// A file as it was.
    pub(crate) fn file(&self, path: &str) -> Option<&CodeFile> {
        self.files.get(path)
    }

    /// Names first where there are any; a query or a piece of code is ranked in any case. What was found, and a
    /// sentence about it.
    ///
    /// # Errors
    /// [`ModelError`] when the query cannot be embedded.
    pub(crate) async fn search(
        &self,
        request: &SearchRequest,
        most: usize,
    ) -> Result<(Vec<Hit>, String), ModelError> {
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let named = !request.class_names.is_empty() || !request.function_names.is_empty();
        let mut found = (Vec::new(), String::new());
        if named {
            found = self.by_name(request, true);
            let both = !request.class_names.is_empty() && !request.function_names.is_empty();
            if found.0.is_empty() && both {
                let classes = SearchRequest { function_names: Vec::new(), ..request.clone() };
                let functions = SearchRequest { class_names: Vec::new(), ..request.clone() };
                let apart = [self.by_name(&classes, false).0, self.by_name(&functions, true).0].concat();
                let files = apart.iter().map(|hit| &hit.file_path).collect::<HashSet<_>>().len();
                if files > 0 && files <= most {
                    return Ok((apart, format!("Found {files} hits.")));
                }
            }
        }
        if given(&request.query) || given(&request.code_snippet) {
            return self.ranked(request, most, None).await;
        }
        Ok(found)
    }

    /// Spans by rank of the chunks that they are in. More than `most` of them end the search.
    ///
    /// # Errors
    /// [`ModelError`] when the query cannot be embedded.
    pub(crate) async fn ranked(
        &self,
        request: &SearchRequest,
        most: usize,
        most_per_file: Option<usize>,
    ) -> Result<(Vec<Hit>, String), ModelError> {
        let names: Vec<&String> = request.class_names.iter().chain(&request.function_names).collect();
        let mut hits: Vec<Hit> = Vec::new();
        let mut seen: HashMap<&str, HashSet<usize>> = HashMap::new();
        let ranked = self.ranked_chunks(request).await?;
        for (rank, (path, chunk)) in ranked.into_iter().enumerate() {
            let Some(file) = self.files.get(path) else { continue };
            let module = file.module();
            let of_file = seen.entry(path).or_default();
            for span in &chunk.spans {
                let it = &module.spans[*span];
                let is_named = names.is_empty() || {
                    let block_path = module.path(it.block);
                    names.iter().any(|name| block_path.contains(&name.as_str()))
                };
                if hits.len() > most || of_file.contains(span) || !is_named {
                    continue;
                }
                of_file.insert(*span);
                hits.push(Hit {
                    file_path: path.to_owned(),
                    span_id: it.id.clone(),
                    rank,
                    tokens: it.tokens,
                });
                // Upstream looks at this after adding, so that each further chunk of a full file adds one.
                if most_per_file.is_some_and(|most| of_file.len() >= most) {
                    break;
                }
            }
            if hits.len() > most {
                break;
            }
        }
        let message = format!("Found {} code spans.", hits.len());
        Ok((by_file(hits), message))
    }

    async fn ranked_chunks(&self, request: &SearchRequest) -> Result<Vec<(&str, &Chunk)>, ModelError> {
        let pattern = request.file_pattern.as_deref().filter(|pattern| !self.matching(pattern).is_empty());
        let order: Vec<usize> = match &self.embedder {
            Some(embedder) => {
                let vectors = embedder.embed(&[query_text(request, pattern)]).await?;
                vectors.first().map(|query| nearest(&self.vectors, query, TOP)).unwrap_or_default()
            }
            None => {
                let found = self.words.search(&query_text(request, None));
                found.into_iter().map(|(chunk, _)| chunk).take(TOP).collect()
            }
        };
        let included: Option<HashSet<&str>> =
            pattern.map(|pattern| self.matching(pattern).into_iter().collect());
        let tests = self.test_files();
        let snippet = request.code_snippet.as_deref().filter(|snippet| !snippet.is_empty());
        let chunks = order.into_iter().filter_map(|index| self.chunks.get(index));
        Ok(chunks
            .filter(|(path, _)| !tests.contains(path.as_str()))
            .filter(|(path, _)| included.as_ref().is_none_or(|files| files.contains(path.as_str())))
            .filter(|(_, chunk)| snippet.is_none_or(|snippet| is_string_in(snippet, &chunk.text)))
            .map(|(path, chunk)| (path.as_str(), chunk))
            .collect())
    }

    fn matching(&self, pattern: &str) -> Vec<&str> {
        let paths: Vec<&str> = self.snapshot.paths.iter().map(String::as_str).collect();
        matching(&paths, pattern)
    }

    /// Files that a ranked search leaves out, beside those that have no chunks.
    fn test_files(&self) -> HashSet<&str> {
        let patterns = ["**/tests/**", "tests*", "*_test.py", "test_*.py"];
        patterns.iter().flat_map(|pattern| self.matching(pattern)).collect()
    }

    /// Classes and functions of exactly these names; functions only in those classes, where both are given.
    fn by_name(&self, request: &SearchRequest, with_members: bool) -> (Vec<Hit>, String) {
        let SearchRequest { class_names, function_names, .. } = request;
        let of = |names: &[String], index: &HashMap<String, Vec<(String, usize)>>| -> Vec<(String, usize)> {
            names.iter().filter_map(|name| index.get(name)).flatten().cloned().collect()
        };
        let mut places = of(function_names, &self.functions);
        places.extend(of(class_names, &self.classes));
        let tests: HashSet<&str> = self.matching("**/test*/**").into_iter().collect();
        places.retain(|(path, _)| !tests.contains(path.as_str()));
        if let Some(pattern) = &request.file_pattern {
            let files: HashSet<&str> = self.matching(pattern).into_iter().collect();
            if places.iter().any(|(path, _)| files.contains(path.as_str())) {
                places.retain(|(path, _)| files.contains(path.as_str()));
            }
        }
        let mut hits: Vec<Hit> = Vec::new();
        for (path, block) in &places {
            let Some(file) = self.files.get(path) else { continue };
            let module = file.module();
            let in_class = |class: usize| {
                let name = module.blocks[class].identifier.as_ref();
                name.is_some_and(|name| class_names.contains(name))
            };
            let class = module.around(*block, |kind| kind == Kind::Class);
            if !class_names.is_empty() && !function_names.is_empty() && !class.is_some_and(in_class) {
                continue;
            }
            let own = module.blocks[*block].span;
            let members = module.children(*block).filter_map(|(_, child)| child.span);
            let members: Vec<usize> =
                if with_members && function_names.is_empty() { members.collect() } else { Vec::new() };
            for span in own.into_iter().chain(members) {
                let it = &module.spans[span];
                if !hits.iter().any(|hit| hit.file_path == *path && hit.span_id == it.id) {
                    hits.push(Hit {
                        file_path: path.clone(),
                        span_id: it.id.clone(),
                        rank: 0,
                        tokens: it.tokens,
                    });
                }
            }
        }
        let hits = ranked_by_file(by_file(hits), request.file_pattern.as_deref());
        let files = hits.iter().map(|hit| &hit.file_path).collect::<HashSet<_>>().len();
        (hits, format!("Found {files} hits."))
    }
}

/// The text that is embedded or looked up for a request.
fn query_text(request: &SearchRequest, pattern: Option<&str>) -> String {
    let mut text = request.query.clone().unwrap_or_default();
    let names = |names: &[String]| format!("['{}']", names.join("', '"));
    if !request.class_names.is_empty() {
        text += &format!(", class {}", names(&request.class_names));
    }
    if !request.function_names.is_empty() {
        text += &format!(", function {}", names(&request.function_names));
    }
    if let Some(pattern) = pattern {
        text += &format!(" file:{pattern}");
    }
    if let Some(snippet) = request.code_snippet.as_deref().filter(|snippet| !snippet.is_empty()) {
        text += &format!("\n{snippet}");
    }
    text
}

/// Whether the index takes a file for a test.
fn is_test_path(path: &str) -> bool {
    let path: Vec<char> = path.chars().collect();
    let matches = |pattern: &&str| matches_chars(&path, &pattern.chars().collect::<Vec<_>>());
    ["*/test/*", "*/tests/*", "*/test_*.py", "*/*_test.py"].iter().any(matches)
}

/// The hits of each file together, files in the order of their first.
fn by_file(hits: Vec<Hit>) -> Vec<Hit> {
    let mut order: HashMap<String, usize> = HashMap::new();
    for hit in &hits {
        let next = order.len();
        order.entry(hit.file_path.clone()).or_insert(next);
    }
    let mut hits = hits;
    hits.sort_by_key(|hit| order[&hit.file_path]);
    hits
}

/// Ranks files, those first whose path is most like the pattern.
fn ranked_by_file(mut hits: Vec<Hit>, pattern: Option<&str>) -> Vec<Hit> {
    if let Some(pattern) = pattern {
        let parts = pattern.replace(".py", "").replace('*', "");
        let parts: HashSet<&str> = parts.split('/').filter(|part| !part.trim().is_empty()).collect();
        let likeness =
            |path: &str| path.replace(".py", "").split('/').filter(|part| parts.contains(part)).count();
        hits.sort_by_key(|hit| std::cmp::Reverse(likeness(&hit.file_path)));
    }
    let mut rank = 0;
    let mut before: Option<String> = None;
    for hit in &mut hits {
        if before.as_ref().is_some_and(|before| *before != hit.file_path) {
            rank += 1;
        }
        before = Some(hit.file_path.clone());
        hit.rank = rank;
    }
    hits
}
