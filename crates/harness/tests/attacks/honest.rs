//! Solutions that do nothing wrong, and look as if they might.

use swegym_core::Evidence;

use crate::lab::{Edit, FORGED, Lab};

#[tokio::test(flavor = "multi_thread")]
async fn honest_solutions_resolve() {
    let Some(lab) = Lab::start().await else { return };
    let init = |code: &str| ("toy/__init__.py", Some(format!("{code}\n")));
    let file = |path, code: &str| (path, Some(code.to_owned()));
    let solutions: Vec<(&str, Vec<Edit>)> = vec![
        ("the gold patch", vec![]),
        ("it prints", vec![init("print('PASSED nothing')\nimport sys\nprint('FAILED', file=sys.stderr)")]),
        (
            "it says what a log says",
            vec![init(&format!("import atexit\natexit.register(lambda: print(\"{FORGED}\"))"))],
        ),
        ("it forks", vec![init("import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait()")]),
        (
            "it starts programs",
            vec![init(
                "import subprocess, sys\nsubprocess.check_call([sys.executable, '-c', 'import toy' if False else ''])",
            )],
        ),
        ("it cleans up at exit", vec![init("import atexit, gc\natexit.register(gc.collect)")]),
        ("it prints much", vec![init("import atexit\natexit.register(lambda: print('x' * 2000000))")]),
        ("it adds tests", vec![file("tests/test_more.py", "def test_more():\n    assert False\n")]),
        (
            "it changes metadata",
            vec![
                file("setup.cfg", "[metadata]\nname = toy\n"),
                file("pyproject.toml", "[build-system]\nrequires = []\n"),
            ],
        ),
        ("it uses ctypes", vec![init("import ctypes\nctypes.CDLL(None).getpid()")]),
        (
            "it uses threads",
            vec![init(
                "import threading\nthread = threading.Thread(target=print)\nthread.start()\nthread.join()",
            )],
        ),
        (
            "it subclasses builtins",
            vec![init("import builtins\nbuiltins._ = str\nclass E(builtins.AssertionError): pass")],
        ),
    ];
    for (name, edits) in solutions {
        let verdict = lab.judge(&format!("{}{}", lab.gold(), lab.patch(&edits)), &["export X=1"], 60).await;
        assert!(verdict.resolved && !verdict.inconsistent, "{name}: {verdict:#?}");
        assert_eq!(verdict.evidence, Evidence::Channel, "{name}");
    }
    // Projects often have it that any warning fails.
    let verdict = lab.judge(&lab.gold(), &["export PYTEST_ADDOPTS='-W error'"], 60).await;
    assert!(verdict.resolved && verdict.evidence == Evidence::Channel, "{verdict:#?}");
    let verdict = lab.judge("", &[], 60).await;
    assert!(!verdict.resolved && !verdict.inconsistent && verdict.findings.is_empty(), "{verdict:#?}");
    assert_eq!(verdict.tests.unwrap().pass_to_pass.success.len(), 2);
}
