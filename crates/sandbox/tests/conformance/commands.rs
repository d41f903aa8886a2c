//! Running commands.

use std::time::Duration;

use swegym_sandbox::{ExecRequest, ExecStatus, OutputLimit, SandboxError, SideChannel};

use super::{Subject, sh, text};

pub(crate) async fn output_and_exit_code(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let output = sandbox.exec(&ExecRequest::shell("echo hello; exit 3")).await.unwrap();
    assert_eq!(output.status, ExecStatus::Exited(3));
    assert_eq!(output.stdout.to_text(), "hello\n");
    assert_eq!(output.stderr.to_text(), "");
}

pub(crate) async fn death_by_signal(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let output = sh(&*sandbox, "kill -TERM $$").await;
    assert_eq!(output.status, ExecStatus::Signaled(15));
}

pub(crate) async fn streams_merge_in_order(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done";
    let expected = "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n";
    assert_eq!(text(&*sandbox, script).await, expected);
}

pub(crate) async fn streams_stay_apart(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let output = sandbox.exec(&ExecRequest::shell("echo out; echo err >&2")).await.unwrap();
    assert_eq!((output.stdout.to_text(), output.stderr.to_text()), ("out\n".into(), "err\n".into()));
}

pub(crate) async fn folder_and_environment(subject: &Subject) {
    let sandbox = subject
        .with(|spec| {
            spec.image.config.workdir = "/work".into();
            spec.image.config.env.insert("OF_IMAGE".into(), "1".into());
            spec.image.config.env.insert("CHANGED".into(), "image".into());
        })
        .await;
    assert_eq!(text(&*sandbox, "pwd").await, "/work\n");
    let mut request = ExecRequest::shell("pwd; echo $OF_IMAGE $CHANGED").in_folder("/tmp");
    request.env.insert("CHANGED".into(), "command".into());
    let output = sandbox.exec(&request).await.unwrap();
    assert_eq!(output.stdout.to_text(), "/tmp\n1 command\n");
}

async fn start_error(subject: &Subject, request: ExecRequest) -> (String, String) {
    let sandbox = subject.sandbox().await;
    let error = sandbox.exec(&request).await.unwrap_err();
    let SandboxError::Start { program, message } = error else { panic!("{error:?}") };
    assert_eq!(text(&*sandbox, "echo still alive").await, "still alive\n");
    (program, message)
}

pub(crate) async fn missing_program(subject: &Subject) {
    let (program, message) = start_error(subject, ExecRequest::new(["no-such-program", "x"])).await;
    assert_eq!((program.as_str(), message.as_str()), ("no-such-program", "No such file or directory"));
}

pub(crate) async fn missing_folder(subject: &Subject) {
    let (_, message) = start_error(subject, ExecRequest::new(["true"]).in_folder("/nowhere")).await;
    assert_eq!(message, "working directory `/nowhere`: No such file or directory");
}

pub(crate) async fn program_that_may_not_run(subject: &Subject) {
    let (_, message) = start_error(subject, ExecRequest::new(["/etc/passwd"])).await;
    assert_eq!(message, "Permission denied");
}

pub(crate) async fn zero_bytes_in_words(subject: &Subject) {
    let (_, message) = start_error(subject, ExecRequest::new(["echo", "a\0b"])).await;
    assert_eq!(message, "a word of the command holds a zero byte");
}

pub(crate) async fn standard_input(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut request = ExecRequest::new(["cat"]).with_stdin(bytes.clone());
    request.output_limit = OutputLimit { head: 1 << 20, tail: 0 };
    assert_eq!(sandbox.exec(&request).await.unwrap().stdout.head, bytes);
    assert_eq!(text(&*sandbox, "cat").await, "", "no input is empty input");
}

pub(crate) async fn long_command_line(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let word = "\u{1f980}\"\\".repeat(15_000);
    let output = sandbox.exec(&ExecRequest::new(["printf", "%s", &word])).await.unwrap();
    assert_eq!(output.stdout.to_text(), word);
}

pub(crate) async fn streams_can_be_opened_by_name(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let output =
        sandbox.exec(&ExecRequest::shell("echo o > /dev/stdout; echo e > /dev/stderr")).await.unwrap();
    assert!(output.success());
    assert_eq!((output.stdout.to_text(), output.stderr.to_text()), ("o\n".into(), "e\n".into()));
}

