//! Whatever a patch holds, it is read without a panic and in time in proportion to its length.

use proptest::prelude::*;

use super::*;

/// Runs everything that reads patches.
fn read_all(patch: &[u8]) {
    let _ = split_tests(patch);
    let _ = modified_files(patch);
    let _ = minimal_patch(patch);
    reset_files(patch);
    clean_prediction(patch);
    remove_binary_diffs(patch);
    let text = String::from_utf8_lossy(patch);
    let _ = hunk_places(&text);
    let _ = code_before_after(&text);
}

/// Lines as they occur in patches, in any order.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("diff --git a/x.py b/x.py\n"),
        Just("diff --git a/x b/y\r\n"),
        Just("diff --git \"a/\\303\" \"b/\\303\"\n"),
        Just("diff --git s://x s://x b/y\n"),
        Just("new file mode 100644\n"),
        Just("deleted file mode 100644\n"),
        Just("--- a/x.py\n"),
        Just("--- a/x.py\t2024\n"),
        Just("--- /dev/null\n"),
        Just("+++ b/x.py\n"),
        Just("+++ /dev/null\n"),
        Just("@@ -1 +1 @@\n"),
        Just("@@ -1,2 +1,2 @@ def f():\r\n"),
        Just("@@ -0,0 +0,0 @@\n"),
        Just("@@ -99999999999999999999,1 +1 @@\n"),
        Just("-old\n"),
        Just("+new\n"),
        Just(" same\n"),
        Just("\n"),
        Just("\r\n"),
        Just("\rx\n"),
        Just("\\ No newline at end of file\n"),
        Just("Binary files a/x and b/x differ\n"),
        Just("Binary file x has changed\n"),
        Just("GIT binary patch\n"),
        Just("text\u{2028}\u{e9}\0\n"),
    ];
    let any_bytes = proptest::collection::vec(any::<u8>(), 0..8);
    let part = prop_oneof![9 => line.prop_map(|line| line.as_bytes().to_vec()), 1 => any_bytes];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// A patch as git writes it, with a place for each of its files.
fn git_patch() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(("[-+ ]", "[a-z@+ -]{0,9}\r?"), 1..9);
    let file = ("[a-z/]{1,9}", body).prop_map(|(name, body)| {
        let lines = |signs: &str| body.iter().filter(|(sign, _)| signs.contains(sign.as_str())).count();
        let mut text =
            format!("diff --git a/{name} b/{name}\nindex 1..2 100644\n--- a/{name}\n+++ b/{name}\n");
        text.push_str(&format!("@@ -3,{} +3,{} @@ def f():\n", lines("- "), lines("+ ")));
        body.iter().for_each(|(sign, line)| text.push_str(&format!("{sign}{line}\n")));
        text.into_bytes()
    });
    proptest::collection::vec(file, 1..4).prop_map(|files| files.concat())
}

fn written(files: &[PatchedFile<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    files.iter().for_each(|file| file.write_to(&mut bytes));
    bytes
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(patch in lines(), bytes: Vec<u8>) {
        read_all(&patch);
        read_all(&bytes);
    }

    #[test]
    fn what_git_writes_comes_back_to_the_byte(patch in git_patch()) {
        prop_assert_eq!(written(&parse(&patch).unwrap()), &patch[..]);
        let Parts { patch: program, test_patch } = split_tests(&patch).unwrap();
        prop_assert_eq!(program.len() + test_patch.len(), patch.len());
    }

    #[test]
    fn a_clean_prediction_stays_as_it_is(patch in lines()) {
        let clean = clean_prediction(&patch);
        prop_assert_eq!(clean_prediction(&clean), clean);
    }
}

#[test]
fn much_of_anything_is_read() {
    const SIZE: usize = 256 << 10;
    let file = "--- a/x\n+++ b/x\n";
    let hunk = "--- a/x\n+++ b/x\n@@ -1,99999999 +1,99999999 @@\n";
    for (head, repeated) in [
        ("", "diff --git s://"),
        ("", "diff --git a/ b/\n"),
        ("", "--- a/x\n"),
        ("", "---\n"),
        ("--- a/x", "\n+++ "),
        (file, "@@ -1,1 +1,1 @@"),
        (file, "@@ -1,1 +1,1 @@\n"),
        (hunk, " \n"),
        ("Binary files ", "x \t1 and "),
        ("", "Binary file x has changed\n"),
        ("diff --git a/x b/x\n", "new file mode 1\n"),
        ("@", "9"),
        ("", "\u{2028}\r"),
    ] {
        read_all(format!("{head}{}", repeated.repeat(SIZE / repeated.len())).as_bytes());
    }
}
