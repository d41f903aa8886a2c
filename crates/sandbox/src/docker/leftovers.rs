//! Containers and images of owners that are gone.
//!
//! A container ends with its owner and is then removed by the daemon, so what is left is what was made and never
//! started, and images of forks. All of it carries its owner's name.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions};

use super::daemon::{Daemon, call};
use crate::SandboxError;
use crate::local::identity::Owner;
use crate::local::leftovers::Machine;

const OWNER: &str = "swegym.owner";
/// Process ids, and so names of owners, mean something on one machine only.
const MACHINE: &str = "swegym.machine";
/// How long containers of others that are just ending may take.
const STOPPING_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Marks something as an owner's.
pub(super) fn labels(owner: &str) -> HashMap<String, String> {
    HashMap::from([(OWNER.to_owned(), owner.to_owned()), (MACHINE.to_owned(), Machine::current().text)])
}

/// What [`clean_docker_leftovers`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DockerLeftovers {
    /// Ids of containers.
    pub containers: Vec<String>,
    /// Ids of images that forks were made from.
    pub images: Vec<String>,
}

/// Removes the containers and images of owners on this machine that are gone, from the daemon at `socket`.
///
/// # Errors
/// [`SandboxError::Daemon`] when the daemon cannot be reached or does not remove them.
pub async fn clean_docker_leftovers(socket: &str) -> Result<DockerLeftovers, SandboxError> {
    clean(&Daemon::connect(socket).await?).await
}

pub(super) async fn clean(daemon: &Daemon) -> Result<DockerLeftovers, SandboxError> {
    let mut left = DockerLeftovers::default();
    for container in dead_containers(daemon).await? {
        daemon.remove_container(&container).await?;
        left.containers.push(container);
    }
    // Those on top first: an image cannot go before what was made from it.
    let mut images = dead_images(daemon).await?;
    while !images.is_empty() {
        let before = images.len();
        let mut kept = Vec::new();
        let mut failure = None;
        for image in images {
            match daemon.remove_image(&image).await {
                Ok(()) => left.images.push(image),
                Err(error) => {
                    failure = Some(error);
                    kept.push(image);
                }
            }
        }
        match failure {
            Some(error) if kept.len() == before => return Err(error),
            _ => images = kept,
        }
    }
    Ok(left)
}

async fn dead_containers(daemon: &Daemon) -> Result<Vec<String>, SandboxError> {
    // Podman has a state between running and gone that the client library does not understand, and any container may
    // come into it while it is being listed.
    let begun = patiently(async || list_containers(daemon, &["created", "running", "paused"]).await);
    let mut found = begun.await?;
    // Where others end all the time there may always be one. What has ended the daemon removes by itself, most often.
    let ended = patiently(async || list_containers(daemon, &["exited"]).await).await;
    found.extend(ended.unwrap_or_default());
    let dead = found.into_iter().filter(|container| is_dead(container.labels.as_ref()));
    Ok(dead.filter_map(|container| container.id).collect())
}

async fn list_containers(daemon: &Daemon, states: &[&str]) -> Result<Vec<ContainerSummary>, SandboxError> {
    let mut filters = filters();
    filters.insert("status".to_owned(), states.iter().map(|state| (*state).to_owned()).collect());
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    call("list containers", daemon.api.list_containers(Some(options))).await
}

async fn dead_images(daemon: &Daemon) -> Result<Vec<String>, SandboxError> {
    let options = || Some(ListImagesOptions { all: true, filters: Some(filters()), ..Default::default() });
    // Podman fails when an image that it was about to tell of has gone.
    let found = patiently(async || call("list images", daemon.api.list_images(options())).await).await?;
    let dead = found.into_iter().filter(|image| is_dead(Some(&image.labels)));
    Ok(dead.map(|image| image.id).collect())
}

/// Asks again for a while, where the daemon stumbles over what is just ending.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, SandboxError>) -> Result<T, SandboxError> {
    let give_up = tokio::time::Instant::now() + STOPPING_PATIENCE;
    loop {
        match ask().await {
            Err(_) if tokio::time::Instant::now() < give_up => tokio::time::sleep(PAUSE).await,
            asked => return asked,
        }
    }
}

fn filters() -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![OWNER.to_owned()])])
}

/// Whether the owner is known to be gone.
fn is_dead(labels: Option<&HashMap<String, String>>) -> bool {
    let label = |name| labels.and_then(|labels| labels.get(name));
    let (Some(owner), Some(machine)) = (label(OWNER).and_then(|name| Owner::parse(name)), label(MACHINE))
    else {
        return false;
    };
    Machine { text: machine.clone() }.is(&Machine::current()) && !owner.is_alive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_owners_of_this_machine_are_cleaned_up_after() {
        const DEAD: &str = "swegym-2147483647-1-0";
        assert!(is_dead(Some(&labels(DEAD))));
        assert!(!is_dead(Some(&labels(&Owner::new().unwrap().name()))));
        let mut elsewhere = labels(DEAD);
        elsewhere.insert(MACHINE.to_owned(), "another-machine 1\nboot\n".to_owned());
        assert!(!is_dead(Some(&elsewhere)));
        assert!(!is_dead(Some(&HashMap::from([(OWNER.to_owned(), DEAD.to_owned())]))));
        assert!(!is_dead(None));
    }
}
