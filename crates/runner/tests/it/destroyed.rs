//! What was done is not lost, whatever became of git's own files; and nothing that was planted there runs.

use swegym_core::{Patch, Role};
use swegym_testkit::{Reply, ScriptedServer};

use crate::toy::{FIX, Ran, Toy, bash, is_about, model};

/// Runs each of these commands after the fix, in a rollout of its own, then finishes.
async fn after_the_fix(toy: &Toy, name: &str, commands: &[impl ToString]) -> Ran {
    let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
    let count = commands.len();
    let server = ScriptedServer::start_with(move |request| {
        let number = (1..=commands.len()).find(|number| is_about(request, *number)).unwrap();
        match request.turn() {
            0 => bash(&format!("{FIX}; echo new > toy/new.py; echo junk > toy/new.pyc")),
            1 => bash(&commands[number - 1]),
            _ => Reply::call("finish", &serde_json::json!({})),
        }
    })
    .await;
    toy.run(name, toy.workshop(model(&server.base_url())), &toy.plan(count)).await
}

fn patches(ran: &Ran) -> Vec<Patch> {
    ran.committed().into_iter().map(|(_, patch, _)| patch.unwrap_or_default()).collect()
}

/// Asserts that every rollout gives what the first one does, which harms nothing.
fn assert_same(ran: &Ran, commands: &[&str]) {
    let count = commands.len();
    let patches = patches(ran);
    let healthy = patches[0].to_text_lossy();
    assert!(healthy.contains("+    return sum(values) / len(values) if values else 0\n"), "{healthy}");
    assert!(healthy.contains("b/toy/new.py") && !healthy.contains(".pyc"), "{healthy}");
    for (patch, command) in patches.iter().zip(commands) {
        assert_eq!(patch.to_text_lossy(), healthy, "{command}");
    }
    assert_eq!(ran.counts(), (count, count, count, 0));
}

#[tokio::test]
async fn work_outlives_the_repository() {
    let Some(toy) = Toy::start().await else { return };
    const COMMANDS: &[&str] = &[
        "true",
        "rm -rf .git",
        "rm -rf .git; git init --quiet",
        "rm -rf .git; git init --quiet && git add -A && git -c user.name=a -c user.email=b commit --quiet -m all",
        "git add -A && git -c user.name=a -c user.email=b commit --quiet -m work",
        "echo broken > .git/index",
        "rm -rf .git; echo 'gitdir: /nowhere' > .git",
        "rm -rf .git; ln -s /proc/self .git",
        "mv .git /tmp/moved; mkdir -p .git/objects",
        "find .git/objects -type f -exec sh -c 'chmod u+w $1; : > $1' - {} \\;",
        "find .git/objects -type f -exec sh -c 'rm -f $1; mkfifo $1' - {} \\; ; rm -rf .git/objects/pack; rm -rf /tmp",
        "mkfifo .gitignore toy/.gitattributes",
        "chmod -R 000 .git; rm -rf .git/HEAD",
    ];
    assert_same(&after_the_fix(&toy, "outlived", COMMANDS).await, COMMANDS);
}

/// Everything that git can be told to run, by whatever configuration it might read. What runs leaves a file in the
/// repository, and so in the patch, and prints a patch of its own.
const PLANT: &str = r#"
printf '#!/bin/sh\necho sprung >> /testbed/sprung\necho "diff --git a/forged b/forged"\n' > /opt/trap
chmod +x /opt/trap; export HOME=/root
mkdir -p inner .git/hooks .git/info && git init --quiet inner
git -C inner -c user.name=a -c user.email=b commit --quiet --allow-empty -m x
for hook in post-index-change pre-commit reference-transaction fsmonitor-watchman; do cp /opt/trap .git/hooks/$hook; done
printf '* filter=evil diff=evil merge=evil\n' > .git/info/attributes
cp .git/info/attributes /root/attributes
for where in --local --global --system '--file inner/.git/config'; do
    git config $where core.fsmonitor /opt/trap
    git config $where core.hooksPath /testbed/.git/hooks
    git config $where core.attributesFile /root/attributes
    git config $where core.pager /opt/trap
    git config $where diff.external /opt/trap
    git config $where diff.evil.textconv /opt/trap
    git config $where diff.evil.command /opt/trap
    git config $where filter.evil.clean /opt/trap
    git config $where filter.evil.process /opt/trap
    git config $where filter.evil.required true
    git config $where core.alternateRefsCommand /opt/trap
done
git status < /dev/null > /dev/null 2>&1; test -s sprung && rm -f sprung && echo it springs where it can"#;

#[tokio::test]
async fn nothing_that_was_planted_runs_or_forges() {
    let Some(toy) = Toy::start().await else { return };
    let commands = ["true".to_owned(), PLANT.to_owned(), format!("{PLANT}; rm -rf .git/objects")];
    let ran = after_the_fix(&toy, "planted", &commands).await;
    let texts: Vec<String> = patches(&ran).iter().map(|patch| patch.to_text_lossy().into_owned()).collect();
    for (text, command) in texts.iter().zip(&commands) {
        assert!(!text.contains("sprung") && !text.contains("forged"), "{command}: {text}");
        assert!(text.contains(&texts[0]), "{command}: {text}");
    }
    for (_, _, trajectory) in ran.committed().into_iter().skip(1) {
        let seen = trajectory.unwrap().messages.into_iter().rev().find(|message| message.role == Role::Tool);
        let seen = seen.unwrap().content;
        assert!(seen.contains("it springs where it can"), "{seen}");
    }
    assert_eq!(ran.counts(), (3, 3, 3, 0));
}

#[tokio::test]
async fn where_the_folder_itself_is_gone_the_trajectory_says_so() {
    let Some(toy) = Toy::start().await else { return };
    let ran = after_the_fix(&toy, "gone", &["cd /; rm -rf /testbed"]).await;
    let (record, patch, trajectory) = ran.committed().remove(0);
    assert!(!record.resolved() && patch.unwrap_or_default().is_empty());
    let last = trajectory.unwrap().messages.pop().unwrap().content;
    assert!(last.contains("/testbed is no folder any more"), "{last}");
}
