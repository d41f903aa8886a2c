//! Outside agents in real sandboxes: a program in bash that speaks HTTP, in place of a scaffold.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use swegym_agent::{OutsideAgent, ScaffoldConfig};
use swegym_core::{Connection, ConnectionCounts, ExitStatus, Problem, RolloutStatus};
use swegym_model::gateway::{EndpointConfig, Gateway, GatewayConfig, Listener};
use swegym_model::{NoopPolicy, Policy, Secret};
use swegym_runner::{PolicyFactory, ScaffoldSolver, Workshop};
use swegym_sandbox::{Allowlist, Backend, Network, Sandbox, SandboxError, SandboxSpec};
use swegym_testkit::{Reply, ScriptedServer};

use crate::toy::{ATTEMPTS, Toy, key};

const REAL_KEY: &str = "sk-very-secret-0123456789";

/// Asks the model once about the problem, and runs what it answers.
const AGENT: &str = r#"#!/bin/bash
# call METHOD PATH BODY: the whole answer
call() {
    local place=${OPENAI_BASE_URL#http://}
    place=${place%%/*}
    exec 3<> "/dev/tcp/${place%:*}/${place#*:}" || return
    printf '%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: %s\r\n\r\n%s' \
        "$1" "$2" "${KEY:-$OPENAI_API_KEY}" "${#3}" "$3" >&3
    cat <&3
}
ask() {
    local body='{"model": "'$MODEL'", "messages": [{"role": "user", "content": "'$(cat "$PROBLEM")'"}]}'
    call POST /v1/chat/completions "$body"
}
MODEL=$1 PROBLEM=$2
"#;

/// A model that knows the fix, in a form that needs no unpacking.
fn fix() -> Reply {
    Reply::text("sed -i 's:/ len(values)$:/ len(values) if values else 0:' toy/calc.py")
}

const SOLVE: &str = r#"answer=$(ask) || exit 1
[[ $answer == 'HTTP/1.1 200'* ]] || exit 1
eval "$(sed -n 's/.*"content":"\([^"]*\)".*/\1/p' <<< "$answer")"
"#;

type Said = Arc<Mutex<Vec<String>>>;

struct Place {
    toy: Toy,
    server: ScriptedServer,
    gateway: Gateway,
    network: Network,
    said: Said,
    agents: tempfile::TempDir,
}

impl Place {
    /// `None` where sandboxes are not possible, after saying so.
    async fn new(server: ScriptedServer) -> Option<Self> {
        Some(Self::on(Toy::start().await?, server).await)
    }

    async fn on(toy: Toy, server: ScriptedServer) -> Self {
        let mut endpoint = EndpointConfig::new(server.base_url());
        endpoint.api_key = Some(Secret::new(REAL_KEY));
        let gateway = Gateway::new(GatewayConfig::new(endpoint, Secret::new("s")), None).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Some(listener.local_addr().unwrap());
        let serving = gateway.clone();
        tokio::spawn(async move { serving.serve(Listener::Tcp(listener)).await });
        let network = Network::Allowlist(Allowlist { hosts: Vec::new(), service });
        let agents = tempfile::tempdir().unwrap();
        Self { toy, server, gateway, network, said: Arc::default(), agents }
    }

    /// A workshop whose agent is [`AGENT`] and this script after it.
    fn workshop(&self, script: &str, config: ScaffoldConfig) -> Workshop {
        let bin = self.agents.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("toy-agent"), format!("{AGENT}{script}")).unwrap();
        for path in [self.agents.path(), &bin, &bin.join("toy-agent")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.workshop_with("toy-agent {model} {problem_file}", config)
    }

    fn workshop_with(&self, command: &str, config: ScaffoldConfig) -> Workshop {
        let said = Arc::clone(&self.said);
        let sink = Arc::new(move |_: &Problem, _: u32, output: &[u8]| {
            said.lock().unwrap().push(String::from_utf8(output.to_vec()).unwrap());
        });
        let files = Some(self.agents.path().to_owned());
        let agent = OutsideAgent::new(command, files, self.gateway.clone(), config, sink);
        // The agent's policy is its name and nothing else.
        let factory: PolicyFactory = Arc::new(|_, _| Ok(Box::new(NoopPolicy) as Box<dyn Policy>));
        let solver = ScaffoldSolver { policy: "toy-model".to_owned(), factory, scaffold: Arc::new(agent) };
        Workshop { network: self.network.clone(), ..self.toy.workshop(solver) }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().concat()
    }
}

/// What holds on every backend.
pub(crate) async fn solves_an_instance(toy: Toy) {
    let place = Place::on(toy, ScriptedServer::start_with(|_| fix()).await).await;
    let workshop = place.workshop(&format!("{SOLVE}echo done\n"), ScaffoldConfig::default());
    let ran = place.toy.run("solved", workshop, &place.toy.plan(2)).await;
    assert_eq!(ran.counts(), (2, 2, 2, 0), "{}{:?}", place.said(), ran.record(1));
    assert_eq!(place.said(), "done\ndone\n");
    let record = ran.record(1);
    assert_eq!(
        (record.exit_status, record.turns, record.usage.total()),
        (Some(ExitStatus::Finished), 1, 110)
    );
    let trajectory = ran.view.trajectory(&key(1)).unwrap().unwrap();
    assert!(trajectory.messages[0].content.contains("(toy__toy-1)"), "it read the problem");
    assert_eq!((trajectory.scaffold.as_str(), trajectory.messages.len()), ("outside", 2));
    let sent = &place.server.requests()[0];
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {REAL_KEY}").as_str()));
    let patch = ran.view.patch(&key(1)).unwrap().unwrap();
    assert!(!String::from_utf8_lossy(patch.as_bytes()).contains("problem.md"), "{patch:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outside_agent_solves_an_instance() {
    let Some(toy) = Toy::start().await else { return };
    solves_an_instance(toy).await;
}

/// A backend whose daemon does not see the folders of this machine.
struct Walled(Arc<dyn Backend>);

#[async_trait]
impl Backend for Walled {
    async fn create(&self, spec: &SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        if !spec.extra_binds.is_empty() {
            return Err(SandboxError::Unsupported { action: "show a folder of the host" });
        }
        self.0.create(spec).await
    }

    fn unenforced(&self) -> Vec<String> {
        self.0.unenforced()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_files_are_copied_where_they_cannot_be_seen() {
    let Some(mut toy) = Toy::start().await else { return };
    toy.backend = Arc::new(Walled(toy.backend));
    solves_an_instance(toy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outside_agent_reaches_its_own_rollout_and_nothing_else() {
    let Some(place) = Place::new(ScriptedServer::start_with(|_| fix()).await).await else { return };
    let port = place.server.base_url().trim_end_matches("/v1").rsplit(':').next().unwrap().to_owned();
    let script = format!(
        r#"status() {{ call "$@" | head -n 1 | cut -d' ' -f2; }}
body='{{"messages": [{{}}]}}'
KEY=sk-guess status POST /v1/chat/completions "$body"
status POST /r/rollout-7/v1/chat/completions "$body"
status POST "/r/../../etc/passwd/v1/chat/completions" "$body"
status POST /r/rollout-7
status DELETE /r/rollout-0
status GET /etc/passwd
(exec 4<> /dev/tcp/127.0.0.1/{port}) 2> /dev/null && echo reached the endpoint
env | grep -c very-secret
touch /opt/agent/bin/new 2> /dev/null && echo wrote
"#
    );
    let ran = place
        .toy
        .run("hostile", place.workshop(&script, ScaffoldConfig::default()), &place.toy.plan(1))
        .await;
    assert_eq!(place.said(), "401\n403\n404\n404\n404\n404\n0\n");
    assert!(place.server.requests().is_empty());
    assert_eq!(
        ran.record(1).failure.unwrap().kind,
        "agent_command",
        "it asked nothing and ended with an error"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_asked_of_the_network_is_kept() {
    let Some(place) = Place::new(ScriptedServer::start_with(|_| fix()).await).await else { return };
    let script = format!("call GET http://Files.example/secret > /dev/null\n{SOLVE}");
    let ran =
        place.toy.run("asked", place.workshop(&script, ScaffoldConfig::default()), &place.toy.plan(1)).await;
    assert!(ran.record(1).resolved(), "{}", place.said());
    let counts = ConnectionCounts { allowed: 0, refused: 1, service: 1 };
    assert_eq!(ran.record(1).connections, Some(counts));
    let kept = ran.view.connections(&key(1)).unwrap().unwrap();
    let asked: Vec<_> =
        kept.latest.into_iter().map(|Connection { host, port, allowed, .. }| (host, port, allowed)).collect();
    assert_eq!(asked, [("files.example".to_owned(), 80, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_end_an_outside_agent() {
    let Some(place) = Place::new(ScriptedServer::start_with(|_| fix()).await).await else { return };
    let config = ScaffoldConfig { max_steps: 2, ..ScaffoldConfig::default() };
    let script = "for turn in 1 2 3 4; do ask | head -n 1 | cut -d' ' -f2; done; exit 1\n";
    let ran = place.toy.run("steps", place.workshop(script, config), &place.toy.plan(1)).await;
    assert_eq!(place.said(), "200\n200\n403\n403\n");
    assert_eq!((ran.record(1).exit_status, ran.record(1).turns), (Some(ExitStatus::StepLimit), 2));

    let config = ScaffoldConfig { time_limit: Duration::from_secs(1), ..ScaffoldConfig::default() };
    let script = format!("{SOLVE}exec sleep infinity\n");
    let ran = place.toy.run("time", place.workshop(&script, config), &place.toy.plan(1)).await;
    assert_eq!(ran.record(1).exit_status, Some(ExitStatus::TimeLimit));
    assert!(ran.record(1).resolved(), "what it had done until then counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fails_is_not_the_agents_fault() {
    let Some(place) = Place::new(ScriptedServer::start_with(|_| Reply::status(503, "loading")).await).await
    else {
        return;
    };
    let ran =
        place.toy.run("down", place.workshop(SOLVE, ScaffoldConfig::default()), &place.toy.plan(1)).await;
    let record = ran.record(1);
    assert_eq!((record.status, record.failed_attempts), (RolloutStatus::Failed, ATTEMPTS - 1));
    let failure = record.failure.unwrap();
    assert!(failure.kind == "model_connection" && failure.message.contains("503"), "{failure}");
    let rollout = ran.view.rollout_dir(&key(1));
    for kept in ["attempts/0/connections.json", "connections.json"] {
        assert!(rollout.join(kept).is_file(), "{kept}: what each attempt asked of the network is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_there_is_said() {
    let Some(place) = Place::new(ScriptedServer::start(Vec::new()).await).await else { return };
    let workshop = place.workshop_with("no-such-agent", ScaffoldConfig::default());
    let ran = place.toy.run("missing", workshop, &place.toy.plan(1)).await;
    let record = ran.record(1);
    let failure = record.failure.unwrap();
    assert_eq!((failure.kind.as_str(), record.failed_attempts), ("agent_command", 0));
    assert!(
        failure.message.contains("exit code 127") && failure.message.contains("no-such-agent"),
        "{failure}"
    );
}
