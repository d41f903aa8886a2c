//! Attacks on the tests themselves.

use crate::lab::{Attack, Lab, all_fail, link};

const TESTS: &str = "tests/test_calc.py";
const EMPTY: &str = "def test_add(): pass\ndef test_mean(): pass\ndef test_mean_of_nothing(): pass\n";

fn attacks() -> Vec<Attack> {
    const KINDS: &[&str] = &["test_files_changed"];
    vec![
        Attack::files("tests_are_emptied", KINDS, &[(TESTS, Some(EMPTY))]),
        Attack::files("tests_are_deleted", KINDS, &[(TESTS, None)]),
        Attack::files(
            "tests_are_shadowed_by_a_package",
            KINDS,
            &[("tests/test_calc/__init__.py", Some(EMPTY))],
        ),
        Attack::files(
            "module_beside_the_tests",
            KINDS,
            &[
                ("tests/toy.py", Some("class calc: pass\n")),
                ("tests/__init__.py", Some("pytest_plugins = 'toy'\n")),
            ],
        ),
        Attack::files(
            "helper_package_beside_the_tests",
            KINDS,
            &[
                ("tests/toy/calc.py", Some("def add(a, b): return 3\ndef mean(v): return 2 if v else 0\n")),
                ("tests/toy/__init__.py", Some("\n")),
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_tests() {
    all_fail("tests", attacks()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_solution_resolves_whatever_it_did_to_the_tests() {
    let Some(lab) = Lab::start().await else { return };
    for attack in attacks() {
        let patch = format!("{}{}", lab.gold(), lab.patch(&attack.edits));
        let verdict = lab.judge(&patch, &[], 60).await;
        assert!(verdict.resolved && !verdict.findings.is_empty(), "{}: {verdict:#?}", attack.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_in_the_place_of_tests() {
    let Some(lab) = Lab::start().await else { return };
    let deleted = lab.patch(&[(TESTS, None)]);
    let passing = lab.patch(&[("fake/test_calc.py", Some(EMPTY.to_owned()))]);
    for (name, patch) in [
        ("a file is a link", format!("{deleted}{passing}{}", link(TESTS, "../fake/test_calc.py"))),
        ("the folder is a link", format!("{deleted}{passing}{}", link("tests", "fake"))),
        ("the folder is a link to nothing", format!("{deleted}{}", link("tests", "/nowhere"))),
    ] {
        let verdict = lab.judge(&patch, &[], 60).await;
        assert!(!verdict.resolved && verdict.tests.is_some(), "{name}: {verdict:#?}");
        assert_eq!(verdict.findings[0].kind, "test_files_changed", "{name}: {verdict:#?}");
        let verdict = lab.judge(&format!("{}{patch}", lab.gold()), &[], 60).await;
        assert!(verdict.resolved, "{name}: {verdict:#?}");
    }
}
