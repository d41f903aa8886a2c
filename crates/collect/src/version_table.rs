//! Where repositories say their version.

use crate::versions::VersionForm::{self, Assigned, AssignedTwice, FirstLine, VersionInfo};

/// Repository, files, how they say it: those of SWE-Gym's fork, which has all of SWE-bench.
pub(crate) const FILES: &[(&str, &[&str], VersionForm)] = &[
    ("Qiskit/qiskit", &["qiskit/VERSION.txt"], FirstLine),
    ("conan-io/conan", &["conans/__init__.py"], Assigned),
    ("dbt-labs/dbt-core", &["core/dbt/version.py", "core/dbt/__init__.py"], Assigned),
    ("django/django", &["django/__init__.py"], Assigned),
    ("facebookresearch/hydra", &["hydra/__init__.py"], Assigned),
    ("getmoto/moto", &["moto/__init__.py"], Assigned),
    ("huggingface/transformers", &["src/transformers/__init__.py"], Assigned),
    ("marshmallow-code/marshmallow", &["src/marshmallow/__init__.py"], Assigned),
    ("mwaskom/seaborn", &["seaborn/__init__.py"], Assigned),
    ("pallets/flask", &["src/flask/__init__.py", "flask/__init__.py"], Assigned),
    (
        "psf/requests",
        &["requests/__version__.py", "requests/__init__.py", "src/requests/__version__.py"],
        Assigned,
    ),
    ("pyca/cryptography", &["src/cryptography/__about__.py", "src/cryptography/__init__.py"], Assigned),
    ("pylint-dev/astroid", &["astroid/__pkginfo__.py", "astroid/__init__.py"], Assigned),
    ("pylint-dev/pylint", &["pylint/__pkginfo__.py", "pylint/__init__.py"], Assigned),
    ("pytest-dev/pytest", &["src/_pytest/_version.py", "_pytest/_version.py"], AssignedTwice),
    ("python/mypy", &["mypy/version.py"], Assigned),
    ("pyvista/pyvista", &["pyvista/_version.py", "pyvista/__init__.py"], VersionInfo),
    ("scikit-learn/scikit-learn", &["sklearn/__init__.py"], Assigned),
    ("sphinx-doc/sphinx", &["sphinx/__init__.py"], Assigned),
    ("sympy/sympy", &["sympy/release.py", "sympy/__init__.py"], Assigned),
];

/// Repository, shell command that prints the version; SWE-Gym's fork alone has commands.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    (
        "HypothesisWorks/hypothesis",
        r#"cd hypothesis-python/src/hypothesis && python3 -c "import version; print(version.__version__)""#,
    ),
    (
        "Project-MONAI/MONAI",
        r#"cd monai && python3 -c "from _version import get_versions; print(get_versions()['version'])""#,
    ),
    ("bokeh/bokeh", "git describe"),
    (
        "dask/dask",
        r#"cd dask && python3 -c "from _version import get_versions; print(get_versions()['version'])""#,
    ),
    ("iterative/dvc", "python -m pip install setuptools_scm > /dev/null 2>&1; python -m setuptools_scm"),
    ("modin-project/modin", r#"python -c "from modin import __version__; print(__version__)""#),
    ("pandas-dev/pandas", r#"python3 -c "import versioneer; print(versioneer.get_version())""#),
    ("pydantic/pydantic", r#"cd pydantic && python3 -c "import version; print(version.VERSION)""#),
];
