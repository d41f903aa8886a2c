//! Text as Python sees it.

pub(super) use swegym_core::python::{is_space, strip};

/// `text.split()`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The first two of [`words`].
pub(super) fn two_words(text: &str) -> Option<(&str, &str)> {
    let mut words = words(text);
    Some((words.next()?, words.next()?))
}

/// `text.split(separator)[0]`.
pub(super) fn before<'a>(text: &'a str, separator: &str) -> &'a str {
    text.split_once(separator).map_or(text, |(before, _)| before)
}
