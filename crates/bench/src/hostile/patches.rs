//! Readers of patches.

use std::hint::black_box;

use swegym_core::{Patch, RepoName, diff};
use swegym_harness::{Profile, directives, reset_files};

use super::Subject;
use super::inputs::{Input, repeated};

/// Something that is made of a patch.
type Reader = fn(&[u8]);
const READERS: [(&str, Reader); 10] = [
    ("diff::parse", |patch| drop(black_box(diff::parse(patch)))),
    ("diff::split_tests", |patch| drop(black_box(diff::split_tests(patch)))),
    ("diff::modified_files", |patch| drop(black_box(diff::modified_files(patch)))),
    ("diff::minimal_patch", |patch| drop(black_box(diff::minimal_patch(patch)))),
    ("diff::clean_prediction", |patch| drop(black_box(diff::clean_prediction(patch)))),
    ("diff::remove_binary_diffs", |patch| drop(black_box(diff::remove_binary_diffs(patch)))),
    ("diff::hunk_places", |patch| drop(black_box(str::from_utf8(patch).map(diff::hunk_places)))),
    ("diff::code_before_after", |patch| drop(black_box(str::from_utf8(patch).map(diff::code_before_after)))),
    ("reset_files of all profiles", |patch| {
        let patch = Patch::new(patch);
        Profile::ALL.iter().for_each(|profile| drop(black_box(reset_files(*profile, &patch))));
    }),
    ("directives", |patch| {
        if let Ok(repo) = RepoName::new("django/django") {
            drop(black_box(directives(&repo, &Patch::new(patch))));
        }
    }),
];

pub(super) fn subjects() -> Vec<Subject> {
    READERS.map(|(name, read)| Subject::new(name, inputs(), read)).into()
}

fn inputs() -> Vec<Input> {
    let file = "--- a/x\n+++ b/x\n";
    let hunk = "--- a/x\n+++ b/x\n@@ -1,99999999 +1,99999999 @@\n";
    let mut inputs = repeated([
        "diff --git a/x b/x\n",
        "diff --git a/x b/x",
        "diff --git s://",
        "diff --git x y\t",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n",
        "--- a/x\n+++ b/x\n",
        "--- a/x\n",
        "--- a/x",
        "@@ -1,99999999 +1,99999999 @@\n",
        "@@ -1 +1 @@\n",
        "\\ No newline at end of file\n",
        "rename from a/",
        "\"a/\\303\\244\" ",
        "GIT binary patch\n",
        "\n",
        "\r",
        "x\n",
        "+",
        "\u{2028}",
        "Binary file x has changed\n",
        "Binary files a and b differ\n",
        "[case x]",
    ]);
    inputs.extend([
        Input::within("diff --git s://a s://b ", "://", "\n"),
        Input::within("Binary files ", "x \t1 and ", "\n"),
        Input::within("Binary files ", "x \t1 and ", " differ\n"),
        Input::within("Binary files x\t", " and x\t", " differ\n"),
        Input::within(file, "@@ -1,1 +1,1 @@", ""),
        Input::within(file, "@@ -1,1 +1,1 @@\n x\n", ""),
        Input::within(file, "@@ -1,0 +1,0 @@\n x\n", ""),
        Input::within("--- a/x\n+++ b/x\n@@ -1", "1", " +1 @@\n"),
        Input::within(hunk, " \n", ""),
        Input::within(hunk, "\n", ""),
        Input::within(hunk, "-\n+\n", ""),
        Input::within("--- a/x\n+++ b/x\n@@ -1 +1 @@\n x\n", "\n", ""),
        Input::within("diff --git a/x b/x\n", "new file mode 1\n", ""),
        Input::counted("", "diff --git a/% b/%\n--- a/%\n+++ b/%\n", ""),
    ]);
    inputs
}
