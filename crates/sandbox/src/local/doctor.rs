//! What this machine lacks for sandboxes, and what can be done about it.

use std::fs;
use std::path::Path;

use nix::unistd::Uid;
use swegym_images::{HostBind, Image, ImageConfig};

use super::backend::{LocalBackend, LocalConfig};
use super::base::host_base;
use super::identity::is_privileged;
use super::init::{LandlockSupport, STEP_OVERLAY, STEP_PROC, landlock_support};
use crate::{Backend, ExecRequest, Limits, Network, SandboxError, SandboxSpec, Upper};

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Sandboxes work, with something missing.
    Warn,
    /// Sandboxes do not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What was looked at.
    pub name: &'static str,
    /// How well it is.
    pub level: Level,
    /// What was found.
    pub detail: String,
    /// What the user can do about it.
    pub fix: Option<String>,
}

impl Probe {
    fn new(name: &'static str, level: Level, detail: impl Into<String>) -> Self {
        Self { name, level, detail: detail.into(), fix: None }
    }

    fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Oldest kernel on which everything used here works.
const OLDEST_KERNEL: (u32, u32) = (5, 15);
/// Since this kernel a tmpfs holds the attributes with which an ordinary user's overlay marks replaced folders.
const USER_ATTRIBUTES_KERNEL: (u32, u32) = (6, 6);

/// A setting of the kernel that forbids user namespaces to ordinary users: its file, the value that forbids,
/// and what allows them.
const FORBIDDING: [(&str, &str, &str); 3] = [
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

/// Looks at everything that sandboxes need, and makes one.
pub async fn probe(config: &LocalConfig) -> Vec<Probe> {
    let run = smoke_run(config).await;
    let mut probes = vec![kernel(), user_namespaces(&run)];
    probes.push(mounted("overlayfs", STEP_OVERLAY, &run));
    probes.push(mounted("proc", STEP_PROC, &run));
    if let Ok(findings) = &run {
        probes.push(limits(findings));
        probes.push(system_calls(findings.filter.as_deref()));
        probes.push(landlock());
    }
    probes.push(sandbox(&run));
    probes
}

/// Limits that do not hold.
struct Findings {
    /// Of those that every sandbox has.
    every: Vec<String>,
    /// Of all there are.
    all: Vec<String>,
    /// Why there is no filter of system calls, where there is none.
    filter: Option<String>,
}

/// What was found, or what failed.
type Run = Result<Findings, SandboxError>;

/// Every limit, whatever its value.
const ALL_LIMITS: Limits = Limits {
    memory_bytes: 1,
    processes: 1,
    disk_bytes: 1,
    cpu_millis: Some(1),
    io_bytes_per_second: Some(1),
};

/// Runs `true` in a sandbox with the programs of the host.
async fn smoke_run(config: &LocalConfig) -> Run {
    let backend = LocalBackend::start(config).await?;
    let sandbox = backend.create(&smoke_spec()).await?;
    let output = sandbox.exec(&ExecRequest::new(["true"])).await?;
    sandbox.destroy().await?;
    if !output.success() {
        return Err(SandboxError::Start {
            program: "true".to_owned(),
            message: format!("it ended with {:?}", output.status),
        });
    }
    let no_filter = backend.no_filter().map(str::to_owned);
    let limits = |mut sentences: Vec<String>| {
        sentences.retain(|sentence| Some(sentence) != no_filter.as_ref());
        sentences
    };
    Ok(Findings {
        every: limits(backend.unenforced()),
        all: limits(backend.unenforced_of(&ALL_LIMITS)),
        filter: no_filter,
    })
}

fn smoke_spec() -> SandboxSpec {
    let binds: Vec<HostBind> = host_base();
    SandboxSpec {
        image: Image { config: ImageConfig { binds, ..ImageConfig::default() }, ..Image::default() },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
}

fn kernel() -> Probe {
    let release = read("/proc/sys/kernel/osrelease");
    let detail = format!("Linux {release}");
    match kernel_version(&release) {
        Some(version) if version < OLDEST_KERNEL => Probe::new("kernel", Level::Fail, detail)
            .with_fix(format!("use Linux {}.{} or later", OLDEST_KERNEL.0, OLDEST_KERNEL.1)),
        Some(version) if version < USER_ATTRIBUTES_KERNEL && !is_privileged() => {
            let detail =
                format!("{detail}: without root, a folder of an image cannot be removed and made again");
            Probe::new("kernel", Level::Warn, detail).with_fix("use Linux 6.6 or later, or run as root")
        }
        _ => Probe::new("kernel", Level::Ok, detail),
    }
}

/// Major and minor version.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn user_namespaces(run: &Run) -> Probe {
    const NAME: &str = "user namespaces";
    let forbidden = FORBIDDING.iter().find(|(file, value, _)| read(format!("/proc/sys/{file}")) == *value);
    match (run, forbidden) {
        (Ok(_), _) if is_privileged() => Probe::new(NAME, Level::Ok, "running as root"),
        (Ok(_), _) => Probe::new(NAME, Level::Ok, "open to ordinary users"),
        (Err(_), Some((file, value, fix))) => {
            Probe::new(NAME, Level::Fail, format!("`{}` is {value}", file.replace('/', "."))).with_fix(*fix)
        }
        (Err(SandboxError::Create { step, message }), None) if step == "make namespaces" => {
            Probe::new(NAME, Level::Fail, message.clone())
                .with_fix("run as root, or outside of a container that forbids them")
        }
        (Err(_), None) => Probe::new(NAME, Level::Ok, "not forbidden by any setting"),
    }
}

/// Whether a mount went well. The steps of making a sandbox come one after the other, so one that came before
/// the failing one did.
fn mounted(name: &'static str, step: &str, run: &Run) -> Probe {
    let steps = ["make namespaces", STEP_OVERLAY, STEP_PROC];
    let place = |step: &str| steps.iter().position(|known| *known == step);
    match run {
        Ok(_) => Probe::new(name, Level::Ok, "mounted in a sandbox"),
        Err(SandboxError::Create { step: failed, message }) if failed == step => {
            Probe::new(name, Level::Fail, message.clone()).with_fix(mount_fix(step))
        }
        Err(SandboxError::Create { step: failed, .. }) if place(failed) > place(step) => {
            Probe::new(name, Level::Ok, "mounted in a sandbox")
        }
        Err(_) => Probe::new(name, Level::Warn, "not reached"),
    }
}

fn mount_fix(step: &str) -> &'static str {
    if step == STEP_PROC {
        "run outside of a container that hides parts of /proc, or with `--security-opt systempaths=unconfined`"
    } else {
        "load the `overlay` module; keep the images on a local file system that is not itself an overlay"
    }
}

fn limits(Findings { every, all, .. }: &Findings) -> Probe {
    let on_demand: Vec<&str> =
        all.iter().filter(|sentence| !every.contains(sentence)).map(String::as_str).collect();
    if !every.is_empty() {
        return Probe::new("limits", Level::Warn, all.join("; ")).with_fix(limits_fix());
    }
    let detail = "memory and processes are limited by cgroups";
    match on_demand[..] {
        [] => Probe::new("limits", Level::Ok, format!("{detail}, processors and disks where asked for")),
        _ => Probe::new("limits", Level::Ok, format!("{detail}; where asked for, {}", on_demand.join("; "))),
    }
}

/// A user's systemd gives groups of its own to whoever asks.
fn limits_fix() -> &'static str {
    if Path::new(&format!("/run/user/{}/systemd/private", Uid::effective())).exists() {
        "start it with `systemd-run --user --scope -p Delegate=yes`, or as root"
    } else {
        "log in through systemd and start it with `systemd-run --user --scope -p Delegate=yes`, or start it as root"
    }
}

