//! The script with which upstream runs the tests of an instance: `eval.sh`, to the byte.
//!
//! A script is bytes, because the test patch in it is. Patch and file names are put into it as they are, as upstream
//! does; what they may do to the shell, they do inside the sandbox.

use swegym_core::{CommitId, Patch, python};

use crate::Profile;

/// Name of the conda environment, and of the folder of the repository.
const ENV_NAME: &str = "testbed";
/// Ends the test patch within the script.
const HEREDOC: &str = "EOF_114329324912";
/// Around what the tests print, in the trace of the shell.
const START_MARKER: &str = ">>>>> Start Test Output";
const END_MARKER: &str = ">>>>> End Test Output";
const FIRST_LINE: &str = "#!/bin/bash";
/// None of the scripts stops at an error: what comes after the tests must run.
const OPTIONS_SWEGYM: &str = "set -xo pipefail";
const OPTIONS_SWEBENCH: &str = "set -uxo pipefail";

/// What an evaluation script is made of.
#[derive(Debug, Clone, Copy)]
pub struct EvalScript<'a> {
    /// Commit that the image was made from.
    pub base_commit: &'a CommitId,
    /// What the tests are brought up to date with.
    pub test_patch: &'a Patch,
    /// Files that are brought back to the base commit, before and after: those of [`crate::reset_files`].
    pub test_files: &'a [Vec<u8>],
    /// Shell commands at the beginning.
    pub eval_commands: &'a [String],
    /// Shell command that installs the repository again.
    pub install: Option<&'a str>,
    /// Shell command that runs the tests, directives included.
    pub test_command: &'a str,
}

impl EvalScript<'_> {
    /// The file. [`Profile::Strict`] has no script of upstream and takes the newest.
    pub fn text(&self, profile: Profile) -> Vec<u8> {
        match profile {
            Profile::Swegym => file(OPTIONS_SWEGYM, &self.commands(profile)),
            Profile::Swebench4 => file(OPTIONS_SWEBENCH, &self.commands(profile)),
            Profile::Swebench5 | Profile::Strict => published_eval_script(&self.text(Profile::Swebench4)),
        }
    }

    /// The commands of the file, in order; SWE-bench 5 changes lines of the file that they make.
    pub fn commands(&self, profile: Profile) -> Vec<Vec<u8>> {
        let activate =
            ["source /opt/miniconda3/bin/activate".to_owned(), format!("conda activate {ENV_NAME}")];
        let enter = format!("cd /{ENV_NAME}");
        let mut commands: Vec<Vec<u8>> = Vec::new();
        let mut add = |command: &str| commands.push(command.as_bytes().to_vec());
        activate.iter().chain([&enter]).chain(self.eval_commands).for_each(|command| add(command));
        add(&format!("git config --global --add safe.directory /{ENV_NAME}"));
        for command in [&enter, "git status", "git show", &self.diff_command(profile)] {
            add(command);
        }
        activate.iter().map(String::as_str).chain(self.install).for_each(&mut add);
        commands.push(self.reset_command());
        commands.push(self.apply_command());
        commands.extend(self.marked_test_command(profile));
        commands.push(self.reset_command());
        commands
    }

    fn diff_command(&self, profile: Profile) -> String {
        let options = if profile == Profile::Swegym { "" } else { "-c core.fileMode=false " };
        format!("git {options}diff {}", self.base_commit)
    }

    /// Without files this checks out the commit and discards nothing, in every rule set of upstream.
    fn reset_command(&self) -> Vec<u8> {
        let mut command = format!("git checkout {} ", self.base_commit).into_bytes();
        command.extend(self.test_files.join(&b' '));
        command
    }

    fn apply_command(&self) -> Vec<u8> {
        let start = format!("git apply -v - <<'{HEREDOC}'\n");
        let end = format!("\n{HEREDOC}");
        [start.as_bytes(), self.test_patch.as_bytes(), end.as_bytes()].concat()
    }

    /// The fork has no markers.
    fn marked_test_command(&self, profile: Profile) -> Vec<Vec<u8>> {
        let command = self.test_command.to_owned();
        let commands = match profile {
            Profile::Swegym => vec![command],
            _ => vec![format!(": '{START_MARKER}'"), command, format!(": '{END_MARKER}'")],
        };
        commands.into_iter().map(String::into_bytes).collect()
    }
}

/// The script that SWE-bench 5 runs for a row that brings its own, in the column `eval_script`: the exit code of the
/// tests is printed after what they printed.
pub fn published_eval_script(column: &[u8]) -> Vec<u8> {
    // Kept from upstream: the two lines are dropped wherever they stand, in the test patch too, and the first line
    // that holds the marker counts, wherever that is.
    let is_kept = |line: &&[u8]| *line != FIRST_LINE.as_bytes() && *line != OPTIONS_SWEBENCH.as_bytes();
    let mut lines: Vec<_> =
        strip(column).split(|byte| *byte == b'\n').filter(is_kept).map(<[u8]>::to_vec).collect();
    let marker = END_MARKER.as_bytes();
    if let Some(at) = lines.iter().position(|line| line.windows(marker.len()).any(|window| window == marker))
    {
        lines.insert(at, b"SWEBENCH_TEST_EXIT_CODE=$?".to_vec());
        lines.insert(at + 2, b"echo \">>>>> Test Exit Code: $SWEBENCH_TEST_EXIT_CODE\"".to_vec());
    }
    file(OPTIONS_SWEBENCH, &lines)
}

