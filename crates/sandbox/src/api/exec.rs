//! Commands that run to their end.

use std::collections::BTreeMap;
use std::time::Duration;

/// A command to run.
#[derive(Debug, Clone)]
pub struct ExecRequest {
    /// Program (found through `PATH` of the command's environment) and arguments.
    pub argv: Vec<String>,
    /// Working directory; the image's when `None`.
    pub cwd: Option<String>,
    /// Added to the image's environment, over it.
    pub env: BTreeMap<String, String>,
    /// Standard input; `/dev/null` when `None`.
    pub stdin: Option<Vec<u8>>,
    /// Wall time after which its process tree is killed.
    pub time_limit: Duration,
    /// How much of its output is kept.
    pub output_limit: OutputLimit,
    /// Whether standard error goes into the same stream as standard output, in order.
    pub merge_stderr: bool,
}

impl ExecRequest {
    /// A program with arguments; 60 seconds, 1 MiB of output kept, streams apart.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: None,
            env: BTreeMap::new(),
            stdin: None,
            time_limit: Duration::from_secs(60),
            output_limit: OutputLimit { head: 512 << 10, tail: 512 << 10 },
            merge_stderr: false,
        }
    }

    /// A script for `bash -c`.
    pub fn shell(script: impl Into<String>) -> Self {
        Self::new(["bash".to_owned(), "-c".to_owned(), script.into()])
    }

    /// With another working directory.
    #[must_use]
    pub fn in_folder(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// With another time limit.
    #[must_use]
    pub fn within(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// With this standard input.
    #[must_use]
    pub fn with_stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// With standard error in the same stream as standard output.
    #[must_use]
    pub fn merged(mut self) -> Self {
        self.merge_stderr = true;
        self
    }

    /// Keeping this much of each output stream.
    #[must_use]
    pub fn keeping(mut self, output_limit: OutputLimit) -> Self {
        self.output_limit = output_limit;
        self
    }
}

/// A socket that a command has besides its three streams, as descriptor [`SideChannel::DESCRIPTOR`]. Its other end is
/// with the owner: no process that did not inherit it can open it, by whatever name.
#[derive(Debug, Clone, Default)]
pub struct SideChannel {
    /// What lies in it when the command starts, to be read once; the end of input comes after it. 64 KiB at most.
    pub input: Vec<u8>,
    /// Bytes kept of what is written into it; what comes after them is counted and thrown away.
    pub limit: usize,
}

impl SideChannel {
    /// Number of the descriptor.
    pub const DESCRIPTOR: i32 = 3;
}

/// How many bytes of an output stream are kept: the first `head` and the last `tail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes kept from the beginning.
    pub head: usize,
    /// Bytes kept from the end.
    pub tail: usize,
}

/// What a command printed on one stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// The beginning.
    pub head: Vec<u8>,
    /// The end, where `head` did not hold everything.
    pub tail: Vec<u8>,
    /// Bytes between the two that were thrown away.
    pub dropped: u64,
}

impl Captured {
    /// What was kept, with a line in between that says how much is missing, if anything is.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        if self.dropped > 0 {
            bytes.extend_from_slice(format!("\n[... {} bytes left out ...]\n", self.dropped).as_bytes());
        }
        bytes.extend_from_slice(&self.tail);
        bytes
    }

    /// [`Self::to_bytes`] as text, with replacement characters where it is not UTF-8.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.to_bytes()).into_owned()
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecStatus {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// It ran into its wall-time limit and was killed.
    TimedOut,
    /// The memory limit of the sandbox killed it.
    OutOfMemory,
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct ExecOutput {
    /// How it ended.
    pub status: ExecStatus,
    /// Standard output (and standard error, when merged).
    pub stdout: Captured,
    /// Standard error; empty when merged.
    pub stderr: Captured,
    /// Wall time.
    pub wall: Duration,
    /// User and system time of the command and the children it waited for.
    pub cpu: Duration,
    /// Resident memory of the largest of these processes, in bytes; 0 where it is not known.
    pub peak_memory: u64,
}

impl ExecOutput {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.status == ExecStatus::Exited(0)
    }

    /// Exit code, where it exited by itself.
    pub fn exit_code(&self) -> Option<i32> {
        match self.status {
            ExecStatus::Exited(code) => Some(code),
            _ => None,
        }
    }
}
