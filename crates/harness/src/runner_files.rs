//! Which files of a repository are tests, and which say how tests are run. Pure, on paths as bytes.

use crate::findings::{PLUGIN_INJECTED, RUNNER_CONFIG_CHANGED, STARTUP_HOOK, TEST_FILES_CHANGED};
use crate::patch_paths::Paths;

/// Files that change how pytest runs wherever they lie; `.env` is read by a plugin, `.gitattributes` when files are
/// restored.
const RUNNER_FILES: [&[u8]; 8] = [
    b"conftest.py",
    b"pytest.ini",
    b".pytest.ini",
    b"pytest.toml",
    b".pytest.toml",
    b"tox.ini",
    b".env",
    b".gitattributes",
];
/// Modules that Python imports at its start, if they are there.
const STARTUP_MODULES: [&[u8]; 2] = [b"sitecustomize", b"usercustomize"];
/// Modules that pytest is made of: one of the same name at the top of a repository may be imported in its place.
const RUNNER_MODULES: [&[u8]; 8] =
    [b"pytest", b"_pytest", b"pluggy", b"iniconfig", b"py", b"xdist", b"execnet", b"swegym_channel"];
/// Folders below which modules are found by their own names.
const SOURCE_ROOTS: [&[u8]; 3] = [b"src", b"lib", b"python"];
/// Folders at the top of a repository that hold nothing but tests.
const TEST_ROOTS: [&[u8]; 3] = [b"test", b"tests", b"test-data"];

/// How a file that a prediction changed has to do with the running of tests: the kind of finding that it is.
pub(crate) fn role_of(path: &[u8], base: &Paths) -> Option<&'static str> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let name = *parts.last()?;
    let module = name.strip_suffix(b".py").unwrap_or(name);
    if name.ends_with(b".pth") || STARTUP_MODULES.contains(&module) || is_below(&parts, &STARTUP_MODULES) {
        return Some(STARTUP_HOOK);
    }
    let is_metadata = |part: &&[u8]| part.ends_with(b".egg-info") || part.ends_with(b".dist-info");
    if parts.iter().any(is_metadata) || shadows_the_runner(&parts, base) {
        return Some(PLUGIN_INJECTED);
    }
    if RUNNER_FILES.contains(&name) {
        return Some(RUNNER_CONFIG_CHANGED);
    }
    is_test(&parts).then_some(TEST_FILES_CHANGED)
}

/// Whether a file holds the configuration of several tools, of which the test runner is one.
pub(crate) fn is_shared_config(path: &[u8]) -> bool {
    matches!(path.rsplit(|byte| *byte == b'/').next(), Some(b"setup.cfg" | b"pyproject.toml"))
}

/// Tests and what lies beside them. `django/test/` and the like are products, so folders named `test` count at the
/// top alone.
fn is_test(parts: &[&[u8]]) -> bool {
    let Some((name, folders)) = parts.split_last() else { return false };
    let name_is_test = name.ends_with(b".py")
        && (name.starts_with(b"test_") || name.ends_with(b"_test.py") || matches!(*name, b"tests.py"));
    let in_root = parts.first().is_some_and(|first| TEST_ROOTS.contains(first));
    name_is_test || in_root || folders.contains(&b"tests".as_slice())
}

/// Whether it is a module or package of the runner's name that the base commit does not have.
fn shadows_the_runner(parts: &[&[u8]], base: &Paths) -> bool {
    let below = match parts {
        [root, rest @ ..] if SOURCE_ROOTS.contains(root) && !rest.is_empty() => rest,
        _ => parts,
    };
    let Some(first) = below.first() else { return false };
    let module = first.strip_suffix(b".py").unwrap_or(first);
    if !RUNNER_MODULES.contains(&module) {
        return false;
    }
    let top = parts[..=parts.len() - below.len()].join(&b'/');
    let folder = [top.as_slice(), b"/"].concat();
    let has_folder = base.range(folder.clone()..).next().is_some_and(|path| path.starts_with(&folder));
    !base.contains(&top) && !has_folder
}

fn is_below(parts: &[&[u8]], folders: &[&[u8]]) -> bool {
    parts.iter().any(|part| folders.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_role() {
        let base = Paths::from([b"src/py/core.py".to_vec(), b"app/x.py".to_vec()]);
        let cases = [
            ("conftest.py", Some(RUNNER_CONFIG_CHANGED)),
            ("a/b/pytest.ini", Some(RUNNER_CONFIG_CHANGED)),
            ("src/sitecustomize.py", Some(STARTUP_HOOK)),
            ("usercustomize/__init__.py", Some(STARTUP_HOOK)),
            ("x.pth", Some(STARTUP_HOOK)),
            ("evil.egg-info/entry_points.txt", Some(PLUGIN_INJECTED)),
            ("src/evil-1.0.dist-info/METADATA", Some(PLUGIN_INJECTED)),
            ("pytest.py", Some(PLUGIN_INJECTED)),
            ("src/_pytest/runner.py", Some(PLUGIN_INJECTED)),
            ("src/py/core.py", None),
            ("docs/pytest/plugin.py", None),
            ("tests/data.json", Some(TEST_FILES_CHANGED)),
            ("pkg/tests/helpers.py", Some(TEST_FILES_CHANGED)),
            ("pkg/test_x.py", Some(TEST_FILES_CHANGED)),
            ("tests", Some(TEST_FILES_CHANGED)),
            ("django/test/client.py", None),
            ("pkg/testing.py", None),
            ("pkg/latest.py", None),
            ("setup.cfg", None),
        ];
        for (path, role) in cases {
            assert_eq!(role_of(path.as_bytes(), &base), role, "{path}");
        }
    }

    #[test]
    fn shared_configuration_is_known_wherever_it_lies() {
        assert!(is_shared_config(b"setup.cfg") && is_shared_config(b"a/pyproject.toml"));
        assert!(!is_shared_config(b"a/setup.cfg.bak"));
    }
}
