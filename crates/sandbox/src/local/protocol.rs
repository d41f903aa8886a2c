//! What owner, launcher and sandbox say to each other.
//!
//! All of them use sequenced-packet Unix sockets: a packet is one JSON message and the file descriptors that
//! go with it. A message that is too long for a packet travels in a memory file, as the last descriptor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recv, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cgroup::{Unenforced, UsageFiles};
use super::listing::{WireEntry, WireStat};
use super::sys;
use super::visit::{Inherited, Visit};

/// Longest message inside a packet; well below the smallest send buffer.
const PACKET_BYTES: usize = 32 << 10;
/// Longest message at all: what a command line can hold, escaped.
const MESSAGE_BYTES: u64 = 64 << 20;
/// A packet that says: the message is in the last descriptor.
const IN_MEMORY_FILE: &[u8] = b"M";
/// Most descriptors with a packet: what a visit or a command and its supervisor need, and a memory file.
const DESCRIPTORS: usize = 9;

/// A message, and which request it belongs to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope<T> {
    pub(crate) id: u64,
    pub(crate) body: T,
}

/// From the owner to its launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LauncherRequest {
    /// The first message.
    Begin { owner: String, scratch: PathBuf },
    /// Start a sandbox; its end of the control socket comes along.
    Create(Box<CreateSpec>),
    /// Kill a sandbox and answer when nothing is left of it.
    Destroy { sandbox: u64 },
    /// Send a visitor into a sandbox; the socket it answers on and what it needs come along.
    Visit { sandbox: u64, visit: Visit },
}

/// From the launcher to its owner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LauncherReply {
    Begun {
        unenforced: Vec<Unenforced>,
        /// A sentence, where system calls are not filtered.
        no_filter: Option<String>,
    },
    /// The sandbox is being set up; the rest comes through its control socket.
    Created {
        usage: UsageFiles,
    },
    Failed(SetupError),
    Destroyed,
    /// The visitor is on its way.
    Visiting,
}

/// What a sandbox is made from, in the terms of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CreateSpec {
    pub(crate) sandbox: u64,
    /// Lowest first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) binds: Vec<PathBuf>,
    pub(crate) masks: Vec<PathBuf>,
    pub(crate) extra_binds: Vec<(PathBuf, PathBuf, bool)>,
    /// Upper and work folder on the host; memory when `None`.
    pub(crate) upper: Option<(PathBuf, PathBuf)>,
    /// The folder of the host below which the launcher makes one to write into, then that one.
    pub(crate) disk: Option<PathBuf>,
    pub(crate) inherited: Inherited,
    pub(crate) workdir: PathBuf,
    pub(crate) host_network: bool,
    pub(crate) memory_bytes: u64,
    pub(crate) processes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) cpu_millis: Option<u32>,
    pub(crate) io_bytes_per_second: Option<u64>,
}

/// The step of a set-up that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SetupError {
    pub(crate) step: String,
    pub(crate) message: String,
}

/// Names the step in which something failed.
pub(crate) trait Step<T> {
    fn step(self, step: impl Into<String>) -> Result<T, SetupError>;
}

impl<T, E: std::fmt::Display> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, SetupError> {
        self.map_err(|error| SetupError { step: step.into(), message: error.to_string() })
    }
}

/// From the owner into a sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum GuestRequest {
    /// Run a command on the three descriptors that come along; a fourth is its side channel.
    Exec(Box<Command>),
    /// Kill what the exec with this id started.
    Kill {
        exec: u64,
    },
    /// Kill what a shell session has started since a command began, and interrupt the shell if it still runs.
    KillNewer {
        command: ShellCommand,
        runs: bool,
    },
    /// Interrupt the command of a shell session once it has begun; on a terminal, only wait until it has.
    Interrupt {
        command: ShellCommand,
        has_terminal: bool,
    },
    /// Make a terminal; both of its ends come back.
    OpenTerminal {
        rows: u16,
        columns: u16,
    },
    /// Open a regular file.
    Read {
        path: String,
    },
    /// Fill a file with the content of the descriptor that comes along.
    Write {
        path: String,
    },
    Stat {
        path: String,
    },
    List {
        path: String,
    },
    /// Write a tree, within limits, into the pipe that comes along.
    Pack {
        path: String,
        bytes: u64,
        entries: u64,
    },
    /// Make the tree that comes through the pipe.
    Unpack {
        path: String,
    },
    /// Listen where the sandbox's programs look for a proxy; the socket comes back.
    Listen,
    /// Hand out the mount and the user namespace.
    Namespaces,
    /// Stop every process but init, and start none, until told to thaw.
    Freeze {
        /// Execs that are shells which wait for a command.
        shells: Vec<u64>,
    },
    Thaw,
}

