//! Images, sandboxes and solvers that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use swegym_core::{Boundary, EventKind, ExitStatus, Instance, InstanceId, RolloutStatus};
use swegym_runner::{AttemptError, Solution, Solver, Workshop};
use swegym_sandbox::{Backend, Sandbox, SandboxError, SandboxSpec};
use swegym_testkit::ScriptedServer;

use crate::toy::{ATTEMPTS, Toy, fix, key, model};

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
    let (workshop, _) = refusing(&toy, &server, |number| matches!(number, 0 | 1 | 3 | 4));
    let ran = toy.run("evaluation", workshop, &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 1, 1, 0));
    assert_eq!((ran.record(1).failed_attempts, ran.view.attempts(&key(1)).unwrap()), (4, 4));
    assert_eq!(server.requests().len(), 2, "the model is asked for one rollout");
    let events = ran.events();
    let count = |wanted: fn(&EventKind) -> bool| events.iter().filter(|kind| wanted(kind)).count();
    assert_eq!(count(|kind| matches!(kind, EventKind::RolloutStarted { .. })), 5);
    assert_eq!(count(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 4);
    assert_eq!(count(|kind| matches!(kind, EventKind::AgentFinished { .. })), 1);
}

#[tokio::test]
async fn a_solution_that_cannot_be_evaluated_is_kept() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start_with(fix).await;
    let (workshop, asked) = refusing(&toy, &server, |number| number > 0);
    let ran = toy.run("unevaluated", workshop, &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 0, 0, 1));
    assert_eq!(asked.load(Ordering::SeqCst), 1 + usize::try_from(ATTEMPTS).unwrap());
    assert_eq!(server.requests().len(), 2);
    let record = ran.record(1);
    assert_eq!((record.status, record.exit_status), (RolloutStatus::Failed, Some(ExitStatus::Finished)));
    assert_eq!((record.verdict, record.failure.unwrap().kind.as_str()), (None, "sandbox_create"));
    assert!(!ran.view.patch(&key(1)).unwrap().unwrap().is_empty());
    assert_eq!(ran.view.trajectory(&key(1)).unwrap().unwrap().steps.len(), 2);
}
