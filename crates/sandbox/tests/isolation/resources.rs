//! Using up what belongs to all.

use std::time::Duration;

use swegym_sandbox::{Backend, ExecRequest, ExecStatus, Limits, OutputLimit, SandboxError};

use super::attempt::{Attempt, Code, Outcome, python, shell};
use super::lab::Lab;
use crate::support::{processes_with, wait_until};

const SMALL: Limits = Limits {
    memory_bytes: 256 << 20,
    processes: 60,
    disk_bytes: 8 << 20,
    cpu_millis: None,
    io_bytes_per_second: None,
};

const BOMBS: &[Attempt] = &[
    shell(
        "a bomb of files on disk",
        "head -c 20000000 /dev/zero > /root/big; rm /root/big",
        &["No space left"],
    ),
    shell(
        "a bomb in /dev/shm",
        "head -c 20000000 /dev/zero > /dev/shm/big; rm /dev/shm/big",
        &["No space left"],
    ),
    shell("a bomb in /dev", "head -c 20000000 /dev/zero > /dev/big; rm /dev/big", &["No space left"]),
    shell(
        "a bomb of empty files",
        "mkdir /root/i; cd /root/i; seq 5000 | xargs touch 2>&1 | tail -1; cd; rm -r i",
        &["No space left"],
    ),
    shell(
        "a bomb of empty files in /dev/shm",
        "mkdir /dev/shm/i; cd /dev/shm/i; seq 5000 | xargs touch 2>&1 | tail -1; rm -r /dev/shm/i",
        &["No space left"],
    ),
    shell(
        "a bomb of empty files in /dev",
        "mkdir /dev/i; cd /dev/i; seq 5000 | xargs touch 2>&1 | tail -1; rm -r /dev/i",
        &["No space left"],
    ),
    python(
        "a bomb of open files",
        "
kept = []
try:
    while True: kept.append(os.open('/dev/null', 0))
except OSError as error:
    print(errno.errorcode[error.errno], len(kept) <= 65536)",
        &["EMFILE True"],
    ),
    python(
        "a bigger limit of open files",
        "print(tried(resource.setrlimit, resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)), resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 65536)",
        &["True"],
    ),
    python(
        "locked memory",
        "
m = ctypes.create_string_buffer(128 << 20)
print(libc.mlock(m, 128 << 20), errno.errorcode[ctypes.get_errno()])",
        &["-1 ENOMEM", "-1 EPERM", "-1 EAGAIN"],
    ),
    python(
        "real-time priority",
        "print(tried(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(99)), tried(os.setpriority, 0, 0, -20))",
        &["EPERM EACCES", "EPERM EPERM"],
    ),
];

/// Without the cgroup the kernel's own limit holds: both speak of it in these words.
const PROCESS_BOMBS: &[Attempt] = &[
    shell(
        "a bomb of processes",
        "for i in $(seq 300); do sleep 100 & done 2>&1 | grep -m1 -o 'fork'; pkill sleep; true",
        &["fork"],
    ),
    python(
        "a bomb of threads",
        "
started = 0
try:
    for _ in range(1000): threading.Thread(target=time.sleep, args=(3,), daemon=True).start(); started += 1
    print('DONE')
except RuntimeError as error:
    print(error, started < 100)",
        &["can't start new thread True"],
    ),
];

#[tokio::test]
async fn bombs_stay_small() {
    let mut lab = Lab::with(|spec| spec.limits = SMALL).await;
    lab.try_all(BOMBS).await;
    if lab.enforces("processes", "bombs of processes and threads") {
        lab.try_all(PROCESS_BOMBS).await;
    }
    lab.end().await;
}

#[tokio::test]
async fn memory_runs_out_inside() {
    for (name, script) in [
        ("a bomb of memory", "python3 -c 'x = [bytearray(1 << 20) for _ in range(4000)]'"),
        ("a bomb of memory in files", "head -c 900000000 /dev/zero > /dev/shm/big"),
        (
            "a bomb of shared memory",
            "python3 -c 'import mmap; m = mmap.mmap(-1, 1 << 30); [m.seek(i) or m.write(b\"x\") for i in range(0, 1 << 30, 4096)]'",
        ),
    ] {
        let mut lab = Lab::with(|spec| spec.limits = Limits { disk_bytes: 1 << 30, ..SMALL }).await;
        if !lab.enforces("memory", name) {
            continue;
        }
        let status = lab.sandbox.exec(&ExecRequest::shell(script).merged()).await.map(|output| output.status);
        // Files in memory stay when who wrote them is killed, and then all of the sandbox goes.
        let refused = matches!(status, Ok(ExecStatus::OutOfMemory) | Err(SandboxError::Gone));
        let said = format!("{status:?}");
        lab.sandbox = lab.backend.create(&lab.spec).await.unwrap();
        lab.judge(name, if refused { Ok(said) } else { Err(said) });
        lab.end().await;
    }
}

