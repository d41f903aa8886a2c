//! A repository to work in, in a layer: a package of some hundred modules, or a clone of a real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use swegym_core::CommitId;
use swegym_images::Layer;
use swegym_sandbox::layer_owner;

/// Modules of the generated package, and classes with as many methods in each.
const MODULES: usize = 200;
const METHODS: usize = 20;

/// The layer, and its commit.
pub(super) struct Repository {
    pub(super) layer: Layer,
    pub(super) base_commit: CommitId,
}

impl Repository {
    /// Makes it below `folder`; beside the generated package it has the files of `clone`, if one is given.
    pub(super) fn make(folder: &Path, clone: Option<&Path>) -> anyhow::Result<Self> {
        let layer = folder.join("layer");
        let testbed = layer.join("testbed");
        fs::create_dir_all(testbed.join("pkg"))?;
        for module in 0..MODULES {
            fs::write(testbed.join(format!("pkg/module_{module}.py")), source(module))?;
        }
        if let Some(clone) = clone {
            let archive = format!("git -C '{}' archive HEAD | tar -x", clone.display());
            run(&testbed, &["sh", "-c", &archive])?;
        }
        run(&testbed, &["git", "init", "--quiet", "--template="])?;
        run(&testbed, &["git", "add", "--all"])?;
        let who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        run(&testbed, &[&["git"][..], &who, &["commit", "--quiet", "--message=all"]].concat())?;
        let head = run(&testbed, &["git", "rev-parse", "HEAD"])?;
        if let Some((uid, gid)) = layer_owner() {
            run(folder, &["chown", "-hR", &format!("{uid}:{gid}"), "layer"])?;
        }
        let base_commit = CommitId::new(head.trim())?;
        Ok(Self { layer: Layer::unmanaged("bench", PathBuf::from(&layer)), base_commit })
    }
}

fn source(module: usize) -> String {
    let method = |number| {
        format!(
            "    def method_{number}(self, value):\n        \"\"\"Adds {number}.\"\"\"\n        \
             return value + {number}\n\n"
        )
    };
    let methods: String = (0..METHODS).map(method).collect();
    format!("import os\n\n\nclass Thing{module}:\n    \"\"\"Thing number {module}.\"\"\"\n\n{methods}")
}

fn run(folder: &Path, command: &[&str]) -> anyhow::Result<String> {
    let [program, arguments @ ..] = command else { return Ok(String::new()) };
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.with_context(|| format!("run `{program}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "run `{}`: {said}", command.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
