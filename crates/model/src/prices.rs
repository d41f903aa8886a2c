//! What tokens cost.

use std::collections::BTreeMap;

use serde::Deserialize;
use swegym_core::Usage;

use crate::ModelError;

/// Prices of one model in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the prompt.
    pub prompt: f64,
    /// Of the part of the prompt that the endpoint had in its cache; as the rest of it when `None`.
    pub cached: Option<f64>,
    /// Of the answer.
    pub completion: f64,
}

impl Price {
    /// What an answer costs; `None` where the endpoint does not say how many tokens it took.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        if *usage == Usage::default() {
            return None;
        }
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        let fresh = usage.prompt_tokens - cached;
        let millionths = fresh as f64 * self.prompt
            + cached as f64 * self.cached.unwrap_or(self.prompt)
            + usage.completion_tokens as f64 * self.completion;
        Some(millionths / 1e6)
    }
}

/// A table of prices: patterns of model names, in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prices(BTreeMap<String, Price>);

impl Prices {
    /// Reads a table: `["pattern"]` sections of TOML with `prompt`, `cached` (optional) and `completion`.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when it is no such table, or a price is no amount.
    pub fn from_toml(text: &str) -> Result<Self, ModelError> {
        let setup = |message: String| ModelError::Setup { message: format!("prices: {message}") };
        let prices: BTreeMap<String, Price> =
            toml::from_str(text).map_err(|error| setup(error.to_string().trim_end().to_owned()))?;
        let is_amount = |price: f64| price.is_finite() && price >= 0.0;
        for (pattern, price) in &prices {
            let amounts = [price.prompt, price.cached.unwrap_or_default(), price.completion];
            if !amounts.into_iter().all(is_amount) {
                return Err(setup(format!("`{pattern}` has a price that is no amount")));
            }
        }
        Ok(Self(prices))
    }

    /// The price of a model: that of the pattern with the most letters, of those that fit.
    pub fn of(&self, model: &str) -> Option<Price> {
        let fitting = self.0.iter().filter(|(pattern, _)| fits(pattern, model));
        fitting.max_by_key(|(pattern, _)| pattern.replace('*', "").len()).map(|(_, price)| *price)
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        // The earliest place of each part leaves the most for the next.
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"
        ["*"]
        prompt = 1
        completion = 2
        ["gpt-*"]
        prompt = 2.5
        cached = 0.5
        completion = 10
        ["gpt-*-mini*"]
        prompt = 0.1
        completion = 0.2
    "#;

    #[test]
    fn the_closest_pattern_counts() {
        let prices = Prices::from_toml(TABLE).unwrap();
        let price = |model| prices.of(model).unwrap().prompt;
        assert_eq!([price("gpt-5"), price("gpt-5-mini-2025"), price("Qwen/Qwen3")], [2.5, 0.1, 1.0]);
        assert_eq!(Prices::default().of("gpt-5"), None);
        for (pattern, name, fit) in [
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*b*", "abcb", true),
            ("*b*b*", "abc", false),
            ("a", "ab", false),
            ("", "", true),
            ("*ü", "ü", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }

    #[test]
    fn cached_tokens_have_their_own_price() {
        let usage = Usage { prompt_tokens: 1_000_000, completion_tokens: 100_000, cached_tokens: 600_000 };
        let prices = Prices::from_toml(TABLE).unwrap();
        let cost = |model, usage: Usage| prices.of(model).unwrap().cost(&usage);
        assert_eq!(cost("gpt-5", usage), Some(0.4 * 2.5 + 0.6 * 0.5 + 1.0));
        assert_eq!(cost("other", usage), Some(1.2), "no price of its own: that of the prompt");
        assert_eq!(cost("gpt-5", Usage::default()), None);
        let absurd = Usage { prompt_tokens: 1, completion_tokens: 0, cached_tokens: u64::MAX };
        assert_eq!(cost("gpt-5", absurd), Some(0.5e-6));
    }

    #[test]
    fn what_is_no_table_of_prices_is_refused() {
        for text in [
            "prompt = 1",
            "[m]\nprompt = 1",
            "[m]\nprompt = -1\ncompletion = 1",
            "[m]\nprompt = nan\ncompletion = 1",
            "[m]\nprompt = 1\ncompletion = 1\ninput = 3",
        ] {
            assert!(matches!(Prices::from_toml(text), Err(ModelError::Setup { .. })), "{text}");
        }
    }
}
