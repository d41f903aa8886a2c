//! Shell commands that carry a patch.

/// Line that ends a patch in a command.
const END: &str = "END_OF_PATCH";

/// A command that applies `patch` in `repo_dir`. The patch travels as text where that keeps every byte.
pub(crate) fn git_apply(repo_dir: &str, patch: &[u8]) -> String {
    let apply = format!("cd {} &&", quote(repo_dir));
    match std::str::from_utf8(patch) {
        Ok(text) if survives_heredoc(text) => {
            let newline = if text.ends_with('\n') { "" } else { "\n" };
            format!("{apply} git apply --whitespace=nowarn <<'{END}'\n{text}{newline}{END}")
        }
        _ => {
            let encoded = base64(patch);
            format!("{apply} base64 -d <<'{END}' | git apply --whitespace=nowarn\n{encoded}{END}")
        }
    }
}

/// No control characters, which a terminal would act on, and no line that ends the text early.
fn survives_heredoc(text: &str) -> bool {
    let kept = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().all(kept) && !text.lines().any(|line| line == END)
}

/// `text` as one word of the shell.
pub(crate) fn quote(text: &str) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"/_-.".contains(&b);
    if !text.is_empty() && text.bytes().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Base64 (RFC 4648) in lines of 76 characters.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len() / 57 * 77 + 80);
    for line in bytes.chunks(57) {
        for group in line.chunks(3) {
            let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for digit in 0..4 {
                let index = bits >> (18 - 6 * digit) & 63;
                text.push(if digit <= group.len() { char::from(ALPHABET[index as usize]) } else { '=' });
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        for (bytes, text) in
            [("", ""), ("f", "Zg==\n"), ("fo", "Zm8=\n"), ("foo", "Zm9v\n"), ("foob", "Zm9vYg==\n")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=\n");
        assert!(base64(&[0; 1000]).lines().all(|line| line.len() <= 76));
    }

    #[test]
    fn directories_are_one_word() {
        assert_eq!(quote("/testbed"), "/testbed");
        assert_eq!(quote("/a b'c"), r"'/a b'\''c'");
    }

    #[test]
    fn what_a_heredoc_would_change_is_encoded() {
        let encoded = |patch: &[u8]| git_apply("/testbed", patch).contains("base64 -d");
        assert!(!encoded("+a\tü\n".as_bytes()));
        for patch in [&b"+a\r\n"[..], b"+\xff\n", b"+\x1b[0m\n", b"+a\nEND_OF_PATCH\n+b\n"] {
            assert!(encoded(patch), "{patch:?}");
        }
    }
}
