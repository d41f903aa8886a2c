//! Counting tokens without the model's tokenizer.

/// Counts the tokens of a text.
pub trait CountTokens: Send + Sync {
    /// How many there are, about.
    fn count(&self, text: &str) -> usize;
}

/// Words, and every other character that is no white space.
#[derive(Debug, Clone, Copy, Default)]
pub struct WordTokens;

impl CountTokens for WordTokens {
    fn count(&self, text: &str) -> usize {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut count = 0;
        let mut in_word = false;
        for c in text.chars() {
            let word = is_word(c);
            if word && !in_word || !word && !swegym_core::python::is_space(c) {
                count += 1;
            }
            in_word = word;
        }
        count
    }
}
