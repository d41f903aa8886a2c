//! A gateway and the rollouts that are open in it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use swegym_core::{ExitStatus, InstanceId, TRAJECTORY_SCHEMA_VERSION, Trajectory, Usage};

use super::http::Denial;
use super::keyring::Keyring;
use super::session::{Archive, Recording, Session};
use super::upstream::Upstream;
use super::{GatewayConfig, GatewayLimits};
use crate::ModelError;

/// A recording gateway. Clones are the same one.
#[derive(Clone)]
pub struct Gateway {
    pub(super) shared: Arc<Shared>,
}

/// What every call needs.
pub(super) struct Shared {
    pub(super) config: GatewayConfig,
    pub(super) keyring: Keyring,
    pub(super) upstream: Upstream,
    pub(super) archive: Option<Arc<dyn Archive>>,
    sessions: Mutex<HashMap<InstanceId, Arc<Session>>>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Sets it up; it serves nobody yet. Without an archive, what was recorded is with whoever closes a rollout.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when the address or the key of the endpoint cannot be used.
    pub fn new(config: GatewayConfig, archive: Option<Arc<dyn Archive>>) -> Result<Self, ModelError> {
        let upstream = Upstream::new(&config.endpoint, config.limits.max_answer_bytes)?;
        let keyring = Keyring::new(config.secret.clone());
        let sessions = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { config, keyring, upstream, archive, sessions }) })
    }

    /// Opens a rollout under a name, to go on with `begun`, and gives back its key.
    pub fn open(&self, name: &InstanceId, begun: Trajectory, limits: GatewayLimits) -> String {
        let session = Arc::new(Session::new(begun, limits));
        self.shared.lock().insert(name.clone(), session);
        self.shared.keyring.key(name)
    }

    /// Ends a rollout: calls under way are abandoned, and recorded as that. Nothing where no call came.
    ///
    /// # Errors
    /// When its archive cannot be written.
    pub async fn close(&self, name: &InstanceId) -> io::Result<Option<Recording>> {
        let Some(session) = self.shared.lock().remove(name) else { return Ok(None) };
        session.settle().await;
        tokio::task::spawn_blocking(move || session.close()).await.map_err(io::Error::other)?
    }

    /// Ends a rollout of which nobody wants to know.
    pub fn forget(&self, name: &InstanceId) {
        if let Some(session) = self.shared.lock().remove(name) {
            session.end();
        }
    }

    /// Ends rollouts that no call came for in a while. Gives back which, and what came of each.
    pub async fn close_idle(&self, idle: Duration) -> Vec<(InstanceId, io::Result<Option<Recording>>)> {
        let since = Instant::now().checked_sub(idle);
        let is_idle = |session: &Session| since.is_some_and(|since| session.is_idle_since(since));
        self.close_some(is_idle).await
    }

    /// Ends every rollout.
    pub async fn close_all(&self) -> Vec<(InstanceId, io::Result<Option<Recording>>)> {
        self.close_some(|_| true).await
    }

    async fn close_some(
        &self,
        wanted: impl Fn(&Session) -> bool,
    ) -> Vec<(InstanceId, io::Result<Option<Recording>>)> {
        let open: Vec<_> =
            self.shared.lock().iter().map(|(name, session)| (name.clone(), Arc::clone(session))).collect();
        let mut closed = Vec::new();
        for (name, _) in open.into_iter().filter(|(_, session)| wanted(session)) {
            let recording = self.close(&name).await;
            closed.push((name, recording));
        }
        closed.sort_by(|(one, _), (other, _)| one.cmp(other));
        closed
    }
}

impl Shared {
    /// The open rollout of this name. Callers can open one, unless the owner of the gateway does.
    pub(super) fn session(&self, name: &InstanceId) -> Result<Arc<Session>, Denial> {
        let mut sessions = self.lock();
        if let Some(session) = sessions.get(name) {
            return Ok(Arc::clone(session));
        }
        if self.config.guarded && self.archive.is_none() {
            return Err(Denial::new(StatusCode::GONE, "rollout_closed", "the rollout is over"));
        }
        let limits = self.config.limits;
        if sessions.len() >= limits.max_rollouts {
            let message = format!("{} rollouts are open, which is the limit", limits.max_rollouts);
            return Err(Denial::new(StatusCode::FORBIDDEN, "too_many_rollouts", message));
        }
        let session = Arc::new(Session::new(self.begun(name), limits));
        sessions.insert(name.clone(), Arc::clone(&session));
        Ok(session)
    }

    /// The trajectory of a rollout that a caller opens. The first call says which model it is.
    fn begun(&self, name: &InstanceId) -> Trajectory {
        Trajectory {
            schema_version: TRAJECTORY_SCHEMA_VERSION,
            instance_id: name.clone(),
            sample: 0,
            scaffold: self.config.scaffold.clone(),
            policy: String::new(),
            tools: Vec::new(),
            tool_format: None,
            merged_turns: false,
            messages: Vec::new(),
            steps: Vec::new(),
            failed_calls: Vec::new(),
            exit_status: ExitStatus::Finished,
            usage: Usage::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
