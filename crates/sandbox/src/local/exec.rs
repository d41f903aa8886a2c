//! Running a command, on the owner's side: its streams, its time limit, and what became of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;

use super::capture::Capture;
use super::cgroup::oom_kills;
use super::channel::{Closed, Pending};
use super::protocol::{Command, End, GuestReply, GuestRequest, Usage, memory_file};
use super::sandbox::GuestSandbox;
use crate::{Captured, ExecOutput, ExecRequest, ExecStatus, OutputLimit, SandboxError, SideChannel};

/// How long a sandbox may take to kill a command, before all of it is killed from outside.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes read at once; what a pipe holds by default.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes that wait in a side channel at most: more than the buffers of a Unix socket hold by default.
const CHANNEL_BYTES: usize = 1 << 20;

/// Runs a command. What came through the side channel is empty where none was asked for.
pub(super) async fn exec(
    sandbox: &GuestSandbox,
    request: &ExecRequest,
    channel: Option<&SideChannel>,
) -> Result<(ExecOutput, Captured), SandboxError> {
    let started = Instant::now();
    let killed_before = oom_kills_of(sandbox);
    let mut streams = Streams::open(request, channel)?;
    let pending = start(sandbox, request, &mut streams).await?;
    let mut running = Running { sandbox, pending, ended: false };
    let (reply, timed_out) = tokio::select! {
        reply = running.reply() => (reply, false),
        never = streams.pump() => match never {},
        () = tokio::time::sleep(request.time_limit) => (running.kill(&mut streams).await, true),
    };
    let (stdout, stderr, written) = streams.finish();
    let out_of_memory = oom_kills_of(sandbox) > killed_before;
    let (status, usage) = match reply {
        Ok(GuestReply::NotStarted { message }) => return Err(start_error(request, message)),
        Ok(GuestReply::Ended { usage, .. }) if timed_out => (ExecStatus::TimedOut, usage),
        Ok(GuestReply::Ended { end, usage }) => (status(end, out_of_memory), usage),
        _ if timed_out => (ExecStatus::TimedOut, Usage::default()),
        _ if out_of_memory => (ExecStatus::OutOfMemory, Usage::default()),
        _ => return Err(SandboxError::Gone),
    };
    let Usage { cpu, peak_memory } = usage;
    let output = ExecOutput { status, stdout, stderr, wall: started.elapsed(), cpu, peak_memory };
    Ok((output, written))
}

fn oom_kills_of(sandbox: &GuestSandbox) -> u64 {
    sandbox.usage.oom_counter.as_deref().map_or(0, oom_kills)
}

/// A command that lost a process to the memory limit and went on to succeed has done what it was asked.
fn status(end: End, out_of_memory: bool) -> ExecStatus {
    match end {
        End::Exited(0) => ExecStatus::Exited(0),
        _ if out_of_memory => ExecStatus::OutOfMemory,
        End::Exited(code) => ExecStatus::Exited(code),
        End::Signaled(signal) => ExecStatus::Signaled(signal),
    }
}

fn start_error(request: &ExecRequest, message: String) -> SandboxError {
    SandboxError::Start { program: request.argv.first().cloned().unwrap_or_default(), message }
}

/// Sends the command off, and closes our copies of its ends of the streams.
async fn start(
    sandbox: &GuestSandbox,
    request: &ExecRequest,
    streams: &mut Streams,
) -> Result<Pending<GuestReply>, SandboxError> {
    let mut env: BTreeMap<String, String> = sandbox.config.env.clone();
    env.extend(request.env.clone());
    let cwd = match &request.cwd {
        Some(cwd) => sandbox.workdir().join(cwd),
        None => sandbox.workdir().to_path_buf(),
    };
    let command =
        Command { argv: request.argv.clone(), env, cwd: cwd.to_string_lossy().into_owned(), session: None };
    let theirs = std::mem::take(&mut streams.theirs);
    let descriptors: Vec<BorrowedFd<'_>> = theirs.iter().map(OwnedFd::as_fd).collect();
    Ok(sandbox.channel.request(GuestRequest::Exec(Box::new(command)), &descriptors).await?)
}

/// A command that is killed when nobody waits for it any more.
struct Running<'a> {
    sandbox: &'a GuestSandbox,
    pending: Pending<GuestReply>,
    ended: bool,
}

