//! A registry of one repository on the loopback address, that can misbehave, and images to put into it.

pub(crate) mod trees;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use swegym_images::LayerStore;
use swegym_images::oci::{
    BlobCache, Destination, Digest, NamedImage, NamedImages, OciError, Platform, PullOptions, Reference,
    Registries, RegistryConfig, pull,
};
use tempfile::TempDir;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An answer; its length is told as it is unless a header says otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Send only so many bytes of the body, and close.
    pub(crate) cut: Option<usize>,
    /// Send the body again and again.
    pub(crate) endless: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

type Handler = Box<dyn Fn(&Request) -> Option<Answer> + Send + Sync>;

struct State {
    requests: Mutex<Vec<Request>>,
    content: Mutex<HashMap<String, (String, Vec<u8>)>>,
    handler: Mutex<Handler>,
}

/// The registry. Its repository is `repo`. The thread that accepts ends with the process.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            requests: Mutex::default(),
            content: Mutex::default(),
            handler: Mutex::new(Box::new(|_| None)),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    /// Asks `handler` first; where it has no answer, the honest one is given.
    pub(crate) fn misbehave(&self, handler: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) {
        *self.state.handler.lock().unwrap() = Box::new(handler);
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.put(&format!("blobs/{digest}"), "application/octet-stream", bytes);
        digest
    }

    /// A manifest by tag and by digest.
    pub(crate) fn manifest(&self, tag: &str, media_type: &str, value: &Value) -> Digest {
        let bytes = value.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        self.put(&format!("manifests/{tag}"), media_type, &bytes);
        self.put(&format!("manifests/{digest}"), media_type, &bytes);
        digest
    }

    fn put(&self, path: &str, media_type: &str, bytes: &[u8]) {
        let path = format!("/v2/repo/{path}");
        self.state.content.lock().unwrap().insert(path, (media_type.to_owned(), bytes.to_vec()));
    }

    pub(crate) fn name(&self, tag: &str) -> Reference {
        format!("{}/repo:{tag}", self.address).parse().unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, part: &str) -> usize {
        self.requests().iter().filter(|request| request.path.contains(part)).count()
    }
}

fn serve(stream: TcpStream, state: &State) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut parts = line.split_whitespace();
    let (method, path) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = Request { method, path, headers };
    state.requests.lock().unwrap().push(request.clone());
    let answer = (state.handler.lock().unwrap())(&request);
    let answer = answer.unwrap_or_else(|| honest(&request, state));
    send(stream, &request, &answer)
}

fn honest(request: &Request, state: &State) -> Answer {
    let content = state.content.lock().unwrap();
    let Some((media_type, bytes)) = content.get(&request.path) else {
        let errors = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]});
        return Answer::new(404, errors.to_string());
    };
    let range = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match range {
        Some(from) if from < bytes.len() => Answer::new(206, &bytes[from..])
            .with("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())),
        Some(_) => Answer::new(416, ""),
        None => Answer::new(200, bytes.clone()).with("Content-Type", media_type),
    }
}

fn send(mut stream: TcpStream, request: &Request, answer: &Answer) -> Option<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    if !answer.endless && !answer.headers.iter().any(|(name, _)| name == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if request.method == "HEAD" {
        return Some(());
    }
    if answer.endless {
        // Until the client has had enough.
        loop {
            stream.write_all(&answer.body).ok()?;
        }
    }
    stream.write_all(&answer.body[..answer.cut.unwrap_or(answer.body.len())]).ok()
}

/// A tar file of these files.
pub(crate) fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Puts an image of these layers, compressed by gzip, into the registry, and gives its manifest.
pub(crate) fn image(registry: &Registry, layers: &[Vec<u8>]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({
        "os": "linux", "architecture": Platform::of_this_machine().architecture,
        "config": {"Env": ["A=b"], "WorkingDir": "/w", "User": "nobody"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string().into_bytes();
    let blobs = layers.iter().map(|layer| {
        let packed = gzip(layer);
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": packed.len(),
            "digest": registry.blob(&packed).to_string()})
    });
    let blobs: Vec<Value> = blobs.collect();
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": blobs, "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(),
        "digest": registry.blob(&config).to_string()}})
}

/// A store, a cache and names for one test.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) store: LayerStore,
    pub(crate) cache: BlobCache,
    pub(crate) named: NamedImages,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = LayerStore::open(&path, None).unwrap();
        let cache = BlobCache::open(folder.path().join("blobs")).unwrap();
        Self { store, cache, named: NamedImages::open(path).unwrap(), folder }
    }

    pub(crate) fn destination(&self) -> Destination<'_> {
        Destination { cache: &self.cache, store: &self.store, named: &self.named, news: &|_| {} }
    }

    pub(crate) async fn pull(
        &self,
        reference: &Reference,
        config: RegistryConfig,
    ) -> Result<NamedImage, OciError> {
        let registries = Registries::new(config)?;
        pull(&registries, reference, self.destination(), &PullOptions::default()).await
    }

    /// What is left of blobs, whole or partial.
    pub(crate) fn blobs(&self, kind: &str) -> usize {
        std::fs::read_dir(self.folder.path().join("blobs").join(kind)).unwrap().count()
    }
}

/// Impatient: these tests wait for nobody.
pub(crate) fn quick() -> RegistryConfig {
    RegistryConfig { tries: 4, first_pause: Duration::from_millis(5), ..RegistryConfig::default() }
}

/// All files of an image's layers, the topmost counts.
pub(crate) fn read(image: &NamedImage, path: &str) -> Option<String> {
    let paths = image.layers.iter().rev().map(|layer| layer.path.join(path));
    paths.filter(|path: &PathBuf| Path::exists(path)).find_map(|path| std::fs::read_to_string(path).ok())
}
