//! Registries that fail, lie or do harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Answer, INDEX, MANIFEST, Place, Registry, Request, image, layer, quick, read};
use serde_json::json;
use swegym_images::oci::{Credentials, Digest, Mirror, OciError, Platform, RegistryConfig};

/// A registry with one image of two layers, tagged `1`, and the digest of its first layer.
fn honest() -> (Registry, String) {
    let registry = Registry::start();
    let noise: String = (0..200_000).map(|_| char::from(fastrand::u8(b'a'..=b'z'))).collect();
    let manifest = image(&registry, &[layer(&[("a", "low"), ("noise", &noise)]), layer(&[("b", "high")])]);
    registry.manifest("1", MANIFEST, &manifest);
    let digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    (registry, digest)
}

fn times(
    limit: usize,
    answer: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
) -> impl Fn(&Request) -> Option<Answer> + Send + Sync {
    let count = Arc::new(AtomicUsize::new(0));
    move |request| {
        let answer = answer(request)?;
        (count.fetch_add(1, Ordering::SeqCst) < limit).then_some(answer)
    }
}

async fn error(registry: &Registry) -> OciError {
    Place::new().pull(&registry.name("1"), quick()).await.unwrap_err()
}

#[tokio::test]
async fn an_image_is_pulled_once() {
    let (registry, _) = honest();
    let place = Place::new();
    let image = place.pull(&registry.name("1"), quick()).await.unwrap();
    assert_eq!((read(&image, "a").as_deref(), read(&image, "b").as_deref()), (Some("low"), Some("high")));
    assert_eq!((image.config.env["A"].as_str(), image.config.workdir.to_str()), ("b", Some("/w")));
    assert_eq!(image.run.user.as_deref(), Some("nobody"));
    let before = registry.count("/blobs/");
    assert_eq!(place.pull(&registry.name("1"), quick()).await.unwrap().layers, image.layers);
    assert_eq!(registry.count("/blobs/"), before, "nothing is fetched again");
    assert_eq!(place.named.get(&registry.name("1")).unwrap().layers, image.layers);
    assert_eq!((place.blobs("partial"), place.blobs("sha256")), (0, 1), "the configuration alone is kept");
}

