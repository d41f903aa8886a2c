//! Forks, checkpoints, and how files differ from the image.

use std::path::Path;
use std::time::Duration;

use swegym_sandbox::{
    ChangeKind, ExecRequest, ExecStatus, Sandbox, SandboxError, SessionSpec, SessionState, SessionStatus,
};

use super::{Ability, Subject, sh, text};
use crate::support::{detached_sleep, processes_with};

/// Files of every kind, and names of every kind.
const MAKE_TREE: &str = "\
mkdir -p /root/t/closed /root/t/empty /root/t/deep/er
echo content > /root/t/file
printf 'a\\0b' > /root/t/deep/er/bytes
chmod 640 /root/t/file
echo run > /root/t/script; chmod 4755 /root/t/script
ln /root/t/file /root/t/deep/same
ln -s ../nowhere /root/t/link
truncate -s 10M /root/t/holes; echo end >> /root/t/holes
touch -d '2001-02-03 04:05:06.789 UTC' /root/t/file
echo x > $'/root/t/new\\nline'; echo x > $'/root/t/\\xff\\xfe'; echo x > '/root/t/-rf *'; echo x > '/root/t/a\\040b'
echo x > /root/t/\u{e4}; echo x > '/root/t/:,='
echo secret > /root/t/closed/file; touch -d @86400 /root/t/empty /root/t/closed; chmod 500 /root/t/closed";

/// Everything that can be told about the files of [`MAKE_TREE`].
const TELL_TREE: &str = "\
cd /root/t; find . -type d -printf '%p %m %T@\\n' -o -printf '%p %y %m %s %n %T@ %l\\n' | LC_ALL=C sort
find . -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum
test file -ef deep/same && echo same";

/// The script of [`TELL_TREE`], as far as forks keep what it tells, and how much space the holes take.
fn tell_tree(subject: &Subject) -> String {
    match subject.can(Ability::ExactForks) {
        true => format!("{TELL_TREE}\nstat -c %b holes"),
        false => TELL_TREE.replace("%T@", "%TY-%Tm-%Td %TH:%TM"),
    }
}

/// How the files differ, a line each; names that are no text get replacement characters.
async fn changes(sandbox: &dyn Sandbox) -> Vec<String> {
    let letter = |kind| match kind {
        ChangeKind::Added => 'A',
        ChangeKind::Modified => 'M',
        ChangeKind::Deleted => 'D',
    };
    let changes = sandbox.changes().await.unwrap();
    assert!(changes.is_sorted_by(|a, b| a.path < b.path), "{changes:?}");
    changes
        .iter()
        .map(|change| format!("{} {}", letter(change.kind), String::from_utf8_lossy(&change.path)))
        .collect()
}

async fn fork(sandbox: &dyn Sandbox) -> Box<dyn Sandbox> {
    sandbox.fork().await.unwrap()
}

pub(crate) async fn a_fork_has_the_same_files(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, MAKE_TREE).await;
    let tell = tell_tree(subject);
    let before = text(&*parent, &tell).await;
    let child = fork(&*parent).await;
    assert_eq!(text(&*child, &tell).await, before);
    assert_eq!(text(&*parent, &tell).await, before);
}

pub(crate) async fn a_fork_of_a_busy_sandbox_has_the_same_files(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, MAKE_TREE).await;
    text(&*parent, "mkfifo /root/t/pipe; rm -r /var; mkdir /var; sleep 3100 > /dev/null 2>&1 &").await;
    let tell = format!("{}\nls -A /var; test -p pipe", tell_tree(subject));
    let before = text(&*parent, &tell).await;
    let child = fork(&*parent).await;
    assert_eq!(text(&*child, &tell).await, before);
    assert_eq!(text(&*parent, "pgrep -a sleep").await.split_once(' ').unwrap().1, "sleep 3100\n");
}

