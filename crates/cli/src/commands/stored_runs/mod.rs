//! `swegym runs`: runs that are on disk. One file a verb.

mod export;
mod import;
mod list;
mod run;
mod show;

pub(super) use run::run;
