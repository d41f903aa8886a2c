//! `swegym rollout`: a policy on instances.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use swegym_runner::ScaffoldSolver;
use swegym_sandbox::{Allowlist, Network};

use super::inputs;
use super::models;
use super::outside::outside;
use super::policies::{self, NamedPolicy};
use super::replay;
use super::runs::{Run, conclude};
use super::scaffolds::{self, ConfiguredScaffold};
use crate::args::{BuiltinPolicy, RolloutArgs};
use crate::engine::{Engine, cancelled_by_signals, default_jobs};
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command.
pub(crate) async fn run(args: RolloutArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let inputs = inputs::load(&args.set)?;
    let policy = match args.policy {
        Some(BuiltinPolicy::Replay) => {
            let path = args.trajectory.as_deref().context("find what to replay: give `--trajectory`")?;
            replay::policy(path, args.set.output.as_deref(), printer)?
        }
        Some(builtin) => {
            policies::check_tool_format(builtin, args.model.tool_format)?;
            policies::builtin(builtin, args.script.as_deref(), &inputs.specs)?
        }
        None => {
            models::model(&args.model, printer)?.context("choose a policy: give `--model` or `--policy`")?
        }
    };
    let merges = models::merges_turns(&args.model, args.scaffold.behaviour)?;
    let policy = if merges { policy.merging_turns() } else { policy };
    let policy = policy.with_tool_format(args.model.tool_format, args.scaffold.prompts.as_deref())?;
    let folder = args.set.output.clone().unwrap_or_else(|| Path::new("runs").join(folder_name(&policy.name)));
    let (ConfiguredScaffold { scaffold, settings: scaffold_settings }, service) =
        match &args.outside.agent_command {
            Some(command) => {
                let (agent, gateway) = outside(&args, command, &folder, printer).await?;
                (agent, Some(gateway))
            }
            None => (scaffolds::scaffold(&args.scaffold, &args.model)?, None),
        };
    let cancel = cancelled_by_signals(printer)?;
    let engine = Engine::start_with(&args.set.sandbox, printer).await?;
    let images = engine.images(&inputs, &args.set.sandbox)?;
    let mut settings = settings(&policy);
    settings.extend(scaffold_settings);
    settings.extend(inputs.settings);
    settings.insert("profile".to_owned(), args.set.profile.as_str().into());
    settings.extend(args.set.sandbox.settings()?);
    let mut network = Network::None;
    if !args.allow_host.is_empty() {
        settings.insert("allow_host".to_owned(), args.allow_host.clone().into());
    }
    if !args.allow_host.is_empty() || service.is_some() {
        network = Network::Allowlist(Allowlist { hosts: args.allow_host, service });
    }
    let run = Run {
        settings,
        solver: Arc::new(ScaffoldSolver { policy: policy.name.clone(), factory: policy.factory, scaffold }),
        name: policy.name,
        folder: folder.clone(),
        digests: inputs.digests,
        instances: inputs.instances,
        samples: args.samples,
        jobs: args.set.jobs.unwrap_or_else(default_jobs),
        eval_time: Duration::from_secs(args.set.eval_timeout),
        profile: args.set.profile,
        audit: false,
        sandbox: args.set.sandbox.limits(),
        network,
    };
    let ended = run.execute(engine.backend, images, &cancel, printer).await?;
    let exit = conclude(&ended, &folder, printer);
    if let Some(client) = policy.client {
        printer.line(&models::summary(&client.totals()));
    }
    Ok(exit)
}

/// The name of a policy as a folder: models are often named `owner/model`.
pub(crate) fn folder_name(policy: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = policy.replace('/', "__").chars().map(plain).collect();
    name.trim_start_matches('.').to_owned()
}

/// What of a policy belongs into `run.toml`.
pub(crate) fn settings(policy: &NamedPolicy) -> toml::Table {
    let mut settings = policy.settings.clone();
    settings.insert("policy".to_owned(), policy.name.as_str().into());
    settings
}

#[cfg(test)]
mod tests {
    use super::folder_name;

    #[test]
    fn model_names_become_one_folder() {
        assert_eq!(folder_name("Qwen/Qwen3-8B"), "Qwen__Qwen3-8B");
        assert_eq!(folder_name("../../etc x:y"), "__..__etc_x_y");
    }
}
