//! Images of other tools: taken in, run in a sandbox, written, and taken in again.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use swegym_images::LayerStore;
use swegym_images::oci::{Digest, NamedImages, Platform};
use swegym_sandbox::{
    Backend, ExecRequest, ExecStatus, Limits, LocalBackend, LocalConfig, Network, SandboxSpec, Upper,
};

use crate::support::Place;

/// A static one: the images of these tests have nothing else to run.
const BUSYBOX: &str = "/bin/busybox";
const LIST: &str = "echo $MADE $(pwd) $(id -u); cd /; echo d/* e/* f/* gone; cat d/c f/now";

fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// An OCI layout with an image of two layers, the upper one hiding some of the lower one.
fn write_layout(folder: &Path, busybox: &[u8]) {
    let layers = [
        layer(&[
            ("bin/sh", busybox),
            ("d/a", b"1"),
            ("d/b", b"2"),
            ("e/x", b"3"),
            ("e/y", b"4"),
            ("f", b"5"),
            ("gone", b"6"),
        ]),
        layer(&[
            ("d/.wh..wh..opq", b""),
            ("d/c", b"new "),
            ("e/.wh.x", b""),
            (".wh.f", b""),
            ("f/now", b"folder"),
            (".wh.gone", b""),
        ]),
    ];
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({"os": "linux", "architecture": Platform::of_this_machine().architecture,
        "config": {"Env": ["MADE=elsewhere", "PATH=/bin"], "WorkingDir": "/work"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let layers: Vec<Value> =
        layers.iter().map(|layer| put(layer, "application/vnd.oci.image.layer.v1.tar")).collect();
    let manifest = json!({"schemaVersion": 2, "layers": layers,
        "config": put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json")});
    let manifest = put(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())
        .unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
}

/// What a script prints in a sandbox made from an image by name.
async fn run_in(place: &Place, name: &str, script: &str) -> String {
    let named = NamedImages::open(place.path("cache/store")).unwrap();
    let store = LayerStore::open(place.path("cache/store"), swegym_sandbox::layer_owner()).unwrap();
    let image = named.get(&name.parse().unwrap()).unwrap().image(&store).unwrap();
    let config = LocalConfig {
        guest_program: env!("CARGO_BIN_EXE_swegym").into(),
        guest_args: vec!["__sandbox-launcher".to_owned()],
        state_dir: place.path("cache/sandboxes"),
    };
    let backend = LocalBackend::start(&config).await.unwrap();
    let spec = SandboxSpec {
        image,
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    };
    let sandbox = backend.create(&spec).await.unwrap();
    let request = ExecRequest::new(["/bin/sh", "-c", script].map(str::to_owned)).merged();
    let output = sandbox.exec(&request).await.unwrap();
    sandbox.destroy().await.unwrap();
    assert_eq!(output.status, ExecStatus::Exited(0), "{}", output.stdout.to_text());
    output.stdout.to_text().to_string()
}

#[tokio::test]
async fn an_image_of_another_tool_runs_in_a_sandbox_and_goes_back() {
    let Ok(busybox) = fs::read(BUSYBOX) else {
        println!("skipped: there is no {BUSYBOX} (Debian: `apt install busybox-static`)");
        return;
    };
    let place = Place::new();
    write_layout(&place.path("layout"), &busybox);
    let ran = place.run(&["images", "import", "layout", "--name", "toolbox"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("docker.io/library/toolbox:latest sha256:"), "{}", ran.stdout);
    let expected = "elsewhere /work 0\nd/c e/y f/now gone\nnew folder";
    assert_eq!(run_in(&place, "toolbox", LIST).await, expected);
    for (form, file) in [("docker", "out.tar"), ("oci", "out.oci.tar"), ("folder", "out")] {
        let ran = place.run(&["images", "export", "toolbox", file, "--as", form]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let elsewhere = Place::new();
        let archive = place.path(file);
        let ran = elsewhere.run(&["images", "import", archive.to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(run_in(&elsewhere, "toolbox:latest", LIST).await, expected, "{form}");
    }
    let ran = place.run(&["images", "export", "toolbox", "out", "--as", "folder"]);
    assert_eq!((ran.code, ran.stderr.contains("not empty")), (Some(1), true), "{}", ran.stderr);
}

#[test]
fn wrong_names_are_explained() {
    let place = Place::new();
    let ran = place.run(&["images", "export", "nothing:1", "x.tar"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("`docker.io/library/nothing:1`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: `swegym images pull NAME` gets it"), "{}", ran.stderr);
    for arguments in
        [["images", "pull", "Upper/Case"], ["images", "push", "a/../b"], ["images", "pull", "x:"]]
    {
        let ran = place.run(&arguments);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    }
    let ran = place.run(&["images", "pull", "x", "--mirror", "docker.io"]);
    assert_eq!((ran.code, ran.stderr.contains("REGISTRY=URL")), (Some(2), true), "{}", ran.stderr);
    let ran = place.run(&["images", "import", "none.tar"]);
    assert_eq!((ran.code, ran.stderr.contains("none.tar")), (Some(1), true), "{}", ran.stderr);
}
