//! One container: what the daemon is asked for, and its end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, LogsOptions, StartContainerOptions,
};
use futures_util::StreamExt;

use super::backend::Shared;
use super::daemon::call;
use super::images::{ForkImage, Known};
use super::kit::{CONTROL, INSIDE};
use super::leftovers::labels;
use crate::{Limits, Network, SandboxError, SandboxSpec};

/// Processes of a sandbox that are ours: init, and what it forks to run a command or open a file.
const OWN_PROCESSES: u64 = 16;
/// How long a container that failed gets to fail again, so that it can be heard.
const SECOND_START_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// Most of what it says that is told.
const LOG_BYTES: usize = 2000;

/// A container, from before it is made until it is removed.
pub(super) struct Container {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    /// What it was made from, where that is a fork's.
    image: Mutex<Option<Arc<ForkImage>>>,
    removed: AtomicBool,
    /// Held by whoever copies its files, which a daemon does not do twice at once.
    pub(super) copied: Arc<tokio::sync::Mutex<()>>,
}

impl Container {
    /// Makes a container and starts it.
    pub(super) async fn start(
        shared: &Arc<Shared>,
        name: String,
        body: Box<ContainerCreateBody>,
        image: Option<Arc<ForkImage>>,
    ) -> Result<Arc<Self>, SandboxError> {
        // From here on dropping it removes what there is of it.
        let container = Self {
            shared: Arc::clone(shared),
            name,
            image: Mutex::new(image),
            removed: AtomicBool::new(false),
            copied: Arc::default(),
        };
        let api = &shared.daemon.api;
        let options = CreateContainerOptions { name: Some(container.name.clone()), ..Default::default() };
        call("create a container", Box::pin(api.create_container(Some(options), *body))).await?;
        call("start a container", api.start_container(&container.name, None::<StartContainerOptions>))
            .await?;
        Ok(Arc::new(container))
    }

    /// Removes it, and waits until it is gone.
    pub(super) async fn end(&self) -> Result<(), SandboxError> {
        self.shared.daemon.remove_container(&self.name).await?;
        self.removed.store(true, Ordering::Relaxed);
        let image = self.lock_image().take();
        ForkImage::release(image).await;
        Ok(())
    }

    /// The image that it was made from, where that is a fork's.
    pub(super) fn image(&self) -> Option<Arc<ForkImage>> {
        self.lock_image().clone()
    }

    fn lock_image(&self) -> MutexGuard<'_, Option<Arc<ForkImage>>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has ended, or is gone.
    pub(super) async fn has_ended(&self) -> bool {
        has_ended(&self.shared, &self.name).await
    }

    /// Starts a container like the one that failed, and listens. Its output is thrown away otherwise.
    pub(super) async fn what_it_says(shared: &Arc<Shared>, mut body: Box<ContainerCreateBody>) -> String {
        if let Some(host) = &mut body.host_config {
            host.auto_remove = Some(false);
            host.log_config = None;
        }
        let Ok(second) = Self::start(shared, shared.next_name(), body, None).await else {
            return String::new();
        };
        let give_up = tokio::time::Instant::now() + SECOND_START_PATIENCE;
        while tokio::time::Instant::now() < give_up && !second.has_ended().await {
            tokio::time::sleep(PAUSE).await;
        }
        let said = tokio::time::timeout(SECOND_START_PATIENCE, second.log()).await.unwrap_or_default();
        let _ = second.end().await;
        said
    }

