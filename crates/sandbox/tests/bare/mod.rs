//! Images that hold no part of what our own program needs: no shell, and no C library or another one than this
//! machine's.

use std::fs;
use std::path::Path;
use std::process::Command;

use swegym_sandbox::{ExecRequest, Sandbox, SandboxError, SessionSpec, TreeLimits};

/// The loader of musl, which is its C library, too, and a program by itself (Debian: `apt install musl`).
pub(crate) const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// A busybox that needs no libraries.
fn static_busybox() -> Option<&'static str> {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|path| Path::new(path).exists())?;
    let libraries = Command::new("ldd").arg(busybox).output().ok()?;
    (!libraries.status.success()).then_some(busybox)
}

/// Fills the folder of such an image: with a static busybox and with musl, where they are installed.
pub(crate) fn fill(folder: &Path) {
    if let Some(busybox) = static_busybox() {
        fs::copy(busybox, folder.join("busybox")).unwrap();
    }
    if Path::new(MUSL).exists() {
        fs::create_dir(folder.join("lib")).unwrap();
        fs::copy(MUSL, folder.join(&MUSL[1..])).unwrap();
    }
}

/// Whether everything works that needs no program of the image, and programs of the image run as they are.
pub(crate) async fn check(sandbox: &dyn Sandbox) {
    sandbox.write_file("/a/file", b"content").await.unwrap();
    assert_eq!(sandbox.read_file("/a/file", 100).await.unwrap(), b"content");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    sandbox.download("/a", &copy, TreeLimits::default()).await.unwrap();
    sandbox.upload(&copy, "/b").await.unwrap();
    assert_eq!(sandbox.list("/b").await.unwrap().len(), 1);
    let missing = sandbox.exec(&ExecRequest::new(["true"])).await;
    assert!(matches!(missing, Err(SandboxError::Start { .. })), "{missing:?}");
    let no_bash = sandbox.open_session(&SessionSpec::default()).await.map(drop);
    assert!(matches!(no_bash, Err(SandboxError::Start { .. })), "{no_bash:?}");
    let has = async |path: &str| sandbox.stat(path).await.is_ok();
    if has("/busybox").await {
        let output = sandbox.exec(&ExecRequest::new(["/busybox", "ls", "/"])).await.unwrap();
        let listed = output.stdout.to_text();
        assert!(output.success() && listed.contains("busybox") && !listed.contains("usr"), "{listed}");
    } else {
        println!("skipped: no statically linked busybox to run in an empty image");
    }
    if has(MUSL).await {
        let said = sandbox.exec(&ExecRequest::new([MUSL, "--version"])).await.unwrap().stderr.to_text();
        assert!(said.starts_with("musl libc"), "{said}");
    } else {
        println!("skipped: no musl to run in an image without glibc");
    }
}
