//! Ways to somebody else.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use swegym_sandbox::{Level, Network, probe};

use super::attempt::{Attempt, Code, python};
use super::lab::Lab;
use crate::support::config;

const NOWHERE: &[&str] = &["ENETUNREACH"];
const EPERM: &[&str] = &["EPERM"];

const OUTWARDS: &[Attempt] = &[
    python("connect by IPv4", "print(tried(socket.socket().connect, ('192.0.2.1', 80)))", NOWHERE),
    python("connect by IPv6", "print(tried(socket.socket(socket.AF_INET6).connect, ('2001:db8::1', 80)))", &["ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"]),
    python("send by UDP", "print(tried(socket.socket(type=socket.SOCK_DGRAM).sendto, b'x', ('192.0.2.1', 53)))", NOWHERE),
    python("broadcast", "s = socket.socket(type=socket.SOCK_DGRAM); s.setsockopt(1, 6, 1); print(tried(s.sendto, b'x', ('255.255.255.255', 67)))", NOWHERE),
    python("ask the cloud's metadata service", "print(tried(socket.socket().connect, ('169.254.169.254', 80)))", NOWHERE),
    python("resolve a name", "
try:
    print('DONE', socket.getaddrinfo('example.com', 80))
except socket.gaierror as error:
    print('not resolved:', error)", &["not resolved"]),
    python("a raw socket", "print(tried(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1))", EPERM),
    python("a packet socket", "print(tried(socket.socket, 17, socket.SOCK_RAW, 0))", EPERM),
    python("a vsock to the hypervisor", "print(tried(socket.socket, 40, socket.SOCK_STREAM, 0))", EPERM),
    python(
        "every other family",
        "print({tried(socket.socket, f, t, 0) for f in range(3, 50) if f not in (10, 16) for t in (1, 2, 3, 5)})",
        &["{'EPERM'}"],
    ),
    python("a pair of another family", "print({tried(socket.socketpair, f, 1, 0) for f in (30, 31, 38)})", &["{'EPERM'}"]),
    python(
        "netlink other than routes",
        "print({tried(socket.socket, 16, 3, p) for p in range(1, 23)})",
        &["{'EPERM'}"],
    ),
    python(
        "change routes and interfaces by netlink",
        "
s = socket.socket(16, 3, 0); said = set()
for kind, body in ((24, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 254, 4, 0, 1, 0)), (16, struct.pack('BxHiII', 0, 0, 1, 0, 1)), (20, struct.pack('BBBBI', 2, 8, 0, 0, 1))):
    s.send(struct.pack('IHHII', 16 + len(body), kind, 0x405, 1, 0) + body)
    answer = s.recv(4096)
    said.add(errno.errorcode[-struct.unpack_from('i', answer, 16)[0]])
print(said)",
        &["{'EPERM'}"],
    ),
    python("give the interface an address by ioctl", "print(tried(fcntl.ioctl, socket.socket(), 0x8916, struct.pack('16sHH4s8x', b'lo', 2, 0, b'\\x0a\\0\\0\\1')))", EPERM),
];

#[tokio::test]
async fn nobody_is_reached() {
    let mut lab = Lab::new().await;
    lab.try_all(OUTWARDS).await;
    lab.end().await;
}

/// Listens on the host by TCP and by an abstract name, tells both, and says whether anybody came.
#[tokio::test]
async fn services_of_the_host_are_not_reached() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    let port = tcp.local_addr().unwrap().port();
    let (unix, name) = abstract_listener();
    let mut lab = Lab::new().await;
    for (attempt, script) in [
        (
            "a service of the host's loopback",
            format!("print(tried(socket.socket().connect, ('127.0.0.1', {port})))"),
        ),
        (
            "an abstract socket of the host",
            format!("print(tried(socket.socket(socket.AF_UNIX).connect, '\\0{name}'))"),
        ),
    ] {
        let said = lab.run(Code::Python(Box::leak(script.into_boxed_str()))).await;
        let came = [tcp.accept().map(drop), unix.accept().map(drop)];
        let nobody =
            came.iter().all(|came| matches!(came, Err(error) if error.kind() == ErrorKind::WouldBlock));
        let refused = nobody && (said.contains("ECONNREFUSED") || said.contains("python3"));
        lab.judge(attempt, if refused { Ok(said) } else { Err(said) });
    }
    lab.end().await;
}

/// With the host's network only Landlock stands between a sandbox and the host's abstract sockets.
#[tokio::test]
async fn abstract_sockets_are_not_reached_over_the_hosts_network() {
    const NAME: &str = "an abstract socket, with the host's network";
    let state = tempfile::tempdir().unwrap();
    let probes = probe(&config(state.path())).await;
    if let Some(probe) = probes.iter().find(|probe| probe.name == "landlock" && probe.level != Level::Ok) {
        return println!("attempt {NAME}: skipped: landlock: {}", probe.detail);
    }
    let (unix, name) = abstract_listener();
    let mut lab = Lab::with(|spec| spec.network = Network::Host).await;
    let script = format!("print(tried(socket.socket(socket.AF_UNIX).connect, '\\0{name}'))");
    let said = lab.run(Code::Python(Box::leak(script.into_boxed_str()))).await;
    let nobody = unix.accept().is_err();
    lab.judge(NAME, if nobody && said.contains("EPERM") { Ok(said) } else { Err(said) });
    lab.end().await;
}

fn abstract_listener() -> (UnixListener, String) {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("swegym-test-{}-{number}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    (listener, name)
}
