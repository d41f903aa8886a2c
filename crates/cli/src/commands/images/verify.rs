//! `swegym images verify`: whether the store holds what it should.

use anyhow::ensure;
use swegym_images::{Fault, FaultKind, LayerStore, VerifyReport};

use super::columns::bytes;
use crate::args::{Format, VerifyArgs};
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command. What is wrong and still there is exit code 1.
pub(super) fn run(args: &VerifyArgs, store: &LayerStore, printer: &Printer) -> anyhow::Result<Exit> {
    let report = store.verify(args.repair)?;
    for fault in &report.faults {
        match args.format {
            Format::Text => {
                let path = if fault.path.as_os_str().is_empty() {
                    ".".into()
                } else {
                    fault.path.display().to_string()
                };
                printer.data(&format!("{}  {}  {path}", fault.layer, describe(&fault.kind)));
            }
            Format::Json => printer.data(&json(fault).to_string()),
        }
    }
    match args.format {
        Format::Text => printer.data(&summary(&report)),
        Format::Json => printer.data(&totals(&report).to_string()),
    }
    let left = if args.repair { report.in_use.len() } else { report.faults.len() + report.pool.len() };
    let hint =
        if args.repair { "broken layers are in use" } else { "faults; `--repair` drops broken layers" };
    ensure!(left == 0, "find the store sound: {left} {hint}");
    Ok(Exit::Done)
}

fn describe(kind: &FaultKind) -> String {
    match kind {
        FaultKind::Missing => "missing".to_owned(),
        FaultKind::Changed => "changed".to_owned(),
        FaultKind::Extra => "extra".to_owned(),
        FaultKind::Manifest => "manifest is not what the layer is named by".to_owned(),
        FaultKind::Unreadable(message) => format!("unreadable ({message})"),
        _ => "broken".to_owned(),
    }
}

fn summary(report: &VerifyReport) -> String {
    format!(
        "{} layers, {} files, {} read: {} faults, {} broken files in the pool; {} layers dropped",
        report.layers,
        report.files,
        bytes(report.bytes),
        report.faults.len(),
        report.pool.len(),
        report.dropped.len()
    )
}

fn json(fault: &Fault) -> serde_json::Value {
    serde_json::json!({ "layer": fault.layer, "path": fault.path.to_string_lossy(), "fault": describe(&fault.kind) })
}

fn totals(report: &VerifyReport) -> serde_json::Value {
    serde_json::json!({ "layers": report.layers, "files": report.files, "bytes": report.bytes,
        "faults": report.faults.len(), "pool": report.pool, "dropped": report.dropped, "in_use": report.in_use })
}