pub(crate) async fn parent_and_fork_change_apart(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, "echo 1 > /root/both; echo 1 > /root/gone; chmod 711 /").await;
    let root = if subject.can(Ability::ExactForks) { "711\n" } else { "" };
    let child = fork(&*parent).await;
    text(&*parent, "echo parent >> /root/both; touch /root/parent").await;
    text(&*child, "echo child >> /root/both; rm /root/gone; touch /root/child").await;
    let tell = "cd /root; ls; cat both";
    assert_eq!(text(&*parent, tell).await, "both\ngone\nparent\n1\nparent\n");
    assert_eq!(text(&*parent, "stat -c %a /").await, "711\n");
    assert_eq!(text(&*child, tell).await, "both\nchild\n1\nchild\n");
    assert!(text(&*child, "stat -c %a /").await.ends_with(root));
}

pub(crate) async fn an_untouched_sandbox_can_be_forked(subject: &Subject) {
    let parent = subject.sandbox().await;
    let child = fork(&*parent).await;
    text(&*parent, "echo parent > /root/file").await;
    let grandchild = fork(&*child).await;
    text(&*grandchild, "echo grandchild > /root/file").await;
    assert_eq!(text(&*child, "ls /root").await, "");
    assert_eq!(text(&*grandchild, "cat /root/file").await, "grandchild\n");
}

pub(crate) async fn processes_are_not_forked(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, "sleep 3101 > /dev/null 2>&1 &").await;
    let child = fork(&*parent).await;
    assert_eq!(text(&*child, "pgrep -c sleep; true").await, "0\n");
    assert_eq!(text(&*parent, "pgrep -c sleep").await, "1\n");
}

/// Appends numbers to a file that it holds open.
const COUNTER: &str = "\
(cd /root; i=0; exec 3> numbers; while :; do i=$((i+1)); echo $i >&3; sleep 0.01; done) > /dev/null 2>&1 &
until test -s /root/numbers; do :; done";

pub(crate) async fn a_busy_parent_goes_on(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, COUNTER).await;
    let mut counts = Vec::new();
    for _ in 0..3 {
        let child = fork(&*parent).await;
        let tell = "cd /root; seq $(tail -n 1 numbers) | cmp - numbers && tail -n 1 numbers";
        let count: u64 = text(&*child, tell).await.trim().parse().unwrap();
        text(&*parent, &format!("until test $(tail -n 1 /root/numbers) -gt {count}; do :; done")).await;
        assert_eq!(text(&*child, tell).await.trim().parse::<u64>().unwrap(), count, "the fork stands still");
        counts.push(count);
    }
    assert!(counts.is_sorted());
}

pub(crate) async fn stopped_processes_stay_stopped(subject: &Subject) {
    let parent = subject.sandbox().await;
    let script = "\
sleep 3102 > /dev/null 2>&1 & echo $! > /root/stopped
sleep 3103 > /dev/null 2>&1 & echo $! > /root/running
kill -STOP $(cat /root/stopped); until grep -q '^State:.T' /proc/$(cat /root/stopped)/status; do :; done";
    text(&*parent, script).await;
    let _child = fork(&*parent).await;
    let tell = "for p in stopped running; do grep ^State /proc/$(cat /root/$p)/status | cut -c8; done";
    assert_eq!(text(&*parent, tell).await, "T\nS\n");
}

pub(crate) async fn a_command_that_runs_during_a_fork_is_not_disturbed(subject: &Subject) {
    let parent = subject.sandbox().await;
    // Job control: a shell that sees its child stopped would give up on it.
    let script =
        "set -m; for i in $(seq 40); do sleep 0.02 || exit 9; echo $i >> /root/log; done; wc -l < /root/log";
    let request = ExecRequest::shell(script);
    let forks = async {
        for _ in 0..8 {
            fork(&*parent).await.destroy().await.unwrap();
        }
    };
    let (output, ()) = tokio::join!(parent.exec(&request), forks);
    let output = output.unwrap();
    assert_eq!((output.status, output.stdout.to_text().as_str()), (ExecStatus::Exited(0), "40\n"));
}

pub(crate) async fn commands_wait_for_a_fork(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, "sleep 3104 > /dev/null 2>&1 & head -c 30000000 /dev/urandom > /root/big").await;
    let commands = async {
        for number in 0..20 {
            text(&*parent, &format!("echo {number} >> /root/log")).await;
        }
    };
    let forks = async {
        for _ in 0..3 {
            let child = fork(&*parent).await;
            assert_eq!(text(&*child, "stat -c %s /root/big").await, "30000000\n");
        }
    };
    tokio::join!(commands, forks);
    assert_eq!(text(&*parent, "wc -l < /root/log").await, "20\n");
}

