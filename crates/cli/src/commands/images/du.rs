//! `swegym images du`: what images take on disk.

use std::collections::{BTreeMap, HashMap};

use swegym_images::oci::NamedImages;
use swegym_images::{ImageConfig, ImageRecord, LayerStore, StoreUsage};

use super::columns::{bytes, render};
use super::host_bytes::host_bytes;
use crate::args::{DuArgs, Format};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings;

/// What an image, or all images of a repository, take.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Share {
    /// As if nothing were shared.
    apparent: u64,
    /// Number on disk -> bytes on disk.
    inodes: HashMap<u64, u64>,
}

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    name: String,
    apparent: u64,
    unique: u64,
    shared: u64,
}

/// What all images take together.
struct Total {
    /// On disk.
    disk: u64,
    /// As if nothing were shared.
    apparent: u64,
    /// What of this machine the images show, once for each; none where it was not asked for.
    host: Option<u64>,
}

/// Runs the command.
pub(super) fn run(args: &DuArgs, store: &LayerStore, printer: &Printer) -> anyhow::Result<Exit> {
    let usage = store.usage()?;
    let records = store.image_records()?;
    let named = NamedImages::open(settings::cache_folder()?.join("store"))?.list()?;
    let named = named.iter().map(|image| {
        let share = share(image.layers.iter().map(|layer| &layer.id), &usage);
        (image.reference.to_string(), share)
    });
    let built = records.iter().map(|record| (record.name.clone(), share(&record.layers, &usage)));
    let images = lines(built.chain(named).collect());
    let mut repositories: BTreeMap<String, Share> = BTreeMap::new();
    for record in &records {
        let Share { apparent, inodes } = share(&record.layers, &usage);
        let whole = repositories.entry(record.repository.clone()).or_default();
        whole.apparent += apparent;
        whole.inodes.extend(inodes);
    }
    let repositories = lines(repositories);
    let total = Total {
        disk: usage.bytes() + usage.garbage_bytes,
        apparent: images.iter().map(|line| line.apparent).sum(),
        host: args.with_host_base.then(|| host_of(&records)),
    };
    match args.format {
        Format::Text => print_text(printer, &repositories, &images, &total),
        Format::Json => print_json(printer, &repositories, &images, &total),
    }
    Ok(Exit::Done)
}

/// Sum over all images; most of them show the same, which is looked at once.
fn host_of(records: &[ImageRecord]) -> u64 {
    let mut known: Vec<(&ImageConfig, u64)> = Vec::new();
    let mut sum = 0;
    for config in records.iter().map(|record| &record.config) {
        let is_same = |other: &ImageConfig| other.binds == config.binds && other.masks == config.masks;
        let bytes = known.iter().find(|(other, _)| is_same(other)).map(|(_, bytes)| *bytes);
        let bytes = bytes.unwrap_or_else(|| host_bytes(config));
        known.push((config, bytes));
        sum += bytes;
    }
    sum
}

/// Layers that were collected take nothing.
fn share<'a>(layers: impl IntoIterator<Item = &'a String>, usage: &StoreUsage) -> Share {
    let mut share = Share::default();
    for layer in layers.into_iter().filter_map(|id| usage.layer(id)) {
        share.apparent += layer.apparent_bytes;
        share.inodes.extend(&layer.inodes);
    }
    share
}

/// What each has alone, and what others of them have too.
fn lines(shares: BTreeMap<String, Share>) -> Vec<Line> {
    let mut owners: HashMap<u64, usize> = HashMap::new();
    for inode in shares.values().flat_map(|share| share.inodes.keys()) {
        *owners.entry(*inode).or_default() += 1;
    }
    let line = |(name, share): (String, Share)| {
        let all: u64 = share.inodes.values().sum();
        let alone = share.inodes.iter().filter(|(inode, _)| owners.get(*inode) == Some(&1));
        let unique = alone.map(|(_, bytes)| bytes).sum();
        Line { name, apparent: share.apparent, unique, shared: all - unique }
    };
    shares.into_iter().map(line).collect()
}

fn print_text(printer: &Printer, repositories: &[Line], images: &[Line], total: &Total) {
    let Total { disk, apparent, host } = *total;
    for (title, lines) in [("repository", repositories), ("image", images)] {
        let mut rows = vec![[title, "apparent", "unique", "shared"].map(str::to_owned).to_vec()];
        rows.extend(lines.iter().map(|line| {
            vec![line.name.clone(), bytes(line.apparent), bytes(line.unique), bytes(line.shared)]
        }));
        printer.data(&format!("{}\n", render(&rows)));
    }
    printer.data(&format!(
        "on disk {}; images that share nothing would take {}, {:.1} times as much",
        bytes(disk),
        bytes(apparent),
        ratio(disk, apparent)
    ));
    if let Some(host) = host {
        let whole = apparent + host;
        printer.data(&format!(
            "one image per instance that stands alone, with what it shows of this machine, would take {}, {:.1} \
             times as much",
            bytes(whole),
            ratio(disk, whole)
        ));
    }
}

fn print_json(printer: &Printer, repositories: &[Line], images: &[Line], total: &Total) {
    let Total { disk, apparent, host } = *total;
    for (title, lines) in [("repository", repositories), ("image", images)] {
        for Line { name, apparent, unique, shared } in lines {
            let line = serde_json::json!({ title: name, "apparent_bytes": apparent, "unique_bytes": unique,
                "shared_bytes": shared });
            printer.data(&line.to_string());
        }
    }
    let mut total = serde_json::json!({ "disk_bytes": disk, "apparent_bytes": apparent, "images": images.len(),
        "ratio": ratio(disk, apparent) });
    if let Some(host) = host {
        total["host_bytes"] = host.into();
        total["ratio_with_host"] = ratio(disk, apparent + host).into();
    }
    printer.data(&total.to_string());
}

fn ratio(disk: u64, apparent: u64) -> f64 {
    if disk == 0 { 1.0 } else { apparent as f64 / disk as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_have_is_shared() {
        let share = |inodes: &[(u64, u64)]| Share { apparent: 7, inodes: inodes.iter().copied().collect() };
        let shares = [("a", share(&[(1, 10), (2, 20)])), ("b", share(&[(2, 20), (3, 40)]))];
        let lines = lines(shares.map(|(name, share)| (name.to_owned(), share)).into());
        let numbers: Vec<_> = lines.iter().map(|line| (line.apparent, line.unique, line.shared)).collect();
        assert_eq!(numbers, [(7, 10, 20), (7, 40, 20)]);
    }
}
