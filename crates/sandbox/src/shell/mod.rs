//! What an owner and the bash of a session say to each other, whatever carries it.
//!
//! Bash is started with [`ARGV`], with a socket as standard input over which it gets its lines, and with three
//! more descriptors: [`STDIN`] and [`OUTPUT`] become the standard streams of commands, and on [`REPORTS`], a
//! socket too, bash tells where it stands. Bash reads [`definitions`] first and says hello. Then a
//! command at a time is written as [`command`]: a line that is lexically complete whatever the command holds.
//! Bash drops the line at an interrupt, and goes on with the next: so the report is asked for by a [`question`].
//!
//! Only bash has the sockets: commands run with them closed, bash's own copies are closed by exec, and nobody
//! can open a socket through `/proc`. A report bears a key that nobody can guess before bash has read it.
//!
//! Everything that a command started bears its number, as the limit on file locks ([`tag`]): the kernel has not
//! used it for twenty years, what a process starts inherits it, and nobody inside may raise it. So a process can
//! pass for that of a later command, never for that of an earlier one.

mod reports;
mod script;

pub(crate) use reports::{COMMAND_BYTES, Listener, Report, STATE_BYTES};
pub(crate) use script::{ARGV, OUTPUT, REPORTS, STDIN, command, definitions, question, state, tag};
