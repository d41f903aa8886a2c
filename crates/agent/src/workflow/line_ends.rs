//! Ends of lines outlive an edit.

/// `new`, whose lines end with `\n`, with the ends that the lines had in `old`. Lines that are new end as the
/// first one does.
pub(super) fn with_line_ends_of(old: &str, new: &str) -> String {
    if !old.contains('\r') {
        return new.to_owned();
    }
    let old = lines(old);
    let new: Vec<&str> = new.split('\n').collect();
    let usual = old.first().map_or("\n", |(_, end)| *end);
    let same = |(one, other): &(&(&str, &str), &&str)| one.0 == **other;
    let head = old.iter().zip(&new).take_while(same).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(same).count();
    let mut text = String::new();
    for (index, line) in new.iter().enumerate() {
        let from_end = new.len() - index;
        let end = match index {
            _ if from_end == 1 => "",
            _ if index < head => old[index].1,
            _ if from_end <= tail => old[old.len() - from_end].1,
            _ => usual,
        };
        text.push_str(line);
        text.push_str(end);
    }
    text
}

/// Lines as Python reads them, with their ends; the last one has none.
fn lines(text: &str) -> Vec<(&str, &str)> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        let length = if rest[at..].starts_with("\r\n") { 2 } else { 1 };
        lines.push((&rest[..at], &rest[at..at + length]));
        rest = &rest[at + length..];
    }
    lines.push((rest, ""));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_ends_and_new_ones_get_the_usual() {
        for (old, new, expected) in [
            ("a\r\nb\r\nc\r\n", "a\nx\ny\nc\n", "a\r\nx\r\ny\r\nc\r\n"),
            ("a\r\nb\nc\r", "a\nb\nx\nc\n", "a\r\nb\nx\r\nc\r"),
            ("a\nb", "a\nx", "a\nx"),
            ("a\r\nb", "a", "a"),
            ("\r\n", "", ""),
            ("a\r\na\r\n", "a\na\na\n", "a\r\na\r\na\r\n"),
        ] {
            assert_eq!(with_line_ends_of(old, new), expected, "{old:?} {new:?}");
        }
    }
}
