//! The launcher of sandboxes, for the tests of this crate. The `swegym` binary brings its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    swegym_sandbox::launcher_main()
}
