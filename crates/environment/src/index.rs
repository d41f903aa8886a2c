//! Files from a package index, by the ordinary protocol (PEP 503 and PEP 691), each pinned by its SHA-256.
//!
//! Which index: what the user's settings name, else what pip on this machine is set up with.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Response, Url, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::EnvironmentError;

/// No file that we ask for is larger.
const MAX_FILE_BYTES: usize = 256 << 20;
/// Index pages of projects with very many releases reach a few megabytes.
const MAX_PAGE_BYTES: usize = 64 << 20;
/// Tries for one file, with a growing pause between them.
const TRIES: u32 = 4;

/// A file on the index, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedFile {
    /// Name of the project on the index.
    pub project: &'static str,
    /// Name of the file.
    pub file: &'static str,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: &'static str,
}

/// A package index and a cache of what was fetched from it.
#[derive(Debug)]
pub struct PackageIndex {
    configured: Option<String>,
    address: OnceCell<String>,
    client: Client,
    cache: PathBuf,
}

impl PackageIndex {
    /// An index at `configured`, or at what pip is set up with where that is `None`. Files land in `cache`.
    ///
    /// # Errors
    /// When no HTTP client can be set up: no certificates on this machine.
    pub fn new(configured: Option<String>, cache: PathBuf) -> Result<Self, EnvironmentError> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(60))
            .user_agent(concat!("swegym/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| EnvironmentError::NoIndex {
                message: format!("set up the HTTP client: {error}"),
            })?;
        Ok(Self { configured, address: OnceCell::new(), client, cache })
    }

    /// Address of the index. It may hold credentials: it is for `uv` and for no message.
    ///
    /// # Errors
    /// [`EnvironmentError::NoIndex`] when neither settings nor pip name one.
    pub async fn address(&self) -> Result<&str, EnvironmentError> {
        let found = self.address.get_or_try_init(|| async {
            match &self.configured {
                Some(address) => Ok(address.clone()),
                None => address_of_pip().await,
            }
        });
        Ok(found.await?.trim_end_matches('/'))
    }

    /// The file, from the cache or from the index.
    ///
    /// # Errors
    /// [`EnvironmentError::Fetch`] when it cannot be had or its hash is not the pinned one, [`EnvironmentError::Io`]
    /// when it cannot be kept.
    pub async fn file(&self, pinned: &PinnedFile) -> Result<PathBuf, EnvironmentError> {
        let folder = self.cache.join(pinned.sha256);
        let path = folder.join(pinned.file);
        if path.is_file() {
            return Ok(path);
        }
        let bytes = self.fetch_patiently(pinned).await?;
        match save(&folder, &path, &bytes) {
            Ok(()) => Ok(path),
            Err(source) => Err(EnvironmentError::Io { action: "write", path, source }),
        }
    }

    async fn fetch_patiently(&self, pinned: &PinnedFile) -> Result<Vec<u8>, EnvironmentError> {
        let address = self.address().await?;
        let mut pause = Duration::from_millis(500);
        for _ in 1..TRIES {
            match self.fetch(address, pinned).await {
                Ok(bytes) => return Ok(bytes),
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 3;
        }
        let last = self.fetch(address, pinned).await;
        last.map_err(|message| EnvironmentError::Fetch { file: pinned.file.to_owned(), message })
    }

    async fn fetch(&self, address: &str, pinned: &PinnedFile) -> Result<Vec<u8>, String> {
        let page =
            Url::parse(&format!("{address}/{}/", pinned.project)).map_err(|error| error.to_string())?;
        let accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5";
        let response = self.get(page.clone(), accept).await?;
        let is_json = content_type(&response).contains("json");
        let body = read_body(response, MAX_PAGE_BYTES).await?;
        let found = if is_json { url_in_json(&body, pinned.file) } else { url_in_html(&body, pinned.file) };
        let link = found.ok_or("the index does not list it")?;
        let url = page.join(&link).map_err(|error| error.to_string())?;
        let bytes = read_body(self.get(url, "*/*").await?, MAX_FILE_BYTES).await?;
        let actual = hex_sha256(&bytes);
        if actual == pinned.sha256 {
            Ok(bytes)
        } else {
            Err(format!("its SHA-256 is {actual}, not the pinned {}", pinned.sha256))
        }
    }

    async fn get(&self, url: Url, accept: &str) -> Result<Response, String> {
        let response = self.client.get(url).header(header::ACCEPT, accept).send().await;
        let response = response.map_err(|error| plain(error.without_url()))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(format!("HTTP status {}", response.status()))
        }
    }
}

