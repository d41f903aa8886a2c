//! Keys of rollouts. A key says which rollout it is for and proves it; nothing about it is stored, so those that were
//! given out before a restart still hold after it.

use sha2::{Digest, Sha256};
use swegym_core::InstanceId;

use crate::Secret;

/// What keys begin with, so that people see what they are.
const PREFIX: &str = "sk-swegym-";
const PROOF_DIGITS: usize = 64;

#[derive(Debug)]
pub(super) struct Keyring {
    secret: Secret,
}

impl Keyring {
    pub(super) fn new(secret: Secret) -> Self {
        Self { secret }
    }

    /// The key of a rollout.
    pub(super) fn key(&self, rollout: &InstanceId) -> String {
        format!("{PREFIX}{rollout}-{}", self.proof(rollout))
    }

    /// The rollout that a key is for, if it is one of ours.
    pub(super) fn rollout(&self, key: &str) -> Option<InstanceId> {
        let rest = key.strip_prefix(PREFIX)?;
        let at = rest.len().checked_sub(PROOF_DIGITS).filter(|at| rest.is_char_boundary(*at))?;
        let (name, proof) = rest.split_at(at);
        let rollout = InstanceId::new(name.strip_suffix('-')?).ok()?;
        equal(proof, &self.proof(&rollout)).then_some(rollout)
    }

    /// Whether this is the secret itself.
    pub(super) fn is_secret(&self, text: &str) -> bool {
        equal(&format!("{:x}", Sha256::digest(text)), &format!("{:x}", Sha256::digest(self.secret.expose())))
    }

    /// Hashed twice, so that nobody can go on from one proof to that of a longer name.
    fn proof(&self, rollout: &InstanceId) -> String {
        let secret = self.secret.expose().as_bytes();
        let hash =
            |parts: [&[u8]; 2]| parts.iter().fold(Sha256::new(), |hasher, part| hasher.chain_update(part));
        let inner = hash([secret, rollout.as_str().as_bytes()]).finalize();
        format!("{:x}", hash([secret, &inner]).finalize())
    }
}

/// Takes as long for texts that differ early as for those that differ late.
fn equal(one: &str, other: &str) -> bool {
    let differing =
        one.bytes().zip(other.bytes()).fold(0, |differing, (one, other)| differing | (one ^ other));
    one.len() == other.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_opens_its_own_rollout_alone() {
        let keyring = Keyring::new(Secret::new("s"));
        let [one, other] = ["a__b-1", "a__b-1-x"].map(|name| InstanceId::new(name).unwrap());
        let key = keyring.key(&one);
        assert_eq!(keyring.rollout(&key), Some(one.clone()));
        assert_eq!(keyring.rollout(&key.replace("a__b-1-", "a__b-1-x-")), None);
        assert_ne!(keyring.key(&other), key);
        assert_eq!(Keyring::new(Secret::new("t")).rollout(&key), None);
        assert!(keyring.is_secret("s") && !keyring.is_secret("") && !keyring.is_secret("t"));
    }

    proptest! {
        #[test]
        fn nothing_else_is_a_key(text in "(sk-swegym-)?[a-z0-9/.é-]{0,90}") {
            prop_assert_eq!(Keyring::new(Secret::new("s")).rollout(&text), None);
        }
    }
}
