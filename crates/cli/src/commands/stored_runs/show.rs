//! `swegym runs show`: the rollouts of a run, or what happened in one.

use anyhow::Context;
use swegym_core::{
    CallFailureKind, Connection, Connections, ExitStatus, FailedCall, InstanceId, Message, Role, RolloutKey,
    RolloutRecord, Step, Trajectory,
};
use swegym_data::RunView;

use crate::args::{Format, RunsShowArgs};
use crate::commands::images::columns::render;
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command.
pub(super) fn run(args: &RunsShowArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let run = RunView::open(&args.run)?;
    match &args.instance {
        None => rollouts(&run, args.format, printer)?,
        Some(instance) => {
            let instance_id = InstanceId::new(instance.as_str()).context("find the instance")?;
            trajectory(&run, &RolloutKey { instance_id, sample: args.sample }, args.format, printer)?;
        }
    }
    Ok(Exit::Done)
}

fn rollouts(run: &RunView, format: Format, printer: &Printer) -> anyhow::Result<()> {
    let header = ["instance", "sample", "resolved", "ended", "turns", "tokens"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for key in run.keys()? {
        match (run.committed(&key)?, format) {
            (None, _) => {}
            (Some(record), Format::Json) => printer.data(&serde_json::to_string(&record)?),
            (Some(record), Format::Text) => rows.push(cells(&record)),
        }
    }
    if format == Format::Text {
        printer.data(&render(&rows));
    }
    Ok(())
}

fn cells(record: &RolloutRecord) -> Vec<String> {
    let resolved = record.verdict.as_ref().map_or("-", |verdict| if verdict.resolved { "yes" } else { "no" });
    vec![
        plain(record.key.instance_id.as_str()),
        record.key.sample.to_string(),
        resolved.to_owned(),
        ended(record),
        record.turns.to_string(),
        record.usage.total().to_string(),
    ]
}

fn ended(record: &RolloutRecord) -> String {
    match (&record.failure, record.exit_status) {
        (Some(failure), _) => plain(&failure.kind),
        (None, Some(status)) => status.as_str().to_owned(),
        (None, None) => "-".to_owned(),
    }
}

fn trajectory(run: &RunView, key: &RolloutKey, format: Format, printer: &Printer) -> anyhow::Result<()> {
    let record = run.committed(key)?.with_context(|| format!("find rollout `{key}` of the run"))?;
    let trajectory =
        run.trajectory(key)?.with_context(|| format!("show rollout `{key}`: it has no trajectory"))?;
    if format == Format::Json {
        printer.data(&serde_json::to_string(&trajectory)?);
        return Ok(());
    }
    let (policy, scaffold) = (plain(&trajectory.policy), plain(&trajectory.scaffold));
    printer.data(&format!("{key}: {policy} with {scaffold}"));
    let mut steps = trajectory.steps.iter().peekable();
    for (index, message) in trajectory.messages.iter().enumerate() {
        let step = steps.next_if(|step| step.message_index == index);
        show_message(&trajectory, message, step, printer);
    }
    for call in &trajectory.failed_calls {
        show_failed(call, printer);
    }
    if let Some(connections) = run.connections(key)? {
        show_connections(&connections, printer);
    }
    show_end(&record, trajectory.exit_status, printer);
    if let Some(patch) = run.patch(key)?.filter(|patch| !patch.is_empty()) {
        printer.data(&format!("\n=== patch\n{}", plain(&patch.to_text_lossy())));
    }
    Ok(())
}

fn show_message(trajectory: &Trajectory, message: &Message, step: Option<&Step>, printer: &Printer) {
    let name = message.name.as_deref().map(|name| format!(" {}", plain(name))).unwrap_or_default();
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let numbers = step.map(|step| {
        let number = trajectory.steps.partition_point(|other| other.message_index < step.message_index) + 1;
        let seconds = step.model_ms as f64 / 1000.0;
        format!(" (step {number}, {} tokens, {seconds:.1} s)", step.usage.total())
    });
    printer.data(&format!("\n=== {role}{name}{}", numbers.unwrap_or_default()));
    if let Some(reasoning) = &message.reasoning_content {
        printer.data(&format!("--- thinks\n{}\n---", plain(reasoning)));
    }
    if !message.content.is_empty() {
        printer.data(&plain(&message.content));
    }
    for call in &message.tool_calls {
        printer.data(&format!("--> {} {}", plain(&call.function.name), plain(&call.function.arguments)));
    }
}

fn show_connections(connections: &Connections, printer: &Printer) {
    let counts = connections.counts;
    let all = counts.allowed + counts.refused;
    let listed = connections.latest.len() as u64;
    let latest = if listed < all { format!(", the latest {listed} below") } else { String::new() };
    printer.data(&format!(
        "\n=== network: {} connections allowed, {} refused{latest}",
        counts.allowed, counts.refused
    ));
    for connection in &connections.latest {
        let Connection { at, host, port, allowed, bytes_up, bytes_down } = connection;
        let place = plain(&format!("{host}:{port}"));
        let verdict = match allowed {
            true => format!("allowed, {bytes_up} bytes up, {bytes_down} down"),
            false => "refused".to_owned(),
        };
        printer.data(&format!("{at:.3} {place}: {verdict}"));
    }
}

fn show_failed(call: &FailedCall, printer: &Printer) {
    let kind = match call.kind {
        CallFailureKind::Refused => "refused",
        CallFailureKind::Broken => "broken",
        CallFailureKind::Abandoned => "abandoned",
    };
    let seconds = call.model_ms as f64 / 1000.0;
    let message = plain(&call.message);
    printer.data(&format!("\n=== call after step {} {kind} ({seconds:.1} s): {message}", call.steps_before));
    for part in &call.received {
        printer.data(&plain(&serde_json::Value::Object(part.message.clone()).to_string()));
    }
}

fn show_end(record: &RolloutRecord, status: ExitStatus, printer: &Printer) {
    let verdict = match &record.verdict {
        Some(verdict) if verdict.resolved => "resolved".to_owned(),
        Some(verdict) => {
            format!("not resolved: {}", plain(verdict.reason.as_deref().unwrap_or("no reason given")))
        }
        None => "no verdict".to_owned(),
    };
    let end = match &record.failure {
        Some(failure) => plain(&failure.to_string()),
        None => status.as_str().to_owned(),
    };
    printer.data(&format!("\n=== end: {end}; {verdict}"));
}

/// A text without characters that a terminal would act on: models and repositories wrote it.
fn plain(text: &str) -> String {
    let keep = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().map(|c| if keep(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        assert_eq!(plain("a\u{1b}[2Jb\r\u{9b}31m\tc\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}31m\tc\n");
    }
}
