//! Other processes, inside and outside, and rights of others.

use std::fs;

use super::attempt::{Attempt, python, shell};
use super::lab::Lab;
use crate::support::wait_until;

const EPERM: &[&str] = &["EPERM"];

const OTHERS: &[Attempt] = &[
    python(
        "trace process 1",
        "print(call('ptrace', 16, 1, 0, 0), call('ptrace', 0x4206, 1, 0, 0))",
        &["EPERM EPERM"],
    ),
    python(
        "trace a child",
        "
child = os.fork()
if child == 0: time.sleep(60)
print(call('ptrace', 16, child, 0, 0)); os.kill(child, 9)",
        EPERM,
    ),
    python("be traced", "print(call('ptrace', 0, 0, 0, 0))", EPERM),
    python(
        "read the memory of process 1",
        "print(call('process_vm_readv', 1, 0, 0, 0, 0, 0), call('process_vm_writev', 1, 0, 0, 0, 0, 0))",
        &["EPERM EPERM"],
    ),
    python(
        "take a descriptor of process 1",
        "fd = os.pidfd_open(1); print(call('pidfd_getfd', fd, 0, 0))",
        EPERM,
    ),
    python("compare with process 1", "print(call('kcmp', os.getpid(), 1, 0, 0, 0))", EPERM),
    python(
        "signal a process of the host",
        "print(tried(os.kill, {pid}, 9), tried(os.kill, {pid}, 19))",
        &["ESRCH ESRCH"],
    ),
    python(
        "see processes of the host",
        "print('{pid}' in os.listdir('/proc'), len(os.listdir('/proc/self/task')))",
        &["False 1"],
    ),
    python(
        "signal process 1 in every way",
        "
for number in range(1, 65):
    tried(os.kill, 1, number)
fd = os.pidfd_open(1)
for number in range(1, 32):
    tried(signal.pidfd_send_signal, fd, number)
print('it lives:', open('/proc/1/stat').read().split()[2])",
        &["it lives: S", "it lives: R"],
    ),
    python(
        "pass as process 1",
        "print(open('/proc/1/comm').read().strip(), tried(open, '/proc/1/comm', 'w'))",
        &["EACCES"],
    ),
    python("limit process 1", "print(tried(resource.prlimit, 1, resource.RLIMIT_NOFILE, (1, 1)))", EPERM),
    python(
        "gain another id",
        "print(tried(os.setuid, 65534), tried(os.setgroups, [0]))",
        &["EINVAL EPERM", "EPERM EPERM"],
    ),
    python(
        "give files to another id",
        "open('/tmp/f', 'w'); print(tried(os.chown, '/tmp/f', 1000, 1000))",
        &["EINVAL", "EPERM"],
    ),
    shell("gain groups by newgrp or su", "su nobody -s /bin/true; sg nogroup true; echo tried", &["tried"]),
];

#[tokio::test]
async fn other_processes_are_out_of_reach() {
    let mut lab = Lab::new().await;
    lab.try_all(OTHERS).await;
    lab.end().await;
}

/// Ids of the processes of the host with this argument, as the host sees them.
fn ids_of(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command.split(|byte| *byte == 0).skip(1).any(|word| word == marker.as_bytes()) {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            found.extend(status.lines().filter(|line| line.starts_with("Uid:")).map(str::to_owned));
        }
    }
    found.sort();
    found
}

/// Set-id programs run as everybody else, as seen from outside.
#[tokio::test]
async fn set_id_programs_give_nothing() {
    let mut lab = Lab::new().await;
    let prepare = "\
cp /usr/bin/sleep /tmp/own; chmod 6755 /tmp/own
cp /usr/bin/sleep /dev/shm/own; chmod 6755 /dev/shm/own; cp /usr/bin/sleep /mnt/rw/own; chmod 6755 /mnt/rw/own";
    lab.shell(prepare).await;
    let programs = ["/usr/bin/sleep", "/opt/low/suid", "/tmp/own", "/dev/shm/own", "/mnt/rw/own"];
    let markers: Vec<String> =
        (0..programs.len()).map(|i| format!("{}.{i}5", 5_000_000 + std::process::id())).collect();
    for (program, marker) in programs.iter().zip(&markers) {
        lab.shell(&format!("setsid {program} {marker} > /dev/null 2>&1 &")).await;
        wait_until("it runs", || !ids_of(marker).is_empty());
    }
    let plain = ids_of(&markers[0]);
    for (program, marker) in programs.iter().zip(&markers).skip(1) {
        let ids = ids_of(marker);
        let outcome = if ids == plain { Ok(ids.join(", ")) } else { Err(format!("{ids:?}, not {plain:?}")) };
        lab.judge(&format!("a set-id program at {program}"), outcome);
    }
    lab.end().await;
}
