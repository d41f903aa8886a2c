use super::*;
use proptest::prelude::*;

fn replaced(text: &str, old: &str, new: &str) -> Result<String, String> {
    str_replace(text, old, new).map(|edited| edited.text)
}

fn inserted(text: &str, after: usize, new: &str) -> Result<String, String> {
    insert(text, after, new).map(|edited| edited.text)
}

#[test]
fn a_replacement_must_be_unique() {
    assert_eq!(replaced("a b c", "b", "").unwrap(), "a  c");
    let error = replaced("x\ny\nx\n", "x", "z").unwrap_err();
    assert!(error.contains("lines 1, 3;"), "{error}");
    let error = replaced(&"x\n".repeat(1000), "x", "z").unwrap_err();
    assert!(error.contains("lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...;"), "{error}");
    assert!(replaced("aaa", "aa", "b").unwrap_err().contains("more than once"));
    assert!(replaced("a\tb", "a b", "c").unwrap_err().contains("does not occur"));
    assert!(replaced("a", "", "c").unwrap_err().contains("is empty"));
    assert!(replaced("a", "a", "a").unwrap_err().contains("nothing would change"));
}

#[test]
fn overlapping_occurrences_of_a_long_text_take_no_quadratic_time() {
    let text = "a".repeat(4 << 20);
    assert!(replaced(&text, &text[..1 << 20], "b").unwrap_err().contains("more than once"));
}

#[test]
fn line_breaks_are_meant_as_the_file_has_them() {
    assert_eq!(replaced("a\r\nb\r\n", "a\nb", "c\nd").unwrap(), "c\r\nd\r\n");
    assert_eq!(replaced("a\r\nb\r\n", "b", "c\nd").unwrap(), "a\r\nc\r\nd\r\n");
    assert_eq!(inserted("a\r\nb\r\n", 1, "x\ny").unwrap(), "a\r\nx\r\ny\r\nb\r\n");
    // Said with CR, or in a file of mixed line breaks, a text is taken as it is.
    assert_eq!(replaced("a\r\nb\r\n", "a\r\nb\r\n", "a\nb\n").unwrap(), "a\nb\n");
    assert_eq!(replaced("a\r\nb\n", "b", "c\nd").unwrap(), "a\r\nc\nd\n");
    assert!(replaced("a\r\nb\n", "a\nb", "c").is_err());
}

#[test]
fn lines_are_inserted_after_a_line() {
    assert_eq!(inserted("a\nb\n", 0, "x").unwrap(), "x\na\nb\n");
    assert_eq!(inserted("a\nb\n", 1, "x\n").unwrap(), "a\nx\nb\n");
    assert_eq!(inserted("a\nb\n", 2, "x").unwrap(), "a\nb\nx\n");
    assert_eq!(inserted("a\nb", 2, "x").unwrap(), "a\nb\nx");
    assert_eq!(inserted("a\nb", 1, "x").unwrap(), "a\nx\nb");
    assert_eq!(inserted("", 0, "x").unwrap(), "x\n");
    assert!(inserted("a\n", 2, "x").unwrap_err().contains("has 1 lines"));
    assert!(inserted("a\n", 1, "").unwrap_err().contains("is empty"));
}

#[test]
fn lines_are_numbered() {
    assert_eq!(numbered("a\n\tb\r\n\nc", 2..=9), "     2\t\tb\n     3\t\n     4\tc\n");
    assert_eq!(numbered("", 1..=1), "");
}

#[test]
fn a_view_range_is_checked() {
    let text = "a\nb\nc\n";
    assert_eq!(line_range(text, (2, -1)), Ok(2..=3));
    assert_eq!(line_range(text, (3, 100)), Ok(3..=3));
    for bad in [(0, 1), (4, 5), (-1, -1), (2, 1), (2, -2), (i64::MIN, i64::MAX)] {
        assert!(line_range(text, bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_snippet_shows_four_lines_around_the_edit() {
    let text: String = (1..=20).map(|number| format!("line {number}\n")).collect();
    let snippet = str_replace(&text, "line 10\n", "x\ny\n").unwrap().snippet();
    assert!(snippet.starts_with("     6\tline 6\n"), "{snippet}");
    assert!(snippet.contains("    10\tx\n    11\ty\n    12\tline 11\n"), "{snippet}");
    assert!(snippet.ends_with("    16\tline 15\n"), "{snippet}");
    assert_eq!(str_replace("a\nb\n", "a\n", "").unwrap().snippet(), "     1\tb\n");
}

/// Texts with every kind of line break, tabs, byte order marks and wide characters.
fn texts() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("\n"),
            Just("\r\n"),
            Just("\r"),
            Just("\t"),
            Just("\u{feff}"),
            Just("a"),
            Just("ä\u{1f600}")
        ],
        0..30,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_replacement_changes_nothing_else(before in texts(), after in texts(), new in "[b-z\r\n\t]{1,9}") {
        // The marks occur nowhere else, and a CR in the old text says that line breaks are as written.
        let text = format!("{before}<\r>{after}");
        let edited = replaced(&text, "<\r>", &new).unwrap();
        prop_assert_eq!(&edited, &format!("{before}{new}{after}"));
        if let Ok(back) = replaced(&edited, &new, "<\r>") {
            prop_assert_eq!(back, text);
        }
    }

    #[test]
    fn an_insertion_changes_nothing_else(text in texts(), new in "[b-z\n]{1,9}", place in 0_usize..40) {
        let lines = text.lines().count();
        let edited = insert(&text, place % (lines + 1), &new).unwrap();
        let mut rest = edited.text.clone();
        rest.replace_range(edited.start..edited.end, "");
        prop_assert_eq!(rest, text);
        prop_assert!(edited.text.lines().count() > lines);
    }
}
