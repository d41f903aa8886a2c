//! Every scaffold solves the toy task in a real sandbox, with a model behind an endpoint.

use std::sync::Arc;

use serde_json::json;
use swegym_agent::{CodeAct, Mini, Scaffold, ScaffoldConfig};
use swegym_core::{ExitStatus, Role, Trajectory};
use swegym_testkit::{RecordedRequest, Reply, ScriptedServer};

use crate::toy::{FIX, Ran, Toy, bash, model};

async fn solve(
    toy: &Toy,
    scaffold: impl Scaffold + 'static,
    answer: impl Fn(&RecordedRequest) -> Reply + Send + Sync + 'static,
) -> Trajectory {
    let name = scaffold.name();
    let server = ScriptedServer::start_with(answer).await;
    let solver = swegym_runner::ScaffoldSolver { scaffold: Arc::new(scaffold), ..model(&server.base_url()) };
    let ran: Ran = toy.run(name, toy.workshop(solver), &toy.plan(3)).await;
    assert_eq!(ran.counts(), (3, 3, 3, 0), "{name}");
    assert_eq!(ran.record(1).exit_status, Some(ExitStatus::Finished));
    ran.committed().swap_remove(0).2.unwrap()
}

fn observations(trajectory: &Trajectory) -> Vec<&str> {
    let seen = trajectory.messages[2..].iter().filter(|message| message.role != Role::Assistant);
    seen.map(|message| message.content.as_str()).collect()
}

fn edit(arguments: serde_json::Value) -> Reply {
    Reply::call("str_replace_editor", &arguments)
}

#[tokio::test]
async fn codeact_has_one_shell_and_an_editor() {
    let Some(toy) = Toy::start().await else { return };
    let trajectory = solve(&toy, CodeAct::default(), |request| match request.turn() {
        0 => bash("cd toy && export WHERE=here"),
        1 => bash("pwd; echo $WHERE; exec 3< /etc/hostname"),
        2 => Reply::call("execute_bash", &json!({"command": "echo soon; sleep 1000", "timeout": 0.5})),
        3 => bash("ctrl+c"),
        4 => bash("exit 1"),
        5 => edit(json!({
            "command": "str_replace", "path": "/testbed/toy/calc.py",
            "old_str": "/ len(values)\n", "new_str": "/ len(values) if values else 0\n",
        })),
        6 => Reply::call("think", &json!({"thought": "That is all."})),
        _ => Reply::call("finish", &json!({})),
    })
    .await;
    let seen = observations(&trajectory);
    assert_eq!(seen[0], "[exit code 0 in /testbed/toy]");
    assert_eq!(seen[1], "/testbed/toy\nhere\n[exit code 0 in /testbed/toy]");
    assert!(seen[2].starts_with("soon\n[it still runs, since "), "{}", seen[2]);
    assert!(seen[3].ends_with("[exit code 130 in /testbed/toy]"), "{}", seen[3]);
    let ended = "[the shell has ended; the next command starts a new one in /testbed]";
    assert!(seen[4].ends_with(ended), "{}", seen[4]);
}

#[tokio::test]
async fn codeact_with_the_customs_of_openhands() {
    let Some(toy) = Toy::start().await else { return };
    let scaffold = CodeAct { config: ScaffoldConfig::default().openhands(), ..CodeAct::default() };
    let trajectory = solve(&toy, scaffold, |request| match request.turn() {
        0 => bash(FIX),
        1 => bash("cd toy; false"),
        _ => Reply::call("finish", &json!({})),
    })
    .await;
    let seen = observations(&trajectory);
    assert!(seen[0].starts_with(&format!("{FIX}\r\n")), "{}", seen[0]);
    let end = "\nroot@openhands-workspace:/testbed/toy # \n[Command finished with exit code 1]";
    assert!(seen[1].ends_with(end), "{}", seen[1]);
}

#[tokio::test]
async fn mini_calls_one_command_at_a_time() {
    let Some(toy) = Toy::start().await else { return };
    let trajectory = solve(&toy, Mini::default(), |request| match request.turn() {
        0 => bash(FIX),
        _ => bash("echo SWEGYM_WORK_IS_DONE"),
    })
    .await;
    assert_eq!(observations(&trajectory)[0], "[exit code 0]");
}

#[tokio::test]
async fn mini_reads_commands_from_text() {
    let Some(toy) = Toy::start().await else { return };
    let scaffold = Mini { native: false, ..Mini::default() };
    let block = |command: &str| Reply::text(&format!("Now this.\n\n```bash\n{command}\n```\n"));
    let trajectory = solve(&toy, scaffold, move |request| match request.turn() {
        0 => block(FIX),
        _ => block("echo SWEGYM_WORK_IS_DONE"),
    })
    .await;
    assert_eq!((trajectory.tools.len(), observations(&trajectory)[0]), (0, "[exit code 0]"));
}
