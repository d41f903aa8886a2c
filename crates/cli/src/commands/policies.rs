//! From flags to policies.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use swegym_core::fncall::TextFormat;
use swegym_core::{Instance, TestCommand};
use swegym_environment::{EnvironmentSpec, Specs};
use swegym_harness::test_command;
use swegym_model::{
    ChatClient, GoldPolicy, GoldTask, MergeTurns, NoopPolicy, Script, TextTools, read_text_format,
};
use swegym_runner::PolicyFactory;

use crate::args::{BuiltinPolicy, ToolFormat};

/// A policy by name: what makes one for each rollout, and what of it belongs into `run.toml`.
pub(crate) struct NamedPolicy {
    pub(crate) name: String,
    pub(crate) factory: PolicyFactory,
    pub(crate) settings: toml::Table,
    /// The client behind it, where it is a model.
    pub(crate) client: Option<Arc<ChatClient>>,
}

/// The file of a prompts folder that has the words around calls in text form.
const TEXT_CALLS: &str = "text_calls.json";

impl NamedPolicy {
    /// The policy with its calls in this form; the words around them may lie in a folder of prompts.
    pub(crate) fn with_tool_format(
        self,
        tool_format: ToolFormat,
        prompts: Option<&Path>,
    ) -> anyhow::Result<Self> {
        if tool_format == ToolFormat::Native {
            return Ok(self);
        }
        let words = prompts.map(|folder| folder.join(TEXT_CALLS)).filter(|path| path.exists());
        let format =
            Arc::new(words.map_or_else(|| Ok(TextFormat::default()), |path| read_text_format(&path))?);
        let Self { name, factory, mut settings, client } = self;
        let factory: PolicyFactory = Arc::new(move |instance, sample| {
            Ok(Box::new(TextTools::new(factory(instance, sample)?, Arc::clone(&format))))
        });
        settings.insert("tool_format".to_owned(), "text".into());
        Ok(Self { name, factory, settings, client })
    }
}

impl NamedPolicy {
    /// The policy that sends messages of the user that follow on each other as one.
    pub(crate) fn merging_turns(self) -> Self {
        let Self { name, factory, mut settings, client } = self;
        let factory: PolicyFactory =
            Arc::new(move |instance, sample| Ok(Box::new(MergeTurns::new(factory(instance, sample)?))));
        settings.insert("merge_turns".to_owned(), true.into());
        Self { name, factory, settings, client }
    }
}

/// Of the built-in policies only a script can answer in text.
pub(crate) fn check_tool_format(policy: BuiltinPolicy, tool_format: ToolFormat) -> anyhow::Result<()> {
    ensure!(
        policy == BuiltinPolicy::Scripted || tool_format == ToolFormat::Native,
        "send calls as text: `--tool-format text` is for a model or a script"
    );
    Ok(())
}

/// A built-in policy.
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
    Ok(NamedPolicy { name: name.to_owned(), factory, settings: toml::Table::new(), client: None })
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
