//! The standing gateway as a program: what it keeps when it is killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use swegym_core::{Trajectory, sent_prompt};
use swegym_testkit::{Reply, ScriptedServer};

use crate::support::Place;

/// A gateway that runs, and where it is reached. It is killed when the test ends.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Running {
    fn start(place: &Place, endpoint: &str, secret: Option<&str>) -> Self {
        let arguments = [
            "gateway",
            "--base-url",
            endpoint,
            "--listen",
            "127.0.0.1:0",
            "-o",
            "recordings",
            "--max-steps",
            "500",
        ];
        let mut command = place.swegym(&arguments);
        command.env("OPENAI_API_KEY", "sk-not-to-be-seen");
        if let Some(secret) = secret {
            command.env("SWEGYM_GATEWAY_SECRET", secret);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("it says {line:?}")).to_owned();
        Self { child, address }
    }

    /// Status and body; nothing where the gateway went away.
    fn ask(&self, request: &str, key: &str, body: &Value) -> Option<(u16, Value)> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let length = body.len();
        write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).ok()?))
    }

    fn call(&self, rollout: &str, text: &str) -> Option<(u16, Value)> {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
        self.ask(&format!("POST /r/{rollout}/v1/chat/completions"), "any", &body)
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }
}

fn endpoint() -> (tokio::runtime::Runtime, ScriptedServer) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(ScriptedServer::start_with(|_| Reply::text("ok")));
    (runtime, server)
}

fn stored(place: &Place, rollout: &str) -> Trajectory {
    let packed =
        std::fs::read(place.path("recordings/trajectories").join(format!("{rollout}.json.zst"))).unwrap();
    serde_json::from_slice(&zstd::decode_all(packed.as_slice()).unwrap()).unwrap()
}

fn texts(trajectory: &Trajectory) -> Vec<String> {
    let text = |step| sent_prompt(trajectory, step)[0]["content"].as_str().unwrap().to_owned();
    trajectory.steps.iter().map(text).collect()
}

#[test]
fn sigkill_loses_no_call_that_was_answered() {
    let place = Place::new();
    let (_runtime, server) = endpoint();
    let mut answered = Vec::new();
    for kill in 0..4 {
        let running = Arc::new(Running::start(&place, &server.base_url(), None));
        let count = Arc::new(AtomicUsize::new(0));
        // Callers that go on until the gateway is gone; it is killed while they are at it.
        let callers: Vec<_> = (0..3)
            .map(|caller| {
                let (running, count) = (Arc::clone(&running), Arc::clone(&count));
                std::thread::spawn(move || {
                    let mut answered = Vec::new();
                    for number in 0..1000 {
                        let text = format!("{kill}-{caller}-{number}");
                        match running.call("r-1", &text) {
                            Some((200, _)) => answered.push(text),
                            _ => break,
                        }
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    answered
                })
            })
            .collect();
        while count.load(Ordering::SeqCst) < 8 + 5 * kill {
            std::thread::yield_now();
        }
        running.signal(nix::sys::signal::Signal::SIGKILL);
        callers.into_iter().for_each(|caller| answered.extend(caller.join().unwrap()));
    }
    let running = Running::start(&place, &server.base_url(), None);
    let recovered = texts(&stored(&place, "r-1"));
    for text in &answered {
        assert_eq!(recovered.iter().filter(|one| *one == text).count(), 1, "{text} is there once");
    }
    assert!(recovered.len() <= answered.len() + 4 * 3, "at most the calls in flight are there besides");
    assert_eq!(running.call("r-1", "after").unwrap().0, 200, "the same rollout goes on");
    drop(running);
}

#[test]
fn rollouts_are_written_when_they_are_closed_and_when_the_gateway_ends() {
    let place = Place::new();
    let (_runtime, server) = endpoint();
    let mut running = Running::start(&place, &server.base_url(), None);
    for rollout in ["one", "two"] {
        assert_eq!(running.call(rollout, rollout).unwrap().0, 200);
    }
    let closed = running.ask("DELETE /r/one", "any", &Value::Null).unwrap();
    assert_eq!((closed.0, &closed.1["steps"]), (200, &json!(1)));
    assert_eq!(texts(&stored(&place, "one")), ["one"]);
    assert_eq!(running.call("one", "again").unwrap().0, 200);
    running.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert_eq!(
        (texts(&stored(&place, "one")), texts(&stored(&place, "two"))),
        (vec!["one".to_owned(), "again".to_owned()], vec!["two".to_owned()])
    );
    let found = std::process::Command::new("grep")
        .arg("-rl")
        .arg("sk-not-to-be-seen")
        .arg(place.path("recordings"))
        .output();
    assert_eq!(found.unwrap().stdout, b"", "the key reaches no file");
}

#[test]
fn keys_of_a_guarded_gateway_hold_after_a_restart() {
    let place = Place::new();
    let (_runtime, server) = endpoint();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    let call = |running: &Running, key: &str| running.ask("POST /v1/chat/completions", key, &body).unwrap().0;
    let running = Running::start(&place, &server.base_url(), Some("manager"));
    let given = running.ask("POST /r/one", "manager", &Value::Null).unwrap().1;
    let key = given["api_key"].as_str().unwrap();
    assert_eq!((call(&running, key), call(&running, "any")), (200, 401));
    assert_eq!(running.ask("POST /r/two", key, &Value::Null).unwrap().0, 404);
    drop(running);
    let running = Running::start(&place, &server.base_url(), Some("manager"));
    assert_eq!(call(&running, key), 200);
    assert_eq!(running.ask("DELETE /r/one", "manager", &Value::Null).unwrap().1["steps"], 2);
}
