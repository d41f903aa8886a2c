//! What is left when a sandbox is gone.

use std::fs;

use super::lab::Lab;
use crate::support::{detached_sleep, processes_with, traces_of};

#[tokio::test]
async fn nothing_is_left_behind() {
    let lab = Lab::new().await;
    let (home, state) = (lab.home.path().to_path_buf(), lab.home.path().join("state"));
    let mark = format!("{}.8", 8_000_000 + std::process::id());
    lab.shell(&detached_sleep(&mark)).await;
    assert_eq!(processes_with(&mark), 1, "the attempt was made");
    let owner = fs::read_dir(&state).unwrap().next().unwrap().unwrap().file_name();
    let groups = || {
        let traces = traces_of(std::process::id(), &state).into_iter();
        traces.filter(|path| path.ends_with(&owner) && path.join("0").exists()).count()
    };
    let before = groups();
    lab.end().await;

    assert_eq!(processes_with(&mark), 0);
    println!("attempt leave a process behind: refused (killed with the sandbox)");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(home.to_str().unwrap()), "{mounts}");
    println!("attempt leave a mount behind: refused (gone with the sandbox)");
    assert!(!home.exists(), "the scratch of the owner went with it");
    println!("attempt leave files behind: refused (gone with the owner)");
    assert_eq!(groups(), 0);
    println!("attempt leave a cgroup behind: refused ({before} before, none now)");
}
