//! Looking at files, and copying whole trees in and out.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use swegym_sandbox::{ExecRequest, FileKind, Sandbox, SandboxError, TreeLimits};
use tempfile::TempDir;

use super::{Ability, Subject, sh, text};

/// Until a command that was asked for certainly runs.
const ATTACK_HEAD_START: Duration = Duration::from_millis(500);
/// Long enough for any answer, short beside a process that never answers.
const PATIENCE: Duration = Duration::from_secs(100);

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn file_error<T: std::fmt::Debug>(result: Result<T, SandboxError>) -> (String, Option<i32>) {
    match result.unwrap_err() {
        SandboxError::File { message, errno, .. } => (message, errno),
        other => panic!("{other:?}"),
    }
}

async fn download(
    sandbox: &dyn Sandbox,
    path: &str,
    limits: TreeLimits,
) -> (TempDir, Result<(), SandboxError>) {
    let home = folder();
    let done = sandbox.download(path, &home.path().join("new/folder"), limits).await;
    (home, done)
}

/// Downloads and says what is there: paths, kinds and contents.
async fn downloaded(sandbox: &dyn Sandbox, path: &str) -> Vec<String> {
    let (home, done) = download(sandbox, path, TreeLimits::default()).await;
    done.unwrap();
    let root = home.path().join("new/folder");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            found.push(match () {
                () if kind.is_dir() => format!("{name}/ {mode:o}"),
                () if kind.is_symlink() => format!("{name} -> {}", fs::read_link(&path).unwrap().display()),
                () => format!("{name} {mode:o} {}", fs::read_to_string(&path).unwrap()),
            });
            if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) async fn stat_tells_kinds(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let script = "\
cd /root; printf 12345 > file; chmod 4751 file; touch -d @86400.5 file; mkdir -m 1770 folder; mkfifo pipe
ln -s '/no/where' link; touch -d 1950-01-01T00:00:00Z pipe";
    text(&*sandbox, script).await;
    let file = sandbox.stat("/root/file").await.unwrap();
    assert_eq!((file.kind, file.size, file.mode), (FileKind::File, 5, 0o4751));
    assert_eq!(file.modified, UNIX_EPOCH + Duration::from_millis(86_400_500));
    let folder = sandbox.stat("/root/folder").await.unwrap();
    assert_eq!((folder.kind, folder.mode), (FileKind::Folder, 0o1770));
    let link = sandbox.stat("/root/link").await.unwrap();
    assert_eq!(link.kind, FileKind::Link(b"/no/where".to_vec()));
    let pipe = sandbox.stat("/root/pipe").await.unwrap();
    assert!(pipe.kind == FileKind::Other && pipe.modified < UNIX_EPOCH);
    assert_eq!(sandbox.stat("/dev/null").await.unwrap().kind, FileKind::Other);
}

pub(crate) async fn stat_of_nothing_is_an_error(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    assert_eq!(file_error(sandbox.stat("/root/none").await).1, Some(libc::ENOENT));
    assert_eq!(file_error(sandbox.stat("/etc/passwd/x").await).1, Some(libc::ENOTDIR));
}

pub(crate) async fn folders_are_listed_by_name(subject: &Subject) {
    let sandbox = subject.with(|spec| spec.image.config.workdir = "/work".into()).await;
    text(&*sandbox, "cd /work; mkdir b; touch a $'\\xff\\n odd'; ln -s x c; echo 123 > .hidden").await;
    let entries = sandbox.list(".").await.unwrap();
    let names: Vec<&[u8]> = entries.iter().map(|entry| entry.name.as_slice()).collect();
    assert_eq!(names, [b".hidden".as_slice(), b"a", b"b", b"c", b"\xff\n odd"]);
    assert_eq!(entries[0].stat.size, 4);
    assert_eq!(entries[2].stat.kind, FileKind::Folder);
    assert_eq!(entries[3].stat.kind, FileKind::Link(b"x".to_vec()));
    assert!(sandbox.list("/work/b").await.unwrap().is_empty());
}

