//! Flags that say where code runs and what it may use.

use clap::{Args, ValueEnum};

/// Where code runs, and what it may use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sandboxes")]
pub(crate) struct SandboxArgs {
    /// What makes sandboxes
    #[arg(long, value_enum, default_value_t = BackendName::Local)]
    pub(crate) backend: BackendName,
    /// Socket of the container daemon, for `--backend docker` [default: DOCKER_HOST, else the usual ones]
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub(crate) docker_socket: Option<String>,
    /// Where images come from [default: `built` for `local`, `published` for `docker`]
    #[arg(long, value_enum, hide_short_help = true)]
    pub(crate) images: Option<ImageSource>,
    /// Memory of a sandbox
    #[arg(long, value_name = "SIZE", value_parser = super::images::size, default_value = "4G", hide_short_help = true)]
    pub(crate) memory: u64,
    /// Bytes that a sandbox may write
    #[arg(long, value_name = "SIZE", value_parser = super::images::size, default_value = "2G", hide_short_help = true)]
    pub(crate) disk: u64,
    /// Processors of a sandbox, such as 1.5 [default: no limit]
    #[arg(long, value_name = "NUMBER", value_parser = thousandths, hide_short_help = true)]
    pub(crate) cpus: Option<u32>,
}

impl SandboxArgs {
    /// Where images come from, as far as the flags make sense together.
    pub(crate) fn image_source(&self) -> anyhow::Result<ImageSource> {
        match (self.backend, self.images) {
            (BackendName::Docker, Some(ImageSource::Built)) => anyhow::bail!(
                "choose images: a container daemon cannot use those that are built here; export them with \
                 `swegym images export --with-host-base`, load them, and name them in the column `image`"
            ),
            (BackendName::Docker, _) => Ok(ImageSource::Published),
            (BackendName::Local, source) => Ok(source.unwrap_or(ImageSource::Built)),
        }
    }

    /// Limits of each sandbox.
    pub(crate) fn limits(&self) -> swegym_sandbox::Limits {
        swegym_sandbox::Limits {
            memory_bytes: self.memory,
            disk_bytes: self.disk,
            cpu_millis: self.cpus,
            ..swegym_sandbox::Limits::default()
        }
    }

    /// What of them belongs into `run.toml`.
    pub(crate) fn settings(&self) -> anyhow::Result<toml::Table> {
        let number = |value: u64| toml::Value::from(i64::try_from(value).unwrap_or(i64::MAX));
        let name = |value: &dyn ToString| toml::Value::from(value.to_string());
        let mut settings = toml::Table::from_iter([
            ("backend".to_owned(), name(&value_name(self.backend))),
            ("images".to_owned(), name(&value_name(self.image_source()?))),
            ("memory".to_owned(), number(self.memory)),
            ("disk".to_owned(), number(self.disk)),
        ]);
        if let Some(thousandths) = self.cpus {
            settings.insert("cpus".to_owned(), (f64::from(thousandths) / 1000.0).into());
        }
        Ok(settings)
    }
}

fn value_name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What makes sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    /// Linux namespaces: no daemon, no root.
    Local,
    /// A daemon with Docker's API: Docker or Podman.
    Docker,
}

/// Where images come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageSource {
    /// Built here from repositories and environment specs.
    Built,
    /// Those that the makers of the instances publish: a column `image`, `image_name` or `docker_image`, else the
    /// name that custom makes of the instance's id.
    Published,
}

fn thousandths(text: &str) -> Result<u32, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let thousandths = (number * 1000.0).round();
    match thousandths {
        1.0..=4_294_967_295.0 => Ok(thousandths as u32),
        _ => Err("must be a positive number, such as 1.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::thousandths;

    #[test]
    fn processors_are_counted_in_thousandths() {
        assert_eq!(["1", "1.5", "0.001"].map(|text| thousandths(text).unwrap()), [1000, 1500, 1]);
        for bad in ["0", "-1", "x", "inf", "NaN", "1e9"] {
            assert!(thousandths(bad).is_err(), "{bad}");
        }
    }
}
