//! Specs as TOML: one file a repository, with values that its versions share and tables of versions.

use std::collections::BTreeMap;

use serde::Deserialize;
use swegym_core::InstanceId;
use toml::Table;

use super::environment_spec::{EnvironmentSpec, Pins, Setup, Steps};
use super::nearest::nearest;
use super::specs::{Specs, Upstream};

/// Keys that do not go together with pins.
const STEP_KEYS: [&str; 9] = [
    "pip_packages",
    "no_use_env",
    "env_patches",
    "pre_install",
    "install",
    "repo_install",
    "requirements_paths",
    "environment_yml_paths",
    "exclude_newer",
];

/// A file, as far as every key and type in it is right; says where it is not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checked {
    repo: String,
    #[serde(default)]
    defaults: Values,
    #[serde(default)]
    specs: Vec<Values>,
}

/// The same file with its tables as they stand, so that one can be laid over another.
#[derive(Deserialize)]
struct Tables {
    #[serde(default)]
    defaults: Table,
    #[serde(default)]
    specs: Vec<Table>,
}

/// What `[defaults]` or one of `[[specs]]` says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Values {
    versions: Option<Vec<String>>,
    profile: Option<Profile>,
    python: Option<String>,
    packages: Option<Packages>,
    instance_packages: BTreeMap<InstanceId, Vec<String>>,
    install_repo: Option<String>,
    pip_packages: Vec<String>,
    no_use_env: bool,
    env_patches: Vec<String>,
    pre_install: Vec<String>,
    install: Option<String>,
    repo_install: Option<String>,
    eval_commands: Vec<String>,
    test_cmd: String,
    log_parser: Option<String>,
    execute_test_as_nonroot: bool,
    nano_cpus: Option<u64>,
    requirements_paths: Vec<String>,
    environment_yml_paths: Vec<String>,
    exclude_newer: Option<String>,
}

/// The rules whose upstream a table is for, in place of the tables without a profile.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Profile {
    Swebench4,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a list of pins, `requirements.txt`, `environment.yml` or names of conda packages"
)]
enum Packages {
    Pinned(Vec<String>),
    Source(String),
}

/// Reads the specs of one repository; the message of an error has the line.
pub(super) fn read(text: &str, specs: &mut Specs) -> Result<(), String> {
    let checked: Checked = toml::from_str(text).map_err(|error| explain(text, &error))?;
    let tables: Tables = toml::from_str(text).map_err(|error| explain(text, &error))?;
    if checked.defaults.versions.is_some() || checked.defaults.profile.is_some() {
        return Err("`versions` and `profile` belong into `[[specs]]`, not into `[defaults]`".to_owned());
    }
    for (number, (own, table)) in (1..).zip(checked.specs.into_iter().zip(tables.specs)) {
        let failed = |message: String| format!("table {number} of `specs`: {message}");
        let versions = own.versions.filter(|versions| !versions.is_empty());
        let versions = versions.ok_or_else(|| failed("it names no `versions`".to_owned()))?;
        let mut merged = tables.defaults.clone();
        merged.extend(table);
        let spec = spec(merged).map_err(failed)?;
        let upstream = own.profile.map_or(Upstream::SweGym, |Profile::Swebench4| Upstream::SweBench);
        for version in versions {
            if specs.insert_for(upstream, &checked.repo, &version, spec.clone()).is_some() {
                return Err(failed(format!("version `{version}` has a spec already")));
            }
        }
    }
    Ok(())
}