pub(crate) async fn listing_what_is_no_folder_is_an_error(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    assert_eq!(file_error(sandbox.list("/etc/passwd").await).1, Some(libc::ENOTDIR));
    assert_eq!(file_error(sandbox.list("/none").await).1, Some(libc::ENOENT));
}

pub(crate) async fn large_folders_are_listed_up_to_a_limit(subject: &Subject) {
    let many = if subject.can(Ability::ManyFiles) { "/tmp/many" } else { "/dev/shm/many" };
    let sandbox = subject.sandbox().await;
    text(
        &*sandbox,
        &format!("mkdir {many}; cd {many}; seq -f 'a-name-that-is-rather-long-%g' 30000 | xargs touch"),
    )
    .await;
    assert_eq!(sandbox.list(many).await.unwrap().len(), 30_000);
    text(&*sandbox, &format!("cd {many}; seq 170001 | xargs touch")).await;
    let message = file_error(sandbox.list(many).await).0;
    assert!(message.contains("more than 200000 entries"), "{message}");
}

pub(crate) async fn a_tree_goes_in(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let from = folder();
    fs::create_dir_all(from.path().join("a/b")).unwrap();
    fs::write(from.path().join("a/b/script"), "#!/bin/sh\necho ran").unwrap();
    fs::set_permissions(from.path().join("a/b/script"), Permissions::from_mode(0o751)).unwrap();
    fs::set_permissions(from.path().join("a"), Permissions::from_mode(0o555)).unwrap();
    symlink("/etc/passwd", from.path().join("link")).unwrap();
    fs::write(from.path().join("large"), vec![b'x'; 3_000_000]).unwrap();
    fs::write(from.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    sandbox.upload(from.path(), "/opt/new/place").await.unwrap();
    fs::set_permissions(from.path().join("a"), Permissions::from_mode(0o755)).unwrap();
    let script = "\
cd /opt/new/place; a/b/script; stat -c '%a %U' a a/b/script; readlink link; wc -c < large; ls | wc -l";
    assert_eq!(text(&*sandbox, script).await, "ran\n555 root\n751 root\n/etc/passwd\n3000000\n4\n");
}

pub(crate) async fn an_upload_merges(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(
        &*sandbox,
        "mkdir -p /work/a /other; echo old | tee /work/a/kept /work/a/changed; ln -s /other /work/b",
    )
    .await;
    let from = folder();
    fs::create_dir_all(from.path().join("a")).unwrap();
    fs::create_dir_all(from.path().join("b")).unwrap();
    fs::write(from.path().join("a/changed"), "new\n").unwrap();
    fs::write(from.path().join("b/file"), "b\n").unwrap();
    sandbox.upload(from.path(), "/work").await.unwrap();
    // The link gave way to the folder, and was not followed.
    let script =
        "cat /work/a/kept /work/a/changed /work/b/file; test -L /work/b || echo folder; ls -A /other";
    assert_eq!(text(&*sandbox, script).await, "old\nnew\nb\nfolder\n");
}

pub(crate) async fn an_upload_follows_no_link_in_the_target(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(
        &*sandbox,
        "mkdir /work; echo kept > /root/victim; ln -s /root/victim /work/file; ln -s /root /work/dir",
    )
    .await;
    let from = folder();
    fs::write(from.path().join("file"), "new").unwrap();
    fs::create_dir(from.path().join("dir")).unwrap();
    fs::write(from.path().join("dir/victim"), "new").unwrap();
    sandbox.upload(from.path(), "/work").await.unwrap();
    assert_eq!(text(&*sandbox, "cat /root/victim /work/file /work/dir/victim").await, "kept\nnewnew");
}

pub(crate) async fn uploads_that_cannot_be_are_errors(subject: &Subject) {
    let sandbox = subject.with(|spec| spec.limits.disk_bytes = 8 << 20).await;
    let from = folder();
    assert_eq!(file_error(sandbox.upload(&from.path().join("none"), "/x").await).1, Some(libc::ENOENT));
    fs::write(from.path().join("name"), vec![1; 16 << 20]).unwrap();
    let limited = if subject.enforces("disk") { "/work" } else { "/dev/shm/work" };
    assert_eq!(file_error(sandbox.upload(from.path(), limited).await).1, Some(libc::ENOSPC));
    fs::write(from.path().join("name"), "").unwrap();
    let read_only = if subject.shows_the_host() { "/usr" } else { "/sys" };
    assert_eq!(file_error(sandbox.upload(from.path(), read_only).await).1, Some(libc::EROFS));
    assert_eq!(file_error(sandbox.upload(from.path(), "/etc/passwd").await).1, Some(libc::EEXIST));
    text(&*sandbox, "mkdir -p /there/name").await;
    assert_eq!(file_error(sandbox.upload(from.path(), "/there").await).1, Some(libc::EISDIR));
    assert_eq!(text(&*sandbox, "echo still alive").await, "still alive\n");
}

fn archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (kind, path, mode, content) in [
        (tar::EntryType::Directory, "a", 0o755, ""),
        (tar::EntryType::Regular, "a/file", 0o751, "new\n"),
        (tar::EntryType::Symlink, "link", 0o777, ""),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        if kind == tar::EntryType::Symlink {
            header.set_link_name("x").unwrap();
        }
        archive.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

pub(crate) async fn an_archive_is_unpacked(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let archive = archive();
    let script = "\
mkdir /work /other; ln -s /other /work/a; echo kept > /other/file; echo old > /work/link";
    text(&*sandbox, script).await;
    sandbox.unpack(&archive, "/work").await.unwrap();
    // The link to a folder gave way to the folder, and was not followed.
    let script = "cd /work; test -L a || cat a/file; stat -c %a a/file; readlink link; cat /other/file";
    assert_eq!(text(&*sandbox, script).await, "new\n751\nx\nkept\n");
    text(&*sandbox, "rm /work/link; mkdir /work/link").await;
    assert_eq!(file_error(sandbox.unpack(&archive, "/work").await).1, Some(libc::EISDIR));
    file_error(sandbox.unpack(&archive[..700], "/other").await);
    sandbox.unpack(&archive, "/new/place").await.unwrap();
    assert_eq!(text(&*sandbox, "cat /new/place/a/file").await, "new\n");
}

pub(crate) async fn a_tree_comes_out(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let script = "\
mkdir -p /work/a/b; cd /work; echo -n x > a/b/file; chmod 640 a/b/file; mkdir -m 700 empty; ln -s a/b/file link
ln a/b/file second";
    text(&*sandbox, script).await;
    let expected = ["a/ 755", "a/b/ 755", "a/b/file 640 x", "empty/ 700", "link -> a/b/file", "second 640 x"];
    assert_eq!(downloaded(&*sandbox, "/work").await, expected);
}

pub(crate) async fn what_is_dangerous_stays_inside(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let script = "\
mkdir /work; cd /work; mkfifo pipe; printf x > suid; chmod 6755 suid; mkdir closed; printf y > closed/y
chmod 2000 closed; ln -s / root; ln -s ../../../../etc up; printf w > .wh.file; printf z > '..x'
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")' || true";
    text(&*sandbox, script).await;
    // Inside, root may not enter it either: it has no capability to.
    let closed = file_error(download(&*sandbox, "/work", TreeLimits::default()).await.1);
    assert_eq!(closed.1, Some(libc::EACCES), "{closed:?}");
    text(&*sandbox, "chmod 2500 /work/closed").await;
    let expected =
        ["..x 644 z", ".wh.file 644 w", "closed/ 700", "closed/y 644 y", "root -> /", "suid 755 x"];
    let found = downloaded(&*sandbox, "/work").await;
    assert_eq!(found, [&expected[..], &["up -> ../../../../etc"]].concat());
}

pub(crate) async fn downloads_have_limits(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "mkdir /work; cd /work; head -c 1000 /dev/zero | tee a > b; truncate -s 1T /tmp/huge")
        .await;
    let limits = TreeLimits { bytes: 2000, entries: 2 };
    download(&*sandbox, "/work", limits).await.1.unwrap();
    for (limits, said) in [
        (TreeLimits { bytes: 1999, ..limits }, "larger than 1999 bytes"),
        (TreeLimits { entries: 1, ..limits }, "more than 1 entries"),
    ] {
        let (home, done) = download(&*sandbox, "/work", limits).await;
        assert!(file_error(done).0.contains(said));
        assert!(!home.path().join("new/folder").exists(), "nothing half done is left");
    }
    let huge = download(&*sandbox, "/tmp", TreeLimits::default()).await.1;
    assert!(file_error(huge).0.contains("larger than"));
}

pub(crate) async fn downloads_that_cannot_be_are_errors(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let limits = TreeLimits::default();
    assert_eq!(file_error(download(&*sandbox, "/none", limits).await.1).1, Some(libc::ENOENT));
    assert_eq!(file_error(download(&*sandbox, "/etc/passwd", limits).await.1).1, Some(libc::ENOTDIR));
    let there = folder();
    assert_eq!(file_error(sandbox.download("/etc", there.path(), limits).await).1, Some(libc::EEXIST));
    assert_eq!(fs::read_dir(there.path()).unwrap().count(), 0);
}

pub(crate) async fn a_tree_makes_a_round_trip(subject: &Subject) {
    let (one, other) = (subject.sandbox().await, subject.sandbox().await);
    let script =
        "mkdir /work; cd /work; for i in $(seq 300); do mkdir -p $((i % 7)); echo $i > $((i % 7))/$i; done";
    text(&*one, script).await;
    let (home, done) = download(&*one, "/work", TreeLimits::default()).await;
    done.unwrap();
    other.upload(&home.path().join("new/folder"), "/work").await.unwrap();
    let sum = "cd /work; find . -printf '%p %m %T@\\n' | grep -v '/$' | sort | sed 's/\\..*//' | md5sum; grep -r . . | sort | md5sum";
    assert_eq!(text(&*one, sum).await, text(&*other, sum).await);
}

pub(crate) async fn stopped_helpers_hold_nobody_up(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "mkdir /work; head -c 3000000 /dev/zero > /work/file").await;
    // It spares itself alone, so a shell that started it might never come to its end.
    let stopper = ExecRequest::shell("while :; do kill -STOP -1; done").within(2 * PATIENCE);
    let stopper = sandbox.exec(&stopper);
    let home = folder();
    let served = async {
        tokio::time::sleep(ATTACK_HEAD_START).await;
        let stat = sandbox.stat("/work/file").await;
        let list = sandbox.list("/work").await;
        let download = sandbox.download("/work", &home.path().join("out"), TreeLimits::default()).await;
        let upload = sandbox.upload(home.path(), "/other").await;
        [stat.err(), list.err(), download.err(), upload.err()]
    };
    // Whether they are served depends on who is faster; that they end does not.
    let errors = tokio::select! {
        errors = tokio::time::timeout(PATIENCE, served) => errors.expect("everything was answered"),
        ended = stopper => panic!("the attack ended: {:?}", ended.map(|output| output.status)),
    };
    for error in errors.into_iter().flatten() {
        assert!(matches!(error, SandboxError::File { .. }), "{error:?}");
    }
    sandbox.destroy().await.unwrap();
}

pub(crate) async fn killed_helpers_hold_nobody_up(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "mkdir /work; for i in $(seq 2000); do echo $i > /work/$i; done").await;
    // It spares nobody but itself and process 1.
    let request = "(setsid bash -c 'while :; do kill -KILL -1; done' > /dev/null 2>&1 &) ; true";
    let _ = sh(&*sandbox, request).await;
    for round in 0..5 {
        let (home, done) =
            tokio::time::timeout(PATIENCE, download(&*sandbox, "/work", TreeLimits::default()))
                .await
                .expect("it ends");
        match done {
            Ok(()) => assert_eq!(fs::read_dir(home.path().join("new/folder")).unwrap().count(), 2000),
            Err(SandboxError::File { .. }) => assert!(!home.path().join("new/folder").exists(), "{round}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    sandbox.destroy().await.unwrap();
}
