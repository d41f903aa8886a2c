//! Observations have a limited length: what is too long loses its middle, since the beginning says what it is
//! and the end how it ended.

use swegym_sandbox::Captured;

/// Leaves out the middle of a text of more than `limit` characters.
pub(crate) fn clip(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let characters = text.chars().count();
    if characters <= limit {
        return text;
    }
    let left_out = format!("{} characters", characters - limit);
    around(&text, &left_out, &text, limit)
}

/// Leaves out the middle of a text of more than `limit` characters as OpenHands does, which published models were
/// trained with. The note comes on top of the limit, an odd limit keeps one character less than it could, and -1
/// is no limit.
#[must_use]
pub fn truncate_observation(text: &str, limit: i64) -> String {
    let characters = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if limit == -1 || characters <= limit {
        return text.to_owned();
    }
    // Upstream slices with `half` and `-half`, rounded down: a slice from -0 is the whole text, and below -1 the
    // signs change places.
    let half = limit.div_euclid(2);
    let count = |number: i64| usize::try_from(number).unwrap_or(0);
    let (head, tail) = match half {
        0 => ("", text),
        1.. => (first(text, count(half)), last(text, count(half))),
        _ => (first(text, count(characters + half)), last(text, count(characters + half))),
    };
    format!("{head}\n[... Observation truncated due to length ...]\n{tail}")
}

/// Text of an output stream, at most about `limit` characters of it. Of an output that was not kept in full,
/// the length in characters is unknown: there the note counts bytes.
pub(crate) fn clip_output(output: &Captured, limit: usize) -> String {
    if output.dropped == 0 {
        return clip(output.to_text(), limit);
    }
    let head = String::from_utf8_lossy(&output.head);
    let tail = String::from_utf8_lossy(&output.tail);
    let shown = first(&head, limit / 2).len() + last(&tail, limit - limit / 2).len();
    let all = output.dropped + (head.len() + tail.len()) as u64;
    let left_out = format!("{} bytes", all.saturating_sub(shown as u64));
    around(&head, &left_out, &tail, limit)
}

/// At most `limit` characters from the beginning, for quoting.
pub(crate) fn first(text: &str, limit: usize) -> &str {
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

/// At most `limit` characters from the end.
pub(crate) fn last(text: &str, limit: usize) -> &str {
    let Some(before) = limit.checked_sub(1) else {
        return "";
    };
    text.char_indices().nth_back(before).map_or(text, |(start, _)| &text[start..])
}

fn around(head: &str, left_out: &str, tail: &str, limit: usize) -> String {
    let (head, tail) = (first(head, limit / 2), last(tail, limit - limit / 2));
    format!("{head}\n[... {left_out} left out ...]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_middle_goes() {
        assert_eq!(clip("äöüßé".into(), 5), "äöüßé");
        assert_eq!(clip("äöüßéx".into(), 4), "äö\n[... 2 characters left out ...]\néx");
        assert_eq!(clip("abcdef".into(), 3), "a\n[... 3 characters left out ...]\nef");
        assert_eq!(clip("abc".into(), 0), "\n[... 3 characters left out ...]\n");
    }

    #[test]
    fn upstreams_note_comes_on_top_of_the_limit() {
        let note = "\n[... Observation truncated due to length ...]\n";
        for (limit, head, tail) in
            [(4, "äö", "éx"), (5, "äö", "éx"), (1, "", "äöüßéx"), (0, "", "äöüßéx"), (-2, "äöüßé", "öüßéx")]
        {
            assert_eq!(truncate_observation("äöüßéx", limit), format!("{head}{note}{tail}"), "{limit}");
        }
        for limit in [6, -1, i64::MAX] {
            assert_eq!(truncate_observation("äöüßéx", limit), "äöüßéx");
        }
    }

    #[test]
    fn what_the_sandbox_threw_away_is_counted() {
        let output = Captured { head: b"abcd".to_vec(), tail: b"wxyz".to_vec(), dropped: 100 };
        assert_eq!(clip_output(&output, 4), "ab\n[... 104 bytes left out ...]\nyz");
    }

    #[test]
    fn an_output_kept_in_two_parts_is_put_together_before_it_is_decoded() {
        let output = Captured { head: vec![0xc3], tail: vec![0xa4, 0xff], dropped: 0 };
        assert_eq!(clip_output(&output, 10), "ä\u{fffd}");
    }

    proptest! {
        #[test]
        fn a_clipped_text_begins_and_ends_like_the_whole(text in ".{0,60}", limit in 0_usize..70) {
            let clipped = clip(text.clone(), limit);
            prop_assert!(clipped.starts_with(first(&text, limit / 2)));
            prop_assert!(clipped.ends_with(last(&text, limit - limit / 2)));
            prop_assert_eq!(clipped == text, text.chars().count() <= limit);
        }
    }
}
