//! Rollouts of the scaffold `workflow`.

use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};
use swegym_agent::{AgentError, Outcome, Scaffold, Workflow, WorkflowConfig};
use swegym_core::{ChatRequest, CommitId, Completion, ExitStatus, Message, Role, Trajectory};
use swegym_model::{ModelError, Policy};

use crate::support::{Workplace, shell};

const OPS: &str = r#""""Operations."""
import math

LIMIT = 10


class Calculator:
    """Adds numbers."""

    def __init__(self):
        self.total = 0

    def add(self, value):
        # the sum
        self.total -= value
        return self.total

    def clear(self):
        self.total = 0


def area(radius):
    return math.pi * radius
"#;

struct Place {
    work: Workplace,
    scaffold: Workflow,
}

impl Place {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let mut work = Workplace::new();
        let root = work.config.repo_dir.clone();
        shell(Path::new(&root), "git rm -q -r . && mkdir -p calc tests");
        for (name, content) in
            [("calc/ops.py", OPS.as_bytes()), ("tests/test_ops.py", b"def add(): pass\n")].iter().chain(files)
        {
            std::fs::write(Path::new(&root).join(name), content).expect("it is writable");
        }
        shell(Path::new(&root), "git add -A && git commit -q -m files");
        let base = shell(Path::new(&root), "git rev-parse HEAD");
        work.problem.base_commit = CommitId::new(base.trim()).expect("git prints full ids");
        work.problem.problem_statement = "Calculator.add subtracts the value.".into();
        let config = WorkflowConfig { scaffold: work.config.clone(), ..WorkflowConfig::default() };
        Self { work, scaffold: Workflow::new(config) }
    }

    async fn run(&self, mut policy: impl Policy) -> Result<Outcome, AgentError> {
        let sandbox = self.work.sandbox();
        self.scaffold.run(&self.work.problem, 0, &sandbox, &mut policy).await
    }

    async fn play(&self, answers: Vec<Completion>) -> Outcome {
        self.run(script(answers)).await.expect("nothing is broken")
    }
}

/// Gives the answers of a function of their number, whatever it is asked.
struct Answers<F>(F, usize);

#[async_trait]
impl<F: FnMut(usize) -> Option<Completion> + Send> Policy for Answers<F> {
    fn name(&self) -> &'static str {
        "answers"
    }

    async fn complete(&mut self, _: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        self.1 += 1;
        self.0(self.1 - 1).ok_or(ModelError::ScriptEnded { answers: self.1 - 1 })
    }
}

fn script(answers: Vec<Completion>) -> impl Policy {
    Answers(move |number| answers.get(number).cloned(), 0)
}

fn says(text: impl Into<String>) -> Completion {
    Completion::new(Message::text(Role::Assistant, text), "stop")
}

fn gives(answer: &Value) -> Completion {
    says(answer.to_string())
}

fn search(request: &Value) -> Completion {
    gives(&json!({"scratch_pad": "look", "search_requests": [request]}))
}

fn identify(file: &str, span: &str) -> Completion {
    gives(&json!({"scratch_pad": "that", "identified_spans": [{"file_path": file, "span_ids": [span]}]}))
}

fn decide() -> Completion {
    gives(&json!({"scratch_pad": "enough", "relevant": true, "complete": true}))
}

fn modify(file: &str, span: &str) -> Completion {
    let (action, instructions) = ("modify", "Add the value.");
    gives(
        &json!({"scratch_pad": "so", "action": action, "instructions": instructions, "file_path": file, "span_id": span}),
    )
}

fn finish() -> Completion {
    gives(&json!({"scratch_pad": "done", "action": "finish", "finish": "It adds."}))
}

/// Answers up to the first plan, with the method `add` in view.
fn found() -> Vec<Completion> {
    let names = json!({"class_names": ["Calculator"], "function_names": ["add"]});
    vec![search(&names), identify("calc/ops.py", "Calculator.add"), decide()]
}

/// What the policy was sent before it gave answer number `step`.
fn prompt(trajectory: &Trajectory, step: usize) -> Vec<&Message> {
    trajectory.prompt_of(&trajectory.steps[step]).collect()
}

fn last_of(trajectory: &Trajectory, step: usize) -> &str {
    &prompt(trajectory, step).last().expect("a prompt has messages").content
}

