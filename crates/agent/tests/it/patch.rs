//! The patch holds what was done, whatever state the repository was left in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use swegym_core::{ExitStatus, Patch};

use crate::support::{Workplace, bash, observations, shell};

/// Touches every kind of file.
const WORK: &str = r#"
sed -i 's/return 1/return 2/' src/app.py
sed -i 's/two/2/' crlf.txt
printf 'no\nline' > noeol.txt
printf '\000\377\376' > data.bin
printf 'more\n' >> 'dir ü/a file.txt'
rm gone.txt
chmod +x run.sh
mv moved.txt target.txt
mkdir -p 'new dir'
printf 'new\r\nfile' > 'new dir/naïve "x".txt'
printf '\n' > 'new dir/newline.txt'
: > 'new dir/empty.txt'
ln -s src/app.py link
"#;

async fn patch_after(place: &Workplace, commands: &[&str]) -> Patch {
    let outcome = place.run_calls(commands.iter().map(|command| bash(command)).collect()).await;
    let seen = observations(&outcome.trajectory);
    assert!(seen.iter().all(|text| text.contains("[exit code 0 in ")), "{seen:?}");
    outcome.patch
}

/// Files under a folder: mode and content.
fn files(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let list = shell(folder, "find . -path ./.git -prune -o ! -type d -print0");
    let names = list.split_terminator('\0');
    names
        .map(|name| {
            let path = folder.join(name);
            let mode = fs::symlink_metadata(&path).expect("it is listed").permissions().mode();
            (name.to_owned(), (mode, fs::read(path).expect("it is a file or a link to one")))
        })
        .collect()
}

/// A checkout of the base commit beside the repository, with a patch applied.
fn applied(place: &Workplace, patch: &Patch) -> BTreeMap<String, (u32, Vec<u8>)> {
    let fresh = place.beside("fresh");
    fs::write(place.beside("patch.diff"), patch.as_bytes()).expect("it is writable");
    shell(&place.beside(""), "git clone --quiet testbed fresh");
    shell(
        &fresh,
        &format!("git reset --quiet --hard {}; git apply ../patch.diff", place.problem.base_commit),
    );
    files(&fresh)
}

#[tokio::test]
async fn a_patch_brings_the_base_commit_to_where_the_work_ended() {
    let place = Workplace::new();
    let patch = patch_after(&place, &[WORK]).await;
    let there = files(Path::new(&place.config.repo_dir));
    assert!(there.contains_key("./new dir/naïve \"x\".txt") && !there.contains_key("./gone.txt"));
    assert_eq!(applied(&place, &patch), there);
    let text = patch.to_text_lossy();
    assert!(!text.contains("rename from") && text.contains("+2\r\n"), "{text}");
}

#[tokio::test]
async fn no_work_is_an_empty_patch() {
    let place = Workplace::new();
    assert_eq!(patch_after(&place, &["git status; touch src/app.py"]).await, Patch::default());
}

#[tokio::test]
async fn what_running_tests_leaves_behind_is_not_in_the_patch() {
    let place = Workplace::new();
    let litter = "mkdir -p src/__pycache__ .pytest_cache/v toy.egg-info .hypothesis
        touch src/__pycache__/app.cpython-311.pyc src/old.pyc .pytest_cache/v/x toy.egg-info/PKG-INFO \
            .hypothesis/y .coverage build.log listed reproduce_issue.py src/app.py.orig .x.swp
        echo /listed >> .git/info/exclude";
    assert_eq!(patch_after(&place, &[litter]).await, Patch::default());
    let patch = patch_after(&place, &["echo changed > tracked.pyc; rm .gitignore"]).await;
    let text = patch.to_text_lossy();
    let files: Vec<&str> = text.lines().filter(|line| line.starts_with("diff --git")).collect();
    let expected = ["a/.gitignore b/.gitignore", "a/build.log b/build.log", "a/tracked.pyc b/tracked.pyc"];
    assert_eq!(files, expected.map(|name| format!("diff --git {name}")));
}

