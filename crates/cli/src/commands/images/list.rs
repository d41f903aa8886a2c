//! `swegym images list`: what images there are.

use swegym_images::{ImageRecord, LayerStore};

use super::columns::render;
use crate::args::{Format, ListArgs};
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command.
pub(super) fn run(args: &ListArgs, store: &LayerStore, printer: &Printer) -> anyhow::Result<Exit> {
    let records = store.image_records()?;
    let is_whole = |record: &ImageRecord| record.layers.iter().all(|id| store.has_layer(id));
    match args.format {
        Format::Json => {
            for record in &records {
                let whole = is_whole(record);
                printer.data(
                    &serde_json::json!({ "image": record.name, "repository": record.repository,
                        "layers": record.layers, "whole": whole })
                    .to_string(),
                );
            }
        }
        Format::Text => {
            let mut rows = vec![["image", "repository", "layers", "state"].map(str::to_owned).to_vec()];
            rows.extend(records.iter().map(|record| {
                let state = if is_whole(record) { "whole" } else { "collected" };
                let ImageRecord { name, repository, layers } = record;
                vec![name.clone(), repository.clone(), layers.len().to_string(), state.to_owned()]
            }));
            printer.data(&render(&rows));
        }
    }
    Ok(Exit::Done)
}
