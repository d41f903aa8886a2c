//! Where attempts are made: a sandbox with everything in it that hostile code may hope for, and things of the
//! host beside it that must stay as they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use swegym_sandbox::{Backend, ExecRequest, LocalBackend, Sandbox, SandboxSpec};
use tempfile::TempDir;

use super::attempt::{ABSENT, Attempt, Code, Outcome, PRELUDE};
use crate::support::{as_layers, config, layer, spec};

/// What no output may hold.
const SECRET: &str = "swordfish";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Lab {
    pub(crate) home: TempDir,
    pub(crate) backend: LocalBackend,
    pub(crate) spec: SandboxSpec,
    pub(crate) sandbox: Box<dyn Sandbox>,
    before: BTreeMap<PathBuf, String>,
    has_python: bool,
    failed: Vec<String>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SandboxSpec)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let host = home.path().join("host");
        fs::create_dir(&host).unwrap();
        fs::write(host.join("secret"), SECRET).unwrap();
        let low = layer(&host, "low", &[("opt/low/file", "low"), ("opt/low/other", "low")]);
        let read_only = layer(&host, "read-only", &[("file", "read-only")]);
        fs::copy("/usr/bin/sleep", low.join("opt/low/suid")).unwrap();
        fs::set_permissions(low.join("opt/low/suid"), fs::Permissions::from_mode(0o6755)).unwrap();
        let writable = layer(home.path(), "writable", &[("file", "writable")]);

        let backend = LocalBackend::start(&config(&home.path().join("state"))).await.unwrap();
        let mut spec = spec();
        spec.image.layers = as_layers(&[low]);
        spec.extra_binds = vec![(read_only, "/mnt/ro".into(), false), (writable, "/mnt/rw".into(), true)];
        change(&mut spec);
        let sandbox = backend.create(&spec).await.unwrap();
        let before = fingerprint(&host);
        let mut lab = Self { home, backend, spec, sandbox, before, has_python: false, failed: Vec::new() };
        lab.has_python = lab.shell("command -v python3").await.contains("python3");
        lab.sandbox.write_file("/tmp/lib/attempt.py", PRELUDE.as_bytes()).await.unwrap();
        lab
    }

    pub(crate) fn host(&self) -> PathBuf {
        self.home.path().join("host")
    }

    /// Whether a limit holds here; prints what is skipped when not.
    pub(crate) fn enforces(&self, limit: &str, name: &str) -> bool {
        let unenforced = self.backend.unenforced();
        let reason = unenforced.iter().find(|sentence| sentence.contains(limit));
        if let Some(reason) = reason {
            println!("attempt {name}: skipped: {reason}");
        }
        reason.is_none()
    }

    pub(crate) async fn try_all(&mut self, attempts: &[Attempt]) {
        for attempt in attempts {
            self.try_one(attempt).await;
        }
    }

    async fn try_one(&mut self, attempt: &Attempt) {
        if matches!(attempt.code, Code::Python(_)) && !self.has_python {
            return println!("attempt {}: skipped: no python3 on this machine", attempt.name);
        }
        let said = self.run(attempt.code).await;
        if said == ABSENT {
            return println!("attempt {}: skipped: not on this architecture", attempt.name);
        }
        let refused = attempt.refused.iter().any(|words| said.contains(words));
        let outcome = if refused { Ok(said) } else { Err(said) };
        self.judge(attempt.name, outcome);
    }

    /// Says how an attempt ended, after a look at what it may have done outside.
    pub(crate) fn judge(&mut self, name: &str, outcome: Outcome) {
        let outcome = outcome.and_then(|how| match self.harm() {
            Some(harm) => Err(harm),
            None if how.contains(SECRET) => Err(format!("it read the secret: {how}")),
            None => Ok(how),
        });
        match outcome {
            Ok(how) => println!("attempt {name}: refused ({})", how.replace('\n', "; ")),
            Err(what) => {
                println!("attempt {name}: SUCCEEDED: {what}");
                self.failed.push(format!("{name}: {what}"));
            }
        }
    }

    /// What has changed on the host.
    fn harm(&self) -> Option<String> {
        let now = fingerprint(&self.host());
        let changed = |path: &&PathBuf| now.get(*path) != self.before.get(*path);
        let path = self.before.keys().chain(now.keys()).find(changed)?;
        Some(format!(
            "`{}` is another: {:?} became {:?}",
            path.display(),
            self.before.get(path),
            now.get(path)
        ))
    }

    pub(crate) async fn run(&self, code: Code) -> String {
        match code {
            Code::Shell(script) => self.shell(script).await,
            Code::Python(script) => {
                let script = format!("from attempt import *\n{script}");
                let mut request = ExecRequest::new(["python3", "-c", &self.filled(&script)]);
                request.env.insert("PYTHONPATH".to_owned(), "/tmp/lib".to_owned());
                self.output(request).await
            }
        }
    }

    pub(crate) async fn shell(&self, script: &str) -> String {
        self.output(ExecRequest::shell(self.filled(script))).await
    }

    async fn output(&self, request: ExecRequest) -> String {
        let output = self.sandbox.exec(&request.merged().within(PATIENCE)).await.unwrap();
        let text = output.stdout.to_text();
        if text.is_empty() { format!("{:?}", output.status) } else { text.trim().to_owned() }
    }

    fn filled(&self, script: &str) -> String {
        let host = self.host();
        script
            .replace("{secret}", host.join("secret").to_str().unwrap())
            .replace("{host}", host.to_str().unwrap())
            .replace("{pid}", &std::process::id().to_string())
    }

    /// Fails when an attempt did not. The sandbox must have lived through all of them.
    pub(crate) async fn end(self) {
        assert_eq!(self.shell("echo alive").await, "alive");
        self.sandbox.destroy().await.unwrap();
        assert!(self.failed.is_empty(), "these attempts succeeded:\n{}", self.failed.join("\n"));
    }
}

/// Everything about the files below a folder that may not change.
fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let about = entry.metadata().unwrap();
            let content = if about.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
            let content: u64 = content.iter().fold(5381, |sum, byte| sum.wrapping_mul(33) + u64::from(*byte));
            let (owner, links) = (about.uid(), if about.is_dir() { 0 } else { about.nlink() });
            let mode = about.mode();
            let text =
                format!("mode {mode:o} owner {owner} links {links} changed {} sum {content}", about.mtime());
            found.insert(entry.path(), text);
            if about.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found
}
