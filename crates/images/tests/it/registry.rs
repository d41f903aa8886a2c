//! A real registry on the loopback address, and images that another tool makes and reads.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::trees::{has, merged, run, tree};
use crate::support::{Place, quick};
use serde_json::json;
use swegym_images::oci::{
    Compression, Credentials, Digest, ExportOptions, Mirror, NamedImage, OciError, Platform, PullOptions,
    Reference, Registries, RegistryConfig, export, pull, push,
};

/// The names that distributions give the program.
const PROGRAMS: [&str; 2] = ["docker-registry", "registry"];
/// `me:secret`, for the registry's file of users: bcrypt is all that it reads.
const USER: &str = "me:$2y$05$TyLMo1RJwIwb.t0/eNWRQeCJBCBviQ8Ft1crrAsDsK1aMJGjKV3SG\n";

const NOISE_BYTES: usize = 300_000;
/// What [`Line`] lets through on one connection.
const CUT_BYTES: u64 = 200_000;

/// A registry that ends with the test.
struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(with_users: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let users = folder.path().join("users");
        fs::write(&users, USER).unwrap();
        let mut config = json!({
            "version": "0.1", "log": {"level": "error"}, "http": {"addr": address},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}},
        });
        if with_users {
            config["auth"] = json!({"htpasswd": {"realm": "test", "path": users}});
        }
        let path = folder.path().join("config.yml");
        // JSON is YAML.
        fs::write(&path, config.to_string()).unwrap();
        let start = |program: &&str| {
            let mut command = Command::new(program);
            command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let Some(child) = PROGRAMS.iter().find_map(start) else {
            println!("skipped: no registry is installed (Debian: `apt install docker-registry`)");
            return None;
        };
        let server = Self { child, address, _folder: folder };
        for _ in 0..200 {
            if TcpStream::connect(&server.address).is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not start");
    }

    fn name(&self, name: &str) -> Reference {
        format!("{}/{name}", self.address).parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What no compression makes smaller.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..NOISE_BYTES).map(next).collect()
}

/// An image that another tool makes in three steps, each a layer: files come, change and go.
fn make(layout: &Path, scratch: &Path) {
    let bundle = scratch.join("bundle");
    let (image, bundle_path) = (format!("{}:made", layout.display()), bundle.to_str().unwrap());
    run("umoci", &["init", "--layout", layout.to_str().unwrap()]);
    run("umoci", &["new", "--image", &image]);
    run("umoci", &["config", "--image", &image, "--config.env", "MADE=yes", "--config.workingdir", "/work"]);
    run("umoci", &["unpack", "--rootless", "--image", &image, bundle_path]);
    let root = bundle.join("rootfs");
    let write = |name: &str, content: &[u8], mode: u32| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let step = || run("umoci", &["repack", "--refresh-bundle", "--image", &image, bundle_path]);
    for number in 0..50 {
        write(&format!("bin/tool-{number}"), &vec![number; 5000], 0o755);
    }
    write("etc/conf", b"one", 0o640);
    xattr::set(root.join("etc/conf"), "user.made", b"by another tool").unwrap();
    write("noise", &noise(), 0o644);
    write("gone/with/everything", b"x", 0o644);
    write("replaced/file", b"x", 0o444);
    fs::hard_link(root.join("etc/conf"), root.join("etc/conf.same")).unwrap();
    std::os::unix::fs::symlink("../../../../etc/conf", root.join("bin/link")).unwrap();
    step();
    write("etc/conf.new", b"two", 0o600);
    fs::remove_dir_all(root.join("gone")).unwrap();
    fs::remove_dir_all(root.join("replaced")).unwrap();
    write("replaced", b"now a file", 0o644);
    fs::remove_file(root.join("bin/tool-7")).unwrap();
    step();
    write("gone/again", b"y", 0o644);
    step();
}

#[tokio::test]
async fn images_of_another_tool_are_pulled_as_it_sees_them() {
    let Some(server) = Server::start(false) else { return };
    if !has("umoci") || !has("skopeo") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let layout = scratch.path().join("layout");
    make(&layout, scratch.path());
    let theirs = scratch.path().join("theirs");
    let source = format!("{}:made", layout.display());
    run("umoci", &["unpack", "--rootless", "--image", &source, theirs.to_str().unwrap()]);
    let expected = tree(&theirs.join("rootfs"));
    assert!(expected.contains_key("gone/again") && !expected.contains_key("gone/with"));
    assert!(expected["etc/conf"].contains("user.made"));
    let zstd = &["--format", "oci", "--dest-compress-format", "zstd"];
    for (tag, options) in
        [("gzip", &["--format", "oci"][..]), ("docker", &["--format", "v2s2"]), ("zstd", zstd)]
    {
        let target = format!("docker://{}/made:{tag}", server.address);
        let copy = ["copy", "--dest-tls-verify=false", &format!("oci:{source}"), &target];
        run("skopeo", &[&copy[..], options].concat());
        let place = Place::new();
        let image = place.pull(&server.name(&format!("made:{tag}")), quick()).await.unwrap();
        assert_eq!(image.layers.len(), 3);
        assert_eq!(merged(&image), expected, "{tag}");
        assert_eq!(
            (image.config.env["MADE"].as_str(), image.config.workdir.to_str()),
            ("yes", Some("/work"))
        );
        let digest = image.manifest.unwrap();
        let pinned = place.pull(&server.name(&format!("made@{digest}")), quick()).await.unwrap();
        assert_eq!(pinned.layers, image.layers);
    }
}

