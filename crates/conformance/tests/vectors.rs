//! The vectors beside the checkout, where they are.

use std::path::Path;

use conformance::run_folder;

#[test]
fn ours_gives_what_upstream_gave() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !folder.exists() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    for outcome in run_folder(&folder, &[]).unwrap() {
        assert!(outcome.failures.is_empty(), "{}: {:#?}", outcome.name, outcome.failures);
    }
}
