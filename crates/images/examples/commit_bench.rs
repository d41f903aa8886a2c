//! Times committing a copy of a folder: into an empty store, and into one that has all of its files.
//!
//! `cargo run --release -p swegym-images --example commit_bench FOLDER SCRATCH`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends where it cannot go on, and prints"
)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use swegym_images::{Begin, LayerStore, Recipe};

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (folder, scratch) = (arguments.next().unwrap(), arguments.next().unwrap());
    let place = tempfile::tempdir_in(scratch).unwrap();
    let store = LayerStore::open(place.path().join("store"), None).unwrap();
    for (name, more) in [("first", ""), ("second, with one file more", "more")] {
        let Begin::Build(build) = store.begin(&Recipe::new("bench", &name).unwrap()).unwrap() else { return };
        let from = folder.join(".");
        assert!(Command::new("cp").arg("-a").arg(from).arg(build.files()).status().unwrap().success());
        if !more.is_empty() {
            std::fs::write(build.files().join(more), more).unwrap();
        }
        let begin = Instant::now();
        build.commit().unwrap();
        println!("{name}: {} ms", begin.elapsed().as_millis());
    }
    let begin = Instant::now();
    let report = store.verify(false).unwrap();
    let ms = begin.elapsed().as_millis();
    println!(
        "verify: {ms} ms for {} files, {} bytes; {} faults",
        report.files,
        report.bytes,
        report.faults.len()
    );
    let begin = Instant::now();
    store.collect(0, false).unwrap();
    println!("collect everything: {} ms", begin.elapsed().as_millis());
}