pub(crate) async fn time_limit_holds_after_a_fork(subject: &Subject) {
    let parent = subject.sandbox().await;
    let request =
        ExecRequest::shell("echo x > /root/x; sleep 3105 & sleep 3106").within(Duration::from_millis(500));
    let (output, child) = tokio::join!(parent.exec(&request), parent.fork());
    assert_eq!(output.unwrap().status, ExecStatus::TimedOut);
    assert_eq!(sh(&*parent, "pgrep -a sleep").await.stdout.to_text(), "");
    text(&*child.unwrap(), "true").await;
}

pub(crate) async fn a_fork_that_nobody_waits_for_does_no_harm(subject: &Subject) {
    let rounds = if subject.can(Ability::QuickForks) { 20 } else { 4 };
    let parent = subject.sandbox().await;
    for busy in [false, true] {
        for number in 0..rounds {
            text(&*parent, &format!("echo {number} >> /root/log")).await;
            let patience = Duration::from_micros(10_000 * number / rounds);
            let given_up = tokio::time::timeout(patience, parent.fork()).await;
            let here = text(&*parent, "cd /root; echo x > new; tail -n 1 log; rm new").await;
            assert_eq!(here, format!("{number}\n"));
            drop(given_up);
        }
        let child = fork(&*parent).await;
        let lines = if busy { 2 * rounds } else { rounds };
        assert_eq!(text(&*child, "wc -l < /root/log; ls /root").await, format!("{lines}\nlog\n"));
        text(&*parent, "sleep 3107 > /dev/null 2>&1 &").await;
    }
    let both_sleep = "\
until [ $(pgrep -c sleep) = 2 ]; do :; done; grep -c '^State:.S' /proc/$(pgrep -o sleep)/status";
    assert_eq!(text(&*parent, both_sleep).await, "1\n");
}

pub(crate) async fn forks_of_forks_go_on_for_long(subject: &Subject) {
    let length = if subject.can(Ability::QuickForks) { 70 } else { 8 };
    let mut last = subject.sandbox().await;
    for number in 0..length {
        text(
            &*last,
            &format!("mkdir -p /root/d; echo {number} > /root/d/{number}; rm -f /root/d/$(({number} - 3))"),
        )
        .await;
        let next = fork(&*last).await;
        // Most go before their forks do.
        if number % 10 != 0 {
            last.destroy().await.unwrap();
        }
        last = next;
    }
    let left = [length - 3, length - 2, length - 1];
    let files = left.map(|number| format!("{number} ")).concat();
    assert_eq!(text(&*last, "cat /root/d/* | tr '\\n' ' '").await, files);
    let listed: Vec<_> = left.iter().map(|number| format!("A /root/d/{number}")).collect();
    assert_eq!(changes(&*last).await, [vec!["A /root/d".to_owned()], listed].concat());
}

pub(crate) async fn one_parent_has_many_forks(subject: &Subject) {
    let parent = subject.sandbox().await;
    let mut children = Vec::new();
    let rounds = if subject.can(Ability::QuickForks) { 30 } else { 3 };
    for number in 0..rounds {
        text(&*parent, &format!("echo {number} >> /root/log; echo {number} > /root/{number}")).await;
        children.push(fork(&*parent).await);
        children.push(fork(&*parent).await);
    }
    for (number, child) in children.iter().enumerate() {
        let (number, tell) = (number / 2, "tail -n 1 /root/log; ls /root | wc -l");
        assert_eq!(text(&**child, tell).await, format!("{number}\n{}\n", number + 2));
    }
}

pub(crate) async fn parent_and_fork_end_in_any_order(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, "echo kept > /root/file").await;
    let (first, second) = (fork(&*parent).await, fork(&*parent).await);
    first.destroy().await.unwrap();
    assert_eq!(text(&*parent, "cat /root/file").await, "kept\n");
    parent.destroy().await.unwrap();
    text(&*second, "cat /root/file; echo more >> /root/file").await;
    let third = fork(&*second).await;
    drop(second);
    assert_eq!(text(&*third, "cat /root/file").await, "kept\nmore\n");
}

