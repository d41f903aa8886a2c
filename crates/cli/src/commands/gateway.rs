//! `swegym gateway`: records the calls of outside agents.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use swegym_core::{Addition, InstanceId, Trajectory};
use swegym_data::{DataError, RecordingJournal, Recordings, RecoveredRollout};
use swegym_model::Secret;
use swegym_model::gateway::{
    Archive, EndpointConfig, Gateway, GatewayConfig, GatewayLimits, Journal, Listener, Recording,
};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::args::GatewayArgs;
use crate::engine::cancelled_by_signals;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings::{API_KEY, BASE_URL, GATEWAY_SECRET, variable};

/// How often rollouts are looked for that have ended without a word.
const ROUND: Duration = Duration::from_secs(10);

/// Runs the command.
pub(crate) async fn run(args: GatewayArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let recordings = Recordings::open(&args.output)?;
    for RecoveredRollout { name, result } in recordings.recover()? {
        match result {
            Ok(()) => printer.line(&format!("recovered {name}")),
            Err(error) => printer.error(&format!("failed to recover {name}: {error}")),
        }
    }
    let given = variable(GATEWAY_SECRET);
    let guarded = given.is_some();
    let config = GatewayConfig {
        guarded,
        tokens: args.tokens,
        limits: GatewayLimits {
            max_steps: args.max_steps,
            max_tokens: args.max_tokens,
            ..GatewayLimits::default()
        },
        ..GatewayConfig::new(
            endpoint(args.base_url.clone(), args.model.clone())?,
            given.map_or_else(random_secret, |secret| Ok(Secret::new(secret)))?,
        )
    };
    let archive = Arc::new(Kept { recordings, printer: printer.clone() });
    let gateway = Gateway::new(config, Some(archive))?;
    let cancel = cancelled_by_signals(printer)?;
    serve(&gateway, &args, guarded, &cancel, printer).await
}

/// The endpoint that the flags and the environment name.
pub(crate) fn endpoint(base_url: Option<String>, model: Option<String>) -> anyhow::Result<EndpointConfig> {
    let base_url = base_url
        .or_else(|| variable(BASE_URL))
        .with_context(|| format!("find the model endpoint: give `--base-url`, or set {BASE_URL}"))?;
    let mut endpoint = EndpointConfig::new(base_url);
    endpoint.model = model.unwrap_or_default();
    endpoint.api_key = variable(API_KEY).map(|key| Secret::new(key.trim()));
    Ok(endpoint)
}

/// A secret that nobody knows.
pub(crate) fn random_secret() -> anyhow::Result<Secret> {
    let mut bytes = [0; 32];
    let read =
        std::fs::File::open("/dev/urandom").and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes));
    read.context("read `/dev/urandom`")?;
    Ok(Secret::new(bytes.map(|byte| format!("{byte:02x}")).concat()))
}

async fn serve(
    gateway: &Gateway,
    args: &GatewayArgs,
    guarded: bool,
    cancel: &CancellationToken,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("listen at `{}`", args.listen))?;
    let address = listener.local_addr().context("find the address of the gateway")?;
    let socket = args.socket.as_deref().map(listen_at).transpose()?;
    printer.data(&format!("http://{address}"));
    printer.line(&how_to_call(guarded));
    let idle = Duration::from_secs(args.idle);
    tokio::select! {
        () = gateway.serve(Listener::Tcp(listener)) => {}
        () = serve_socket(gateway, socket) => {}
        () = close_idle(gateway, idle, printer) => {}
        () = cancel.cancelled() => {}
    }
    for (name, closed) in gateway.close_all().await {
        tell(&name, &closed, printer);
    }
    if let Some(socket) = &args.socket {
        std::fs::remove_file(socket).ok();
    }
    Ok(Exit::Done)
}

fn how_to_call(guarded: bool) -> String {
    match guarded {
        true => format!(
            "agents call /v1 with the key that `POST /r/NAME` gives out to whoever sends {GATEWAY_SECRET} as bearer token"
        ),
        false => "agents call /r/NAME/v1 with any key and name their rollout by NAME; \
                  everybody who reaches this address can do so"
            .to_owned(),
    }
}

/// A socket that a dead process left is no hindrance.
fn listen_at(path: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path).ok();
    }
    UnixListener::bind(path).with_context(|| format!("listen at `{}`", path.display()))
}

async fn serve_socket(gateway: &Gateway, socket: Option<UnixListener>) {
    match socket {
        Some(socket) => gateway.serve(Listener::Unix(socket)).await,
        None => std::future::pending().await,
    }
}

async fn close_idle(gateway: &Gateway, idle: Duration, printer: &Printer) {
    loop {
        tokio::time::sleep(ROUND.min(idle)).await;
        for (name, closed) in gateway.close_idle(idle).await {
            tell(&name, &closed, printer);
        }
    }
}

fn tell(name: &InstanceId, closed: &io::Result<Option<Recording>>, printer: &Printer) {
    if let Ok(Some(recording)) = closed {
        let Recording { trajectory, .. } = recording;
        let tokens = trajectory.usage.total();
        let failed = match trajectory.failed_calls.len() {
            0 => String::new(),
            failed => format!(", {failed} more without a whole answer"),
        };
        printer.line(&format!("closed {name}: {} calls, {tokens} tokens{failed}", trajectory.steps.len()));
    }
}

/// Recordings in a folder. What goes wrong with them is for the owner to know, not for callers.
struct Kept {
    recordings: Recordings,
    printer: Printer,
}

impl Archive for Kept {
    fn open(&self, begun: Trajectory) -> io::Result<(Trajectory, Box<dyn Journal>)> {
        let (trajectory, journal) = told(self.recordings.journal(begun), &self.printer)?;
        Ok((trajectory, Box::new(KeptJournal { journal, printer: self.printer.clone() })))
    }
}

struct KeptJournal {
    journal: RecordingJournal,
    printer: Printer,
}

impl Journal for KeptJournal {
    fn append(&mut self, addition: &Addition) -> io::Result<()> {
        told(self.journal.append(addition), &self.printer)
    }

    fn close(&mut self, trajectory: &Trajectory) -> io::Result<()> {
        told(self.journal.close(trajectory), &self.printer)
    }
}

fn told<T>(result: Result<T, DataError>, printer: &Printer) -> io::Result<T> {
    result.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        printer.error(&format!("failed to {error}{cause}"));
        io::Error::other(error)
    })
}
