//! Talking to the container daemon. Every call has a time limit: a daemon that hangs is an error.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ImageInspect, SystemInfo};
use bollard::query_parameters::{InspectContainerOptions, RemoveContainerOptions, RemoveImageOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::SandboxError;

/// How long the daemon may take to say what it is, on a machine that is busy.
const HELLO_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take for anything else, but for pulling images.
const CALL_PATIENCE: Duration = Duration::from_secs(120);
/// How long a container may take to go after it was told to.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a container that is going.
const PAUSE: Duration = Duration::from_millis(10);
/// Oldest API that has everything used here: Docker 20.10, Podman 3.
const OLDEST_API: (usize, usize) = (1, 40);

/// One image is made or removed at a time: Podman builds an image on a layer of the same content that another one
/// has, and then does not find it where that one is removed meanwhile.
pub(super) static IMAGE_CHANGES: Mutex<()> = Mutex::const_new(());

const NOT_FOUND: u16 = 404;
const ROOT: u32 = 0;

/// A daemon that has been talked to.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub(super) api: Docker,
    pub(super) info: Box<SystemInfo>,
    /// Whether it runs as an ordinary user, from whom the kernel may keep some limits.
    pub(super) is_rootless: bool,
}

impl Daemon {
    /// Finds out what is behind an address: a path, or `unix://` and a path.
    pub(super) async fn connect(address: &str) -> Result<Self, SandboxError> {
        Self::connect_within(address, HELLO_PATIENCE).await
    }

    async fn connect_within(address: &str, patience: Duration) -> Result<Self, SandboxError> {
        let socket = socket_path(address)?;
        let user = within(patience, "connect", knock(&socket)).await?;
        let path = socket.to_string_lossy();
        let api = Docker::connect_with_unix(&path, CALL_PATIENCE.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| refused("connect", &error))?;
        let api = call_within(patience, "ask for its version", api.negotiate_version()).await?;
        let version = api.client_version();
        if (version.major_version, version.minor_version) < OLDEST_API {
            return Err(SandboxError::Daemon {
                message: format!("it speaks version {version} of the API"),
                hint: Some("use Docker 20.10, Podman 3, or later"),
            });
        }
        let info = Box::new(call_within(patience, "ask what it can do", api.info()).await?);
        match info.os_type.as_deref() {
            None | Some("linux") => Ok(Self { api, info, is_rootless: user != Some(ROOT) }),
            Some(other) => Err(SandboxError::Daemon {
                message: format!("its containers are of `{other}`"),
                hint: Some("switch it to Linux containers"),
            }),
        }
    }

    /// Kills and removes a container, by id or name, and waits until it is gone.
    pub(super) async fn remove_container(&self, container: &str) -> Result<(), SandboxError> {
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        let removed = self.api.remove_container(container, Some(options));
        match tokio::time::timeout(CALL_PATIENCE, removed).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if is_missing(&error) => Ok(()),
            // Containers are also removed by the daemon itself when they end, and the two may meet.
            Ok(Err(error)) => self.wait_until_gone(container, &error).await,
            Err(_) => Err(hung("remove a container")),
        }
    }

    async fn wait_until_gone(&self, container: &str, why: &Error) -> Result<(), SandboxError> {
        let give_up = tokio::time::Instant::now() + REMOVAL_PATIENCE;
        while tokio::time::Instant::now() < give_up {
            let looked = self.api.inspect_container(container, None::<InspectContainerOptions>);
            match tokio::time::timeout(CALL_PATIENCE, looked).await {
                Ok(Err(error)) if is_missing(&error) => return Ok(()),
                Ok(_) => tokio::time::sleep(PAUSE).await,
                Err(_) => break,
            }
        }
        Err(refused("remove a container", why))
    }

    /// Removes an image that no container uses any more.
    pub(super) async fn remove_image(&self, image: &str) -> Result<(), SandboxError> {
        let _alone = IMAGE_CHANGES.lock().await;
        let options = RemoveImageOptions { force: true, ..RemoveImageOptions::default() };
        let removed = self.api.remove_image(image, Some(options), None);
        match tokio::time::timeout(CALL_PATIENCE, removed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if is_missing(&error) => Ok(()),
            Ok(Err(error)) => Err(refused("remove an image", &error)),
            Err(_) => Err(hung("remove an image")),
        }
    }

    /// What the daemon knows of an image; `None` when it does not have it.
    pub(super) async fn find_image(&self, reference: &str) -> Result<Option<ImageInspect>, SandboxError> {
        match tokio::time::timeout(CALL_PATIENCE, self.api.inspect_image(reference)).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(error)) if is_missing(&error) => Ok(None),
            Ok(Err(error)) => Err(refused("look for an image", &error)),
            Err(_) => Err(hung("look for an image")),
        }
    }

    /// Whether the daemon names this among what protects its containers.
    pub(super) fn has_security_option(&self, name: &str) -> bool {
        let options = self.info.security_options.iter().flatten();
        options
            .flat_map(|option| option.split(','))
            .any(|part| part == name || part == format!("name={name}"))
    }
}

