//! Archives: written here and read elsewhere, and the other way round.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support;
use crate::support::trees::{Tree, has, merged, run, tree};
use crate::support::{Place, layer};
use serde_json::{Value, json};
use swegym_images::oci::{
    ArchiveForm, Compression, Digest, ExportOptions, NamedImage, OciError, Platform, PullOptions, Reference,
    export, import, write_archive,
};
use swegym_images::{Begin, HostBind, Image, ImageConfig, Layer, Recipe};

/// Layers that use everything that layers can: folders, modes, links of both kinds, whiteouts, opaque folders.
fn tar_layers() -> Vec<Vec<u8>> {
    let low = layer(&[
        ("d/a", "1"),
        ("d/b", "2"),
        ("e/x/y", "3"),
        ("keep/k", "4"),
        ("f", "5"),
        ("long/".repeat(30).as_str().trim_end_matches('/'), "6"),
    ]);
    let high = layer(&[
        ("d/.wh..wh..opq", ""),
        ("d/c", "7"),
        (".wh.e", ""),
        ("keep/.wh.k", ""),
        (".wh.f", ""),
        ("f/now-a-folder", "8"),
    ]);
    let top = layer(&[("e/again", "9"), (".wh.f", "")]);
    vec![low, high, top]
}

/// What the layers above come to.
const MERGED: [&str; 8] = ["d", "d/c", "e", "e/again", "keep", "long", "long/long", "long/long/long"];

