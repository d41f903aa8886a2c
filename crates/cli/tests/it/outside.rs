//! A real outside agent from end to end. It needs packages, and `SWEGYM_TEST_MINI`: a folder that was made by
//! `pip install --target FOLDER mini-swe-agent mcp` with the `python3` of this machine.

use serde_json::{Value, json};
use swegym_core::{RolloutRecord, Trajectory};
use swegym_testkit::{Reply, ScriptedServer, toy_repo};

use crate::support::{Place, Ran, network};

/// Starts it without a change to what commands of the repository import.
const MINI: &str = r#"MSWEA_CONFIGURED=true MSWEA_COST_TRACKING=ignore_errors MSWEA_SILENT_STARTUP=1 python -c 'import sys; sys.path.insert(0, "{agent_dir}"); from minisweagent.run.mini import app; app()' -t "$(cat {problem_file})" -m openai/{model} -y --exit-immediately -o /tmp/swegym/mini.json"#;

/// What a good model says, in the form that the agent asks for.
fn answer(turn: usize) -> Reply {
    let command = match turn {
        0 => "grep -n 'len(values)' toy/calc.py",
        1 => "sed -i 's:/ len(values)$:/ len(values) if values else 0:' toy/calc.py && git diff",
        _ => "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT",
    };
    Reply::call("bash", &json!({ "command": command }))
}

#[test]
fn mini_swe_agent_solves_an_instance() {
    let Some(agent) = std::env::var_os("SWEGYM_TEST_MINI").filter(|_| network()) else {
        println!("skipped: SWEGYM_TEST_MINI names no folder with mini-swe-agent");
        return;
    };
    let place = Place::with_shared_cache();
    let repo = toy_repo();
    std::fs::create_dir_all(place.path("repos")).unwrap();
    std::os::unix::fs::symlink(repo.path(), place.path("repos/toy__toy")).unwrap();
    place.write("tasks.jsonl", format!("{}\n", Value::Object(repo.instance().to_row().clone())));
    let packages = ["pytest==8.3.4", "pluggy==1.5.0", "iniconfig==2.0.0", "packaging==24.2"];
    let spec = json!({"python": "3.11", "packages": packages, "test_cmd": "python -m pytest -rA"});
    place.write("specs.json", json!({"toy/toy": {"1.0": spec}}).to_string());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(ScriptedServer::start_with(|request| answer(request.turn())));
    let url = server.base_url();
    let set = ["-i", "tasks.jsonl", "--repos", "repos", "--specs", "specs.json", "-o", "run"];
    let flags = ["--model", "toy-model", "--base-url", &url, "--agent-command", MINI, "--agent-path"];
    let mut command = place.swegym(&[&["rollout"][..], &set, &flags].concat());
    let ran = Ran::new(command.arg(agent).env("OPENAI_API_KEY", "sk-not-to-be-seen").output().unwrap());
    let said = std::fs::read_to_string(place.path("run/agent_output/toy__toy-1/0.txt")).unwrap_or_default();
    assert_eq!(ran.code, Some(0), "{}\n{said}", ran.stderr);
    let folder = place.path("run/rollouts/toy__toy-1/0");
    let record: RolloutRecord =
        serde_json::from_slice(&std::fs::read(folder.join("rollout.json")).unwrap()).unwrap();
    assert!(record.resolved() && record.turns == 3, "{record:?}\n{said}");
    let packed = std::fs::read(folder.join("trajectory.json.zst")).unwrap();
    let trajectory: Trajectory =
        serde_json::from_slice(&zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    assert!(trajectory.steps.iter().all(|step| step.prompt.is_empty()), "one conversation, stored once");
    assert_eq!(trajectory.tools[0].name, "bash");
    println!("{} messages, {} steps\n{said}", trajectory.messages.len(), trajectory.steps.len());
}
