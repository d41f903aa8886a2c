//! What the program says of the machine.

use crate::support::{Place, Ran};

#[test]
fn doctor_reports_every_check() {
    let ran = Place::new().run(&["doctor", "--format", "json"]);
    let checks: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    for name in ["kernel", "user namespaces", "overlayfs", "sandbox", "git", "python3", "disk"] {
        assert!(checks.iter().any(|check| check["check"] == name), "{name} is not checked: {}", ran.stdout);
    }
    let failed = checks.iter().filter(|check| check["level"] == "fail");
    assert_eq!(ran.code, Some(i32::from(failed.count() > 0)), "{}", ran.stderr);
    for check in checks.iter().filter(|check| check["level"] == "fail") {
        assert!(check["fix"].is_string(), "a failed check says how to mend it: {check}");
    }
}

#[test]
fn a_container_daemon_that_is_not_there_keeps_nothing_from_being_cleaned() {
    let place = Place::new();
    let ran = Ran::new(
        place.swegym(&["doctor", "--clean"]).env("DOCKER_HOST", "unix:///nowhere/socket").output().unwrap(),
    );
    assert!(ran.stderr.contains("removed what killed processes left: "), "{ran:?}");
    assert!(
        ran.stderr.contains("the container daemon at `unix:///nowhere/socket` was left alone"),
        "{ran:?}"
    );
}

#[test]
fn help_names_every_command() {
    let ran = Place::new().run(&["--help"]);
    for command in ["quickstart", "rollout", "eval", "images", "doctor"] {
        assert!(ran.stdout.contains(command), "{command} is missing: {}", ran.stdout);
    }
}
