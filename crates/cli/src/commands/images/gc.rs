//! `swegym images gc`: removes what is not wanted.

use std::time::Duration;

use swegym_images::oci::BlobCache;
use swegym_images::{GcReport, LayerStore};

use super::columns::bytes;
use crate::args::{Format, GcArgs};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings;

/// After this long, a download that was interrupted is begun anew, and no command still works with a blob.
const BLOB_AGE: Duration = Duration::from_secs(24 * 3600);

/// Runs the command.
pub(super) fn run(args: &GcArgs, store: &LayerStore, printer: &Printer) -> anyhow::Result<Exit> {
    let report = store.collect(args.budget.unwrap_or(u64::MAX), args.dry_run)?;
    let blobs = BlobCache::open(settings::cache_folder()?.join("blobs"))?.collect(BLOB_AGE, args.dry_run)?;
    match args.format {
        Format::Text => printer.data(&text(&report, blobs, args.dry_run)),
        Format::Json => printer.data(&json(&report, blobs, args.dry_run).to_string()),
    }
    if args.budget.is_some_and(|budget| report.bytes_after > budget) {
        printer.line(&format!("note: {} layers are in use and stay", report.in_use.len()));
    }
    Ok(Exit::Done)
}

fn text(report: &GcReport, (_, blob_bytes): (usize, u64), dry_run: bool) -> String {
    format!(
        "{} {} layers, {} names that led nowhere, {} files without a layer, {} leftovers: {} -> {}; and {} of \
         downloads and archives",
        if dry_run { "would remove" } else { "removed" },
        report.layers.len(),
        report.recipes,
        report.files,
        report.leftovers,
        bytes(report.bytes_before),
        bytes(report.bytes_after),
        bytes(blob_bytes)
    )
}

fn json(report: &GcReport, (blobs, blob_bytes): (usize, u64), dry_run: bool) -> serde_json::Value {
    serde_json::json!({ "dry_run": dry_run, "layers": report.layers, "in_use": report.in_use,
        "names": report.recipes, "files": report.files, "leftovers": report.leftovers,
        "bytes_before": report.bytes_before, "bytes_after": report.bytes_after,
        "blobs": blobs, "blob_bytes": blob_bytes })
}
