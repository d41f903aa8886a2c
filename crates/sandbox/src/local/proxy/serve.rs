//! Accepting connections, and making those that are allowed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::head::{Host, Refusal, Request, Target};
use super::log::{Log, Traffic};
use super::policy::Policy;
use super::relay::{IDLE, SERVICE_IDLE, relay};

/// Connections of one sandbox at a time; the kernel keeps some more waiting.
const CONNECTIONS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;
/// For the head to arrive, a name to be resolved, an address to answer; each.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long, and how much, is still read of a client that was refused.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 1 << 20;
/// Addresses of a name that are tried.
const ADDRESSES: usize = 8;
/// Pause after the kernel could not accept, for lack of open files most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped, and every connection with it.
pub(super) async fn serve(listener: TcpListener, policy: Arc<Policy>, log: Arc<Log>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        // Those that have ended.
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let (policy, log) = (Arc::clone(&policy), Arc::clone(&log));
                connections.spawn(async move {
                    let _ = handle(client, &policy, &log).await;
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn handle(mut client: TcpStream, policy: &Policy, log: &Log) -> io::Result<()> {
    let (head, rest) = match timeout(PATIENCE, read_head(&mut client)).await {
        Ok(Ok(read)) => read,
        Ok(Err(refusal)) => return refuse(&mut client, refusal.0, refusal.1).await,
        Err(_) => return refuse(&mut client, 408, "the head of the request did not come in time").await,
    };
    if let Some(service) = policy.service().filter(|_| is_for_service(&head)) {
        return serve_from(service, client, [head, rest].concat(), log).await;
    }
    let request = match Request::parse(&head) {
        Ok(request) => request,
        Err((status, reason)) => return refuse(&mut client, status, reason).await,
    };
    let target = match &request {
        Request::Tunnel(target) | Request::Forward { target, .. } => target,
    };
    let allowed = policy.allows(target);
    let found = if allowed { addresses(target, policy).await } else { Err(not_listed(target)) };
    // A name on the list that leads where nobody may go is not allowed either.
    let entry = log.add(target, allowed && !matches!(found, Err((403, _))));
    let remote = match found {
        Ok(addresses) => connect(&addresses).await.map_err(|error| no_connection(target, &error)),
        Err(refusal) => Err(refusal),
    };
    let mut remote = match remote {
        Ok(remote) => remote,
        Err((status, reason)) => return refuse(&mut client, status, &reason).await,
    };
    let (first, up_bytes) = match request {
        Request::Tunnel(_) => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            (rest, u64::MAX)
        }
        Request::Forward { head, body_bytes, .. } => {
            let mut first = head;
            let early = rest.len().min(usize::try_from(body_bytes).unwrap_or(usize::MAX));
            first.extend_from_slice(&rest[..early]);
            (first, body_bytes - early as u64)
        }
    };
    timeout(PATIENCE, remote.write_all(&first)).await??;
    entry.traffic.up.fetch_add(first.len() as u64, Ordering::Relaxed);
    relay(&mut client, &mut remote, up_bytes, &entry.traffic, IDLE).await;
    Ok(())
}

/// A proxy is asked for an address, a server for a path of its own.
fn is_for_service(head: &[u8]) -> bool {
    head.split(|byte| *byte == b' ').nth(1).is_some_and(|target| target.starts_with(b"/"))
}

/// Passes a connection on as it is: the service is the only one that reads it.
async fn serve_from(service: SocketAddr, mut client: TcpStream, first: Vec<u8>, log: &Log) -> io::Result<()> {
    let target = Target { host: Host::Address(service.ip()), port: service.port() };
    log.add_service();
    let mut remote = match connect(&[service]).await {
        Ok(remote) => remote,
        Err(error) => {
            let (status, reason) = no_connection(&target, &error);
            return refuse(&mut client, status, &reason).await;
        }
    };
    timeout(PATIENCE, remote.write_all(&first)).await??;
    relay(&mut client, &mut remote, u64::MAX, &Traffic::default(), SERVICE_IDLE).await;
    Ok(())
}

/// Reads a head, and what came after it.
async fn read_head(client: &mut TcpStream) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::with_capacity(1 << 10);
    loop {
        // The end may have come in two parts.
        let seen = bytes.len().saturating_sub(END.len() - 1);
        let length = client.read_buf(&mut bytes).await.map_err(|_| (400, "the connection broke"))?;
        if let Some(at) = bytes[seen..].windows(END.len()).position(|window| window == END) {
            let end = seen + at + END.len();
            if end <= HEAD_BYTES {
                let rest = bytes.split_off(end);
                return Ok((bytes, rest));
            }
        }
        if bytes.len() > HEAD_BYTES {
            return Err((431, "the head of the request is too long"));
        }
        if length == 0 {
            return Err((400, "the head of the request has no end"));
        }
    }
}

type Failure = (u16, String);

fn not_listed(Target { host, port }: &Target) -> Failure {
    (403, format!("`{host}:{port}` is not on the list of hosts that this sandbox may reach"))
}

fn no_connection(Target { host, port }: &Target, error: &io::Error) -> Failure {
    (502, format!("`{host}:{port}` cannot be reached: {}", error.kind()))
}

/// Where a target may be connected to.
async fn addresses(target: &Target, policy: &Policy) -> Result<Vec<SocketAddr>, Failure> {
    let Target { host, port } = target;
    let all: Vec<SocketAddr> = match host {
        Host::Address(address) => vec![(*address, *port).into()],
        Host::Name(name) => match timeout(PATIENCE, lookup_host((name.as_str(), *port))).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(_)) | Err(_) => return Err((502, format!("the name `{name}` cannot be resolved"))),
        },
    };
    let allowed: Vec<SocketAddr> =
        all.into_iter().filter(|address| policy.allows_address(*address)).take(ADDRESSES).collect();
    if allowed.is_empty() {
        return Err((403, format!("`{host}` has no public address, and its address is not on the list")));
    }
    Ok(allowed)
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(remote)) => return Ok(remote),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Says why not, and closes.
async fn refuse(client: &mut TcpStream, status: u16, reason: &str) -> io::Result<()> {
    let body = format!("swegym: {reason}\n");
    // What a browser shows of it is up to the client; some show this line alone.
    let answer = format!(
        "HTTP/1.1 {status} swegym: {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    timeout(PATIENCE, client.write_all(answer.as_bytes())).await??;
    client.shutdown().await?;
    // Closed with something unread, the kernel would take the answer back.
    let mut rest = client.take(LINGER_BYTES);
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Allowlist;

    async fn ask(client: &mut TcpStream) -> String {
        client.write_all(b"nothing\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_sandbox_has_so_many_connections_at_a_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let policy = Policy::new(&Allowlist::default()).unwrap();
        let server = tokio::spawn(serve(listener, Arc::new(policy), Arc::default()));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut waiting = TcpStream::connect(address).await.unwrap();
        assert!(timeout(Duration::from_millis(200), ask(&mut waiting)).await.is_err());
        silent.pop();
        let mut answer = [0; 12];
        waiting.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400");
        server.abort();
    }
}
