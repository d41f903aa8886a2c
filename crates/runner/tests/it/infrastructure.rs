//! Images, sandboxes and solvers that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use swegym_core::{Boundary, EventKind, ExitStatus, Instance, InstanceId, RolloutStatus};
use swegym_runner::{AttemptError, PredictionSolver, Solution, Solver, Workshop};
use swegym_sandbox::{Backend, ExecOutput, ExecRequest, Sandbox, SandboxError, SandboxSpec};
use swegym_testkit::ScriptedServer;

use crate::toy::{Toy, fix, key, model};

/// Solves every instance but the second one.
struct PanicsAtSecond;

#[async_trait]
impl Solver for PanicsAtSecond {
    fn name(&self, _: &InstanceId) -> String {
        "panics".to_owned()
    }

    fn needs_sandbox(&self) -> bool {
        true
    }

    async fn solve(
        &self,
        instance: &Instance,
        _: u32,
        sandbox: Option<&dyn Sandbox>,
    ) -> Result<Solution, AttemptError> {
        assert!(sandbox.is_some());
        assert!(*instance.id() != key(2).instance_id, "no way to go on with {}", instance.id());
        Ok(Solution { patch: instance.grading.patch.clone(), trajectory: None })
    }
}

#[tokio::test]
async fn a_panic_costs_one_rollout() {
    let Some(toy) = Toy::start().await else { return };
    let ran = toy.run("panic", toy.workshop(PanicsAtSecond), &toy.plan(3)).await;
    assert_eq!(ran.counts(), (3, 2, 2, 1));
    let failure = ran.record(2).failure.unwrap();
    assert_eq!((failure.boundary, failure.kind.as_str()), (Boundary::Internal, "panic"));
    assert!(failure.message.ends_with("no way to go on with toy__toy-2"), "{failure}");
}

#[tokio::test]
async fn an_image_that_cannot_be_built_costs_its_rollouts() {
    let Some(toy) = Toy::start().await else { return };
    let plan = toy.plan(3);
    let server = ScriptedServer::start_with(fix).await;
    let workshop = Workshop {
        network: swegym_sandbox::Network::None,
        images: toy.images_without(&plan.instances[1]),
        ..toy.workshop(model(&server.base_url()))
    };
    let ran = toy.run("image", workshop, &plan).await;
    assert_eq!(ran.counts(), (3, 2, 2, 1));
    let record = ran.record(2);
    assert_eq!((record.failed_attempts, record.failure.unwrap().kind.as_str()), (0, "image_build"));
    assert_eq!(ran.view.patch(&key(2)).unwrap(), None);
}

/// Refuses to make some of the sandboxes, by their number from 0.
struct Refusing {
    backend: Arc<dyn Backend>,
    refuses: fn(usize) -> bool,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Backend for Refusing {
    async fn create(&self, spec: &SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        if (self.refuses)(self.asked.fetch_add(1, Ordering::SeqCst)) {
            let (step, message) = ("make namespaces".to_owned(), "No space left on device".to_owned());
            return Err(SandboxError::Create { step, message });
        }
        self.backend.create(spec).await
    }

    fn unenforced(&self) -> Vec<String> {
        self.backend.unenforced()
    }
}

fn refusing(toy: &Toy, server: &ScriptedServer, refuses: fn(usize) -> bool) -> (Workshop, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let backend = Refusing { backend: Arc::clone(&toy.backend), refuses, asked: Arc::clone(&asked) };
    (Workshop { backend: Arc::new(backend), ..toy.workshop(model(&server.base_url())) }, asked)
}

#[tokio::test]
async fn a_solution_outlives_the_failure_of_its_evaluation() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start_with(fix).await;
    // Sandbox 2 is the one that the model works in. Each part uses up all but the last of its attempts.
    let (workshop, _) = refusing(&toy, &server, |number| matches!(number, 0 | 1 | 3));
    let ran = toy.run("evaluation", workshop, &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 1, 1, 0));
    assert_eq!((ran.record(1).failed_attempts, ran.view.attempts(&key(1)).unwrap()), (3, 3));
    assert_eq!(server.requests().len(), 2, "the model is asked for one rollout");
    let events = ran.events();
    let count = |wanted: fn(&EventKind) -> bool| events.iter().filter(|kind| wanted(kind)).count();
    assert_eq!(count(|kind| matches!(kind, EventKind::RolloutStarted { .. })), 4);
    assert_eq!(count(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 3);
    assert_eq!(count(|kind| matches!(kind, EventKind::AgentFinished { .. })), 1);
}

