//! Which editor a policy gets.

/// The behaviour of `str_replace_editor`. Policies that were trained with a version of the package openhands-aci
/// expect its texts and its quirks; the others do better without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum EditorVersion {
    /// Ours: changes nothing in a file but what it was told to.
    #[default]
    Sane,
    /// openhands-aci 0.1.0, with which the published trajectories of SWE-Gym were made.
    Aci010,
    /// openhands-aci 0.1.1.
    Aci011,
    /// openhands-aci 0.1.2.
    Aci012,
    /// openhands-aci 0.3.3.
    Aci033,
}

impl EditorVersion {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sane, Self::Aci010, Self::Aci011, Self::Aci012, Self::Aci033];

    /// Name for flags and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sane => "sane",
            Self::Aci010 => "aci-0.1.0",
            Self::Aci011 => "aci-0.1.1",
            Self::Aci012 => "aci-0.1.2",
            Self::Aci033 => "aci-0.3.3",
        }
    }
}