fn system_calls(missing: Option<&str>) -> Probe {
    const NAME: &str = "seccomp";
    match missing {
        None => Probe::new(NAME, Level::Ok, "system calls are filtered"),
        Some(reason) => Probe::new(NAME, Level::Warn, reason)
            .with_fix("use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64"),
    }
}

fn landlock() -> Probe {
    const NAME: &str = "landlock";
    let warn = |detail, fix| Probe::new(NAME, Level::Warn, detail).with_fix(fix);
    match landlock_support() {
        LandlockSupport::Full => Probe::new(NAME, Level::Ok, "sandboxes have a domain of their own"),
        LandlockSupport::Partial => {
            warn("without limits on signals and abstract sockets", "use Linux 6.12 or later")
        }
        LandlockSupport::None => warn(
            "not there, or too old: other walls stand",
            "use Linux 5.19 or later with `lsm=landlock,...`",
        ),
    }
}

fn sandbox(run: &Run) -> Probe {
    match run {
        Ok(_) => Probe::new("sandbox", Level::Ok, "a command ran in a sandbox"),
        Err(error) => Probe::new("sandbox", Level::Fail, format!("failed to {error}")),
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_kernels_are_read_whatever_follows() {
        assert_eq!(kernel_version("6.18.44-fc-v595"), Some((6, 18)));
        assert_eq!(kernel_version("5.15+"), Some((5, 15)));
        assert_eq!(kernel_version("unknown"), None);
    }

    #[test]
    fn a_failing_step_tells_which_mounts_went_well() {
        let failed = |step: &str| -> Run {
            Err(SandboxError::Create { step: step.to_owned(), message: "refused".to_owned() })
        };
        let level = |name, step, run: &Run| mounted(name, step, run).level;
        assert_eq!(level("overlayfs", STEP_OVERLAY, &failed(STEP_PROC)), Level::Ok);
        assert_eq!(level("overlayfs", STEP_OVERLAY, &failed(STEP_OVERLAY)), Level::Fail);
        assert_eq!(level("overlayfs", STEP_OVERLAY, &failed("make namespaces")), Level::Warn);
        assert_eq!(level("proc", STEP_PROC, &failed(STEP_OVERLAY)), Level::Warn);
    }
}
