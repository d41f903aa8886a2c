//! What OpenHands does to a patch before it is evaluated.

use super::python::{lines, trim_end};

/// The command with which a later OpenHands takes binary files out of the tree before it makes the patch.
pub const REMOVE_BINARY_FILES: &str = r#"for file in $(git status --porcelain | grep -E "^(M| M|\?\?|A| A)" | cut -c4-); do
        if [ -f "$file" ] && (file "$file" | grep -q "executable" || git check-attr binary "$file" | grep -q "binary: set"); then
            git rm -f "$file" 2>/dev/null || rm -f "$file"
            echo "Removed: $file"
        fi
    done"#;

/// Makes a prediction of what a terminal showed: what stands before the first line that begins with `diff --git`
/// goes, lines end with a line feed, and so does the patch, without white space before it. A blank patch is empty.
pub fn clean_prediction(patch: &[u8]) -> Vec<u8> {
    if trim_end(patch).is_empty() {
        return Vec::new();
    }
    let patch = without_carriage_returns(patch);
    let mut clean = trim_end(&patch[first_diff(&patch)..]).to_vec();
    clean.push(b'\n');
    clean
}

/// Removes the files of which a patch says only that they are binary. Lines end wherever Python ends them, and are
/// joined by line feeds; the last one has none.
pub fn remove_binary_diffs(patch: &[u8]) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::new();
    let (mut file, mut is_binary) = (0, false);
    for line in lines(patch) {
        if line.starts_with(b"diff --git ") {
            (file, is_binary) = (kept.len(), false);
        } else if line.windows(12).any(|part| part == b"Binary files") {
            kept.truncate(file);
            is_binary = true;
        }
        if !is_binary {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
    }
    kept.pop();
    kept
}

fn without_carriage_returns(text: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => clean.extend(line.iter().chain(b"\n")),
            None => clean.extend_from_slice(line),
        }
    }
    clean
}

/// Where the first line that begins with `diff --git` does; 0 where none does.
fn first_diff(text: &[u8]) -> usize {
    let mut position = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"diff --git") {
            return position;
        }
        position += line.len();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_terminal_showed_goes() {
        let shown = b"$ git diff\r\n\x1b[K0\r\ndiff --git a/x b/x\r\n+a \r\n\r\n \xc2\xa0";
        assert_eq!(clean_prediction(shown), b"diff --git a/x b/x\n+a\n");
        assert_eq!(clean_prediction(b" \r\n\t"), b"");
        assert_eq!(clean_prediction(b"no diff\r"), b"no diff\n");
    }

    #[test]
    fn only_stubs_of_binary_files_go() {
        let text = "diff --git a/x b/x\n+a";
        let stub = "diff --git a/y b/y\nBinary files a/y and b/y differ";
        let full = "diff --git a/z b/z\nGIT binary patch";
        let patch = [text, stub, full, stub].join("\n");
        assert_eq!(remove_binary_diffs(patch.as_bytes()), [text, full].join("\n").as_bytes());
        assert_eq!(
            remove_binary_diffs(b"diff --git Binary files\r\n+a\x0cb\n"),
            b"diff --git Binary files\n+a\nb"
        );
    }
}
