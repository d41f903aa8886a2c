//! `swegym images check`, on images that are in the store.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use swegym_images::oci::{NamedImage, NamedImages};
use swegym_images::{Begin, Image, ImageConfig, LayerStore, Recipe};
use swegym_testkit::toy_repo;

use crate::support::Place;

/// Puts an image into the store, as `images import` does, with the toy repository and one more file.
fn put(place: &Place, name: &str, more: (&str, &str)) -> Value {
    let repo = toy_repo();
    let store = LayerStore::open(place.cache().join("store"), swegym_sandbox::layer_owner()).unwrap();
    let Begin::Build(build) = store.begin(&Recipe::new("test", &name).unwrap()).unwrap() else {
        panic!("{name} is there")
    };
    let copy = |from: &Path, to: &Path| Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copy(repo.path(), &build.files().join("testbed")).success());
    let file = build.files().join(more.0);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, more.1).unwrap();
    let layers = vec![build.commit().unwrap()];
    // As images that show programs of the machine: nothing below `/usr` is theirs.
    let config = ImageConfig { binds: swegym_sandbox::host_base(), ..ImageConfig::default() };
    let image = NamedImage::built(name.parse().unwrap(), &Image { layers, config, reference: None });
    NamedImages::open(place.cache().join("store")).unwrap().add(&image).unwrap();
    let mut row = repo.instance().to_row().clone();
    row.insert("instance_id".to_owned(), format!("toy__{name}").into());
    row.insert("image_name".to_owned(), name.into());
    row.into()
}

#[test]
fn an_image_that_shows_the_answer_is_an_error_and_says_where() {
    let place = Place::new();
    if place.run(&["doctor", "--format", "json"]).code != Some(0) {
        println!("skipped: this machine has no sandboxes; `swegym doctor` says why");
        return;
    }
    let gold = "    return sum(values) / len(values) if values else 0\n";
    let clean = put(&place, "clean", ("opt/notes", "nothing\n"));
    let leaking = put(&place, "leaking", ("opt/calc.py.orig", gold));
    place.write("clean.jsonl", clean.to_string());
    place.write("both.jsonl", format!("{clean}\n{leaking}\n"));
    let check =
        |set: &str| place.run(&["images", "check", "-i", set, "--images", "published", "--format", "json"]);
    let ran = check("clean.jsonl");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let line: Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected =
        json!({"instance_id": "toy__clean", "status": "clean", "leaks": [], "notes": [], "failure": null});
    assert_eq!(line, expected);
    let ran = check("both.jsonl");
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("1 of 2 show the answer"), "{}", ran.stderr);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&json!("clean"), &json!("leaks")));
    let leak = json!({"kind": "gold_text", "detail": "lines of the gold patch are in: `/opt/calc.py.orig`"});
    assert_eq!(lines[1]["leaks"], json!([leak]));
}
