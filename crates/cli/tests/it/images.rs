//! `swegym images`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};
use swegym_images::{Begin, FIXED_TIME, Image, Layer, LayerStore, Recipe};
use swegym_testkit::toy_repo;

use crate::support::{Place, Ran, network};

fn store(place: &Place) -> LayerStore {
    LayerStore::open(place.path("cache/store"), swegym_sandbox::layer_owner()).unwrap()
}

/// A layer in the cache of a place, as a build would leave it.
fn layer(store: &LayerStore, name: &str, files: &[(&str, &str)]) -> Layer {
    let Begin::Build(build) = store.begin(&Recipe::new("test", &name).unwrap()).unwrap() else {
        panic!("{name} is there")
    };
    files.iter().for_each(|(path, content)| fs::write(build.files().join(path), content).unwrap());
    build.commit().unwrap()
}

/// Two images of one repository, with a layer in common.
fn two_images(place: &Place) {
    let store = store(place);
    let below = layer(&store, "below", &[("shared", &"x".repeat(100_000))]);
    for name in ["a__b-1", "a__b-2"] {
        let own = layer(&store, name, &[("own", &format!("{name}{}", "y".repeat(10_000)))]);
        let image = Image { layers: vec![below.clone(), own], ..Image::default() };
        store.record_image(name, "a/b", &image).unwrap();
    }
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

fn run(place: &Place, arguments: &[&str]) -> Ran {
    let ran = place.run(&[&["images"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    ran
}

#[test]
fn images_are_listed_and_measured() {
    let place = Place::new();
    assert_eq!(run(&place, &["list", "--format", "json"]).stdout, "");
    two_images(&place);
    let list = run(&place, &["list"]).stdout;
    let words: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1..], [["a__b-1", "a/b", "2", "whole"], ["a__b-2", "a/b", "2", "whole"]]);
    let usage = lines(&run(&place, &["du", "--format", "json"]));
    let [repository, one, two, total] = &usage[..] else { panic!("{usage:?}") };
    assert_eq!(
        (&repository["repository"], &one["image"], &two["image"]),
        (&json!("a/b"), &json!("a__b-1"), &json!("a__b-2"))
    );
    let number = |line: &Value, key: &str| line[key].as_u64().unwrap();
    assert_eq!(number(one, "apparent_bytes"), 110_006);
    assert!(number(one, "shared_bytes") >= 100_000 && number(one, "unique_bytes") >= 10_000, "{one}");
    assert_eq!(number(repository, "shared_bytes"), 0, "one repository shares with no other");
    assert!(number(total, "disk_bytes") < 200_000, "{total}");
    assert_eq!(number(total, "apparent_bytes"), 220_012);
    let text = run(&place, &["du"]).stdout;
    assert!(text.contains("images that share nothing would take 214.9 KiB"), "{text}");
}

#[test]
fn layers_of_shared_stores_are_used_by_everything_or_refused() {
    let (place, theirs) = (Place::new(), Place::new());
    two_images(&theirs);
    let exported = theirs.path("image.tar");
    let file = exported.to_str().unwrap();
    assert_eq!(theirs.run(&["images", "export", "a__b-1", file]).code, Some(0));
    assert_eq!(theirs.run(&["images", "import", file, "--name", "taken:1"]).code, Some(0));
    let with = |stores: &std::path::Path, copy: &str, arguments: &[&str]| {
        let mut command = place.swegym(arguments);
        Ran::new(
            command.env("SWEGYM_SHARED_STORES", stores).env("SWEGYM_COPY_SHARED", copy).output().unwrap(),
        )
    };
    let stores = theirs.path("cache/store");
    let layers = || fs::read_dir(place.path("cache/store/layers")).unwrap().count();
    let ran = with(&stores, "0", &["images", "import", file, "--name", "taken:1"]);
    assert_eq!((ran.code, layers()), (Some(0), 0), "they are used in place: {}", ran.stderr);
    let list = with(&stores, "0", &["images", "list"]).stdout;
    assert!(list.contains("docker.io/library/taken:1") && list.contains("whole"), "{list}");
    let ran = with(&stores, "0", &["images", "export", "taken:1", "again.tar"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(run(&place, &["list"]).stdout.contains("collected"), "without them it is not whole");
    let ran = with(&stores, "1", &["images", "import", file, "--name", "taken:1"]);
    assert_eq!((ran.code, layers()), (Some(0), 2), "they are copied: {}", ran.stderr);
    assert!(run(&place, &["list"]).stdout.contains("whole"));
    let usage = run(&place, &["du"]).stdout;
    assert!(usage.contains("docker.io/library/taken:1"), "{usage}");

    let ran = with(&theirs.path("nowhere"), "0", &["images", "list"]);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("nowhere` that SWEGYM_SHARED_STORES names"),
        "{}",
        ran.stderr
    );
    let ran = with(&stores, "yes", &["images", "list"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(1), "error: failed to read SWEGYM_COPY_SHARED: it is `yes`, not 0 or 1\n")
    );
}

#[test]
fn what_is_over_the_budget_is_removed() {
    let place = Place::new();
    two_images(&place);
    let dry = lines(&run(&place, &["gc", "--budget", "0", "--dry-run", "--format", "json"]));
    assert_eq!((dry[0]["layers"].as_array().unwrap().len(), &dry[0]["bytes_after"]), (3, &json!(0)));
    let in_use = store(&place).find(&Recipe::new("test", &"below").unwrap()).unwrap();
    let ran = run(&place, &["gc", "--budget", "0"]);
    assert!(ran.stdout.starts_with("removed 2 layers, 4 names"), "{}", ran.stdout);
    assert!(ran.stderr.contains("1 layers are in use and stay"), "{}", ran.stderr);
    assert!(in_use.path.join("shared").exists());
    drop(in_use);
    assert!(run(&place, &["gc", "--budget", "1K"]).stdout.starts_with("removed 1 layers"));
    assert_eq!(run(&place, &["list", "--format", "json"]).stdout, "");
    assert_eq!(place.run(&["images", "gc", "--budget", "much"]).code, Some(2));
}

#[test]
fn broken_layers_are_named_and_dropped() {
    let place = Place::new();
    two_images(&place);
    assert!(run(&place, &["verify"]).stdout.contains(" 0 faults"));
    let own = store(&place).find(&Recipe::new("test", &"a__b-1").unwrap()).unwrap();
    fs::write(own.path.join("own"), "changed").unwrap();
    fs::write(own.path.join("more"), "").unwrap();
    let id = own.id.clone();
    drop(own);
    let ran = place.run(&["images", "verify"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("{id}  changed  own\n")), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("{id}  extra  more\n")), "{}", ran.stdout);
    let repaired = lines(&run(&place, &["verify", "--repair", "--format", "json"]));
    assert_eq!(repaired.last().unwrap()["dropped"], json!([id]));
    assert!(run(&place, &["list"]).stdout.contains("collected"));
    assert!(run(&place, &["verify"]).stdout.contains(" 0 faults"));
}

/// An instance file with the toy task and one whose commit nobody has, with repositories and specs.
fn toy_set(place: &Place) {
    let toy = toy_repo();
    fs::create_dir_all(place.path("repos")).unwrap();
    let copied = std::process::Command::new("git")
        .args(["clone", "--quiet", "--bare"])
        .arg(toy.path())
        .arg(place.path("repos/toy__toy"))
        .status();
    assert!(copied.unwrap().success());
    let mut rows = vec![toy.instance().to_row().clone(); 2];
    rows[1].insert("instance_id".to_owned(), "toy__toy-2".into());
    rows[1].insert("base_commit".to_owned(), "0123456789".repeat(4).into());
    let rows: Vec<String> = rows.into_iter().map(|row| Value::Object(row).to_string()).collect();
    place.write("tasks.jsonl", rows.join("\n"));
    let spec = json!({"toy/toy": {"1.0": {"python": ">=3.9", "packages": [], "test_cmd": "pytest -rA"}}});
    place.write("specs.json", spec.to_string());
}

#[test]
fn images_are_built_once_and_failures_have_reasons() {
    if !network() {
        return;
    }
    let place = Place::with_shared_cache();
    toy_set(&place);
    let build = [
        "images",
        "build",
        "-i",
        "tasks.jsonl",
        "--repos",
        "repos",
        "--specs",
        "specs.json",
        "--format",
        "json",
    ];
    place.run(&build);
    let ran = place.run(&[&build[..], &["-j", "2"]].concat());
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let images = lines(&ran);
    let of = |key: &str| images.iter().map(|image| image[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("instance_id"), ["toy__toy-1", "toy__toy-2"]);
    assert_eq!(of("status"), ["there", "failed"]);
    assert_eq!(images[1]["failure"]["kind"], "image_repository");
    assert!(ran.stderr.contains("2 images: 0 built, 1 there before, 1 failed"), "{}", ran.stderr);
    let ran = place.run(&[&build[..], &["--only", "toy__toy-1"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_index_is_younger(&place);
}

/// Otherwise git would read every file to say that nothing changed.
fn assert_index_is_younger(place: &Place) {
    let list = lines(&place.run(&["images", "list", "--format", "json"]));
    let toy = list.iter().find(|image| image["image"] == "toy__toy-1").unwrap();
    let layers = place.cache().join("store/layers");
    let testbed = layers.join(toy["layers"][1].as_str().unwrap()).join("fs/testbed");
    let time = |path: &str| fs::metadata(testbed.join(path)).unwrap().mtime();
    assert_eq!(time("toy/calc.py"), FIXED_TIME);
    assert!(time(".git/index") > FIXED_TIME);
    let git_dir = format!("--git-dir={}", testbed.join(".git").display());
    let arguments = ["-c", "safe.directory=*", &git_dir, "ls-files", "--debug"];
    let shown = std::process::Command::new("git").args(arguments).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let times: Vec<&str> = shown.lines().filter_map(|line| line.trim().strip_prefix("mtime: ")).collect();
    assert_eq!(times, vec![format!("{FIXED_TIME}:0"); 4], "{shown}");
}

const STEPS: &str = r#"
repo = "toy/toy"
[defaults]
python = "3"
test_cmd = "python -m pytest -rA"
exclude_newer = "2024-12-01"
[[specs]]
versions = ["1.0"]
packages = "pytest nodejs>=16"
pip_packages = ["inflection==0.5.1"]
pre_install = ["apt-get install -y cmake && echo changed >> README.md", "git remote add upstream nowhere"]
install = "[ \"$(tail -n1 README.md)\" = changed ]; pip install 'toolz<0.12.1'; python -m pip uninstall -y inflection"
"#;

#[test]
fn what_building_takes_is_explained_and_then_done() {
    if !network() {
        return;
    }
    let place = Place::with_shared_cache();
    toy_set(&place);
    place.write("toy.toml", STEPS);
    let set =
        ["build", "-i", "tasks.jsonl", "--repos", "repos", "--specs", "toy.toml", "--only", "toy__toy-1"];
    let explain = [&set[..], &["--explain"]].concat();
    let text = run(&place, &explain).stdout;
    assert!(text.contains("  left out: nodejs>=16\n    because there is no wheel of it"), "{text}");
    assert!(text.contains("where tests need them, install there: cmake"), "{text}");
    let explained = &lines(&run(&place, &[&explain[..], &["--format", "json"]].concat()))[0];
    let plan = &explained["plan"];
    assert_eq!(plan["requirements"], json!(["pytest"]));
    assert_eq!(plan["exclude_newer"], "2024-12-01T00:00:00Z");
    assert_eq!(plan["commands"][0], ": && echo changed >> README.md");
    let left_out: Vec<&str> =
        plan["left_out"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(left_out, ["nodejs>=16", "apt-get install -y cmake", "git remote add upstream nowhere"]);

    run(&place, &set);
    let evaluated = place.run(&[
        "eval",
        "-i",
        "tasks.jsonl",
        "--repos",
        "repos",
        "--specs",
        "toy.toml",
        "--only",
        "toy__toy-1",
        "--predictions",
        "gold",
        "-o",
        "out",
    ]);
    assert_eq!(evaluated.code, Some(0), "{}", evaluated.stderr);
    let report = fs::read_to_string(place.path("out/rollouts/toy__toy-1/0/eval/report.json")).unwrap();
    assert!(report.contains("\"resolved\": true"), "{report}");
    assert_installed(&place);
}

#[test]
fn explaining_says_which_instance_has_no_spec_and_goes_on() {
    let place = Place::new();
    toy_set(&place);
    let ran = place.run(&["images", "build", "--explain", "-i", "tasks.jsonl", "--repos", "repos"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let missing = "no plan: image_spec: failed to find the environment spec of `toy/toy` version `1.0`";
    assert_eq!(ran.stdout.matches(missing).count(), 2, "{}", ran.stdout);
}

#[test]
fn an_interpreter_that_is_not_to_be_had_is_named() {
    if !network() {
        return;
    }
    let place = Place::with_shared_cache();
    toy_set(&place);
    let set = ["--repos", "repos", "--specs", "specs.json", "--only", "toy__toy-1", "--python", "3.5"];
    let set = [&["images", "build", "-i", "tasks.jsonl"][..], &set].concat();
    let ran = place.run(&set);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    for part in ["failed to find Python `3.5`: ", "`uv python install`: ", "`--python` builds with another"] {
        assert!(ran.stdout.contains(part), "{part} is missing: {}", ran.stdout);
    }
    let ran = place.run(&[&["eval", "--predictions", "gold", "-o", "out"], &set[2..]].concat());
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let written = fs::read_to_string(place.path("out/run.toml")).unwrap();
    assert!(written.contains("python = \"3.5\""), "{written}");
    let explained = place.run(&[&set[..], &["--explain"]].concat());
    assert_eq!(explained.code, Some(0), "{}", explained.stderr);
    assert!(explained.stdout.contains("  python 3.5: not on this machine"), "{}", explained.stdout);
}

/// The later commands had their way with the packages, as of their day; the repository is as it was.
fn assert_installed(place: &Place) {
    let list = lines(&place.run(&["images", "list", "--format", "json"]));
    let toy = list.iter().find(|image| image["image"] == "toy__toy-1").unwrap();
    let layer = |number: usize| {
        place.cache().join("store/layers").join(toy["layers"][number].as_str().unwrap()).join("fs")
    };
    let library = fs::read_dir(layer(2).join("opt/venv/lib")).unwrap().next().unwrap().unwrap().path();
    let packages: Vec<String> = fs::read_dir(library.join("site-packages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(packages.contains(&"toolz-0.12.0.dist-info".to_owned()), "{packages:?}");
    assert!(!layer(2).join("opt/uv-cache").exists(), "the cache is no part of an image");
    let readme = layer(2).join("testbed/README.md");
    assert!(!readme.exists() || fs::read_to_string(readme).unwrap() == "# toy\n");
}