impl Running<'_> {
    async fn reply(&mut self) -> Result<GuestReply, Closed> {
        let reply = self.pending.reply().await;
        self.ended = true;
        Ok(reply?.0)
    }

    /// Kills all that the command started, or the whole sandbox when that cannot be done from inside.
    async fn kill(&mut self, streams: &mut Streams) -> Result<GuestReply, Closed> {
        let sandbox = self.sandbox;
        let killed = async {
            let exec = self.pending.id;
            let reply = sandbox.channel.call(GuestRequest::Kill { exec }, &[]).await?;
            match reply {
                (GuestReply::Killed { complete: true }, _) => self.reply().await,
                _ => Err(Closed),
            }
        };
        let killed = tokio::select! {
            killed = tokio::time::timeout(KILL_PATIENCE, killed) => killed,
            never = streams.pump() => match never {},
        };
        match killed {
            Ok(Ok(reply)) => Ok(reply),
            _ => {
                self.ended = true;
                let _ = sandbox.end().await;
                Err(Closed)
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.sandbox.channel.notify(GuestRequest::Kill { exec: self.pending.id });
        }
    }
}

/// Nothing: what is never returned.
enum Never {}

/// The streams of a command.
struct Streams {
    stdout: Stream<Receiver>,
    stderr: Option<Stream<Receiver>>,
    channel: Option<Stream<UnixStream>>,
    /// The command's ends: standard input, output and error, and the side channel.
    theirs: Vec<OwnedFd>,
}

impl Streams {
    fn open(request: &ExecRequest, channel: Option<&SideChannel>) -> io::Result<Self> {
        let stdin = match &request.stdin {
            Some(bytes) => memory_file("stdin", bytes)?,
            None => File::open("/dev/null")?,
        };
        let (stdout, their_stdout) = Stream::open(request.output_limit)?;
        let (stderr, their_stderr) = if request.merge_stderr {
            (None, their_stdout.try_clone()?)
        } else {
            let (stderr, theirs) = Stream::open(request.output_limit)?;
            (Some(stderr), theirs)
        };
        let mut theirs = vec![stdin.into(), their_stdout, their_stderr];
        let (channel, their_channel) = channel.map(open_channel).transpose()?.unzip();
        theirs.extend(their_channel);
        Ok(Self { stdout, stderr, channel, theirs })
    }

    /// Reads whatever comes, for ever.
    async fn pump(&mut self) -> Never {
        tokio::select! {
            never = self.stdout.pump() => never,
            never = pump(&mut self.stderr) => never,
            never = pump(&mut self.channel) => never,
        }
    }

    fn finish(self) -> (Captured, Captured, Captured) {
        let stderr = self.stderr.map(Stream::finish).unwrap_or_default();
        (self.stdout.finish(), stderr, self.channel.map(Stream::finish).unwrap_or_default())
    }
}

/// A socket with the input in it, and the end for the command.
fn open_channel(channel: &SideChannel) -> io::Result<(Stream<UnixStream>, OwnedFd)> {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    ours.write_all(&channel.input)?;
    ours.shutdown(Shutdown::Write)?;
    let limit = OutputLimit { head: channel.limit, tail: 0 };
    Ok((Stream::new(UnixStream::from_std(ours)?, limit, CHANNEL_BYTES), theirs.into()))
}

async fn pump<S: AsyncRead + AsFd + Unpin>(stream: &mut Option<Stream<S>>) -> Never {
    match stream {
        Some(stream) => stream.pump().await,
        None => std::future::pending().await,
    }
}

/// Our end of a pipe or socket, and what came through it.
struct Stream<S> {
    source: S,
    /// Most that the kernel can hold for us.
    holds: usize,
    capture: Capture,
    chunk: Vec<u8>,
}

impl Stream<Receiver> {
    fn open(limit: OutputLimit) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        // Or `/dev/stdout` could not be opened inside, by whichever user of the host root is there. Nobody but
        // those who have the pipe already can open it.
        fchmod(&theirs, Mode::from_bits_truncate(0o666))?;
        let holds =
            fcntl(&ours, FcntlArg::F_GETPIPE_SZ).map_or(CHUNK_BYTES, |size| size.unsigned_abs() as usize);
        Ok((Self::new(Receiver::from_owned_fd(ours)?, limit, holds), theirs))
    }
}

impl<S: AsyncRead + AsFd + Unpin> Stream<S> {
    fn new(source: S, limit: OutputLimit, holds: usize) -> Self {
        Self { source, holds, capture: Capture::new(limit), chunk: vec![0; CHUNK_BYTES] }
    }

    async fn pump(&mut self) -> Never {
        while let Ok(length @ 1..) = self.source.read(&mut self.chunk).await {
            self.capture.push(&self.chunk[..length]);
        }
        std::future::pending().await
    }

    /// Takes what has arrived by now. Whoever still holds the other end may go on writing, so it stops after as
    /// much as the kernel can hold.
    fn finish(mut self) -> Captured {
        let mut left = self.holds;
        while left > 0
            && let Ok(length @ 1..) = nix::unistd::read(&self.source, &mut self.chunk)
        {
            self.capture.push(&self.chunk[..length]);
            left = left.saturating_sub(length);
        }
        self.capture.finish()
    }
}