pub(crate) async fn large_output_keeps_both_ends(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let request = ExecRequest::shell("echo first; yes | head -c 50000000; echo last")
        .keeping(OutputLimit { head: 8, tail: 7 });
    let output = sandbox.exec(&request).await.unwrap();
    assert_eq!(output.stdout.head, b"first\ny\n");
    assert_eq!(output.stdout.tail, b"y\nlast\n");
    assert_eq!(output.stdout.dropped, 50_000_000 + 6 + 5 - 15);
}

pub(crate) async fn a_side_channel_is_apart_from_the_output(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let channel = SideChannel { input: b"secret\n".to_vec(), limit: 8 };
    let script = "read -r word <&3; read -r rest <&3; echo \"$word:$rest\"; echo result $word >&3";
    let (output, written) = sandbox.exec_with_channel(&ExecRequest::shell(script), &channel).await.unwrap();
    assert_eq!((output.status, output.stdout.to_text()), (ExecStatus::Exited(0), "secret:\n".to_owned()));
    assert_eq!((written.head, written.tail, written.dropped), (b"result s".to_vec(), Vec::new(), 6));

    let later = "(sleep 1000; echo late >&3) & echo soon >&3; exec 3>&-; echo hidden 2>/dev/null >&3";
    let (output, written) = sandbox.exec_with_channel(&ExecRequest::shell(later), &channel).await.unwrap();
    assert_eq!(output.status, ExecStatus::Exited(1));
    assert_eq!(written.head, b"soon\n");
    assert_eq!(text(&*sandbox, "ls /proc/self/fd | grep -cx 3 || true").await.trim(), "1", "of `ls` itself");
}

pub(crate) async fn a_side_channel_opens_by_no_name(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let channel = SideChannel { input: b"secret\n".to_vec(), limit: 1 << 10 };
    // What runs without the descriptor looks for it at its parent.
    let script = r#"{
        for fd in /proc/$$/fd/*; do
            case $(readlink $fd) in socket*) cat $fd; echo forged > $fd; echo tried;; esac
        done
    } 2>/dev/null 3>&-
    cat <&3"#;
    let (output, written) = sandbox.exec_with_channel(&ExecRequest::shell(script), &channel).await.unwrap();
    assert_eq!(output.stdout.to_text(), "tried\nsecret\n");
    assert_eq!(written.head, b"");
}

pub(crate) async fn background_process_is_not_waited_for(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    // It holds the streams of the command, and would for as long as the time limit.
    let output = sh(&*sandbox, "(sleep 1000 &) ; echo done").await;
    assert_eq!(output.status, ExecStatus::Exited(0));
    assert_eq!(output.stdout.to_text(), "done\n");
}

pub(crate) async fn background_process_outlives_its_command(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let pid = text(&*sandbox, "sleep 1000 > /dev/null 2>&1 & echo $!").await;
    text(&*sandbox, &format!("kill -0 {pid}")).await;
}

pub(crate) async fn many_commands_at_once(subject: &Subject) {
    let sandbox: std::sync::Arc<dyn swegym_sandbox::Sandbox> = subject.sandbox().await.into();
    // None of them ends before all have begun.
    let script = |i: usize| {
        format!("touch /tmp/{i}; until [ $(ls /tmp | wc -l) = 16 ]; do sleep 0.01; done; echo {i}")
    };
    let commands: Vec<_> = (0..16)
        .map(|i| {
            let sandbox = std::sync::Arc::clone(&sandbox);
            tokio::spawn(async move { text(&*sandbox, &script(i)).await })
        })
        .collect();
    for (i, command) in commands.into_iter().enumerate() {
        assert_eq!(command.await.unwrap(), format!("{i}\n"));
    }
}

pub(crate) async fn dropped_command_is_killed(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let request = ExecRequest::shell("touch /tmp/started; exec sleep 1000");
    let started = async {
        let script = "until [ -e /tmp/started ] && pgrep -x sleep; do :; done";
        assert!(sh(&*sandbox, script).await.success());
    };
    tokio::select! {
        _ = sandbox.exec(&request) => panic!("it ended by itself"),
        () = started => {}
    }
    text(&*sandbox, "while pgrep -x sleep; do :; done").await;
}

pub(crate) async fn times_are_told(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let output = sh(&*sandbox, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").await;
    assert!(output.cpu > Duration::ZERO);
    assert!(output.wall > Duration::ZERO);
    let large = sh(&*sandbox, "x=$(head -c 60000000 /dev/zero | tr '\\0' x); true").await;
    assert!(large.peak_memory > 60_000_000, "{}", large.peak_memory);
}
