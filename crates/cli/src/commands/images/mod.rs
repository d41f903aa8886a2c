//! `swegym images`: the images in the store. One file a verb.

mod build;
mod check;
pub(super) mod columns;
mod du;
mod explain;
mod export;
mod gc;
mod host_bytes;
mod import;
mod list;
mod pull;
mod push;
mod registry;
mod run;
mod verify;

pub(crate) use export::ExportArgs;
pub(crate) use import::ImportArgs;
pub(crate) use pull::PullArgs;
pub(crate) use push::PushArgs;
pub(super) use run::run;
