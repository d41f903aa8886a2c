//! What the harness notices, under stable names. `docs/formats.md` says what each means.

use swegym_core::Finding;

/// Items that one finding names; the rest is counted.
const MOST_ITEMS: usize = 20;
/// Characters of one item.
const MOST_CHARACTERS: usize = 300;

pub(crate) const AUDIT_INCOMPLETE: &str = "audit_incomplete";
pub(crate) const CHANNEL_CONTRADICTS_LOG: &str = "channel_contradicts_log";
pub(crate) const CHANNEL_FORGED: &str = "channel_forged";
pub(crate) const CHANNEL_MISSING: &str = "channel_missing";
pub(crate) const EARLY_EXIT: &str = "early_exit";
pub(crate) const EXIT_CODE_CONTRADICTS: &str = "exit_code_contradicts";
pub(crate) const FORGED_LOG: &str = "forged_log";
pub(crate) const FORGED_REPORT: &str = "forged_report";
pub(crate) const FUTURE_COMMITS: &str = "future_commits";
pub(crate) const FUTURE_REFS: &str = "future_refs";
pub(crate) const GIT_ALTERNATES: &str = "git_alternates";
pub(crate) const GIT_FOLDER_TOUCHED: &str = "git_folder_touched";
pub(crate) const GIT_REMOTES: &str = "git_remotes";
pub(crate) const GOLD_IN_OBJECTS: &str = "gold_in_objects";
pub(crate) const GOLD_TEXT: &str = "gold_text";
pub(crate) const HARNESS_FILES_CHANGED: &str = "harness_files_changed";
pub(crate) const INSTALLED_COPY: &str = "installed_copy";
pub(crate) const INSTALLED_COPY_DIFFERS: &str = "installed_copy_differs";
pub(crate) const LATER_VERSION: &str = "later_version";
pub(crate) const OUTCOME_REWRITTEN: &str = "outcome_rewritten";
pub(crate) const OUTPUT_FLOOD: &str = "output_flood";
pub(crate) const PLUGIN_INJECTED: &str = "plugin_injected";
pub(crate) const PROCESSES_LEFT: &str = "processes_left";
pub(crate) const PROCESS_PROBED: &str = "process_probed";
pub(crate) const PROFILES_DIFFER: &str = "profiles_differ";
pub(crate) const REPOSITORY_COPY: &str = "repository_copy";
pub(crate) const REQUIRED_DESELECTED: &str = "required_deselected";
pub(crate) const RESULTS_MISSING: &str = "results_missing";
pub(crate) const RUNNER_CONFIG_CHANGED: &str = "runner_config_changed";
pub(crate) const RUNNER_KILLED: &str = "runner_killed";
pub(crate) const RUNNER_PATCHED: &str = "runner_patched";
pub(crate) const SIDE_COMMITS: &str = "side_commits";
pub(crate) const STARTUP_HOOK: &str = "startup_hook";
pub(crate) const TEST_FILES_CHANGED: &str = "test_files_changed";
pub(crate) const TIME_LIMIT: &str = "time_limit";
pub(crate) const WRITES_OUTSIDE: &str = "writes_outside";
pub(crate) const XFAIL_UNFOUNDED: &str = "xfail_unfounded";

/// Every kind, by name.
pub const FINDING_KINDS: [&str; 37] = [
    AUDIT_INCOMPLETE,
    CHANNEL_CONTRADICTS_LOG,
    CHANNEL_FORGED,
    CHANNEL_MISSING,
    EARLY_EXIT,
    EXIT_CODE_CONTRADICTS,
    FORGED_LOG,
    FORGED_REPORT,
    FUTURE_COMMITS,
    FUTURE_REFS,
    GIT_ALTERNATES,
    GIT_FOLDER_TOUCHED,
    GIT_REMOTES,
    GOLD_IN_OBJECTS,
    GOLD_TEXT,
    HARNESS_FILES_CHANGED,
    INSTALLED_COPY,
    INSTALLED_COPY_DIFFERS,
    LATER_VERSION,
    OUTCOME_REWRITTEN,
    OUTPUT_FLOOD,
    PLUGIN_INJECTED,
    PROCESS_PROBED,
    PROCESSES_LEFT,
    PROFILES_DIFFER,
    REPOSITORY_COPY,
    REQUIRED_DESELECTED,
    RESULTS_MISSING,
    RUNNER_CONFIG_CHANGED,
    RUNNER_KILLED,
    RUNNER_PATCHED,
    SIDE_COMMITS,
    STARTUP_HOOK,
    TEST_FILES_CHANGED,
    TIME_LIMIT,
    WRITES_OUTSIDE,
    XFAIL_UNFOUNDED,
];

/// Kinds that say of an image that it shows the answer, or a part of it.
pub(crate) const LEAKS: [&str; 8] = [
    FUTURE_COMMITS,
    FUTURE_REFS,
    GIT_ALTERNATES,
    GOLD_IN_OBJECTS,
    GOLD_TEXT,
    INSTALLED_COPY_DIFFERS,
    LATER_VERSION,
    REPOSITORY_COPY,
];

/// A finding; what is hostile in its detail is cut to a length that can be shown.
pub(crate) fn finding(kind: &str, detail: impl Into<String>) -> Finding {
    let detail: String = detail.into();
    Finding { kind: kind.to_owned(), detail: detail.chars().take(MOST_ITEMS * MOST_CHARACTERS).collect() }
}

/// A finding about some things; none where there are none.
pub(crate) fn finding_of(
    kind: &str,
    what: &str,
    items: impl IntoIterator<Item = impl AsRef<str>>,
) -> Option<Finding> {
    let mut items = items.into_iter();
    let quoted = |item: &str| format!("`{}`", item.chars().take(MOST_CHARACTERS).collect::<String>());
    let mut named: Vec<String> = items.by_ref().take(MOST_ITEMS).map(|item| quoted(item.as_ref())).collect();
    let more = items.count();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    (!named.is_empty()).then(|| finding(kind, format!("{what}: {}", named.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_kind() {
        let manual = include_str!("../../../docs/formats.md");
        for kind in FINDING_KINDS {
            assert!(manual.contains(&format!("`{kind}`")), "{kind}");
        }
        assert!(FINDING_KINDS.is_sorted());
    }
}
