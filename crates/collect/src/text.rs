//! Helpers for rules over texts.

/// The text without what lies between `open` and the next `close`, both included. What is open at the end stays.
pub(crate) fn without_spans(text: &str, open: &str, close: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once(open) {
        let Some((_, after)) = inside.split_once(close) else { break };
        kept.push_str(before);
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_end_at_the_next_close() {
        assert_eq!(without_spans("a<b>c<d<e>f>g<h", "<", ">"), "acf>g<h");
        assert_eq!(without_spans("x\"\"\"\"\"\"\"y\"\"\"z", "\"\"\"", "\"\"\""), "x\"y\"\"\"z");
    }
}
