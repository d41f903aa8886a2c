//! What the commands of a session print.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use tokio::io::unix::AsyncFd;

use super::dialog::Progress;
use crate::local::capture::Capture;
use crate::{Captured, OutputLimit};

/// Bytes read at once; what a pipe holds by default, and more than a terminal does.
const CHUNK_BYTES: usize = 64 << 10;
/// Rest after a full chunk while no command runs: a flood from the background shall not cost a processor.
const REST: Duration = Duration::from_millis(5);

/// Our end of a pipe or terminal, and what came through it since the last answer.
pub(super) struct Output {
    source: Arc<AsyncFd<OwnedFd>>,
    kept: Mutex<Kept>,
    limit: OutputLimit,
}

struct Kept {
    capture: Capture,
    chunk: Vec<u8>,
}

impl Output {
    pub(super) fn new(source: Arc<AsyncFd<OwnedFd>>, limit: OutputLimit) -> Self {
        let kept = Kept { capture: Capture::new(limit), chunk: vec![0; CHUNK_BYTES] };
        Self { source, kept: Mutex::new(kept), limit }
    }

    /// Reads whatever comes, until nothing can come any more.
    pub(super) async fn pump(&self, progress: &Progress) {
        loop {
            let Ok(mut ready) = self.source.readable().await else { return };
            match ready.try_io(|_| self.read()) {
                // Nothing is there, after all.
                Err(_) => {}
                Ok(Ok(length)) if length == CHUNK_BYTES && progress.running().is_none() => {
                    tokio::time::sleep(REST).await;
                }
                Ok(Ok(1..)) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal that nobody has open any more fails.
                Ok(Ok(0) | Err(_)) => return,
            }
        }
    }

    /// All that was written before this call and since the last one. Who writes meanwhile may go on, so it
    /// stops after as much as the pipe can hold.
    pub(super) fn take(&self) -> Captured {
        let held = fcntl(self.source.get_ref(), FcntlArg::F_GETPIPE_SZ)
            .map_or(CHUNK_BYTES, |size| size.unsigned_abs() as usize);
        let mut left = held;
        while left > 0
            && let Ok(length @ 1..) = self.read()
        {
            left = left.saturating_sub(length);
        }
        std::mem::replace(&mut self.lock().capture, Capture::new(self.limit)).finish()
    }

    /// Reads a chunk of what is there now. On a terminal the kernel first delivers what is on its way.
    fn read(&self) -> io::Result<usize> {
        let mut kept = self.lock();
        let Kept { capture, chunk } = &mut *kept;
        let length = nix::unistd::read(self.source.get_ref().as_fd(), chunk)?;
        capture.push(&chunk[..length]);
        Ok(length)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
