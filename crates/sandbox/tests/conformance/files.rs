//! Reading and writing files.

use swegym_sandbox::{Sandbox, SandboxError};

use super::{Subject, text};

async fn read_error(sandbox: &dyn Sandbox, path: &str) -> (String, Option<i32>) {
    match sandbox.read_file(path, 100).await.unwrap_err() {
        SandboxError::File { action: "read", message, errno, .. } => (message, errno),
        other => panic!("{other:?}"),
    }
}

async fn write_error(sandbox: &dyn Sandbox, path: &str, content: &[u8]) -> (String, Option<i32>) {
    match sandbox.write_file(path, content).await.unwrap_err() {
        SandboxError::File { action: "write", message, errno, .. } => (message, errno),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn files_make_a_round_trip(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let content: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    sandbox.write_file("/root/a/b/c.bin", &content).await.unwrap();
    assert_eq!(sandbox.read_file("/root/a/b/c.bin", 2_000_000).await.unwrap(), content);
    assert_eq!(text(&*sandbox, "wc -c < /root/a/b/c.bin").await, "1000000\n");
    sandbox.write_file("/root/a/b/c.bin", b"short").await.unwrap();
    assert_eq!(text(&*sandbox, "cat /root/a/b/c.bin").await, "short");
    sandbox.write_file("/root/empty", b"").await.unwrap();
    assert_eq!(sandbox.read_file("/root/empty", 10).await.unwrap(), b"");
}

pub(crate) async fn files_are_read_up_to_a_limit(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "truncate -s 1T /tmp/huge").await;
    assert_eq!(sandbox.read_file("/tmp/huge", 4).await.unwrap(), [0; 4]);
}

pub(crate) async fn written_files_keep_their_mode(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "echo old > /root/script; chmod 751 /root/script").await;
    sandbox.write_file("/root/script", b"new").await.unwrap();
    assert_eq!(text(&*sandbox, "stat -c %a /root/script; cat /root/script").await, "751\nnew");
}

pub(crate) async fn missing_files_and_wrong_kinds_are_errors(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let missing = ("No such file or directory".to_owned(), Some(libc::ENOENT));
    assert_eq!(read_error(&*sandbox, "/root/nothing").await, missing);
    assert_eq!(read_error(&*sandbox, "/root").await.1, Some(libc::EISDIR));
    assert_eq!(write_error(&*sandbox, "/root", b"x").await.1, Some(libc::EISDIR));
    assert_eq!(read_error(&*sandbox, "/dev/zero").await.0, "not a regular file");
    assert_eq!(write_error(&*sandbox, "/dev/null", b"x").await.0, "not a regular file");
    assert_eq!(write_error(&*sandbox, "/etc/passwd/x", b"x").await.1, Some(libc::ENOTDIR));
}

pub(crate) async fn pipes_do_not_hang(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "mkfifo /tmp/pipe").await;
    assert_eq!(read_error(&*sandbox, "/tmp/pipe").await.0, "not a regular file");
    write_error(&*sandbox, "/tmp/pipe", b"x").await;
    text(&*sandbox, "sleep 1000 < /tmp/pipe > /dev/null 2>&1 & exec 3> /tmp/pipe").await;
    assert_eq!(write_error(&*sandbox, "/tmp/pipe", b"x").await.0, "not a regular file");
}

pub(crate) async fn links_stay_inside(subject: &Subject) {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "of the host").unwrap();
    let sandbox = subject.sandbox().await;
    let secret = secret.to_str().unwrap();
    text(&*sandbox, &format!("ln -s {secret} /tmp/link; ln -s ../../../../../..{secret} /tmp/relative"))
        .await;
    for link in ["/tmp/link", "/tmp/relative", secret] {
        assert_eq!(read_error(&*sandbox, link).await.1, Some(libc::ENOENT), "{link}");
    }
    sandbox.write_file(secret, b"of the sandbox").await.unwrap();
    assert_eq!(sandbox.read_file("/tmp/link", 100).await.unwrap(), b"of the sandbox");
    assert_eq!(std::fs::read(secret).unwrap(), b"of the host");
}

pub(crate) async fn full_disk_is_an_error(subject: &Subject) {
    let sandbox = subject.with(|spec| spec.limits.disk_bytes = 4 << 20).await;
    let file = if subject.enforces("disk") { "/root/big" } else { "/dev/shm/big" };
    let errno = write_error(&*sandbox, file, &vec![1; 8 << 20]).await.1;
    assert_eq!(errno, Some(libc::ENOSPC));
}

pub(crate) async fn unwritable_file_is_an_error(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "echo mine > /root/file; chmod 400 /root/file").await;
    assert_eq!(write_error(&*sandbox, "/root/file", b"x").await.1, Some(libc::EACCES));
}
