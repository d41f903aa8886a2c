//! What is inside cannot get out, and sees nothing of what is outside.

use std::time::Duration;

use swegym_sandbox::{ExecRequest, ExecStatus, Sandbox};

use super::{Subject, sh, text};
use crate::support::{detached_sleep, processes_with};

pub(crate) async fn only_own_processes_are_seen(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    // Init, the supervisor of the command, and the shell.
    assert_eq!(text(&*sandbox, "cd /proc; set -- [0-9]*; echo $#").await, "3\n");
}

pub(crate) async fn no_network_but_loopback(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let interfaces = text(&*sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1").await;
    assert_eq!(interfaces.trim(), "lo");
    let outside = sh(&*sandbox, "exec 3<> /dev/tcp/192.0.2.1/80").await;
    assert!(outside.stdout.to_text().contains("unreachable"), "{outside:?}");
    // Refused, rather than unreachable: loopback is up.
    let loopback = sh(&*sandbox, "exec 3<> /dev/tcp/127.0.0.1/80").await;
    assert!(loopback.stdout.to_text().contains("refused"), "{loopback:?}");
}

pub(crate) async fn the_system_cannot_be_changed(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    // What comes from the host is; files that the image brings belong to the sandbox.
    let of_the_host = ["touch /usr/bin/x", "rm /usr/bin/env"];
    let of_the_host = of_the_host.iter().filter(|_| subject.shows_the_host());
    let of_the_kernel = [
        "echo 1 > /proc/sys/kernel/panic",
        "echo x > /proc/sysrq-trigger",
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /usr",
        "umount /proc",
        "mknod /tmp/disk b 259 0",
        "chroot / true",
        "hostname changed",
    ];
    for script in of_the_host.chain(&of_the_kernel) {
        assert_ne!(sh(&*sandbox, script).await.status, ExecStatus::Exited(0), "{script}");
    }
}

pub(crate) async fn no_privileges(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let status =
        text(&*sandbox, "id -u; grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status | tr -d '\t '").await;
    let none = "0000000000000000";
    let capabilities =
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| format!("{set}:{none}\n"));
    let groups = status.lines().nth(1).unwrap();
    // Groups of an ordinary user cannot be left, but inside they are nobody's.
    assert!(
        groups.trim_start_matches("Groups:").replace("65534", "").is_empty() || groups == "Groups:0",
        "{groups}"
    );
    assert_eq!(
        status.replace(&format!("{groups}\n"), ""),
        format!("0\n{}NoNewPrivs:1\n", capabilities.concat())
    );
}

pub(crate) async fn no_new_user_namespaces(subject: &Subject) {
    if !subject.enforces("user namespaces") {
        return;
    }
    let sandbox = subject.sandbox().await;
    for script in ["unshare -U true", "unshare -Ur true", "unshare -m true"] {
        assert_ne!(sh(&*sandbox, script).await.status, ExecStatus::Exited(0), "{script}");
    }
}

pub(crate) async fn process_1_cannot_be_reached(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let script = "\
for s in KILL STOP TERM INT HUP SEGV; do kill -$s 1; done
cat /proc/1/environ /proc/1/maps > /dev/null 2>&1 && echo read
ls /proc/1/fd /proc/1/cwd/ > /dev/null 2>&1 && echo listed
cat /proc/1/exe > /dev/null 2>&1 && echo copied
echo end";
    assert_eq!(text(&*sandbox, script).await, "end\n");
    assert_eq!(text(&*sandbox, "echo still alive").await, "still alive\n");
}

pub(crate) async fn helpers_may_be_killed(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    // Everything but process 1 and the shell, the supervisor of the command included.
    let request =
        ExecRequest::shell("kill -KILL -1; echo killed; sleep 1000").within(Duration::from_secs(20));
    assert_eq!(sandbox.exec(&request).await.unwrap().status, ExecStatus::Signaled(9));
    assert_eq!(text(&*sandbox, "echo still alive").await, "still alive\n");
    // A stopped supervisor neither reports nor reaps, and still the limit holds.
    let request = ExecRequest::shell("kill -STOP -1; exit 0").within(Duration::from_millis(300));
    assert_eq!(sandbox.exec(&request).await.unwrap().status, ExecStatus::TimedOut);
    assert_eq!(text(&*sandbox, "echo still alive").await, "still alive\n");
}

pub(crate) async fn two_sandboxes_do_not_meet(subject: &Subject) {
    let (one, other) = (subject.sandbox().await, subject.sandbox().await);
    text(&*one, "echo 1 > /tmp/file; echo 1 > /dev/shm/file; sleep 3001 > /dev/null 2>&1 &").await;
    assert_eq!(text(&*other, "ls /tmp /dev/shm | grep file; pgrep -a sleep; echo end").await, "end\n");
}

pub(crate) async fn usual_devices_work(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let script = "\
head -c 4 /dev/urandom | wc -c
head -c 4 /dev/zero | od -An -tx1
echo x > /dev/null
(echo x > /dev/full) 2>&1 | grep -o 'No space'
cat < /dev/null
echo here <<< x | cat /dev/stdin
stat -c '%a %U' /tmp /dev/shm /root
echo $(cat /etc/hostname) $(hostname)";
    let expected = "4\n 00 00 00 00\nNo space\nhere\n1777 root\n1777 root\n755 root\nsandbox sandbox\n";
    assert_eq!(text(&*sandbox, script).await, expected);
}

pub(crate) async fn nothing_of_the_owner_is_inherited(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    // The three streams, and the folder that `ls` reads.
    let open = text(&*sandbox, "ls /proc/self/fd").await;
    assert_eq!(open, "0\n1\n2\n3\n");
    let output = sandbox.exec(&ExecRequest::new(["env"])).await.unwrap();
    let names: Vec<String> =
        subject.spec.image.config.env.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    assert_eq!(output.stdout.to_text(), names.concat());
}

pub(crate) async fn a_destroyed_sandbox_takes_everything_along(subject: &Subject) {
    let marker = format!("{}.25", 1_000_000 + std::process::id());
    let count = || processes_with(&marker);
    let sandbox = subject.sandbox().await;
    text(&*sandbox, &detached_sleep(&marker)).await;
    assert_eq!(count(), 1);
    sandbox.destroy().await.unwrap();
    assert_eq!(count(), 0);
}

/// That what keeps processes inside holds for a sandbox whose root was changed, or that began as a fork.
pub(crate) async fn isolation_holds(subject: &Subject, sandbox: &dyn Sandbox) {
    let script = "\
cat /proc/1/environ /proc/1/maps > /dev/null 2>&1 && echo read
ls /proc/1/fd /proc/1/cwd/ /proc/1/root/ > /dev/null 2>&1 && echo listed
readlink /proc/1/ns/mnt /proc/1/root && echo named
for s in KILL STOP TERM; do kill -$s 1; done
cd /; for i in 1 2 3; do cd ..; done; test . -ef / || echo above
ls -d /skeleton /f /next /root/root 2> /dev/null
unshare -Ur true 2> /dev/null && echo unshared
touch /usr/x 2> /dev/null && echo written
echo 1 2> /dev/null > /proc/sys/kernel/panic && echo set
grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status | tr -d '\t '";
    // Files that the image brings belong to the sandbox.
    let written = if subject.shows_the_host() { "" } else { "written\n" };
    let expected = format!("{written}NoNewPrivs:1\n");
    let said = text(sandbox, script).await;
    assert_eq!(said.replace("CapEff:0000000000000000\nCapBnd:0000000000000000\n", ""), expected, "{said}");
}
