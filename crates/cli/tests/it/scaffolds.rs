//! Every scaffold solves bugs that `quickstart` planted, with a model behind an endpoint that speaks its protocol. It
//! fetches packages, so it needs `SWEGYM_TEST_NETWORK=1`.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use serde_json::Value;
use swegym_core::{Instance, RolloutRecord};
use swegym_testkit::{Dialect, ScriptedServer, Solver};

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

fn assert_solves(place: &Place, dialect: Dialect, instances: &[Instance], url: &str) {
    let output = format!("{dialect:?}");
    let folder = place.path("swegym-quickstart");
    let (repos, specs) = (folder.join("repos"), folder.join("specs.json"));
    let mut command = place.swegym(&["rollout", "-i", "tasks.jsonl", "-o", &output]);
    command.arg("--repos").arg(repos).arg("--specs").arg(specs);
    command.args(["--model", "toy-model", "--base-url", url]).args(flags(dialect));
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(0), "{dialect:?}: {said}");
    for instance in instances {
        let record = place.path(&output).join("rollouts").join(instance.id().as_str()).join("0/rollout.json");
        let record: RolloutRecord = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        assert!(record.resolved(), "{dialect:?} {}: {record:?}\n{said}", instance.id());
        assert!(record.turns >= 4, "{dialect:?} {}: it looked before it changed anything", instance.id());
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
    }
}
