//! Trajectories of Harbor, ATIF 1.8. Keys that the format does not have stand in `extra`.

mod read;
mod write;

pub(crate) use read::{is_one, read};
pub(crate) use write::Atif;
