//! The steps that build layers, each in a sandbox whose writable layer becomes the layer.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use swegym_core::CommitId;
use swegym_images::{FIXED_TIME, Image, Layer, LayerBuild};
use swegym_sandbox::{Backend, ExecRequest, ExecStatus, Limits, Network, OutputLimit, SandboxSpec, Upper};

use crate::EnvironmentError;
use crate::git::GitRepository;
use crate::history::{Segment, link_segments};
use crate::uv::Python;

/// Where the repository lies in every image.
pub(crate) const TESTBED: &str = "/testbed";
/// Where the virtual environment lies in every image.
pub(crate) const VENV: &str = "/opt/venv";
/// Where the objects of the repository lie in every layer that has some.
pub(crate) const OBJECTS: &str = "testbed/.git/objects";
/// Time of git's index: git reads every file again that is not older than the index.
pub(crate) const INDEX_TIME: i64 = FIXED_TIME + 3600;
/// Time of tracked files that installing changed: not the one that the index has of them, or git would not look.
const CHANGED_TIME: i64 = FIXED_TIME + 7200;
/// Everything in the layers of the store is older.
pub(crate) const BUILD_TIMES: i64 = FIXED_TIME + 86_400;
/// Where build sandboxes see the folder of `uv`.
pub(crate) const UV: &str = "/opt/uv";
/// Where build sandboxes see the cache of `uv`.
pub(crate) const UV_CACHE: &str = "/opt/uv-cache";

const BUILD_TIME: Duration = Duration::from_secs(1800);
pub(crate) const BUILD_LIMITS: Limits = Limits {
    memory_bytes: 8 << 30,
    processes: 4096,
    disk_bytes: 8 << 30,
    cpu_millis: None,
    io_bytes_per_second: None,
};

/// What building the packages of an environment takes.
pub(crate) struct PackagesStep<'a> {
    /// Folder of the program `uv` on the host.
    pub(crate) uv: &'a Path,
    /// Folder of the host that holds the cache of `uv` at the path that build sandboxes see it at.
    pub(crate) cache_root: &'a Path,
    /// Interpreter, inside and outside.
    pub(crate) python: &'a Python,
    /// Requirements that are installed first, at once.
    pub(crate) packages: &'a [String],
    /// Requirements that are installed after that, at once.
    pub(crate) later: &'a [String],
    /// Whether what packages ask for is installed too, else these and no others.
    pub(crate) with_dependencies: bool,
    /// Packages that the index got after this time are not there.
    pub(crate) exclude_newer: Option<&'a str>,
    /// Index address, proxies: what the installer needs to know of the network.
    pub(crate) network_env: &'a BTreeMap<String, String>,
}

/// A virtual environment with these packages at [`VENV`].
///
/// First with wheels alone: that runs no third-party code, so it may write to the shared cache. Where a package
/// has no wheel its installer must run; it sees the cache, but what it writes there is thrown away.
pub(crate) async fn build_packages(
    backend: &dyn Backend,
    base: &Image,
    build: &LayerBuild,
    step: &PackagesStep<'_>,
) -> Result<(), EnvironmentError> {
    let requirements = step.packages.join("\n");
    let mut env = step.network_env.clone();
    env.extend(uv_env());
    env.extend(step.exclude_newer.map(|time| ("UV_EXCLUDE_NEWER".to_owned(), time.to_owned())));
    let venv =
        format!("{UV}/uv venv --quiet --no-project --python '{}' {VENV}", step.python.executable.display());
    let install = install_commands(step, "");
    let wheels_only = format!("{venv} && {}", install_commands(step, " --only-binary :all:"));

    let mut spec = build_spec(base.clone(), build, Network::Host);
    spec.extra_binds.push((step.uv.to_owned(), UV.into(), false));
    spec.extra_binds.push((step.cache_root.join(UV_CACHE.trim_start_matches('/')), UV_CACHE.into(), true));
    if run(backend, &spec, "install packages", &wheels_only, &env, requirements.as_bytes()).await.is_err() {
        // Names of packages without a wheel, or a passing fault of the network: either way this tells.
        spec.extra_binds.pop();
        let cache = swegym_images::Layer::unmanaged("uv-cache", step.cache_root);
        spec.image.layers.push(cache);
        let script = format!("rm -rf {VENV} && {venv} && {install}");
        run(backend, &spec, "install packages", &script, &env, requirements.as_bytes()).await?;
        // Not from inside: other builds write to the cache below it meanwhile.
        remove(&build.files().join(UV_CACHE.trim_start_matches('/')))?;
    }
    // Starting the interpreter runs what packages put into .pth files: not where the cache is in reach.
    let spec = build_spec(base.clone(), build, Network::None);
    let Some(compile) = compile(step.python) else { return Ok(()) };
    let script = format!("{compile} -j 0 {VENV}/lib || true");
    run(backend, &spec, "compile packages", &script, &BTreeMap::new(), b"").await
}

