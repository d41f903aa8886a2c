//! Patches as predictions, one file a sample.

use std::path::PathBuf;

use super::export::{Export, Writer};
use super::files::{Lines, Samples};
use super::rollout::Rollout;
use crate::{DataError, Prediction};

/// Writes the rollouts that have a patch to speak of: those that happened.
pub(crate) struct Predictions(Samples<Lines>);

impl Predictions {
    /// `path` is the file of sample 0, which is there also when there are no rows.
    pub(crate) fn create(path: PathBuf) -> Result<Self, DataError> {
        let mut samples = Samples::beside(path);
        samples.of(0, Lines::create)?;
        Ok(Self(samples))
    }
}

impl Writer for Predictions {
    fn add(&mut self, rollout: &Rollout) -> Result<bool, DataError> {
        if !rollout.completed() {
            return Ok(false);
        }
        let file = self.0.of(rollout.sample, Lines::create)?;
        file.row(&Prediction {
            instance_id: rollout.record.key.instance_id.clone(),
            model_name_or_path: rollout.record.policy.clone(),
            model_patch: rollout.patch.clone(),
        })?;
        file.note_not_utf8(rollout.has_bytes_that_are_no_text());
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Result<Vec<Export>, DataError> {
        self.0.into_files().map(Lines::commit).collect()
    }
}
