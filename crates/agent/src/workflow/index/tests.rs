//! What is found, and in which order.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use swegym_model::ModelError;

use super::chunks::chunks;
use super::{CodeIndex, Embedder, Hit, SearchRequest, Snapshot};
use crate::workflow::file::{CodeFile, FileRules};
use crate::workflow::tokens::{CountTokens, WordTokens};

fn rules() -> FileRules {
    FileRules { tokens: Arc::new(WordTokens), as_upstream: false }
}

fn index() -> CodeIndex {
    let files = [
        ("shop/cart.py", "class Cart:\n    size = 0\n    def add(self, item):\n        self.size += 1\n"),
        (
            "shop/tax.py",
            "def add(price):\n    return price * 1.19\n\ndef round_price(price):\n    return round(price)\n",
        ),
        ("shop/tests/test_cart.py", "class Cart:\n    def add(self): pass\n"),
        ("test_tax.py", "def add(price): return price\n"),
    ];
    let paths = files.iter().map(|(path, _)| (*path).to_owned()).chain(["README.md".to_owned()]).collect();
    let sources: BTreeMap<String, Arc<str>> =
        files.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(*text))).collect();
    CodeIndex::build(Snapshot { paths, sources }, &rules())
}

fn names(classes: &[&str], functions: &[&str], pattern: Option<&str>) -> SearchRequest {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    SearchRequest {
        class_names: own(classes),
        function_names: own(functions),
        file_pattern: pattern.map(str::to_owned),
        ..SearchRequest::default()
    }
}

fn about(query: &str, pattern: Option<&str>, snippet: Option<&str>) -> SearchRequest {
    SearchRequest {
        query: Some(query.to_owned()),
        file_pattern: pattern.map(str::to_owned),
        code_snippet: snippet.map(str::to_owned),
        ..SearchRequest::default()
    }
}

async fn found(index: &CodeIndex, request: &SearchRequest) -> Vec<String> {
    let (hits, _) = index.search(request, 25).await.unwrap();
    hits.iter().map(|Hit { file_path, span_id, rank, .. }| format!("{rank} {file_path} {span_id}")).collect()
}

#[tokio::test]
async fn names_are_found_exactly_and_never_in_folders_of_tests() {
    let index = index();
    let classes = found(&index, &names(&["Cart"], &[], None)).await;
    assert_eq!(classes, ["0 shop/cart.py Cart", "0 shop/cart.py Cart.add"]);
    let functions = found(&index, &names(&[], &["add"], None)).await;
    assert_eq!(functions, ["0 shop/cart.py Cart.add", "1 shop/tax.py add", "2 test_tax.py add"]);
    let method = found(&index, &names(&["Cart"], &["add"], None)).await;
    assert_eq!(method, ["0 shop/cart.py Cart.add"]);
    let apart = found(&index, &names(&["Cart"], &["round_price"], None)).await;
    assert_eq!(apart, ["0 shop/cart.py Cart", "0 shop/tax.py round_price"]);
    assert!(found(&index, &names(&["cart"], &[], None)).await.is_empty());
}

#[tokio::test]
async fn a_pattern_restricts_unless_that_leaves_nothing() {
    let index = index();
    let within = found(&index, &names(&[], &["add"], Some("shop/t*.py"))).await;
    assert_eq!(within, ["0 shop/tax.py add"]);
    assert_eq!(found(&index, &names(&[], &["add"], Some("nowhere/*.py"))).await.len(), 3);
    assert_eq!(found(&index, &about("price", Some("cart.py"), None)).await, [""; 0]);
    assert_eq!(found(&index, &about("price", Some("nowhere.py"), None)).await[0], "0 shop/tax.py add");
}

#[tokio::test]
async fn words_and_snippets_are_ranked_without_tests() {
    let index = index();
    let prices = found(&index, &about("round the price", None, None)).await;
    assert_eq!(prices, ["0 shop/tax.py add", "0 shop/tax.py round_price"]);
    let snippet = found(&index, &about("add", None, Some("self.size+=1"))).await;
    assert_eq!(snippet, ["0 shop/cart.py Cart", "0 shop/cart.py Cart.add"]);
}

/// The vector of a text has the number of its words, and remembers what it was asked.
struct Lengths;

#[async_trait]
impl Embedder for Lengths {
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(texts.iter().map(|text| vec![WordTokens.count(text) as f32]).collect())
    }
}

#[tokio::test]
async fn the_nearest_vectors_come_first() {
    let mut index = index();
    index.embed(Arc::new(Lengths)).await.unwrap();
    let far = found(&index, &about("x", None, None)).await;
    let near = found(&index, &about(&"x ".repeat(500), None, None)).await;
    assert_eq!((far[0].as_str(), far[2].as_str()), ("0 shop/cart.py Cart", "1 shop/tax.py add"));
    assert_eq!(near[0], "0 shop/tax.py add");
}

#[test]
fn chunks_cover_a_module_within_their_limits() {
    let method =
        |number: usize| format!("    def m{number}(self):\n{}", "        self.x = call(1, 2)\n".repeat(12));
    let class: String = (0..40).map(method).collect();
    let text = format!("# Copyright\nimport os\n\nclass Large:\n{class}\ndef last():\n    pass\n");
    let file = CodeFile::parse("m.py", &text, &rules()).unwrap();
    let chunks = chunks(file.module());
    let mut spans: Vec<usize> = chunks.iter().flat_map(|chunk| chunk.spans.clone()).collect();
    spans.sort_unstable();
    spans.dedup();
    assert!(spans.into_iter().eq(0..file.module().spans.len()));
    assert!(chunks.len() > 10, "{}", chunks.len());
    assert!(chunks.iter().all(|chunk| WordTokens.count(&chunk.text) < 2100));
    assert!(chunks[5].text.starts_with("class Large:\n    def m"), "{}", chunks[5].text);
}

#[test]
fn generated_files_have_no_chunks() {
    let long: String = (0..800).map(|number| format!("name_{number} = {number}\n")).collect();
    for text in ["", &format!("# Generated by a tool\n{long}")] {
        let file = CodeFile::parse("m.py", text, &rules()).unwrap();
        assert!(chunks(file.module()).is_empty(), "{}", &text[..text.len().min(20)]);
    }
}
