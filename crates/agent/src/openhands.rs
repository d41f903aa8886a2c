//! Names that OpenHands gives to things.

/// The folder below `/workspace` in which the repository lies.
pub fn workspace_dir_name(repo: &str, version: &str) -> String {
    format!("{repo}__{version}").replace('/', "__")
}

/// The folder of an evaluation below the output folder: data set, agent, model, limit on iterations and note.
pub fn eval_output_dir(
    dataset: &str,
    agent: &str,
    model: &str,
    max_iterations: u64,
    note: Option<&str>,
) -> String {
    let model = model.rsplit('/').next().unwrap_or_default().replace(':', "_").replace('@', "-");
    let note = note.filter(|note| !note.is_empty()).map(|note| format!("_N_{note}")).unwrap_or_default();
    format!("{dataset}/{agent}/{model}_maxiter_{max_iterations}{note}")
}

/// The name of the published image of an instance, under the prefix of a registry.
pub fn instance_docker_image(prefix: &str, instance_id: &str) -> String {
    let name = instance_id.replace("__", "_s_");
    format!("{}/sweb.eval.x86_64.{name}", prefix.trim_end_matches('/')).to_lowercase()
}
