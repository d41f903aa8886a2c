//! The whole pipeline on real code. These tests fetch packages, so they need `SWEGYM_TEST_NETWORK=1`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use swegym_testkit::{Reply, ScriptedServer};

use crate::support::{Place, Ran, network};

/// Policy, rollouts and resolved of a row of the table.
fn row(table: &str, policy: &str) -> (u32, u32) {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(policy));
    let mut cells =
        line.unwrap_or_else(|| panic!("{policy} has no row:\n{table}")).split_whitespace().skip(1);
    let mut number = || cells.next().and_then(|cell| cell.parse().ok()).expect("a number");
    (number(), number())
}

fn assert_controls(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let (planned, resolved) = row(&ran.stdout, "gold");
    assert!(planned >= 8, "{}", ran.stdout);
    assert_eq!(resolved, planned, "{}", ran.stdout);
    assert_eq!(row(&ran.stdout, "noop"), (planned, 0), "{}", ran.stdout);
}

fn assert_no_leftovers(place: &Place) {
    let ran = place.run(&["doctor", "--clean"]);
    let clean = "removed what killed processes left: 0 cgroups, 0 sandbox folders, 0 unfinished layers";
    assert!(ran.stderr.contains(clean), "{}", ran.stderr);
    assert_eq!(orphans(), Vec::<String>::new(), "launchers must not outlive their owner");
}

