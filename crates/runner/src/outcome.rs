//! What a rollout came to, as it is committed.

use swegym_core::{
    Connections, Failure, Instance, Patch, ROLLOUT_SCHEMA_VERSION, RolloutKey, RolloutRecord, RolloutStatus,
    Timings, Trajectory, Verdict,
};
use swegym_data::{CommitInfo, DataError, RolloutFiles, RunDir};
use swegym_harness::{Evaluation, instance_report};

/// A verdict, and what it rests on.
pub(crate) struct Evaluated {
    pub(crate) verdict: Verdict,
    /// Names and contents of what goes into `eval/`.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Evaluated {
    pub(crate) fn new(instance: &Instance, prediction: &Patch, evaluation: Evaluation) -> Self {
        let Evaluation { verdict, log, script, statuses } = evaluation;
        let report = instance_report(instance.id(), Some(prediction), &verdict);
        let results =
            statuses.iter().map(|(test, status)| serde_json::json!({"test": test, "status": status}));
        let results: String = results.map(|line| format!("{line}\n")).collect();
        let files = vec![
            ("report.json", format!("{report:#}\n").into_bytes()),
            ("test_output.txt", log),
            ("results.jsonl", results.into_bytes()),
            ("eval.sh", script.into_bytes()),
        ];
        Self { verdict, files }
    }
}

/// A rollout that is over.
pub(crate) struct Outcome {
    pub(crate) key: RolloutKey,
    pub(crate) policy: String,
    /// Absent when no attempt came to one.
    pub(crate) patch: Option<Patch>,
    /// Without a patch it was cut off, and is evidence.
    pub(crate) trajectory: Option<Trajectory>,
    pub(crate) evaluated: Option<Evaluated>,
    /// What the sandbox of the solver asked of the network.
    pub(crate) connections: Option<Connections>,
    /// What kept it from completing.
    pub(crate) failure: Option<Failure>,
    pub(crate) timings: Timings,
    pub(crate) failed_attempts: u32,
}

impl Outcome {
    /// Writes it into the run directory, for good.
    pub(crate) fn commit(&self, run: &RunDir) -> Result<(RolloutRecord, CommitInfo), DataError> {
        let record = self.record();
        let eval = self.evaluated.iter().flat_map(|evaluated| &evaluated.files);
        let files = RolloutFiles {
            trajectory: self.trajectory.as_ref(),
            patch: self.patch.as_ref(),
            connections: self.connections.as_ref(),
            eval: eval.map(|(name, bytes)| (*name, bytes.as_slice())).collect(),
        };
        let info = run.commit(&record, &files)?;
        Ok((record, info))
    }

    fn record(&self) -> RolloutRecord {
        let trajectory = self.trajectory.as_ref();
        // A trajectory that was cut off did not end in any of the ways that there is a status for.
        let ended = self.patch.as_ref().and(trajectory);
        RolloutRecord {
            schema_version: ROLLOUT_SCHEMA_VERSION,
            key: self.key.clone(),
            policy: self.policy.clone(),
            status: if self.failure.is_some() { RolloutStatus::Failed } else { RolloutStatus::Completed },
            exit_status: ended.map(|trajectory| trajectory.exit_status),
            turns: trajectory.map_or(0, |trajectory| trajectory.steps.len()),
            usage: trajectory.map(|trajectory| trajectory.usage).unwrap_or_default(),
            empty_patch: self.patch.as_ref().is_none_or(Patch::is_empty),
            timings: self.timings,
            connections: self.connections.as_ref().map(|connections| connections.counts),
            verdict: self.evaluated.as_ref().map(|evaluated| evaluated.verdict.clone()),
            failure: self.failure.clone(),
            failed_attempts: self.failed_attempts,
        }
    }
}
