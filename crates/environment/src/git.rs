//! Git repositories of this machine, by the `git` program.
//!
//! A repository may be hostile: no configuration but its own is read, no hook and no lazy fetch runs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use swegym_core::{CommitId, RepoName};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::EnvironmentError;

/// Who and when of a commit; fixed, so that the same content has the same commit id everywhere.
#[derive(Debug, Clone, Copy)]
pub struct Author {
    /// Name of author and committer.
    pub name: &'static str,
    /// Mail address of author and committer.
    pub email: &'static str,
    /// Date in git's form, such as `2024-01-01T00:00:00Z`.
    pub date: &'static str,
}

/// A repository, bare or not.
#[derive(Debug, Clone)]
pub struct GitRepository {
    path: PathBuf,
}

/// Finds a repository in a folder of repositories: `owner__name` or `owner/name`, with or without `.git`.
pub fn find_repository(folder: &Path, repo: &RepoName) -> Option<GitRepository> {
    let names = [repo.folder(), repo.as_str().to_owned()];
    let candidates = names.iter().flat_map(|name| [name.clone(), format!("{name}.git")]);
    let mut paths = candidates.map(|name| folder.join(name));
    let found = paths.find(|path| path.join(".git").exists() || path.join("objects").is_dir());
    found.map(|path| GitRepository { path })
}

