//! Which commands each rule set tries, one after the other, to put a patch onto a tree.

use crate::Profile;

/// Commands that put a patch onto a tree, to be run in the repository in their order until an attempt succeeds. Where
/// none does, the patch is rejected and the tree is of no more use.
///
/// Each command finds the patch on its standard input, too; ours read it there, and leave no file behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplySequence {
    /// What is run.
    pub commands: &'static [ApplyCommand],
    /// Where upstream puts the patch before the first command.
    pub patch_file: Option<&'static str>,
    /// Whether a patch that names the `.git` folder is git's alone to try: git refuses it, GNU patch writes there.
    pub guards_git_folder: bool,
}

/// One command of an [`ApplySequence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyCommand {
    /// Program and arguments.
    pub argv: &'static [&'static str],
    /// What to say of the patch when the command succeeds; nothing for one that cleans up, whose end does not matter.
    pub applied_by: Option<&'static str>,
}

/// Where upstream puts the patch.
const PATCH_FILE: &str = "/tmp/patch.diff";

const fn attempt(applied_by: &'static str, argv: &'static [&'static str]) -> ApplyCommand {
    ApplyCommand { argv, applied_by: Some(applied_by) }
}

const fn clean_up(argv: &'static [&'static str]) -> ApplyCommand {
    ApplyCommand { argv, applied_by: None }
}

const FORGIVING: ApplyCommand =
    attempt("patch --fuzz=5", &["patch", "--batch", "--fuzz=5", "-p1", "-i", PATCH_FILE]);
const EXACT: ApplyCommand = attempt("git apply", &["git", "apply", "--verbose", PATCH_FILE]);
const WITH_REJECTS: ApplyCommand =
    attempt("git apply --reject", &["git", "apply", "--verbose", "--reject", PATCH_FILE]);
const RESTORE: ApplyCommand = clean_up(&["git", "checkout", "--", "."]);
const REMOVE_NEW: ApplyCommand = clean_up(&["git", "clean", "-fd"]);

impl ApplySequence {
    /// Ours: exactly with git, and where git refuses, with GNU patch, which forgives wrong line numbers and context
    /// but does not take back what is there already.
    pub const STRICT: Self = Self {
        commands: &[
            attempt("git apply", &["git", "apply", "--verbose", "-"]),
            attempt("patch --fuzz=5", &["patch", "--batch", "--forward", "--fuzz=5", "-p1"]),
        ],
        patch_file: None,
        guards_git_folder: true,
    };

    /// The fork's. git knows `--allow-empty` from 2.35 on; where it is older the first command always fails. GNU
    /// patch takes a patch that is there already for a reversed one, and un-applies it.
    pub const SWEGYM: Self = Self::upstream(&[
        attempt("git apply", &["git", "apply", "--allow-empty", "-v", PATCH_FILE]),
        FORGIVING,
    ]);

    /// Of SWE-bench 4.1. What `--reject` applied before it failed is there when GNU patch tries.
    pub const SWEBENCH4: Self = Self::upstream(&[EXACT, WITH_REJECTS, FORGIVING]);

    /// Of SWE-bench 5. The last command accepts a patch that is there already.
    pub const SWEBENCH5: Self = Self::upstream(&[
        EXACT,
        RESTORE,
        REMOVE_NEW,
        attempt("git apply --3way", &["git", "apply", "--verbose", "--3way", PATCH_FILE]),
        RESTORE,
        REMOVE_NEW,
        WITH_REJECTS,
        RESTORE,
        REMOVE_NEW,
        attempt(
            "patch --forward --fuzz=5",
            &["patch", "--batch", "--forward", "--fuzz=5", "-p1", "-i", PATCH_FILE],
        ),
        attempt("an earlier attempt", &["git", "apply", "--check", "--reverse", PATCH_FILE]),
    ]);

    /// Of OpenHands when it evaluates its rollouts.
    pub const OPENHANDS: Self =
        Self::upstream(&[attempt("git apply", &["git", "apply", "-v", PATCH_FILE]), FORGIVING]);

    /// That of a profile.
    pub const fn of(profile: Profile) -> Self {
        match profile {
            Profile::Swegym => Self::SWEGYM,
            Profile::Swebench4 => Self::SWEBENCH4,
            Profile::Swebench5 => Self::SWEBENCH5,
            Profile::Strict => Self::STRICT,
        }
    }

    const fn upstream(commands: &'static [ApplyCommand]) -> Self {
        Self { commands, patch_file: Some(PATCH_FILE), guards_git_folder: false }
    }
}
