//! Commands in the repository of a sandbox. Its configuration may be hostile, so nothing of it gets to run.

use std::time::Duration;

use swegym_sandbox::{ExecOutput, ExecRequest, OutputLimit};

/// Where the repository lies in every image.
pub(crate) const TESTBED: &str = "/testbed";
/// For one command on a large repository.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Enough for the names of about half a million files.
const OUTPUT_LIMIT: OutputLimit = OutputLimit { head: 64 << 20, tail: 0 };
/// How much of what a tool said goes into a reason.
const SAID_LIMIT: usize = 2000;

/// A command in the repository.
pub(crate) fn command(argv: &[&str]) -> ExecRequest {
    let mut request = ExecRequest::new(argv.iter().copied()).in_folder(TESTBED).within(TIME_LIMIT);
    request.output_limit = OUTPUT_LIMIT;
    request.env.insert("LC_ALL".to_owned(), "C".to_owned());
    request
}

/// A git command that runs no hook, asks no monitor and reads no configuration but the repository's.
pub(crate) fn git(args: &[&str]) -> ExecRequest {
    const HARDENED: [&str; 7] = [
        "git",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        // The files of an image belong to another user than the one inside.
        "-c",
        "safe.directory=*",
    ];
    let mut request = command(&[HARDENED.as_slice(), args].concat());
    let env = [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_LITERAL_PATHSPECS", "1"),
    ];
    request.env.extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    request
}

/// Beginning of what a tool said, and how it ended, for people.
pub(crate) fn said(output: &ExecOutput) -> String {
    let text = format!("{}{}", output.stderr.to_text(), output.stdout.to_text());
    let text: String = text.trim().chars().take(SAID_LIMIT).collect();
    match output.exit_code() {
        Some(_) if !text.is_empty() => text,
        _ => format!("{:?} {text}", output.status).trim_end().to_owned(),
    }
}
