use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use swegym_sandbox::{Captured, ExecOutput, ExecRequest, ExecStatus, SandboxError};

use super::*;

const LIBRARY: &str = "\
def last(items):
    if not items:
        return None
    return items[len(items) - 1]


def double(number, times=2):
    return number * times


def unseen(a, b):
    return a + b


def everything(a):
    return a + 7


def endless(a):
    while a < 10:
        a += 5
    return a
";

/// Stands for pytest in a sandbox: each test passes while a piece of the library stands there.
const TESTS: [(&str, &str); 8] = [
    ("test_last", "items[len(items) - 1]"),
    ("test_empty", "if not items:"),
    ("test_double", "number * times"),
    ("test_a", ""),
    ("test_b", ""),
    ("test_c", ""),
    ("test_d", ""),
    ("test_e", ""),
];

struct Fake {
    number: usize,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Fake {
    fn library(&self) -> String {
        String::from_utf8(self.files.lock().unwrap()["/testbed/lib.py"].clone()).unwrap()
    }

    /// Changes of `everything` break each test; `test_flaky` fails in every other sandbox.
    fn log(&self) -> String {
        let library = self.library();
        let imports = library.contains("return a + 7");
        let passes = |needed: &str| imports && library.contains(needed);
        let mut results: Vec<_> = TESTS.iter().map(|(test, needed)| (*test, passes(needed))).collect();
        results.push(("test_flaky", self.number.is_multiple_of(2)));
        let failed = results.iter().filter(|(_, passed)| !passed);
        let blocks: String = failed
            .map(|(test, _)| format!("____ {test} ____\nt.py:1: in {test}\n    check()\nE   bad\n"))
            .collect();
        let status = |passed: &bool| if *passed { "PASSED" } else { "FAILED" };
        let lines = results.iter().map(|(test, passed)| format!("{} t.py::{test}\n", status(passed)));
        format!("=== FAILURES ===\n{blocks}=== short test summary info ===\n{}", lines.collect::<String>())
    }
}

#[async_trait]
impl Sandbox for Fake {
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        for _ in 0..(self.number * 7) % 5 {
            tokio::task::yield_now().await;
        }
        if request.argv[2].contains("SWEGYM_COVERAGE_OUT") {
            assert!(self.files.lock().unwrap().contains_key("/tmp/swegym-coverage/swegym_coverage.py"));
            let covered =
                [1, 7, 15, 19].map(|line| serde_json::json!({"file": "lib.py", "line": line, "tests": 1}));
            let record = serde_json::json!({ "functions": covered }).to_string();
            self.write_file("/tmp/swegym-coverage/record.json", record.as_bytes()).await?;
        }
        let library = self.library();
        let ends = ["while a < 10", "a += 5", "return a\n"].iter().all(|line| library.contains(line));
        Ok(ExecOutput {
            status: if ends { ExecStatus::Exited(1) } else { ExecStatus::TimedOut },
            stdout: Captured { head: self.log().into_bytes(), ..Captured::default() },
            stderr: Captured::default(),
            wall: Duration::from_secs(1),
            cpu: Duration::from_secs(1),
            peak_memory: 0,
        })
    }

    async fn read_file(&self, path: &str, _limit: u64) -> Result<Vec<u8>, SandboxError> {
        let missing = SandboxError::File {
            action: "read",
            path: path.to_owned(),
            message: "no such file".to_owned(),
            errno: None,
        };
        self.files.lock().unwrap().get(path).cloned().ok_or(missing)
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        self.files.lock().unwrap().insert(path.to_owned(), content.to_owned());
        Ok(())
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        Ok(())
    }
}

struct Bench {
    library: String,
    made: AtomicUsize,
    commits: Mutex<Vec<String>>,
}

impl Bench {
    fn new(library: &str) -> Arc<Self> {
        let library = library.to_owned();
        Arc::new(Self { library, made: AtomicUsize::new(0), commits: Mutex::default() })
    }
}