pub(crate) async fn a_fork_outlives_its_killed_parent(subject: &Subject) {
    let marker = format!("{}.125", 5_000_000 + std::process::id());
    let parent = subject.sandbox().await;
    text(&*parent, "echo kept > /root/file").await;
    text(&*parent, &detached_sleep(&marker)).await;
    let child = fork(&*parent).await;
    let request = ExecRequest::shell("sleep 0.3; cat /root/file");
    let (output, ended) = tokio::join!(child.exec(&request), parent.destroy());
    ended.unwrap();
    assert_eq!(output.unwrap().stdout.to_text(), "kept\n");
    assert_eq!(processes_with(&marker), 0);
}

pub(crate) async fn what_is_deleted_stays_deleted(subject: &Subject) {
    let first = subject.sandbox().await;
    text(&*first, "rm /etc/group; mkdir /root/d; touch /root/d/{a,b,c}; echo 1 > /root/file").await;
    let second = fork(&*first).await;
    text(&*second, "rm -r /root/d; rm /root/file").await;
    let third = fork(&*second).await;
    assert_eq!(text(&*third, "ls -A /root; ls /etc/group 2> /dev/null || echo gone").await, "gone\n");
    text(&*third, "mkdir /root/d; touch /root/d/new; echo 3 > /root/file; echo x > /etc/group").await;
    let fourth = fork(&*third).await;
    assert_eq!(text(&*fourth, "ls /root/d; cat /root/file /etc/group").await, "new\n3\nx\n");
    assert_eq!(changes(&*fourth).await, ["M /etc/group", "A /root/d", "A /root/d/new", "A /root/file"]);
    assert_eq!(text(&*first, "ls /root/d | wc -l").await, "3\n");
}

pub(crate) async fn a_replaced_folder_hides_the_old_one(subject: &Subject) {
    if !subject.can(Ability::ExactChanges) {
        return;
    }
    let parent = subject.sandbox().await;
    let old = text(&*parent, "ls -A /var").await;
    let parent_changes = old.lines().map(|name| format!("D /var/{name}"));
    text(&*parent, "rm -r /var; mkdir /var; touch /var/new").await;
    let child = fork(&*parent).await;
    assert_eq!(text(&*child, "ls -A /var").await, "new\n");
    let mut expected: Vec<String> = parent_changes.chain(["A /var/new".to_owned()]).collect();
    expected.sort_by_key(|line| line[2..].to_owned());
    assert_eq!(changes(&*parent).await, expected);
    assert_eq!(changes(&*child).await, expected);
    text(&*child, "rm -r /var").await;
    assert_eq!(changes(&*fork(&*child).await).await, ["D /var"]);
}

pub(crate) async fn renames_are_forked(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, "mkdir /root/a; echo x > /root/a/x; mv /etc/group /etc/renamed").await;
    let child = fork(&*parent).await;
    text(&*child, "mv /root/a /root/b; mv /root/b/x /root/b/y").await;
    let grandchild = fork(&*child).await;
    assert_eq!(text(&*grandchild, "cd /root; find . -type f; cat b/y").await, "./b/y\nx\n");
    assert_eq!(changes(&*grandchild).await, ["D /etc/group", "A /etc/renamed", "A /root/b", "A /root/b/y"]);
}

pub(crate) async fn a_fork_takes_no_space(subject: &Subject) {
    if !subject.enforces("disk") {
        return;
    }
    let parent = subject.with(|spec| spec.limits.disk_bytes = 130 << 20).await;
    text(&*parent, "head -c 100000000 /dev/urandom > /root/big; md5sum < /root/big > /root/sum").await;
    let child = fork(&*parent).await;
    // Would not fit beside a copy.
    text(
        &*child,
        "md5sum --status -c <(sed s,-,/root/big, /root/sum); head -c 100000000 /dev/zero > /root/more",
    )
    .await;
    let grandchild = fork(&*child).await;
    text(&*grandchild, "cmp -n 100000000 /root/more /dev/zero && rm /root/big").await;
    text(&*parent, "md5sum --status -c <(sed s,-,/root/big, /root/sum)").await;
}

