//! Disks that are full, have no room for more files, or are read-only: small ones in a mount namespace of their own.

use std::process::{Command, Stdio};

use serde_json::json;
use swegym_images::oci::Digest;

use crate::support::{Place, Ran};

/// Runs a script with a disk of its own at `disk`, where the program keeps its cache.
fn on_a_disk(place: &Place, options: &str, script: &str) -> Option<Ran> {
    let disk = place.path("disk");
    std::fs::create_dir_all(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o {options} none {}", disk.display());
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "bash", "-c", script]);
        command.current_dir(place.path("")).env("SWEGYM_CACHE", &disk).env("HOME", place.path(""));
        command.env("swegym", env!("CARGO_BIN_EXE_swegym")).stdin(Stdio::null());
        command
    };
    if !unshare(&mount).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no disk can be mounted here in a user namespace");
        return None;
    }
    Some(Ran::new(unshare(&format!("{mount} && {script}")).output().unwrap()))
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// What `docker save` writes of an image with these layers.
fn saved(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config =
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
    let files = [("config.json", config), ("manifest.json", manifest)];
    let files = files.map(|(name, value)| (name.to_owned(), value.to_string().into_bytes()));
    archive(&[files.to_vec(), names.into_iter().zip(layers.iter().cloned()).collect()].concat())
}

const TELL: &str =
    "tell() { ls disk/store/layers | wc -l; ls disk/store/building disk/store/named | grep -c json; }";

#[test]
fn a_full_disk_leaves_whole_layers_and_an_import_goes_on() {
    let place = Place::new();
    let big: Vec<u8> = (0..3_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let layers = [archive(&[("small".to_owned(), b"x".to_vec())]), archive(&[("big".to_owned(), big)])];
    place.write("image.tar", saved("toy:1", &layers));
    let script = format!(
        "{TELL}; $swegym images import image.tar --platform linux/amd64; echo $?; tell; \
         mount -o remount,size=16m disk; $swegym images import image.tar --platform linux/amd64; tell; \
         $swegym images verify"
    );
    let Some(ran) = on_a_disk(&place, "size=4m", &script) else { return };
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[..3], ["1", "1", "0"], "the whole layer and no image: {ran:?}");
    assert!(lines[3].starts_with("docker.io/library/toy:1 sha256:"), "{ran:?}");
    assert_eq!(lines[4..6], ["2", "1"], "{ran:?}");
    assert!(lines[6].starts_with("2 layers") && lines[6].contains("0 faults"), "{ran:?}");
    assert!(ran.stderr.contains("write `big`: No space left on device"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: make room where that lies"), "{}", ran.stderr);
}

#[test]
fn garbage_is_collected_from_a_disk_that_takes_no_more_files() {
    let place = Place::new();
    let files: Vec<(String, Vec<u8>)> = (0..50).map(|number| (format!("f{number}"), vec![number])).collect();
    place.write("image.tar", saved("toy:1", &[archive(&files)]));
    let script = format!(
        "{TELL}; $swegym images import image.tar --platform linux/amd64 > imported; \
         i=0; while : > disk/$((i++)); do :; done 2> /dev/null; \
         $swegym images import image.tar --name other:1 --platform linux/amd64; echo $?; \
         $swegym images gc --dry-run --budget 0; tell; $swegym images gc --budget 0; tell; rm -f disk/[0-9]*; \
         $swegym images import image.tar --platform linux/amd64 | cut -d' ' -f1; tell"
    );
    let Some(ran) = on_a_disk(&place, "size=64m,nr_inodes=300", &script) else { return };
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "1", "{ran:?}");
    assert!(lines[1].starts_with("would remove 1 layers"), "{ran:?}");
    assert_eq!(lines[2], "1", "nothing was: {ran:?}");
    assert!(lines[4].starts_with("removed 1 layers"), "{ran:?}");
    assert_eq!(lines[5], "0", "{ran:?}");
    assert_eq!(lines[7..], ["docker.io/library/toy:1", "1", "1"], "{ran:?}");
    assert!(ran.stderr.contains("hint: make room where that lies"), "{}", ran.stderr);
}

#[test]
fn a_read_only_store_is_looked_at_and_not_written_to() {
    let place = Place::new();
    place.write("image.tar", saved("toy:1", &[archive(&[("f".to_owned(), vec![1])])]));
    let script = "$swegym images import image.tar --platform linux/amd64 > imported; mount -o remount,ro disk; \
         for look in 'list --format json' verify du 'gc --dry-run --budget 0'; do \
             $swegym images $look > looked || echo $look fails; done; \
         cat looked; $swegym images import image.tar --name other:1 --platform linux/amd64; echo $?; \
         $swegym images gc; echo $?";
    let Some(ran) = on_a_disk(&place, "size=64m", script) else { return };
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("would remove 1 layers"), "{ran:?}");
    assert_eq!(lines[1], "1", "{ran:?}");
    assert!(
        ran.stderr.contains("Read-only file system") && ran.stderr.contains("hint: set SWEGYM_CACHE"),
        "{ran:?}"
    );
}

#[test]
fn a_full_disk_leaves_no_half_record_and_a_run_goes_on() {
    let place = Place::new();
    let noise = |seed: u64| {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from(state >> 33 & 63).unwrap())
        };
        (0..60_000).map(next).collect::<String>()
    };
    let row = |number: u64| {
        let messages =
            json!([{"role": "user", "content": "Mend it."}, {"role": "assistant", "content": noise(number)}]);
        let row = json!({
            "instance_id": format!("o__n-{number}"), "test_result": {"git_patch": ""}, "history": null,
            "metadata": {"agent_class": "CodeActAgent", "llm_config": {"model": "m"}},
            "raw_completions": {"messages": messages, "tools": null}, "report": {"resolved": false},
        });
        format!("{row}\n")
    };
    place.write("output.jsonl", (1..=20).map(row).collect::<String>());
    let script = "$swegym runs import output.jsonl -o disk/run; echo $?; \
         count() { $swegym runs show disk/run --format json | wc -l; find disk/run -name rollout.json | wc -l; }; count; \
         mount -o remount,size=16m disk; $swegym runs import output.jsonl -o disk/run | cut -f2; count; \
         $swegym runs export disk/run --format openhands | head -n 1 | cut -f2";
    let Some(ran) = on_a_disk(&place, "size=600k", script) else { return };
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((lines[0], lines[1] == lines[2], lines[1] == "0"), ("1", true, false), "{ran:?}");
    assert_eq!(lines[3..], ["20", "20", "20", "20"], "{ran:?}");
    assert!(ran.stderr.contains("trajectory.json.zst`: No space left on device"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: make room on the disk"), "{}", ran.stderr);
}
