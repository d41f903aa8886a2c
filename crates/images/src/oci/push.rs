//! Images of ours to registries.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Response, StatusCode, Url};

use super::blobs::BlobCache;
use super::client::{ANSWER_TIME, Call, Endpoint, Registries, refusal};
use super::export::Exported;
use super::manifest::{Descriptor, OCI_MANIFEST};
use super::{Digest, OciError, Reference};

const CHUNK: usize = 1 << 18;

/// Uploads an image and gives it its tag. Blobs that the registry has are left alone.
///
/// # Errors
/// [`OciError`] says what the registry did not take.
pub async fn push(
    registries: &Registries,
    image: &Exported,
    cache: &BlobCache,
    reference: &Reference,
    jobs: usize,
) -> Result<(), OciError> {
    if reference.digest().is_some() {
        return Err(OciError::BadReference {
            name: reference.to_string(),
            reason: "the digest follows from what is pushed; give a tag",
        });
    }
    let endpoint = registries.endpoint(reference.registry())?;
    let blobs = stream::iter(image.blobs()).map(|blob| upload(registries, &endpoint, reference, blob, cache));
    blobs.buffer_unordered(jobs.max(1)).try_collect::<()>().await?;
    put_manifest(registries, &endpoint, reference, image).await
}

async fn upload(
    registries: &Registries,
    endpoint: &Endpoint,
    reference: &Reference,
    blob: &Descriptor,
    cache: &BlobCache,
) -> Result<(), OciError> {
    let repository = reference.repository();
    let call = Call { endpoint, repository, push: true, what: blob.digest.to_string() };
    let url = endpoint.url(repository, &format!("blobs/{}", blob.digest))?;
    let known = registries.send(&call, |client| client.head(url.clone()).timeout(ANSWER_TIME)).await?;
    if known.status() == StatusCode::OK {
        return Ok(());
    }
    let path = cache.path(&blob.digest);
    let mut failures = 0;
    loop {
        // An upload that broke off is begun anew: its address is good for one try.
        let location = begin(registries, &call).await?;
        match send_blob(registries, &call, location, blob, &path).await {
            Ok(answer) if answer.status() == StatusCode::CREATED => return Ok(()),
            Ok(answer) => return Err(refusal(&call, answer).await),
            Err(error) if failures + 1 >= registries.config.tries => return Err(error),
            Err(_) => failures += 1,
        }
        registries.pause(failures, None).await;
    }
}

async fn begin(registries: &Registries, call: &Call<'_>) -> Result<Url, OciError> {
    let url = call.endpoint.url(call.repository, "blobs/uploads/")?;
    let post =
        |client: &reqwest::Client| client.post(url.clone()).header(CONTENT_LENGTH, 0).timeout(ANSWER_TIME);
    let answer = registries.send(call, post).await?;
    if answer.status() != StatusCode::ACCEPTED {
        return Err(refusal(call, answer).await);
    }
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.and_then(|location| url.join(location).ok());
    let location = location.filter(|to| to.scheme() == url.scheme() || to.scheme() == "https");
    location.ok_or_else(|| call.unreachable("it does not say where to upload to"))
}

async fn send_blob(
    registries: &Registries,
    call: &Call<'_>,
    mut location: Url,
    blob: &Descriptor,
    path: &Path,
) -> Result<Response, OciError> {
    location.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
    let put = |client: &reqwest::Client| {
        let request = client.put(location.clone()).header(CONTENT_LENGTH, blob.size);
        request.header(CONTENT_TYPE, "application/octet-stream").body(body(path))
    };
    registries.send(call, put).await
}

/// A file, piece by piece. What keeps it from being read breaks the upload off.
fn body(path: &Path) -> Body {
    let pieces = stream::try_unfold(File::open(path), |file| async {
        let mut file = file?;
        let mut piece = vec![0; CHUNK];
        let read = file.read(&mut piece)?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, Ok(file))))
    });
    Body::wrap_stream(pieces)
}

async fn put_manifest(
    registries: &Registries,
    endpoint: &Endpoint,
    reference: &Reference,
    image: &Exported,
) -> Result<(), OciError> {
    let (repository, tag) = (reference.repository(), reference.tag());
    let call = Call { endpoint, repository, push: true, what: format!("{repository}:{tag}") };
    let url = endpoint.url(repository, &format!("manifests/{tag}"))?;
    let put = |client: &reqwest::Client| {
        let request = client.put(url.clone()).header(CONTENT_TYPE, OCI_MANIFEST).timeout(ANSWER_TIME);
        request.body(image.bytes.clone())
    };
    let answer = registries.send(&call, put).await?;
    if answer.status() != StatusCode::CREATED {
        return Err(refusal(&call, answer).await);
    }
    let stored = answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    match stored.map(str::parse::<Digest>) {
        Some(Ok(stored)) if stored != image.digest => {
            Err(OciError::mismatch(format!("`{reference}`"), format!("the registry has stored {stored}")))
        }
        _ => Ok(()),
    }
}