#[tokio::test]
async fn output_is_not_kept_without_end() {
    let mut lab = Lab::new().await;
    let request = ExecRequest::shell("yes a rather long line of output | tee /dev/stderr")
        .keeping(OutputLimit { head: 1000, tail: 1000 })
        .within(Duration::from_secs(1));
    let output = lab.sandbox.exec(&request).await.unwrap();
    let kept = [output.stdout, output.stderr].map(|stream| stream.head.len() + stream.tail.len());
    let refused = output.status == ExecStatus::TimedOut && kept == [2000, 2000];
    let said = format!("{:?}, {kept:?} bytes kept", output.status);
    lab.judge("a bomb of output", if refused { Ok(said) } else { Err(said) });
    lab.end().await;
}

/// Each leaves processes that want to outlive the limit; `MARK` is their argument.
const OUTLIVING: [(&str, &str); 6] = [
    ("outlive the time limit by setsid", "setsid setsid sleep MARK & sleep 1000"),
    ("outlive it by forking twice", "( ( sleep MARK & ) & ) ; sleep 1000"),
    (
        "outlive it by ignoring signals",
        "trap '' HUP INT TERM QUIT; nohup sleep MARK & while :; do sleep 1; done",
    ),
    ("outlive it by stopping everybody", "setsid sleep MARK & kill -STOP -1; kill -STOP $$"),
    (
        "outlive it by killing the supervisor",
        "setsid sleep MARK & (setsid sh -c 'kill -KILL $PPID' &); kill -STOP $PPID; sleep 1000",
    ),
    ("outlive it by forking again and again", "f() { sleep 0.01; f & }; f; setsid sleep MARK & sleep 1000"),
];

#[tokio::test]
async fn nothing_outlives_the_time_limit() {
    for (number, (name, script)) in OUTLIVING.iter().enumerate() {
        let mut lab = Lab::with(|spec| spec.limits.processes = 100).await;
        let mark = format!("{}.6{number}", 6_000_000 + std::process::id());
        let began = std::time::Instant::now();
        let request = ExecRequest::shell(script.replace("MARK", &mark)).within(Duration::from_millis(700));
        let output = lab.sandbox.exec(&request).await.unwrap();
        // The bound of the owner, not of the attempt: a killing that fails ends the sandbox after ten seconds.
        let is_over = match output.status {
            ExecStatus::TimedOut => processes_with(&mark) == 0,
            // Whoever kills the supervisor has ended the command early, and dies with the sandbox.
            _ => {
                let other = lab.backend.create(&lab.spec).await.unwrap();
                std::mem::replace(&mut lab.sandbox, other).destroy().await.unwrap();
                processes_with(&mark) == 0
            }
        };
        let in_time = began.elapsed() < Duration::from_secs(30);
        let said = format!("{:?}, nothing left: {is_over}", output.status);
        let refused = is_over && in_time;
        lab.judge(name, if refused { Ok(said) } else { Err(said) });
        lab.end().await;
    }
}

#[tokio::test]
async fn a_fork_bomb_ends_with_its_sandbox() {
    const NAME: &str = "a fork bomb";
    let mut lab = Lab::with(|spec| spec.limits.processes = 60).await;
    if !lab.enforces("processes", NAME) {
        return;
    }
    let mark = format!("{}.7", 7_000_000 + std::process::id());
    let script = format!("b() {{ b | b & }}; setsid sleep {mark} & b; sleep 1000");
    let request = ExecRequest::shell(script).within(Duration::from_secs(1));
    let status = lab.sandbox.exec(&request).await.map(|output| output.status);
    let sandbox = std::mem::replace(&mut lab.sandbox, lab.backend.create(&lab.spec).await.unwrap());
    sandbox.destroy().await.unwrap();
    wait_until("the processes are gone", || processes_with(&mark) == 0);
    let outcome: Outcome = match status {
        Ok(ExecStatus::TimedOut) => Ok("TimedOut, nothing left".to_owned()),
        other => Err(format!("{other:?}")),
    };
    lab.judge(NAME, outcome);
    lab.end().await;
}

#[tokio::test]
async fn the_owner_waits_for_nobody() {
    let mut lab = Lab::new().await;
    let said = lab.run(Code::Shell("mkfifo /tmp/pipe; ln -s /dev/zero /tmp/zero; echo made")).await;
    assert_eq!(said, "made");
    for path in ["/tmp/pipe", "/tmp/zero", "/dev/tty", "/proc/kmsg"] {
        let read = tokio::time::timeout(Duration::from_secs(60), lab.sandbox.read_file(path, 100)).await;
        let outcome = match read {
            Ok(Err(error)) => Ok(error.to_string()),
            Ok(Ok(bytes)) => Err(format!("read {} bytes", bytes.len())),
            Err(_) => Err("the owner waited".to_owned()),
        };
        lab.judge(&format!("let the owner wait for {path}"), outcome);
    }
    lab.end().await;
}
