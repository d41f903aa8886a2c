//! Choice of a parser.

use swegym_core::{RepoName, TestStatuses};

use super::pytest;

/// Which parser reads the log of a repository's tests. The names and rules are those of SWE-bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ParserName {
    /// The summary lines of `pytest -rA`.
    #[default]
    Pytest,
    /// As [`Self::Pytest`]; a parameter that is an absolute path counts by its last part, since the folders before
    /// it differ from run to run.
    PytestOptions,
    /// As [`Self::Pytest`], without colours and control characters; a line may also end with the status.
    PytestV2,
    /// As [`Self::PytestV2`]; a progress such as `[ 3%]` may follow `FAILED`.
    PytestPydantic,
}

/// The parser of a repository, whatever the case of its name; [`ParserName::Pytest`] where none is known.
pub fn parser_of(repo: &RepoName) -> ParserName {
    match repo.as_str().to_ascii_lowercase().as_str() {
        "psf/requests" | "pylint-dev/pylint" | "pydicom/pydicom" => ParserName::PytestOptions,
        "astropy/astropy" | "scikit-learn/scikit-learn" | "sphinx-doc/sphinx" => ParserName::PytestV2,
        "pydantic/pydantic" => ParserName::PytestPydantic,
        _ => ParserName::Pytest,
    }
}

/// Reads a log, whatever bytes it holds, in time linear in its length. Where upstream crashes on a line of one word,
/// that line is left out.
pub fn parse(name: ParserName, log: &[u8]) -> TestStatuses {
    let log = String::from_utf8_lossy(log);
    match name {
        ParserName::Pytest => pytest::parse(&log),
        ParserName::PytestOptions => pytest::parse_options(&log),
        ParserName::PytestV2 => pytest::parse_v2(&log),
        ParserName::PytestPydantic => pytest::parse_pydantic(&log),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    fn of(repo: &str) -> ParserName {
        parser_of(&RepoName::new(repo).unwrap())
    }

    #[test]
    fn the_case_of_a_repository_does_not_matter() {
        assert_eq!(of("pydantic/pydantic"), ParserName::PytestPydantic);
        assert_eq!(of("PSF/Requests"), ParserName::PytestOptions);
        assert_eq!(of("Scikit-Learn/scikit-learn"), ParserName::PytestV2);
        assert_eq!(of("Project-MONAI/MONAI"), ParserName::Pytest);
        assert_eq!(of("someone/requests"), ParserName::Pytest);
    }

    #[test]
    fn agrees_with_the_environment_specs_of_upstream() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/env_specs.json");
        let Ok(specs) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: {} is absent", path.display());
            return;
        };
        let specs: Value = serde_json::from_str(&specs).unwrap();
        for (repo, spec) in specs["repos"].as_object().unwrap() {
            let expected = match spec["log_parser"].as_str() {
                Some("parse_log_pytest_options") => ParserName::PytestOptions,
                Some("parse_log_pytest_v2") => ParserName::PytestV2,
                Some("parse_log_pytest_pydantic") => ParserName::PytestPydantic,
                _ => ParserName::Pytest,
            };
            assert_eq!(of(repo), expected, "{repo}");
        }
    }
}
