//! `swegym quickstart`: the whole pipeline on real code, in one command.

mod packages;
mod prepare;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use swegym_core::Instance;
use swegym_data::{digest_file, load_instances, write_atomic, write_instances};
use swegym_environment::ImageBuilder;
use swegym_runner::ScaffoldSolver;
use tokio_util::sync::CancellationToken;

use super::doctor;
use super::models;
use super::policies::{self, NamedPolicy};
use super::rollout::{folder_name, settings};
use super::runs::{Ended, Run};
use super::scaffolds::{ConfiguredScaffold, default_scaffold};
use crate::args::{BuiltinPolicy, QuickstartArgs};
use crate::engine::{Engine, cancelled_by_signals, default_jobs};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::progress::seconds;
use crate::table::render;
use packages::{PACKAGES, specs};
use prepare::{Wanted, prepare};

/// Where everything lies.
struct Layout {
    root: PathBuf,
}

impl Layout {
    fn repos(&self) -> PathBuf {
        self.root.join("repos")
    }

    fn instances(&self) -> PathBuf {
        self.root.join("instances.jsonl")
    }

    fn specs(&self) -> PathBuf {
        self.root.join("specs.json")
    }

    fn run(&self, policy: &str) -> PathBuf {
        self.root.join("runs").join(folder_name(policy))
    }
}

/// Runs the command.
pub(crate) async fn run(args: QuickstartArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let begin = Instant::now();
    let model = models::model(&args.model, printer)?;
    doctor::require_sandboxes(printer).await?;
    let cancel = cancelled_by_signals(printer)?;
    let engine = Engine::start(printer).await?;
    let jobs = args.jobs.unwrap_or_else(default_jobs);
    let root =
        std::path::absolute(&args.output).with_context(|| format!("find `{}`", args.output.display()))?;
    let layout = Layout { root };
    let wanted = Wanted { seed: args.seed, jobs };
    let instances = tokio::select! {
        instances = instances(&engine, &layout, wanted, printer) => instances?,
        () = cancel.cancelled() => return Ok(interrupted(printer)),
    };
    let images = Arc::new(engine.image_builder(specs(), layout.repos())?);
    let mut policies = vec![
        policies::builtin(BuiltinPolicy::Gold, None, &specs())?,
        policies::builtin(BuiltinPolicy::Noop, None, &specs())?,
    ];
    policies.extend(model);
    let mut ended = Vec::new();
    for policy in policies {
        let run = plan(policy, &layout, &instances, jobs)?;
        ended.push(execute(run, &engine, &images, &cancel, printer).await?);
        if cancel.is_cancelled() {
            return Ok(interrupted(printer));
        }
    }
    Ok(conclude(&ended, &layout, begin, printer))
}

/// The instances: read where a run before wrote them, else made.
async fn instances(
    engine: &Engine,
    layout: &Layout,
    wanted: Wanted,
    printer: &Printer,
) -> anyhow::Result<Vec<Arc<Instance>>> {
    let repos = layout.repos();
    std::fs::create_dir_all(&repos).with_context(|| format!("make `{}`", repos.display()))?;
    let mut instances = Vec::new();
    for package in &PACKAGES {
        let begin = Instant::now();
        let name = format!("{} {}", package.distribution, package.version);
        printer.line(&format!("{name}: building its image, planting bugs, running its tests ..."));
        let (made, reused) =
            prepare(engine, package, wanted, &repos).await.with_context(|| format!("prepare {name}"))?;
        let how =
            if reused { "found in the cache".to_owned() } else { format!("made in {}", seconds(ms(begin))) };
        printer.line(&format!("{name}: {} instances, {how}", made.len()));
        instances.extend(made);
    }
    let path = layout.instances();
    ensure!(
        !path.exists() || load_instances(&path)? == instances,
        "make the instances: `{}` holds others, made with another seed or version; give another folder with `-o`",
        path.display()
    );
    let json = serde_json::to_vec_pretty(&specs().pinned_as_json()).context("write the specs")?;
    write_atomic(&layout.specs(), &json)?;
    write_instances(&path, &instances)?;
    // What is rolled out is what was written, read back as any other user of the file would.
    Ok(load_instances(&path)?.into_iter().map(Arc::new).collect())
}

fn plan(
    policy: NamedPolicy,
    layout: &Layout,
    instances: &[Arc<Instance>],
    jobs: usize,
) -> anyhow::Result<Run> {
    let ConfiguredScaffold { scaffold, settings: scaffold_settings } = default_scaffold();
    let mut settings = settings(&policy);
    settings.extend(scaffold_settings);
    let digest = |name: &str, path: &Path| Ok::<_, anyhow::Error>((name.to_owned(), digest_file(path)?));
    let inputs = [digest("instances.jsonl", &layout.instances())?, digest("specs.json", &layout.specs())?];
    Ok(Run {
        settings,
        folder: layout.run(&policy.name),
        solver: Arc::new(ScaffoldSolver { policy: policy.name.clone(), factory: policy.factory, scaffold }),
        name: policy.name,
        digests: inputs.into(),
        instances: instances.to_vec(),
        samples: 1,
        jobs,
        eval_time: Duration::from_secs(300),
        profile: swegym_harness::Profile::Strict,
        audit: false,
        sandbox: swegym_sandbox::Limits::default(),
        network: swegym_sandbox::Network::None,
    })
}

async fn execute(
    run: Run,
    engine: &Engine,
    images: &Arc<ImageBuilder>,
    cancel: &CancellationToken,
    printer: &Printer,
) -> anyhow::Result<Ended> {
    run.execute(Arc::clone(&engine.backend), images.clone(), cancel, printer).await
}

fn interrupted(printer: &Printer) -> Exit {
    printer.line("interrupted: the same command goes on from here");
    Exit::Interrupted
}

/// Prints the table, and whether the controls came out as they must.
fn conclude(ended: &[Ended], layout: &Layout, begin: Instant, printer: &Printer) -> Exit {
    let rows: Vec<_> = ended.iter().map(|ended| ended.row.clone()).collect();
    printer.data(&render(&rows));
    let display = |path: &Path| path.display().to_string();
    printer.line(&format!("instances:    {}", display(&layout.instances())));
    printer.line(&format!("repositories: {}", display(&layout.repos())));
    for one in ended {
        printer.line(&format!(
            "run {:<9} {}",
            format!("{}:", one.row.policy),
            display(&layout.run(&one.row.policy))
        ));
        for export in &one.exports {
            printer.line(&format!("              {}", display(export)));
        }
    }
    printer.line(&format!("done in {}", seconds(ms(begin))));
    let mut exit = Exit::Done;
    for one in ended {
        let wrong = one.row.records.iter().filter(|record| match one.row.policy.as_str() {
            "gold" => !record.resolved(),
            "noop" => record.resolved(),
            _ => record.failure.is_some(),
        });
        for record in wrong {
            let what = match (&record.failure, record.resolved()) {
                (Some(failure), _) => format!("could not be executed: {failure}"),
                (None, true) => "is resolved, and must not be".to_owned(),
                (None, false) => "is not resolved, and must be".to_owned(),
            };
            printer.error(&format!("{} {} {what}", one.row.policy, record.key));
            exit = Exit::Incomplete;
        }
    }
    exit
}

fn ms(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}
