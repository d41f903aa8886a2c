//! Identifiers. All of them may come from hostile files and end up in paths and command lines, so each is
//! checked once, at construction.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(String);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it over.
            ///
            /// # Errors
            /// [`IdError`] says what is wrong with the text.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> Result<(), String> = $check;
                check(&text).map_err(IdError)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

text_id! {
    /// Name of one instance, `owner__name-number` by custom. It names a folder of the run directory, hence:
    /// 1 to 200 bytes of ASCII letters, digits and `_ - . + = @`, not starting with a dot.
    InstanceId, |text| path_part(text, "instance id")
}

text_id! {
    /// `owner/name` of a repository, in its original case.
    RepoName, |text| {
        let (owner, name) = text.split_once('/').ok_or_else(|| format!("`{text}` is not of the form owner/name"))?;
        path_part(owner, "repository owner")?;
        path_part(name, "repository name")
    }
}

text_id! {
    /// Full id of a commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
    CommitId, |text| {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && matches!(text.len(), 40 | 64) { Ok(()) } else { Err(format!("`{}` is not a full commit id", clip(text))) }
    }
}

impl RepoName {
    /// `owner__name`, the form that instance ids and folders use.
    pub fn folder(&self) -> String {
        self.0.replacen('/', "__", 1)
    }
}

fn path_part(text: &str, what: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.+=@".contains(&b);
    if text.is_empty() || text.len() > 200 {
        Err(format!("{what} must have 1 to 200 characters, not {}", text.len()))
    } else if text.starts_with(['.', '-']) {
        Err(format!("{what} `{}` must not start with `.` or `-`", clip(text)))
    } else if let Some(bad) = text.chars().find(|c| !u8::try_from(*c).is_ok_and(allowed)) {
        Err(format!("{what} `{}` has the character {bad:?}, which is not allowed", clip(text)))
    } else {
        Ok(())
    }
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Which rollout of a run: an instance and the index of the sample, from 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RolloutKey {
    /// The instance that is worked on.
    pub instance_id: InstanceId,
    /// Index among the rollouts of the same instance in this run, from 0.
    pub sample: u32,
}

impl fmt::Display for RolloutKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.instance_id, self.sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_leave_their_folder() {
        for bad in ["", ".", "..", "a/b", "../x", "a\0b", "-rf", "a b", "ü", &"x".repeat(201)] {
            assert!(InstanceId::new(bad).is_err(), "{bad:?} must be refused");
        }
        for good in ["getmoto__moto-7612", "a.b+c=d@e", "owner__repo.0a1b2c3d.func__x"] {
            assert_eq!(InstanceId::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn repository_names_have_two_parts() {
        assert_eq!(RepoName::new("Project-MONAI/MONAI").unwrap().folder(), "Project-MONAI__MONAI");
        for bad in ["moto", "a/b/c", "/b", "a/", "../b"] {
            assert!(RepoName::new(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn commits_are_full_and_lower_case() {
        assert!(CommitId::new("a".repeat(40)).is_ok());
        for bad in ["HEAD".to_owned(), "A".repeat(40), "a".repeat(39), "--upload-pack=x".to_owned()] {
            assert!(CommitId::new(bad).is_err());
        }
    }
}
