//! The scaffold `mini`.

use swegym_agent::Mini;
use swegym_core::{Completion, ExitStatus, Message, Role, Trajectory};

use crate::support::{Workplace, answer, bash, finish, script};

fn text(words: &str) -> Completion {
    Completion { message: Message::text(Role::Assistant, words), ..answer(Vec::new()) }
}

async fn run(native: bool, answers: Vec<Completion>) -> (Trajectory, String) {
    let place = Workplace::new();
    let scaffold = Mini { config: place.config.clone(), native, ..Mini::default() };
    let outcome = place.run_in(&scaffold, script(answers)).await.expect("nothing is broken");
    (outcome.trajectory, outcome.patch.to_text_lossy().into_owned())
}

fn said(trajectory: &Trajectory) -> Vec<&str> {
    let rest = trajectory.messages[2..].iter().filter(|message| message.role != Role::Assistant);
    rest.map(|message| message.content.as_str()).collect()
}

#[tokio::test]
async fn calls_run_each_in_a_shell_of_its_own_until_the_marker() {
    let answers = vec![
        answer(vec![bash("cd src; X=1; sed -i s/1/2/ app.py")]),
        answer(vec![bash("echo \"[$X]\"; ls src")]),
        answer(vec![bash("echo SWEGYM_WORK_IS_DONE")]),
    ];
    let (trajectory, patch) = run(true, answers).await;
    assert_eq!((trajectory.exit_status, trajectory.scaffold.as_str()), (ExitStatus::Finished, "mini"));
    assert_eq!(said(&trajectory)[..2], ["[exit code 0]", "[]\napp.py\n[exit code 0]"]);
    assert!(patch.contains("+\treturn 2"), "{patch}");
    assert!(trajectory.messages[1].content.contains("echo SWEGYM_WORK_IS_DONE"));
}

#[tokio::test]
async fn blocks_of_text_are_commands_too() {
    let answers = vec![
        text("I look.\n\n```bash\nsed -i s/1/3/ src/app.py\necho done\n```"),
        text("```bash\necho SWEGYM_WORK_IS_DONE\n```"),
    ];
    let (trajectory, patch) = run(false, answers).await;
    assert_eq!((trajectory.exit_status, trajectory.tools.len()), (ExitStatus::Finished, 0));
    assert_eq!(said(&trajectory)[0], "done\n[exit code 0]");
    assert!(patch.contains("+\treturn 3"), "{patch}");
}

#[tokio::test]
async fn an_answer_without_exactly_one_command_runs_nothing() {
    let answers = vec![
        text("I think."),
        answer(vec![bash("touch one"), bash("touch two")]),
        answer(vec![finish()]),
        text("```bash\ntouch one\n```\n```bash\ntouch two\n```"),
        answer(vec![bash("echo SWEGYM_WORK_IS_DONE; exit 1")]),
        answer(vec![bash("echo SWEGYM_WORK_IS_DONE")]),
    ];
    let (trajectory, patch) = run(true, answers).await;
    assert_eq!((trajectory.exit_status, patch.as_str()), (ExitStatus::Finished, ""));
    let said = said(&trajectory);
    let counts = ["had 0.", "had 2.", "had 2.", "had 0.", "had 2."];
    assert!(said.iter().zip(counts).all(|(said, count)| said.contains(count)), "{said:?}");
    assert_eq!(trajectory.steps.len(), 6);
}
