//! Rule sets.

/// Whose rules decide what a log means and which tests resolve an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    /// The fork of SWE-bench that SWE-Gym was made with.
    Swegym,
    /// SWE-bench 4.1.
    Swebench4,
    /// SWE-bench 5.
    Swebench5,
    /// Ours: silence, skipping and doubt are failures, and no log is refused.
    #[default]
    Strict,
}