/// Launchers whose owner is gone.
fn orphans() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let is_orphan = |folder: &Path| {
        let command = fs::read(folder.join("cmdline")).unwrap_or_default();
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        command.starts_with(b"swegym-sandbox")
            && after_name.get(1) == Some(&"1")
            && after_name.first() != Some(&"Z")
    };
    processes.filter(|folder| is_orphan(folder)).map(|folder| folder.display().to_string()).collect()
}

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn quickstart_survives_sigkill_at_any_moment() {
    if !network() {
        return;
    }
    let place = Place::new();
    for kill in 0..10 {
        let mut child =
            place.swegym(&["quickstart"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // Later from kill to kill, and into the step that the last line announces.
        let seen = lines.by_ref().take(12 + kill * 3).count();
        if seen == 12 + kill * 3 {
            std::thread::sleep(Duration::from_millis(kill as u64 * 170));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let ran = place.run(&["quickstart"]);
    assert_controls(&ran);
    assert_no_leftovers(&place);
    for policy in ["gold", "noop"] {
        let run = place.path("swegym-quickstart/runs").join(policy);
        let instances = rows(&place.path("swegym-quickstart/instances.jsonl")).len();
        assert_eq!(rows(&run.join("exports/predictions.jsonl")).len(), instances, "{policy}");
        let numbers: Vec<u64> =
            rows(&run.join("events.jsonl")).iter().map(|event| event["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "{policy}: events have gaps");
    }
    assert_eq!(place.run(&["quickstart"]).stdout, ran.stdout, "a done run says the same again");
}

/// `quickstart` with the first rollout done, and what it has yet to say.
fn started(place: &Place) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child =
        place.swegym(&["quickstart"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.by_ref().find(|line| line.starts_with("gold [1/")).expect("a rollout is done");
    (child, said)
}

#[test]
fn ctrl_c_ends_quickly_and_says_how_to_resume() {
    if !network() {
        return;
    }
    let place = Place::with_shared_cache();
    let (mut child, said) = started(&place);
    interrupt(&child);
    let rest: Vec<String> = said.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("the same command goes on from here")), "{rest:?}");
    assert_no_leftovers(&place);
    assert_controls(&place.run(&["quickstart"]));
}

fn interrupt(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
}

#[test]
fn a_run_directory_has_one_writer_and_one_set_of_settings() {
    if !network() {
        return;
    }
    let place = Place::with_shared_cache();
    let (mut child, said) = started(&place);
    let second = place.run(&["quickstart"]);
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains(&child.id().to_string()), "it names the holder: {}", second.stderr);
    said.for_each(drop);
    assert!(child.wait().unwrap().success());
    let gold = place.path("swegym-quickstart/runs/gold").display().to_string();
    let differing =
        place.run(&[&quickstart_set("eval")[..], &["--predictions", "gold", "-o", &gold]].concat());
    assert_eq!(differing.code, Some(1), "{}", differing.stderr);
    assert!(differing.stderr.contains("policy"), "it names what differs: {}", differing.stderr);
}

/// A command over what `quickstart` made.
fn quickstart_set(command: &str) -> [&str; 7] {
    let folder =
        ["swegym-quickstart/instances.jsonl", "swegym-quickstart/repos", "swegym-quickstart/specs.json"];
    [command, "-i", folder[0], "--repos", folder[1], "--specs", folder[2]]
}

#[test]
fn exports_are_inputs_again() {
    if !network() {
        return;
    }
    let place = Place::with_shared_cache();
    assert_controls(&place.run(&["quickstart"]));
    let sft = rows(&place.path("swegym-quickstart/runs/gold/exports/sft.jsonl"));
    assert!(sft.len() >= 8, "every resolved trajectory is a row");
    for row in &sft {
        assert_eq!(row["messages"][0]["role"], "system");
        assert!(row["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
    }
    let predictions = "swegym-quickstart/runs/gold/exports/predictions.jsonl";
    let ran =
        place.run(&[&quickstart_set("eval")[..], &["--predictions", predictions, "-o", "again"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let (planned, resolved) = row(&ran.stdout, "predictions");
    assert_eq!(resolved, planned, "{}", ran.stdout);
    let mut broken = rows(&place.path(predictions));
    broken.truncate(1);
    broken[0]["model_patch"] = "diff --git a/no b/no\n--- a/no\n+++ b/no\n@@ -1 +1 @@\n-x\n+y\n".into();
    place.write("broken.jsonl", broken[0].to_string());
    let ran = place.run(&[&quickstart_set("eval")[..], &["--predictions", "broken.jsonl"]].concat());
    assert_eq!(
        (ran.code, row(&ran.stdout, "broken")),
        (Some(0), (1, 0)),
        "a verdict, not a crash: {}",
        ran.stderr
    );
}

#[test]
fn a_model_is_rolled_out_beside_the_controls() {
    if !network() {
        return;
    }
    let place = Place::with_shared_cache();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let look =
        Reply::call("execute_bash", &serde_json::json!({"command": "git log --oneline --all | wc -l"}));
    let finish = Reply::call("finish", &serde_json::json!({}));
    let server = runtime.block_on(ScriptedServer::start_with(move |request| match request.turn() {
        0 => look.clone(),
        _ => finish.clone(),
    }));
    let url = server.base_url();
    let mut command = place.swegym(&["quickstart", "--model", "owner/toy", "--base-url", &url]);
    let ran = Ran::new(command.env("OPENAI_API_KEY", "sk-not-to-be-seen").output().unwrap());
    assert_controls(&ran);
    assert_eq!(row(&ran.stdout, "owner/toy"), (row(&ran.stdout, "gold").0, 0), "{}", ran.stdout);
    let second_turns: Vec<_> = server.requests().into_iter().filter(|request| request.turn() == 1).collect();
    for request in &second_turns {
        let seen = request.messages().pop().unwrap().content;
        assert!(seen.starts_with('1'), "the image has one commit, so nothing shows the fix: {seen}");
    }
    assert!(!second_turns.is_empty());
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-not-to-be-seen"));
    let run = place.path("swegym-quickstart/runs/owner__toy");
    let found =
        std::process::Command::new("grep").arg("-rl").arg("sk-not-to-be-seen").arg(&run).output().unwrap();
    assert_eq!(found.stdout, b"", "the key reaches no file");
    drop(server);
    let ran = place.run(
        &[&quickstart_set("rollout")[..], &["--model", "m", "--base-url", &url, "--limit", "1"]].concat(),
    );
    assert_eq!(ran.code, Some(3), "an endpoint that is down is a recorded failure: {}", ran.stderr);
    assert!(ran.stdout.lines().any(|line| line.starts_with("m ")), "{}", ran.stdout);
}