/// A bad line to a registry: the first connection is told to come again later, each is cut after [`CUT_BYTES`].
struct Line {
    address: String,
    asked: Arc<Mutex<Vec<u8>>>,
}

impl Line {
    fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (to, asked) = (server.address.clone(), Arc::default());
        let line = Self { address, asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                let (to, asked) = (to.clone(), Arc::clone(&asked));
                std::thread::spawn(
                    move || if number == 0 { come_later(client) } else { pass(&client, &to, &asked) },
                );
            }
        });
        line
    }

    fn asked(&self) -> String {
        String::from_utf8_lossy(&self.asked.lock().unwrap()).to_lowercase()
    }
}

fn come_later(mut client: TcpStream) {
    let _ = client.read(&mut [0; 4096]);
    let head =
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let _ = client.write_all(head.as_bytes());
}

fn pass(client: &TcpStream, to: &str, asked: &Mutex<Vec<u8>>) {
    let server = TcpStream::connect(to).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = (&*client).read(&mut chunk) {
                asked.lock().unwrap().extend_from_slice(&chunk[..length]);
                if (&server).write_all(&chunk[..length]).is_err() {
                    break;
                }
            }
        });
        let _ = io::copy(&mut (&server).take(CUT_BYTES), &mut &*client);
        for end in [client, &server] {
            let _ = end.shutdown(Shutdown::Both);
        }
    });
}

/// Makes an image and gives it to the registry by another tool; returns its name in the layout too.
fn given(server: &Server, scratch: &Path, target: &str) -> Option<String> {
    if !has("umoci") || !has("skopeo") {
        return None;
    }
    let layout = scratch.join("layout");
    make(&layout, scratch);
    copy_to(server, &format!("{}:made", layout.display()), target);
    Some(layout.display().to_string())
}

fn copy_to(server: &Server, source: &str, target: &str) {
    let target = format!("docker://{}/{target}", server.address);
    run("skopeo", &["copy", "--dest-tls-verify=false", &format!("oci:{source}"), &target]);
}

#[tokio::test]
async fn a_cut_line_and_a_busy_registry_cost_time_and_no_more() {
    let Some(server) = Server::start(false) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let Some(_layout) = given(&server, scratch.path(), "made:1") else { return };
    let line = Line::to(&server);
    let (place, whole) = (Place::new(), Place::new());
    let image = place.pull(&format!("{}/made:1", line.address).parse().unwrap(), quick()).await.unwrap();
    assert_eq!(merged(&image), merged(&whole.pull(&server.name("made:1"), quick()).await.unwrap()));
    assert!(line.asked().contains("\r\nrange: bytes="), "it went on where it was cut: {}", line.asked());
    assert_eq!((place.blobs("partial"), place.blobs("locks")), (0, whole.blobs("locks")));
}

#[tokio::test]
async fn a_mirror_stands_in_for_a_registry_that_is_not_there() {
    let Some(server) = Server::start(false) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let Some(_layout) = given(&server, scratch.path(), "library/made:1") else { return };
    let base = format!("http://{}", server.address);
    let mirrors = vec![Mirror { registry: "docker.io".to_owned(), base }];
    let place = Place::new();
    let image = place.pull(&"made:1".parse().unwrap(), RegistryConfig { mirrors, ..quick() }).await.unwrap();
    assert_eq!(image.reference.to_string(), "docker.io/library/made:1");
    assert_eq!(
        merged(&image)["gone/again"],
        merged(&place.pull(&server.name("library/made:1"), quick()).await.unwrap())["gone/again"]
    );
}

