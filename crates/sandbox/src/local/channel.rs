//! The owner's end of a control socket: requests go out, each waits for the reply with its number.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{MsgFlags, Shutdown, shutdown};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::os::fd::AsRawFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::protocol::{Envelope, Received, receive, send, send_at_once};
use super::sys;

/// A reply and the descriptors that came with it.
type Reply<R> = (R, Vec<OwnedFd>);

/// Whoever waits for a reply; nobody can any more once the other side is gone.
type Waiting<R> = Option<HashMap<u64, oneshot::Sender<Reply<R>>>>;

/// A channel to the launcher or into a sandbox, whose replies are `R`.
pub(crate) struct Channel<R> {
    socket: Arc<AsyncFd<OwnedFd>>,
    waiting: Arc<Mutex<Waiting<R>>>,
    /// Number of the next request; 0 belongs to the first reply, which nobody asked for.
    next: AtomicU64,
    reader: JoinHandle<()>,
}

/// The other side is gone.
#[derive(Debug)]
pub(crate) struct Closed;

/// A request on its way.
pub(crate) struct Pending<R> {
    pub(crate) id: u64,
    reply: oneshot::Receiver<Reply<R>>,
    waiting: Arc<Mutex<Waiting<R>>>,
}

impl<R> Drop for Pending<R> {
    fn drop(&mut self) {
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.remove(&self.id);
        }
    }
}

impl<R> Pending<R> {
    /// Waits for the reply. May be dropped and called again.
    pub(crate) async fn reply(&mut self) -> Result<Reply<R>, Closed> {
        (&mut self.reply).await.map_err(|_| Closed)
    }
}

impl<R: DeserializeOwned + Send + 'static> Channel<R> {
    /// Must be called in a tokio runtime. The other value waits for the reply with number 0.
    pub(crate) fn open(socket: OwnedFd) -> io::Result<(Self, Pending<R>)> {
        set_nonblocking(&socket)?;
        let socket = Arc::new(sys::watch(socket)?);
        // The first reply may lie in the socket already: it must be expected before anyone reads.
        let (sender, reply) = oneshot::channel();
        let waiting = Arc::new(Mutex::new(Some(HashMap::from([(0, sender)]))));
        let first = Pending { id: 0, reply, waiting: Arc::clone(&waiting) };
        let reader = tokio::spawn(read_replies(Arc::clone(&socket), Arc::clone(&waiting)));
        Ok((Self { socket, waiting, next: AtomicU64::new(1), reader }, first))
    }

    /// Sends a request and waits for its reply.
    pub(crate) async fn call<Q: Serialize>(
        &self,
        body: Q,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply<R>, Closed> {
        self.request(body, descriptors).await?.reply().await
    }

    /// Sends a request.
    pub(crate) async fn request<Q: Serialize>(
        &self,
        body: Q,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Pending<R>, Closed> {
        let pending = self.expect_reply()?;
        let envelope = Envelope { id: pending.id, body };
        let sent = self.socket.async_io(Interest::WRITABLE, |socket| {
            send(socket.as_fd(), &envelope, descriptors, MsgFlags::MSG_DONTWAIT)
        });
        sent.await.map_err(|_| Closed)?;
        Ok(pending)
    }

    fn expect_reply(&self) -> Result<Pending<R>, Closed> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        lock(&self.waiting).as_mut().ok_or(Closed)?.insert(id, sender);
        Ok(Pending { id, reply, waiting: Arc::clone(&self.waiting) })
    }
}

impl<R> Channel<R> {
    /// Sends a request whose reply nobody waits for, from where nothing can wait.
    pub(crate) fn notify<Q: Serialize>(&self, body: Q) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        send_at_once(self.socket.get_ref(), &Envelope { id, body });
    }
}

impl<R> Drop for Channel<R> {
    fn drop(&mut self) {
        self.reader.abort();
        let _ = shutdown(self.socket.get_ref().as_raw_fd(), Shutdown::Both);
    }
}

/// Hands out replies until the other side is gone, then tells everyone who still waits.
async fn read_replies<R: DeserializeOwned>(socket: Arc<AsyncFd<OwnedFd>>, waiting: Arc<Mutex<Waiting<R>>>) {
    loop {
        let received: io::Result<Option<Received<R>>> = socket
            .async_io(Interest::READABLE, |socket| receive(socket.as_fd(), MsgFlags::MSG_DONTWAIT))
            .await;
        match received {
            Ok(Some((Envelope { id, body }, descriptors))) => {
                let receiver = lock(&waiting).as_mut().and_then(|waiting| waiting.remove(&id));
                if let Some(receiver) = receiver {
                    let _ = receiver.send((body, descriptors));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Ok(None) | Err(_) => break,
        }
    }
    lock(&waiting).take();
}

fn set_nonblocking(socket: &OwnedFd) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::socket::MsgFlags;

    use super::*;
    use crate::local::protocol::socket_pair;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_first_reply_that_came_early_is_not_lost() {
        for round in 0..500 {
            let (ours, theirs) = socket_pair().unwrap();
            send(theirs.as_fd(), &Envelope { id: 0, body: round }, &[], MsgFlags::empty()).unwrap();
            let (_channel, mut first) = Channel::<u32>::open(ours).unwrap();
            let reply = tokio::time::timeout(Duration::from_secs(20), first.reply()).await;
            assert_eq!(reply.expect("the reply arrives").unwrap().0, round);
        }
    }
}