pub(crate) async fn disk_limit_holds_after_a_fork(subject: &Subject) {
    if !subject.enforces("disk") {
        return;
    }
    let parent = subject.with(|spec| spec.limits.disk_bytes = 32 << 20).await;
    text(&*parent, "head -c 20000000 /dev/zero > /root/first").await;
    let child = fork(&*parent).await;
    for (sandbox, allowed, refused) in [(&parent, 8_000_000, 8_000_000), (&child, 20_000_000, 20_000_000)] {
        text(&**sandbox, &format!("head -c {allowed} /dev/zero > /root/second")).await;
        let output = sh(&**sandbox, &format!("head -c {refused} /dev/zero > /root/third")).await;
        assert!(output.stdout.to_text().contains("No space left on device"), "{output:?}");
    }
}

pub(crate) async fn a_fork_has_the_limits_of_its_parent(subject: &Subject) {
    if !subject.enforces("memory") || !subject.enforces("processes") {
        return;
    }
    let change = |spec: &mut swegym_sandbox::SandboxSpec| {
        spec.limits.memory_bytes = 64 << 20;
        spec.limits.processes = 50;
    };
    let parent = subject.with(change).await;
    text(&*parent, "head -c 30000000 /dev/zero > /root/big").await;
    let child = fork(&*parent).await;
    // The parent's memory is not the fork's.
    text(&*child, "head -c 30000000 /dev/zero > /root/other").await;
    let hungry = "head -c 500000000 /dev/zero | tail -c 400000000 | wc -c; exit ${PIPESTATUS[1]}";
    assert_eq!(sh(&*child, hungry).await.status, ExecStatus::OutOfMemory);
    let script = "for i in $(seq 200); do sleep 1000 & done 2>&1 | grep -m1 -o 'fork'";
    let output = child.exec(&ExecRequest::shell(script).within(Duration::from_secs(3))).await.unwrap();
    assert_eq!(output.stdout.to_text(), "fork\n");
    assert_eq!(text(&*parent, "stat -c %s /root/big").await, "30000000\n");
}

pub(crate) async fn forks_leave_no_mounts(subject: &Subject) {
    let here = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let parent = subject.sandbox().await;
    let tell = "cut -d' ' -f5 /proc/self/mountinfo | sort; ls -A /; cd ../..; pwd";
    let before = text(&*parent, tell).await;
    for number in 0..5 {
        text(&*parent, &format!("echo {number} > /root/file; echo {number} > /dev/shm/file")).await;
        let child = fork(&*parent).await;
        assert_eq!(text(&*child, tell).await, before);
        child.changes().await.unwrap();
        parent.changes().await.unwrap();
        assert_eq!(text(&*parent, tell).await, before);
        assert_eq!(text(&*parent, "cat /root/file /dev/shm/file").await, format!("{number}\n{number}\n"));
    }
    let mounts = here();
    assert!(!mounts.contains("overlay overlay rw,lowerdir=f/") && !mounts.contains("/f/s"), "{mounts}");
}

pub(crate) async fn a_forked_sandbox_is_as_closed_as_before(subject: &Subject) {
    let parent = subject.sandbox().await;
    text(&*parent, "echo x > /root/x").await;
    let child = fork(&*parent).await;
    for sandbox in [&parent, &child] {
        super::isolation_holds(subject, &**sandbox).await;
    }
}

pub(crate) async fn an_unchanged_sandbox_has_no_changes(subject: &Subject) {
    if !subject.can(Ability::ExactChanges) {
        return;
    }
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "echo x > /dev/shm/x; touch /tmp/x; rm /tmp/x; touch /etc/group; ls / > /dev/null").await;
    text(&*sandbox, "cp /etc/passwd /tmp/p; cat /tmp/p > /etc/passwd; rm /tmp/p").await;
    assert_eq!(changes(&*sandbox).await, Vec::<String>::new());
}

