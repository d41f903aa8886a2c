//! The instance that a planted bug makes.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use swegym_core::{CommitId, Instance, Patch, RowError};

use crate::statement::{Observed, statement};
use crate::test_run::TestRun;
use crate::{Mutation, SynthPackage, Validation};

/// A bug that the tests see.
pub(crate) struct Found<'a> {
    pub(crate) mutation: &'a Mutation,
    /// The file with the bug in it.
    pub(crate) mutated: Vec<u8>,
    /// From the mutated file back to the original one.
    pub(crate) patch: Patch,
    /// The runs of the tests with the bug.
    pub(crate) before: Vec<TestRun>,
    pub(crate) validation: Validation,
}

/// The name of the instance of a bug: the same bug in the same version always has the same. It says nothing
/// about the bug, because agents see it.
pub(crate) fn instance_name(package: &SynthPackage, mutation: &Mutation) -> String {
    let Mutation { range, replacement, function, .. } = mutation;
    let identity = json!([package.version, function.file, range.start, range.end, replacement]);
    let digest = Sha256::digest(identity.to_string());
    let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hex}", package.repo.folder())
}

/// Makes the row and reads it as any other. It names the operator, not the place: rows get printed.
pub(crate) fn build(
    package: &SynthPackage,
    found: &Found<'_>,
    base: &CommitId,
) -> Result<Instance, RowError> {
    let logs: Vec<&str> = found.before.iter().map(|run| run.log.as_str()).collect();
    let problem_statement = statement(&Observed {
        distribution: &package.distribution,
        version: &package.version,
        fail_to_pass: &found.validation.fail_to_pass,
        logs: &logs,
        gold: &found.patch,
        file: &found.mutation.function.file,
    });
    let columns = [
        ("instance_id", Value::from(instance_name(package, found.mutation))),
        ("hints_text", Value::from("")),
        ("patch", Value::from(found.patch.to_text_lossy())),
        ("test_patch", Value::from("")),
        ("created_at", Value::from(package.created_at.as_str())),
        ("problem_statement", Value::from(problem_statement)),
        ("repo", Value::from(package.repo.as_str())),
        ("base_commit", Value::from(base.as_str())),
        ("version", Value::from(package.version.as_str())),
        ("PASS_TO_PASS", Value::from(found.validation.pass_to_pass.clone())),
        ("FAIL_TO_PASS", Value::from(found.validation.fail_to_pass.clone())),
        ("synth_operator", Value::from(found.mutation.operator)),
    ];
    Instance::from_row(columns.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}
