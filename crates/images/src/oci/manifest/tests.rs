use serde_json::json;

use super::*;

fn descriptor(media_type: &str) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": Digest::of(b"").to_string(), "size": 0})
}

fn read(value: &serde_json::Value, media_type: Option<&str>) -> Result<AnyManifest, OciError> {
    read_manifest(value.to_string().as_bytes(), media_type)
}

#[test]
fn both_families_of_media_types_are_read() {
    for (manifest, config, layer) in [
        (OCI_MANIFEST, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd"),
        (OCI_MANIFEST, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar"),
        (DOCKER_MANIFEST, DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ] {
        let value = json!({"schemaVersion": 2, "config": descriptor(config), "layers": [descriptor(layer)]});
        assert!(matches!(read(&value, Some(manifest)).unwrap(), AnyManifest::Image(_)), "{layer}");
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let layer = descriptor(OCI_LAYER);
    let encrypted = descriptor("application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
    let foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let chart = descriptor("application/vnd.cncf.helm.config.v1+json");
    let many = vec![layer.clone(); MAX_LAYERS + 1];
    let config = descriptor(OCI_CONFIG);
    for value in [
        json!({"schemaVersion": 1, "fsLayers": []}),
        json!({"schemaVersion": 2, "config": chart, "layers": [layer]}),
        json!({"schemaVersion": 2, "config": config, "layers": [encrypted]}),
        json!({"schemaVersion": 2, "config": config, "layers": [foreign]}),
        json!({"schemaVersion": 2, "config": config, "layers": many}),
        json!({"schemaVersion": 2, "config": config, "layers": [{"mediaType": OCI_LAYER, "digest": "sha256:../x", "size": 1}]}),
        json!({"schemaVersion": 2, "config": config, "layers": [{"mediaType": OCI_LAYER, "digest": Digest::of(b"").to_string(), "size": -1}]}),
        json!([]),
    ] {
        assert!(read(&value, None).is_err(), "{value}");
    }
}

#[test]
fn the_platform_decides_in_an_index() {
    let entry = |os: &str, architecture: &str, variant: Option<&str>, size: u64| {
        let mut value = descriptor(OCI_MANIFEST);
        value["size"] = size.into();
        value["platform"] = json!({"os": os, "architecture": architecture});
        if let Some(variant) = variant {
            value["platform"]["variant"] = variant.into();
        }
        value
    };
    let index = json!({"schemaVersion": 2, "manifests": [
        entry("unknown", "unknown", None, 1), entry("windows", "amd64", None, 2), entry("linux", "arm64", Some("v8"), 3),
        entry("linux", "arm", Some("v6"), 4), entry("linux", "arm", Some("v7"), 5), entry("linux", "amd64", None, 6),
    ]});
    let AnyManifest::Index(index) = read(&index, None).unwrap() else { panic!("an index") };
    let choose = |platform: &str| index.choose(&platform.parse().unwrap()).map(|entry| entry.size);
    assert_eq!(choose("linux/amd64").unwrap(), 6);
    assert_eq!(choose("linux/arm64").unwrap(), 3);
    assert_eq!(choose("linux/arm/v7").unwrap(), 5);
    let error = choose("linux/riscv64").unwrap_err().to_string();
    assert!(error.contains("`linux/arm64/v8`") && !error.contains("unknown"), "{error}");
}
