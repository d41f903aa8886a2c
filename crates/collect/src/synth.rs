//! The driver: plants bugs one by one, runs the tests, keeps those that the tests see.
//!
//! Bugs are tried `jobs` at a time, but judged in the order of the plan: timing decides nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use swegym_core::{CommitId, Instance, RepoName, TestCommand, TestStatus, TestStatuses};
use swegym_sandbox::Sandbox;

use crate::coverage::{self, Coverage};
use crate::diff::unified_diff;
use crate::instance::{Found, build, instance_name};
use crate::plan::plan;
use crate::test_run::{ROOT, TestRun};
use crate::{FunctionSite, Mutation, SynthError, is_test_path, mutations, validate};

/// Runs of the tests, with and without a bug, that must agree.
const REPETITIONS: usize = 2;
/// Wall time for the tests of the clean tree.
const CLEAN_LIMIT: Duration = Duration::from_secs(900);
/// With a bug the tests get at least this, and [`SLOWER`] times what they took without.
const MIN_LIMIT: Duration = Duration::from_secs(5);
const SLOWER: u32 = 5;
/// A bug that keeps more than this share of the passing tests from passing broke an import, or nearly so.
const TOO_BROAD_PERCENT: usize = 40;

/// A package to plant bugs in.
#[derive(Debug, Clone)]
pub struct SynthPackage {
    /// The repository of its instances.
    pub repo: RepoName,
    /// Selects the environment spec within the repository.
    pub version: String,
    /// What its users call it; for the problem statements.
    pub distribution: String,
    /// Runs all its tests with pytest, with `-rA`.
    pub test_command: TestCommand,
    /// Path relative to `/testbed` -> content, of its Python sources.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The column `created_at` of its instances.
    pub created_at: String,
    /// How many instances are wanted.
    pub instances: usize,
    /// Decides which bugs are tried, and in which order.
    pub seed: u64,
    /// How many bugs are tried at most.
    pub max_candidates: usize,
}

/// What the caller provides for a package.
#[async_trait]
pub trait Workbench: Send + Sync {
    /// A fresh sandbox with the clean tree at `/testbed` and the package installed from there.
    ///
    /// # Errors
    /// When it cannot be made.
    async fn sandbox(&self) -> Result<Box<dyn Sandbox>, SynthError>;

    /// The root commit of the clean tree with this one file replaced, stored in the package's repository.
    /// `name` is that of the instance.
    ///
    /// # Errors
    /// When it cannot be stored.
    async fn commit(&self, name: &str, path: &str, content: &[u8]) -> Result<CommitId, SynthError>;
}

/// Makes at most `package.instances` instances, of different functions, by planting single bugs. Fewer come
/// back when `package.max_candidates` bugs, or all there are, have been tried.
///
/// # Errors
/// When the clean tree's tests do not run, or a sandbox or commit cannot be made. A bug that cannot be used is
/// no error.
pub async fn synthesize(
    package: &SynthPackage,
    bench: &dyn Workbench,
    jobs: usize,
) -> Result<Vec<Instance>, SynthError> {
    let trial = Trial::prepare(package, bench, jobs).await?;
    let planned = plan(trial.candidates().await?, package.seed, package.max_candidates);
    let taken: Mutex<HashSet<&FunctionSite>> = Mutex::default();
    let taken = || taken.lock().unwrap_or_else(PoisonError::into_inner);
    let mut instances = Vec::new();
    let mut tried = stream::iter(&planned)
        .map(|mutation| {
            // Saves the run only: a result that comes too late for this is dropped below.
            let wanted = !taken().contains(&*mutation.function);
            let trial = &trial;
            async move { if wanted { Box::pin(trial.attempt(mutation)).await } else { Ok(None) } }
        })
        .buffered(jobs.max(1));
    while instances.len() < package.instances
        && let Some(found) = tried.try_next().await?
    {
        let Some(found) = found else { continue };
        if taken().insert(&*found.mutation.function) {
            let name = instance_name(package, found.mutation);
            let base = bench.commit(&name, &found.mutation.function.file, &found.mutated).await?;
            instances.push(build(package, &found, &base)?);
        }
    }
    Ok(instances)
}

/// What trying a bug needs.
struct Trial<'a> {
    package: &'a SynthPackage,
    bench: &'a dyn Workbench,
    /// What the tests of the clean tree said, each time.
    clean: Vec<TestStatuses>,
    time_limit: Duration,
}

