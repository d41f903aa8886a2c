//! Files of the host, of other layers, and of the kernel.

use std::fs;

use super::attempt::{Attempt, python, shell};
use super::lab::Lab;

const GONE: &[&str] = &["No such file or directory"];
const READ_ONLY: &[&str] = &["Read-only file system"];
const NOT_PERMITTED: &[&str] = &["Operation not permitted", "Permission denied"];
/// Or the kernel has none.
const READ_ONLY_OR_GONE: &[&str] = &["Read-only file system", "No such file or directory"];

const READING: &[Attempt] = &[
    shell("read a host file by its path", "cat {secret}", GONE),
    shell("read a host file through a link", "ln -s {secret} /tmp/l; cat /tmp/l", GONE),
    shell("read a host file by climbing", "cd /tmp; cat ../../../../../../../..{secret}", GONE),
    shell(
        "read a host file through /proc/PID/root",
        "for p in /proc/[0-9]*; do cat $p/root{secret}; done",
        &["/root{secret}: Permission denied", "Permission denied"],
    ),
    shell(
        "read a host file through /proc/PID/cwd",
        "for p in /proc/[0-9]*; do cat $p/cwd/../../../../..{secret}; done",
        GONE,
    ),
    shell("read a host file through /proc/1/fd", "cat /proc/1/fd/*", &["Permission denied", "No such file"]),
    shell("read the environment of process 1", "cat /proc/1/environ", &["Permission denied"]),
    shell("read the memory map of process 1", "cat /proc/1/maps", &["Permission denied"]),
    shell("copy the program of process 1", "cat /proc/1/exe", &["Permission denied"]),
    python("write the memory of process 1", "print(tried(open, '/proc/1/mem', 'r+b'))", &["EACCES"]),
    shell("read /proc/kcore", "head -c 1 /proc/kcore | wc -c", &["0"]),
    shell("read the kernel's log by /proc/kmsg", "cat /proc/kmsg | wc -c", &["0"]),
    shell("read /dev/kmsg and /dev/mem", "cat /dev/kmsg /dev/mem", GONE),
    shell("read addresses of the kernel", "grep -c . /proc/kallsyms", &["0"]),
    shell("read the keys of the machine", "cat /proc/keys | wc -c", &["0"]),
    shell("look at /sys", "ls /sys/kernel /sys/fs/cgroup /sys/class", GONE),
    shell("make a disk device", "mknod /tmp/disk b 259 0", NOT_PERMITTED),
    shell("make a memory device", "mknod /tmp/mem c 1 1", NOT_PERMITTED),
    python(
        "make a mark of an overlay",
        "print(tried(os.mknod, '/root/x', 0o20644, 0))",
        &["EPERM", "EACCES"],
    ),
];

const WRITING: &[Attempt] = &[
    shell("change a file of a layer", "echo x >> /opt/low/file && cat /opt/low/file", &["lowx"]),
    shell(
        "change a layer through a descriptor",
        "exec 5< /opt/low/other; echo x > /proc/self/fd/5; echo done",
        &["done"],
    ),
    shell(
        "truncate, chmod and rename in a layer",
        "cd /opt/low; truncate -s 0 other; chmod 777 suid; mv file f; ls",
        &["f\n"],
    ),
    shell(
        "link a file of a layer and change it",
        "ln /opt/low/other /tmp/h; echo x > /tmp/h; cat /opt/low/other",
        &["x"],
    ),
    shell("remove a layer", "rm -rf /opt; ls /opt", GONE),
    shell("write through a read-only folder of the host", "echo x > /mnt/ro/file", READ_ONLY),
    shell("chmod in a read-only folder of the host", "chmod 777 /mnt/ro/file", READ_ONLY),
    shell("write it through a descriptor", "exec 5< /mnt/ro/file; echo x > /proc/self/fd/5", READ_ONLY),
    shell("link it into a writable folder", "ln /mnt/ro/file /mnt/rw/linked", &["Invalid cross-device link"]),
    shell("link a program of the host", "ln /usr/bin/env /tmp/env", &["Invalid cross-device link"]),
    shell("replace a program of the host", "cp /bin/true /usr/bin/env", READ_ONLY),
    shell("climb out of a writable folder", "cat /mnt/rw/../../..{secret}", GONE),
    shell("leave through a link in a writable folder", "ln -s {secret} /mnt/rw/l; cat /mnt/rw/l", GONE),
    shell("write beside a writable folder", "mkdir -p /mnt/rw/../x && ls -d /mnt/x", &["/mnt/x"]),
    shell("write /proc/sysrq-trigger", "echo h > /proc/sysrq-trigger", READ_ONLY_OR_GONE),
    shell("name a program for core dumps", "echo '|/tmp/x' > /proc/sys/kernel/core_pattern", READ_ONLY),
    shell("change a setting of the machine", "echo 1 > /proc/sys/vm/drop_caches", READ_ONLY),
    shell("allow user namespaces again", "echo 9 > /proc/sys/user/max_user_namespaces", READ_ONLY),
    shell("hide from the limit on memory", "echo -1000 > /proc/self/oom_score_adj", &["Permission denied"]),
    python(
        "give a program capabilities",
        "open('/tmp/p', 'w'); print(tried(os.setxattr, '/tmp/p', 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000')))",
        &["EPERM"],
    ),
    python(
        "forge the attributes of an overlay",
        "os.mkdir('/tmp/o'); print(tried(os.setxattr, '/tmp/o', 'trusted.overlay.opaque', b'y'))",
        &["EPERM", "EOPNOTSUPP"],
    ),
];

#[tokio::test]
async fn files_out_of_reach() {
    let mut lab = Lab::new().await;
    lab.try_all(READING).await;
    lab.end().await;
}

#[tokio::test]
async fn files_that_stay_as_they_are() {
    let core_pattern = || fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let before = core_pattern();
    let mut lab = Lab::new().await;
    lab.try_all(WRITING).await;
    assert_eq!(core_pattern(), before);
    lab.end().await;
}
