//! Reaching listed hosts, and no others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use swegym_core::{Connection, ConnectionCounts};
use swegym_sandbox::{Allowlist, ExecRequest, Network, Sandbox, SandboxError};

use crate::conformance::{Subject, sh, text};
use crate::subject;

/// A server of the host that answers each connection with its address, and keeps what it was sent.
struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&received);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let received = Arc::clone(&theirs);
                std::thread::spawn(move || answer(client, address, &received));
            }
        });
        Self { address, received }
    }

    fn received(&self) -> String {
        String::from_utf8(self.received.lock().unwrap().clone()).unwrap()
    }
}

fn answer(mut client: TcpStream, address: SocketAddr, received: &Mutex<Vec<u8>>) {
    let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match client.read(&mut chunk) {
            Ok(length @ 1..) => request.extend_from_slice(&chunk[..length]),
            _ => return,
        }
    }
    received.lock().unwrap().extend_from_slice(&request);
    let body = format!("this is {address}\n");
    let length = body.len();
    let _ = write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    // Whatever else is sent is kept too.
    while let Ok(length @ 1..) = client.read(&mut chunk) {
        received.lock().unwrap().extend_from_slice(&chunk[..length]);
    }
}

async fn sandbox(subject: &Subject, hosts: &[String]) -> Box<dyn Sandbox> {
    let hosts = hosts.to_vec();
    subject.with(|spec| spec.network = Network::Allowlist(Allowlist { hosts, service: None })).await
}

/// Runs a script whose programs also use the proxy for addresses that they would take for their own machine's.
async fn ask(sandbox: &dyn Sandbox, script: &str) -> String {
    sh(sandbox, &format!("unset no_proxy NO_PROXY; {script}")).await.stdout.to_text()
}

fn has_curl() -> bool {
    let has = std::path::Path::new("/usr/bin/curl").exists();
    if !has {
        println!("skipped: there is no `curl` here");
    }
    has
}

/// Host, port, and whether it was allowed.
fn asked_for(sandbox: &dyn Sandbox) -> Vec<(String, u16, bool)> {
    let connections = sandbox.connections().unwrap().latest.into_iter();
    connections.map(|Connection { host, port, allowed, .. }| (host, port, allowed)).collect()
}

#[tokio::test]
async fn listed_hosts_are_reached() {
    let (subject, _state) = subject().await;
    let server = Server::start();
    let (address, port) = (server.address, server.address.port());
    let sandbox = sandbox(&subject, &[address.to_string()]).await;
    let expected = format!("this is {address}\n");
    let python = format!(
        "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://{address}/path\").read().decode(), end=\"\")'"
    );
    let mut asked = 0;
    for (name, script) in [
        ("/usr/bin/python3", python),
        ("/usr/bin/curl", format!("curl -sS http://{address}/path")),
        ("/usr/bin/curl", format!("curl -sS --proxytunnel http://{address}/path")),
    ] {
        if !std::path::Path::new(name).exists() {
            println!("skipped: there is no `{name}` here");
            continue;
        }
        assert_eq!(ask(&*sandbox, &script).await, expected, "{script}");
        asked += 1;
    }
    let connections = sandbox.connections().unwrap().latest;
    assert_eq!(asked_for(&*sandbox), vec![("127.0.0.1".to_owned(), port, true); asked]);
    assert!(connections.iter().all(|one| one.bytes_up > 10 && one.bytes_down > expected.len() as u64));
    assert!(server.received().starts_with("GET /path HTTP/1.1\r\n"));
}

