//! Credentials, as Docker and Podman keep them, and what registries ask for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::OciError;
use super::manifest::read_json;

/// Keys that Docker keeps the credentials of its own registry under.
const DEFAULT_REGISTRY_KEYS: [&str; 3] = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];

/// Credentials for registries. They are shown nowhere.
#[derive(Clone, Default)]
pub struct Credentials {
    auths: BTreeMap<String, Login>,
    helpers: BTreeMap<String, String>,
    default_helper: Option<String>,
}

/// One registry's.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    Password {
        user: String,
        password: String,
    },
    /// To be exchanged for tokens.
    Identity(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&String> = self.auths.keys().chain(self.helpers.keys()).collect();
        f.debug_struct("Credentials").field("hosts", &hosts).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// Reads a file such as `~/.docker/config.json`. One that is not there holds nothing.
    ///
    /// # Errors
    /// [`OciError`] when it cannot be read or is no such file.
    pub fn read(path: &Path) -> Result<Self, OciError> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(OciError::io("read", path))?,
        };
        let file: ConfigFile = read_json(&bytes, &format!("the credentials in `{}`", path.display()))?;
        let login = |(host, entry): (String, Entry)| Some((host, entry.login()?));
        Ok(Self {
            auths: file.auths.into_iter().filter_map(login).collect(),
            helpers: file.cred_helpers,
            default_helper: file.creds_store.filter(|helper| !helper.is_empty()),
        })
    }

    /// For a registry by the host it is reached at, or a repository of it: the longest key that fits.
    pub(crate) async fn login(&self, host: &str, repository: &str) -> Result<Option<Login>, OciError> {
        let keys = keys(host, repository);
        if let Some(login) = keys.iter().find_map(|key| self.auths.get(key)) {
            return Ok(Some(login.clone()));
        }
        match keys.iter().find_map(|key| Some((self.helpers.get(key)?, key))) {
            Some((helper, key)) => ask_helper(helper, key).await,
            None => match (&self.default_helper, keys.last()) {
                (Some(helper), Some(key)) => ask_helper(helper, key).await,
                _ => Ok(None),
            },
        }
    }
}

/// Keys under which the credentials may be, the most special first.
fn keys(host: &str, repository: &str) -> Vec<String> {
    let full = format!("{host}/{repository}");
    let mut keys = vec![full.clone()];
    keys.extend(full.rmatch_indices('/').map(|(slash, _)| full[..slash].to_owned()));
    keys.push(format!("https://{host}"));
    keys.push(format!("https://{host}/v1/"));
    keys.push(format!("https://{host}/v2/"));
    if host == super::client::DEFAULT_HOST {
        keys.extend(DEFAULT_REGISTRY_KEYS.map(str::to_owned));
    } else {
        // Helpers know registries by their plain names.
        keys.push(host.to_owned());
    }
    keys
}

impl Entry {
    fn login(self) -> Option<Login> {
        if let Some(token) = self.identitytoken.filter(|token| !token.is_empty()) {
            return Some(Login::Identity(token));
        }
        if let (Some(user), Some(password)) = (self.username, self.password) {
            return Some(Login::Password { user, password });
        }
        let decoded = String::from_utf8(STANDARD.decode(self.auth?.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Login::Password { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
    }
}

/// Asks a program `docker-credential-NAME`, by Docker's protocol: the registry on its standard input, JSON back.
async fn ask_helper(helper: &str, registry: &str) -> Result<Option<Login>, OciError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    use tokio::io::AsyncWriteExt;
    let failed = |reason: String| OciError::BadSettings(format!("credential helper `{helper}`: {reason}"));
    if !helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(failed("that is no name of a program".to_owned()));
    }
    let mut command = tokio::process::Command::new(format!("docker-credential-{helper}"));
    let pipe = std::process::Stdio::piped;
    command.arg("get").stdin(pipe()).stdout(pipe()).stderr(pipe()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(registry.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().await.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        // It does not know the registry; others may be asked without credentials.
        return Ok(None);
    }
    let answer: Answer = read_json(&output.stdout, "the answer of a credential helper")?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Login::Identity(answer.secret),
        _ => Login::Password { user: answer.username, password: answer.secret },
    }))
}

/// What a registry that refuses asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        Some(Self::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        })
    }
}

/// `key="value"` pairs with commas between them; values may hold commas.
fn parameters(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((key, rest)) = text.split_once('=') {
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.insert(key.trim_matches([' ', ',']).to_ascii_lowercase(), value.to_owned());
        text = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_most_special_credentials_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let encoded = STANDARD.encode("user:pass:word");
        let file = serde_json::json!({"auths": {
            "registry.example.org": {"auth": encoded},
            "registry.example.org/team": {"username": "team", "password": "secret"},
            "https://index.docker.io/v1/": {"identitytoken": "identity"},
            "https://old.example.org/v1/": {"auth": STANDARD.encode("old:old")},
            "empty.example.org": {},
        }, "HttpHeaders": {}});
        std::fs::write(&path, file.to_string()).unwrap();
        let credentials = Credentials::read(&path).unwrap();
        let login = async |host: &str, repository: &str| credentials.login(host, repository).await.unwrap();
        let password = |user: &str, password: &str| {
            Some(Login::Password { user: user.to_owned(), password: password.to_owned() })
        };
        assert!(login("registry.example.org", "other/x").await == password("user", "pass:word"));
        assert!(login("registry.example.org", "team/x").await == password("team", "secret"));
        assert!(login("old.example.org", "x").await == password("old", "old"));
        assert!(
            login(super::super::client::DEFAULT_HOST, "library/x").await
                == Some(Login::Identity("identity".to_owned()))
        );
        for host in
            ["example.org", "empty.example.org", "registry.example.org:5000", "evil-registry.example.org"]
        {
            assert!(login(host, "x").await.is_none(), "{host}");
        }
        assert!(!format!("{credentials:?}").contains("secret"));
        assert!(
            Credentials::read(&folder.path().join("none")).unwrap().login("a", "b").await.unwrap().is_none()
        );
    }

    #[test]
    fn challenges_are_read() {
        let bearer = r#"Bearer realm="https://auth.example.org/token",service="registry",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example.org/token".to_owned(),
            service: Some("registry".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        assert_eq!(Challenge::parse(bearer), Some(expected));
        assert_eq!(Challenge::parse(r#"Basic realm="x""#), Some(Challenge::Basic));
        for none in ["", "Bearer", "Bearer service=x", "Negotiate", "Bearer ====,,,\"\""] {
            assert_eq!(Challenge::parse(none), None, "{none}");
        }
    }
}
