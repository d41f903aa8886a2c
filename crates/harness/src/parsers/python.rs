//! Text as Python sees it.

/// White space of `str.split`, `str.strip` and of `\s`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text.split()`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The first two of [`words`].
pub(super) fn two_words(text: &str) -> Option<(&str, &str)> {
    let mut words = words(text);
    Some((words.next()?, words.next()?))
}

/// `text.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `text.split(separator)[0]`.
pub(super) fn before<'a>(text: &'a str, separator: &str) -> &'a str {
    text.split_once(separator).map_or(text, |(before, _)| before)
}