/// The socket of a daemon on this machine.
fn socket_path(address: &str) -> Result<PathBuf, SandboxError> {
    match address.strip_prefix("unix://").unwrap_or(address) {
        path if path.starts_with('/') => Ok(path.into()),
        _ => Err(SandboxError::Daemon {
            message: format!("`{address}` is not a Unix socket of this machine"),
            hint: Some("run it where the daemon runs: sandboxes need a socket that both can reach"),
        }),
    }
}

/// Connects once, because what the client library says of a failure is less clear. Returns the daemon's user.
async fn knock(socket: &Path) -> Result<Option<u32>, SandboxError> {
    let error = match UnixStream::connect(socket).await {
        Ok(connection) => return Ok(connection.peer_cred().ok().map(|peer| peer.uid())),
        Err(error) => error,
    };
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "join the group that owns the socket (often `docker`), or use Podman's socket of your own user"
        }
        _ => "start the daemon: `systemctl start docker`, or `systemctl --user start podman.socket`",
    };
    Err(SandboxError::Daemon {
        message: format!("connect to `{}`: {error}", socket.display()),
        hint: Some(hint),
    })
}

/// Waits for an answer of the daemon.
pub(super) async fn call<T>(
    what: &'static str,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, SandboxError> {
    call_within(CALL_PATIENCE, what, asked).await
}

async fn call_within<T>(
    patience: Duration,
    what: &'static str,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, SandboxError> {
    within(patience, what, async { asked.await.map_err(|error| refused(what, &error)) }).await
}

async fn within<T>(
    patience: Duration,
    what: &'static str,
    asked: impl Future<Output = Result<T, SandboxError>>,
) -> Result<T, SandboxError> {
    tokio::time::timeout(patience, asked).await.unwrap_or_else(|_| Err(hung(what)))
}

fn hung(what: &str) -> SandboxError {
    SandboxError::Daemon {
        message: format!("{what}: it does not answer"),
        hint: Some("look at the daemon's log; restart it"),
    }
}

/// What the daemon said against it.
fn refused(what: &str, error: &Error) -> SandboxError {
    SandboxError::Daemon { message: format!("{what}: {}", said(error)), hint: None }
}

/// The words of the daemon without those of the client library, on one line.
pub(super) fn said(error: &Error) -> String {
    let text = match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        Error::RequestTimeoutError => "it does not answer".to_owned(),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: NOT_FOUND, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(address: &str) -> (String, Vec<String>) {
        let error = Daemon::connect_within(address, Duration::from_millis(200)).await.unwrap_err();
        (error.to_string(), error.hints())
    }

    #[tokio::test]
    async fn a_daemon_elsewhere_is_refused() {
        let (message, hints) = failure("tcp://192.0.2.1:2375").await;
        assert_eq!(
            message,
            "use the container daemon: `tcp://192.0.2.1:2375` is not a Unix socket of this machine"
        );
        assert_eq!(hints.len(), 1);
    }

    #[tokio::test]
    async fn nobody_there_and_closed_doors_are_told_with_hints() {
        let (message, hints) = failure("unix:///no/such/socket").await;
        assert!(message.contains("connect to `/no/such/socket`: No such file"), "{message}");
        assert!(hints[0].contains("start the daemon"));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (message, hints) = failure(path.to_str().unwrap()).await;
        assert!(message.contains("Connection refused"), "{message}");
        assert!(hints[0].contains("start the daemon"));
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (message, _) = failure(path.to_str().unwrap()).await;
        assert_eq!(message, "use the container daemon: ask for its version: it does not answer");
    }
}
