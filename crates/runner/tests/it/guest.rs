//! The launcher of sandboxes and process 1 of containers, for the tests of this crate. The `swegym` binary brings its own.

use std::io;
use std::path::Path;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    match std::env::args_os().nth(1) {
        Some(workdir) => swegym_sandbox::guest_main(Path::new(&workdir)),
        None => Ok(swegym_sandbox::launcher_main()),
    }
}