pub(crate) async fn every_kind_of_change_is_listed(subject: &Subject) {
    if !subject.can(Ability::ExactChanges) {
        return;
    }
    let sandbox = subject.sandbox().await;
    let script = "\
mkdir -p /root/new/folder; touch /root/new/folder/file; ln -s x /root/new/link
chmod 600 /etc/group
sed -i s/root/toor/ /etc/passwd
chmod 700 /root
rm -r /var/tmp; echo file > /var/tmp
mkfifo /tmp/pipe";
    text(&*sandbox, script).await;
    let expected = [
        "M /etc/group",
        "M /etc/passwd",
        "M /root",
        "A /root/new",
        "A /root/new/folder",
        "A /root/new/folder/file",
        "A /root/new/link",
        "A /tmp/pipe",
        "M /var/tmp",
    ];
    assert_eq!(changes(&*sandbox).await, expected);
    text(&*sandbox, "rm /etc/group; mkdir /etc/group; touch /etc/group/x; rm -r /root/new /tmp/pipe").await;
    let expected = ["M /etc/group", "A /etc/group/x", "M /etc/passwd", "M /root", "M /var/tmp"];
    assert_eq!(changes(&*sandbox).await, expected);
}

pub(crate) async fn changed_links_are_listed(subject: &Subject) {
    if !subject.can(Ability::ExactChanges) {
        return;
    }
    let sandbox = subject.sandbox().await;
    let link = text(&*sandbox, "find / -xdev -maxdepth 1 -type l | head -n 1").await;
    let Some(link) = link.lines().next() else {
        println!("skipped: the image has no link at its top");
        return;
    };
    text(&*sandbox, &format!("t=$(readlink {link}); ln -sfn $t {link}")).await;
    assert_eq!(changes(&*sandbox).await, Vec::<String>::new());
    let script = format!("t=$(readlink {link}); ln -s ./$t /root/new; mv -T /root/new {link}");
    text(&*sandbox, &script).await;
    assert_eq!(changes(&*sandbox).await, [format!("M {link}")]);
}

pub(crate) async fn changed_names_are_bytes(subject: &Subject) {
    if !subject.can(Ability::ExactChanges) {
        return;
    }
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "cd /root; touch -- $'new\\nline' $'\\xff\\xfe' '-rf *' 'a\\040b'; mkdir $'\\x01'").await;
    let paths: Vec<Vec<u8>> =
        sandbox.changes().await.unwrap().into_iter().map(|change| change.path).collect();
    let expected: [&[u8]; 5] =
        [b"/root/\x01", b"/root/-rf *", b"/root/a\\040b", b"/root/new\nline", b"/root/\xff\xfe"];
    assert_eq!(paths, expected);
}

pub(crate) async fn changes_of_a_hostile_tree_come_to_an_end(subject: &Subject) {
    if !subject.can(Ability::ExactChanges) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "of the host").unwrap();
    let sandbox = subject.sandbox().await;
    let outside = outside.path().display();
    let script = format!(
        "ln -s {outside} /root/outside; ln -s / /root/top; ln -s loop /root/loop; mkfifo /root/pipe
rm /etc/group; mkfifo /etc/group; rm /etc/passwd; ln -s {outside}/secret /etc/passwd
truncate -s 1T /root/huge; mkdir -m 0 /root/closed; for i in $(seq 300); do mkdir d; cd d; done 2> /dev/null"
    );
    sh(&*sandbox, &format!("cd /root; {script}")).await;
    let listed = changes(&*sandbox).await;
    for line in ["A /root/outside", "A /root/top", "A /root/closed", "M /etc/group", "M /etc/passwd"] {
        assert!(listed.contains(&line.to_owned()), "{line}");
    }
    assert_eq!(listed.len(), 308);
    // Deeper than any path is long: an error, and the sandbox goes on.
    let deep = "cd /root; n=$(printf %0200d 0); for i in $(seq 40); do mkdir $n; cd $n; done";
    text(&*sandbox, deep).await;
    let error = sandbox.changes().await.unwrap_err();
    assert!(matches!(error, SandboxError::File { .. }), "{error:?}");
    assert_eq!(text(&*sandbox, "echo alive").await, "alive\n");
}

