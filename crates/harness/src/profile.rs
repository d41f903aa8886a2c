//! Rule sets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::GradeError;

/// Whose rules decide what a log means and which tests resolve an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

impl Profile {
    /// All of them, in the order of their age.
    pub const ALL: [Self; 4] = [Self::Swegym, Self::Swebench4, Self::Swebench5, Self::Strict];

    /// Its name on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Swegym => "swegym",
            Self::Swebench4 => "swebench4",
            Self::Swebench5 => "swebench5",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = GradeError;

    fn from_str(name: &str) -> Result<Self, GradeError> {
        let known = Self::ALL.into_iter().find(|profile| profile.as_str() == name);
        known.ok_or_else(|| GradeError::UnknownProfile { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse::<Profile>().unwrap(), profile);
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.as_str());
        }
        assert_eq!(
            "Strict".parse::<Profile>().unwrap_err().to_string(),
            "choose a profile: `Strict` is none; there are `swegym`, `swebench4`, `swebench5` and `strict`"
        );
    }
}
