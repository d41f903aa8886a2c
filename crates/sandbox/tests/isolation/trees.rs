//! Tricks with the trees that are copied in and out.

use std::fs;
use std::time::Duration;

use swegym_sandbox::{ExecRequest, TreeLimits};

use super::lab::Lab;

/// A tree whose links all lead to the host's secret.
const LINKS: &str = "\
mkdir -p /work/sub; cd /work
ln -s {secret} file; ln -s {host} folder; ln -s / root; ln -s ../../../../../../..{host} up; ln -s {host} sub/deep
ln -s /proc/1/root proc; ln -s /proc/self/fd/3 fd";

#[tokio::test]
async fn links_that_come_out_are_inert() {
    let mut lab = Lab::new().await;
    lab.shell(LINKS).await;
    let out = lab.home.path().join("out");
    lab.sandbox.download("/work", &out, TreeLimits::default()).await.unwrap();
    let links = fs::read_dir(&out).unwrap().flatten().filter(|entry| entry.path().is_symlink()).count();
    lab.judge(
        "links out of a downloaded tree",
        match links {
            6 => Ok("six links arrived as links".to_owned()),
            other => Err(format!("{other} links")),
        },
    );
    lab.end().await;
}

#[tokio::test]
async fn uploads_go_where_they_are_sent() {
    let mut lab = Lab::new().await;
    lab.shell(LINKS).await;
    let from = lab.home.path().join("from");
    for path in ["file", "folder/secret", "sub/deep/secret", "root/x", "up/secret"] {
        fs::create_dir_all(from.join(path).parent().unwrap()).unwrap();
        fs::write(from.join(path), "uploaded").unwrap();
    }
    lab.sandbox.upload(&from, "/work").await.unwrap();
    let said =
        lab.shell("cd /work; cat file folder/secret sub/deep/secret root/x up/secret; ls -d {host}").await;
    let inside = said.starts_with(&"uploaded".repeat(5)) && said.contains("No such file");
    lab.judge("links in the way of an upload", if inside { Ok(said) } else { Err(said) });
    lab.end().await;
}

/// While the owner copies, the sandbox swaps a folder for a link to the host's, again and again.
#[tokio::test]
async fn races_with_links_are_lost() {
    let mut lab = Lab::new().await;
    let script = "\
mkdir -p /work/a /work/b; echo inside | tee /work/a/secret > /work/b/secret; cd /work
while :; do mv a c; ln -s {host} a; rm a; mv c a; done";
    let host = lab.host();
    let script = script.replace("{host}", host.to_str().unwrap());
    let swapping = ExecRequest::shell(script).within(Duration::from_secs(600));
    let from = lab.home.path().join("from");
    fs::create_dir_all(from.join("a")).unwrap();
    fs::write(from.join("a/secret"), "overwritten").unwrap();
    let mut read: Vec<String> = Vec::new();
    let copying = async {
        for round in 0..40 {
            let out = lab.home.path().join(format!("out-{round}"));
            // Files come and go under its hands: it may fail.
            let _ = lab.sandbox.download("/work", &out, TreeLimits::default()).await;
            let found = fs::read_dir(&out).into_iter().flatten().flatten();
            let real = found.filter(|entry| entry.file_type().unwrap().is_dir());
            read.extend(real.filter_map(|entry| fs::read_to_string(entry.path().join("secret")).ok()));
            let _ = lab.sandbox.upload(&from, "/work").await;
        }
    };
    tokio::select! {
        output = lab.sandbox.exec(&swapping) => panic!("{output:?}"),
        () = copying => {}
    }
    let outside: Vec<&String> = read
        .iter()
        .filter(|text| !["inside\n", "overwritten"].iter().any(|whole| whole.starts_with(text.as_str())))
        .collect();
    let outcome = if outside.is_empty() && !read.is_empty() {
        Ok(format!("{} files read, all from inside", read.len()))
    } else {
        Err(format!("{outside:?}"))
    };
    lab.judge("swap folders for links while trees are copied", outcome);
    lab.end().await;
}

#[tokio::test]
async fn trees_are_bounded() {
    let mut lab = Lab::new().await;
    lab.shell("mkdir /bomb /many; truncate -s 7E /bomb/huge; cd /many; seq 3000 | xargs touch").await;
    for (name, path, limits) in [
        ("a bomb of a file in a tree", "/bomb", TreeLimits::default()),
        ("a bomb of entries in a tree", "/many", TreeLimits { entries: 2999, ..TreeLimits::default() }),
    ] {
        let out = lab.home.path().join("out");
        let outcome = match lab.sandbox.download(path, &out, limits).await {
            Err(error) if !out.exists() => Ok(error.to_string()),
            other => Err(format!("{other:?}")),
        };
        lab.judge(name, outcome);
    }
    let deep = "cd /tmp; for i in $(seq 60); do mkdir $(printf 'd%.0s' {1..200}); cd d*; done; echo made";
    assert_eq!(lab.shell(deep).await, "made");
    let out = lab.home.path().join("deep");
    let outcome = match lab.sandbox.download("/tmp", &out, TreeLimits::default()).await {
        Err(error) if !out.exists() => Ok(error.to_string()),
        other => Err(format!("{other:?}")),
    };
    lab.judge("a tree deeper than any path", outcome);
    lab.end().await;
}
