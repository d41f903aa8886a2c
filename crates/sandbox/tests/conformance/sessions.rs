//! Shells that keep their state between commands.

use std::collections::BTreeMap;
use std::time::Duration;

use swegym_sandbox::{
    OutputLimit, Sandbox, SandboxError, Session, SessionOutput, SessionSpec, SessionStatus, Terminal,
};

use super::programs::has;
use super::{Subject, sh, text};
use crate::support::processes_with;

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(60);
/// Long enough for a command to begin.
const SHORT: Duration = Duration::from_millis(300);

async fn open(sandbox: &dyn Sandbox) -> Box<dyn Session> {
    sandbox.open_session(&SessionSpec::default()).await.unwrap()
}

async fn terminal(sandbox: &dyn Sandbox) -> Box<dyn Session> {
    let terminal = Terminal::Pty { rows: 33, columns: 99 };
    sandbox.open_session(&SessionSpec { terminal, ..SessionSpec::default() }).await.unwrap()
}

fn printed(output: &SessionOutput) -> String {
    assert_eq!(output.output.dropped, 0);
    output.output.to_text()
}

/// Runs a command to its end: its exit code, and what was printed.
async fn run(session: &dyn Session, command: &str) -> (i32, String) {
    let output = session.run(command, LONG).await.unwrap();
    let SessionStatus::Done { exit_code, .. } = output.status else {
        panic!("`{command}`: {:?} after {}", output.status, output.output.to_text())
    };
    (exit_code, printed(&output))
}

/// Runs a command that succeeds.
async fn says(session: &dyn Session, command: &str) -> String {
    let (exit_code, text) = run(session, command).await;
    assert_eq!(exit_code, 0, "`{command}` printed: {text}");
    text
}

/// Begins a command that does not end soon, and returns what it printed meanwhile.
async fn begin(session: &dyn Session, command: &str) -> String {
    let output = session.run(command, SHORT).await.unwrap();
    assert_eq!(output.status, SessionStatus::Running, "`{command}` printed: {}", output.output.to_text());
    printed(&output)
}

/// Waits for the end of the running command.
async fn end(session: &dyn Session) -> (i32, String) {
    let output = session.poll(LONG).await.unwrap();
    let SessionStatus::Done { exit_code, .. } = output.status else { panic!("{output:?}") };
    (exit_code, printed(&output))
}

/// Runs what ends the shell, and returns what was printed.
async fn last_words(session: &dyn Session, command: &str) -> String {
    let output = session.run(command, LONG).await.unwrap();
    assert_eq!(output.status, SessionStatus::ShellEnded, "`{command}`");
    let error = session.run("true", LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "use the shell session: the shell has ended");
    printed(&output)
}

pub(crate) async fn session_keeps_what_commands_changed(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    let change = "cd /tmp; export A='1 2'; b=3; f() { echo f-$1; }; alias ll='echo listed'; umask 077";
    assert_eq!(says(&*session, change).await, "");
    assert_eq!(
        says(&*session, "pwd; printenv A; echo $b; f x; ll; umask").await,
        "/tmp\n1 2\n3\nf-x\nlisted\n0077\n"
    );
}

pub(crate) async fn session_tells_exit_code_and_folder(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    assert_eq!(run(&*session, "(exit 7)").await, (7, String::new()));
    assert_eq!(run(&*session, "echo $?").await, (0, "7\n".to_owned()));
    assert_eq!(run(&*session, "no-such-program").await.0, 127);
    assert_eq!(run(&*session, "sh -c 'kill -SEGV $$'").await, (139, String::new()), "and no complaints");
    let odd = "/tmp/a\nb 'c'\n";
    let output =
        session.run("d=$'/tmp/a\\nb \\'c\\'\\n'; mkdir \"$d\"; cd \"$d\"; false", LONG).await.unwrap();
    assert_eq!(output.status, SessionStatus::Done { exit_code: 1, cwd: odd.to_owned() });
}

