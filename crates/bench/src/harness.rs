//! The harness's own share of an evaluation: all but the tests themselves, on a toy instance whose image is there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use swegym_core::{Patch, TestCommand};
use swegym_harness::{EvalLimits, Survey, evaluate};
use swegym_images::{Image, ImageConfig, Layer};
use swegym_sandbox::{
    Backend, Limits, LocalBackend, Network, OutputLimit, SandboxSpec, Upper, host_base, host_package_masks,
    layer_owner,
};
use swegym_testkit::{ToyRepo, toy_repo};

use crate::{percentile, sandbox};

/// Stands in for pytest, so that nothing has to be installed; by its name it gets the side channel, and ignores it.
const PYTEST: &str = "echo PASSED tests/test_calc.py::test_add\n";
/// After each: what nobody waits for belongs to nothing that is measured next.
const PAUSE: Duration = Duration::from_millis(30);
/// Clock ticks of `/proc` in a second, on Linux.
const TICKS: f64 = 100.0;

/// Times of one evaluation.
struct Times {
    create: Duration,
    /// Without the tests.
    evaluate: Duration,
    destroy: Duration,
    tests: Duration,
    /// User and system time of everything in the sandbox, where the machine tells.
    inside: Option<Duration>,
}

/// What is measured: an instance, its image, and a backend to make sandboxes of it.
struct Subject {
    backend: LocalBackend,
    spec: SandboxSpec,
    repo: ToyRepo,
}

/// Prints one line: wall time by part, and processor time, which a busy machine changes less: in the sandbox, tests
/// included, and of this program with its launcher. The survey of the instance is made once for all of its predictions,
/// so it is told apart, with its sandbox. The goal is 50 ms at the median.
pub(crate) fn run(rounds: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (repo, dir) = (toy_repo(), tempfile::tempdir()?);
    let spec = spec(&layer(dir.path(), &repo)?);
    let config = sandbox::config(&dir.path().join("state"))?;
    let begin = processor_seconds()?;
    // Not on the main thread, which is woken by another one whenever something arrives: evaluations are tasks, too.
    let measured = runtime.spawn(async move {
        let subject = Subject { backend: LocalBackend::start(&config).await?, spec, repo };
        subject.evaluation(&subject.survey().await?.0).await?;
        let (mut all, mut surveys) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (survey, took) = subject.survey().await?;
            surveys.push(took);
            tokio::time::sleep(PAUSE).await;
            all.push(subject.evaluation(&survey).await?);
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok((all, surveys))
    });
    let (all, mut surveys) = runtime.block_on(measured)??;
    drop(runtime);
    let outside = 1000.0 * (processor_seconds()? - begin) / (rounds + 1) as f64;
    let mut inside: Vec<Duration> = all.iter().filter_map(|times| times.inside).collect();
    let overhead = |times: &Times| times.create + times.evaluate + times.destroy;
    let part = |of: &dyn Fn(&Times) -> Duration, percent| {
        let mut samples: Vec<Duration> = all.iter().map(of).collect();
        percentile(&mut samples, percent)
    };
    println!(
        "{}",
        json!({
            "bench": "harness", "n": rounds, "unit": "ms",
            "p10": part(&overhead, 10), "p50": part(&overhead, 50), "p90": part(&overhead, 90),
            "create_p50": part(&|times| times.create, 50), "evaluate_p50": part(&|times| times.evaluate, 50),
            "destroy_p50": part(&|times| times.destroy, 50), "tests_p50": part(&|times| times.tests, 50),
            "survey_p50": percentile(&mut surveys, 50),
            "cpu_inside_p50_with_tests": percentile(&mut inside, 50), "cpu_outside_mean": outside,
        })
    );
    Ok(())
}

impl Subject {
    async fn survey(&self) -> anyhow::Result<(Survey, Duration)> {
        let begin = Instant::now();
        let sandbox = self.backend.create(&self.spec).await?;
        let survey = Survey::of(&*sandbox, Arc::new(self.repo.instance())).await?;
        sandbox.destroy().await?;
        Ok((survey, begin.elapsed()))
    }

    async fn evaluation(&self, survey: &Survey) -> anyhow::Result<Times> {
        let command = TestCommand { eval_commands: Vec::new(), test_cmd: "bash /opt/pytest".to_owned() };
        let log_limit = OutputLimit { head: 1 << 20, tail: 1 << 20 };
        let limits = EvalLimits { time_limit: Duration::from_secs(60), log_limit };
        let prediction: &Patch = &self.repo.gold_patch;
        let begin = Instant::now();
        let sandbox = self.backend.create(&self.spec).await?;
        let created = begin.elapsed();
        let evaluation = evaluate(&*sandbox, survey, &command, prediction, &limits).await?;
        let evaluated = begin.elapsed();
        let inside = sandbox.usage().await?.cpu;
        let used = begin.elapsed() - evaluated;
        sandbox.destroy().await?;
        let destroyed = begin.elapsed();
        ensure!(evaluation.verdict.tests.is_some(), "evaluate the toy instance: {:?}", evaluation.verdict);
        let tests = Duration::from_millis(evaluation.verdict.test_ms);
        Ok(Times {
            create: created,
            evaluate: (evaluated - created).saturating_sub(tests),
            destroy: destroyed - evaluated - used,
            tests,
            inside,
        })
    }
}

fn layer(parent: &Path, repo: &ToyRepo) -> anyhow::Result<Layer> {
    let layer = parent.join("layer");
    fs::create_dir_all(layer.join("opt"))?;
    fs::write(layer.join("opt/pytest"), PYTEST)?;
    must(Command::new("cp").arg("-a").arg(repo.path()).arg(layer.join("testbed")))?;
    must(Command::new("chmod").arg("755").arg(layer.join("testbed")))?;
    if let Some((uid, gid)) = layer_owner() {
        must(Command::new("chown").args(["-hR", &format!("{uid}:{gid}")]).arg(&layer))?;
    }
    Ok(Layer::unmanaged("toy", layer))
}

fn must(command: &mut Command) -> anyhow::Result<()> {
    ensure!(command.status()?.success(), "run {command:?}");
    Ok(())
}

fn spec(layer: &Layer) -> SandboxSpec {
    let env = [("HOME", "/root"), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
    let config = ImageConfig {
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        workdir: "/testbed".into(),
        binds: host_base(),
        masks: host_package_masks(),
    };
    SandboxSpec {
        image: Image { layers: vec![layer.clone()], config, reference: None },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
}

/// User and system time of this process and of those that it has waited for.
fn processor_seconds() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // `man 5 proc`: utime, stime, cutime and cstime are fields 14 to 17, and the name is field 2.
    let ticks = after_name.split_whitespace().skip(11).take(4).map(str::parse::<f64>);
    let ticks: f64 = ticks.sum::<Result<f64, _>>().context("read `/proc/self/stat`")?;
    Ok(ticks / TICKS)
}
