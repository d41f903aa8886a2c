//! Names of images: `[registry/]repository[:tag][@digest]`, by the rules that Docker set.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Digest, OciError};

/// The registry of a name that names none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Another name of it.
const LEGACY_REGISTRY: &str = "index.docker.io";
/// Where the default registry keeps repositories without a folder.
const DEFAULT_FOLDER: &str = "library";
const DEFAULT_TAG: &str = "latest";
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

/// A full name of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: String,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry, with its port where the name has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository: folders and name.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest of the manifest, where the name pins one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What names the manifest in its repository: the digest, else the tag.
    pub fn version(&self) -> String {
        self.digest.as_ref().map_or_else(|| self.tag.clone(), Digest::to_string)
    }

    /// The tag; `latest` where the name has none.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

/// The canonical form: everything that is left out by custom is there, and a digest takes the place of the tag.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => write!(f, ":{}", self.tag),
        }
    }
}

impl FromStr for Reference {
    type Err = OciError;

    fn from_str(name: &str) -> Result<Self, OciError> {
        parse(name).map_err(|reason| OciError::BadReference { name: name.to_owned(), reason })
    }
}

impl TryFrom<String> for Reference {
    type Error = OciError;

    fn try_from(name: String) -> Result<Self, OciError> {
        name.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn parse(name: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (name, None),
    };
    let (registry, rest) = split_registry(rest);
    let (path, tag) = rest.split_once(':').unwrap_or((rest, DEFAULT_TAG));
    let folder = registry == DEFAULT_REGISTRY && !path.contains('/');
    let repository = if folder { format!("{DEFAULT_FOLDER}/{path}") } else { path.to_owned() };
    if !is_host(registry) {
        return Err("that is no name of a registry");
    }
    if repository.len() > MAX_REPOSITORY || !repository.split('/').all(is_component) {
        return Err(
            "a repository is made of lower-case letters, digits, single `.` `_` `__` `-` between them, and `/`",
        );
    }
    if !is_tag(tag) {
        return Err("a tag is made of at most 128 letters, digits, `_`, `.` and `-`");
    }
    Ok(Reference { registry: registry.to_owned(), repository, tag: tag.to_owned(), digest })
}

/// The first part names a registry when it cannot be a folder.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((LEGACY_REGISTRY, rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    }
}

/// Whether this is a host name or address with an optional port.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let valid = address.parse::<std::net::Ipv6Addr>().is_ok();
            match rest {
                "" => return valid,
                _ if !valid => return false,
                _ => ("ipv6", rest.strip_prefix(':')),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("443")),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host.len() <= 253 && host.split('.').all(label) && port.is_some_and(is_port)
}

/// Lower-case words with single separators between them.
fn is_component(component: &str) -> bool {
    let mut separator = String::new();
    let mut began = false;
    for c in component.chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            let fits = match separator.as_str() {
                "" => true,
                "." | "_" | "__" => began,
                dashes => began && dashes.bytes().all(|byte| byte == b'-'),
            };
            if !fits {
                return false;
            }
            (began, separator) = (true, String::new());
        } else {
            separator.push(c);
        }
    }
    began && separator.is_empty()
}

fn is_tag(tag: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(plain)
        && tag.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_become_canonical() {
        let pinned = format!("n:1@sha256:{HEX}");
        let pinned_full = format!("docker.io/library/n@sha256:{HEX}");
        let table = [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("index.docker.io/debian", "docker.io/library/debian:latest"),
            ("xingyaoww/sweb.eval.x86_64.a_s_b-1", "docker.io/xingyaoww/sweb.eval.x86_64.a_s_b-1:latest"),
            ("o/sweb.eval.x86_64.a_1776_b-1:latest", "docker.io/o/sweb.eval.x86_64.a_1776_b-1:latest"),
            ("localhost/n", "localhost/n:latest"),
            ("localhost:5000/n:1.0-rc_2", "localhost:5000/n:1.0-rc_2"),
            ("127.0.0.1:5000/a/b/c__d", "127.0.0.1:5000/a/b/c__d:latest"),
            ("[::1]:5000/n", "[::1]:5000/n:latest"),
            ("Registry.example.org/n", "Registry.example.org/n:latest"),
            (&pinned, &pinned_full),
        ];
        for (name, canonical) in table {
            let reference: Reference = name.parse().unwrap();
            assert_eq!(reference.to_string(), canonical, "{name}");
            assert_eq!(canonical.parse::<Reference>().unwrap().to_string(), canonical);
        }
        let pinned: Reference = pinned.parse().unwrap();
        assert_eq!((pinned.tag(), pinned.version()), ("1", format!("sha256:{HEX}")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(256);
        let long_tag = format!("n:{}", "a".repeat(129));
        let bad = [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "../a",
            "a/../b",
            "A/b",
            "n:",
            "n:.x",
            "n:a/b",
            "a b",
            "n@sha256:0",
            "a___b",
            "a._b",
            "-a",
            "a-",
            "n?x",
            "n#x",
            "h.x:99999/n",
            "h.x:+1/n",
            "h.x:/n",
            "h..x/n",
            "[::1/n",
            "[::1]x/n",
            "u:p@h.x/n",
            "n%2f",
            "n\n",
            &long,
            &long_tag,
        ];
        for name in bad {
            assert!(name.parse::<Reference>().is_err(), "{name}");
        }
    }
}
