//! From flags to a model behind endpoints.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use swegym_core::Instance;
use swegym_model::{
    ChatClient, ChatPolicy, ChatTemplate, ClientConfig, Notices, Price, Prices, Sampling, Secret, TokenModel,
    ToolParser, Totals, rollout_seed,
};
use swegym_runner::PolicyFactory;

use super::policies::NamedPolicy;
use crate::args::{BehaviourName, ModelArgs};
use crate::printer::Printer;
use crate::settings::{API_KEY, BASE_URL, variable};

/// A model behind endpoints, when the flags name one.
pub(crate) fn model(args: &ModelArgs, printer: &Printer) -> anyhow::Result<Option<NamedPolicy>> {
    let Some(model) = &args.model else { return Ok(None) };
    ensure!(!model.is_empty(), "choose the model: `--model` is empty");
    let config = config(model, args, printer)?;
    let settings = settings(args, &config)?;
    let client = Arc::new(ChatClient::new(config)?);
    let factory = factory(Arc::clone(&client), args.seed_sampling);
    Ok(Some(NamedPolicy { name: model.clone(), factory, settings, client: Some(client) }))
}

/// Whether messages of the user that follow on each other are sent as one, where no flag says it: where the model's chat
/// template is known and wants it, and as OpenHands does it.
pub(crate) fn merges_turns(args: &ModelArgs, behaviour: BehaviourName) -> anyhow::Result<bool> {
    if args.model.is_none() || args.merge_turns.is_some() {
        return Ok(args.merge_turns.unwrap_or_default());
    }
    let template = args.tokens.tokenizer.as_deref().map(ChatTemplate::read).transpose()?;
    Ok(behaviour == BehaviourName::Openhands || template.is_some_and(|template| template.alternates()))
}

fn config(model: &str, args: &ModelArgs, printer: &Printer) -> anyhow::Result<ClientConfig> {
    let mut base_urls = args.base_url.clone();
    if base_urls.is_empty() {
        base_urls.extend(variable(BASE_URL));
    }
    ensure!(!base_urls.is_empty(), "find the model endpoint: give `--base-url`, or set {BASE_URL}");
    let printer = printer.clone();
    Ok(ClientConfig {
        base_urls,
        api_key: variable(API_KEY).map(|key| Secret::new(key.trim())),
        sampling: sampling(args)?,
        stream: args.stream,
        token_ids: args.tokens.token_ids,
        token_mode: token_mode(args)?,
        price: args.prices.as_deref().map(|path| price(path, model)).transpose()?,
        max_concurrency: args.max_concurrency,
        max_tries: 5,
        max_backoff: Duration::from_secs(30),
        notices: Notices::new(move |message| printer.line(&format!("note: {message}"))),
        ..ClientConfig::new("", model)
    })
}

fn token_mode(args: &ModelArgs) -> anyhow::Result<Option<Arc<TokenModel>>> {
    let folder = args.tokens.tokenizer.as_deref().filter(|_| args.tokens.token_mode);
    folder.map(|folder| token_model(folder, args.tokens.tool_parser)).transpose()
}

#[cfg(feature = "tokenizer")]
fn token_model(folder: &Path, parser: Option<ToolParser>) -> anyhow::Result<Arc<TokenModel>> {
    let TokenModel { template, tokenizer } = TokenModel::read(folder)?;
    let parser = parser.unwrap_or(template.tool_parser());
    Ok(Arc::new(TokenModel { template: template.with_tool_parser(parser), tokenizer }))
}

#[cfg(not(feature = "tokenizer"))]
fn token_model(_: &Path, _: Option<ToolParser>) -> anyhow::Result<Arc<TokenModel>> {
    without_tokenizers()
}

/// What is said where it takes a tokenizer.
#[cfg(not(feature = "tokenizer"))]
pub(crate) fn without_tokenizers<T>() -> anyhow::Result<T> {
    anyhow::bail!("read a tokenizer: this program was built without it; build it with `--features tokenizer`")
}

fn sampling(args: &ModelArgs) -> anyhow::Result<Sampling> {
    let mut sampling = Sampling {
        temperature: args.temperature,
        top_p: args.top_p,
        max_tokens: args.max_completion_tokens,
        ..Sampling::default()
    };
    for field in &args.sampling {
        sampling.set(field)?;
    }
    Ok(sampling)
}

fn price(path: &Path, model: &str) -> anyhow::Result<Price> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read the prices in `{}`", path.display()))?;
    let prices =
        Prices::from_toml(&text).with_context(|| format!("read the prices in `{}`", path.display()))?;
    prices.of(model).with_context(|| format!("find the price of `{model}` in `{}`", path.display()))
}

/// What belongs into `run.toml`: whatever answers may depend on, and where they came from.
fn settings(args: &ModelArgs, config: &ClientConfig) -> anyhow::Result<toml::Table> {
    let base_urls = config.shown_base_urls();
    let base_url: toml::Value = match base_urls.as_slice() {
        [one] => one.as_str().into(),
        several => several.to_vec().into(),
    };
    let mut settings = toml::Table::from_iter([("base_url".to_owned(), base_url)]);
    if let Some(temperature) = config.sampling.temperature {
        settings.insert("temperature".to_owned(), temperature.into());
    }
    let others = Sampling { temperature: None, ..config.sampling.clone() };
    if others != Sampling::default() {
        settings.insert("sampling".to_owned(), serde_json::to_string(&others)?.into());
    }
    if let Some(seed) = args.seed_sampling {
        settings.insert("seed_sampling".to_owned(), i64::try_from(seed).unwrap_or(i64::MAX).into());
    }
    if args.tokens.token_mode {
        settings.insert("token_mode".to_owned(), true.into());
        let parser = config.token_mode.as_ref().map(|model| model.template.tool_parser().name());
        settings.extend(parser.map(|parser| ("tool_parser".to_owned(), parser.into())));
    }
    if args.tokens.token_ids {
        settings.insert("token_ids".to_owned(), true.into());
    }
    Ok(settings)
}

fn factory(client: Arc<ChatClient>, seed: Option<u64>) -> PolicyFactory {
    Arc::new(move |instance: &Instance, sample| {
        let policy = ChatPolicy::new(Arc::clone(&client));
        Ok(Box::new(match seed {
            Some(seed) => policy.with_seed(rollout_seed(seed, instance.id().as_str(), sample)),
            None => policy,
        }))
    })
}

/// What the model was asked and what it cost, for people.
pub(crate) fn summary(totals: &Totals) -> String {
    let Totals { answers, failed_tries, usage, cost } = totals;
    let cost = cost.map(|dollars| format!(", ${dollars:.4}")).unwrap_or_default();
    let failed = if *failed_tries == 0 { String::new() } else { format!(", {failed_tries} tries failed") };
    format!(
        "model: {answers} answers, {} prompt tokens ({} of them cached), {} completion tokens{cost}{failed}",
        usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
    )
}