#[tokio::test]
async fn the_platform_is_chosen_from_a_list_that_another_tool_made() {
    let Some(server) = Server::start(false) else { return };
    let scratch = tempfile::tempdir().unwrap();
    if !has("buildah") {
        return;
    }
    let Some(layout) = given(&server, scratch.path(), "made:amd64") else { return };
    run(
        "umoci",
        &["config", "--image", &format!("{layout}:made"), "--tag", "arm64", "--architecture", "arm64"],
    );
    copy_to(&server, &format!("{layout}:arm64"), "made:arm64");
    let at = |name: &str| scratch.path().join(name).display().to_string();
    let storage = ["--root", &at("root"), "--runroot", &at("run"), "--storage-driver", "vfs", "manifest"];
    let buildah = |arguments: &[&str]| run("buildah", &[&storage[..], arguments].concat());
    let list = format!("docker://{}/made:list", server.address);
    buildah(&["create", "list"]);
    for architecture in ["amd64", "arm64"] {
        let one = format!("docker://{}/made:{architecture}", server.address);
        buildah(&["add", "--tls-verify=false", "list", &one]);
    }
    buildah(&["push", "--tls-verify=false", "--all", "list", &list]);
    let place = Place::new();
    for architecture in ["amd64", "arm64"] {
        let platform: Platform = format!("linux/{architecture}").parse().unwrap();
        let options = PullOptions { platform, ..PullOptions::default() };
        let registries = Registries::new(quick()).unwrap();
        let pulled =
            async |tag: &str| pull(&registries, &server.name(tag), place.destination(), &options).await;
        let (chosen, named) =
            (pulled("made:list").await.unwrap(), pulled(&format!("made:{architecture}")).await.unwrap());
        assert_eq!((chosen.manifest, &chosen.platform.architecture[..]), (named.manifest, architecture));
    }
    let options = PullOptions { platform: "linux/s390x".parse().unwrap(), ..PullOptions::default() };
    let none =
        pull(&Registries::new(quick()).unwrap(), &server.name("made:list"), place.destination(), &options)
            .await;
    assert!(matches!(none, Err(OciError::NoPlatform { .. })), "{none:?}");
}

/// Pulls an image that a tool made, for tests of the way back.
async fn made(place: &Place) -> Option<NamedImage> {
    if !has("umoci") {
        return None;
    }
    let layout = place.folder.path().join("layout");
    make(&layout, place.folder.path());
    let name: Reference = "made:1".parse().unwrap();
    let options = swegym_images::oci::PullOptions::default();
    let images =
        swegym_images::oci::import(&layout, Some(&name), place.destination(), &options).await.unwrap();
    images.into_iter().next()
}

async fn send(
    place: &Place,
    image: &NamedImage,
    to: &Reference,
    config: RegistryConfig,
    compression: Compression,
) -> Result<Digest, OciError> {
    let options = ExportOptions { compression, with_host_base: false };
    let packed = export(image, &place.cache, options).unwrap();
    let pushed = push(&Registries::new(config)?, &packed, &place.cache, to, 2).await;
    packed.release(&place.cache);
    pushed.map(|()| packed.digest)
}

#[tokio::test]
async fn what_is_pushed_comes_back_the_same() {
    let Some(server) = Server::start(false) else { return };
    let place = Place::new();
    let Some(image) = made(&place).await else { return };
    for compression in [Compression::Gzip, Compression::Zstd] {
        let target = server.name(&format!("team/pushed:{compression:?}").replace("G", "g").replace("Z", "z"));
        let digest = send(&place, &image, &target, quick(), compression).await.unwrap();
        assert_eq!(
            send(&place, &image, &target, quick(), compression).await.unwrap(),
            digest,
            "twice is once"
        );
        let elsewhere = Place::new();
        let back = elsewhere.pull(&target, quick()).await.unwrap();
        assert_eq!(back.manifest, Some(digest.clone()));
        assert_eq!(merged(&back), merged(&image));
        assert_eq!(back.config, image.config);
        if has("skopeo") {
            let source = format!("docker://{target}");
            let seen = run("skopeo", &["inspect", "--tls-verify=false", &source]);
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&seen).unwrap()["Digest"],
                digest.to_string()
            );
        }
    }
}

#[tokio::test]
async fn a_registry_with_users_lets_them_alone_in() {
    let Some(server) = Server::start(true) else { return };
    let place = Place::new();
    let Some(image) = made(&place).await else { return };
    let target = server.name("private/image:1");
    let stranger = send(&place, &image, &target, quick(), Compression::Gzip).await.unwrap_err();
    assert!(matches!(stranger, OciError::Unauthorized { .. }), "{stranger}");
    let login = |password: &str| {
        let path = place.folder.path().join("auth.json");
        let file = json!({"auths": {&server.address: {"username": "me", "password": password}}});
        fs::write(&path, file.to_string()).unwrap();
        RegistryConfig { credentials: Credentials::read(&path).unwrap(), ..quick() }
    };
    let wrong = send(&place, &image, &target, login("wrong"), Compression::Gzip).await.unwrap_err();
    assert!(matches!(wrong, OciError::Unauthorized { .. }), "{wrong}");
    send(&place, &image, &target, login("secret"), Compression::Gzip).await.unwrap();
    let elsewhere = Place::new();
    assert!(matches!(elsewhere.pull(&target, quick()).await, Err(OciError::Unauthorized { .. })));
    assert_eq!(merged(&elsewhere.pull(&target, login("secret")).await.unwrap()), merged(&image));
    let missing = elsewhere.pull(&server.name("private/none:1"), login("secret")).await.unwrap_err();
    assert!(matches!(missing, OciError::Status { status: 404, .. }), "{missing}");
}