    async fn log(&self) -> String {
        let options = LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() };
        let mut lines = self.shared.daemon.api.logs(&self.name, Some(options));
        let mut said = Vec::new();
        while let Some(Ok(line)) = lines.next().await
            && said.len() < LOG_BYTES
        {
            said.extend_from_slice(&line.into_bytes());
        }
        said.truncate(LOG_BYTES);
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

async fn has_ended(shared: &Shared, name: &str) -> bool {
    let looked = shared.daemon.api.inspect_container(name, None::<InspectContainerOptions>);
    match call("look at a container", looked).await {
        Ok(found) => found.state.and_then(|state| state.running) != Some(true),
        Err(_) => true,
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Outside of a runtime it is left to the daemon, and to whoever cleans up after this owner.
        if !self.removed.load(Ordering::Relaxed)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (shared, name, image) =
                (Arc::clone(&self.shared), self.name.clone(), self.lock_image().take());
            runtime.spawn(async move {
                let _ = shared.daemon.remove_container(&name).await;
                ForkImage::release(image).await;
            });
        }
    }
}

/// What the daemon is asked for.
pub(super) struct Order<'a> {
    pub(super) shared: &'a Shared,
    pub(super) spec: &'a SandboxSpec,
    pub(super) known: &'a Known,
    /// Id of the image; that of a fork's is not the known one.
    pub(super) image: &'a str,
    pub(super) workdir: &'a Path,
    /// The folder with the control socket.
    pub(super) control: &'a Path,
    pub(super) limit_disk: bool,
}

impl Order<'_> {
    pub(super) fn body(&self) -> Box<ContainerCreateBody> {
        let mut command = self.shared.kit.command.clone();
        command.push(self.workdir.to_string_lossy().into_owned());
        let arguments = command.split_off(1);
        let env = self.known.loader_variables().map(|name| format!("{name}="));
        let no_health_check = HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() };
        Box::new(ContainerCreateBody {
            image: Some(self.image.to_owned()),
            hostname: Some("sandbox".to_owned()),
            env: Some(env.collect()),
            entrypoint: Some(command),
            cmd: Some(arguments),
            working_dir: Some("/".to_owned()),
            tty: Some(false),
            open_stdin: Some(false),
            labels: Some(labels(&self.shared.owner)),
            healthcheck: self.known.has_health_check.then_some(no_health_check),
            host_config: Some(self.host_config()),
            ..ContainerCreateBody::default()
        })
    }

    fn host_config(&self) -> HostConfig {
        // Disks are limited device by device, which are the daemon's to know.
        let Limits { memory_bytes, processes, disk_bytes, cpu_millis, io_bytes_per_second: _ } =
            self.spec.limits;
        let mut security = vec!["no-new-privileges".to_owned()];
        if self.shared.daemon.has_security_option("selinux") {
            security.push("label=disable".to_owned());
        }
        let disk = HashMap::from([("size".to_owned(), disk_bytes.to_string())]);
        HostConfig {
            memory: Some(number(memory_bytes)),
            // Together with swap: swap would only delay the end.
            memory_swap: Some(number(memory_bytes)),
            nano_cpus: cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
            pids_limit: Some(number(processes.saturating_add(OWN_PROCESSES))),
            shm_size: Some(number(disk_bytes)),
            storage_opt: self.limit_disk.then_some(disk),
            network_mode: Some(network(&self.spec.network).to_owned()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(security),
            init: Some(false),
            auto_remove: Some(true),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            mounts: Some(self.mounts()),
            ..HostConfig::default()
        }
    }

    fn mounts(&self) -> Vec<Mount> {
        let ours = [
            (self.shared.kit.folder.clone(), PathBuf::from(INSIDE), false),
            (self.control.to_owned(), Path::new(INSIDE).join(CONTROL), false),
        ];
        let binds = ours.iter().chain(&self.spec.extra_binds);
        binds
            .map(|(source, target, writable)| Mount {
                typ: Some(MountType::BIND),
                source: Some(source.to_string_lossy().into_owned()),
                target: Some(target.to_string_lossy().into_owned()),
                read_only: Some(!writable),
                ..Mount::default()
            })
            .collect()
    }
}

fn network(network: &Network) -> &'static str {
    match network {
        // The proxy of a list is reached by a socket of the container's own loopback.
        Network::None | Network::Allowlist(_) => "none",
        Network::Host => "host",
    }
}

/// The API counts in signed numbers.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