/// The commands that install the packages on standard input, and then the later ones.
fn install_commands(step: &PackagesStep<'_>, option: &str) -> String {
    let dependencies = if step.with_dependencies { "" } else { " --no-deps" };
    let install = format!("{UV}/uv pip install --quiet{dependencies}{option} --python {VENV}/bin/python");
    let later: Vec<String> = step.later.iter().map(|package| quoted(package)).collect();
    if later.is_empty() {
        return format!("{install} -r -");
    }
    format!("{install} -r - && {install} -- {}", later.join(" "))
}

/// One word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The command that compiles installed packages: to bytecode that does not depend on the time of its source, which
/// nobody edits. Interpreters before 3.7 have no such bytecode.
pub(crate) fn compile(python: &Python) -> Option<String> {
    let mut numbers = python.version.split('.').map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next()?, numbers.next()?);
    let command = format!("{VENV}/bin/python -m compileall -q --invalidation-mode unchecked-hash");
    (version >= (3, 7)).then_some(command)
}

/// What checking out a repository takes.
pub(crate) struct RepositoryStep<'a> {
    /// Where it comes from.
    pub(crate) source: &'a GitRepository,
    /// The base commit.
    pub(crate) commit: &'a CommitId,
    /// Its past, but for what comes after the last segment.
    pub(crate) segments: &'a [(Segment, Layer)],
}

/// The repository at its base commit, with its past and nothing else, at [`TESTBED`].
pub(crate) async fn build_repository(
    backend: &dyn Backend,
    base: &Image,
    build: &LayerBuild,
    RepositoryStep { source, commit, segments }: &RepositoryStep<'_>,
) -> Result<(), EnvironmentError> {
    let testbed = build.files().join(TESTBED.trim_start_matches('/'));
    let objects = build.files().join(OBJECTS);
    std::fs::create_dir_all(objects.join("pack")).map_err(io_error("make", &objects))?;
    let tags = source.past_tags(commit).await?;
    source
        .pack_into(&own_roots(commit, &tags, segments.last().map(|(segment, _)| segment)), &objects)
        .await?;
    if let Some(shallow) = source.shallow_commits().await? {
        let path = testbed.join(".git/shallow");
        std::fs::write(&path, shallow).map_err(io_error("write", &path))?;
    }
    build.own_tree(&testbed)?;
    let refs: String = tags.iter().map(|(object, name)| format!("create {name} {object}\n")).collect();
    let script = format!(
        "set -e; cd {TESTBED}; export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
         git init --quiet --template=; git symbolic-ref HEAD refs/heads/main
         git config user.name testbed; git config user.email testbed@localhost; git config gc.auto 0
         git config core.checkStat minimal; git config core.trustctime false
         git -c core.logAllRefUpdates=false update-ref --stdin
         git -c core.logAllRefUpdates=false reset --quiet --hard {commit}
         git ls-files -z | xargs -0 -r touch -c -h -d @{FIXED_TIME} --
         git update-index -q --refresh || true; touch -d @{INDEX_TIME} .git/index"
    );
    // The segments lie below while this runs, so that nothing can change the files that others share.
    let layers: Vec<Layer> = segments.iter().map(|(_, layer)| layer.clone()).collect();
    let image = Image { layers: layers.clone(), ..base.clone() };
    let spec = build_spec(image, build, Network::None);
    run(backend, &spec, "check out the repository", &script, &BTreeMap::new(), refs.as_bytes()).await?;
    link_segments(&layers, &build.files())
}

