//! Opening a session.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use tokio::io::unix::AsyncFd;

use super::dialog::{Dialog, Over, Progress};
use super::handle::{LocalSession, Parts, Roots};
use super::speech::Speech;
use crate::local::protocol::{Command, GuestReply, GuestRequest, ShellStreams};
use crate::local::sandbox::GuestSandbox;
use crate::local::sys;
use crate::shell::{ARGV, OUTPUT, REPORTS, STDIN};
use crate::{SandboxError, SessionSpec, Terminal};

/// How long a shell may take until it waits for commands.
const PATIENCE: Duration = Duration::from_secs(20);
/// What programs are told of a terminal, where the image does not say; most know it.
const TERM: (&str, &str) = ("TERM", "xterm-256color");

/// Starts a shell and waits until it is ready.
pub(in crate::local) async fn open(
    sandbox: &GuestSandbox,
    spec: &SessionSpec,
) -> Result<LocalSession, SandboxError> {
    let opened = Box::pin(async {
        let mut session = start(sandbox, spec).await?;
        match session.greet().await {
            Ok(()) => Ok(session),
            Err(Over::Ended(GuestReply::NotStarted { message })) => Err(start_error(message)),
            Err(Over::Ended(_)) => Err(start_error("it ended at once".to_owned())),
            Err(Over::Gone) => Err(SandboxError::Gone),
        }
    });
    match tokio::time::timeout(PATIENCE, opened).await {
        Ok(opened) => opened,
        Err(_) => Err(start_error("it does not answer".to_owned())),
    }
}

fn start_error(message: String) -> SandboxError {
    SandboxError::Start { program: ARGV[0].to_owned(), message }
}

async fn start(sandbox: &GuestSandbox, spec: &SessionSpec) -> Result<LocalSession, SandboxError> {
    let (ends, private) = match spec.terminal {
        Terminal::Pipes => (Ends::pipes()?, private_terminal(sandbox).await?),
        Terminal::Pty { rows, columns } => {
            let (ours, theirs) = make_terminal(sandbox, rows, columns).await?.map_err(start_error)?;
            (Ends::terminal(ours, &theirs)?, Some((None, theirs)))
        }
    };
    let (commands, their_commands) = sockets()?;
    let (reports, their_reports) = sockets()?;
    let null: OwnedFd = File::options().read(true).write(true).open("/dev/null")?.into();
    let (private, stderr) = match private {
        Some((ours, theirs)) => (ours, theirs),
        None => (None, null.try_clone()?),
    };
    let theirs = [their_commands, null, stderr, ends.their_input, ends.their_output, their_reports];
    let theirs: Vec<BorrowedFd<'_>> = theirs.iter().map(OwnedFd::as_fd).collect();
    let roots = Roots::of(sandbox);
    let request = GuestRequest::Exec(Box::new(command(sandbox, spec)));
    let shell = sandbox.channel.request(request, &theirs).await?;
    let (exec, progress) = (shell.id, Arc::<Progress>::default());
    sandbox.remember_shell(exec, &progress);
    let speech = Arc::new(Speech::new(commands)?);
    let parts = Parts {
        channel: Arc::clone(&sandbox.channel),
        exec,
        dialog: Dialog::new(Arc::clone(&speech), reports, shell, Arc::clone(&progress))?,
        speech,
        progress,
        input: ends.input,
        output: ends.output,
        has_terminal: matches!(spec.terminal, Terminal::Pty { .. }),
        private,
        roots,
    };
    Ok(LocalSession::new(parts, spec.output_limit))
}

fn command(sandbox: &GuestSandbox, spec: &SessionSpec) -> Command {
    let controls_terminal = matches!(spec.terminal, Terminal::Pty { .. });
    let mut env = sandbox.config.env.clone();
    env.extend(spec.env.clone());
    if controls_terminal {
        env.entry(TERM.0.to_owned()).or_insert_with(|| TERM.1.to_owned());
    }
    let cwd = spec.cwd.as_ref().map_or(sandbox.workdir().to_path_buf(), |cwd| sandbox.workdir().join(cwd));
    Command {
        argv: ARGV.map(str::to_owned).into(),
        env,
        cwd: cwd.to_string_lossy().into_owned(),
        session: Some(ShellStreams { numbers: vec![STDIN, OUTPUT, REPORTS], controls_terminal }),
    }
}

/// The standard streams of commands.
struct Ends {
    input: Arc<AsyncFd<OwnedFd>>,
    output: Arc<AsyncFd<OwnedFd>>,
    their_input: OwnedFd,
    their_output: OwnedFd,
}

impl Ends {
    fn pipes() -> io::Result<Self> {
        let (their_input, input) = pipe2(OFlag::O_CLOEXEC)?;
        let (output, their_output) = pipe2(OFlag::O_CLOEXEC)?;
        // Or `/dev/stdin` and `/dev/stdout` could not be opened inside.
        for end in [&their_input, &their_output] {
            fchmod(end, Mode::from_bits_truncate(0o666))?;
        }
        Ok(Self { input: watch(input)?, output: watch(output)?, their_input, their_output })
    }

    fn terminal(ours: OwnedFd, theirs: &OwnedFd) -> io::Result<Self> {
        let ours = watch(ours)?;
        let (their_input, their_output) = (theirs.try_clone()?, theirs.try_clone()?);
        Ok(Self { input: Arc::clone(&ours), output: ours, their_input, their_output })
    }
}

fn watch(ours: OwnedFd) -> io::Result<Arc<AsyncFd<OwnedFd>>> {
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    sys::watch(ours).map(Arc::new)
}

fn sockets() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs.into()))
}

/// Both ends of a terminal: ours, theirs.
type TerminalEnds = (OwnedFd, OwnedFd);

/// Makes a terminal inside; says why where the sandbox has none.
async fn make_terminal(
    sandbox: &GuestSandbox,
    rows: u16,
    columns: u16,
) -> Result<Result<TerminalEnds, String>, SandboxError> {
    let (reply, ends) = sandbox.channel.call(GuestRequest::OpenTerminal { rows, columns }, &[]).await?;
    Ok(match (reply, <[OwnedFd; 2]>::try_from(ends)) {
        (GuestReply::Terminal, Ok([ours, theirs])) => Ok((ours, theirs)),
        (GuestReply::NotStarted { message }, _) => Err(message),
        _ => Err("the process that opens terminals was killed".to_owned()),
    })
}

/// A terminal that nothing but the shell has, and that nothing is written to. Without one an interactive bash
/// complains, in the output of commands, whenever a command dies by a signal; it goes without if need be.
async fn private_terminal(
    sandbox: &GuestSandbox,
) -> Result<Option<(Option<OwnedFd>, OwnedFd)>, SandboxError> {
    let made = make_terminal(sandbox, 0, 0).await?;
    Ok(made.ok().map(|(ours, theirs)| (Some(ours), theirs)))
}
