//! Choice of a parser.

use std::str::FromStr;

use swegym_core::RepoName;

use crate::GradeError;

/// Which parser reads the log of a repository's tests. The names and rules are those of SWE-bench, but for
/// [`Self::Unittest`].
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
    /// As [`Self::Pytest`]; mouse buttons count by their numbers.
    Matplotlib,
    /// Summary lines of pytest, only of tests that passed or failed.
    Seaborn,
    /// The test runner of SymPy.
    Sympy,
    /// The test runner of Django.
    Django,
    /// `python -m unittest -v`.
    Unittest,
}

use ParserName::{
    Django, Matplotlib, Pytest, PytestOptions, PytestPydantic, PytestV2, Seaborn, Sympy, Unittest,
};

impl ParserName {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Pytest, PytestOptions, PytestV2, PytestPydantic, Matplotlib, Seaborn, Sympy, Django, Unittest];

    /// Its name, as in `parse_log_NAME` of SWE-bench.
    pub fn as_str(self) -> &'static str {
        match self {
            Pytest => "pytest",
            PytestOptions => "pytest_options",
            PytestV2 => "pytest_v2",
            PytestPydantic => "pytest_pydantic",
            Matplotlib => "matplotlib",
            Seaborn => "seaborn",
            Sympy => "sympy",
            Django => "django",
            Unittest => "unittest",
        }
    }
}

/// Repositories, in small letters, the short name by which SWE-bench has a parser for each, and that parser.
const REPOSITORIES: [(&str, &str, ParserName); 31] = [
    ("astropy/astropy", "astropy", PytestV2),
    ("bokeh/bokeh", "bokeh", Pytest),
    ("conan-io/conan", "conan", Pytest),
    ("dask/dask", "dask", Pytest),
    ("django/django", "django", Django),
    ("facebookresearch/hydra", "hydra", Pytest),
    ("getmoto/moto", "moto", Pytest),
    ("hypothesisworks/hypothesis", "hypothesis", Pytest),
    ("iterative/dvc", "dvc", Pytest),
    ("marshmallow-code/marshmallow", "marshmallow", Pytest),
    ("matplotlib/matplotlib", "matplotlib", Matplotlib),
    ("mne-tools/mne-python", "mne", Pytest),
    ("modin-project/modin", "modin", Pytest),
    ("mwaskom/seaborn", "seaborn", Seaborn),
    ("pallets/flask", "flask", Pytest),
    ("pandas-dev/pandas", "pandas", Pytest),
    ("project-monai/monai", "monai", Pytest),
    ("psf/requests", "requests", PytestOptions),
    ("pvlib/pvlib-python", "pvlib", Pytest),
    ("pydantic/pydantic", "pydantic", PytestPydantic),
    ("pydata/xarray", "xarray", Pytest),
    ("pydicom/pydicom", "pydicom", PytestOptions),
    ("pylint-dev/astroid", "astroid", Pytest),
    ("pylint-dev/pylint", "pylint", PytestOptions),
    ("pytest-dev/pytest", "pytest", Pytest),
    ("python/mypy", "mypy", Pytest),
    ("pyvista/pyvista", "pyvista", Pytest),
    ("scikit-learn/scikit-learn", "scikit", PytestV2),
    ("sphinx-doc/sphinx", "sphinx", PytestV2),
    ("sqlfluff/sqlfluff", "sqlfluff", Pytest),
    ("sympy/sympy", "sympy", Sympy),
];

impl FromStr for ParserName {
    type Err = GradeError;

    /// With or without `parse_log_` before it; the name of a repository's parser in SWE-bench will do.
    fn from_str(name: &str) -> Result<Self, GradeError> {
        let short = name.strip_prefix("parse_log_").unwrap_or(name);
        let own = Self::ALL.into_iter().find(|parser| parser.as_str() == short);
        let of_repository = || REPOSITORIES.iter().find(|(_, known, _)| *known == short).map(|known| known.2);
        own.or_else(of_repository).ok_or_else(|| GradeError::UnknownParser { name: name.to_owned() })
    }
}

/// The parser of a repository, whatever the case of its name; [`ParserName::Pytest`] where none is known.
pub fn parser_of(repo: &RepoName) -> ParserName {
    known_parser(&repo.as_str().to_ascii_lowercase()).unwrap_or_default()
}

/// The parser of a repository whose name is in small letters.
pub(crate) fn known_parser(repo: &str) -> Option<ParserName> {
    REPOSITORIES.iter().find(|(known, _, _)| *known == repo).map(|known| known.2)
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
        assert_eq!(of("pydantic/pydantic"), PytestPydantic);
        assert_eq!(of("PSF/Requests"), PytestOptions);
        assert_eq!(of("Scikit-Learn/scikit-learn"), PytestV2);
        assert_eq!(of("Project-MONAI/MONAI"), Pytest);
        assert_eq!(of("someone/requests"), Pytest);
    }

    #[test]
    fn parsers_are_found_by_their_names_and_those_of_repositories() {
        for parser in ParserName::ALL {
            assert_eq!(parser.as_str().parse::<ParserName>().unwrap(), parser);
        }
        assert_eq!("parse_log_scikit".parse::<ParserName>().unwrap(), PytestV2);
        let error = "parse_log_jest".parse::<ParserName>().unwrap_err();
        assert_eq!(error.to_string(), "choose a log parser: there is none of the name `parse_log_jest`");
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
            if let Some(name) = spec["log_parser"].as_str() {
                let expected: ParserName = name.parse().unwrap();
                assert_eq!(known_parser(&repo.to_ascii_lowercase()), Some(expected), "{repo}");
            }
        }
    }
}
