//! `swegym doctor`: what this machine can do, one line a check, with the fix where something is missing.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use swegym_images::LayerStore;
use swegym_sandbox::{Level, Probe, clean_docker_leftovers, clean_leftovers, layer_owner, probe};

use crate::args::{DoctorArgs, Format};
use crate::engine::local_config;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings;

/// Below this, images of a few projects fill the disk.
const MIN_FREE_BYTES: u64 = 5 << 30;

/// Runs the command. Something that must be mended is exit code 1 through the error that says how many.
pub(crate) async fn run(args: &DoctorArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let cache = settings::cache_folder()?;
    if args.clean {
        clean(&cache, printer)?;
        clean_daemons(printer).await;
    }
    let probes = all_probes(&cache).await?;
    for probe in &probes {
        match args.format {
            Format::Text => printer.data(&text(probe)),
            Format::Json => printer.data(&json(probe).to_string()),
        }
    }
    let failed = probes.iter().filter(|probe| probe.level == Level::Fail).count();
    ensure!(failed == 0, "find this machine ready: {failed} checks failed");
    Ok(Exit::Done)
}

/// Prints the checks for a command that cannot do without sandboxes, and stops it where one fails.
pub(crate) async fn require_sandboxes(printer: &Printer) -> anyhow::Result<()> {
    let probes = all_probes(&settings::cache_folder()?).await?;
    for probe in &probes {
        printer.line(&text(probe));
    }
    let failed = probes.iter().filter(|probe| probe.level == Level::Fail).count();
    ensure!(
        failed == 0,
        "find this machine ready: {failed} of the checks above failed; each says how to mend it"
    );
    Ok(())
}

async fn all_probes(cache: &Path) -> anyhow::Result<Vec<Probe>> {
    let mut probes = probe(&local_config(cache)?).await;
    probes.push(program("git", &["--version"], Level::Fail, "install git (Debian: `apt install git`)"));
    probes.push(program("python3", &["--version"], Level::Fail, "install Python 3.9 or later"));
    let fix =
        "install pip (Debian: `apt install python3-pip`), or set UV_DEFAULT_INDEX to the address of an index";
    match settings::network().index {
        Some(_) => probes.push(found("package index", "set by the environment".to_owned())),
        None => probes.push(Probe {
            name: "package index",
            ..program(
                "python3",
                &["-c", "import pip; print('that of pip', pip.__version__)"],
                Level::Fail,
                fix,
            )
        }),
    }
    let fix = "install patch (Debian: `apt install patch`); without it, patches that need fuzz are rejected";
    probes.push(program("patch", &["--version"], Level::Warn, fix));
    probes.push(disk(cache));
    Ok(probes)
}

fn found(name: &'static str, detail: String) -> Probe {
    Probe { name, level: Level::Ok, detail, fix: None }
}

/// A program that must run; the first line that it prints is the detail.
fn program(name: &'static str, arguments: &[&str], otherwise: Level, fix: &str) -> Probe {
    let program = name.split(' ').next().unwrap_or(name);
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    match output {
        Some(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            found(name, text.lines().next().unwrap_or_default().to_owned())
        }
        None => {
            Probe { name, level: otherwise, detail: "does not run".to_owned(), fix: Some(fix.to_owned()) }
        }
    }
}

fn disk(cache: &Path) -> Probe {
    let existing = cache.ancestors().find(|path| path.exists()).unwrap_or(cache);
    let free =
        nix::sys::statvfs::statvfs(existing).map(|stat| stat.blocks_available() * stat.fragment_size());
    match free {
        Ok(free) if free >= MIN_FREE_BYTES => {
            found("disk", format!("{} GiB free for the cache in {}", free >> 30, cache.display()))
        }
        Ok(free) => Probe {
            name: "disk",
            level: Level::Warn,
            detail: format!("only {} MiB free for the cache in {}", free >> 20, cache.display()),
            fix: Some(format!("free some space, or set {} to a folder on a larger disk", settings::CACHE)),
        },
        Err(error) => Probe {
            name: "disk",
            level: Level::Warn,
            detail: format!("cannot tell the free space of {}: {error}", existing.display()),
            fix: None,
        },
    }
}

fn clean(cache: &Path, printer: &Printer) -> anyhow::Result<()> {
    let mut report = clean_leftovers(&cache.join("sandboxes"))?;
    report.folders.extend(clean_leftovers(&cache.join("containers"))?.folders);
    let store = LayerStore::open(cache.join("store"), layer_owner())?;
    let builds = store.clean_leftovers()?;
    printer.line(&format!(
        "removed what killed processes left: {} cgroups, {} sandbox folders, {builds} unfinished layers",
        report.groups.len(),
        report.folders.len()
    ));
    Ok(())
}

/// What is left in container daemons. One that does not let this user in is none that this user has used.
async fn clean_daemons(printer: &Printer) {
    for socket in settings::docker_sockets() {
        match clean_docker_leftovers(&socket).await {
            Ok(left) => printer.line(&format!(
                "removed from the container daemon at `{socket}`: {} containers, {} images of forks",
                left.containers.len(),
                left.images.len()
            )),
            Err(error) => {
                printer.line(&format!(
                    "note: the container daemon at `{socket}` was left alone: failed to {error}"
                ));
            }
        }
    }
}

fn text(probe: &Probe) -> String {
    let mark = match probe.level {
        Level::Ok => "ok  ",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let fix = probe.fix.as_deref().map(|fix| format!(" -> {fix}")).unwrap_or_default();
    format!("{mark}  {}: {}{fix}", probe.name, probe.detail)
}

fn json(probe: &Probe) -> serde_json::Value {
    let level = match probe.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "fail",
    };
    serde_json::json!({ "check": probe.name, "level": level, "detail": probe.detail, "fix": probe.fix })
}