fn spec(table: Table) -> Result<EnvironmentSpec, String> {
    let steps = STEP_KEYS.into_iter().find(|key| table.contains_key(*key));
    let values: Values = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let pinned = matches!(values.packages, Some(Packages::Pinned(_)))
        || values.install_repo.is_some()
        || !values.instance_packages.is_empty();
    if let (true, Some(key)) = (pinned, steps) {
        return Err(format!("`{key}` does not go together with pinned packages"));
    }
    if let Some(date) = values.exclude_newer.as_deref().filter(|date| !is_date(date)) {
        return Err(format!("`exclude_newer`: `{date}` is not a date such as 2024-12-01"));
    }
    let packages = match values.packages {
        Some(Packages::Source(_)) if pinned => {
            return Err("`install_repo` and `instance_packages` need a list of pinned `packages`".to_owned());
        }
        Some(Packages::Source(source)) => Err(Some(source)),
        Some(Packages::Pinned(packages)) => Ok(packages),
        None if pinned => Ok(Vec::new()),
        None => Err(None),
    };
    let setup = match packages {
        Ok(packages) => Setup::Pinned(Pins {
            packages,
            instance_packages: values.instance_packages,
            install_repo: values.install_repo,
        }),
        Err(packages) => Setup::Steps(Box::new(Steps {
            packages,
            pip_packages: values.pip_packages,
            no_use_env: values.no_use_env,
            env_patches: values.env_patches,
            pre_install: values.pre_install,
            install: values.install,
            repo_install: values.repo_install,
            requirements_paths: values.requirements_paths,
            environment_yml_paths: values.environment_yml_paths,
            exclude_newer: values.exclude_newer,
        })),
    };
    Ok(EnvironmentSpec {
        python: values.python,
        setup,
        eval_commands: values.eval_commands,
        test_cmd: values.test_cmd,
        log_parser: values.log_parser,
        execute_test_as_nonroot: values.execute_test_as_nonroot,
        nano_cpus: values.nano_cpus,
    })
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// What is wrong and on which line; for an unknown key, the one that may be meant.
fn explain(text: &str, error: &toml::de::Error) -> String {
    let message = unknown_key(error.message()).unwrap_or_else(|| error.message().replace('\n', " "));
    match error.span() {
        Some(span) => {
            let before = text.as_bytes().get(..span.start).unwrap_or_default();
            format!("line {}: {message}", 1 + before.iter().filter(|byte| **byte == b'\n').count())
        }
        None => message,
    }
}

/// Serde says "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<String> {
    let (key, known) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let nearest = nearest(key, known.split('`').skip(1).step_by(2))?;
    Some(format!("unknown key `{key}`; the nearest is `{nearest}`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::Value;

    use super::*;

    fn specs(text: &str) -> Result<Specs, String> {
        let mut specs = Specs::default();
        read(text, &mut specs).map(|()| specs)
    }

    fn steps(spec: &EnvironmentSpec) -> &Steps {
        let Setup::Steps(steps) = &spec.setup else { panic!("{spec:?} is pinned") };
        steps
    }

    const FILE: &str = r#"
repo = "o/n"
[defaults]
python = "3.9"
test_cmd = "pytest"
pre_install = ["a", "b"]
[[specs]]
versions = ["1.0", "1.1"]
[[specs]]
versions = ["2.0"]
python = "3.11"
pre_install = []
[[specs]]
profile = "swebench4"
versions = ["2.0", "3.0"]
"#;

    #[test]
    fn a_table_overrides_the_defaults_key_by_key() {
        let specs = specs(FILE).unwrap();
        let get = |version| specs.find(Upstream::SweGym, "O/N", version).unwrap();
        assert_eq!((get("1.1").python.as_deref(), steps(get("1.1")).pre_install.len()), (Some("3.9"), 2));
        assert_eq!((get("2.0").python.as_deref(), steps(get("2.0")).pre_install.len()), (Some("3.11"), 0));
        assert_eq!(get("2.0").test_cmd, "pytest");
    }

    #[test]
    fn each_upstream_has_its_own_and_falls_back_to_the_other() {
        let specs = specs(FILE).unwrap();
        let python =
            |upstream, version| specs.find(upstream, "o/n", version).unwrap().python.clone().unwrap();
        assert_eq!(python(Upstream::SweGym, "2.0"), "3.11");
        assert_eq!(python(Upstream::SweBench, "2.0"), "3.9");
        assert_eq!(python(Upstream::SweGym, "3.0"), "3.9");
        assert_eq!(python(Upstream::SweBench, "1.0"), "3.9");
    }

    #[test]
    fn pins_and_steps_are_told_apart() {
        let pinned = "repo = \"o/n\"\n[[specs]]\nversions = [\"1\"]\npackages = [\"a==1\"]\n";
        let spec = specs(&format!("{pinned}install_repo = \"x\"")).unwrap();
        let Setup::Pinned(pins) = &spec.find(Upstream::SweGym, "o/n", "1").unwrap().setup else { panic!() };
        assert_eq!((pins.packages.len(), pins.install_repo.as_deref()), (1, Some("x")));
        let error = specs(&format!("{pinned}install = \"x\"")).unwrap_err();
        assert_eq!(error, "table 1 of `specs`: `install` does not go together with pinned packages");
        let error = specs(&pinned.replace("[\"a==1\"]", "\"numpy\"\ninstall_repo = \"x\"")).unwrap_err();
        assert!(error.contains("need a list of pinned `packages`"), "{error}");
    }

    #[test]
    fn errors_have_the_line_and_the_nearest_key() {
        let cases = [
            (
                "repo = \"o/n\"\n[defaults]\npyhton = \"3\"",
                "line 3: unknown key `pyhton`; the nearest is `python`",
            ),
            ("repo = \"o/n\"\ndefault = 1", "line 2: unknown key `default`; the nearest is `defaults`"),
            (
                "repo = \"o/n\"\n[[specs]]\nversion = [\"1\"]",
                "line 3: unknown key `version`; the nearest is `versions`",
            ),
            ("repo = \"o/n\"\n[[specs]]\npython = \"3\"", "table 1 of `specs`: it names no `versions`"),
            (
                "repo = \"o/n\"\n[defaults]\nversions = [\"1\"]",
                "`versions` and `profile` belong into `[[specs]]`, not into `[defaults]`",
            ),
            (
                "repo = \"o/n\"\n[[specs]]\nversions = [\"1\", \"1\"]",
                "table 1 of `specs`: version `1` has a spec already",
            ),
            (
                "repo = \"o/n\"\n[defaults]\nexclude_newer = \"soon\"\n[[specs]]\nversions = [\"1\"]",
                "table 1 of `specs`: `exclude_newer`: `soon` is not a date such as 2024-12-01",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(specs(text).unwrap_err(), message);
        }
        let error = specs("repo = \"o/n\"\n[defaults]\npackages = 3").unwrap_err();
        assert!(error.starts_with("line 3: expected a list of pins"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            specs(&text).ok();
        }

        #[test]
        fn any_mix_of_tokens_is_read_or_refused(
            parts in prop::collection::vec(prop::sample::select(&[
                "repo", "=", "\"o/n\"", "\n", "[defaults]", "[[specs]]", "versions", "[\"1\"]", "packages", "install",
                "{", "}", "'''", "3", "true", "instance_packages", "a__b-1", ".", "#", "\u{e9}",
            ][..]), 0..40)
        ) {
            specs(&parts.concat()).ok();
        }

        #[test]
        fn strings_come_back_as_they_were(
            versions in prop::collection::btree_set("\\PC{1,8}", 1..5),
            commands in prop::collection::vec(any::<String>(), 0..4),
            (install, shared) in any::<(String, bool)>(),
        ) {
            let list = |items: Vec<String>| Value::Array(items.into_iter().map(Value::String).collect());
            let versions: Vec<String> = versions.into_iter().collect();
            let values = Table::from_iter([
                ("pre_install".to_owned(), list(commands.clone())),
                ("install".to_owned(), install.clone().into()),
            ]);
            let mut own = Table::from_iter([("versions".to_owned(), list(versions.clone()))]);
            let mut file = Table::from_iter([("repo".to_owned(), "o/n".into())]);
            if shared {
                file.insert("defaults".to_owned(), values.into());
            } else {
                own.extend(values);
            }
            file.insert("specs".to_owned(), Value::Array(vec![own.into()]));
            let specs = specs(&file.to_string()).unwrap();
            for version in &versions {
                let steps = steps(specs.find(Upstream::SweGym, "o/n", version).unwrap());
                prop_assert_eq!(&steps.pre_install, &commands);
                prop_assert_eq!(steps.install.as_ref(), Some(&install));
            }
        }
    }
}
