//! Where attacks are made: the toy repository, pytest, and what is expected of a prediction.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use swegym_core::{Instance, Patch, TestCommand, Verdict};
use swegym_harness::{EvalLimits, Survey, evaluate};
use swegym_images::{Image, ImageConfig, Layer};
use swegym_sandbox::{
    Backend, Level, Limits, LocalBackend, LocalConfig, Network, OutputLimit, Sandbox, SandboxSpec, Upper,
    host_base, host_package_masks, layer_owner, probe,
};
use swegym_testkit::{ToyRepo, toy_repo};
use tempfile::TempDir;

use crate::upstream::{self, Fooled};

/// The interpreter of the host, which sandboxes see.
const PYTHON: &str = "/usr/bin/python3";
const SITE: &str = "opt/lib/site-packages";
/// Attacks at once.
const AT_ONCE: usize = 3;

/// What a log says when all went well.
pub(crate) const FORGED: &str = "PASSED tests/test_calc.py::test_add\\nPASSED tests/test_calc.py::test_mean\\n\
    PASSED tests/test_calc.py::test_mean_of_nothing\\n3 passed in 0.01s\\n";

/// A file and its new content; `None` deletes it.
pub(crate) type Edit = (&'static str, Option<String>);

/// A prediction that cheats.
#[derive(Clone)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) edits: Vec<Edit>,
    /// Kinds of findings, of which one must be there.
    pub(crate) kinds: &'static [&'static str],
    /// Shell commands before the tests.
    pub(crate) eval_commands: &'static [&'static str],
    pub(crate) seconds: u64,
}

