//! `swegym images`: the images in the store. One file a verb.

mod build;
mod columns;
mod du;
mod gc;
mod list;
mod run;
mod verify;

pub(super) use run::run;
