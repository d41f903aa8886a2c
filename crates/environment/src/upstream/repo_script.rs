//! The script that puts the repository into the image and installs it.

use swegym_core::Environment;

use super::rules::{ACTIVATE, ENV_NAME, ScriptRules, UpstreamSpec};

/// Commits that the default branch does not reach: repository, commit, branch or tag that does.
const BRANCHES: [(&str, &str, &str); 3] = [
    ("sympy/sympy", "cffd4e0f86fefd4802349a9f9b19ed70934ea354", "1.7"),
    ("sympy/sympy", "70381f282f2d9d039da860e391fe51649df2779d", "sympy-1.5.1"),
    ("pytest-dev/pytest", "8aba863a634f40560e25055d179220f0eefabe9a", "4.6.x"),
];

/// With these, SWE-bench 4.1.0 commits what the installation changed, so that later diffs hold the agent's work alone.
const COMMIT_CHANGES: [&str; 3] = [
    "git config --global user.email setup@swebench.config",
    "git config --global user.name SWE-bench",
    "git commit --allow-empty -am SWE-bench",
];

/// Lines of the script that puts the repository of an instance into the image and installs it.
pub fn repo_script(spec: &UpstreamSpec, rules: ScriptRules, environment: &Environment) -> Vec<String> {
    let mut lines = vec![
        clone(rules, environment),
        format!("chmod -R 777 /{ENV_NAME}"),
        format!("cd /{ENV_NAME}"),
        format!("git reset --hard {}", environment.base_commit),
        "git remote remove origin".to_owned(),
    ];
    if rules == ScriptRules::Swebench4 {
        lines.extend(drop_later_history(environment));
    }
    lines.push(ACTIVATE.to_owned());
    lines.push(format!("conda activate {ENV_NAME}"));
    lines.push("echo \"Current environment: $CONDA_DEFAULT_ENV\"".to_owned());
    lines.extend(spec.pre_install.iter().chain(&spec.install).cloned());
    if rules == ScriptRules::Swebench4 {
        lines.extend(COMMIT_CHANGES.map(str::to_owned));
    }
    lines
}

fn clone(rules: ScriptRules, environment: &Environment) -> String {
    let repo = environment.repo.as_str();
    match rules {
        // The fork writes the repository in lower case.
        ScriptRules::Swegym => {
            format!("git clone -o origin https://github.com/{} /{ENV_NAME}", repo.to_lowercase())
        }
        // Without a branch there are two spaces.
        ScriptRules::Swebench4 => {
            let is_ours =
                |entry: &&(&str, &str, &str)| (entry.0, entry.1) == (repo, environment.base_commit.as_str());
            let branch = BRANCHES.iter().find(is_ours).map(|(_, _, branch)| format!("--branch {branch}"));
            let branch = branch.unwrap_or_default();
            format!("git clone -o origin {branch} --single-branch https://github.com/{repo} /{ENV_NAME}")
        }
    }
}

/// Removes tags and objects from after the base commit, and stops if a later commit is left.
fn drop_later_history(environment: &Environment) -> [String; 7] {
    [
        format!("TARGET_TIMESTAMP=$(git show -s --format=%ci {})", environment.base_commit),
        concat!(
            r#"git tag -l | while read tag; do TAG_COMMIT=$(git rev-list -n 1 "$tag"); "#,
            r#"TAG_TIME=$(git show -s --format=%ci "$TAG_COMMIT"); "#,
            r#"if [[ "$TAG_TIME" > "$TARGET_TIMESTAMP" ]]; then git tag -d "$tag"; fi; done"#,
        )
        .to_owned(),
        "git reflog expire --expire=now --all".to_owned(),
        "git gc --prune=now --aggressive".to_owned(),
        r#"AFTER_TIMESTAMP=$(date -d "$TARGET_TIMESTAMP + 1 second" '+%Y-%m-%d %H:%M:%S')"#.to_owned(),
        r#"COMMIT_COUNT=$(git log --oneline --all --since="$AFTER_TIMESTAMP" | wc -l)"#.to_owned(),
        r#"[ "$COMMIT_COUNT" -eq 0 ] || exit 1"#.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use swegym_core::{CommitId, RepoName};

    use super::*;

    fn environment(repo: &str, commit: &str) -> Environment {
        Environment {
            repo: RepoName::new(repo).unwrap(),
            base_commit: CommitId::new(commit).unwrap(),
            version: "1.0".to_owned(),
        }
    }

    #[test]
    fn the_fork_clones_in_lower_case_and_installs_last() {
        let spec = UpstreamSpec {
            pre_install: vec!["one".to_owned()],
            install: Some("two".to_owned()),
            ..UpstreamSpec::default()
        };
        let lines =
            repo_script(&spec, ScriptRules::Swegym, &environment("Project-MONAI/MONAI", &"a".repeat(40)));
        assert_eq!(lines[0], "git clone -o origin https://github.com/project-monai/monai /testbed");
        assert_eq!(lines[8..], ["one", "two"]);
    }

    #[test]
    fn swebench_4_drops_later_history_and_commits() {
        let spec = UpstreamSpec::default();
        let lines = repo_script(&spec, ScriptRules::Swebench4, &environment("o/N", &"a".repeat(40)));
        assert_eq!(lines[0], "git clone -o origin  --single-branch https://github.com/o/N /testbed");
        assert_eq!(lines[11], r#"[ "$COMMIT_COUNT" -eq 0 ] || exit 1"#);
        assert_eq!(lines[17], "git commit --allow-empty -am SWE-bench");
        let (repo, commit, _) = BRANCHES[0];
        let lines = repo_script(&spec, ScriptRules::Swebench4, &environment(repo, commit));
        assert!(lines[0].starts_with("git clone -o origin --branch 1.7 --single-branch "), "{}", lines[0]);
    }
}
