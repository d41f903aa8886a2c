//! What a visitor is asked for, and what it answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::local::protocol::SetupError;

/// What a visitor does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Visit {
    /// Prepare a fork. `quiet`: nothing runs inside, or nothing that a change of the root could disturb.
    Fork { quiet: bool },
    /// List how the files differ from the image.
    Changes,
    /// Copy the writable layers into the folder that comes along.
    Checkpoint,
}

/// From a visitor to its owner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum VisitReply {
    /// The family of the sandbox comes along.
    Forked(ForkPlan),
    /// A memory file with the differences comes along.
    Compared,
    /// So many layers were written.
    Written {
        uppers: usize,
    },
    Failed(SetupError),
}

/// What a fork is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ForkPlan {
    /// Writable layers that do not change any more, in the family of the parent, lowest first.
    pub(crate) uppers: Vec<PathBuf>,
    /// The one that still does: the fork copies it.
    pub(crate) copied: Option<PathBuf>,
    /// Whether the parent got a new root for it.
    pub(crate) switched: bool,
}

/// What lies between the image and the writable layer of a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Inherited {
    /// Nothing.
    #[default]
    Nothing,
    /// Layers of another sandbox, whose family comes along.
    Fork { parent: u64, plan: ForkPlan },
    /// Layers of a checkpoint, lowest first.
    Checkpoint { folders: Vec<PathBuf> },
}
