//! What a client has to say besides answers and errors.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes messages for the user and passes on each kind once. Clones share what was said.
#[derive(Clone)]
pub struct Notices {
    to: Arc<dyn Fn(&str) + Send + Sync>,
    said: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Notices {
    /// Passes messages on to `to`.
    pub fn new(to: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { to: Arc::new(to), said: Arc::default() }
    }

    /// Says it, unless something of this kind was said before.
    pub(crate) fn say(&self, kind: &'static str, message: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(kind) {
            drop(said);
            (self.to)(message);
        }
    }
}

impl Default for Notices {
    /// Nobody listens.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices(..)")
    }
}
