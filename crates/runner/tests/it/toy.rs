//! A workshop on the toy repository. Its image is made by hand, so that nothing is fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use swegym_agent::CodeAct;
use swegym_core::{
    Boundary, Event, EventKind, Failure, Instance, InstanceId, Patch, RolloutKey, RolloutRecord, RunCounts,
    TestCommand, Timings, Trajectory,
};
use swegym_data::{RunConfig, RunDir, RunView};
use swegym_environment::BuiltImage;
use swegym_harness::EvalLimits;
use swegym_images::{Image, ImageConfig, Layer};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, GoldPolicy, GoldTask};
use swegym_runner::{
    EventSink, Images, Limits, PolicyFactory, RunPlan, Runner, ScaffoldSolver, Solver, Workshop,
};
use swegym_sandbox::{
    Backend, Level, LocalBackend, LocalConfig, OutputLimit, host_base, host_package_masks, layer_owner, probe,
};
use swegym_testkit::{RecordedRequest, Reply, ToyRepo, toy_repo};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Stands in for pytest, so that nothing has to be installed: it looks whether the code has what each test asks for.
const RUN_TESTS: &str = r#"failed=0
for name in $(sed -n 's/^def \(test_[a-z_]*\)().*/\1/p' "$1"); do
    case $name in
        test_add) wanted='return a + b' ;;
        test_mean) wanted='sum(values) / len(values)' ;;
        test_mean_of_nothing) wanted='if values else 0' ;;
    esac
    if grep -qF "$wanted" toy/calc.py; then echo "PASSED $1::$name"; else echo "FAILED $1::$name"; failed=1; fi
done
exit $failed
"#;

/// Attempts at each part of a rollout.
pub(crate) const ATTEMPTS: u32 = 3;

/// Everything that runs need.
pub(crate) struct Toy {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) repo: ToyRepo,
    image: Image,
    dir: TempDir,
}

impl Toy {
    /// `None` where sandboxes are not possible, after saying so.
    pub(crate) async fn start() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let config = LocalConfig {
            guest_program: env!("CARGO_BIN_EXE_swegym-runner-test-guest").into(),
            guest_args: Vec::new(),
            state_dir: dir.path().join("sandboxes"),
        };
        if let Some(missing) = probe(&config).await.into_iter().find(|probe| probe.level == Level::Fail) {
            println!("skipped: {}: {}", missing.name, missing.detail);
            return None;
        }
        let backend = Arc::new(LocalBackend::start(&config).await.unwrap());
        let repo = toy_repo();
        let image = image(&layer(dir.path(), &repo));
        Some(Self { backend, repo, image, dir })
    }

    /// On another backend, which is told of the folder with the repository and its tests.
    pub(crate) fn on(backend: impl FnOnce(PathBuf) -> Arc<dyn Backend>, image: Image) -> Self {
        let dir = TempDir::new().unwrap();
        let repo = toy_repo();
        let backend = backend(layer(dir.path(), &repo));
        Self { backend, repo, image, dir }
    }

    /// The task of the repository under `count` names. The names stand in the problem statements.
    pub(crate) fn instances(&self, count: usize) -> Vec<Arc<Instance>> {
        let row = self.repo.instance().to_row().clone();
        let instance = |number| {
            let mut row = row.clone();
            row["instance_id"] = name(number).into();
            let Value::String(statement) = &mut row["problem_statement"] else { panic!("it is text") };
            statement.push_str(&format!(" ({})", name(number)));
            Arc::new(Instance::from_row(row).unwrap())
        };
        (1..=count).map(instance).collect()
    }

    /// A plan for the first `count` instances, one sample each, one at a time.
    pub(crate) fn plan(&self, count: usize) -> RunPlan {
        RunPlan { name: "toy".to_owned(), instances: self.instances(count), samples: 1, jobs: 1 }
    }

    pub(crate) fn workshop(&self, solver: impl Solver + 'static) -> Workshop {
        Workshop {
            network: swegym_sandbox::Network::None,
            backend: Arc::clone(&self.backend),
            images: Arc::new(ToyImages { image: self.image.clone(), broken: None }),
            solver: Arc::new(solver),
            limits: Limits {
                sandbox: swegym_sandbox::Limits::default(),
                profile: Default::default(),
                eval: EvalLimits {
                    time_limit: Duration::from_secs(60),
                    log_limit: OutputLimit { head: 1 << 20, tail: 1 << 20 },
                },
                audit: false,
                attempts: ATTEMPTS,
                pause: Duration::ZERO,
            },
        }
    }

    /// Images, of which that of one instance cannot be built.
    pub(crate) fn images_without(&self, broken: &Instance) -> Arc<dyn Images> {
        Arc::new(ToyImages { image: self.image.clone(), broken: Some(broken.id().clone()) })
    }

    /// What a process does that runs or resumes `plan` in the run directory of this name.
    pub(crate) async fn run(&self, name: &str, workshop: Workshop, plan: &RunPlan) -> Ran {
        self.run_until(name, workshop, plan, &CancellationToken::new()).await
    }

    pub(crate) async fn run_until(
        &self,
        name: &str,
        workshop: Workshop,
        plan: &RunPlan,
        cancel: &CancellationToken,
    ) -> Ran {
        let path = self.dir.path().join(name);
        let run = Arc::new(RunDir::open(&path, &RunConfig::default()).unwrap());
        let runner = Runner::new(run, Arc::new(workshop), Box::new(Silent)).unwrap();
        let counts = runner.run(plan, cancel).await.unwrap();
        Ran { counts, view: RunView::open(&path).unwrap() }
    }
}

