//! Whose rules a verdict follows.

/// Rule set of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// SWE-Gym's fork of SWE-bench.
    Swegym,
    /// SWE-bench 4.1.0.
    Swebench4,
    /// SWE-bench 5.0.2.
    Swebench5,
    /// Ours.
    #[default]
    Strict,
}
