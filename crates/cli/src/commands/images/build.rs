//! `swegym images build`: all images of some instances, several at once.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use swegym_core::{Failure, Instance};
use swegym_environment::ImageBuilder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::explain;
use crate::args::{BuildArgs, Format};
use crate::commands::inputs;
use crate::engine::{Engine, cancelled_by_signals, default_jobs};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::progress::seconds;

/// What came of one image.
struct Built {
    index: usize,
    /// Whether it was there, or why it is not.
    result: Result<bool, Failure>,
    ms: u64,
}

/// Runs the command.
pub(super) async fn run(args: BuildArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let inputs = inputs::load_set(&args.set)?;
    if !args.explain {
        inputs::check_specs(&inputs)?;
    }
    let cancel = cancelled_by_signals(printer)?;
    let engine = Engine::start(printer).await?;
    let repos = inputs.repos.context("find repositories to build images from: give `--repos`")?;
    let images = Arc::new(engine.image_builder(inputs.specs, repos)?);
    if args.explain {
        let all = explain::run(&images, &inputs.instances, args.format, printer);
        return Ok(cancel.run_until_cancelled(all).await.unwrap_or(Exit::Interrupted));
    }
    let begin = Instant::now();
    let jobs = args.jobs.unwrap_or_else(default_jobs);
    let all = build_all(images, &inputs.instances, jobs, printer);
    let Some(built) = cancel.run_until_cancelled(all).await else { return Ok(Exit::Interrupted) };
    let built = built?;
    for one in &built {
        let instance = &inputs.instances[one.index];
        match args.format {
            Format::Text => printer.data(&text(instance, one)),
            Format::Json => printer.data(&json(instance, one).to_string()),
        }
    }
    let count = |wanted: fn(&Built) -> bool| built.iter().filter(|one| wanted(one)).count();
    let failed = count(|one| one.result.is_err());
    printer.line(&format!(
        "{} images: {} built, {} there before, {failed} failed, in {}",
        built.len(),
        count(|one| matches!(one.result, Ok(false))),
        count(|one| matches!(one.result, Ok(true))),
        seconds(begin.elapsed().as_millis() as u64)
    ));
    Ok(if failed > 0 { Exit::Incomplete } else { Exit::Done })
}

/// Builds the images, `jobs` at once; what came of them, in the order of the instances.
async fn build_all(
    images: Arc<ImageBuilder>,
    instances: &[Arc<Instance>],
    jobs: usize,
    printer: &Printer,
) -> anyhow::Result<Vec<Built>> {
    let places = Arc::new(Semaphore::new(jobs));
    let mut tasks = JoinSet::new();
    for (index, instance) in instances.iter().enumerate() {
        let (images, places, instance) = (Arc::clone(&images), Arc::clone(&places), Arc::clone(instance));
        tasks.spawn(async move {
            let _place = places.acquire().await;
            build_one(&images, index, &instance).await
        });
    }
    let mut built = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let one = done.context("wait for an image")?;
        built.push(one);
        if let Some(Built { index, ms, result }) = built.last() {
            let what = match result {
                Ok(false) => format!("built in {}", seconds(*ms)),
                Ok(true) => "there".to_owned(),
                Err(failure) => format!("failed: {}", reason(failure)),
            };
            let place = format!("[{}/{}]", built.len(), instances.len());
            printer.line(&format!("{place} {}: {what}", instances[*index].id()));
        }
    }
    built.sort_by_key(|one| one.index);
    Ok(built)
}

async fn build_one(images: &ImageBuilder, index: usize, instance: &Instance) -> Built {
    let begin = Instant::now();
    let result = images.image(instance).await.map(|built| built.reused);
    let ms = begin.elapsed().as_millis() as u64;
    Built { index, result: result.map_err(|error| Failure::from(&error)), ms }
}

fn text(instance: &Instance, Built { result, .. }: &Built) -> String {
    match result {
        Ok(reused) => format!("{}  {}", instance.id(), if *reused { "there" } else { "built" }),
        Err(failure) => format!("{}  failed: {}", instance.id(), reason(failure)),
    }
}

/// A failure on one line: what failed, and the end of what was printed, where the reason usually is.
fn reason(failure: &Failure) -> String {
    let text = failure.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first} ... {last}"))
}

fn json(instance: &Instance, Built { result, ms, .. }: &Built) -> serde_json::Value {
    let status = match result {
        Ok(true) => "there",
        Ok(false) => "built",
        Err(_) => "failed",
    };
    let failure = result.as_ref().err();
    serde_json::json!({ "instance_id": instance.id(), "status": status, "ms": ms, "failure": failure })
}

#[cfg(test)]
mod tests {
    use swegym_core::Boundary;

    use super::*;

    #[test]
    fn reasons_are_one_line() {
        let failure = |message: &str| Failure {
            boundary: Boundary::Sandbox,
            kind: "image_build".to_owned(),
            message: message.to_owned(),
            retryable: false,
        };
        assert_eq!(reason(&failure("failed to x: y")), failure("failed to x: y").to_string());
        let long = reason(&failure("failed to x: exit code 1: begin\n  File y\nNo module named 'z'\n\n"));
        assert!(long.ends_with("exit code 1: begin ... No module named 'z'"), "{long}");
    }
}
