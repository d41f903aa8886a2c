//! Which issues a pull request says it solves.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;
use swegym_harness::Profile;

use super::PullRequest;
use crate::text::without_spans;

/// Words after which GitHub closes an issue.
const KEYWORDS: [&str; 9] =
    ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"];

/// Longest address that a pattern is made of, in bytes: GitHub has none that is nearly as long.
const MAX_URL: usize = 2_000;

/// `(\w+)\s+` of Python, whose classes differ from those of the crate `regex`.
const WORD_AND_SPACE: &str = r"([\p{L}\p{N}_]+)[\s\x1c-\x1f]+";

#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(&format!(r"{WORD_AND_SPACE}#(\d+)")).unwrap());

impl PullRequest {
    /// Numbers of the issues that its title, description and commit messages say it solves, as they are written, in
    /// the order in which they occur. [`Profile::Swegym`] lists what each spelling of a keyword named last.
    /// [`Profile::Swebench5`] and [`Profile::Strict`] take addresses of issues, too.
    pub fn linked_issues(&self, profile: Profile) -> Vec<String> {
        let text = without_spans(&self.text(), "<!--", "-->");
        match profile {
            Profile::Swegym => last_of_each_word(links(&LINK, &text)),
            Profile::Swebench4 => distinct(links(&LINK, &text)),
            Profile::Swebench5 | Profile::Strict => {
                let with_addresses = self.issues_url().and_then(|url| pattern_with_addresses(&url, &text));
                distinct(links(with_addresses.as_ref().unwrap_or(&LINK), &text))
            }
        }
    }

    fn text(&self) -> String {
        let first = [&self.title, &self.body].map(|text| text.as_deref().unwrap_or_default());
        let messages: Vec<_> = self.commits.iter().map(|commit| commit.message.as_str()).collect();
        format!("{}\n{}\n{}", first[0], first[1], messages.join("\n"))
    }

    /// What the address of an issue of the repository begins with.
    fn issues_url(&self) -> Option<String> {
        let url = self.clone_url.as_deref().filter(|url| !url.is_empty())?;
        Some(format!("{}/issues/", url.strip_suffix(".git").unwrap_or(url)))
    }
}

/// No pattern where the text has no such address, or one that is too long.
fn pattern_with_addresses(issues_url: &str, text: &str) -> Option<Regex> {
    let occurs = issues_url.len() <= MAX_URL && text.contains(issues_url);
    occurs.then(|| Regex::new(&format!(r"{WORD_AND_SPACE}(?:#|{})(\d+)", regex::escape(issues_url))).ok())?
}

/// Words and the numbers behind them.
fn links<'t>(pattern: &Regex, text: &'t str) -> Vec<(&'t str, &'t str)> {
    let part = |found: &regex::Captures<'t>, group| found.get(group).map(|part| part.as_str());
    pattern.captures_iter(text).filter_map(|found| Some((part(&found, 1)?, part(&found, 2)?))).collect()
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word.to_lowercase().as_str())
}

/// Kept from upstream: the fork has a map from words as they are written, so that of `fixes #1, fixes #2` the second
/// number is left, and of `fixes #1, Fixes #2` both are.
fn last_of_each_word(links: Vec<(&str, &str)>) -> Vec<String> {
    let mut places = HashMap::new();
    let mut numbers = Vec::new();
    for (word, number) in links.into_iter().filter(|(word, _)| is_keyword(word)) {
        let place = *places.entry(word).or_insert(numbers.len());
        if place == numbers.len() {
            numbers.push(number.to_owned());
        } else {
            number.clone_into(&mut numbers[place]);
        }
    }
    numbers
}

/// Upstream has a set, without an order.
fn distinct(links: Vec<(&str, &str)>) -> Vec<String> {
    let mut seen = HashSet::new();
    let solved = links.into_iter().filter(|(word, number)| is_keyword(word) && seen.insert(*number));
    solved.map(|(_, number)| number.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::records::tests::pull;
    use super::*;

    fn linked(body: &str, profile: Profile) -> Vec<String> {
        PullRequest { body: Some(body.to_owned()), ..pull() }.linked_issues(profile)
    }

    #[test]
    fn the_fork_keeps_the_last_number_of_each_spelling() {
        assert_eq!(linked("closes #9 fixes #8, Fixes #8 closes #7", Profile::Swegym), ["7", "8", "8"]);
        assert_eq!(linked("closes #9 fixes #8, Fixes #8 closes #7", Profile::Swebench4), ["9", "8", "7"]);
    }

    #[test]
    fn words_and_digits_are_those_of_python() {
        for (body, expected) in [
            ("fixes\u{1f}#1", vec!["1"]),
            ("fixes\u{a0}#\u{661}\u{662}", vec!["\u{661}\u{662}"]),
            ("éfixes #1", vec![]),
            ("e\u{301}fixes #1", vec!["1"]),
            ("²fixes #1", vec![]),
            ("ⓐfixes #1", vec!["1"]),
            ("fixes #²", vec![]),
        ] {
            assert_eq!(linked(body, Profile::Swegym), expected, "{body}");
        }
    }

    #[test]
    fn comments_are_left_out() {
        assert_eq!(
            linked("fixes <!-- #1\n -->#2 <!--> closes #3 --> resolves #4", Profile::Swegym),
            ["2", "4"]
        );
        assert_eq!(linked("<!-- fixes #1", Profile::Swegym), ["1"]);
    }

    #[test]
    fn addresses_of_the_repository_count_for_swebench_5() {
        let body = "fixes https://github.com/o/n/issues/12 closes https://github.com/o/m/issues/13 \
                    resolves https://githubXcom/o/n/issues/14, fixed #15";
        assert_eq!(linked(body, Profile::Swebench5), ["12", "15"]);
        assert_eq!(linked(body, Profile::Swebench4), ["15"]);
        let without = PullRequest { clone_url: None, body: Some(body.to_owned()), ..pull() };
        assert_eq!(without.linked_issues(Profile::Strict), ["15"]);
    }

    #[test]
    fn an_address_too_long_for_a_pattern_is_no_address() {
        let url = format!("https://{}", "x".repeat(MAX_URL));
        let body = Some(format!("fixes {url}/issues/1 fixes #2"));
        let pull = PullRequest { clone_url: Some(url), body, ..pull() };
        assert_eq!(pull.linked_issues(Profile::Strict), ["2"]);
    }

    #[test]
    fn title_description_and_messages_are_read() {
        let mut pull = PullRequest { title: Some("Fix #1".to_owned()), body: None, ..pull() };
        pull.commits[0].message = "resolves #3".to_owned();
        assert_eq!(pull.linked_issues(Profile::Swegym), ["1", "3"]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(body in "(fixes|closes| |\u{a0}|#1|#|<!--|-->|https://github.com/o/n/issues/|2|é){0,40}") {
            for profile in [Profile::Swegym, Profile::Strict] {
                linked(&body, profile);
            }
        }
    }
}