fn plain(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn content_type(response: &Response) -> &str {
    response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| plain(error.without_url()))? {
        if body.len() + chunk.len() > limit {
            return Err(format!("it is larger than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn url_in_json(body: &[u8], file: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Page {
        files: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        filename: String,
        url: String,
    }
    let page: Page = serde_json::from_slice(body).ok()?;
    page.files.into_iter().find(|entry| entry.filename == file).map(|entry| entry.url)
}

fn url_in_html(body: &[u8], file: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let links = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut urls = links.map(|link| link.split('#').next().unwrap_or(link));
    urls.find(|url| url.rsplit('/').next() == Some(file)).map(|url| url.replace("&amp;", "&"))
}

/// What pip is set up with: its configuration, else the default that its help text names.
async fn address_of_pip() -> Result<String, EnvironmentError> {
    let none = |message: &str| EnvironmentError::NoIndex { message: message.to_owned() };
    let config =
        pip(&["config", "list"]).await.ok_or_else(|| none("no setting names one, and pip does not run"))?;
    if let Some(address) = index_in_config(&config) {
        return Ok(address);
    }
    let help = pip(&["download", "--help"]).await.unwrap_or_default();
    index_in_help(&help).ok_or_else(|| none("no setting names one, nor does the help text of pip"))
}

async fn pip(arguments: &[&str]) -> Option<String> {
    let output = Command::new("python3").args(["-m", "pip"]).args(arguments).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn index_in_config(config: &str) -> Option<String> {
    let lines = config.lines().filter_map(|line| line.split_once(".index-url="));
    lines
        .map(|(_, value)| value.trim().trim_matches(['\'', '"']).to_owned())
        .find(|address| !address.is_empty())
}

fn index_in_help(help: &str) -> Option<String> {
    let (_, after) = help.split_once("--index-url <url>")?;
    let (_, after) = after.split_once("(default")?;
    let (address, _) = after.split_once(')')?;
    Some(address.split_whitespace().collect())
}

fn save(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// SHA-256, hexadecimal.
pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_index_page_are_read() {
        let json = br#"{"files": [{"filename": "a-1.tar.gz", "url": "../../x/a-1.tar.gz", "hashes": {}}]}"#;
        assert_eq!(url_in_json(json, "a-1.tar.gz").unwrap(), "../../x/a-1.tar.gz");
        assert_eq!(url_in_json(b"{}", "a-1.tar.gz"), None);
        let html = br#"<a href="/f/b-1.tar.gz#sha256=00">b</a> <a href="/f/a-1.tar.gz?x=1&amp;y">no</a>
            <a href="/g/a-1.tar.gz#sha256=11">a-1.tar.gz</a>"#;
        assert_eq!(url_in_html(html, "a-1.tar.gz").unwrap(), "/g/a-1.tar.gz");
        assert_eq!(url_in_html(b"\xff", "a-1.tar.gz"), None);
    }

    #[test]
    fn the_index_is_the_one_of_pip() {
        let config = ":env:.cert='/etc/x'\nglobal.index-url='https://index.example/simple'\n";
        assert_eq!(index_in_config(config).unwrap(), "https://index.example/simple");
        assert_eq!(index_in_config("global.timeout='1'"), None);
        let help = "  -i, --index-url <url>       Base URL of the Index (default\n             \
                    https://index.example/simple). This should";
        assert_eq!(index_in_help(help).unwrap(), "https://index.example/simple");
        assert_eq!(index_in_help("nothing"), None);
    }
}