/// What the last pack of a commit holds, as revisions: the commit and its past tags, without the last segment.
pub(crate) fn own_roots(commit: &CommitId, tags: &[(String, String)], last: Option<&Segment>) -> Vec<String> {
    let tags = tags.iter().map(|(object, _)| object.clone());
    tags.chain([commit.to_string()]).chain(last.map(|last| format!("^{}", last.to))).collect()
}

/// What installing the repository adds to the image.
pub(crate) async fn build_install(
    backend: &dyn Backend,
    base: &Image,
    build: &LayerBuild,
    (install, python): (&str, &Python),
) -> Result<(), EnvironmentError> {
    let spec = build_spec(base.clone(), build, Network::None);
    let compile = compile(python).map_or_else(String::new, |compile| {
        format!("find {VENV}/lib -name '*.py' -newermt @{BUILD_TIMES} | {compile} -i - || true")
    });
    // What installing leaves beside the sources is no part of any patch, whatever the repository ignores.
    let script = format!(
        "cd {TESTBED} && {{ {install}\n}} && export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 &&
         mkdir -p .git/info && git ls-files --others --exclude-standard --directory | sed 's|^|/|' >> .git/info/exclude || exit
         git update-index -q --refresh; git diff-files --name-only -z | xargs -0 -r touch -c -h -d @{CHANGED_TIME} --
         [ \"$(stat -c %Y .git/index)\" = {INDEX_TIME} ] || touch -d @{INDEX_TIME} .git/index
         {compile}"
    );
    // Without them pip would look for the network for a while, before it says what is missing.
    let settings = [("PIP_NO_INDEX", "1"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1"), ("PIP_COMPILE", "0")];
    let env = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    run(backend, &spec, "install the repository", &script, &env, b"").await
}

pub(crate) fn build_spec(image: Image, build: &LayerBuild, network: Network) -> SandboxSpec {
    SandboxSpec {
        image,
        upper: Upper::Folder(build.files()),
        limits: BUILD_LIMITS,
        network,
        extra_binds: Vec::new(),
    }
}

pub(crate) fn uv_env() -> BTreeMap<String, String> {
    let settings = [
        ("UV_CACHE_DIR", UV_CACHE),
        ("UV_LINK_MODE", "copy"),
        ("UV_NO_CONFIG", "1"),
        ("UV_PYTHON_DOWNLOADS", "never"),
        ("UV_SYSTEM_CERTS", "1"),
        ("UV_HTTP_TIMEOUT", "120"),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) async fn run(
    backend: &dyn Backend,
    spec: &SandboxSpec,
    step: &str,
    script: &str,
    env: &BTreeMap<String, String>,
    stdin: &[u8],
) -> Result<(), EnvironmentError> {
    let sandbox = backend.create(spec).await?;
    let keep = OutputLimit { head: 512, tail: 3 << 10 };
    let mut request = ExecRequest::shell(script).in_folder("/").within(BUILD_TIME).merged().keeping(keep);
    request.env.clone_from(env);
    let output = sandbox.exec(&request.with_stdin(stdin)).await;
    sandbox.destroy().await?;
    let output = output?;
    let ended = match output.status {
        ExecStatus::Exited(0) => return Ok(()),
        ExecStatus::Exited(code) => format!("exit code {code}"),
        ExecStatus::Signaled(signal) => format!("killed by signal {signal}"),
        ExecStatus::TimedOut => format!("not done after {} s", BUILD_TIME.as_secs()),
        ExecStatus::OutOfMemory => "out of memory".to_owned(),
    };
    let message = format!("{ended}: {}", output.stdout.to_text().trim());
    Err(EnvironmentError::Build { step: step.to_owned(), message })
}

/// Says what was tried on what, where a file operation fails.
pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(std::io::Error) -> EnvironmentError + use<'a> {
    move |source| EnvironmentError::Io { action, path: path.to_owned(), source }
}

pub(crate) fn remove(path: &Path) -> Result<(), EnvironmentError> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(EnvironmentError::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
