//! From flags to policies.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use swegym_core::fncall::TextFormat;
use swegym_core::{Instance, TestCommand};
use swegym_environment::{EnvironmentSpec, Specs};
use swegym_harness::test_command;
use swegym_model::{
    ChatClient, ChatPolicy, ClientConfig, GoldPolicy, GoldTask, NoopPolicy, Script, Secret, TextTools,
};
use swegym_runner::PolicyFactory;

use crate::args::{BuiltinPolicy, ModelArgs, ToolFormat};
use crate::settings::{API_KEY, BASE_URL, variable};

/// A policy by name: what makes one for each rollout, and what of it belongs into `run.toml`.
pub(crate) struct NamedPolicy {
    pub(crate) name: String,
    pub(crate) factory: PolicyFactory,
    pub(crate) settings: toml::Table,
}

impl NamedPolicy {
    /// The policy with its calls in this form.
    fn with_tool_format(self, tool_format: ToolFormat) -> Self {
        if tool_format == ToolFormat::Native {
            return self;
        }
        let Self { name, factory, mut settings } = self;
        let format = Arc::new(TextFormat::default());
        let factory: PolicyFactory = Arc::new(move |instance, sample| {
            Ok(Box::new(TextTools::new(factory(instance, sample)?, Arc::clone(&format))))
        });
        settings.insert("tool_format".to_owned(), "text".into());
        Self { name, factory, settings }
    }
}

/// A built-in policy. Of these only a script can answer in text.
pub(crate) fn builtin_with(
    policy: BuiltinPolicy,
    script: Option<&Path>,
    specs: &Specs,
    tool_format: ToolFormat,
) -> anyhow::Result<NamedPolicy> {
    let answers_in_text = policy == BuiltinPolicy::Scripted;
    ensure!(
        answers_in_text || tool_format == ToolFormat::Native,
        "send calls as text: `--tool-format text` is for a model or a script"
    );
    Ok(builtin(policy, script, specs)?.with_tool_format(tool_format))
}

/// A built-in policy with its calls as calls.
pub(crate) fn builtin(
    policy: BuiltinPolicy,
    script: Option<&Path>,
    specs: &Specs,
) -> anyhow::Result<NamedPolicy> {
    let (name, factory): (&str, PolicyFactory) = match policy {
        BuiltinPolicy::Noop => ("noop", Arc::new(|_, _| Ok(Box::new(NoopPolicy)))),
        BuiltinPolicy::Gold => ("gold", gold(specs.clone())),
        BuiltinPolicy::Replay => bail!("choose what to replay: only `rollout` can, by `--trajectory`"),
        BuiltinPolicy::Scripted => ("scripted", scripted(script)?),
    };
    Ok(NamedPolicy { name: name.to_owned(), factory, settings: toml::Table::new() })
}

fn gold(specs: Specs) -> PolicyFactory {
    Arc::new(move |instance: &Instance, _| {
        let command = specs.get(&instance.environment).map(EnvironmentSpec::test_command).unwrap_or_default();
        Ok(Box::new(GoldPolicy::new(GoldTask {
            patch: instance.grading.patch.clone(),
            repo_dir: "/testbed".to_owned(),
            test_command: relevant_tests(instance, &command),
        })))
    })
}

/// A shell command for the tests that the fix is about: those of the test patch, else the files of FAIL_TO_PASS.
fn relevant_tests(instance: &Instance, command: &TestCommand) -> String {
    let grading = &instance.grading;
    let mut line = test_command(&instance.problem.repo, &command.test_cmd, &grading.test_patch);
    if grading.test_patch.is_empty() {
        let files = grading.fail_to_pass.iter().filter_map(|id| id.split_once("::")).map(|(file, _)| file);
        let files: BTreeSet<&str> = files.filter(|file| !file.contains(['\'', ' ', '"'])).collect();
        line = files.iter().fold(line.trim_end().to_owned(), |line, file| format!("{line} '{file}'"));
    }
    command.eval_commands.iter().map(String::as_str).chain([line.as_str()]).collect::<Vec<_>>().join("; ")
}

fn scripted(script: Option<&Path>) -> anyhow::Result<PolicyFactory> {
    let path = script.context("find the script: the policy `scripted` needs `--script`")?;
    let script = Script::read(path)?;
    Ok(Arc::new(move |instance: &Instance, _| Ok(Box::new(script.policy(instance.id())?))))
}

/// A model behind an endpoint, when the flags name one.
pub(crate) fn model(args: &ModelArgs) -> anyhow::Result<Option<NamedPolicy>> {
    let Some(model) = &args.model else { return Ok(None) };
    ensure!(!model.is_empty(), "choose the model: `--model` is empty");
    let base_url = args.base_url.clone().or_else(|| variable(BASE_URL));
    let base_url =
        base_url.with_context(|| format!("find the model endpoint: give `--base-url`, or set {BASE_URL}"))?;
    let mut config = ClientConfig::new(base_url, model.clone());
    config.api_key = variable(API_KEY).map(|key| Secret::new(key.trim()));
    config.sampling.temperature = args.temperature;
    config.max_tries = 5;
    config.max_backoff = Duration::from_secs(30);
    let mut settings = toml::Table::from_iter([("base_url".to_owned(), config.shown_base_url().into())]);
    if let Some(temperature) = args.temperature {
        settings.insert("temperature".to_owned(), temperature.into());
    }
    let client = Arc::new(ChatClient::new(config)?);
    let factory: PolicyFactory = Arc::new(move |_, _| Ok(Box::new(ChatPolicy::new(Arc::clone(&client)))));
    let policy = NamedPolicy { name: model.clone(), factory, settings };
    Ok(Some(policy.with_tool_format(args.tool_format)))
}