#[tokio::test]
async fn the_state_of_the_repository_does_not_matter() {
    let healthy = patch_after(&Workplace::new(), &[WORK]).await;
    assert!(!healthy.is_empty());
    let states = [
        ("locked index", "touch .git/index.lock .git/HEAD.lock .git/config.lock"),
        ("work committed", "git add -A && git commit --quiet -m work"),
        (
            "work committed on a branch",
            "git checkout --quiet -b side && git add -A && git commit --quiet -m work",
        ),
        ("everything staged, then unstaged", "git add -A && git rm -r --quiet --cached ."),
        ("HEAD moved back", "git update-ref HEAD HEAD~1"),
        ("HEAD on a branch without commits", "git symbolic-ref HEAD refs/heads/nowhere"),
        ("no HEAD, no index, no refs", "rm -rf .git/HEAD .git/index .git/refs .git/packed-refs .git/logs"),
        ("broken index", "echo broken > .git/index"),
        ("broken configuration", "echo '[[' > .git/config"),
        ("bare", "git config core.bare true; git config core.worktree /nowhere || true"),
        ("files assumed unchanged", "git update-index --assume-unchanged src/app.py crlf.txt"),
        ("files hidden from every repository", "mkdir -p ~/.config/git; echo '*' > ~/.config/git/ignore"),
        ("repository within", "git init --quiet inner; echo x > inner/x"),
        (
            "repository with a commit within",
            "git init --quiet inner && cd inner && git -c user.name=a -c user.email=b commit --allow-empty --quiet -m x",
        ),
        ("a pipe and a socket", "mkfifo pipe"),
        ("objects replaced", "git replace HEAD HEAD~1"),
    ];
    for (state, command) in states {
        let patch = patch_after(&Workplace::new(), &[WORK, command]).await;
        assert_eq!(patch.to_text_lossy(), healthy.to_text_lossy(), "{state}");
    }
    let rebase = "! git rebase --quiet --exec false HEAD~1 && test -d .git/rebase-merge";
    let patch = patch_after(&Workplace::new(), &[rebase, WORK]).await;
    assert_eq!(patch.to_text_lossy(), healthy.to_text_lossy(), "rebase in progress");
}

#[tokio::test]
async fn hostile_configuration_changes_nothing_and_runs_nothing() {
    let healthy = patch_after(&Workplace::new(), &[WORK]).await;
    let place = Workplace::new();
    let trap = place.beside("trap");
    fs::write(&trap, format!("#!/bin/sh\ntouch {}/sprung\n", place.beside("").display()))
        .expect("it is writable");
    let trap = trap.display();
    let hostile = format!(
        "chmod +x {trap}
        mkdir -p .git/hooks
        for hook in post-index-change pre-commit reference-transaction; do cp {trap} .git/hooks/$hook; done
        printf '* filter=evil diff=evil text eol=crlf\\n' > .git/info/attributes
        for scope in --local --global; do
            git config $scope diff.external {trap}
            git config $scope diff.evil.textconv {trap}
            git config $scope diff.evil.command {trap}
            git config $scope diff.noprefix true
            git config $scope diff.mnemonicPrefix true
            git config $scope diff.renames copies
            git config $scope diff.algorithm patience
            git config $scope diff.context 0
            git config $scope color.ui always
            git config $scope core.autocrlf true
            git config $scope core.pager {trap}
            git config $scope core.quotePath false
            git config $scope core.fileMode false
            git config $scope core.excludesFile {trap}
            git config $scope filter.evil.clean {trap}
            git config $scope filter.evil.process {trap}
            git config $scope filter.evil.required true
            git config $scope core.fsmonitor {trap}
        done"
    );
    let patch = patch_after(&place, &[WORK, &hostile]).await;
    assert_eq!(patch.to_text_lossy(), healthy.to_text_lossy());
    assert!(!place.beside("sprung").exists());
}

/// A rollout that leaves no patch: what its last message says.
async fn why_there_is_none(command: &str) -> String {
    let place = Workplace::new();
    let outcome = place.run_calls(vec![bash(command)]).await;
    assert_eq!(outcome.trajectory.exit_status, ExitStatus::Finished);
    assert_eq!(outcome.patch, Patch::default());
    outcome.trajectory.messages.last().expect("there is a task").content.clone()
}

#[tokio::test]
async fn of_a_destroyed_repository_there_is_no_patch_and_the_trajectory_says_so() {
    for command in ["rm -rf .git", "rm -rf .git; git init", "cd ..; rm -rf testbed"] {
        let why = why_there_is_none(command).await;
        assert!(why.starts_with("There is no patch: git ended with exit code 1"), "{command}: {why}");
    }
}

#[tokio::test]
async fn a_patch_has_a_size_limit() {
    let why = why_there_is_none("head -c 20000000 /dev/urandom > noise").await;
    assert!(why.ends_with("more than the limit of 16777216"), "{why}");
}

#[tokio::test]
async fn new_files_can_be_left_out() {
    let mut place = Workplace::new();
    place.config.new_files = false;
    let patch =
        patch_after(&place, &["echo 2 >> README; rm gone.txt; echo new > new.py; git add new.py"]).await;
    let text = patch.to_text_lossy();
    assert!(text.contains("b/README") && text.contains("deleted file") && !text.contains("new.py"), "{text}");
}
