//! From flags to scaffolds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use swegym_agent::{CodeAct, Scaffold, ScaffoldConfig, Workflow, WorkflowConfig};
use swegym_model::{ClientConfig, EmbeddingClient, Secret};

use crate::args::{ModelArgs, ScaffoldArgs, ScaffoldName};
use crate::settings::{API_KEY, BASE_URL, EMBEDDING_API_KEY, variable};

/// A scaffold, and what of it belongs into `run.toml`.
pub(crate) struct ConfiguredScaffold {
    pub(crate) scaffold: Arc<dyn Scaffold>,
    pub(crate) settings: toml::Table,
}

/// The scaffold that the flags choose.
pub(crate) fn scaffold(args: &ScaffoldArgs, model: &ModelArgs) -> anyhow::Result<ConfiguredScaffold> {
    let embeds = args.embedding_model.is_some();
    ensure!(
        !embeds || args.scaffold == ScaffoldName::Workflow,
        "choose the scaffold: `--embedding-model` is for `--scaffold workflow` only"
    );
    let config = ScaffoldConfig {
        max_steps: args.max_steps,
        max_tokens: args.max_tokens,
        time_limit: Duration::from_secs(args.timeout),
        ..ScaffoldConfig::default()
    };
    let mut settings = settings(&config);
    let scaffold: Arc<dyn Scaffold> = match args.scaffold {
        ScaffoldName::Codeact => Arc::new(CodeAct { config }),
        ScaffoldName::Workflow => Arc::new(workflow(config, args, model, &mut settings)?),
    };
    Ok(configured(scaffold, settings))
}

fn workflow(
    scaffold: ScaffoldConfig,
    args: &ScaffoldArgs,
    model: &ModelArgs,
    settings: &mut toml::Table,
) -> anyhow::Result<Workflow> {
    let mut workflow = Workflow::new(WorkflowConfig { scaffold, ..WorkflowConfig::default() });
    if let Some(name) = &args.embedding_model {
        let url =
            args.embedding_url.clone().or_else(|| model.base_url.clone()).or_else(|| variable(BASE_URL));
        let url =
            url.with_context(|| format!("find the embeddings: give `--embedding-url`, or set {BASE_URL}"))?;
        let mut config = ClientConfig::new(url, name.clone());
        // The key of one endpoint is no business of another.
        let key = if args.embedding_url.is_some() { EMBEDDING_API_KEY } else { API_KEY };
        config.api_key = variable(key).map(|key| Secret::new(key.trim()));
        settings.insert("embedding_model".to_owned(), name.clone().into());
        settings.insert("embedding_url".to_owned(), config.shown_base_url().into());
        workflow.embedder = Some(Arc::new(EmbeddingClient::new(config)?));
    }
    Ok(workflow)
}

/// The scaffold of a command that has no flags for it.
pub(crate) fn default_scaffold() -> ConfiguredScaffold {
    let scaffold = CodeAct::default();
    let settings = settings(&scaffold.config);
    configured(Arc::new(scaffold), settings)
}

fn configured(scaffold: Arc<dyn Scaffold>, mut settings: toml::Table) -> ConfiguredScaffold {
    settings.insert("scaffold".to_owned(), scaffold.name().into());
    ConfiguredScaffold { scaffold, settings }
}

fn settings(config: &ScaffoldConfig) -> toml::Table {
    let number = |value: u64| toml::Value::from(i64::try_from(value).unwrap_or(i64::MAX));
    let mut settings = toml::Table::from_iter([
        ("max_steps".to_owned(), number(config.max_steps as u64)),
        ("timeout".to_owned(), number(config.time_limit.as_secs())),
    ]);
    if let Some(tokens) = config.max_tokens {
        settings.insert("max_tokens".to_owned(), number(tokens));
    }
    settings
}