#[tokio::test]
async fn an_issue_is_resolved_state_by_state() {
    let place = Place::new(&[]);
    let new = "    def add(self, value):\n        # the sum\n        self.total += value\n        return self.total\n";
    let mut answers = found();
    answers.extend([
        modify("calc/ops.py", "Calculator.add"),
        says(format!("Plus, not minus.\n<replace>\n{new}\n    def clear(self):\n")),
        finish(),
    ]);
    let outcome = place.play(answers).await;
    let trajectory = &outcome.trajectory;
    assert_eq!(trajectory.exit_status, ExitStatus::Finished);
    assert_eq!((trajectory.scaffold.as_str(), trajectory.steps.len()), ("workflow", 6));
    let patch = outcome.patch.to_text_lossy();
    assert!(patch.contains("-        self.total -= value\n+        self.total += value\n"), "{patch}");
    assert_eq!(patch.matches("\n+").count(), 2, "the repeated `def clear` is dropped: {patch}");

    let first = last_of(trajectory, 0);
    assert!(first.contains("<issue>\nCalculator.add subtracts the value.\n</issue>"), "{first}");
    assert!(first.contains("calc/ops.py\n```\n") && first.contains("def add(self, value):"), "{first}");
    assert!(!first.contains("test_ops"), "{first}");
    let results = last_of(trajectory, 1);
    assert!(
        results
            .contains("<span id='Calculator.add'>\n\n    def add(self, value):\n        self.total -= value"),
        "{results}"
    );
    assert!(!results.contains("# the sum"), "comments are hidden: {results}");
    assert!(last_of(trajectory, 2).contains("<scratch_pad>\nlook\n</scratch_pad>"));
    let plan = last_of(trajectory, 3);
    assert!(plan.contains("<span id='Calculator.add'>"), "{plan}");
    let edit = last_of(trajectory, 4);
    assert!(edit.contains("<instructions>\nAdd the value.\n</instructions>"), "{edit}");
    assert!(edit.ends_with("<search>\n    def add(self, value):\n        # the sum\n        self.total -= value\n        return self.total\n</search>"), "{edit}");
    let after = prompt(trajectory, 5);
    let roles: Vec<Role> = after.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    assert!(after[3].content.contains("Applied the change to calc/ops.py."), "{}", after[3].content);
    assert!(
        after[3].content.contains("<diff>\n--- calc/ops.py\n+++ calc/ops.py\n@@ "),
        "{}",
        after[3].content
    );
    assert!(after[3].content.contains("Plus, not minus."));
    let contents: std::collections::HashSet<_> =
        trajectory.messages.iter().map(|message| (message.role == Role::User, &message.content)).collect();
    assert_eq!(contents.len(), trajectory.messages.len(), "each message is stored once");
}

#[tokio::test]
async fn answers_that_do_not_fit_are_said_to_and_three_are_the_end() {
    let place = Place::new(&[]);
    let answers = vec![
        says("no JSON"),
        gives(&json!({"search_requests": [{"query": "add"}]})),
        search(&json!({"query": "add", "file_pattern": "tests/*.py"})),
    ];
    let outcome = place.play(answers).await;
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::Rejected);
    assert!(last_of(&outcome.trajectory, 1).contains("there is no object in it"));
    let third = prompt(&outcome.trajectory, 2);
    assert_eq!(third.len(), 6);
    assert!(third[5].content.contains("missing field `scratch_pad`"), "{}", third[5].content);

    let empty = json!({"scratch_pad": "x", "search_requests": [{"file_pattern": "*.py"}]});
    let answers = vec![
        search(&json!({"query": "add", "file_pattern": "test_x.py"})),
        gives(&empty),
        search(&json!({"class_names": ["Nothing"]})),
    ];
    let outcome = place.play(answers).await;
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::Rejected);
    assert_eq!(last_of(&outcome.trajectory, 1), "Test files cannot be searched.");
    assert!(last_of(&outcome.trajectory, 2).contains("at least one of query"));
}

#[tokio::test]
async fn edits_that_break_the_code_are_not_applied() {
    let place = Place::new(&[]);
    let mut answers = found();
    answers.extend([
        modify("calc/ops.py", "Calculator.clear"),
        modify("calc/ops.py", "Calculator.add"),
        says("<replace>\n    def add(self, value:\n        return\n</replace>"),
        says(
            "<replace>\n    def add(self, value):\n        # ... rest of the code\n        return self.total",
        ),
        says("nothing"),
    ]);
    let outcome = place.play(answers).await;
    let trajectory = &outcome.trajectory;
    assert_eq!(trajectory.exit_status, ExitStatus::Rejected);
    assert!(
        last_of(trajectory, 4).contains("There is no span Calculator.clear. These are available: "),
        "{}",
        last_of(trajectory, 4)
    );
    assert!(last_of(trajectory, 6).contains("invalid"), "{}", last_of(trajectory, 6));
    assert!(last_of(trajectory, 7).contains("has a placeholder `# ... rest of the code`"));
    assert!(outcome.patch.is_empty());
}

#[tokio::test]
async fn a_rejected_edit_goes_back_to_planning() {
    let place = Place::new(&[]);
    let mut answers = found();
    let reject = json!({"scratch_pad": "no", "action": "reject", "reject": "cannot"});
    answers.extend([
        modify("calc/ops.py", "Calculator.add"),
        says("<reject>too hard</reject>"),
        gives(&reject),
    ]);
    let outcome = place.play(answers).await;
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::Rejected);
    assert!(last_of(&outcome.trajectory, 5).starts_with("too hard\n"), "{}", last_of(&outcome.trajectory, 5));
}