#[async_trait]
impl Workbench for Bench {
    async fn sandbox(&self) -> Result<Box<dyn Sandbox>, SynthError> {
        let files = BTreeMap::from([("/testbed/lib.py".to_owned(), self.library.clone().into_bytes())]);
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Fake { number, files: Mutex::new(files) }))
    }

    async fn commit(&self, name: &str, path: &str, content: &[u8]) -> Result<CommitId, SynthError> {
        assert_eq!(path, "lib.py");
        assert_ne!(content, LIBRARY.as_bytes());
        self.commits.lock().unwrap().push(name.to_owned());
        Ok(CommitId::new("0".repeat(40)).unwrap())
    }
}

fn package(instances: usize) -> SynthPackage {
    let test = ("tests/test_lib.py".to_owned(), b"def test_a(a):\n    return a + 1\n".to_vec());
    SynthPackage {
        repo: RepoName::new("pypi/lib").unwrap(),
        version: "1.0".to_owned(),
        distribution: "lib".to_owned(),
        test_command: TestCommand { eval_commands: Vec::new(), test_cmd: "pytest -rA --tb=short".to_owned() },
        files: BTreeMap::from([("lib.py".to_owned(), LIBRARY.as_bytes().to_vec()), test]),
        created_at: "2024-01-01T00:00:00Z".to_owned(),
        instances,
        seed: 3,
        max_candidates: 100,
    }
}

#[tokio::test]
async fn bugs_that_some_tests_see_become_instances() {
    let bench = Bench::new(LIBRARY);
    let instances = synthesize(&package(9), &*bench, 2).await.unwrap();
    let mut turned: Vec<_> = instances.iter().map(|it| it.grading.fail_to_pass.join(" ")).collect();
    turned.sort();
    assert_eq!(turned.len(), 2, "one for each function whose bugs some tests see: {turned:?}");
    assert_eq!(turned[0], "t.py::test_double");
    for instance in &instances {
        let row = instance.to_row();
        assert!(instance.grading.pass_to_pass.contains(&"t.py::test_a".to_owned()));
        assert!(!row["PASS_TO_PASS"].to_string().contains("test_flaky"));
        let operator = row["synth_operator"].as_str().unwrap();
        let id = instance.id().as_str();
        assert!(id.starts_with("pypi__lib-") && !id.contains(operator), "{id} must not tell what the bug is");
        assert!(instance.problem.problem_statement.contains("    check()\n\nwith\n\n    bad\n"));
        let patch = instance.grading.patch.to_text_lossy();
        let repaired = patch.lines().skip(4).filter_map(|line| line.strip_prefix('+'));
        assert!(repaired.clone().count() > 0);
        assert!(repaired.into_iter().all(|line| LIBRARY.contains(line)), "{patch}");
    }
    let names: Vec<_> = instances.iter().map(|it| it.id().to_string()).collect();
    assert_eq!(*bench.commits.lock().unwrap(), names);
}

#[tokio::test]
async fn the_number_of_jobs_changes_nothing() {
    let mut outcomes = Vec::new();
    for jobs in [0, 1, 3, 16] {
        outcomes.push(synthesize(&package(2), &*Bench::new(LIBRARY), jobs).await.unwrap());
    }
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0] && outcome.len() == 2));
    let one = synthesize(&package(1), &*Bench::new(LIBRARY), 4).await.unwrap();
    assert_eq!(one[..], outcomes[0][..1]);
}

#[tokio::test]
async fn a_tree_whose_tests_do_not_pass_is_refused() {
    let broken = LIBRARY.replace("return a + 7", "return a + 8");
    let bench = Bench::new(&broken);
    bench.made.store(1, Ordering::SeqCst);
    let error = synthesize(&package(1), &*bench, 1).await.unwrap_err();
    assert!(error.to_string().contains("none of them passed; the log ends with"), "{error}");
    let endless = LIBRARY.replace("a += 5", "a += 0");
    let error = synthesize(&package(1), &*Bench::new(&endless), 1).await.unwrap_err();
    assert!(error.to_string().contains("killed or ran out of time"), "{error}");
}
