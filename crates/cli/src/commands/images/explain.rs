//! `swegym images build --explain`: what building takes, and what of a spec is left out and why.

use std::sync::Arc;

use swegym_core::{Failure, Instance};
use swegym_environment::{ImageBuilder, Plan};

use crate::args::Format;
use crate::exit::Exit;
use crate::printer::Printer;

/// Prints the plan of each instance, or why there is none.
pub(super) async fn run(
    images: &ImageBuilder,
    instances: &[Arc<Instance>],
    format: Format,
    printer: &Printer,
) -> Exit {
    let mut exit = Exit::Done;
    for instance in instances {
        let plan = images.plan(instance).await.map_err(|error| Failure::from(&error));
        if plan.is_err() {
            exit = Exit::Incomplete;
        }
        match format {
            Format::Text => printer.data(&text(instance, &plan)),
            Format::Json => printer.data(&json(instance, &plan).to_string()),
        }
    }
    exit
}

fn json(instance: &Instance, plan: &Result<Plan, Failure>) -> serde_json::Value {
    serde_json::json!({
        "instance_id": instance.id(),
        "repo": instance.environment.repo,
        "version": instance.environment.version,
        "plan": plan.as_ref().ok(),
        "failure": plan.as_ref().err(),
    })
}

fn text(instance: &Instance, plan: &Result<Plan, Failure>) -> String {
    let environment = &instance.environment;
    let title = format!("{}  {} {}", instance.id(), environment.repo, environment.version);
    match plan {
        Ok(plan) => format!("{title}\n{}", lines(plan).join("\n")),
        Err(failure) => format!("{title}\n  no plan: {failure}"),
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    let version = &plan.python.version;
    let mut lines = vec![match &plan.python.found {
        Some(path) => format!("  python {version}: {}", path.display()),
        None => format!(
            "  python {version}: not on this machine; building fetches it by `uv python install`, or fails"
        ),
    }];
    let rest = if plan.with_dependencies { "with what they ask for" } else { "and nothing else" };
    let time = plan.exclude_newer.as_ref().map(|time| format!(", as of {time}")).unwrap_or_default();
    let packages = [("requirements", &plan.requirements), ("then", &plan.pip_packages)];
    for (title, packages) in packages.into_iter().filter(|(_, packages)| !packages.is_empty()) {
        lines.push(format!("  {title} ({rest}{time}): {}", packages.join(", ")));
    }
    let network = if plan.network { "with network" } else { "without network" };
    for command in &plan.commands {
        lines.push(format!("  run ({network}{time}): {}", command.trim().replace('\n', "\\n")));
    }
    for left_out in &plan.left_out {
        lines.push(format!("  left out: {}\n    because {}", left_out.what, left_out.reason));
    }
    lines
}