impl<'a> Trial<'a> {
    /// Runs the tests of the clean tree.
    async fn prepare(
        package: &'a SynthPackage,
        bench: &'a dyn Workbench,
        jobs: usize,
    ) -> Result<Self, SynthError> {
        let mut trial = Self { package, bench, clean: Vec::new(), time_limit: CLEAN_LIMIT };
        let runs: Vec<TestRun> =
            stream::iter(0..REPETITIONS).map(|_| trial.run(None)).buffered(jobs.max(1)).try_collect().await?;
        for run in &runs {
            let unusable = |message| SynthError::CleanRun { message, log_end: run.log_end() };
            if !run.ended {
                return Err(unusable("they were killed or ran out of time"));
            }
            if !run.statuses.values().any(|status| *status == TestStatus::Passed) {
                return Err(unusable("none of them passed"));
            }
        }
        let slowest = runs.iter().map(|run| run.wall).max().unwrap_or_default();
        trial.time_limit = MIN_LIMIT.max(slowest * SLOWER);
        trial.clean = runs.into_iter().map(|run| run.statuses).collect();
        Ok(trial)
    }

    /// One run of the tests in a fresh sandbox, with this file replaced.
    async fn run(&self, replaced: Option<(&str, &[u8])>) -> Result<TestRun, SynthError> {
        let sandbox = self.bench.sandbox().await?;
        if let Some((path, content)) = replaced {
            sandbox.write_file(&format!("{ROOT}/{path}"), content).await?;
        }
        let run = TestRun::execute(&*sandbox, &self.package.test_command, &[], self.time_limit).await?;
        sandbox.destroy().await?;
        Ok(run)
    }

    /// Every bug in a function of the library that the tests call.
    async fn candidates(&self) -> Result<Vec<Mutation>, SynthError> {
        let covered = self.coverage().await?;
        let library = self.package.files.iter().filter(|(path, _)| !is_test_path(path) && is_plain(path));
        let found = library.flat_map(|(path, source)| mutations(path, source));
        Ok(found.filter(|mutation| covered.covers(&mutation.function)).collect())
    }

    async fn coverage(&self) -> Result<Coverage, SynthError> {
        let sandbox = self.bench.sandbox().await?;
        let plugin = format!("{}/swegym_coverage.py", coverage::FOLDER);
        sandbox.write_file(&plugin, coverage::PLUGIN.as_bytes()).await?;
        let setup = Coverage::setup(ROOT);
        let run = TestRun::execute(&*sandbox, &self.package.test_command, &setup, self.time_limit).await?;
        let record =
            sandbox.read_file(&format!("{}/record.json", coverage::FOLDER), coverage::MAX_RECORD).await;
        sandbox.destroy().await?;
        let unusable = |message| SynthError::Coverage { message, log_end: run.log_end() };
        let record = record.map_err(|error| unusable(error.to_string()))?;
        Coverage::parse(&record).map_err(|error| unusable(error.to_string()))
    }

    /// Plants one bug and runs the tests, again if they see it; `None` when the bug is of no use.
    async fn attempt<'m>(&self, mutation: &'m Mutation) -> Result<Option<Found<'m>>, SynthError> {
        let path = mutation.function.file.as_str();
        let original = &self.package.files[path];
        let Some(mutated) = mutation.apply(original) else { return Ok(None) };
        let mut before: Vec<TestRun> = Vec::new();
        for _ in 0..REPETITIONS {
            let run = self.run(Some((path, &mutated))).await?;
            if !run.ended || !self.sees_one_bug(&run.statuses) {
                return Ok(None);
            }
            before.push(run);
        }
        let statuses: Vec<TestStatuses> = before.iter().map(|run| run.statuses.clone()).collect();
        let validation = validate(&statuses, &self.clean);
        let patch = unified_diff(path, &mutated, original);
        Ok(validation.is_useful().then_some(Found { mutation, mutated, patch, before, validation }))
    }

    /// Whether some of the tests that pass on the clean tree fail, but not too many.
    fn sees_one_bug(&self, statuses: &TestStatuses) -> bool {
        let passes = |id: &&String| self.clean.iter().all(|run| run.get(*id) == Some(&TestStatus::Passed));
        let passing: Vec<&String> =
            self.clean.iter().take(1).flat_map(TestStatuses::keys).filter(passes).collect();
        let broken = passing.iter().filter(|id| statuses.get(**id) != Some(&TestStatus::Passed)).count();
        broken > 0 && broken * 100 <= passing.len() * TOO_BROAD_PERCENT
    }
}

/// Whether a path can stand in a patch unquoted, and stays below `/testbed`.
fn is_plain(path: &str) -> bool {
    path.ends_with(".py")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./+".contains(&b))
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests;
