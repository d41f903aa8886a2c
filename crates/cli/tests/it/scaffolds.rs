//! Every scaffold solves bugs that `quickstart` planted, with a model behind endpoints that speaks its protocol, and keeps
//! to what the flags say. It fetches packages, so it needs `SWEGYM_TEST_NETWORK=1`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use swegym_core::{CompletionTokens, ExitStatus, Instance, RolloutRecord, Trajectory};
use swegym_testkit::{Dialect, Reply, ScriptedServer, Solver};

use crate::support::{Place, network};

/// Flags that make a scaffold speak a dialect.
fn flags(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::CodeAct => &["--scaffold", "codeact"],
        Dialect::CodeActText => &["--scaffold", "codeact", "--tool-format", "text"],
        Dialect::Mini => &["--scaffold", "mini"],
        Dialect::MiniText => &["--scaffold", "mini-text"],
        Dialect::Workflow => &["--scaffold", "workflow"],
    }
}

/// One planted bug of each package, in `tasks.jsonl`.
fn tasks(place: &Place) -> Vec<Instance> {
    let made = fs::read_to_string(place.path("swegym-quickstart/instances.jsonl")).unwrap();
    let mut packages = BTreeSet::new();
    let (mut rows, mut instances) = (String::new(), Vec::new());
    for line in made.lines() {
        let Value::Object(row) = serde_json::from_str(line).unwrap() else { panic!("rows are objects") };
        let instance = Instance::from_row(row).unwrap();
        if packages.insert(instance.problem.repo.clone()) {
            rows.push_str(&format!("{line}\n"));
            instances.push(instance);
        }
    }
    place.write("tasks.jsonl", rows);
    instances
}

/// Rolls out on the tasks, into the folder `output`: what it said.
fn rollout(place: &Place, dialect: Dialect, output: &str, more: &[&str]) -> String {
    let folder = place.path("swegym-quickstart");
    let (repos, specs) = (folder.join("repos"), folder.join("specs.json"));
    let mut command = place.swegym(&["rollout", "-i", "tasks.jsonl", "-o", output, "--model", "toy-model"]);
    command.arg("--repos").arg(repos).arg("--specs").arg(specs);
    let ran = command.args(flags(dialect)).args(more).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{dialect:?}: {said}");
    said
}

fn folder(place: &Place, output: &str, instance: &Instance, sample: usize) -> PathBuf {
    place.path(output).join("rollouts").join(instance.id().as_str()).join(sample.to_string())
}

fn record(place: &Place, output: &str, instance: &Instance, sample: usize) -> RolloutRecord {
    let path = folder(place, output, instance, sample).join("rollout.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn trajectory(place: &Place, output: &str, instance: &Instance, sample: usize) -> Trajectory {
    let packed = fs::read(folder(place, output, instance, sample).join("trajectory.json.zst")).unwrap();
    serde_json::from_slice(&zstd::decode_all(packed.as_slice()).unwrap()).unwrap()
}

fn assert_solves(place: &Place, dialect: Dialect, instances: &[Instance], url: &str) {
    let output = format!("{dialect:?}");
    let said = rollout(place, dialect, &output, &["--base-url", url]);
    for instance in instances {
        let record = record(place, &output, instance, 0);
        assert!(record.resolved(), "{dialect:?} {}: {record:?}\n{said}", instance.id());
        assert!(record.turns >= 4, "{dialect:?} {}: it looked before it changed anything", instance.id());
    }
}

/// Two endpoints give the answers of four rollouts of each task piece by piece, with their tokens.
fn assert_shared(place: &Place, instances: &[Instance], servers: &[ScriptedServer; 2]) {
    let [first, second] = servers.each_ref().map(ScriptedServer::base_url);
    let urls = ["--base-url", &first, "--base-url", &second, "-k", "4", "-j", "4"];
    rollout(place, Dialect::CodeAct, "shared", &[&urls[..], &["--stream", "--token-ids"]].concat());
    let requests = servers.each_ref().map(ScriptedServer::requests);
    for request in requests.iter().flatten() {
        assert_eq!(
            (&request.body["stream"], &request.body["return_token_ids"]),
            (&true.into(), &true.into())
        );
    }
    assert!(requests.iter().all(|of_one| !of_one.is_empty()), "both endpoints are asked");
    let mut asked = 0;
    for (instance, sample) in
        instances.iter().flat_map(|instance| (0..4).map(move |sample| (instance, sample)))
    {
        assert!(record(place, "shared", instance, sample).resolved());
        let trajectory = trajectory(place, "shared", instance, sample);
        asked += trajectory.steps.len();
        let ids = trajectory
            .steps
            .iter()
            .map(|step| step.tokens.as_ref().map(|tokens| &tokens.new.completion_token_ids));
        assert!(
            ids.clone().all(|ids| ids == Some(&tokens().completion_token_ids)),
            "{:?}",
            ids.collect::<Vec<_>>()
        );
    }
    assert_eq!(requests.iter().map(Vec::len).sum::<usize>(), asked);
    let config = fs::read_to_string(place.path("shared/run.toml")).unwrap();
    assert!(config.contains(&first) && config.contains(&second), "{config}");
}

fn tokens() -> CompletionTokens {
    CompletionTokens {
        prompt_token_ids: vec![1, 2, 3],
        completion_token_ids: vec![4, 5],
        logprobs: vec![-0.5, -1.0],
    }
}

/// Each answer costs a cent, and two and a half may be spent: the fourth step is not made.
fn assert_cost_limit(place: &Place, dialect: Dialect, instances: &[Instance], url: &str) {
    let prices = "[\"toy-*\"]\nprompt = 0\ncached = 0\ncompletion = 1000\n";
    let prices = place.write("prices.toml", prices).display().to_string();
    let output = format!("{dialect:?}-dear");
    rollout(place, dialect, &output, &["--base-url", url, "--prices", &prices, "--max-cost", "0.025"]);
    for instance in instances {
        let record = record(place, &output, instance, 0);
        assert_eq!((record.turns, record.exit_status), (3, Some(ExitStatus::CostLimit)), "{dialect:?}");
    }
}

#[test]
fn every_scaffold_solves_planted_bugs_in_every_form() {
    if !network() {
        return;
    }
    let place = Place::with_shared_cache();
    let made = place.run(&["quickstart"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let instances = tasks(&place);
    assert!(instances.len() >= 3, "{}", made.stderr);
    let solver = Arc::new(Solver::new(&instances));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for dialect in Dialect::ALL {
        let solver = Arc::clone(&solver);
        let server = ScriptedServer::start_with(move |request| solver.reply(dialect, request));
        let server = runtime.block_on(server);
        assert_solves(&place, dialect, &instances, &server.base_url());
        assert_cost_limit(&place, dialect, &instances, &server.base_url());
    }
    let serve = |_| {
        let solver = Arc::clone(&solver);
        runtime.block_on(ScriptedServer::start_with(move |request| {
            match solver.reply(Dialect::CodeAct, request) {
                Reply::Message(message) => Reply::Tokens(message, tokens()),
                reply => reply,
            }
        }))
    };
    assert_shared(&place, &instances, &[0, 1].map(serve));
}
