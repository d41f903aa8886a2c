//! Archives, looked through in memory: files in them, in archives in them too. Whoever made them is hostile, so what is
//! unpacked has limits, and only bytes that really came out count: no size that an archive claims is believed.

use std::io::{Cursor, Read};

use flate2::read::MultiGzDecoder;

/// Archives in each other.
const MOST_NESTED: usize = 4;

/// How much of one archive of an image is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Unpacked, of all archives in it together.
    pub(super) bytes: u64,
    /// Files and folders.
    pub(super) entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 512 << 20, entries: 200_000 }
    }
}

/// Gives `visit` the path and the content of each file in an archive, or of the content itself where it is none. What is
/// broken gives what can be read of it. Gives back what it did not look at, and why.
pub(super) fn look_through(
    path: &str,
    content: &[u8],
    limits: Limits,
    visit: &mut dyn FnMut(&str, &[u8]),
) -> Option<&'static str> {
    let mut walk = Walk { left: limits, cut: None, visit };
    walk.look(path, content, 0);
    walk.cut
}

struct Walk<'v> {
    left: Limits,
    cut: Option<&'static str>,
    visit: &'v mut dyn FnMut(&str, &[u8]),
}

impl Walk<'_> {
    fn look(&mut self, path: &str, content: &[u8], depth: usize) {
        let Some(form) = Form::of(content) else { return (self.visit)(path, content) };
        if depth == MOST_NESTED {
            self.cut = Some("archives lie in it too deep in each other");
            return;
        }
        match form {
            Form::Zip => self.zip(path, content, depth + 1),
            Form::Tar => self.tar(path, content, depth + 1),
            Form::Gzip => self.packed(path, MultiGzDecoder::new(content), depth + 1),
            Form::Zstd => match zstd::Decoder::with_buffer(content) {
                Ok(decoder) => self.packed(path, decoder, depth + 1),
                Err(_) => (self.visit)(path, content),
            },
            Form::Other => self.cut = Some("a part of it is packed in a way that is not read"),
        }
    }

    fn packed(&mut self, path: &str, reader: impl Read, depth: usize) {
        if let Some(content) = self.unpacked(reader) {
            self.look(path, &content, depth);
        }
    }

    fn zip(&mut self, path: &str, content: &[u8], depth: usize) {
        let Ok(mut archive) = zip::ZipArchive::new(Cursor::new(content)) else {
            return (self.visit)(path, content);
        };
        for index in 0..archive.len() {
            if !self.enter() {
                return;
            }
            let file = match archive.by_index(index) {
                Ok(file) => file,
                Err(zip::result::ZipError::UnsupportedArchive(_)) => {
                    self.cut = Some("a part of it is packed in a way that is not read");
                    continue;
                }
                Err(_) => continue,
            };
            let inside = format!("{path}!{}", file.name());
            self.packed(&inside, file, depth);
        }
    }

    fn tar(&mut self, path: &str, content: &[u8], depth: usize) {
        let mut archive = tar::Archive::new(content);
        let Ok(entries) = archive.entries() else { return };
        for entry in entries.map_while(Result::ok) {
            if !self.enter() {
                return;
            }
            let inside = format!("{path}!{}", String::from_utf8_lossy(&entry.path_bytes()));
            self.packed(&inside, entry, depth);
        }
    }

    /// Counts one more entry; false where there were too many already.
    fn enter(&mut self) -> bool {
        if self.left.entries == 0 {
            self.cut = Some("it has too many files");
            return false;
        }
        self.left.entries -= 1;
        true
    }

    /// What comes out, as far as it does; none where that is too much.
    fn unpacked(&mut self, reader: impl Read) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        // Where it breaks off, what came before is there all the same.
        let _broken = reader.take(self.left.bytes + 1).read_to_end(&mut content).is_err();
        let size = content.len() as u64;
        if size > self.left.bytes {
            self.cut = Some("too much comes out of it");
            self.left = Limits { bytes: 0, entries: 0 };
            return None;
        }
        self.left.bytes -= size;
        Some(content)
    }
}

enum Form {
    Zip,
    Tar,
    Gzip,
    Zstd,
    /// bzip2 or xz.
    Other,
}

impl Form {
    /// What something is by how it begins; none for what is no archive.
    fn of(content: &[u8]) -> Option<Self> {
        match content {
            [b'P', b'K', 3, 4, ..] => Some(Self::Zip),
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..] | [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
                Some(Self::Other)
            }
            _ => content.get(257..262).is_some_and(|sign| sign == b"ustar").then_some(Self::Tar),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn gz(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn tarred(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn seen(content: &[u8], limits: Limits) -> (Vec<String>, Option<&'static str>) {
        let mut seen = Vec::new();
        let mut visit =
            |path: &str, content: &[u8]| seen.push(format!("{path}={}", String::from_utf8_lossy(content)));
        let cut = look_through("/a", content, limits, &mut visit);
        (seen, cut)
    }

    #[test]
    fn files_are_seen_through_every_kind_of_archive() {
        let wheel = zipped(&[("m/x.py", b"x = 1"), ("m/data.gz", &gz(b"text"))]);
        let sdist = gz(&tarred(&[("m-1/setup.py", b"setup()"), ("m-1/w.whl", &wheel)]));
        let all = zstd::encode_all(&tarred(&[("s.tar.gz", &sdist)])[..], 1).unwrap();
        let (files, cut) = seen(&sdist, Limits::default());
        assert_eq!(
            files,
            ["/a!m-1/setup.py=setup()", "/a!m-1/w.whl!m/x.py=x = 1", "/a!m-1/w.whl!m/data.gz=text"]
        );
        assert_eq!(cut, None);
        assert_eq!(seen(&all, Limits::default()).1, Some("archives lie in it too deep in each other"));
        assert_eq!(seen(b"plain", Limits::default()), (vec!["/a=plain".to_owned()], None));
    }

    #[test]
    fn bombs_are_given_up() {
        let small = Limits { bytes: 1 << 20, entries: 10 };
        let bomb = gz(&vec![0; 2 << 20]);
        assert_eq!(seen(&bomb, small), (vec![], Some("too much comes out of it")));
        let zeros = vec![0; 300 << 10];
        let together = zipped(&[("a", &zeros), ("b", &zeros), ("c", &zeros), ("d", &zeros), ("e", b"x")]);
        let (files, cut) = seen(&together, small);
        assert_eq!(
            (files.len(), cut),
            (3, Some("it has too many files")),
            "no more after the first that is too much"
        );
        let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let (files, cut) = seen(&tarred(&files), small);
        assert_eq!((files.len(), cut), (10, Some("it has too many files")));
        let nested = (0..50).fold(b"x".to_vec(), |content, _| gz(&content));
        assert_eq!(seen(&nested, Limits::default()).1, Some("archives lie in it too deep in each other"));
    }

    proptest! {
        #[test]
        fn whatever_is_in_an_archive_is_no_reason_to_panic(
            begin in prop::sample::select(vec![&b"PK\x03\x04"[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b""]),
            bytes: Vec<u8>,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            let small = Limits { bytes: 1 << 20, entries: 100 };
            seen(&[begin, &bytes].concat(), small);
            let inner = zipped(&[("a.py", b"x = 1\n"), ("b", &gz(&bytes))]);
            for mut archive in [tarred(&[("x", &inner), ("y", b"z")]), inner.clone(), gz(&inner)] {
                for (place, byte) in &changes {
                    let place = place.index(archive.len());
                    archive[place] = *byte;
                }
                seen(&archive, small);
            }
        }
    }
}