/// Writes an OCI layout by hand.
fn write_layout(folder: &Path, layers: &[Vec<u8>]) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({"os": "linux", "architecture": Platform::of_this_machine().architecture,
        "config": {"Env": ["PATH=/bin", "A=b"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let forms = layers.iter().enumerate().map(|(number, layer)| match number % 2 {
        0 => put(layer, "application/vnd.oci.image.layer.v1.tar"),
        _ => put(&support::gzip(layer), "application/vnd.oci.image.layer.v1.tar+gzip"),
    });
    let forms: Vec<Value> = forms.collect();
    let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let manifest =
        json!({"schemaVersion": 2, "mediaType": support::MANIFEST, "config": config, "layers": forms});
    let mut entry = put(manifest.to_string().as_bytes(), support::MANIFEST);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "made"});
    fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

async fn take_in(place: &Place, path: &Path, name: Option<&str>) -> Result<Vec<NamedImage>, OciError> {
    let name: Option<Reference> = name.map(|name| name.parse().unwrap());
    import(path, name.as_ref(), place.destination(), &PullOptions::default()).await
}

async fn made(place: &Place) -> (PathBuf, NamedImage) {
    let layout = place.folder.path().join("layout");
    write_layout(&layout, &tar_layers());
    let images = take_in(place, &layout, Some("made:1")).await.unwrap();
    (layout, images.into_iter().next().unwrap())
}

fn pack(
    place: &Place,
    image: &NamedImage,
    form: ArchiveForm,
    compression: Compression,
    path: &Path,
) -> Digest {
    let options = ExportOptions { compression, with_host_base: false };
    let packed = export(image, &place.cache, options).unwrap();
    write_archive(&packed, &place.cache, &image.reference, form, path).unwrap();
    packed.release(&place.cache);
    packed.digest
}

#[tokio::test]
async fn layers_are_stacked_as_their_markers_say() {
    let place = Place::new();
    let (layout, image) = made(&place).await;
    let shown: Tree = merged(&image);
    let names: Vec<&str> =
        shown.keys().map(String::as_str).filter(|name| name.matches('/').count() < 3).collect();
    assert_eq!(names, MERGED);
    assert_eq!((place.blobs("partial"), place.blobs("sha256")), (0, 1), "no blob of a layer stays");
    if has("umoci") {
        let bundle = place.folder.path().join("bundle");
        let image = format!("{}:made", layout.display());
        run("umoci", &["unpack", "--rootless", "--image", &image, bundle.to_str().unwrap()]);
        assert_eq!(shown, tree(&bundle.join("rootfs")), "another tool sees the same");
    }
}

#[tokio::test]
async fn an_image_comes_back_from_every_form_of_archive() {
    let place = Place::new();
    let (_, image) = made(&place).await;
    for (form, compression) in [
        (ArchiveForm::OciLayout, Compression::Gzip),
        (ArchiveForm::OciArchive, Compression::Zstd),
        (ArchiveForm::OciArchive, Compression::None),
        (ArchiveForm::DockerArchive, Compression::None),
        (ArchiveForm::DockerArchive, Compression::Gzip),
    ] {
        let elsewhere = Place::new();
        let path = elsewhere.folder.path().join("archive");
        pack(&place, &image, form, compression, &path);
        let back = take_in(&elsewhere, &path, None).await.unwrap();
        assert_eq!(back.len(), 1, "{form:?}");
        assert_eq!((&back[0].reference, &back[0].config), (&image.reference, &image.config), "{form:?}");
        assert_eq!(merged(&back[0]), merged(&image), "{form:?} {compression:?}");
        assert_eq!(back[0].run.cmd, Some(vec!["sh".to_owned()]));
        if form == ArchiveForm::OciArchive && compression == Compression::None {
            let packed = elsewhere.folder.path().join("archive.gz");
            fs::write(&packed, support::gzip(&fs::read(&path).unwrap())).unwrap();
            assert_eq!(take_in(&elsewhere, &packed, Some("again")).await.unwrap()[0].layers, back[0].layers);
        }
    }
}

#[tokio::test]
async fn the_same_layers_give_the_same_digests() {
    let place = Place::new();
    let (_, image) = made(&place).await;
    let path = place.folder.path().join("archive");
    let first = pack(&place, &image, ArchiveForm::OciArchive, Compression::Gzip, &path);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(pack(&place, &image, ArchiveForm::OciArchive, Compression::Gzip, &path), first);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // Packed again after a way through an archive, each layer is what it was.
    let elsewhere = Place::new();
    let back = take_in(&elsewhere, &path, None).await.unwrap().remove(0);
    let again = elsewhere.folder.path().join("again");
    assert_eq!(pack(&elsewhere, &back, ArchiveForm::OciArchive, Compression::Gzip, &again), first);
}

#[tokio::test]
async fn other_tools_read_what_is_written() {
    let place = Place::new();
    let (_, image) = made(&place).await;
    let path = |name: &str| place.folder.path().join(name);
    if has("umoci") {
        pack(&place, &image, ArchiveForm::OciLayout, Compression::Gzip, &path("ours"));
        let (source, bundle) = (format!("{}:1", path("ours").display()), path("bundle"));
        run("umoci", &["unpack", "--rootless", "--image", &source, bundle.to_str().unwrap()]);
        assert_eq!(merged(&image), tree(&bundle.join("rootfs")));
    }
    if has("skopeo") {
        let digest = pack(&place, &image, ArchiveForm::OciArchive, Compression::Zstd, &path("ours.tar"));
        let source = format!("oci-archive:{}", path("ours.tar").display());
        let seen: Value = serde_json::from_str(&run("skopeo", &["inspect", &source])).unwrap();
        assert_eq!(seen["Digest"], digest.to_string());
        pack(&place, &image, ArchiveForm::DockerArchive, Compression::None, &path("docker.tar"));
        let (source, target) =
            (format!("docker-archive:{}", path("docker.tar").display()), path("theirs.tar"));
        run("skopeo", &["copy", &source, &format!("docker-archive:{}:theirs:2", target.display())]);
        let theirs = take_in(&Place::new(), &target, None).await.unwrap().remove(0);
        assert_eq!(theirs.reference.to_string(), "docker.io/library/theirs:2");
        assert_eq!(theirs.layers.len(), 3);
    }
}

/// A layer that was built here, as a sandbox leaves it: overlayfs's own marks, modes and links.
fn built(place: &Place) -> Layer {
    let recipe = Recipe::new("test", &"built").unwrap();
    let Begin::Build(build) = place.store.begin(&recipe).unwrap() else { panic!("a new layer") };
    let files = build.files();
    let path = |name: &str| files.join(name);
    fs::create_dir_all(path("hidden/below")).unwrap();
    fs::write(path("script"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(path("script"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(path("script"), path("zz-same")).unwrap();
    std::os::unix::fs::symlink("a//./b/", path("link")).unwrap();
    std::os::unix::fs::symlink("x".repeat(300), path("long-link")).unwrap();
    fs::write(path(&"n".repeat(200)), "long name").unwrap();
    xattr::set(path("script"), "user.note", b"left out").unwrap();
    let marked = xattr::set(path("hidden"), "trusted.overlay.opaque", b"y");
    marked.or_else(|_| xattr::set(path("hidden"), "user.overlay.opaque", b"y")).unwrap();
    xattr::set(path("hidden"), "user.overlay.origin", b"of this machine alone").unwrap();
    let whiteout = path("gone");
    nix::sys::stat::mknod(&whiteout, nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::empty(), 0)
        .unwrap();
    build.commit().unwrap()
}

#[tokio::test]
async fn what_was_built_here_survives_the_way() {
    let place = Place::new();
    let layer = built(&place);
    let image = Image { layers: vec![layer.clone()], ..Image::default() };
    let image = NamedImage::built("built".parse().unwrap(), &image);
    let path = place.folder.path().join("archive");
    pack(&place, &image, ArchiveForm::OciArchive, Compression::Gzip, &path);
    let elsewhere = Place::new();
    let back = take_in(&elsewhere, &path, None).await.unwrap().remove(0);
    let files = &back.layers[0].path;
    let about = |name: &str| fs::symlink_metadata(files.join(name)).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(about("script").ino(), about("zz-same").ino());
    assert_eq!(about("script").mode() & 0o7777, 0o755);
    assert_eq!(about("script").mtime(), fs::metadata(layer.path.join("script")).unwrap().mtime());
    assert_eq!(fs::read_link(files.join("link")).unwrap().to_str(), Some("a//./b/"));
    assert_eq!(fs::read_link(files.join("long-link")).unwrap().to_str().unwrap().len(), 300);
    assert_eq!(fs::read(files.join("n".repeat(200))).unwrap(), b"long name");
    assert_eq!(xattr::get(files.join("script"), "user.note").unwrap(), None);
    assert_eq!(xattr::get(files.join("hidden"), "user.overlay.origin").unwrap(), None);
    assert_eq!(merged(&back), merged(&image));
    assert_eq!(about("gone").rdev(), 0);
}

#[tokio::test]
async fn attributes_of_users_survive_the_way() {
    let place = Place::new();
    let recipe = Recipe::new("test", &"noted").unwrap();
    let Begin::Build(build) = place.store.begin(&recipe).unwrap() else { panic!("a new layer") };
    fs::create_dir(build.files().join("d")).unwrap();
    fs::write(build.files().join("d/f"), "content").unwrap();
    // Lengths of records with two and three digits, and what a line must not end at.
    let notes = [("d", vec![b'x'; 74]), ("d/f", b"a\nb=\xff".to_vec()), ("d", vec![b'x'; 73])];
    for (number, (path, note)) in notes.iter().enumerate() {
        xattr::set(build.files().join(path), format!("user.n{number}"), note).unwrap();
    }
    let layer = build.commit_as_made().unwrap();
    let image = NamedImage::built(
        "built".parse().unwrap(),
        &Image { layers: vec![layer.clone()], ..Image::default() },
    );
    let path = place.folder.path().join("archive");
    pack(&place, &image, ArchiveForm::OciArchive, Compression::None, &path);
    let elsewhere = Place::new();
    let back = take_in(&elsewhere, &path, None).await.unwrap().remove(0);
    for (number, (path, note)) in notes.iter().enumerate() {
        let found = xattr::get(back.layers[0].path.join(path), format!("user.n{number}")).unwrap();
        assert_eq!(found.as_ref(), Some(note), "{path}");
    }
    assert_eq!(back.layers[0].id, layer.id);
}

#[tokio::test]
async fn a_file_that_looks_like_a_marker_is_not_packed() {
    let place = Place::new();
    let recipe = Recipe::new("test", &"marker").unwrap();
    let Begin::Build(build) = place.store.begin(&recipe).unwrap() else { panic!("a new layer") };
    fs::write(build.files().join(".wh.x"), "").unwrap();
    let image = Image { layers: vec![build.commit().unwrap()], ..Image::default() };
    let image = NamedImage::built("built".parse().unwrap(), &image);
    let error = export(&image, &place.cache, ExportOptions::default()).unwrap_err();
    assert!(matches!(error, OciError::Pack { .. }), "{error}");
    assert_eq!((place.blobs("partial"), place.blobs("sha256")), (0, 0));
}

#[tokio::test]
async fn the_host_base_becomes_a_layer_without_its_secrets() {
    let place = Place::new();
    let host = place.folder.path().join("host");
    fs::create_dir_all(host.join("lib/packages")).unwrap();
    for (name, mode) in
        [("program", 0o4755), ("secret", 0o600), ("lib/packages/hidden", 0o644), ("lib/used", 0o644)]
    {
        fs::write(host.join(name), name).unwrap();
        fs::set_permissions(host.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::symlink("program", host.join("link")).unwrap();
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let bind = |path: &Path| HostBind { path: path.to_owned() };
    let binds = vec![bind(&host), bind(&host.join("lib"))];
    let config = ImageConfig { binds, masks: vec![host.join("lib/packages")], ..ImageConfig::default() };
    let image = Image { layers: vec![built(&place)], config, ..Image::default() };
    let image = NamedImage::built("built".parse().unwrap(), &image);
    let without = export(&image, &place.cache, ExportOptions::default()).unwrap();
    assert!(without.needs_host);
    let with = ExportOptions { with_host_base: true, ..ExportOptions::default() };
    let packed = export(&image, &place.cache, with).unwrap();
    assert!(!packed.needs_host);
    let path = place.folder.path().join("archive");
    write_archive(&packed, &place.cache, &image.reference, ArchiveForm::OciArchive, &path).unwrap();
    let back = take_in(&Place::new(), &path, None).await;
    let elsewhere = Place::new();
    drop(back);
    let back = take_in(&elsewhere, &path, None).await.unwrap().remove(0);
    let base = back.layers[0].path.join(host.strip_prefix("/").unwrap());
    let names: Vec<String> = tree(&base).into_keys().collect();
    assert_eq!(names, ["lib", "lib/packages", "lib/used", "link", "program"]);
    assert_eq!(fs::metadata(base.join("program")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(back.layers[0].path.join("tmp").is_dir() && back.config.binds.is_empty());
}

#[tokio::test]
async fn damaged_archives_are_refused() {
    let place = Place::new();
    let (layout, _) = made(&place).await;
    let copy = |name: &str, change: &dyn Fn(&Path)| {
        let folder = place.folder.path().join(name);
        run("cp", &["-r", layout.to_str().unwrap(), folder.to_str().unwrap()]);
        change(&folder);
        folder
    };
    let index = |folder: &Path, change: &dyn Fn(&mut Value)| {
        let path = folder.join("index.json");
        let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, value.to_string()).unwrap();
    };
    let blobs = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let spoilt = copy("spoilt", &|folder| {
        for blob in blobs(folder) {
            let mut bytes = fs::read(&blob).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(blob, bytes).unwrap();
        }
    });
    let gone = copy("gone", &|folder| blobs(folder).iter().for_each(|blob| fs::remove_file(blob).unwrap()));
    let outside = copy("outside", &|folder| {
        index(folder, &|value| {
            value["manifests"][0]["digest"] = "sha256:../../../etc/passwd".into();
        })
    });
    let fifo = copy("fifo", &|folder| {
        for blob in blobs(folder) {
            fs::remove_file(&blob).unwrap();
            nix::unistd::mkfifo(&blob, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
    });
    let nothing = place.folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let noise = place.folder.path().join("noise");
    fs::write(&noise, [7; 5000]).unwrap();
    let many = copy("many", &|folder| {
        index(folder, &|value| {
            let image = value["manifests"][0].clone();
            value["manifests"] = vec![image; 1001].into();
        })
    });
    let docker_of = |name: &str, tags: &[&str], layers: Value| {
        let folder = place.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        let manifest = json!([{"Config": "config.json", "RepoTags": tags, "Layers": layers}]);
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        fs::write(folder.join("config.json"), r#"{"rootfs": {"type": "layers", "diff_ids": []}}"#).unwrap();
        folder
    };
    let docker = |name: &str, layers: Value| docker_of(name, &["x:1"], layers);
    for (path, reason) in [
        (many, "names more than 1000 images"),
        (docker_of("tags", &["x:1"; 1001], json!([])), "names more than 1000 images"),
        (spoilt, "digest"),
        (gone, "read"),
        (outside, "64 hexadecimal digits"),
        (fifo, "is no file"),
        (nothing, "neither an OCI layout"),
        (noise, "checksum"),
        (docker("up", json!(["../../../etc/passwd"])), "outside of it"),
        (docker("absolute", json!(["/etc/passwd"])), "outside of it"),
        (docker("more", json!(["config.json"])), "1 layers"),
    ] {
        let elsewhere = Place::new();
        let error = take_in(&elsewhere, &path, Some("x")).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
        assert!(elsewhere.named.list().unwrap().is_empty());
    }
    let error = take_in(&Place::new(), &layout, None).await.unwrap_err().to_string();
    assert!(error.contains("--name"), "a tag alone is no name: {error}");
}
