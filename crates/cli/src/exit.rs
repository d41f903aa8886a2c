//! Exit codes, all of them. `docs/cli.md` repeats this list for users.

use std::io;
use std::process::ExitCode;

use crate::printer::Printer;

/// How the program ends when nothing is wrong with how it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done. An unresolved instance is a result.
    Done,
    /// 3: some rollouts or evaluations could not be executed, or `quickstart` did not see what it must.
    Incomplete,
    /// 130: stopped by Ctrl-C or SIGTERM; the same command resumes.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Incomplete => Self::from(3),
            Exit::Interrupted => Self::from(130),
        }
    }
}

/// A defect of this program, as opposed to a fault of the user, the machine or the input: exit code 70.
#[derive(Debug, thiserror::Error)]
#[error("{0}; this is a defect of swegym")]
pub(crate) struct Defect(pub(crate) String);

/// Tells the user what went wrong and what to do: exit code 1, or 70 for a defect. Usage errors exit with 2 and
/// come from the argument parser.
pub(crate) fn fail(printer: &Printer, error: &anyhow::Error) -> ExitCode {
    let mut message = error.to_string();
    for cause in error.chain().skip(1) {
        // Transparent errors repeat the text of what they wrap.
        let cause = cause.to_string();
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    printer.error(&format!("failed to {message}"));
    for hint in hints(error) {
        printer.hint(&hint);
    }
    ExitCode::from(if error.is::<Defect>() { 70 } else { 1 })
}

fn hints(error: &anyhow::Error) -> Vec<String> {
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        let data = cause.downcast_ref::<swegym_data::DataError>().map(swegym_data::DataError::hints);
        let environment =
            || cause.downcast_ref::<swegym_environment::EnvironmentError>().map(|error| error.hints());
        let sandbox = || cause.downcast_ref::<swegym_sandbox::SandboxError>().map(|error| error.hints());
        let runner = || cause.downcast_ref::<swegym_runner::RunnerError>().map(|error| error.hints());
        let oci = || cause.downcast_ref::<swegym_images::oci::OciError>().map(|error| error.hints());
        data.or_else(environment).or_else(sandbox).or_else(runner).or_else(oci)
    };
    let hints = error.chain().find_map(of_cause).unwrap_or_default();
    if hints.is_empty() { of_disk(error).map(str::to_owned).into_iter().collect() } else { hints }
}

/// What to do where a file system takes no more, whatever was to be written.
fn of_disk(error: &anyhow::Error) -> Option<&'static str> {
    match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>())?.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            "make room where that lies (`df -h`, and `df -i` for the number of files), for example with `swegym images \
             gc --budget SIZE`; then the same command goes on",
        ),
        io::ErrorKind::ReadOnlyFilesystem => Some(
            "set SWEGYM_CACHE to a folder that can be written to; a store that cannot is used by \
             SWEGYM_SHARED_STORES",
        ),
        _ => None,
    }
}