pub(crate) async fn session_output_is_one_stream_in_order(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    let script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done";
    assert_eq!(says(&*session, script).await, "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
}

pub(crate) async fn session_takes_any_text(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    for (command, exit_code, expected) in [
        ("", 0, ""),
        ("\n\n", 0, ""),
        ("# nothing", 0, ""),
        ("echo a # b", 0, "a\n"),
        ("echo a\necho b", 0, "a\nb\n"),
        ("echo a \\\n  b", 0, "a b\n"),
        ("echo 'a\nb'", 0, "a\nb\n"),
        ("cat <<E\n$((1+1)) 'q'\nE\necho after", 0, "2 'q'\nafter\n"),
        ("cat <<'E' | tr a b\na$x\nE", 0, "b$x\n"),
        ("for i in 1 2\ndo\n  echo $i\ndone", 0, "1\n2\n"),
        ("echo '\\' \"\\\\\" \\'", 0, "\\ \\ '\n"),
        ("echo !! !x 'a!b' \"c!d\"", 0, "!! !x a!b c!d\n"),
        ("echo \u{e9}\u{1f980}", 0, "\u{e9}\u{1f980}\n"),
        ("echo a; }", 2, "bash: syntax error near unexpected token `}'\n"),
        ("if", 2, "bash: syntax error: unexpected end of file\n"),
        ("echo ${nothing:?gone}; echo b", 1, "bash: nothing: gone\n"),
        ("printf '\\001\\177\\t'", 0, "\u{1}\u{7f}\t"),
    ] {
        assert_eq!(run(&*session, command).await, (exit_code, expected.to_owned()), "{command}");
    }
    for unclosed in ["echo 'a", "echo \"a", "echo $(a", "echo `a", "cat <<E\na", "(echo", "echo ${x"] {
        let output = session.run(unclosed, LONG).await.unwrap();
        assert!(matches!(output.status, SessionStatus::Done { .. }), "{unclosed}");
        assert_eq!(says(&*session, "echo fine").await, "fine\n");
    }
    assert!(matches!(session.run("echo a\0b", LONG).await, Err(SandboxError::Session { .. })));
}

pub(crate) async fn session_takes_long_commands_and_prints_any_bytes(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    // All of the output comes before all of the command was read.
    let lines: String =
        (0..4000).map(|i| format!("echo '{i} \u{1f980} some words to make it long'\n")).collect();
    let expected: String = (0..4000).map(|i| format!("{i} \u{1f980} some words to make it long\n")).collect();
    assert!(lines.len() > 150_000);
    assert!(says(&*session, &lines).await == expected);
    let output =
        session.run("for i in {0..255}; do printf \"\\\\x$(printf %x $i)\"; done", LONG).await.unwrap();
    assert_eq!(output.output.head, (0..=255).collect::<Vec<u8>>());
}

pub(crate) async fn session_output_is_complete_and_never_late(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    for session in [open(&*sandbox).await, terminal(&*sandbox).await] {
        for i in 0..300 {
            assert_eq!(says(&*session, &format!("echo {i}")).await.trim_end(), i.to_string());
        }
        let numbers: String = (1..=60_000).map(|i| format!("{i}\n")).collect();
        assert!(says(&*session, "seq 60000").await.replace('\r', "") == numbers);
    }
}

pub(crate) async fn session_ends_by_exit(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    let marker = format!("{}.5", 5_000_000 + std::process::id());
    let script = format!(
        "echo before; (setsid sleep {marker} &); until pgrep -x sleep > /dev/null; do :; done; exit 3"
    );
    assert!(last_words(&*session, &script).await.starts_with("before\n"));
    assert!(session.poll(LONG).await.is_err() && session.state().await.is_err());
    assert!(session.send_input(b"x").await.is_err() && session.interrupt().await.is_err());
    // What it left behind does not outlive it.
    text(&*sandbox, "while pgrep -x sleep > /dev/null; do :; done").await;
    assert_eq!(processes_with(&marker), 0);
    last_words(&*open(&*sandbox).await, "set -e; true; false; echo not reached").await;
    last_words(&*open(&*sandbox).await, "kill -KILL $$").await;
    assert_eq!(says(&*open(&*sandbox).await, "echo fine").await, "fine\n");
}

pub(crate) async fn session_survives_set_e_while_all_is_well(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    says(&*session, "set -eu; trap 'echo trapped' ERR").await;
    assert_eq!(says(&*session, "if false; then :; fi; echo a").await, "a\n");
    assert_eq!(says(&*session, "false || echo b").await, "b\n");
}

pub(crate) async fn session_shell_may_be_replaced(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let words = last_words(&*open(&*sandbox).await, "exec sh -c 'echo replaced; sleep 0.2; echo end'").await;
    assert_eq!(words, "replaced\nend\n");
    let session = open(&*sandbox).await;
    begin(&*session, "exec sleep 1000").await;
    session.kill_foreground().await.unwrap();
    assert_eq!(session.poll(LONG).await.unwrap().status, SessionStatus::ShellEnded);
    assert_eq!(sh(&*sandbox, "pgrep sleep").await.stdout.to_text(), "");
}

pub(crate) async fn session_functions_and_aliases_may_have_any_name(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    let names =
        ["printf", "eval", "pwd", "ulimit", "unset", "return", "local", ":", "true", "readonly", "exec"];
    let functions: String =
        names.iter().map(|name| format!("function {name} {{ echo fake {name}; }}; ")).collect();
    says(&*session, &functions).await;
    says(&*session, "alias builtin='echo fake' eval=fake '__swegym=echo fake'").await;
    assert_eq!(says(&*session, "true").await, "fake true\n");
    assert_eq!(run(&*session, "(builtin exit 5)").await.0, 0, "the alias is the user's own");
    assert_eq!(run(&*session, "no-such-program 2> /dev/null").await, (127, String::new()));
}

/// What activating a virtual environment does, and worse.
const ACTIVATE: &str = r#"
VIRTUAL_ENV=/opt/venv; export VIRTUAL_ENV
_OLD_VIRTUAL_PS1="${PS1-}"; PS1="(venv) ${PS1-}"; export PS1
PS0='started '; PS2='more> '
PROMPT_COMMAND='echo prompt; cat'
hash -r 2> /dev/null"#;

pub(crate) async fn session_shows_no_prompts(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    for session in [open(&*sandbox).await, terminal(&*sandbox).await] {
        assert_eq!(says(&*session, ACTIVATE).await, "");
        assert_eq!(says(&*session, "echo $VIRTUAL_ENV").await.trim_end(), "/opt/venv");
        says(&*session, "PS1='$(cat) `cat` \\w '; PROMPT_COMMAND=(cat cat); TMOUT=1").await;
        assert_eq!(says(&*session, "cat <<E\nx\nE").await.trim_end(), "x");
    }
}

pub(crate) async fn session_does_not_wait_for_background_jobs(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    let script = "(until [ -e /tmp/go ]; do sleep 0.01; done; echo later) & echo now";
    let first = says(&*session, script).await;
    assert!(first.ends_with("now\n"), "{first}");
    assert!(says(&*session, "jobs").await.contains("Running"));
    assert_eq!(says(&*session, "touch /tmp/go; wait").await, "later\n");
    says(&*session, "(echo told; echo; touch /tmp/told) > >(cat) 2>&1 & until [ -e /tmp/told ]; do :; done")
        .await;
    assert_eq!(says(&*session, "wait; echo end").await.replace("told\n\n", ""), "end\n");
}

pub(crate) async fn session_background_flood_is_bounded(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let output_limit = OutputLimit { head: 1000, tail: 1000 };
    let spec = SessionSpec { output_limit, ..SessionSpec::default() };
    let session = sandbox.open_session(&spec).await.unwrap();
    session.run("yes & sleep 0.1", LONG).await.unwrap();
    for _ in 0..20 {
        let output = session.run("echo here", LONG).await.unwrap();
        assert!(matches!(output.status, SessionStatus::Done { exit_code: 0, .. }));
        assert!(output.output.head.len() <= 1000 && output.output.tail.len() <= 1000);
    }
    session.run("kill %1; wait", LONG).await.unwrap();
    assert_eq!(says(&*session, "echo quiet").await, "quiet\n");
}

pub(crate) async fn session_output_keeps_both_ends(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let output_limit = OutputLimit { head: 8, tail: 7 };
    let spec = SessionSpec { output_limit, ..SessionSpec::default() };
    let session = sandbox.open_session(&spec).await.unwrap();
    let output = session.run("echo first; yes | head -c 5000000; echo last", LONG).await.unwrap().output;
    assert_eq!((&output.head[..], &output.tail[..]), (&b"first\ny\n"[..], &b"y\nlast\n"[..]));
    assert_eq!(output.dropped, 5_000_000 + 6 + 5 - 15);
}

pub(crate) async fn session_patience_is_not_a_limit(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    assert_eq!(begin(&*session, "echo one; read x; echo two; (exit 4)").await, "one\n");
    let error = session.run("echo no", LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "use the shell session: another command still runs");
    assert!(session.state().await.is_err());
    let output = session.poll(Duration::ZERO).await.unwrap();
    assert_eq!((&output.status, printed(&output)), (&SessionStatus::Running, String::new()));
    session.send_input(b"\n").await.unwrap();
    assert_eq!(end(&*session).await, (4, "two\n".to_owned()));
    assert_eq!(session.poll(LONG).await.unwrap_err().to_string(), "use the shell session: no command runs");
    assert!(session.send_input(b"x").await.is_err());
    // An end that nobody asked for keeps no command from running.
    begin(&*session, "sleep 0.5; echo three").await;
    let output = loop {
        match session.run("echo four", LONG).await {
            Ok(output) => break output,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(printed(&output), "three\nfour\n");
}

pub(crate) async fn session_goes_on_after_a_dropped_call(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    let long = format!("read x; echo $x {}", "a".repeat(500_000));
    assert!(tokio::time::timeout(SHORT, session.run(&long, LONG)).await.is_err());
    session.send_input(b"told\n").await.unwrap();
    let (exit_code, text) = end(&*session).await;
    assert_eq!((exit_code, text.len()), (0, 500_006));
    assert_eq!(says(&*session, "echo $x").await, "told\n");
}

pub(crate) async fn session_input_reaches_the_command(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    begin(&*session, "read name; echo hello $name").await;
    session.send_input("w\u{f6}rld\n".as_bytes()).await.unwrap();
    assert_eq!(end(&*session).await, (0, "hello w\u{f6}rld\n".to_owned()));
    // More than a pipe holds, to a command that answers all the time.
    begin(&*session, "head -c 300000 | tr a b").await;
    session.send_input("a".repeat(300_000).as_bytes()).await.unwrap();
    assert_eq!(end(&*session).await, (0, "b".repeat(300_000)));
    // To one that does not read.
    begin(&*session, "sleep 1000").await;
    let error = session.send_input(&vec![b'x'; 1 << 20]).await.unwrap_err();
    assert!(error.to_string().contains("the command has left input unread after"), "{error}");
    session.interrupt().await.unwrap();
    assert_eq!(end(&*session).await.0, 130);
}

pub(crate) async fn session_interrupt_is_that_of_a_terminal(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    for session in [open(&*sandbox).await, terminal(&*sandbox).await] {
        for command in [
            "sleep 1000; echo no",
            "for i in 1 2 3; do sleep 1000; echo no; done; echo no",
            "while :; do :; done",
            "read x; echo no",
            "cat; echo no",
            "sleep 1000 | cat; echo no",
            "(sleep 1000; echo no); echo no",
            "f() { eval 'sleep 1000'; echo no; }; f; echo no",
            "x=$(sleep 1000); echo no",
            "timeout 1000 sleep 1000; echo no",
            "set -m; sleep 1000; echo no",
            "sleep 1000 & wait; echo no",
        ] {
            begin(&*session, command).await;
            session.interrupt().await.unwrap();
            let (exit_code, text) = end(&*session).await;
            assert_eq!(exit_code, 130, "`{command}` printed: {text}");
            assert!(!text.contains("no"), "`{command}` printed: {text}");
            says(&*session, "set +m; { kill %1 && wait; } 2> /dev/null; [[ -t 0 ]] && set -m; :").await;
        }
    }
}

/// Says when it is ready, handles one interrupt, and ends then.
const HANDLER: &str = r#"python3 -c '
import signal
signal.signal(signal.SIGINT, lambda *_: print("heard", flush=True))
print("ready", flush=True)
signal.pause()'"#;

pub(crate) async fn session_commands_may_handle_an_interrupt(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    if !has(&*sandbox, "python3").await {
        return;
    }
    let session = open(&*sandbox).await;
    let mut text = begin(&*session, &format!("{HANDLER}; echo after $?")).await;
    while text.is_empty() {
        text = printed(&session.poll(SHORT).await.unwrap());
    }
    session.interrupt().await.unwrap();
    assert_eq!((text, end(&*session).await), ("ready\n".to_owned(), (0, "heard\nafter 0\n".to_owned())));
    // What began earlier does not hear of it.
    says(&*session, &format!("{HANDLER} > /tmp/said & until [ -s /tmp/said ]; do sleep 0.01; done")).await;
    begin(&*session, "sleep 1000").await;
    session.interrupt().await.unwrap();
    assert_eq!(end(&*session).await.0, 130);
    assert_eq!(says(&*session, "cat /tmp/said; pgrep -c python3").await, "ready\n1\n");
    session.interrupt().await.unwrap();
    assert_eq!(says(&*session, "echo $?").await, "0\n", "no command ran");
}

pub(crate) async fn session_may_be_interrupted_any_number_of_times(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    for session in [open(&*sandbox).await, terminal(&*sandbox).await] {
        for command in ["while sleep 0.02; do :; done", "sleep 1000", "while :; do :; done"] {
            for pause in [0, 1, 3] {
                let long = format!("# {}\n{command}", "a".repeat(20_000));
                let interrupt = async {
                    for _ in 0..20 {
                        session.interrupt().await.unwrap();
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                };
                let (output, ()) = tokio::join!(session.run(&long, LONG), interrupt);
                let status = output.unwrap().status;
                assert!(
                    matches!(status, SessionStatus::Done { exit_code: 130, .. }),
                    "`{command}`: {status:?}"
                );
                assert_eq!(says(&*session, "echo fine").await.trim_end(), "fine");
            }
        }
    }
}

/// Processes that left the session, have no parents, ignore signals or pass for others.
const DETACHED: &str = "\
setsid setsid bash -c 'sleep 2001 & sleep 2002' > /dev/null 2>&1 &
( ( trap '' TERM HUP INT; sleep 2003 ) & )
( ( ulimit -x 5; ulimit -x 1099511627775 2> /dev/null; setsid sleep 2004 ) & )
bash -c 'trap \"\" INT; sleep 2005; sleep 2006'
echo more; sleep 2007";

pub(crate) async fn session_kill_takes_all_of_the_command(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    for session in [open(&*sandbox).await, terminal(&*sandbox).await] {
        says(&*session, "x=kept; sleep 1999 & (setsid sleep 1998 > /dev/null 2>&1 &)").await;
        begin(&*session, DETACHED).await;
        session.kill_foreground().await.unwrap();
        assert_ne!(end(&*session).await.0, 0);
        let left = text_of_sleeps(&*sandbox).await;
        assert_eq!(left, "1998 1999", "what began earlier is spared");
        assert_eq!(says(&*session, "echo $x").await.trim_end(), "kept");
        text(&*sandbox, "pkill sleep").await;
    }
}

async fn text_of_sleeps(sandbox: &dyn Sandbox) -> String {
    let script = "echo $(pgrep -a sleep | cut -d' ' -f3 | sort)";
    text(sandbox, script).await.trim_end().to_owned()
}

pub(crate) async fn session_kill_spares_what_earlier_jobs_start(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    let job = "(while sleep 0.05; do (setsid bash -c 'sleep 0.2; echo beat >> /tmp/beats' &); done) & ";
    says(&*session, job).await;
    begin(&*session, "while :; do sleep 1000; done").await;
    session.kill_foreground().await.unwrap();
    assert_ne!(end(&*session).await.0, 0);
    // Also those that were being started when the command was killed.
    says(&*session, "rm -f /tmp/beats; until [ -e /tmp/beats ]; do sleep 0.01; done").await;
    // Commands follow each other faster than the kernel's clock of processes ticks.
    for _ in 0..20 {
        says(&*session, "sleep 3000 &").await;
    }
    begin(&*session, "sleep 3001").await;
    session.kill_foreground().await.unwrap();
    end(&*session).await;
    assert_eq!(says(&*session, "pgrep -fxc 'sleep 3000'").await, "20\n");
}

pub(crate) async fn session_kill_ends_loops_and_stopped_shells(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    for command in [
        "while :; do :; done",
        "while :; do /bin/true; done",
        "while :; do bash -c 'trap \"\" INT; sleep 1000'; done",
        "while :; do /bin/true & done > /dev/null 2>&1",
        "kill -STOP $$",
        "kill -STOP $$; sleep 1000",
        "bash -c 'trap \"\" INT; sleep 1000'; sleep 1001; bash -c 'trap \"\" INT; sleep 1002'",
        "bash -c 'kill -STOP $$'",
    ] {
        begin(&*session, command).await;
        session.kill_foreground().await.unwrap();
        let output = session.poll(LONG).await.unwrap();
        assert!(matches!(output.status, SessionStatus::Done { .. }), "`{command}`: {:?}", output.status);
        assert!(
            says(&*session, "echo alive; ! pgrep -x sleep").await.ends_with("alive\n"),
            "after `{command}`"
        );
    }
    session.kill_foreground().await.unwrap();
    assert_eq!(says(&*session, "echo nothing ran").await, "nothing ran\n");
}

pub(crate) async fn session_kill_beats_a_fork_bomb(subject: &Subject) {
    if !subject.enforces("processes") {
        return;
    }
    let sandbox = subject.with(|spec| spec.limits.processes = 100).await;
    let session = open(&*sandbox).await;
    begin_loudly(&*session, "b() { b | b & }; b 2> /dev/null; sleep 1000").await;
    if session.kill_foreground().await.is_err() {
        // It can be too fast; then the sandbox is to be destroyed.
        return sandbox.destroy().await.unwrap();
    }
    session.poll(LONG).await.unwrap();
    assert_eq!(says(&*session, "echo alive; pgrep -c bash").await, "alive\n1\n");
}

/// [`begin`] for commands that print what does not matter.
async fn begin_loudly(session: &dyn Session, command: &str) {
    assert_eq!(session.run(command, SHORT).await.unwrap().status, SessionStatus::Running);
}

pub(crate) async fn session_memory_limit_spares_the_shell(subject: &Subject) {
    if !subject.enforces("memory") {
        return;
    }
    let sandbox = subject.with(|spec| spec.limits.memory_bytes = 64 << 20).await;
    let session = open(&*sandbox).await;
    let (exit_code, _) = run(&*session, "head -c 500000000 /dev/zero | tail -c 400000000 > /dev/null").await;
    assert_eq!(exit_code, 137);
    assert_eq!(says(&*session, "echo alive").await, "alive\n");
}

/// Prints what a report could look like, on everything that is open.
const FORGERY: &str = r#"
import os, sys
for number in range(256):
    if number == 1: continue
    try: os.write(number, b"\x00key\x000\x00/forged\n\x00" * 3)
    except OSError: pass
for number in range(3, 300):
    for flags in (os.O_RDWR, os.O_RDONLY | os.O_NONBLOCK, os.O_WRONLY | os.O_NONBLOCK):
        try: os.close(os.open(f"/proc/self/fd/{number}", flags)); print("open", number)
        except OSError: pass
print(sorted(os.listdir("/proc/self/fd"))[:3])
for parent in (os.getppid(),):
    for number in range(256):
        try: os.open(f"/proc/{parent}/fd/{number}", os.O_RDWR | os.O_NONBLOCK)
        except OSError: continue
        if "socket" in os.readlink(f"/proc/{parent}/fd/{number}"): print("reached", number)
"#;

pub(crate) async fn session_ends_cannot_be_forged(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    assert_eq!(says(&*session, "ls /proc/self/fd").await, "0\n1\n2\n3\n", "and the folder that is read");
    if has(&*sandbox, "python3").await {
        let output = session.run(&format!("python3 - <<'E'\n{FORGERY}E"), LONG).await.unwrap();
        let SessionStatus::Done { exit_code, cwd } = &output.status else { panic!("{output:?}") };
        assert_eq!((*exit_code, &**cwd), (0, "/"));
        let text = printed(&output);
        assert!(
            text.contains("['0', '1', '2']") && !text.contains("open") && !text.contains("reached"),
            "{text}"
        );
    }
    // The shell itself can write where it reports, but does not know what.
    let guess = "for fd in {10..60}; do printf '\\0%s\\0000\\0/forged\\n\\0' \"$__swegym\" k >&$fd; done 2> /dev/null";
    let output = session.run(&format!("{guess}; sleep 0.2; {guess}"), LONG).await.unwrap();
    assert!(matches!(&output.status, SessionStatus::Done { cwd, .. } if cwd == "/"), "{output:?}");
    assert!(output.wall >= Duration::from_millis(200));
    // A subshell keeps them, and may fill them for ever.
    let flood = "(while :; do printf '\\0garbage\\0%.0s' {1..99} >&45; done) 2> /dev/null & :";
    session.run(flood, LONG).await.unwrap();
    for _ in 0..5 {
        assert!(says(&*session, "echo fine").await.ends_with("fine\n"));
    }
}

pub(crate) async fn session_descriptors_may_be_closed(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = open(&*sandbox).await;
    for command in [
        "exec >&-; echo x",
        "exec 2>&- >&-; cd /tmp",
        "exec <&-; read x",
        "exec > /tmp/log; echo x",
        "exec 40>&- 41>&- 42>&-",
    ] {
        run(&*session, command).await;
        assert_eq!(says(&*session, "echo back; cat /dev/null").await, "back\n", "after `{command}`");
    }
    // Also the shell's own: then it cannot go on, but nobody waits for it for ever.
    for command in
        ["exec {10..20}>&-", "for fd in {3..99} 255; do eval \"exec $fd>&-\"; done; echo x", "exec 0>&10"]
    {
        let session = open(&*sandbox).await;
        let output = session.run(command, Duration::from_secs(2)).await.unwrap();
        if output.status == SessionStatus::Running {
            session.kill_foreground().await.unwrap();
            session.poll(Duration::from_secs(2)).await.unwrap();
        }
    }
    assert_eq!(says(&*session, "exec 7> /tmp/seven; echo a >&7").await, "");
    assert_eq!(says(&*session, "echo b >&7; cat /tmp/seven").await, "a\nb\n", "others stay");
    assert_eq!(
        says(&*session, "coproc cat; diff <(echo a) <(echo a)").await.lines().count(),
        1,
        "its number"
    );
    assert_eq!(says(&*session, "echo c >&${COPROC[1]}; read -u ${COPROC[0]} x; echo $x").await, "c\n");
}

pub(crate) async fn session_state_can_be_gone_on_from(subject: &Subject) {
    let sandbox = subject
        .with(|spec| {
            spec.image.config.env.insert("OF_IMAGE".into(), "image".into());
            spec.image.config.env.insert("CHANGED".into(), "image".into());
        })
        .await;
    let first = open(&*sandbox).await;
    says(&*first, "mkdir '/tmp/some where'; cd '/tmp/some where'; export A=$'two\\nlines= \\'\"$x' EMPTY= CHANGED=new; b=local").await;
    says(&*first, "export UNSET; declare -x _under=1 zz=9; declare -a array=(1 2); set -u").await;
    let (exit_code, _) = run(&*first, "(exit 3)").await;
    let state = first.state().await.unwrap();
    assert_eq!(exit_code, 3);
    assert_eq!(says(&*first, "echo $?").await, "3\n", "asking changes nothing");
    assert_eq!(state.cwd, "/tmp/some where");
    let value = |name: &str| state.env.get(name).map(String::as_str);
    assert_eq!(value("A"), Some("two\nlines= '\"$x"));
    assert_eq!((value("EMPTY"), value("CHANGED"), value("OF_IMAGE")), (Some(""), Some("new"), Some("image")));
    assert_eq!((value("_under"), value("zz")), (Some("1"), Some("9")));
    for absent in ["b", "UNSET", "array", "_", "SHLVL", "PWD", "BASH"] {
        assert_eq!(value(absent), None, "{absent}");
    }
    assert!(!state.env.keys().any(|name| name.contains("swegym")), "{:?}", state.env);

    let spec = SessionSpec { cwd: Some(state.cwd.clone()), env: state.env.clone(), ..SessionSpec::default() };
    let second = sandbox.open_session(&spec).await.unwrap();
    assert_eq!(second.state().await.unwrap(), state);
    assert_eq!(says(&*second, "pwd; echo \"$A\"").await, "/tmp/some where\ntwo\nlines= '\"$x\n");
    // However the shell is set.
    says(&*second, "set -a; set -x; IFS=2; shopt -s nocasematch; set -f; PS4=x").await;
    assert_eq!(second.state().await.unwrap().env.get("A"), state.env.get("A"));
}

pub(crate) async fn session_that_cannot_start(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let start_error = async |spec: SessionSpec| match sandbox.open_session(&spec).await {
        Err(SandboxError::Start { program, message }) => (program, message),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was opened"),
    };
    let missing = SessionSpec { cwd: Some("/nowhere".into()), ..SessionSpec::default() };
    let (program, message) = start_error(missing).await;
    assert_eq!(program, "bash");
    assert!(message.contains("/nowhere"), "{message}");
    let env = BTreeMap::from([("PATH".to_owned(), "/nowhere".to_owned())]);
    let (program, _) = start_error(SessionSpec { env, ..SessionSpec::default() }).await;
    assert_eq!(program, "bash");
    // A shell that is none.
    let script = "mkdir /opt; printf '#!/bin/sh\\nexit 0\\n' > /opt/bash; chmod +x /opt/bash";
    sh(&*sandbox, script).await;
    let env = BTreeMap::from([("PATH".to_owned(), "/opt:/usr/bin:/bin".to_owned())]);
    let (_, message) = start_error(SessionSpec { env, ..SessionSpec::default() }).await;
    assert_eq!(message, "it ended at once");
}

pub(crate) async fn dropped_session_takes_everything_along(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let marker = format!("{}.75", 6_000_000 + std::process::id());
    let session = open(&*sandbox).await;
    says(&*session, &format!("(trap '' HUP TERM INT; setsid sleep {marker} & sleep {marker} &)")).await;
    says(&*session, "until [ $(pgrep -xc sleep) = 2 ]; do :; done").await;
    begin(&*session, &format!("sleep {marker}")).await;
    assert_eq!(processes_with(&marker), 3);
    drop(session);
    text(&*sandbox, "while pgrep -x 'sleep|bash' | grep -vx $$ > /dev/null; do :; done").await;
    assert_eq!(processes_with(&marker), 0);
}

pub(crate) async fn session_of_a_destroyed_sandbox_is_gone(subject: &Subject) {
    for in_time in [true, false] {
        let sandbox = subject.sandbox().await;
        let (waits, idle) = (open(&*sandbox).await, open(&*sandbox).await);
        let destroy = async {
            tokio::time::sleep(SHORT).await;
            match in_time {
                true => sandbox.destroy().await.unwrap(),
                false => drop(sandbox),
            }
        };
        let (output, ()) = tokio::join!(waits.run("echo a; sleep 1000", LONG), destroy);
        assert!(matches!(output, Err(SandboxError::Gone)), "{output:?}");
        assert!(matches!(idle.run("echo b", LONG).await, Err(SandboxError::Gone)));
        assert!(idle.state().await.is_err() && idle.interrupt().await.is_err());
        assert!(idle.kill_foreground().await.is_err() && waits.poll(LONG).await.is_err());
    }
}

pub(crate) async fn sessions_do_not_meet(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let (one, other) = (open(&*sandbox).await, open(&*sandbox).await);
    says(&*one, "x=1; cd /tmp; sleep 4001 &").await;
    begin(&*other, "echo begun; sleep 4002").await;
    assert_eq!(says(&*one, "echo $x").await, "1\n");
    assert_eq!(text(&*sandbox, "echo beside").await, "beside\n");
    other.kill_foreground().await.unwrap();
    end(&*other).await;
    assert_eq!(says(&*other, "echo \"[$x] $PWD\"").await, "[] /\n");
    assert_eq!(text_of_sleeps(&*sandbox).await, "4001");
    drop(one);
    assert_eq!(says(&*other, "while pgrep -x sleep > /dev/null; do :; done; echo end").await, "end\n");
}

pub(crate) async fn session_on_a_terminal(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let session = terminal(&*sandbox).await;
    let script = "tty; stty size; for fd in 0 1 2; do [ -t $fd ] && echo $fd; done; echo $TERM; echo /dev/tty > /dev/tty";
    let expected = "/dev/pts/0\r\n33 99\r\n0\r\n1\r\n2\r\nxterm-256color\r\n/dev/tty\r\n";
    assert_eq!(says(&*session, script).await, expected);
    // Keys are echoed, and have their meaning.
    begin(&*session, "cat; echo end").await;
    session.send_input(b"abx\x7fc\n\x04").await.unwrap();
    let (exit_code, text) = end(&*session).await;
    assert_eq!(exit_code, 0);
    assert!(text.ends_with("abc\r\nend\r\n"), "{text:?}");
    begin(&*session, "sleep 1000; echo no").await;
    session.send_input(b"\x03").await.unwrap();
    assert_eq!(end(&*session).await.0, 130);
    // Jobs are controlled.
    begin(&*session, "cat > /dev/null; echo $?").await;
    session.send_input(b"\x1a").await.unwrap();
    assert!(end(&*session).await.1.contains("148"));
    assert!(says(&*session, "jobs").await.contains("Stopped"));
    begin_loudly(&*session, "fg").await;
    session.send_input(b"\x04").await.unwrap();
    assert_eq!(end(&*session).await.0, 0);
    // Whatever a program did to it, nobody is held up.
    begin(&*session, "stty raw -echo -isig; sleep 1000").await;
    session.interrupt().await.unwrap();
    assert_eq!(end(&*session).await.0, 130);
    says(&*session, "stty sane; stty size").await;
    begin(&*session, "sleep 1000").await;
    let _ = session.send_input(&vec![b'x'; 1 << 18]).await;
    session.kill_foreground().await.unwrap();
    end(&*session).await;
    assert_eq!(run(&*open(&*sandbox).await, "tty").await, (1, "not a tty\n".to_owned()));
}
