//! `swegym images list`: what images there are.

use serde::Serialize;
use swegym_images::LayerStore;
use swegym_images::oci::NamedImages;

use super::columns::render;
use crate::args::{Format, ListArgs};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings;

/// A line of the list.
#[derive(Serialize)]
struct Entry {
    image: String,
    /// The repository that an image of an instance holds; none for one of another tool.
    repository: Option<String>,
    layers: Vec<String>,
    whole: bool,
}

/// Runs the command.
pub(super) fn run(args: &ListArgs, store: &LayerStore, printer: &Printer) -> anyhow::Result<Exit> {
    let entries = entries(store)?;
    match args.format {
        Format::Json => {
            for entry in &entries {
                printer.data(&serde_json::to_string(entry)?);
            }
        }
        Format::Text => {
            let mut rows = vec![["image", "repository", "layers", "state"].map(str::to_owned).to_vec()];
            rows.extend(entries.into_iter().map(|entry| {
                let state = if entry.whole { "whole" } else { "collected" };
                let repository = entry.repository.unwrap_or_else(|| "-".to_owned());
                vec![entry.image, repository, entry.layers.len().to_string(), state.to_owned()]
            }));
            printer.data(&render(&rows));
        }
    }
    Ok(Exit::Done)
}

/// Images of instances, then those of other tools, each by name.
fn entries(store: &LayerStore) -> anyhow::Result<Vec<Entry>> {
    let built = store
        .image_records()?
        .into_iter()
        .map(|record| (record.name, Some(record.repository), record.layers));
    let named = NamedImages::open(settings::cache_folder()?.join("store"))?.list()?;
    let named = named.into_iter().map(|image| {
        let layers = image.layers.into_iter().map(|layer| layer.id).collect();
        (image.reference.to_string(), None, layers)
    });
    let entry = |(image, repository, layers): (_, _, Vec<String>)| {
        let whole = layers.iter().all(|id| store.has_layer(id));
        Entry { image, repository, layers, whole }
    };
    Ok(built.chain(named).map(entry).collect())
}