pub(crate) async fn a_checkpoint_is_restored(subject: &Subject) {
    if !subject.can(Ability::Checkpoints) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("parent/checkpoint");
    let sandbox = subject.sandbox().await;
    text(&*sandbox, MAKE_TREE).await;
    text(&*sandbox, "rm /etc/group; rm -r /var; mkdir /var; echo x >> /etc/passwd; chmod 711 /").await;
    let second = fork(&*sandbox).await;
    text(&*second, "rm -r /root/t/deep/er; mkdir /root/t/deep/er; ln -s x /var/y").await;
    let tell = format!("{}\nls -A /var; cat /etc/passwd; stat -c %a /", tell_tree(subject));
    let (before, changed) = (text(&*second, &tell).await, changes(&*second).await);
    second.checkpoint(&folder).await.unwrap();
    drop((sandbox, second));

    for _ in 0..2 {
        let restored = subject.backend.restore(&subject.spec, &folder).await.unwrap();
        assert_eq!(text(&*restored, &tell).await, before);
        assert_eq!(changes(&*restored).await, changed);
        text(&*restored, "chmod 700 /root/t/closed; rm -r /root/t; echo gone > /root/t").await;
        assert_eq!(text(&*restored, "cat /root/t").await, "gone\n");
    }
    let entries: Vec<_> = std::fs::read_dir(folder.parent().unwrap()).unwrap().collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
}

pub(crate) async fn a_restored_sandbox_can_do_it_again(subject: &Subject) {
    if !subject.can(Ability::Checkpoints) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut sandbox = subject.sandbox().await;
    for number in 0..3 {
        text(
            &*sandbox,
            &format!("echo {number} >> /root/log; touch /root/{number}; rm -f /root/$(({number} - 1))"),
        )
        .await;
        let folder = scratch.path().join(number.to_string());
        sandbox.checkpoint(&folder).await.unwrap();
        let restored = subject.backend.restore(&subject.spec, &folder).await.unwrap();
        sandbox = fork(&*restored).await;
    }
    assert_eq!(text(&*sandbox, "ls /root; cat /root/log").await, "2\nlog\n0\n1\n2\n");
    assert_eq!(changes(&*sandbox).await, ["A /root/2", "A /root/log"]);
}

pub(crate) async fn a_busy_sandbox_is_checkpointed_at_one_moment(subject: &Subject) {
    if !subject.can(Ability::Checkpoints) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("checkpoint");
    let sandbox = subject.sandbox().await;
    // The second file is written after the first one.
    let script = "\
(cd /root; i=0; while :; do i=$((i+1)); echo $i >> first; echo $i >> second; done) > /dev/null 2>&1 &
until test -s /root/second; do :; done; mkfifo /root/pipe; truncate -s 1T /root/huge";
    text(&*sandbox, script).await;
    sandbox.checkpoint(&folder).await.unwrap();
    let restored = subject.backend.restore(&subject.spec, &folder).await.unwrap();
    let counts = text(&*restored, "cd /root; wc -l < first; wc -l < second; ls").await;
    let counts: Vec<&str> = counts.lines().collect();
    let [first, second] = [counts[0], counts[1]].map(|count| count.parse::<u64>().unwrap());
    assert!(first == second || first == second + 1, "{counts:?}");
    assert_eq!(counts[2..], ["first", "huge", "second"], "a pipe is left out");
    text(&*sandbox, &format!("until test $(wc -l < /root/second) -gt {second}; do :; done")).await;
}

pub(crate) async fn what_is_no_checkpoint_is_refused(subject: &Subject) {
    if !subject.can(Ability::Checkpoints) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("checkpoint");
    let refused = async |folder: &Path| match subject.backend.restore(&subject.spec, folder).await {
        Err(error @ SandboxError::Checkpoint { .. }) => error.to_string(),
        Err(error) => unreachable!("{error:?}"),
        Ok(_) => unreachable!("it was restored"),
    };
    assert!(refused(&folder).await.starts_with("read the checkpoint"));
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "touch /root/x").await;
    sandbox.checkpoint(&folder).await.unwrap();
    let again = sandbox.checkpoint(&folder).await.unwrap_err();
    assert!(again.to_string().starts_with("write the checkpoint"), "{again}");

    let about = folder.join("checkpoint.json");
    let written = std::fs::read_to_string(&about).unwrap();
    for broken in [written.replace("\"schema_version\": 1", "\"schema_version\": 2"), "{".to_owned()] {
        assert_ne!(broken, written);
        std::fs::write(&about, broken).unwrap();
        refused(&folder).await;
    }
    std::fs::write(&about, written).unwrap();
    text(&*subject.backend.restore(&subject.spec, &folder).await.unwrap(), "ls /root/x").await;
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
}

