//! Conda packages as requirements of wheels.

/// What becomes of a conda package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mapped {
    /// A requirement that `uv` understands.
    Requirement(String),
    /// The interpreter, with the versions that are allowed, such as `3.10` or `>=3.8`; empty where any is.
    Python(String),
    /// Nothing, and why.
    LeftOut(String),
}

/// Packages whose wheels are named otherwise, by the conda name.
const RENAMED: [(&str, &str); 21] = [
    ("dask-core", "dask"),
    ("faiss", "faiss-cpu"),
    ("iris", "scitools-iris"),
    ("matplotlib-base", "matplotlib"),
    ("msgpack-python", "msgpack"),
    ("opencv", "opencv-python-headless"),
    ("psycopg2", "psycopg2-binary"),
    ("py-opencv", "opencv-python-headless"),
    ("py-xgboost", "xgboost"),
    ("pyqt", "PyQt5"),
    ("pytables", "tables"),
    ("python-blosc", "blosc"),
    ("python-cityhash", "cityhash"),
    ("python-graphviz", "graphviz"),
    ("python-kaleido", "kaleido"),
    ("python-xxhash", "xxhash"),
    ("pytorch", "torch"),
    ("ray-core", "ray"),
    ("ray-default", "ray[default]"),
    ("seaborn-base", "seaborn"),
    ("tiledb-py", "tiledb"),
];

/// Programs and libraries that conda packs and the package index does not, or under their name something else.
const NO_WHEEL: [&str; 52] = [
    "aws-sdk-cpp",
    "binutils",
    "blas",
    "blosc",
    "boost-cpp",
    "bzip2",
    "c-compiler",
    "ca-certificates",
    "clang",
    "compilers",
    "conda",
    "conda-build",
    "cudatoolkit",
    "cxx-compiler",
    "doxygen",
    "eccodes",
    "esmf",
    "expat",
    "ffmpeg",
    "firefox",
    "fortran-compiler",
    "freetype",
    "gcc",
    "gdal",
    "geckodriver",
    "git",
    "graphviz",
    "gxx",
    "hdf5",
    "icu",
    "imagemagick",
    "java",
    "libjpeg-turbo",
    "libnetcdf",
    "libopenblas",
    "libpng",
    "libpq",
    "make",
    "mamba",
    "mkl",
    "nco",
    "nodejs",
    "nomkl",
    "openjdk",
    "openmpi",
    "openssl",
    "pandoc",
    "pkg-config",
    "pynio",
    "snappy",
    "tiledb",
    "zlib",
];

/// Maps one package in conda's notation: `name`, `name=1.2`, `name >=1.2,<2`, `channel::name=1.2=build`.
pub(super) fn map(package: &str) -> Mapped {
    let package = package.trim();
    let package = package.rsplit_once("::").map_or(package, |(_, package)| package);
    let end = package.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    let (name, version) = package.split_at(end.unwrap_or(package.len()));
    let name = name.to_ascii_lowercase();
    if name.is_empty() || version.starts_with('[') {
        return Mapped::LeftOut("it is no conda package as this program reads them".to_owned());
    }
    let Some(version) = versions(version.trim()) else {
        return Mapped::LeftOut(format!("wheels know no versions such as `{}`", version.trim()));
    };
    if name == "python" {
        return Mapped::Python(version.replace("==", "").replace(".*", ""));
    }
    if NO_WHEEL.contains(&name.as_str()) || name.ends_with("-64") || name.starts_with('_') {
        return Mapped::LeftOut(
            "there is no wheel of it; where it is needed, install it on the host".to_owned(),
        );
    }
    let renamed = RENAMED.iter().find(|(conda, _)| *conda == name);
    Mapped::Requirement(format!("{}{version}", renamed.map_or(name.as_str(), |(_, wheel)| wheel)))
}

/// Conda's versions in the form of wheels, empty where any will do: `=1.2=build` is `==1.2.*`.
fn versions(text: &str) -> Option<String> {
    if text.contains(['|', '[', '\'', '"']) {
        return None;
    }
    let clauses = text.split(',').map(str::trim).filter(|clause| !clause.is_empty() && *clause != "*");
    clauses.map(clause).collect::<Option<Vec<_>>>().map(|clauses| clauses.join(","))
}

fn clause(text: &str) -> Option<String> {
    let digits = text.find(|c: char| !"=<>!~ ".contains(c))?;
    let (operator, version) = text.split_at(digits);
    // After the version, conda may name a build, which wheels do not have.
    let version = version.split(['=', ' ']).next().unwrap_or_default();
    let bare = version.trim_end_matches('*').trim_end_matches('.');
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+!_-".contains(&byte)) {
        return None;
    }
    let starred = version.ends_with('*');
    match operator.trim() {
        "=" => Some(format!("=={bare}.*")),
        "" | "==" if starred => Some(format!("=={bare}.*")),
        "" | "==" => Some(format!("=={bare}")),
        "!=" if starred => Some(format!("!={bare}.*")),
        known @ ("!=" | "<" | "<=" | ">" | ">=" | "~=") => Some(format!("{known}{bare}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn requirement(package: &str) -> String {
        match map(package) {
            Mapped::Requirement(requirement) => requirement,
            other => panic!("{package}: {other:?}"),
        }
    }

    #[test]
    fn versions_are_translated() {
        let cases = [
            ("numpy", "numpy"),
            ("numpy=1.23", "numpy==1.23.*"),
            ("numpy=1.23.*", "numpy==1.23.*"),
            ("numpy==1.23.4", "numpy==1.23.4"),
            ("numpy 1.23.4 py38_0", "numpy==1.23.4"),
            ("numpy=1.23=py38_0", "numpy==1.23.*"),
            ("sqlalchemy<2", "sqlalchemy<2"),
            ("tornado >=6.0.3, <7.*", "tornado>=6.0.3,<7"),
            ("pandas!=1.5.*", "pandas!=1.5.*"),
            ("conda-forge::pytables>=3.6", "tables>=3.6"),
            ("PyYAML *", "pyyaml"),
            ("ray-default", "ray[default]"),
        ];
        for (conda, wheel) in cases {
            assert_eq!(requirement(conda), wheel, "{conda}");
        }
    }

    #[test]
    fn the_interpreter_is_told_from_packages() {
        for (conda, python) in
            [("python=3.10", "3.10"), ("python>=3.8", ">=3.8"), ("python 3.9.*", "3.9"), ("python", "")]
        {
            assert_eq!(map(conda), Mapped::Python(python.to_owned()));
        }
        assert_eq!(requirement("python-dateutil>=2.8"), "python-dateutil>=2.8");
    }

    #[test]
    fn what_has_no_wheel_is_left_out() {
        for package in
            ["nodejs>=16", "gcc_linux-64", "graphviz", "numpy>=1|<0.5", "numpy[version='>1']", "", ">=3"]
        {
            assert!(matches!(map(package), Mapped::LeftOut(_)), "{package}");
        }
    }

    #[test]
    fn tables_are_sorted() {
        assert!(NO_WHEEL.is_sorted() && RENAMED.is_sorted());
    }

    proptest! {
        #[test]
        fn anything_is_mapped_to_one_line_or_left_out(package in "\\PC*") {
            if let Mapped::Requirement(requirement) = map(&package) {
                prop_assert!(!requirement.starts_with('-') || package.trim().starts_with('-'), "{}", requirement);
            }
        }
    }
}
