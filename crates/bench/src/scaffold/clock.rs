//! Measures what passes between two waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use swegym_core::{ChatRequest, Completion};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::{
    ExecOutput, ExecRequest, Sandbox, SandboxError, Session, SessionOutput, SessionSpec, SessionState,
};
use tokio::sync::Barrier;

/// Adds up what passes between two waits.
#[derive(Clone, Default)]
pub(super) struct Clock(Arc<Mutex<Times>>);

#[derive(Default)]
struct Times {
    resumed: Option<Instant>,
    step: Duration,
    steps: Vec<Duration>,
    answers: Vec<Duration>,
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scaffold waits for something.
    async fn stopped<T>(&self, what: impl Future<Output = T>) -> T {
        {
            let mut times = self.lock();
            let since = times.resumed.take();
            times.step += since.map_or(Duration::ZERO, |resumed| resumed.elapsed());
        }
        let result = what.await;
        self.lock().resumed = Some(Instant::now());
        result
    }

    /// A step is over, whose answer took this long.
    fn step(&self, answer: Duration) {
        let mut times = self.lock();
        let step = std::mem::take(&mut times.step);
        times.steps.push(step);
        times.answers.push(answer);
    }

    /// The scaffold's own time of each step, and how long each answer took. What goes before the first answer belongs to
    /// no step.
    pub(super) fn samples(&self) -> (Vec<Duration>, Vec<Duration>) {
        let times = self.lock();
        (times.steps.iter().skip(1).copied().collect(), times.answers.clone())
    }
}

/// A sandbox, a session in one or a policy that stops the clock while it works.
pub(super) struct Timed<T> {
    pub(super) inner: T,
    pub(super) clock: Clock,
}

/// A policy that waits at both gates before its last answer.
pub(super) struct Gated<T> {
    pub(super) inner: T,
    pub(super) clock: Clock,
    /// Answers before the last one.
    pub(super) left: usize,
    pub(super) gates: Arc<[Barrier; 2]>,
}

#[async_trait]
impl<T: Policy> Policy for Gated<T> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        let clock = self.clock.clone();
        let (answer, took) = clock
            .stopped(async {
                match self.left.checked_sub(1) {
                    Some(left) => self.left = left,
                    None => {
                        self.gates[0].wait().await;
                        self.gates[1].wait().await;
                    }
                }
                let asked = Instant::now();
                (self.inner.complete(request).await, asked.elapsed())
            })
            .await;
        clock.step(took);
        answer
    }
}

#[async_trait]
impl Sandbox for Timed<Box<dyn Sandbox>> {
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        self.clock.stopped(self.inner.exec(request)).await
    }

    async fn open_session(&self, spec: &SessionSpec) -> Result<Box<dyn Session>, SandboxError> {
        let inner = self.clock.stopped(self.inner.open_session(spec)).await?;
        Ok(Box::new(Timed { inner, clock: self.clock.clone() }))
    }

    async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        self.clock.stopped(self.inner.read_file(path, limit)).await
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        self.clock.stopped(self.inner.write_file(path, content)).await
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        self.inner.destroy().await
    }
}

#[async_trait]
impl Session for Timed<Box<dyn Session>> {
    async fn run(&self, command: &str, patience: Duration) -> Result<SessionOutput, SandboxError> {
        self.clock.stopped(self.inner.run(command, patience)).await
    }

    async fn poll(&self, patience: Duration) -> Result<SessionOutput, SandboxError> {
        self.clock.stopped(self.inner.poll(patience)).await
    }

    async fn send_input(&self, input: &[u8]) -> Result<(), SandboxError> {
        self.clock.stopped(self.inner.send_input(input)).await
    }

    async fn interrupt(&self) -> Result<(), SandboxError> {
        self.clock.stopped(self.inner.interrupt()).await
    }

    async fn kill_foreground(&self) -> Result<(), SandboxError> {
        self.clock.stopped(self.inner.kill_foreground()).await
    }

    async fn state(&self) -> Result<SessionState, SandboxError> {
        self.clock.stopped(self.inner.state()).await
    }
}
