//! The specs of SWE-Gym and SWE-bench, which come with the program: `specs/` holds a file for each repository.

use crate::index::hex_sha256;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../specs/", $name)))),*]
    };
}

/// Name and text of every file.
pub(super) const FILES: [(&str, &str); 33] = files![
    "astropy__astropy.toml",
    "bokeh__bokeh.toml",
    "conan-io__conan.toml",
    "dask__dask.toml",
    "dbt-labs__dbt-core.toml",
    "django__django.toml",
    "facebookresearch__hydra.toml",
    "getmoto__moto.toml",
    "hypothesisworks__hypothesis.toml",
    "iterative__dvc.toml",
    "marshmallow-code__marshmallow.toml",
    "matplotlib__matplotlib.toml",
    "modin-project__modin.toml",
    "mwaskom__seaborn.toml",
    "pallets__flask.toml",
    "pandas-dev__pandas.toml",
    "project-monai__monai.toml",
    "psf__requests.toml",
    "pvlib__pvlib-python.toml",
    "pydantic__pydantic.toml",
    "pydata__xarray.toml",
    "pydicom__pydicom.toml",
    "pylint-dev__astroid.toml",
    "pylint-dev__pylint.toml",
    "pytest-dev__pytest.toml",
    "python__mypy.toml",
    "pyvista__pyvista.toml",
    "scikit-learn__scikit-learn.toml",
    "sphinx-doc__sphinx.toml",
    "spyder-ide__spyder.toml",
    "sqlfluff__sqlfluff.toml",
    "swe-bench__humaneval.toml",
    "sympy__sympy.toml",
];

/// SHA-256 of all files, one after the other.
pub(super) fn digest() -> String {
    hex_sha256(FILES.map(|(_, text)| text).concat().as_bytes())
}