fn strip(script: &[u8]) -> &[u8] {
    std::str::from_utf8(script).map_or(script.trim_ascii(), |text| python::strip(text).as_bytes())
}

fn file(options: &str, commands: &[Vec<u8>]) -> Vec<u8> {
    let mut text = format!("{FIRST_LINE}\n{options}\n").into_bytes();
    text.extend(commands.join(&b'\n'));
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATCH: &[u8] =
        b"diff --git a/t.py b/t.py\n--- a/t.py\n+++ b/t.py\n@@ -1 +1 @@\n-a\n+\xff --- a/u v\r\n";

    fn text(profile: Profile, patch: &[u8]) -> Vec<u8> {
        let base_commit = CommitId::new("a".repeat(40)).unwrap();
        let test_patch = Patch::new(patch);
        let script = EvalScript {
            base_commit: &base_commit,
            test_patch: &test_patch,
            test_files: &crate::reset_files(Profile::Swegym, &test_patch).unwrap(),
            eval_commands: &["export A=1".to_owned()],
            install: Some("pip install -e ."),
            test_command: "pytest -rA t.py",
        };
        script.text(profile)
    }

    fn lines(script: &[u8]) -> Vec<String> {
        String::from_utf8_lossy(script).split('\n').map(str::to_owned).collect()
    }

    #[test]
    fn the_patch_is_in_it_as_it_is() {
        let script = text(Profile::Swegym, PATCH);
        let start = b"git apply -v - <<'EOF_114329324912'\n";
        let at = script.windows(start.len()).position(|window| window == start).unwrap() + start.len();
        assert!(script[at..].starts_with(PATCH));
        assert!(
            script[at + PATCH.len()..].starts_with(b"\nEOF_114329324912\npytest -rA t.py\ngit checkout ")
        );
    }

    #[test]
    fn commands_of_the_spec_come_where_upstream_has_them() {
        let script = lines(&text(Profile::Swegym, PATCH));
        assert_eq!(script[1], "set -xo pipefail");
        assert_eq!(
            script[4..7],
            ["cd /testbed", "export A=1", "git config --global --add safe.directory /testbed"]
        );
        assert_eq!(script[13], "pip install -e .");
        assert_eq!(script[14], format!("git checkout {} t.py u v\r", "a".repeat(40)));
        assert!(!script.iter().any(|line| line.contains(">>>>>")));
    }

    #[test]
    fn without_files_to_reset_the_commit_is_checked_out() {
        let script = lines(&text(Profile::Swegym, b"--- /dev/null\n+++ b/t.py\n"));
        assert_eq!(script[14], format!("git checkout {} ", "a".repeat(40)));
    }

    #[test]
    fn swebench_marks_what_the_tests_print() {
        let script = lines(&text(Profile::Swebench4, PATCH));
        assert_eq!(script[1], "set -uxo pipefail");
        assert_eq!(script[10], format!("git -c core.fileMode=false diff {}", "a".repeat(40)));
        let at = script.iter().position(|line| line == "pytest -rA t.py").unwrap();
        assert_eq!(script[at - 1], ": '>>>>> Start Test Output'");
        assert_eq!(script[at + 1], ": '>>>>> End Test Output'");
        assert!(script[at + 2].starts_with("git checkout "));
    }

    #[test]
    fn swebench_5_has_the_exit_code_printed() {
        let script = lines(&text(Profile::Swebench5, PATCH));
        let at = script.iter().position(|line| line == "pytest -rA t.py").unwrap();
        let expected = [
            "SWEBENCH_TEST_EXIT_CODE=$?",
            ": '>>>>> End Test Output'",
            "echo \">>>>> Test Exit Code: $SWEBENCH_TEST_EXIT_CODE\"",
        ];
        assert_eq!(script[at + 1..at + 4], expected);
        assert_eq!(script.iter().filter(|line| *line == "set -uxo pipefail").count(), 1);
    }

    #[test]
    fn a_script_without_the_marker_is_left_alone() {
        let script = published_eval_script(b"#!/bin/bash\nset -uxo pipefail\npytest \n\n");
        assert_eq!(script, b"#!/bin/bash\nset -uxo pipefail\npytest\n");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_patch(patch in proptest::collection::vec(any::<u8>(), 0..200)) {
            for profile in [Profile::Swegym, Profile::Swebench5] {
                text(profile, &patch);
            }
        }
    }
}
