//! Integration tests of the command line and of the workspace.

mod edges;
