//! From flags to scaffolds.

use std::sync::Arc;
use std::time::Duration;

use swegym_agent::{CodeAct, Scaffold, ScaffoldConfig};

use crate::args::{ScaffoldArgs, ScaffoldName};

/// A scaffold, and what of it belongs into `run.toml`.
pub(crate) struct ConfiguredScaffold {
    pub(crate) scaffold: Arc<dyn Scaffold>,
    pub(crate) settings: toml::Table,
}

/// The scaffold that the flags choose.
pub(crate) fn scaffold(args: &ScaffoldArgs) -> ConfiguredScaffold {
    let config = ScaffoldConfig {
        max_steps: args.max_steps,
        max_tokens: args.max_tokens,
        max_cost: args.max_cost,
        time_limit: Duration::from_secs(args.timeout),
        ..ScaffoldConfig::default()
    };
    let settings = settings(&config);
    let scaffold: Arc<dyn Scaffold> = match args.scaffold {
        ScaffoldName::Codeact => Arc::new(CodeAct { config }),
    };
    configured(scaffold, settings)
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
    if let Some(dollars) = config.max_cost {
        settings.insert("max_cost".to_owned(), dollars.into());
    }
    settings
}