#[tokio::test]
async fn going_on_and_on_is_rejected_at_the_limits_of_upstream() {
    let place = Place::new(&[]);
    let nothing = gives(&json!({"scratch_pad": "none of it", "identified_spans": []}));
    let names = json!({"class_names": ["Calculator"]});
    let searches = move |number| Some(if number % 2 == 0 { search(&names) } else { nothing.clone() });
    let outcome = place.run(Answers(searches, 0)).await.unwrap();
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::Rejected);
    assert_eq!(outcome.trajectory.steps.len(), 25, "the 26th transition is not made");

    let begin = found();
    let plans = move |number: usize| {
        Some(match begin.get(number) {
            Some(answer) => answer.clone(),
            None if number % 2 == 1 => modify("calc/ops.py", "Calculator.add"),
            None => says("<reject>no</reject>"),
        })
    };
    let outcome = place.run(Answers(plans, 0)).await.unwrap();
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::Rejected);
    assert_eq!(outcome.trajectory.steps.len(), 3 + 2 * 9, "the tenth plan is not made");
}

#[tokio::test]
async fn what_was_left_may_not_have_cost_too_much() {
    let place = Place::new(&[]);
    let dear = |answer: Completion| Completion { cost: Some(0.6), ..answer };
    let outcome = place.play(found().into_iter().map(dear).collect()).await;
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::CostLimit);
    assert_eq!(outcome.trajectory.steps.len(), 3);
}

#[tokio::test]
async fn lines_of_a_large_span_are_chosen_first() {
    let body: String = (0..300).map(|line| format!("    x{line} = {line}\n")).collect();
    let large = format!("def large():\r\n{}    return x1\r\n", body.replace('\n', "\r\n"));
    let place = Place::new(&[("calc/large.py", large.as_bytes())]);
    let lines =
        |start: i64, end: i64| gives(&json!({"scratch_pad": "there", "start_line": start, "end_line": end}));
    let outcome = place
        .play(vec![
            search(&json!({"function_names": ["large"]})),
            identify("calc/large.py", "large"),
            decide(),
            modify("calc/large.py", "large"),
            lines(1, 302),
            lines(-5, 3),
            lines(100, 101),
            says("<replace>\n    x98 = 'new'\n</replace>"),
            finish(),
        ])
        .await;
    let trajectory = &outcome.trajectory;
    assert_eq!(trajectory.exit_status, ExitStatus::Finished);
    assert!(last_of(trajectory, 4).contains("\n100       x98 = 98\n"), "{}", last_of(trajectory, 4));
    assert!(last_of(trajectory, 5).contains("the whole span"));
    assert!(last_of(trajectory, 6).contains("no range of lines"));
    let edit = last_of(trajectory, 7);
    assert!(edit.ends_with("<search>\n    x94 = 94\n    x95 = 95\n    x96 = 96\n    x97 = 97\n    x98 = 98\n    x99 = 99\n    x100 = 100\n    x101 = 101\n    x102 = 102\n    x103 = 103\n</search>"), "{edit}");
    let patch = outcome.patch.to_text_lossy();
    assert!(
        patch.contains("+    x98 = 'new'\r\n") && !patch.contains("-def large"),
        "line ends are kept: {patch}"
    );
}

#[tokio::test]
async fn hostile_files_and_answers_are_bounded() {
    let deep: String = (0..400).map(|depth| format!("{}if x:\n", " ".repeat(depth))).collect();
    let line = format!("x = '{}'\n", "y".repeat(5 << 20));
    let nested = format!("x = {}{}\n", "(".repeat(50_000), ")".repeat(50_000));
    let place = Place::new(&[
        ("calc/deep.py", deep.as_bytes()),
        ("calc/line.py", line.as_bytes()),
        ("calc/nested.py", nested.as_bytes()),
        ("calc/bytes.py", b"def broken(): return '\xff\xfe'\n"),
        ("calc/nul.py", b"def nul():\n    return '\0'\n"),
    ]);
    let hostile = json!({
        "query": "x".repeat(100_000),
        "function_names": ["area", "\0"],
        "file_pattern": "**/".repeat(300),
    });
    let outcome = place
        .play(vec![
            says("{".repeat(10 << 20)),
            search(&hostile),
            identify("../../etc/passwd", "\0"),
            decide(),
            modify("../../etc/passwd", "imports"),
            modify("calc/bytes.py", "broken"),
            says("}{\"scratch_pad\": \"\\ud800\"}"),
        ])
        .await;
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::Rejected);
    assert_eq!(outcome.trajectory.steps.len(), 7);
    assert!(last_of(&outcome.trajectory, 5).contains("is not in the file context"));
    assert!(outcome.patch.is_empty());
}

#[tokio::test]
async fn prompts_can_be_replaced() {
    let mut place = Place::new(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("search_system.j2");
    std::fs::write(&file, "Mine.").unwrap();
    place.scaffold.prompts = Workflow::prompts_from(folder.path()).unwrap();
    let end = vec![gives(&json!({"scratch_pad": "all is found", "complete": true})), finish()];
    let outcome = place.play(end).await;
    assert!(prompt(&outcome.trajectory, 0)[0].content.starts_with("Mine."));
    assert!(last_of(&outcome.trajectory, 1).contains("all is found"));
    std::fs::write(&file, "{{ nobody }}").unwrap();
    let error = Workflow::prompts_from(folder.path()).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("search_system.j2", Some(1)));
}