#[tokio::test]
async fn the_platform_decides() {
    let (registry, _) = honest();
    let manifest = image(&registry, &[layer(&[("a", "this")])]);
    let mut other = manifest.clone();
    other["annotations"] = json!({"other": "yes"});
    let entry = |digest: Digest, architecture: &str| {
        json!({"mediaType": MANIFEST, "size": 1, "digest": digest.to_string(),
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let this = registry.manifest("this", MANIFEST, &manifest);
    let other = registry.manifest("other", MANIFEST, &other);
    let architecture = Platform::of_this_machine().architecture;
    let index = json!({"schemaVersion": 2, "manifests": [entry(other.clone(), "s390x"), entry(this.clone(), &architecture)]});
    registry.manifest("1", INDEX, &index);
    let image = Place::new().pull(&registry.name("1"), quick()).await.unwrap();
    assert_eq!(image.manifest, Some(this));
    registry.manifest("1", INDEX, &json!({"schemaVersion": 2, "manifests": [entry(other, "s390x")]}));
    assert!(matches!(error(&registry).await, OciError::NoPlatform { .. }));
    let itself = json!({"schemaVersion": 2, "manifests": [entry(Digest::of(b"x"), &architecture)]});
    registry.manifest("1", INDEX, &itself);
    assert!(matches!(error(&registry).await, OciError::Status { status: 404, .. }));
}

#[tokio::test]
async fn an_interrupted_blob_is_resumed() {
    let (registry, digest) = honest();
    let cut = move |request: &Request| {
        // The honest registry would answer with more; this connection breaks after 50,000 bytes.
        (request.path.ends_with(&digest) && request.header("range").is_none()).then_some(())
    };
    let content = gzip_of_first_layer(&registry).await;
    registry.misbehave(times(1, move |request| {
        cut(request).map(|()| Answer { cut: Some(50_000), ..Answer::new(200, content.clone()) })
    }));
    let place = Place::new();
    let image = place.pull(&registry.name("1"), quick()).await.unwrap();
    assert_eq!(read(&image, "a").as_deref(), Some("low"));
    let ranges: Vec<String> =
        registry.requests().iter().filter_map(|request| request.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=50000-"]);
}

/// The bytes of the first layer, asked for like anybody would.
async fn gzip_of_first_layer(registry: &Registry) -> Vec<u8> {
    let manifest = reqwest::get(format!("http://{}/v2/repo/manifests/1", registry.address)).await.unwrap();
    let manifest: serde_json::Value = manifest.json().await.unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let blob = reqwest::get(format!("http://{}/v2/repo/blobs/{digest}", registry.address)).await.unwrap();
    blob.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn what_an_earlier_pull_left_is_gone_on_with() {
    let (registry, digest) = honest();
    let content = gzip_of_first_layer(&registry).await;
    let (half, first) = (content.len() / 2, digest.clone());
    registry.misbehave(move |request| {
        (request.path.ends_with(&first))
            .then(|| Answer { cut: Some(half), ..Answer::new(200, content.clone()) })
    });
    let place = Place::new();
    let failed = place.pull(&registry.name("1"), RegistryConfig { tries: 1, ..quick() }).await;
    assert!(matches!(failed, Err(OciError::Unreachable { .. })));
    registry.misbehave(|_| None);
    place.pull(&registry.name("1"), quick()).await.unwrap();
    let last = registry.requests().into_iter().rfind(|request| request.path.ends_with(&digest)).unwrap();
    assert_eq!(last.header("range"), Some(format!("bytes={half}-").as_str()));
}

#[tokio::test]
async fn a_spoiled_beginning_is_fetched_anew() {
    let (registry, digest) = honest();
    let place = Place::new();
    let hex = digest.strip_prefix("sha256:").unwrap();
    std::fs::write(place.folder.path().join("blobs/partial").join(hex), [0; 1000]).unwrap();
    let image = place.pull(&registry.name("1"), quick()).await.unwrap();
    assert_eq!(read(&image, "a").as_deref(), Some("low"));
}

#[tokio::test]
async fn a_registry_that_cannot_resume_is_asked_from_the_start() {
    let (registry, digest) = honest();
    let content = gzip_of_first_layer(&registry).await;
    for status in [200, 416, 206] {
        let (content, digest) = (content.clone(), digest.clone());
        registry.misbehave(times(2, move |request| {
            let ours = request.path.ends_with(&digest);
            let resumed = request.header("range").is_some();
            match (ours, resumed) {
                (true, false) => Some(Answer { cut: Some(1000), ..Answer::new(200, content.clone()) }),
                (true, true) => {
                    Some(Answer::new(status, if status == 200 { content.clone() } else { Vec::new() }))
                }
                _ => None,
            }
        }));
        let place = Place::new();
        let image = place.pull(&registry.name("1"), quick()).await.unwrap();
        assert_eq!(read(&image, "a").as_deref(), Some("low"), "{status}");
    }
}

#[tokio::test]
async fn lies_about_content_are_found() {
    let (registry, digest) = honest();
    let content = gzip_of_first_layer(&registry).await;
    let mut wrong = content.clone();
    wrong[5000] ^= 1;
    let endless = Answer { endless: true, ..Answer::new(200, vec![0; 1 << 16]) };
    for (answer, reason) in [
        (Answer::new(200, wrong), "has the digest"),
        (Answer::new(200, &content[1..]), "the manifest promises"),
        (Answer::new(200, [&content[..], b"x"].concat()), "the manifest promises"),
        (endless, "is longer than"),
    ] {
        let digest = digest.clone();
        registry.misbehave(move |request| request.path.ends_with(&digest).then(|| answer.clone()));
        let place = Place::new();
        let error = place.pull(&registry.name("1"), quick()).await.unwrap_err();
        assert!(
            matches!(error, OciError::Mismatch { .. }) && error.to_string().contains(reason),
            "{reason}: {error}"
        );
        assert!(place.named.list().unwrap().is_empty());
        let kept = place.folder.path().join("blobs/sha256").join(&digest_of(&error)["sha256:".len()..]);
        assert!(!kept.exists());
    }
}

fn digest_of(error: &OciError) -> String {
    let text = error.to_string();
    text[text.find("sha256:").unwrap()..][..71].to_owned()
}

#[tokio::test]
async fn lies_about_manifests_and_layers_are_found() {
    let (registry, _) = honest();
    let pinned = format!("{}/repo@{}", registry.address, Digest::of(b"other")).parse().unwrap();
    let body = image(&registry, &[layer(&[("a", "")])]);
    let text = body.to_string();
    registry.misbehave(move |request| {
        request.path.contains(&*Digest::of(b"other").to_string()).then(|| Answer::new(200, text.clone()))
    });
    let error_of_pinned = Place::new().pull(&pinned, quick()).await.unwrap_err();
    assert!(matches!(error_of_pinned, OciError::Mismatch { .. }), "{error_of_pinned}");
    registry.misbehave(|request| {
        request
            .path
            .contains("manifests")
            .then(|| Answer { endless: true, ..Answer::new(200, vec![b' '; 1 << 16]) })
    });
    assert!(error(&registry).await.to_string().contains("longer than 4194304 bytes"));
    registry.misbehave(|_| None);
    // The configuration promises another layer than the manifest brings.
    let mut swapped = body.clone();
    swapped["layers"][0] = image(&registry, &[layer(&[("evil", "")])])["layers"][0].clone();
    registry.manifest("1", MANIFEST, &swapped);
    assert!(error(&registry).await.to_string().contains("the configuration promises"));
    let mut fewer = body;
    fewer["layers"] = json!([]);
    registry.manifest("1", MANIFEST, &fewer);
    assert!(error(&registry).await.to_string().contains("0 layers"));
}

#[tokio::test]
async fn a_layer_that_leads_outside_leaves_nothing() {
    let registry = Registry::start();
    let mut evil = layer(&[("xx/../../../evil", "")].map(|(_, content)| ("harmless", content)));
    let name = b"../../../evil";
    evil[..name.len()].copy_from_slice(name);
    evil[148..156].fill(b' ');
    let sum: u32 = evil[..512].iter().map(|byte| u32::from(*byte)).sum();
    evil[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    registry.manifest("1", MANIFEST, &image(&registry, &[evil]));
    let place = Place::new();
    let error = place.pull(&registry.name("1"), quick()).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("leads upwards"), "{cause}");
    assert_eq!(std::fs::read_dir(place.folder.path().join("store/building")).unwrap().count(), 0);
    assert!(place.named.list().unwrap().is_empty());
}

#[tokio::test]
async fn overloaded_registries_are_waited_for() {
    let (registry, _) = honest();
    registry.misbehave(times(2, |request| {
        request.path.contains("manifests").then(|| Answer::new(429, "").with("Retry-After", "1"))
    }));
    let started = Instant::now();
    Place::new().pull(&registry.name("1"), quick()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
    registry.misbehave(times(1, move |request| {
        request.path.contains("blobs").then(|| Answer::new(503, "").with("Retry-After", &date))
    }));
    Place::new().pull(&registry.name("1"), quick()).await.unwrap();
    assert!(jiff::Timestamp::now() >= at - jiff::SignedDuration::from_secs(1));
}

#[tokio::test]
async fn patience_has_an_end() {
    let (registry, _) = honest();
    registry.misbehave(|_| {
        Some(Answer::new(503, json!({"errors": [{"message": "down\u{1b}[31m"}]}).to_string()))
    });
    let error_text = error(&registry).await.to_string();
    assert!(error_text.contains("HTTP status 503: down[31m"), "{error_text}");
    assert_eq!(registry.count("manifests"), 4, "as many tries as the settings say");
    registry.misbehave(|_| Some(Answer::new(429, "").with("Retry-After", 21_600)));
    assert!(matches!(error(&registry).await, OciError::RateLimited { wait, .. } if wait.as_secs() == 21_600));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let name = format!("{nobody}/repo").parse().unwrap();
    assert!(matches!(Place::new().pull(&name, quick()).await.unwrap_err(), OciError::Unreachable { .. }));
}

#[tokio::test]
async fn a_silent_registry_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/repo", silent.local_addr().unwrap()).parse().unwrap();
    let config = RegistryConfig { tries: 2, stall: Duration::from_millis(200), ..quick() };
    assert!(matches!(Place::new().pull(&name, config).await.unwrap_err(), OciError::Unreachable { .. }));
}

#[tokio::test]
async fn tokens_are_fetched_with_and_without_a_login() {
    let (registry, _) = honest();
    let realm = format!("http://{}/token", registry.address);
    let seen = Arc::new(AtomicUsize::new(0));
    let issued = Arc::clone(&seen);
    registry.misbehave(move |request| {
        if request.path.starts_with("/token") {
            issued.fetch_add(1, Ordering::SeqCst);
            let user = request
                .header("authorization")
                .map_or("anonymous", |value| if value == "Basic bWU6c2VjcmV0" { "me" } else { "?" });
            assert!(
                request.path.contains("scope=repository%3Arepo%3Apull")
                    && request.path.contains("service=it"),
                "{}",
                request.path
            );
            return Some(Answer::new(200, json!({"token": format!("for-{user}")}).to_string()));
        }
        match request.header("authorization") {
            Some("Bearer for-me") => None,
            _ => Some(
                Answer::new(401, "")
                    .with("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"it\"")),
            ),
        }
    });
    let refused = error(&registry).await;
    assert!(matches!(refused, OciError::Unauthorized { .. }), "{refused}");
    let place = Place::new();
    let path = place.folder.path().join("auth.json");
    let login = json!({"auths": {registry.address.to_string(): {"auth": "bWU6c2VjcmV0"}}});
    std::fs::write(&path, login.to_string()).unwrap();
    seen.store(0, Ordering::SeqCst);
    let config = RegistryConfig { credentials: Credentials::read(&path).unwrap(), ..quick() };
    place.pull(&registry.name("1"), config).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1, "one token does for all requests");
}

#[tokio::test]
async fn redirects_are_followed_without_credentials() {
    let (registry, digest) = honest();
    let content = gzip_of_first_layer(&registry).await;
    let storage = Registry::start();
    let target = format!("http://{}/elsewhere", storage.address);
    storage.misbehave(move |_| Some(Answer::new(200, content.clone())));
    registry.misbehave(move |request| {
        if request.header("authorization").is_none() {
            return Some(Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""));
        }
        request.path.ends_with(&digest).then(|| Answer::new(307, "").with("Location", &target))
    });
    let place = Place::new();
    let path = place.folder.path().join("auth.json");
    let login = json!({"auths": {registry.address.to_string(): {"username": "me", "password": "secret"}}});
    std::fs::write(&path, login.to_string()).unwrap();
    let config = RegistryConfig { credentials: Credentials::read(&path).unwrap(), ..quick() };
    place.pull(&registry.name("1"), config).await.unwrap();
    let at_storage = storage.requests();
    assert_eq!(at_storage.len(), 1);
    assert_eq!(at_storage[0].header("authorization"), None);
    let circle = format!("http://{}/v2/repo/manifests/1", registry.address);
    registry.misbehave(move |_| Some(Answer::new(302, "").with("Location", &circle)));
    assert!(error(&registry).await.to_string().contains("redirect"));
}

#[tokio::test]
async fn mirrors_come_first_and_may_fail() {
    let (good, _) = honest();
    let lying = Registry::start();
    lying.misbehave(|request| request.path.contains("blobs").then(|| Answer::new(200, "lies")));
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mirror = |base: String| Mirror { registry: "registry.example.org".to_owned(), base };
    let config = RegistryConfig {
        mirrors: vec![
            mirror(format!("http://{dead}/")),
            mirror(format!("http://{}/", lying.address)),
            mirror(format!("http://{}", good.address)),
        ],
        tries: 1,
        ..quick()
    };
    let name = "registry.example.org/repo:1".parse().unwrap();
    let image = Place::new().pull(&name, config).await.unwrap();
    assert_eq!(image.reference.to_string(), "registry.example.org/repo:1");
    assert_eq!((lying.count("blobs"), good.count("blobs")), (3, 3), "what it gives is not believed");
    // A path in the address stands before the repository.
    let prefixed = Registry::start();
    let config = RegistryConfig {
        mirrors: vec![mirror(format!("http://{}/a/b/", prefixed.address))],
        tries: 1,
        ..quick()
    };
    Place::new().pull(&"registry.example.org/repo:1".parse().unwrap(), config).await.unwrap_err();
    assert_eq!(prefixed.requests()[0].path, "/v2/a/b/repo/manifests/1");
    for bad in ["ftp://x/", "nonsense", "http://user:secret@x/", "https://x/?q=1"] {
        let config = RegistryConfig { mirrors: vec![mirror(bad.to_owned())], ..quick() };
        assert!(matches!(Place::new().pull(&name, config).await, Err(OciError::BadSettings(_))), "{bad}");
    }
}
