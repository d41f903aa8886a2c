//! What the Lite filters look for in problem statements. White space and words are Python's: white space has four
//! control characters more than Unicode says, and only letters, numbers and `_` are parts of words.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

const WORD: &str = r"\p{L}\p{N}_";
const SPACE: &str = r"\s\x1c-\x1f";
/// With one of these before it, the number of an issue is a reference without further ado.
const CLOSING_WORDS: [&str; 9] =
    ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"];
const MEDIA: &str = "png|jpg|jpeg|gif|bmp|tiff|svg|webp|ico|heif|bpg|avif|mp4|avi|mkv|mov|wmv|flv|webm|mpeg";

static COMMIT: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!("(?:^|[^/{WORD}])[0-9a-f]{{40}}(?:$|[^{WORD}])")));
static DJANGO_COMMIT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\[[0-9a-f]{23}\]"));
static LINK_START: LazyLock<Regex> = LazyLock::new(|| pattern(r"https?://|www\."));
static LINK: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("https?://[^{SPACE}]")));
static MEDIA_NAME: LazyLock<Regex> = LazyLock::new(|| {
    // Without regard to case, Python takes the Turkish letters for `i`, and Unicode's folding does not.
    let endings = MEDIA.replace('i', "[iıİ]");
    pattern(&format!(r"(?i)[{WORD}]\.(?:{endings})(?:$|[^{WORD}])"))
});
static AFTER_WORD: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"([{WORD}]+)[{SPACE}]+#\d+")));
static GITLAB: LazyLock<Regex> = LazyLock::new(|| pattern("https?://gitlab.com/.*/issues"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"#(\d+)"));

#[expect(clippy::unwrap_used, reason = "every pattern is constant and compiled by a test")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Number of words, parted by white space.
pub fn count_words(text: &str) -> usize {
    let is_space = |character: char| character.is_whitespace() || matches!(character, '\x1c'..='\x1f');
    text.split(is_space).filter(|word| !word.is_empty()).count()
}

/// Whether there is the hash of a git commit, 40 digits as a word and not right behind a `/`, or a short one as
/// Django's tracker writes it, 23 digits in brackets.
pub fn has_commit_hash(text: &str) -> bool {
    COMMIT.is_match(text) || DJANGO_COMMIT.is_match(text)
}

/// Whether there is a link. With the name of a repository, upstream means to spare links to it, but compares what
/// follows `https://` with an address that begins so itself, and spares none; an address that begins with `www.`
/// counts then, and so does a blank behind the slashes. Without a name (empty) it does not.
pub fn has_hyperlink(text: &str, repo: &str) -> bool {
    if repo.is_empty() {
        return LINK.is_match(text);
    }
    let own = format!("http://github.com/{repo}");
    LINK_START.find_iter(text).any(|start| {
        let rest = &text[start.end()..];
        !rest.starts_with(&own) && !rest.is_empty() && !rest.starts_with('\n')
    })
}

/// Whether there is the name of an image or video: a word, a dot, and one of the known endings.
pub fn has_image_name(text: &str) -> bool {
    MEDIA_NAME.is_match(text)
}

/// Whether another issue is spoken of: by a number behind a word that closes issues, by an address on GitLab, or by
/// any number behind `#` for which `exists` says that the server answers with status 200. It is asked once for each
/// address.
pub fn has_issue_reference(text: &str, repo: &str, exists: &mut dyn FnMut(&str) -> bool) -> bool {
    let closes = |word: &str| CLOSING_WORDS.contains(&word.to_lowercase().as_str());
    if AFTER_WORD.captures_iter(text).any(|found| closes(&found[1])) || GITLAB.is_match(text) {
        return true;
    }
    let mut asked = HashSet::new();
    let numbers = NUMBER.captures_iter(text).filter_map(|found| found.get(1));
    let mut new_numbers = numbers.map(|number| number.as_str()).filter(|number| asked.insert(*number));
    new_numbers.any(|number| exists(&issue_url(repo, number)))
}

/// Where an issue would be; Django has a tracker of its own.
pub fn issue_url(repo: &str, number: &str) -> String {
    match repo {
        "django/django" => format!("https://code.djangoproject.com/ticket/{number}"),
        repo => format!("http://github.com/{repo}/issues/{number}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_parted_by_what_python_calls_white_space() {
        assert_eq!(count_words("a\u{1f}b\u{a0}c\u{2028}d\u{200b}e  \n"), 4);
    }

    #[test]
    fn hashes_are_words_of_their_own() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        for (text, expected) in [
            (hash.to_owned(), true),
            (format!("({hash})."), true),
            (format!("x/{hash}"), false),
            (format!("_{hash}"), false),
            (format!("{hash}0"), false),
            (hash.to_uppercase(), false),
            (format!("e\u{301}{hash}"), true),
            (format!("[{}]", &hash[..23]), true),
            (format!("[{}]", &hash[..22]), false),
        ] {
            assert_eq!(has_commit_hash(&text), expected, "{text}");
        }
    }

    #[test]
    fn links_to_the_repository_are_not_spared() {
        for (text, with_repo, without) in [
            ("https://github.com/o/n/issues", true, true),
            ("http://http://github.com/o/n", true, true),
            ("www.x.org", true, false),
            ("www.", false, false),
            ("https:// x", true, false),
            ("https://\nx", false, false),
            ("ftp://x", false, false),
        ] {
            assert_eq!((has_hyperlink(text, "o/n"), has_hyperlink(text, "")), (with_repo, without), "{text}");
        }
    }

    #[test]
    fn images_are_known_by_their_endings() {
        for (text, expected) in [
            ("a.png", true),
            ("a.PNG, b", true),
            ("see .png", false),
            ("a.pngx", false),
            ("a.jpeg!", true),
            ("a.gıf", true),
            ("a.ſvg", true),
            ("a.png\u{301}", true),
        ] {
            assert_eq!(has_image_name(text), expected, "{text}");
        }
    }

    #[test]
    fn issues_are_looked_up_once_and_only_where_nothing_else_decides() {
        let mut asked = Vec::new();
        let mut exists = |url: &str| {
            asked.push(url.to_owned());
            url.ends_with("/3")
        };
        assert!(has_issue_reference("Fixes \u{1c}#1", "o/n", &mut exists));
        assert!(has_issue_reference("http://gitlab.com/a/b/issues", "o/n", &mut exists));
        assert!(!has_issue_reference("prefix #1, (#1) and#2", "o/n", &mut exists));
        assert!(has_issue_reference("#3 #4", "django/django", &mut exists));
        let urls = ["http://github.com/o/n/issues/1", "http://github.com/o/n/issues/2"];
        assert_eq!(asked, [urls[0], urls[1], "https://code.djangoproject.com/ticket/3"]);
    }

    proptest! {
        #[test]
        fn any_statement_is_read(text in "(fix|#|[0-9a-f]{1,41}|https?://|www\\.|\\.png|\\PC|\\s){0,40}") {
            has_commit_hash(&text);
            has_hyperlink(&text, "o/n");
            has_image_name(&text);
            has_issue_reference(&text, "o/n", &mut |_| false);
        }
    }

    #[test]
    fn megabytes_of_anything_are_read() {
        for repeated in ["a ", "#1", "fix #", "0", "www.", "http://", "http://gitlab.com/", "a.pn", "\u{1c}"]
        {
            let text = repeated.repeat((2 << 20) / repeated.len());
            count_words(&text);
            has_commit_hash(&text);
            has_hyperlink(&text, "o/n");
            has_image_name(&text);
            has_issue_reference(&text, "o/n", &mut |_| false);
        }
    }
}