#[tokio::test]
async fn other_hosts_are_not() {
    let (subject, _state) = subject().await;
    let server = Server::start();
    let (port, other) = (server.address.port(), Server::start().address);
    let sandbox = sandbox(&subject, &["*.files.example".to_owned(), format!("localhost:{port}")]).await;
    let raw = sh(&*sandbox, &format!("exec 3<> /dev/tcp/192.0.2.1/{port}")).await.stdout.to_text();
    assert!(raw.contains("unreachable"), "{raw}");
    let host = sh(&*sandbox, &format!("exec 3<> /dev/tcp/127.0.0.1/{port}")).await.stdout.to_text();
    assert!(host.contains("refused"), "the loopback inside is another one: {host}");
    if !has_curl() {
        return;
    }
    let refused = ask(&*sandbox, &format!("curl -sS -w '%{{http_code}}\\n' 'http://{other}/?secret'")).await;
    let expected =
        format!("swegym: `{other}` is not on the list of hosts that this sandbox may reach\n403\n");
    assert_eq!(refused, expected);
    let refused = ask(&*sandbox, "curl -sS https://files.example/").await;
    assert!(refused.contains("403"), "{refused}");
    // The list names it, but it leads to an address that is the host's own.
    let rebound = ask(&*sandbox, &format!("curl -sS http://localhost:{port}/")).await;
    assert!(rebound.starts_with("swegym: `localhost` has no public address"), "{rebound}");
    assert_eq!(server.received(), "");
    let expected = [
        (other.ip().to_string(), other.port(), false),
        ("files.example".to_owned(), 443, false),
        ("localhost".to_owned(), port, false),
    ];
    assert_eq!(asked_for(&*sandbox), expected);
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let (subject, _state) = subject().await;
    let server = Server::start();
    let address = server.address;
    let sandbox = sandbox(&subject, &[address.to_string()]).await;
    // Over the proxy's own socket, byte by byte.
    let send = |request: &str| {
        format!("exec 3<> /dev/tcp/${{http_proxy#http://127.0.0.1:}}; {{ {request}; }} >&3; head -n 1 <&3")
            .replace("/dev/tcp/$", "/dev/tcp/127.0.0.1/$")
    };
    for (request, status) in [
        (
            format!("printf 'GET http://{address}/ HTTP/1.1\\r\\nA: '; head -c 20000 /dev/zero | tr '\\0' a"),
            431,
        ),
        (
            format!("printf 'POST http://{address}/ HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n'"),
            411,
        ),
        (format!("printf 'GET http://{address}/ HTTP/1.1\\nHost: x\\r\\n\\r\\n'"), 400),
        ("head -c 100 /dev/urandom; printf '\\r\\n\\r\\n'".to_owned(), 400),
    ] {
        let answer = text(&*sandbox, &send(&request)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    assert_eq!(asked_for(&*sandbox), [], "nothing of it was taken for a request");
    // What follows a request is not another one.
    let two = format!(
        "GET http://{address}/first HTTP/1.1\\r\\n\\r\\nGET /second HTTP/1.1\\r\\nHost: evil\\r\\n\\r\\n"
    );
    let answer = text(&*sandbox, &send(&format!("printf '{two}'"))).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\n");
    let received = server.received();
    assert!(received.contains("/first") && !received.contains("evil"), "{received}");
}

#[tokio::test]
async fn the_proxy_ends_with_its_sandbox() {
    let (subject, _state) = subject().await;
    let mut spec = subject.spec.clone();
    let sandbox = sandbox(&subject, &["files.example".to_owned()]).await;
    let proxy = text(&*sandbox, "echo $https_proxy; ls /proc/self/fd | wc -l").await;
    assert_eq!(proxy, "http://127.0.0.1:3128\n4\n");
    sandbox.destroy().await.unwrap();
    let sandbox = subject.sandbox().await;
    assert_eq!(sandbox.connections(), None);
    assert_eq!(text(&*sandbox, "echo $http_proxy$HTTPS_PROXY").await, "\n");
    spec.network =
        Network::Allowlist(Allowlist { hosts: vec!["https://files.example".to_owned()], service: None });
    let Err(SandboxError::Create { message, .. }) = subject.backend.create(&spec).await else {
        panic!("it was made");
    };
    assert_eq!(message, "`https://files.example` is neither a name, `*.name` nor an address");
    assert!(sandbox.exec(&ExecRequest::new(["true"])).await.unwrap().success());
}

#[tokio::test]
async fn a_service_is_reached_without_a_proxy() {
    let (subject, _state) = subject().await;
    let (server, other) = (Server::start(), Server::start());
    let allowlist = Allowlist { hosts: Vec::new(), service: Some(server.address) };
    let sandbox = subject.with(|spec| spec.network = Network::Allowlist(allowlist)).await;
    let inside = sandbox.service().expect("the sandbox knows where its service is");
    let ask = |target: &str| {
        let script = format!(
            "exec 3<> /dev/tcp/{}/{}; printf 'GET {target} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; while read -r line <&3; do echo \"$line\"; case $line in this*|swegym*) break;; esac; done",
            inside.ip(),
            inside.port()
        );
        let sandbox = &*sandbox;
        async move { sh(sandbox, &script).await.stdout.to_text() }
    };
    let answer = ask("/path").await;
    assert!(answer.ends_with(&format!("this is {}\n", server.address)), "{answer}");
    assert!(
        server.received().starts_with("GET /path HTTP/1.1\r\nHost: x\r\n\r\n"),
        "it is passed on as it is"
    );
    let refused = ask(&format!("http://{}/", other.address)).await;
    assert!(refused.contains("403"), "nothing else is reached: {refused}");
    let refused = ask(&format!("http://{}/", server.address)).await;
    assert!(refused.contains("403"), "nor that by its address outside: {refused}");
    assert_eq!(sh(&*sandbox, "echo \"$http_proxy\"").await.stdout.to_text(), "\n");
    let connections = sandbox.connections().unwrap();
    assert_eq!(connections.counts, ConnectionCounts { allowed: 0, refused: 2, service: 1 });
    assert_eq!(connections.latest.len(), 2);
}
