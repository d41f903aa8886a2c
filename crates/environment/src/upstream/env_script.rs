//! The script that makes the conda environment.

use super::environment_yml::replace_yanked_in_pip_section;
use super::requirements::{fork_requirements_lines, replace_yanked};
use super::rules::{ACTIVATE, ENV_NAME, HEREDOC, PackageFile, ScriptRules, UpstreamSpec};
use crate::EnvironmentError;

/// Where the script finds `requirements.txt`.
const REQUIREMENTS: &str = "$HOME/requirements.txt";
/// Where the script finds `environment.yml`.
const ENVIRONMENT_YML: &str = "environment.yml";

/// Texts that an environment script depends on beside its spec.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackageTexts<'a> {
    /// What [`requirements_text`](super::requirements_text) or
    /// [`environment_yml_text`](super::environment_yml_text) gave, as [`UpstreamSpec::package_file`] asks for.
    pub from_repository: &'a str,
    /// The `environment.yml` that SWE-bench 4 has for single instances; it stands for everything else.
    pub cached_environment_yml: Option<&'a str>,
}

/// Lines of the script that makes the conda environment of an instance.
///
/// # Errors
/// [`EnvironmentError::SpecColumn`] when the spec has no `python` and the script needs it.
pub fn env_script(
    spec: &UpstreamSpec,
    rules: ScriptRules,
    texts: &PackageTexts<'_>,
) -> Result<Vec<String>, EnvironmentError> {
    if let (ScriptRules::Swebench4, Some(yml)) = (rules, texts.cached_environment_yml) {
        return Ok(from_cached(yml));
    }
    let text = texts.from_repository;
    let mut lines = vec![ACTIVATE.to_owned()];
    match spec.package_file() {
        Some(PackageFile::Requirements) => lines.extend(from_requirements(spec, rules, text)?),
        Some(PackageFile::EnvironmentYml) => lines.extend(from_environment_yml(spec, rules, text)?),
        None => {
            lines.extend_from_slice(env_patches(spec, rules));
            let packages = spec.packages.as_deref().unwrap_or_default();
            lines.push(format!("conda create -n {ENV_NAME} python={} {packages} -y", spec.needed_python()?));
        }
    }
    lines.push(format!("conda activate {ENV_NAME}"));
    if let Some(packages) = &spec.pip_packages {
        lines.push(format!("python -m pip install {}", packages.join(" ")));
    }
    Ok(lines)
}

fn from_cached(yml: &str) -> Vec<String> {
    let file = "/root/environment.yml";
    vec![
        ACTIVATE.to_owned(),
        heredoc(yml, file),
        format!("conda env create -f {file}"),
        format!("conda activate {ENV_NAME}"),
    ]
}

fn from_requirements(
    spec: &UpstreamSpec,
    rules: ScriptRules,
    text: &str,
) -> Result<Vec<String>, EnvironmentError> {
    let text = match rules {
        ScriptRules::Swegym => fork_requirements_lines(text),
        ScriptRules::Swebench4 => replace_yanked(text),
    };
    let mut lines = vec![
        format!("conda create -n {ENV_NAME} python={} -y", spec.needed_python()?),
        heredoc(&text, REQUIREMENTS),
    ];
    lines.extend_from_slice(env_patches(spec, rules));
    lines.push(format!("conda activate {ENV_NAME} && python -m pip install -r {REQUIREMENTS}"));
    lines.push(format!("rm {REQUIREMENTS}"));
    Ok(lines)
}

fn from_environment_yml(
    spec: &UpstreamSpec,
    rules: ScriptRules,
    text: &str,
) -> Result<Vec<String>, EnvironmentError> {
    let text = match rules {
        ScriptRules::Swegym => text.to_owned(),
        ScriptRules::Swebench4 => replace_yanked_in_pip_section(text),
    };
    let mut lines = vec![heredoc(&text, ENVIRONMENT_YML)];
    lines.extend_from_slice(env_patches(spec, rules));
    if spec.no_use_env {
        lines.push(format!("conda create -c conda-forge -n {ENV_NAME} python={} -y", spec.needed_python()?));
        lines.push(format!("conda env update -f {ENVIRONMENT_YML}"));
    } else {
        lines.push(format!("conda env create --file {ENVIRONMENT_YML}"));
        // The fork may leave the interpreter to the file.
        lines.push(if rules == ScriptRules::Swegym && spec.python.is_none() {
            format!("conda activate {ENV_NAME}")
        } else {
            format!("conda activate {ENV_NAME} && conda install python={} -y", spec.needed_python()?)
        });
    }
    lines.push(format!("rm {ENVIRONMENT_YML}"));
    Ok(lines)
}

