//! Images of ours as archives that other tools load.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;
use tar::{EntryType, Header};
use tempfile::NamedTempFile;

use super::blobs::{BlobCache, length};
use super::export::{Exported, to_json};
use super::manifest::{Descriptor, Index, OCI_INDEX, OCI_MANIFEST};
use super::{OciError, Reference};

/// Where tools look for the tag, and for the full name.
pub(crate) const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";
pub(crate) const NAME_ANNOTATION: &str = "io.containerd.image.name";
pub(crate) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveForm {
    /// An OCI layout in a tar file.
    OciArchive,
    /// An OCI layout in a folder.
    OciLayout,
    /// What `docker load` reads in every version. Its layers should not be compressed.
    DockerArchive,
}

/// Writes an image. What was at `path` is replaced at the end; a folder must be new or empty.
///
/// # Errors
/// [`OciError`] when it cannot be written.
pub fn write_archive(
    image: &Exported,
    cache: &BlobCache,
    reference: &Reference,
    form: ArchiveForm,
    path: &Path,
) -> Result<(), OciError> {
    if form == ArchiveForm::OciLayout {
        let mut sink = Sink::open_folder(path)?;
        return write_layout(image, cache, reference, &mut sink);
    }
    let failed = OciError::io("write", path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = NamedTempFile::new_in(folder).map_err(&failed)?;
    let mut sink = Sink::Tar(BufWriter::with_capacity(1 << 17, file));
    match form {
        ArchiveForm::DockerArchive => write_docker(image, cache, reference, &mut sink)?,
        ArchiveForm::OciArchive | ArchiveForm::OciLayout => write_layout(image, cache, reference, &mut sink)?,
    }
    let Sink::Tar(mut out) = sink else { return Ok(()) };
    out.write_all(&[0; 1024]).map_err(&failed)?;
    let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
    // Files of other people are readable to them; temporary ones are not.
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(&failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

fn write_layout(
    image: &Exported,
    cache: &BlobCache,
    reference: &Reference,
    sink: &mut Sink<'_>,
) -> Result<(), OciError> {
    let mut entry = Descriptor::new(OCI_MANIFEST, image.digest.clone(), image.bytes.len() as u64);
    entry.annotations.insert(NAME_ANNOTATION.to_owned(), reference.to_string());
    entry.annotations.insert(TAG_ANNOTATION.to_owned(), reference.tag().to_owned());
    let index = Index { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests: vec![entry] };
    sink.bytes("oci-layout", LAYOUT.as_bytes())?;
    sink.bytes("index.json", &to_json(&index)?)?;
    ["blobs/", "blobs/sha256/"].into_iter().try_for_each(|folder| sink.folder_entry(folder))?;
    sink.bytes(&format!("blobs/sha256/{}", image.digest.hex()), &image.bytes)?;
    for blob in image.blobs() {
        sink.file(&format!("blobs/sha256/{}", blob.digest.hex()), &cache.path(&blob.digest))?;
    }
    Ok(())
}

fn write_docker(
    image: &Exported,
    cache: &BlobCache,
    reference: &Reference,
    sink: &mut Sink<'_>,
) -> Result<(), OciError> {
    let config = format!("{}.json", image.manifest.config.digest.hex());
    let layer = |layer: &Descriptor| format!("{}/layer.tar", layer.digest.hex());
    let layers: Vec<String> = image.manifest.layers.iter().map(layer).collect();
    let tags: Vec<String> = reference.digest().is_none().then(|| reference.to_string()).into_iter().collect();
    let manifest = json!([{"Config": config, "RepoTags": tags, "Layers": layers}]);
    sink.bytes("manifest.json", manifest.to_string().as_bytes())?;
    for blob in image.blobs() {
        let is_config = blob.digest == image.manifest.config.digest;
        let name = if is_config { config.clone() } else { layer(blob) };
        if let Some((folder, _)) = name.split_once('/') {
            sink.folder_entry(&format!("{folder}/"))?;
        }
        sink.file(&name, &cache.path(&blob.digest))?;
    }
    Ok(())
}

/// Where the files of an archive go.
enum Sink<'a> {
    Folder(&'a Path),
    Tar(BufWriter<NamedTempFile>),
}

impl<'a> Sink<'a> {
    fn open_folder(path: &'a Path) -> Result<Self, OciError> {
        fs::create_dir_all(path).map_err(OciError::io("make", path))?;
        let taken = fs::read_dir(path).map_err(OciError::io("read", path))?.next().is_some();
        if taken {
            let reason = "the folder is not empty".to_owned();
            return Err(OciError::Archive { path: path.to_owned(), reason });
        }
        Ok(Self::Folder(path))
    }

    /// Some tools cannot unpack a file whose folder has no entry of its own, unless they are root.
    fn folder_entry(&mut self, name: &str) -> Result<(), OciError> {
        let Self::Tar(out) = self else { return Ok(()) };
        let written = header(EntryType::Directory, Path::new(name), 0)
            .and_then(|header| out.write_all(header.as_bytes()));
        written.map_err(OciError::io("write", Path::new(name)))
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), OciError> {
        self.copy(name, bytes.len() as u64, bytes)
    }

    fn file(&mut self, name: &str, path: &Path) -> Result<(), OciError> {
        let size = length(path)?;
        self.copy(name, size, File::open(path).map_err(OciError::io("read", path))?)
    }

    fn copy(&mut self, name: &str, size: u64, mut content: impl io::Read) -> Result<(), OciError> {
        let name_path = Path::new(name);
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let made = path.parent().map_or(Ok(()), fs::create_dir_all);
                let copied =
                    made.and_then(|()| io::copy(&mut content, &mut File::create_new(&path)?)).map(drop);
                copied.map_err(OciError::io("write", &path))
            }
            Self::Tar(out) => {
                let header =
                    header(EntryType::Regular, name_path, size).map_err(OciError::io("write", name_path))?;
                out.write_all(header.as_bytes())
                    .and_then(|()| io::copy(&mut content, out))
                    .and_then(|copied| {
                        let padding = usize::try_from(copied.wrapping_neg() % 512).unwrap_or_default();
                        out.write_all(&[0; 512][..padding])
                    })
                    .map_err(OciError::io("write", name_path))
            }
        }
    }
}

/// A header that says nothing of when, where and by whom the archive was written.
fn header(kind: EntryType, name: &Path, size: u64) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_path(name)?;
    header.set_cksum();
    Ok(header)
}