impl GitRepository {
    /// Makes an empty bare repository, or opens the one that is there.
    ///
    /// # Errors
    /// When `git` fails.
    pub async fn init_bare(path: &Path) -> Result<Self, EnvironmentError> {
        let repository = Self { path: path.to_owned() };
        if !path.join("objects").is_dir() {
            std::fs::create_dir_all(path).map_err(|source| EnvironmentError::Io {
                action: "make",
                path: path.to_owned(),
                source,
            })?;
            repository.git(&["init", "--quiet", "--bare", "--template="], &[], &[]).await?;
        }
        Ok(repository)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has the commit.
    pub async fn has_commit(&self, commit: &CommitId) -> bool {
        self.git(&["cat-file", "-e", &format!("{commit}^{{commit}}")], &[], &[]).await.is_ok()
    }

    /// A file at a commit, as text; `None` where it has no such file or one of more than a mebibyte. A symbolic link
    /// reads as the path that it names.
    pub(crate) async fn file(
        &self,
        commit: &CommitId,
        path: &str,
    ) -> Result<Option<String>, EnvironmentError> {
        let object = format!("{commit}:{path}");
        let Ok(size) = self.git(&["cat-file", "-s", &object], &[], &[]).await else { return Ok(None) };
        let small = size.trim().parse().is_ok_and(|size: u64| size <= 1 << 20);
        if !small || self.git(&["cat-file", "-t", &object], &[], &[]).await?.trim() != "blob" {
            return Ok(None);
        }
        self.git(&["cat-file", "blob", &object], &[], &[]).await.map(Some)
    }

    /// The day of a commit in UTC, such as `2024-05-17`.
    pub(crate) async fn day_of(&self, commit: &CommitId) -> Result<String, EnvironmentError> {
        let arguments = ["show", "-s", "--format=%cd", "--date=format-local:%Y-%m-%d", commit.as_str()];
        Ok(self.git(&arguments, &[("TZ", "UTC")], &[]).await?.trim().to_owned())
    }

    /// The tags that point to ancestors of `commit` (or to it), as lines `<object> <ref>`.
    pub(crate) async fn past_tags(
        &self,
        commit: &CommitId,
    ) -> Result<Vec<(String, String)>, EnvironmentError> {
        let merged = format!("--merged={commit}");
        let arguments = ["for-each-ref", &merged, "--format=%(objectname) %(refname)", "refs/tags"];
        let text = self.git(&arguments, &[], &[]).await?;
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Ok(lines.map(|(object, name)| (object.to_owned(), name.to_owned())).collect())
    }

    /// The commit and its first parents, oldest first.
    pub(crate) async fn first_parents(&self, commit: &CommitId) -> Result<Vec<String>, EnvironmentError> {
        let arguments = ["rev-list", "--first-parent", "--reverse", commit.as_str()];
        Ok(self.git(&arguments, &[], &[]).await?.lines().map(str::to_owned).collect())
    }

    /// Lines of the `shallow` file: commits whose parents the repository lacks.
    pub(crate) async fn shallow_commits(&self) -> Result<Option<String>, EnvironmentError> {
        let path = self.git(&["rev-parse", "--git-path", "shallow"], &[], &[]).await?;
        Ok(std::fs::read_to_string(self.path.join(path.trim())).ok())
    }

    /// Writes a pack (and its index) with everything that the `roots` reach, and nothing else, into the objects
    /// folder `target` of another repository. Nothing is written into this one, which may be somebody else's.
    pub(crate) async fn pack_into(&self, roots: &[String], target: &Path) -> Result<(), EnvironmentError> {
        let objects = self.git(&["rev-parse", "--git-path", "objects"], &[], &[]).await?;
        let objects = self.path.join(objects.trim_end());
        let (objects, own) = (objects.to_string_lossy(), target.to_string_lossy());
        let environment =
            [("GIT_OBJECT_DIRECTORY", own.as_ref()), ("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects.as_ref())];
        let base = target.join("pack/pack");
        let base = base.to_string_lossy();
        let mut input = roots.join("\n").into_bytes();
        input.push(b'\n');
        // Deltas that exist are reused, so that a short look for others is enough. With one thread, the same objects
        // give the same pack.
        let arguments =
            ["pack-objects", "--quiet", "--revs", "--window=10", "--threads=1", "--delta-base-offset", &base];
        self.git(&arguments, &environment, &input).await.map(drop)
    }

    /// Commits all files below `tree`, ignored ones too, as a root commit.
    ///
    /// # Errors
    /// When `git` fails.
    pub async fn commit_tree_of(
        &self,
        tree: &Path,
        author: &Author,
        message: &str,
    ) -> Result<CommitId, EnvironmentError> {
        let index = self.scratch_index()?;
        let index = index.path().join("index").to_string_lossy().into_owned();
        let tree = tree.to_string_lossy();
        let environment = [("GIT_INDEX_FILE", index.as_str()), ("GIT_WORK_TREE", &tree)];
        self.git(&["add", "--all", "--force", "."], &environment, &[]).await?;
        self.commit_index(&index, author, message).await
    }

    /// Commits the tree of `base` with one file replaced, as a root commit: nothing in its history shows the
    /// file as it was.
    ///
    /// # Errors
    /// When `git` fails, or `base` has no such file.
    pub async fn commit_with_file(
        &self,
        base: &CommitId,
        (path, content): (&str, &[u8]),
        author: &Author,
        message: &str,
    ) -> Result<CommitId, EnvironmentError> {
        let index = self.scratch_index()?;
        let index = index.path().join("index").to_string_lossy().into_owned();
        let environment = [("GIT_INDEX_FILE", index.as_str())];
        let entry = self.git(&["ls-tree", base.as_str(), "--", path], &[], &[]).await?;
        let mode = entry.split(' ').next().unwrap_or_default().to_owned();
        let blob = self.git(&["hash-object", "-w", "--no-filters", "--stdin"], &[], content).await?;
        self.git(&["read-tree", base.as_str()], &environment, &[]).await?;
        let update = format!("{mode},{},{path}", blob.trim());
        self.git(&["update-index", "--cacheinfo", &update], &environment, &[]).await?;
        self.commit_index(&index, author, message).await
    }

    /// Lets a ref keep `commit` from being thrown away.
    ///
    /// # Errors
    /// When `git` fails.
    pub async fn set_branch(&self, name: &str, commit: &CommitId) -> Result<(), EnvironmentError> {
        self.git(&["update-ref", &format!("refs/heads/{name}"), commit.as_str()], &[], &[]).await.map(drop)
    }

    fn scratch_index(&self) -> Result<tempfile::TempDir, EnvironmentError> {
        let failed =
            |source| EnvironmentError::Io { action: "make a folder in", path: self.path.clone(), source };
        tempfile::tempdir_in(&self.path).map_err(failed)
    }

    async fn commit_index(
        &self,
        index: &str,
        author: &Author,
        message: &str,
    ) -> Result<CommitId, EnvironmentError> {
        let tree = self.git(&["write-tree"], &[("GIT_INDEX_FILE", index)], &[]).await?;
        let identity = [
            ("GIT_AUTHOR_NAME", author.name),
            ("GIT_AUTHOR_EMAIL", author.email),
            ("GIT_AUTHOR_DATE", author.date),
            ("GIT_COMMITTER_NAME", author.name),
            ("GIT_COMMITTER_EMAIL", author.email),
            ("GIT_COMMITTER_DATE", author.date),
        ];
        let commit = self.git(&["commit-tree", tree.trim(), "-m", message], &identity, &[]).await?;
        CommitId::new(commit.trim()).map_err(|error| EnvironmentError::Program {
            program: "git".to_owned(),
            message: error.to_string(),
        })
    }

    async fn git(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        input: &[u8],
    ) -> Result<String, EnvironmentError> {
        let failed = |message: String| EnvironmentError::Program {
            program: format!("git {}", arguments.first().unwrap_or(&"")),
            message,
        };
        let mut command = Command::new("git");
        command.args([
            "-c",
            "safe.directory=*",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
        ]);
        command.arg("-C").arg(&self.path).args(arguments);
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"] {
            command.env_remove(name);
        }
        command.envs([
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("LC_ALL", "C"),
        ]);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = run(command, input).await.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
    }
}

async fn run(mut command: Command, input: &[u8]) -> io::Result<std::process::Output> {
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take();
    let feed = async {
        if let Some(stdin) = stdin.as_mut() {
            // A program that does not read its input closes the pipe: its exit status tells the rest.
            stdin.write_all(input).await.ok();
        }
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    output
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A repository with a line of commits, merges and tags among them.
    pub(crate) struct Toy {
        pub(crate) folder: tempfile::TempDir,
        pub(crate) repository: GitRepository,
    }

    impl Toy {
        /// Every commit changes a file, every tenth merges a side branch, every seventh has a tag.
        pub(crate) async fn with_history(length: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let repository = GitRepository::init_bare(&folder.path().join("source")).await.unwrap();
            let mut stream = String::new();
            let who = "committer a <a@localhost> 1700000000 +0000\ndata 1\nx\n";
            for number in 1..=length {
                let lines = format!("{number} of {length}\n").repeat(20);
                let data = format!("data {}\n{lines}\n", lines.len());
                let mut merge = "";
                if number > 1 && number % 10 == 0 {
                    stream += "reset refs/heads/side\nfrom refs/heads/main\n\n";
                    stream += &format!("commit refs/heads/side\n{who}M 644 inline side-{number}\n{data}");
                    merge = "merge refs/heads/side\n";
                }
                stream +=
                    &format!("commit refs/heads/main\n{who}{merge}M 644 inline d/f{}\n{data}", number % 5);
                if number % 7 == 0 {
                    let tagger = who.replace("committer", "tagger");
                    stream += &format!("tag v{number}\nfrom refs/heads/main\n{tagger}");
                }
            }
            repository.git(&["fast-import", "--quiet"], &[], stream.as_bytes()).await.unwrap();
            Self { folder, repository }
        }

        /// The commit at a depth of the line, from 1 at its root.
        pub(crate) async fn commit(&self, depth: usize) -> CommitId {
            let head = self.repository.git(&["rev-parse", "main"], &[], &[]).await.unwrap();
            let line = self.repository.first_parents(&CommitId::new(head.trim()).unwrap()).await.unwrap();
            CommitId::new(line[depth - 1].as_str()).unwrap()
        }
    }

    impl GitRepository {
        /// Everything that the roots reach.
        pub(crate) async fn reachable(&self, roots: Vec<String>) -> Vec<String> {
            let mut arguments = vec!["rev-list", "--objects", "--no-object-names"];
            arguments.extend(roots.iter().map(String::as_str));
            let text = self.git(&arguments, &[], &[]).await.unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    /// Everything that the packs of a repository hold.
    pub(crate) async fn objects_of_packs(repository: &GitRepository) -> BTreeSet<String> {
        let arguments = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
        let text = repository.git(&arguments, &[], &[]).await.unwrap();
        text.lines().map(str::to_owned).collect()
    }

    const AUTHOR: Author = Author { name: "a", email: "a@localhost", date: "2024-01-01T00:00:00Z" };

    #[tokio::test]
    async fn a_pack_holds_the_past_alone_and_leaves_its_source_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let source = GitRepository::init_bare(&folder.path().join("source")).await.unwrap();
        std::fs::write(tree.join("x"), "now").unwrap();
        let now = source.commit_tree_of(&tree, &AUTHOR, "now").await.unwrap();
        let later = source.commit_with_file(&now, ("x", b"later"), &AUTHOR, "later").await.unwrap();
        source.set_branch("main", &later).await.unwrap();

        let target = GitRepository::init_bare(&folder.path().join("target")).await.unwrap();
        source.pack_into(&[now.to_string()], &target.path().join("objects")).await.unwrap();
        assert!(target.has_commit(&now).await);
        assert!(!target.has_commit(&later).await, "what comes later must not be there");
        let packs = std::fs::read_dir(source.path().join("objects/pack")).unwrap();
        assert_eq!(packs.count(), 0, "nothing is written into the source");
    }
}
