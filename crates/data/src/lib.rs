//! Every on-disk format: instance sets, predictions, run directories, event logs, exports.
//!
//! All calls block; asynchronous callers run them on a thread for blocking work. What is read may be hostile or
//! cut off anywhere; what is written appears whole or not at all.

mod atomic;
mod error;
mod event_log;
mod formats;
mod instances;
pub mod lite;
mod predictions;
mod recordings;
mod rows;
mod run_config;
mod run_dir;
mod run_view;
mod validation;

pub use atomic::{AtomicFile, digest_file, write_atomic};
pub use error::{DataError, Difference};
pub use event_log::{EventLog, read_events};
pub use formats::{
    Export, ExportFormat, ExportOptions, ImportFormat, Imports, ToolFormat, Unwanted, export_predictions,
    export_runs, export_sft, import_rollouts,
};
pub use instances::{load_instances, write_instances};
pub use predictions::{Prediction, UNNAMED_MODEL, load_predictions, write_predictions};
pub use recordings::{RecordingJournal, Recordings, RecoveredRollout};
pub use run_config::{RUN_SCHEMA_VERSION, RunConfig};
pub use run_dir::{CommitInfo, RolloutFiles, RunDir};
pub use run_view::{RunView, load_trajectory};
pub use validation::{
    InstanceValidation, ObservedRun, Tally, TestValidation, VALIDATION_SCHEMA_VERSION, ValidationFile,
    without,
};