/// A run after its process has ended.
pub(crate) struct Ran {
    pub(crate) counts: RunCounts,
    pub(crate) view: RunView,
}

impl Ran {
    /// Planned, completed, resolved, failed.
    pub(crate) fn counts(&self) -> (usize, usize, usize, usize) {
        let RunCounts { planned, completed, resolved, failed } = self.counts;
        (planned, completed, resolved, failed)
    }

    pub(crate) fn record(&self, number: usize) -> RolloutRecord {
        self.view.committed(&key(number)).unwrap().unwrap()
    }

    pub(crate) fn events(&self) -> Vec<EventKind> {
        self.view.events().unwrap().into_iter().map(|event| event.kind).collect()
    }

    /// Everything that is committed, in order, but for times.
    pub(crate) fn committed(&self) -> Vec<(RolloutRecord, Option<Patch>, Option<Trajectory>)> {
        let timeless = |mut record: RolloutRecord| {
            record.timings = Timings::default();
            record.verdict.iter_mut().for_each(|verdict| verdict.test_ms = 0);
            let mut trajectory = self.view.trajectory(&record.key).unwrap();
            for step in trajectory.iter_mut().flat_map(|trajectory| &mut trajectory.steps) {
                (step.model_ms, step.tool_ms) = (0, 0);
            }
            let patch = self.view.patch(&record.key).unwrap();
            (record, patch, trajectory)
        };
        self.view.records().unwrap().into_iter().map(timeless).collect()
    }

    /// How often each rollout was finished, in order.
    pub(crate) fn finished(&self) -> Vec<RolloutKey> {
        let mut finished: Vec<_> = self.events().into_iter().filter_map(finished_key).collect();
        finished.sort_unstable();
        finished
    }
}

fn finished_key(kind: EventKind) -> Option<RolloutKey> {
    match kind {
        EventKind::RolloutFinished { key, .. } => Some(key),
        _ => None,
    }
}

fn name(number: usize) -> String {
    format!("toy__toy-{number}")
}

/// The first sample of an instance, counted from 1.
pub(crate) fn key(number: usize) -> RolloutKey {
    RolloutKey { instance_id: InstanceId::new(name(number)).unwrap(), sample: 0 }
}