#[tokio::test]
async fn a_solution_that_cannot_be_evaluated_is_kept() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start_with(fix).await;
    let (workshop, asked) = refusing(&toy, &server, |number| number > 0);
    let ran = toy.run("unevaluated", workshop, &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 0, 0, 1));
    assert_eq!(asked.load(Ordering::SeqCst), 1 + 2, "an evaluation is tried once more");
    assert_eq!(server.requests().len(), 2);
    let record = ran.record(1);
    assert_eq!((record.status, record.exit_status), (RolloutStatus::Failed, Some(ExitStatus::Finished)));
    assert_eq!((record.verdict, record.failure.unwrap().kind.as_str()), (None, "sandbox_create"));
    assert!(!ran.view.patch(&key(1)).unwrap().unwrap().is_empty());
    assert_eq!(ran.view.trajectory(&key(1)).unwrap().unwrap().steps.len(), 2);
}

/// Ends some of the sandboxes, by their number from 0, under their first command, or makes them ones without room.
struct Breaking {
    backend: Arc<dyn Backend>,
    error: fn() -> SandboxError,
    breaks: fn(usize) -> bool,
    made: Arc<AtomicUsize>,
}

struct Broken(fn() -> SandboxError);

#[async_trait]
impl Backend for Breaking {
    async fn create(&self, spec: &SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        match (self.breaks)(self.made.fetch_add(1, Ordering::SeqCst)) {
            true => Ok(Box::new(Broken(self.error))),
            false => self.backend.create(spec).await,
        }
    }

    fn unenforced(&self) -> Vec<String> {
        self.backend.unenforced()
    }
}

#[async_trait]
impl Sandbox for Broken {
    async fn exec(&self, _: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        Err((self.0)())
    }

    async fn read_file(&self, _: &str, _: u64) -> Result<Vec<u8>, SandboxError> {
        Err((self.0)())
    }

    async fn write_file(&self, _: &str, _: &[u8]) -> Result<(), SandboxError> {
        Err((self.0)())
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        Ok(())
    }
}

fn no_room() -> SandboxError {
    let (path, message) = ("/tmp/x".to_owned(), "No space left on device".to_owned());
    SandboxError::File { action: "write", path, message, errno: Some(28) }
}

fn no_program() -> SandboxError {
    SandboxError::Start { program: "git".to_owned(), message: "No such file or directory".to_owned() }
}

#[tokio::test]
async fn what_kept_an_evaluation_from_happening_decides_whether_it_is_tried_again() {
    let Some(toy) = Toy::start().await else { return };
    let gone: fn() -> SandboxError = || SandboxError::Gone;
    let all: fn(usize) -> bool = |_| true;
    // Each attempt has a sandbox for the survey of the instance, and after it one for the evaluation.
    for (name, error, breaks, sandboxes, class) in [
        ("gone once at the survey", gone, (|number| number == 0) as fn(usize) -> bool, 3, None),
        ("gone once", gone, |number| number == 1, 4, None),
        ("gone", gone, all, 2, Some("killed")),
        ("full", no_room as fn() -> SandboxError, all, 2, Some("disk full")),
        ("bad image", no_program, all, 1, Some("sandbox")),
    ] {
        let made = Arc::new(AtomicUsize::new(0));
        let backend = Breaking { backend: Arc::clone(&toy.backend), error, breaks, made: Arc::clone(&made) };
        let plan = toy.plan(1);
        let instance = &plan.instances[0];
        let prediction = ("gold".to_owned(), instance.grading.patch.clone());
        let solver = PredictionSolver { predictions: [(instance.id().clone(), prediction)].into() };
        let workshop = Workshop { backend: Arc::new(backend), ..toy.workshop(solver) };
        let ran = toy.run(name, workshop, &plan).await;
        let failure = ran.record(1).failure;
        assert_eq!(failure.as_ref().map(|failure| failure.class().as_str()), class, "{name}: {failure:?}");
        assert_eq!(made.load(Ordering::SeqCst), sandboxes, "{name}");
        let failed = usize::from(class.is_some());
        assert_eq!(ran.counts(), (1, 1 - failed, 1 - failed, failed), "{name}: it stays in the count");
    }
}
