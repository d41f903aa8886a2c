//! What the steps of an upstream spec run in sandboxes: commands that mend requirements, and those that install the
//! repository.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use swegym_core::CommitId;
use swegym_images::{FIXED_TIME, Image, Layer, LayerBuild};
use swegym_sandbox::{Backend, ExecRequest, Network, OutputLimit, SandboxSpec, Upper};

use crate::EnvironmentError;
use crate::index::hex_sha256;
use crate::layers::{
    BUILD_LIMITS, BUILD_TIMES, INDEX_TIME, UV, UV_CACHE, VENV, build_spec, compile, remove, run, uv_env,
};
use crate::plan::{Plan, Sources};
use crate::uv::Python;

const INSTALL: &str = include_str!("install_steps.sh");
const PIP: &str = include_str!("../python/pip_by_uv.py");

/// Larger requirements files are nobody's.
const MENDED_LIMIT: OutputLimit = OutputLimit { head: 4 << 20, tail: 0 };

/// SHA-256 of the programs that run the commands: another program gives other layers.
pub(crate) fn steps_digest() -> String {
    hex_sha256([INSTALL, PIP].concat().as_bytes())
}

/// A requirements file after the commands of a spec that mend it; they see it in their folder under this name.
pub(crate) async fn mended(
    sources: &Sources<'_>,
    (name, text): (&str, &str),
    commands: &[String],
) -> Result<String, EnvironmentError> {
    if commands.is_empty() {
        return Ok(text.to_owned());
    }
    let spec = SandboxSpec {
        image: Image { config: sources.image.config.clone(), ..Image::default() },
        upper: Upper::Memory,
        limits: BUILD_LIMITS,
        network: Network::None,
        extra_binds: Vec::new(),
    };
    let sandbox = sources.backend.create(&spec).await?;
    let commands: String =
        commands.iter().map(|command| format!(" && {{ {command}\n}} < /dev/null >&2")).collect();
    let script = format!("cd \"$(mktemp -d)\" && cat > {name}{commands} && cat {name}");
    let request = ExecRequest::shell(script).in_folder("/").within(Duration::from_secs(60));
    let output = sandbox.exec(&request.with_stdin(text).keeping(MENDED_LIMIT)).await;
    sandbox.destroy().await?;
    let output = output?;
    if output.success() && output.stdout.dropped == 0 {
        return Ok(output.stdout.to_text());
    }
    let message = match output.stdout.dropped {
        0 => format!("{:?}: {}", output.status, output.stderr.to_text().trim()),
        dropped => format!("it is {dropped} bytes too long"),
    };
    Err(EnvironmentError::Build { step: format!("mend {name} by `env_patches`"), message })
}

/// What running the commands of a spec takes.
pub(crate) struct CommandsStep<'a> {
    /// Folder of the program `uv` on the host.
    pub(crate) uv: &'a Path,
    /// Folder of the host that holds the cache of `uv` at the path that build sandboxes see it at.
    pub(crate) cache_root: &'a Path,
    /// Interpreter, inside and outside.
    pub(crate) python: &'a Python,
    /// What to run.
    pub(crate) plan: &'a Plan,
    /// Where the repository is brought back to.
    pub(crate) commit: &'a CommitId,
    /// Index address, proxies: what the installer needs to know of the network.
    pub(crate) network_env: &'a BTreeMap<String, String>,
}

/// What the commands of a spec add to the image. They are hostile and reach the network: they see the cache of
/// `uv`, but what they write there is thrown away.
pub(crate) async fn build_commands(
    backend: &dyn Backend,
    base: &Image,
    build: &LayerBuild,
    step: &CommandsStep<'_>,
) -> Result<(), EnvironmentError> {
    let mut image = base.clone();
    image.layers.push(Layer::unmanaged("uv-cache", step.cache_root));
    let mut spec = build_spec(image, build, Network::Host);
    spec.extra_binds.push((step.uv.to_owned(), UV.into(), false));
    let mut env = step.network_env.clone();
    env.extend(uv_env());
    let settings = [
        ("PIP", PIP.to_owned()),
        ("BASE", step.commit.to_string()),
        ("FIXED_TIME", FIXED_TIME.to_string()),
        ("INDEX_TIME", INDEX_TIME.to_string()),
    ];
    env.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    env.extend(step.plan.exclude_newer.iter().map(|time| ("UV_EXCLUDE_NEWER".to_owned(), time.clone())));
    let commands = step.plan.commands.join("\n");
    run(backend, &spec, "install the repository", INSTALL, &env, commands.as_bytes()).await?;
    // Not from inside: other builds write to the cache below it meanwhile.
    remove(&build.files().join(UV_CACHE.trim_start_matches('/')))?;
    let Some(compile) = compile(step.python) else { return Ok(()) };
    let script = format!("find {VENV}/lib -name '*.py' -newermt @{BUILD_TIMES} | {compile} -i - || true");
    let spec = build_spec(base.clone(), build, Network::None);
    run(backend, &spec, "compile packages", &script, &BTreeMap::new(), b"").await
}