/// Whether a conversation is about an instance, counted from 1.
pub(crate) fn is_about(request: &RecordedRequest, number: usize) -> bool {
    let marker = format!("({})", name(number));
    request.messages().iter().any(|message| message.content.contains(&marker))
}

/// A model behind an endpoint, asked again at once.
pub(crate) fn model(base_url: &str) -> ScaffoldSolver {
    let mut config = ClientConfig::new(base_url, "toy-model");
    (config.max_tries, config.first_backoff, config.max_backoff) = (2, Duration::ZERO, Duration::ZERO);
    let client = Arc::new(ChatClient::new(config).unwrap());
    scaffold("toy-model", Arc::new(move |_, _| Ok(Box::new(ChatPolicy::new(Arc::clone(&client))))))
}

/// The command that solves the task.
pub(crate) const FIX: &str = "sed -i 's:/ len(values)$:/ len(values) if values else 0:' toy/calc.py";

/// What a good model says.
pub(crate) fn fix(request: &RecordedRequest) -> Reply {
    match request.turn() {
        0 => bash(FIX),
        _ => Reply::call("finish", &serde_json::json!({})),
    }
}

pub(crate) fn bash(command: &str) -> Reply {
    Reply::call("execute_bash", &serde_json::json!({ "command": command }))
}

pub(crate) fn scaffold(policy: &str, factory: PolicyFactory) -> ScaffoldSolver {
    ScaffoldSolver { policy: policy.to_owned(), factory, scaffold: Arc::new(CodeAct::default()) }
}

/// The policy that knows the fix.
pub(crate) fn gold(instance: &Instance) -> GoldPolicy {
    GoldPolicy::new(GoldTask {
        patch: instance.grading.patch.clone(),
        repo_dir: "/testbed".to_owned(),
        test_command: "bash /opt/run-tests tests/test_calc.py".to_owned(),
    })
}

struct Silent;

impl EventSink for Silent {
    fn event(&mut self, _: &Event) {}
}

struct ToyImages {
    image: Image,
    broken: Option<InstanceId>,
}

#[async_trait]
impl Images for ToyImages {
    async fn image(&self, instance: &Instance) -> Result<BuiltImage, Failure> {
        if self.broken.as_ref() == Some(instance.id()) {
            return Err(Failure {
                boundary: Boundary::Sandbox,
                kind: "image_build".to_owned(),
                message: "failed to build the image".to_owned(),
                retryable: false,
            });
        }
        Ok(BuiltImage { image: self.image.clone(), reused: true })
    }

    fn test_command(&self, _: &Instance) -> Result<TestCommand, Failure> {
        Ok(TestCommand { eval_commands: Vec::new(), test_cmd: "bash /opt/run-tests".to_owned() })
    }
}

/// The repository at `/testbed` and the test command, owned by whom layers must belong to.
fn layer(parent: &Path, repo: &ToyRepo) -> PathBuf {
    let layer = parent.join("layer");
    fs::create_dir_all(layer.join("opt")).unwrap();
    fs::write(layer.join("opt/run-tests"), RUN_TESTS).unwrap();
    must(Command::new("cp").arg("-a").arg(repo.path()).arg(layer.join("testbed")));
    must(Command::new("chmod").arg("755").arg(layer.join("testbed")));
    if let Some((uid, gid)) = layer_owner() {
        must(Command::new("chown").args(["-hR", &format!("{uid}:{gid}")]).arg(&layer));
    }
    layer
}

fn must(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn image(layer: &Path) -> Image {
    let env = [("HOME", "/root"), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
    Image {
        layers: vec![Layer::unmanaged("toy", layer)],
        config: ImageConfig {
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            workdir: "/testbed".into(),
            binds: host_base(),
            masks: host_package_masks(),
        },
        reference: None,
    }
}
