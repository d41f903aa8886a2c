//! Ranking by words: BM25 over the words of code, in which the parts of a name count as well as the name.

use std::collections::HashMap;

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Words of a query that count: problem statements may hold whole logs.
const MAX_QUERY_WORDS: usize = 2000;

/// An index of texts, by number.
#[derive(Debug, Default)]
pub(crate) struct Bm25 {
    /// Word -> the texts that have it, and how often.
    postings: HashMap<String, Vec<(u32, u32)>>,
    lengths: Vec<u32>,
    total: f64,
}

impl Bm25 {
    /// Adds the next text.
    pub(crate) fn add(&mut self, text: &str) {
        let number = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        let mut counts: HashMap<String, u32> = HashMap::new();
        let mut length = 0;
        words(text, |word| {
            *counts.entry(word).or_default() += 1;
            length += 1;
        });
        for (word, count) in counts {
            self.postings.entry(word).or_default().push((number, count));
        }
        self.lengths.push(length);
        self.total += f64::from(length);
    }

    /// The texts that have a word of the query, best first, with their scores.
    pub(crate) fn search(&self, query: &str) -> Vec<(usize, f64)> {
        let mut wanted: Vec<String> = Vec::new();
        words(query, |word| wanted.push(word));
        wanted.truncate(MAX_QUERY_WORDS);
        let mut counts: HashMap<&str, f64> = HashMap::new();
        for word in &wanted {
            *counts.entry(word).or_default() += 1.0;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        // Sums of floating-point numbers depend on their order.
        counts.sort_by(|one, other| one.0.cmp(other.0));
        let mut scores = vec![0.0; self.lengths.len()];
        for (word, weight) in counts {
            self.score(word, weight, &mut scores);
        }
        let mut found: Vec<_> = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        found.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        found
    }

    fn score(&self, word: &str, weight: f64, scores: &mut [f64]) {
        let Some(texts) = self.postings.get(word) else { return };
        let (all, having) = (self.lengths.len() as f64, texts.len() as f64);
        let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
        for (text, count) in texts {
            let text = *text as usize;
            let length = f64::from(self.lengths[text]) * all / self.total.max(1.0);
            let count = f64::from(*count);
            scores[text] += weight * rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length));
        }
    }
}

/// Names in lower case, and the parts of those that have several: `parseHTTPHeader` and `parse_http_header` share
/// all three.
fn words(text: &str, mut emit: impl FnMut(String)) {
    for name in text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty()) {
        let parts: Vec<&str> =
            name.split('_').flat_map(camel_parts).filter(|part| !part.is_empty()).collect();
        if parts.len() != 1 || parts[0].len() != name.len() {
            parts.iter().for_each(|part| emit(part.to_lowercase()));
        }
        emit(name.to_lowercase());
    }
}

fn camel_parts(name: &str) -> Vec<&str> {
    let chars: Vec<(usize, char)> = name.char_indices().collect();
    let mut parts = Vec::new();
    let mut start = 0;
    for window in 1..chars.len() {
        let (before, (at, c)) = (chars[window - 1].1, chars[window]);
        let next_is_lower = chars.get(window + 1).is_some_and(|(_, next)| next.is_lowercase());
        if c.is_uppercase() && (!before.is_uppercase() || next_is_lower) {
            parts.push(&name[start..at]);
            start = at;
        }
    }
    parts.push(&name[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_parts() {
        let mut all = Vec::new();
        words("parseHTTPHeader(x_y, Z) 'é'", |word| all.push(word));
        assert_eq!(all, ["parse", "http", "header", "parsehttpheader", "x", "y", "x_y", "z", "é"]);
    }

    #[test]
    fn rare_words_and_short_texts_come_first() {
        let mut index = Bm25::default();
        let long = "def load(): pass ".repeat(30);
        for text in ["def load_config(path): return parse(path)", "def save(path): pass", &long] {
            index.add(text);
        }
        let order = |query| index.search(query).into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        assert_eq!(order("how is the config loaded? load config"), [0, 2]);
        assert_eq!(order("path"), [0, 1]);
        assert!(order("nothing").is_empty() && order("").is_empty());
    }
}