pub(crate) async fn a_session_goes_on_after_a_fork(subject: &Subject) {
    let parent = subject.sandbox().await;
    let session = parent.open_session(&SessionSpec::default()).await.unwrap();
    let say = async |command: &str| {
        let said = session.run(command, Duration::from_secs(20)).await.unwrap();
        assert!(matches!(said.status, SessionStatus::Done { .. }), "{command}: {said:?}");
        said.output.to_text()
    };
    say("mkdir -p /tmp/a/b; cd /tmp/a; cd b; export X='1 2'; y=3; false").await;
    for round in ["one", "two"] {
        let fork = parent.fork().await.unwrap();
        // Exit code, variables, and the folder before are as they were; files are those of the new root.
        let told = say(&format!("echo $? $X $y $PWD $OLDPWD; echo {round} > {round}; false")).await;
        assert_eq!(told, "1 1 2 3 /tmp/a/b /tmp/a\n");
        assert_eq!(
            parent.read_file(&format!("/tmp/a/b/{round}"), 99).await.unwrap(),
            format!("{round}\n").as_bytes()
        );
        assert!(fork.stat(&format!("/tmp/a/b/{round}")).await.is_err(), "the fork has it too");
    }
    let fork = parent.fork().await.unwrap();
    let SessionState { cwd, env } = session.state().await.unwrap();
    let spec = SessionSpec { cwd: Some(cwd), env, ..SessionSpec::default() };
    let heir = fork.open_session(&spec).await.unwrap();
    let told = heir.run("echo $X $PWD; ls", Duration::from_secs(20)).await.unwrap();
    assert_eq!(told.output.to_text(), "1 2 /tmp/a/b\none\ntwo\n");
}

pub(crate) async fn a_session_that_runs_a_command_may_be_forked(subject: &Subject) {
    let parent = subject.sandbox().await;
    let session = parent.open_session(&SessionSpec::default()).await.unwrap();
    let script = "cd /tmp; echo before > file; until [ -e go ]; do sleep 0.01; done; echo after > file";
    let running = session.run(script, Duration::from_millis(300)).await.unwrap();
    assert_eq!(running.status, SessionStatus::Running);
    let fork = parent.fork().await.unwrap();
    assert_eq!(fork.read_file("/tmp/file", 99).await.unwrap(), b"before\n");
    parent.write_file("/tmp/go", b"").await.unwrap();
    let done = session.poll(Duration::from_secs(20)).await.unwrap();
    assert!(matches!(done.status, SessionStatus::Done { exit_code: 0, .. }), "{done:?}");
    assert_eq!(parent.read_file("/tmp/file", 99).await.unwrap(), b"after\n");
    assert_eq!(fork.read_file("/tmp/file", 99).await.unwrap(), b"before\n");
}

pub(crate) async fn a_pristine_sandbox_has_nothing_of_the_other(subject: &Subject) {
    let folder = tempfile::tempdir().unwrap();
    let bind = (folder.path().to_owned(), "/opt/bound".into(), true);
    let sandbox = subject.with(|spec| spec.extra_binds.push(bind.clone())).await;
    text(&*sandbox, "echo x > /root/new; rm -rf /etc/passwd; test -d /opt/bound").await;
    let forked = fork(&*sandbox).await;
    for from in [&sandbox, &forked] {
        let pristine = from.pristine().await.unwrap();
        text(&*pristine, "test ! -e /root/new && test -e /etc/passwd && test ! -e /opt/bound").await;
        text(&*pristine, "echo y > /root/other").await;
        text(&**from, "test -e /root/new && test ! -e /root/other").await;
        pristine.destroy().await.unwrap();
    }
    let pristine = sandbox.pristine().await.unwrap();
    sandbox.destroy().await.unwrap();
    text(&*pristine, "echo it lives on").await;
}