/// A command, ready to be started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: String,
    /// Of a shell session.
    pub(crate) session: Option<ShellStreams>,
}

/// What a shell has besides three streams.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShellStreams {
    /// Numbers that the descriptors after the first three get.
    pub(crate) numbers: Vec<RawFd>,
    /// Whether standard error is a terminal that becomes the one of its session.
    pub(crate) controls_terminal: bool,
}

/// A command of a shell session.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ShellCommand {
    /// The exec that started the shell.
    pub(crate) exec: u64,
    /// The shell, which is spared.
    pub(crate) shell: i32,
    /// What the processes of the command bear, see `crate::shell`; later ones bear less.
    pub(crate) tag: u64,
}

/// From a sandbox to its owner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum GuestReply {
    /// The sandbox is set up (id 0).
    Ready,
    /// It is not, and is gone (id 0).
    Failed(SetupError),
    Ended {
        end: End,
        usage: Usage,
    },
    NotStarted {
        message: String,
    },
    /// Nothing of the exec runs any more, or something still does.
    Killed {
        complete: bool,
    },
    Interrupted,
    /// Both ends of the terminal come along: the owner's, the shell's.
    Terminal,
    /// The file is open: its descriptor comes along.
    Opened,
    Written,
    Stat(WireStat),
    Listed(Vec<WireEntry>),
    Packed,
    Unpacked,
    /// The socket comes along.
    Listening,
    /// The mount and the user namespace come along.
    Namespaces,
    /// Whether everything is stopped; and whether there was nothing to stop but idle shells. The mount and the
    /// user namespace come along.
    Frozen {
        complete: bool,
        quiet: bool,
    },
    Thawed,
    FileError {
        message: String,
        errno: Option<i32>,
    },
}

/// What a command and the children it waited for have used.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Resident bytes of the largest process.
    pub(crate) peak_memory: u64,
}

/// How the main process of a command ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum End {
    Exited(i32),
    Signaled(i32),
}

/// Sends a message. With `MSG_DONTWAIT` in `flags` it fails with `WouldBlock` rather than wait.
pub(crate) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &Envelope<T>,
    descriptors: &[BorrowedFd<'_>],
    flags: MsgFlags,
) -> io::Result<()> {
    let text = serde_json::to_vec(message).map_err(io::Error::other)?;
    let mut raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    if text.len() <= PACKET_BYTES {
        return send_packet(socket, &text, &raw, flags);
    }
    let file = memory_file("message", &text)?;
    raw.push(file.as_raw_fd());
    send_packet(socket, IN_MEMORY_FILE, &raw, flags)
}

fn send_packet(socket: BorrowedFd<'_>, bytes: &[u8], raw: &[RawFd], flags: MsgFlags) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let flags = flags | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?;
    Ok(())
}

/// A message and the descriptors that came with it.
pub(crate) type Received<T> = (Envelope<T>, Vec<OwnedFd>);

/// Receives a message; `None` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
    flags: MsgFlags,
) -> io::Result<Option<Received<T>>> {
    // Room for this packet alone: of all memory that a process or what it has forked writes to, each gets a copy.
    let length = recv(socket.as_raw_fd(), &mut [], flags | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC)?;
    if length == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0_u8; length.min(PACKET_BYTES)];
    let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let mut iov = [IoSliceMut::new(&mut bytes)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let packet = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut iov, Some(&mut control), flags)?;
    let mut descriptors = Vec::new();
    for message in packet.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            descriptors.extend(raw.into_iter().map(sys::own));
        }
    }
    let length = packet.bytes;
    bytes.truncate(length);
    if bytes == IN_MEMORY_FILE {
        let file = descriptors.pop().ok_or(io::ErrorKind::InvalidData)?;
        bytes = read_whole(file)?;
    }
    let envelope = serde_json::from_slice(&bytes)?;
    Ok(Some((envelope, descriptors)))
}

/// Reads a memory file from its beginning.
fn read_whole(file: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = File::from(file);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(MESSAGE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file in memory with this content, at its beginning.
pub(crate) fn memory_file(name: &str, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// The two ends of a channel.
pub(crate) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok(pair)
}

/// Sends without waiting, for callers that cannot: what is lost is cleaned up by other means.
pub(crate) fn send_at_once<T: Serialize>(socket: impl AsFd, message: &Envelope<T>) {
    let _ = send(socket.as_fd(), message, &[], MsgFlags::MSG_DONTWAIT);
}
