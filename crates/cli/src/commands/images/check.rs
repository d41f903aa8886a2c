//! `swegym images check`: whether images show the answers of their instances.

use std::sync::Arc;

use anyhow::{Context, ensure};
use swegym_core::{Failure, Finding, Instance};
use swegym_harness::{ImageAudit, audit_incomplete, is_incomplete, is_leak};
use swegym_images::Image;
use swegym_runner::Images;
use swegym_sandbox::{Backend, Limits, Network, SandboxError, SandboxSpec, Upper};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::{CheckArgs, Format};
use crate::commands::inputs;
use crate::engine::{Engine, cancelled_by_signals, default_jobs};
use crate::exit::Exit;
use crate::printer::Printer;

/// What checks images.
struct Checker {
    backend: Arc<dyn Backend>,
    images: Arc<dyn Images>,
    limits: Limits,
}

/// What was found in the image of one instance, or why it could not be had.
type Checked = Result<Vec<Finding>, Failure>;

/// Runs the command. A leak is exit code 1, an image that could not be checked, or not whole, 3.
pub(super) async fn run(args: CheckArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let inputs = inputs::load_set(&args.set)?;
    let cancel = cancelled_by_signals(printer)?;
    let engine = Engine::start_with(&args.sandbox, printer).await?;
    let images = engine.images(&inputs, &args.sandbox)?;
    let checker = Arc::new(Checker { backend: engine.backend, images, limits: args.sandbox.limits() });
    let jobs = args.jobs.unwrap_or_else(default_jobs);
    let all = check_all(checker, &inputs.instances, jobs, printer);
    let Some(checked) = cancel.run_until_cancelled(all).await else { return Ok(Exit::Interrupted) };
    let checked = checked?;
    for (instance, checked) in inputs.instances.iter().zip(&checked) {
        match args.format {
            Format::Text => printer.data(&text(instance, checked)),
            Format::Json => printer.data(&json(instance, checked).to_string()),
        }
    }
    let leaking = checked.iter().flatten().filter(|findings| findings.iter().any(is_leak)).count();
    ensure!(leaking == 0, "find the images without leaks: {leaking} of {} show the answer", checked.len());
    let whole =
        |checked: &Checked| checked.as_ref().is_ok_and(|findings| !findings.iter().any(is_incomplete));
    Ok(if checked.iter().all(whole) { Exit::Done } else { Exit::Incomplete })
}

/// Checks the images, `jobs` at once; what came of them, in the order of the instances.
async fn check_all(
    checker: Arc<Checker>,
    instances: &[Arc<Instance>],
    jobs: usize,
    printer: &Printer,
) -> anyhow::Result<Vec<Checked>> {
    let places = Arc::new(Semaphore::new(jobs));
    let mut tasks = JoinSet::new();
    for (index, instance) in instances.iter().enumerate() {
        let (checker, places, instance) = (Arc::clone(&checker), Arc::clone(&places), Arc::clone(instance));
        tasks.spawn(async move {
            let _place = places.acquire().await;
            (index, checker.check(&instance).await)
        });
    }
    let mut checked = Vec::new();
    while let Some(done) = tasks.join_next().await {
        checked.push(done.context("wait for an image")?);
        if let Some((index, _)) = checked.last() {
            let place = format!("[{}/{}]", checked.len(), instances.len());
            printer.line(&format!("{place} {}: checked", instances[*index].id()));
        }
    }
    checked.sort_by_key(|(index, _)| *index);
    Ok(checked.into_iter().map(|(_, checked)| checked).collect())
}

impl Checker {
    async fn check(&self, instance: &Instance) -> Checked {
        let image = self.images.image(instance).await?.image;
        let mut audit = ImageAudit::new(instance);
        let mut looked = Ok(());
        for view in ImageAudit::views(&image) {
            looked = looked.and(self.look(&mut audit, view).await);
        }
        let mut findings = audit.findings();
        findings.extend(looked.err().map(|error| audit_incomplete(&Failure::from(&error))));
        Ok(findings)
    }

    async fn look(&self, audit: &mut ImageAudit<'_>, image: Image) -> Result<(), SandboxError> {
        let spec = SandboxSpec {
            image,
            upper: Upper::Memory,
            limits: self.limits,
            network: Network::None,
            extra_binds: Vec::new(),
        };
        let sandbox = self.backend.create(&spec).await?;
        let looked = audit.look(&*sandbox).await;
        sandbox.destroy().await?;
        looked
    }
}

fn word(checked: &Checked) -> &'static str {
    match checked {
        Err(_) => "failed",
        Ok(findings) if findings.iter().any(is_leak) => "leaks",
        Ok(findings) if findings.iter().any(is_incomplete) => "incomplete",
        Ok(_) => "clean",
    }
}

fn text(instance: &Instance, checked: &Checked) -> String {
    let mut text = format!("{}  {}", instance.id(), word(checked));
    match checked {
        Err(failure) => text.push_str(&format!(": {failure}")),
        Ok(findings) => {
            for finding in findings {
                let mark = if is_leak(finding) { "leak" } else { "note" };
                text.push_str(&format!("\n  {mark}  {}: {}", finding.kind, finding.detail));
            }
        }
    }
    text
}

fn json(instance: &Instance, checked: &Checked) -> serde_json::Value {
    let (findings, failure) = (checked.as_deref().unwrap_or_default(), checked.as_ref().err());
    let leaks: Vec<&Finding> = findings.iter().filter(|finding| is_leak(finding)).collect();
    let notes: Vec<&Finding> = findings.iter().filter(|finding| !is_leak(finding)).collect();
    serde_json::json!({ "instance_id": instance.id(), "status": word(checked), "leaks": leaks, "notes": notes,
        "failure": failure })
}