/// Only the fork knows patches of the environment.
fn env_patches(spec: &UpstreamSpec, rules: ScriptRules) -> &[String] {
    match rules {
        ScriptRules::Swegym => &spec.env_patches,
        ScriptRules::Swebench4 => &[],
    }
}

fn heredoc(text: &str, file: &str) -> String {
    format!("cat <<'{HEREDOC}' > {file}\n{text}\n{HEREDOC}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> UpstreamSpec {
        serde_json::from_value(json).unwrap()
    }

    fn script(spec: &UpstreamSpec, rules: ScriptRules, text: &str) -> Vec<String> {
        let texts = PackageTexts { from_repository: text, ..PackageTexts::default() };
        env_script(spec, rules, &texts).unwrap()
    }

    #[test]
    fn a_file_is_patched_after_it_is_written_and_literal_packages_before_anything() {
        let yml = spec(
            serde_json::json!({"packages": "environment.yml", "env_patches": ["sed x"], "python": "3.9"}),
        );
        let lines = script(&yml, ScriptRules::Swegym, "name: testbed");
        assert_eq!(lines[1], "cat <<'EOF_59812759871' > environment.yml\nname: testbed\nEOF_59812759871");
        assert_eq!(lines[2], "sed x");
        assert_eq!(lines[4], "conda activate testbed && conda install python=3.9 -y");

        let literal =
            spec(serde_json::json!({"env_patches": ["sed x"], "python": "3.9", "pip_packages": ["a", "b"]}));
        assert_eq!(
            script(&literal, ScriptRules::Swegym, "")[1..],
            [
                "sed x",
                "conda create -n testbed python=3.9  -y",
                "conda activate testbed",
                "python -m pip install a b"
            ]
        );
        assert!(!script(&literal, ScriptRules::Swebench4, "").contains(&"sed x".to_owned()));
    }

    #[test]
    fn an_environment_may_be_created_before_the_file_is_read() {
        let yml =
            spec(serde_json::json!({"packages": "environment.yml", "no_use_env": true, "python": "3.8"}));
        assert_eq!(
            script(&yml, ScriptRules::Swebench4, "")[2..],
            [
                "conda create -c conda-forge -n testbed python=3.8 -y",
                "conda env update -f environment.yml",
                "rm environment.yml",
                "conda activate testbed"
            ]
        );
    }

    #[test]
    fn an_interpreter_is_needed_but_for_the_fork_with_a_file_of_conda() {
        let yml = spec(serde_json::json!({"packages": "environment.yml"}));
        assert_eq!(script(&yml, ScriptRules::Swegym, "")[3], "conda activate testbed");
        let none = PackageTexts::default();
        for (spec, rules) in [(&yml, ScriptRules::Swebench4), (&UpstreamSpec::default(), ScriptRules::Swegym)]
        {
            let error = env_script(spec, rules, &none).unwrap_err();
            assert_eq!(error.to_string(), "make the scripts of the image: the spec has no `python`");
        }
    }

    #[test]
    fn yanked_packages_are_replaced_by_swebench_4() {
        let requirements = spec(serde_json::json!({"packages": "requirements.txt", "python": "3.9"}));
        let text = "a\n\n types-pkg_resources\ntypes-pkg_resources==0.1.3\n";
        let kept = "a\ntypes-pkg_resources\ntypes-pkg_resources==0.1.3\n";
        assert!(script(&requirements, ScriptRules::Swegym, text)[2].contains(kept));
        let replaced = "a\n\n types-pkg_resources\ntypes-setuptools\n";
        assert!(script(&requirements, ScriptRules::Swebench4, text)[2].contains(replaced));
    }

    #[test]
    fn a_cached_file_stands_for_everything_else() {
        let texts = PackageTexts { cached_environment_yml: Some("name: x"), ..PackageTexts::default() };
        let lines = env_script(&UpstreamSpec::default(), ScriptRules::Swebench4, &texts).unwrap();
        assert_eq!(lines[1], "cat <<'EOF_59812759871' > /root/environment.yml\nname: x\nEOF_59812759871");
        assert_eq!(lines.len(), 4);
    }
}