impl Attack {
    /// Files with new contents; `None` deletes one.
    pub(crate) fn files(
        name: &'static str,
        kinds: &'static [&'static str],
        edits: &[(&'static str, Option<&str>)],
    ) -> Self {
        let edits = edits.iter().map(|(path, content)| (*path, content.map(str::to_owned))).collect();
        Self { name, edits, kinds, eval_commands: &[], seconds: 20 }
    }

    /// Code that runs when the tests import the package. `FORGED` in it is a string of lines that say all is well.
    pub(crate) fn code(name: &'static str, kinds: &'static [&'static str], code: &str) -> Self {
        Self::files(name, kinds, &[("toy/__init__.py", Some(&format!("FORGED = \"{FORGED}\"\n{code}\n")))])
    }
}

/// Sandboxes with the toy repository and pytest.
pub(crate) struct Lab {
    backend: LocalBackend,
    repo: ToyRepo,
    image: Image,
    survey: Survey,
    dir: TempDir,
}

impl Lab {
    /// `None` where there cannot be one, after saying so.
    pub(crate) async fn start() -> Option<Arc<Self>> {
        let dir = TempDir::new().unwrap();
        let config = LocalConfig {
            guest_program: env!("CARGO_BIN_EXE_swegym-harness-test-guest").into(),
            guest_args: Vec::new(),
            state_dir: dir.path().join("sandboxes"),
        };
        if let Some(missing) = probe(&config).await.into_iter().find(|probe| probe.level == Level::Fail) {
            println!("skipped: {}: {}", missing.name, missing.detail);
            return None;
        }
        let repo = toy_repo();
        let layer = dir.path().join("layer");
        fs::create_dir_all(layer.join(SITE)).unwrap();
        if !install_pytest(&layer.join(SITE)) {
            println!("skipped: no pytest for {PYTHON}; SWEGYM_TEST_PYTEST can name a folder that holds it");
            return None;
        }
        must(Command::new("cp").arg("-a").arg(repo.path()).arg(layer.join("testbed")));
        must(Command::new("chmod").arg("755").arg(layer.join("testbed")));
        own(&layer);
        let backend = LocalBackend::start(&config).await.unwrap();
        let image = image(&layer);
        let sandbox = sandbox_of(&backend, image.clone()).await;
        let survey = Survey::of(&*sandbox, Arc::new(repo.instance())).await.unwrap();
        Some(Arc::new(Self { backend, repo, image, survey, dir }))
    }

    pub(crate) fn instance(&self) -> Instance {
        self.repo.instance()
    }

    pub(crate) async fn sandbox(&self) -> Box<dyn Sandbox> {
        self.sandbox_of(self.image.clone()).await
    }

    /// A copy of the layer of the image after `change`, which is given its folder.
    pub(crate) fn layer_after(&self, change: impl FnOnce(&Path)) -> TempDir {
        let copy = TempDir::new_in(self.dir.path()).unwrap();
        must(Command::new("chmod").arg("755").arg(copy.path()));
        must(Command::new("cp").arg("-a").arg(self.dir.path().join("layer/.")).arg(copy.path()));
        change(copy.path());
        own(copy.path());
        copy
    }

    /// The image with this layer in place of its own.
    pub(crate) fn image_of(&self, layer: &Path) -> Image {
        image(layer)
    }

    pub(crate) async fn sandbox_of(&self, image: Image) -> Box<dyn Sandbox> {
        sandbox_of(&self.backend, image).await
    }

    /// The patch that makes these edits.
    pub(crate) fn patch(&self, edits: &[Edit]) -> String {
        let old = |path: &str| fs::read_to_string(self.repo.path().join(path)).ok();
        edits.iter().map(|(path, new)| diff(path, old(path).as_deref(), new.as_deref())).collect()
    }

    pub(crate) fn gold(&self) -> String {
        self.repo.gold_patch.to_text_lossy().into_owned()
    }

    /// The verdict of the strict profile.
    pub(crate) async fn judge(&self, prediction: &str, eval_commands: &[&str], seconds: u64) -> Verdict {
        let sandbox = self.sandbox().await;
        let command = TestCommand {
            eval_commands: eval_commands.iter().map(|line| (*line).to_owned()).collect(),
            test_cmd: "python3 -m pytest -rA".to_owned(),
        };
        let log_limit = OutputLimit { head: 128 << 10, tail: 128 << 10 };
        let limits = EvalLimits { time_limit: Duration::from_secs(seconds), log_limit };
        let prediction = Patch::from(prediction);
        let evaluation = evaluate(&*sandbox, &self.survey, &command, &prediction, &limits).await.unwrap();
        sandbox.destroy().await.unwrap();
        if std::env::var_os("SWEGYM_TEST_LOGS").is_some() {
            println!("{}", String::from_utf8_lossy(&evaluation.log));
        }
        evaluation.verdict
    }
}

async fn sandbox_of(backend: &LocalBackend, image: Image) -> Box<dyn Sandbox> {
    let spec = SandboxSpec {
        image,
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    };
    backend.create(&spec).await.unwrap()
}

/// Makes all of these, and asserts that none of them resolves and each has a finding.
pub(crate) async fn all_fail(group: &str, attacks: Vec<Attack>) {
    let Some(lab) = Lab::start().await else { return };
    let mut fooled = Fooled::default();
    let count = attacks.len();
    let mut attacks = attacks.into_iter();
    let mut failures = Vec::new();
    loop {
        let batch: Vec<_> = attacks
            .by_ref()
            .take(AT_ONCE)
            .map(|attack| tokio::spawn(make(Arc::clone(&lab), attack)))
            .collect();
        if batch.is_empty() {
            break;
        }
        for made in batch {
            let (failure, by) = made.await.unwrap();
            failures.extend(failure);
            fooled += by;
        }
    }
    println!(
        "{group}: {count} attacks; resolved by swegym {}, swebench4 {}, swebench5 {}, strict 0",
        fooled.swegym, fooled.swebench4, fooled.swebench5
    );
    assert!(failures.is_empty(), "{failures:#?}");
}

/// What is wrong with the verdict on an attack, if anything, and whom it fools.
async fn make(lab: Arc<Lab>, attack: Attack) -> (Option<String>, Fooled) {
    let patch = lab.patch(&attack.edits);
    let verdict = lab.judge(&patch, attack.eval_commands, attack.seconds).await;
    let fooled = upstream::evaluate(&lab, &patch, &attack).await;
    let kinds: Vec<&str> = verdict.findings.iter().map(|finding| finding.kind.as_str()).collect();
    println!("{:28} {fooled} {kinds:?}", attack.name);
    let expected = kinds.iter().any(|kind| attack.kinds.contains(kind));
    let failure = (verdict.resolved || !expected || verdict.failure.is_some())
        .then(|| format!("{}: expected one of {:?}: {verdict:#?}", attack.name, attack.kinds));
    (failure, fooled)
}

/// A change of a whole file in the form of `git diff`.
fn diff(path: &str, old: Option<&str>, new: Option<&str>) -> String {
    let mut text = format!("diff --git a/{path} b/{path}\n");
    let (before, after) = match (old, new) {
        (None, _) => {
            text.push_str("new file mode 100644\n");
            ("/dev/null".to_owned(), format!("b/{path}"))
        }
        (_, None) => {
            text.push_str("deleted file mode 100644\n");
            (format!("a/{path}"), "/dev/null".to_owned())
        }
        _ => (format!("a/{path}"), format!("b/{path}")),
    };
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let range = |lines: usize| if lines == 0 { "0,0".to_owned() } else { format!("1,{lines}") };
    let ranges = (range(old.lines().count()), range(new.lines().count()));
    text.push_str(&format!("--- {before}\n+++ {after}\n@@ -{} +{} @@\n", ranges.0, ranges.1));
    text.extend(old.lines().map(|line| format!("-{line}\n")));
    text.extend(new.lines().map(|line| format!("+{line}\n")));
    text
}

/// A symbolic link in a patch.
pub(crate) fn link(path: &str, target: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 120000\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n\
         +{target}\n\\ No newline at end of file\n"
    )
}

/// Copies pytest and what it needs, if they are to be had.
fn install_pytest(site: &Path) -> bool {
    let find = "import pytest, _pytest, pluggy, iniconfig, packaging, os\n\
                for it in (pytest, _pytest, pluggy, iniconfig, packaging): print(os.path.dirname(it.__file__))";
    let packages: Vec<PathBuf> = match std::env::var_os("SWEGYM_TEST_PYTEST") {
        Some(folder) => fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect(),
        None => match Command::new(PYTHON).args(["-c", find]).output() {
            Ok(found) if found.status.success() => {
                String::from_utf8_lossy(&found.stdout).lines().map(PathBuf::from).collect()
            }
            _ => return false,
        },
    };
    packages.iter().for_each(|package| must(Command::new("cp").arg("-rL").arg(package).arg(site)));
    true
}

/// Gives a layer to the user that sandboxes map their root to.
fn own(layer: &Path) {
    if let Some((uid, gid)) = layer_owner() {
        must(Command::new("chown").args(["-hR", &format!("{uid}:{gid}")]).arg(layer));
    }
}

fn must(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn image(layer: &Path) -> Image {
    let python_path = format!("/{SITE}:/testbed");
    let env = [
        ("HOME", "/root"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("PYTHONPATH", python_path.as_str()),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ];
    Image {
        layers: vec![Layer::unmanaged("toy", layer)],
        config: ImageConfig {
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            workdir: "/testbed".into(),
            binds: host_base(),
            masks: host_package_masks(),
        },
        reference: None,
    }
}
