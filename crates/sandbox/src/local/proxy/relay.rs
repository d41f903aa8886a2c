//! Passing bytes on.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::log::Traffic;

/// Without a byte in either direction a connection is closed after this.
pub(super) const IDLE: Duration = Duration::from_secs(120);
/// The same with a service, which is the owner's own and may think for long before it answers.
pub(super) const SERVICE_IDLE: Duration = Duration::from_secs(3600);
const CHUNK_BYTES: usize = 32 << 10;

/// Passes bytes between both until both directions have ended, one fails, or nothing happens for `idle`. No more than
/// `up_bytes` go up.
pub(super) async fn relay(
    client: &mut TcpStream,
    remote: &mut TcpStream,
    up_bytes: u64,
    traffic: &Traffic,
    idle: Duration,
) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_remote, mut to_remote) = remote.split();
    let clock = Clock { begin: Instant::now(), idle, last: AtomicU64::new(0) };
    let up = async {
        let mut limited = (&mut from_client).take(up_bytes);
        pass(&mut limited, &mut to_remote, &traffic.up, &clock).await?;
        // A client that has sent all it may is not gone: some servers drop the answer to one that is.
        if limited.limit() > 0 { to_remote.shutdown().await } else { Ok(()) }
    };
    let down = async {
        pass(&mut from_remote, &mut to_client, &traffic.down, &clock).await?;
        to_client.shutdown().await
    };
    let _ = tokio::try_join!(up, down);
}

/// When a byte was passed on last, in either direction.
struct Clock {
    begin: Instant,
    idle: Duration,
    /// Milliseconds since.
    last: AtomicU64,
}

impl Clock {
    fn touch(&self) {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn left(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        (last + self.idle).saturating_sub(self.begin.elapsed())
    }
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &AtomicU64,
    clock: &Clock,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match timeout(clock.left(), from.read(&mut chunk)).await {
            Ok(length) => length?,
            // The other direction may have been busy meanwhile.
            Err(_) if !clock.left().is_zero() => continue,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if length == 0 {
            return Ok(());
        }
        timeout(clock.idle, to.write_all(&chunk[..length])).await??;
        count.fetch_add(length as u64, Ordering::Relaxed);
        clock.touch();
    }
}
