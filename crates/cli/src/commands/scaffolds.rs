//! From flags to scaffolds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use swegym_agent::workflow::ModelTokens;
use swegym_agent::{Behaviour, CodeAct, Mini, Prompts, Scaffold, ScaffoldConfig, Workflow, WorkflowConfig};
use swegym_model::{ClientConfig, EmbeddingClient, Secret, Tokenizer};

use crate::args::{BehaviourName, ModelArgs, ScaffoldArgs, ScaffoldName};
use crate::settings::{API_KEY, BASE_URL, EMBEDDING_API_KEY, variable};

/// A scaffold, and what of it belongs into `run.toml`.
pub(crate) struct ConfiguredScaffold {
    pub(crate) scaffold: Arc<dyn Scaffold>,
    pub(crate) settings: toml::Table,
}

/// The scaffold that the flags choose.
///
/// # Errors
/// When the folder of prompts holds what is no prompt of the scaffold.
pub(crate) fn scaffold(args: &ScaffoldArgs, model: &ModelArgs) -> anyhow::Result<ConfiguredScaffold> {
    ensure!(
        args.embedding_model.is_none() || args.scaffold == ScaffoldName::Workflow,
        "choose the scaffold: `--embedding-model` is for `--scaffold workflow` only"
    );
    let mut config = ScaffoldConfig {
        max_steps: args.max_steps,
        max_tokens: args.max_tokens,
        max_cost: args.max_cost,
        time_limit: Duration::from_secs(args.timeout),
        editor: args.editor_version,
        new_files: args.new_files,
        ..ScaffoldConfig::default()
    };
    if args.behaviour == BehaviourName::Openhands {
        config = config.openhands();
    }
    let mut settings = settings(&config);
    let folder = args.prompts.as_deref();
    let prompts = match args.scaffold {
        ScaffoldName::Codeact => folder.map(|folder| CodeAct::prompts_from(folder, &config)),
        ScaffoldName::Mini | ScaffoldName::MiniText => folder.map(Mini::prompts_from),
        ScaffoldName::Workflow => folder.map(Workflow::prompts_from),
    };
    let prompts = prompts.transpose()?;
    if let Some(digest) = prompts.as_ref().and_then(Prompts::digest) {
        settings.insert("prompts".to_owned(), digest.into());
    }
    let scaffold: Arc<dyn Scaffold> = match args.scaffold {
        ScaffoldName::Codeact => {
            Arc::new(CodeAct { config, prompts: prompts.unwrap_or(CodeAct::builtin_prompts()) })
        }
        ScaffoldName::Workflow => {
            let defaults = WorkflowConfig::default();
            // What upstream allows holds where nothing else is said.
            let max_cost = config.max_cost.unwrap_or(defaults.max_cost);
            let mut workflow = Workflow::new(WorkflowConfig { scaffold: config, max_cost, ..defaults });
            workflow.prompts = prompts.unwrap_or(Workflow::builtin_prompts());
            if let Some(folder) = &model.tokens.tokenizer {
                workflow.tokens = Arc::new(ModelTokens(tokenizer(folder)?));
                settings.insert("tokenizer".to_owned(), folder.to_string_lossy().into_owned().into());
            }
            if let Some(name) = &args.embedding_model {
                workflow.embedder = Some(Arc::new(embeddings(name, args, model, &mut settings)?));
            }
            Arc::new(workflow)
        }
        name => Arc::new(Mini {
            config,
            prompts: prompts.unwrap_or(Mini::builtin_prompts()),
            native: name == ScaffoldName::Mini,
        }),
    };
    Ok(configured(scaffold, settings))
}

#[cfg(feature = "tokenizer")]
fn tokenizer(folder: &Path) -> anyhow::Result<Box<dyn Tokenizer>> {
    Ok(swegym_model::read_tokenizer(folder)?)
}

#[cfg(not(feature = "tokenizer"))]
fn tokenizer(_: &Path) -> anyhow::Result<Box<dyn Tokenizer>> {
    super::models::without_tokenizers()
}

fn embeddings(
    name: &str,
    args: &ScaffoldArgs,
    model: &ModelArgs,
    settings: &mut toml::Table,
) -> anyhow::Result<EmbeddingClient> {
    let own = args.embedding_url.clone();
    let url = own.or_else(|| model.base_url.first().cloned()).or_else(|| variable(BASE_URL));
    let url =
        url.with_context(|| format!("find the embeddings: give `--embedding-url`, or set {BASE_URL}"))?;
    let mut config = ClientConfig::new(url, name);
    // The key of one endpoint is no business of another.
    let key = if args.embedding_url.is_some() { EMBEDDING_API_KEY } else { API_KEY };
    config.api_key = variable(key).map(|key| Secret::new(key.trim()));
    settings.insert("embedding_model".to_owned(), name.into());
    settings.insert("embedding_url".to_owned(), config.shown_base_urls().concat().into());
    Ok(EmbeddingClient::new(config)?)
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
        ("editor_version".to_owned(), config.editor.name().into()),
    ]);
    if !config.new_files {
        settings.insert("new_files".to_owned(), false.into());
    }
    if config.behaviour == Behaviour::OpenHands {
        settings.insert("behaviour".to_owned(), "openhands".into());
    }
    if let Some(tokens) = config.max_tokens {
        settings.insert("max_tokens".to_owned(), number(tokens));
    }
    if let Some(dollars) = config.max_cost {
        settings.insert("max_cost".to_owned(), dollars.into());
    }
    settings
}
