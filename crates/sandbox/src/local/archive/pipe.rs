//! A pipe whose other end is not waited for for ever: whoever holds it may have been stopped.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// One end of a pipe.
pub(crate) struct PatientPipe {
    pipe: OwnedFd,
    give_up: Instant,
}

impl PatientPipe {
    /// Reading and writing fail from `give_up` on.
    pub(crate) fn new(pipe: OwnedFd, give_up: Instant) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { pipe, give_up })
    }

    fn when(&self, ready: PollFlags, mut action: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
        loop {
            match action() {
                Err(Errno::EAGAIN | Errno::EINTR) => self.wait(ready)?,
                done => return Ok(done?),
            }
        }
    }

    fn wait(&self, ready: PollFlags) -> io::Result<()> {
        let left = self.give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the sandbox took too long"));
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.pipe.as_fd(), ready)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Read for PatientPipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.when(PollFlags::POLLIN, || nix::unistd::read(&self.pipe, into))
    }
}

impl Write for PatientPipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when(PollFlags::POLLOUT, || nix::unistd::write(&self.pipe, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
