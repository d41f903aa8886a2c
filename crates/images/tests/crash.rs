//! Builders that are killed at any moment leave a sound store.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its builders tell it"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use swegym_images::{Begin, LayerStore, Recipe};

/// Makes this test process a builder that is killed: the store.
const BUILDER: &str = "SWEGYM_TEST_BUILDER";
const KILLS: u32 = 40;
/// What a builder says after each layer.
const BUILT: &str = "built";

/// Builds layer after layer, with files that other layers have too, and collects now and then.
fn build_forever(store: &LayerStore, round: &str) {
    for number in 0.. {
        let recipe = Recipe::new("crash", &(round, number)).unwrap();
        let Begin::Build(build) = store.begin(&recipe).unwrap() else { continue };
        for file in 0..40 {
            let folder = build.files().join(format!("folder-{}", file % 7));
            fs::create_dir_all(&folder).unwrap();
            let content = format!("{}", file * (number % 5)).repeat(file * 50);
            fs::write(folder.join(format!("file-{file}")), content).unwrap();
        }
        build.commit().unwrap();
        println!("{BUILT}");
        if number % 8 == 7 {
            store.collect(200_000, false).unwrap();
        }
    }
}

#[test]
fn builders_that_are_killed_leave_a_sound_store() {
    if let Some(root) = std::env::var_os(BUILDER) {
        let round = std::env::var("ROUND").unwrap();
        build_forever(&LayerStore::open(Path::new(&root), None).unwrap(), &round);
    }
    let folder = tempfile::tempdir().unwrap();
    let store = LayerStore::open(folder.path(), None).unwrap();
    let mut layers = 0;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["builders_that_are_killed_leave_a_sound_store", "--nocapture"])
            .env(BUILDER, folder.path())
            .env("ROUND", (round / 2).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut built = said.map_while(Result::ok).filter(|line| line == BUILT);
        for _ in 0..round % 3 {
            built.next().unwrap();
        }
        // Different moments of a commit from round to round; a fast machine gets further.
        std::thread::sleep(Duration::from_micros(u64::from(7_919 * (round % 23))));
        assert!(child.try_wait().unwrap().is_none(), "the builder does not end by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let report = store.verify(false).unwrap();
        assert_eq!((report.faults, report.pool), (vec![], vec![]), "round {round}");
        layers += report.layers;
    }
    println!("{KILLS} builders were killed; {layers} layers were seen in all");
    assert!(layers > 0, "no builder got as far as a layer");
    store.collect(0, false).unwrap();
    for name in ["layers", "recipes", "building", "trash", "locks"] {
        assert_eq!(fs::read_dir(folder.path().join(name)).unwrap().count(), 0, "{name}");
    }
    let pool = fs::read_dir(folder.path().join("files")).unwrap();
    let left = pool.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).count();
    assert_eq!(left, 0, "the pool");
}
