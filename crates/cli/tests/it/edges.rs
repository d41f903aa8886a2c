//! Which crate may know which: the table of ARCHITECTURE.md, enforced.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate -> the crates that its row of the table names. What those may know, it may know too.
const MAY_DEPEND_ON: [(&str, &[&str]); 11] = [
    ("core", &[]),
    ("data", &["core"]),
    ("images", &["core"]),
    ("sandbox", &["images"]),
    ("environment", &["sandbox", "data"]),
    ("model", &["core"]),
    ("harness", &["sandbox"]),
    ("agent", &["sandbox", "model"]),
    ("runner", &["agent", "harness", "environment", "data"]),
    ("collect", &["harness", "environment", "data"]),
    ("cli", &["runner", "collect"]),
];

/// Used by tests and benches of any crate, and by nothing that ships.
const DEV_ONLY: [&str; 3] = ["testkit", "bench", "conformance"];

#[test]
fn crates_know_only_what_stands_above_them() {
    let table: BTreeMap<_, _> = MAY_DEPEND_ON.into_iter().collect();
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let ours = |name: &str| name.strip_prefix("swegym-").map(str::to_owned);
    for package in &metadata.packages {
        let name = ours(&package.name).unwrap_or_else(|| package.name.to_string());
        let shipped =
            package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        let known: BTreeSet<String> = shipped.filter_map(|dependency| ours(&dependency.name)).collect();
        if DEV_ONLY.contains(&name.as_str()) {
            continue;
        }
        let allowed = closure(&table, &name);
        let forbidden: Vec<_> = known.iter().filter(|known| !allowed.contains(known.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} must not depend on {forbidden:?}");
    }
}

/// Everything that a crate may know, directly and through others.
fn closure<'a>(table: &BTreeMap<&'a str, &'a [&'a str]>, name: &str) -> BTreeSet<&'a str> {
    let row = table.get(name).expect("every crate has a row in the table");
    row.iter().flat_map(|direct| closure(table, direct).into_iter().chain([*direct])).collect()
}
