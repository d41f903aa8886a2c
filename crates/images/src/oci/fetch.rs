//! Manifests and blobs from registries.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Response, StatusCode};

use super::blobs::{BlobCache, Partial};
use super::blocking::blocking;
use super::client::{ANSWER_TIME, Call, Endpoint, Registries, plain, read_body, refusal};
use super::manifest::{ACCEPT as MANIFESTS, Descriptor};
use super::{Digest, OciError, Reference};

/// Registries refuse larger ones.
const MAX_MANIFEST: usize = 4 << 20;
/// An interruption after so much counts as no failure: whoever sends that much will get to the end.
const PROGRESS: u64 = 1 << 20;
/// The slowest that a blob may come, in bytes a second, after [`GRACE`]: else a registry could hold us for ever.
const SLOWEST: u64 = 32 << 10;
const GRACE: Duration = Duration::from_secs(600);

/// Why a blob did not arrive in one go.
enum Broken {
    /// It may go on from here.
    Interrupted(String),
    Failed(OciError),
}

impl From<OciError> for Broken {
    fn from(error: OciError) -> Self {
        Self::Failed(error)
    }
}

impl Registries {
    /// A manifest or index by tag or digest, with the media type that it came with.
    pub(crate) async fn manifest(
        &self,
        reference: &Reference,
        version: &str,
    ) -> Result<(Vec<u8>, Option<String>), OciError> {
        let mut last = None;
        for endpoint in self.endpoints(reference.registry())? {
            match self.manifest_from(&endpoint, reference, version).await {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| OciError::NoSuchImage(reference.to_string())))
    }

    async fn manifest_from(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        version: &str,
    ) -> Result<(Vec<u8>, Option<String>), OciError> {
        let repository = reference.repository();
        let call = Call { endpoint, repository, push: false, what: format!("{repository}:{version}") };
        let url = endpoint.url(repository, &format!("manifests/{version}"))?;
        let accept = MANIFESTS.join(", ");
        let get =
            |client: &reqwest::Client| client.get(url.clone()).header(ACCEPT, &accept).timeout(ANSWER_TIME);
        let answer = self.send(&call, get).await?;
        if answer.status() != StatusCode::OK {
            return Err(refusal(&call, answer).await);
        }
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.map(|value| value.split(';').next().unwrap_or(value).trim().to_owned());
        let body = read_body(&call, answer, MAX_MANIFEST).await?;
        match version.parse::<Digest>() {
            Ok(digest) if digest != Digest::of(&body) => Err(OciError::mismatch(
                format!("the manifest `{version}`"),
                format!("its content has the digest {}", Digest::of(&body)),
            )),
            _ => Ok((body, media_type)),
        }
    }

    /// Fetches a blob into the cache, unless it is there. What an earlier try left is gone on with.
    pub(crate) async fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        cache: &BlobCache,
    ) -> Result<PathBuf, OciError> {
        if let Some(path) = cache.find(&descriptor.digest) {
            return Ok(path);
        }
        let mut last = None;
        for endpoint in self.endpoints(reference.registry())? {
            match self.blob_from(&endpoint, reference, descriptor, cache).await {
                Ok(path) => return Ok(path),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| OciError::NoSuchImage(reference.to_string())))
    }

    async fn blob_from(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        cache: &BlobCache,
    ) -> Result<PathBuf, OciError> {
        let (again, wanted) = (cache.clone(), descriptor.clone());
        let mut partial = blocking(move || again.partial(&wanted)).await?;
        if let Some(path) = cache.find(&descriptor.digest) {
            return Ok(path);
        }
        let inherited = partial.bytes() > 0;
        let repository = reference.repository();
        let call = Call { endpoint, repository, push: false, what: descriptor.digest.to_string() };
        self.fill(&call, descriptor, &mut partial).await?;
        match blocking(move || partial.keep()).await {
            // What was here before may have come from elsewhere.
            Err(OciError::Mismatch { .. }) if inherited => {
                let (again, wanted) = (cache.clone(), descriptor.clone());
                let mut partial = blocking(move || again.partial(&wanted)).await?;
                self.fill(&call, descriptor, &mut partial).await?;
                blocking(move || partial.keep()).await
            }
            kept => kept,
        }
    }

    /// Asks until everything is there.
    async fn fill(
        &self,
        call: &Call<'_>,
        descriptor: &Descriptor,
        partial: &mut Partial,
    ) -> Result<(), OciError> {
        let mut failures = 0;
        while !partial.is_whole() {
            let before = partial.bytes();
            let time = GRACE + Duration::from_secs(descriptor.size / SLOWEST);
            let stopped = || Err(Broken::Interrupted("it comes too slowly".to_owned()));
            let ended = tokio::time::timeout(time, self.fill_once(call, descriptor, partial));
            let message = match ended.await.unwrap_or_else(|_| stopped()) {
                Ok(()) => continue,
                Err(Broken::Failed(error)) => return Err(error),
                Err(Broken::Interrupted(message)) => message,
            };
            failures += 1;
            if partial.bytes() >= before.saturating_add(PROGRESS) {
                failures = 1;
            }
            if failures >= self.config.tries {
                return Err(call.unreachable(message));
            }
            self.pause(failures, None).await;
        }
        Ok(())
    }

    async fn fill_once(
        &self,
        call: &Call<'_>,
        descriptor: &Descriptor,
        partial: &mut Partial,
    ) -> Result<(), Broken> {
        let url = call.endpoint.url(call.repository, &format!("blobs/{}", descriptor.digest))?;
        let from = partial.bytes();
        let get = |client: &reqwest::Client| {
            let request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
            if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request }
        };
        let mut answer = self.send(call, get).await?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT if range_start(&answer) == Some(from) => {}
            // It does not go on where we are.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT if from > 0 => {
                partial.restart()?;
                return Err(Broken::Interrupted("it does not resume".to_owned()));
            }
            StatusCode::OK => {
                partial.restart()?;
                check_length(&answer, descriptor)?;
            }
            _ => return Err(refusal(call, answer).await.into()),
        }
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => partial.push(&chunk)?,
                Ok(None) if partial.is_whole() => return Ok(()),
                Ok(None) => return Err(Broken::Interrupted("it ends too early".to_owned())),
                Err(error) => return Err(Broken::Interrupted(plain(error))),
            }
        }
    }
}

fn check_length(answer: &Response, descriptor: &Descriptor) -> Result<(), OciError> {
    match answer.content_length() {
        Some(length) if length != descriptor.size => Err(OciError::mismatch(
            descriptor.digest.to_string(),
            format!("it has {length} bytes, and the manifest promises {}", descriptor.size),
        )),
        _ => Ok(()),
    }
}

/// First byte of what a partial answer holds.
fn range_start(answer: &Response) -> Option<u64> {
    let value = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
