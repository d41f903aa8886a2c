//! From flags to an outside agent, with a gateway of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use swegym_agent::{OutputSink, OutsideAgent, ScaffoldConfig};
use swegym_core::Problem;
use swegym_data::write_atomic;
use swegym_model::gateway::{Gateway, GatewayConfig, Listener};
use tokio::net::TcpListener;

use super::gateway::{endpoint, random_secret};
use super::scaffolds::ConfiguredScaffold;
use crate::args::RolloutArgs;
use crate::printer::Printer;

/// Where in a run directory what agents print is kept.
const OUTPUT: &str = "agent_output";

/// The agent that the flags name, and where its gateway is reached.
pub(crate) async fn outside(
    args: &RolloutArgs,
    command: &str,
    run: &Path,
    printer: &Printer,
) -> anyhow::Result<(ConfiguredScaffold, SocketAddr)> {
    let files = args.outside.agent_path.as_deref().map(folder).transpose()?;
    ensure!(args.model.base_url.len() < 2, "point an outside agent at the model: it takes one `--base-url`");
    let endpoint = endpoint(args.model.base_url.first().cloned(), args.model.model.clone())?;
    let tokens = args.model.tokens.token_ids;
    let gateway = GatewayConfig { tokens, ..GatewayConfig::new(endpoint, random_secret()?) };
    let gateway = Gateway::new(gateway, None)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.context("open a port for the gateway")?;
    let address = listener.local_addr().context("find the address of the gateway")?;
    let serving = gateway.clone();
    tokio::spawn(async move { serving.serve(Listener::Tcp(listener)).await });
    let config = ScaffoldConfig {
        max_steps: args.scaffold.max_steps,
        max_tokens: args.scaffold.max_tokens,
        time_limit: Duration::from_secs(args.scaffold.timeout),
        ..ScaffoldConfig::default()
    };
    let settings = settings(args, command);
    let agent = OutsideAgent::new(command, files, gateway, config, sink(run.join(OUTPUT), printer.clone()));
    Ok((ConfiguredScaffold { scaffold: Arc::new(agent), settings }, address))
}

fn folder(path: &Path) -> anyhow::Result<PathBuf> {
    let absolute =
        path.canonicalize().with_context(|| format!("find the agent's folder `{}`", path.display()))?;
    ensure!(absolute.is_dir(), "use the agent's folder: `{}` is none", path.display());
    Ok(absolute)
}

fn settings(args: &RolloutArgs, command: &str) -> toml::Table {
    let number = |value: u64| toml::Value::from(i64::try_from(value).unwrap_or(i64::MAX));
    let mut settings = toml::Table::from_iter([
        ("scaffold".to_owned(), "outside".into()),
        ("agent_command".to_owned(), command.into()),
        ("max_steps".to_owned(), number(args.scaffold.max_steps as u64)),
        ("timeout".to_owned(), number(args.scaffold.timeout)),
    ]);
    if args.model.tokens.token_ids {
        settings.insert("token_ids".to_owned(), true.into());
    }
    if let Some(path) = &args.outside.agent_path {
        settings.insert("agent_path".to_owned(), path.to_string_lossy().into_owned().into());
    }
    if let Some(tokens) = args.scaffold.max_tokens {
        settings.insert("max_tokens".to_owned(), number(tokens));
    }
    settings
}

/// Keeps what the last attempt printed. That it cannot is no reason to give a rollout up.
fn sink(folder: PathBuf, printer: Printer) -> OutputSink {
    Arc::new(move |problem: &Problem, sample: u32, output: &[u8]| {
        let folder = folder.join(problem.instance_id.as_str());
        let path = folder.join(format!("{sample}.txt"));
        let made = std::fs::create_dir_all(&folder).map_err(|error| error.to_string());
        let written = made.and_then(|()| write_atomic(&path, output).map_err(|error| error.to_string()));
        if let Err(error) = written {
            printer.line(&format!("note: the agent's output is not kept in `{}`: {error}", path.display()));
        }
    })
}
