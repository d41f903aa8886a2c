//! How many requests of a client may be tries of what failed before. Without a limit an outage multiplies the load
//! on what is left by the number of tries.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Tries again that each request pays for.
const PER_REQUEST: f64 = 0.2;
/// Tries again a second that are paid for anyway, so that a total outage is got over.
const PER_SECOND: f64 = 10.0;
/// Most that is saved up, and what there is at the start.
const CAPACITY: f64 = 100.0;

/// A budget for trying again. Who overdraws it waits: no request is lost for want of budget.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<Account>);

#[derive(Debug)]
struct Account {
    balance: f64,
    as_of: Instant,
}

impl RetryBudget {
    /// A full one.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Account { balance: CAPACITY, as_of: Instant::now() }))
    }

    /// A new request pays in.
    pub(crate) fn deposit(&self) {
        self.change(PER_REQUEST, Instant::now());
    }

    /// Pays for one more try: how long to wait before it.
    pub(crate) fn withdraw(&self) -> Duration {
        let balance = self.change(-1.0, Instant::now());
        Duration::from_secs_f64((-balance / PER_SECOND).max(0.0))
    }

    fn change(&self, by: f64, now: Instant) -> f64 {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.saturating_duration_since(account.as_of).as_secs_f64() * PER_SECOND;
        account.balance = (account.balance + earned).min(CAPACITY) + by;
        account.as_of = now.max(account.as_of);
        account.balance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_tried_at_a_rate_and_success_pays_for_more() {
        let budget = RetryBudget::new();
        let waits: Vec<Duration> = (0..200).map(|_| budget.withdraw()).collect();
        assert!(waits[..100].iter().all(Duration::is_zero), "saved up");
        assert_eq!(waits[199], Duration::from_secs(10), "then ten a second");
        (0..510).for_each(|_| budget.deposit());
        assert!(budget.withdraw().is_zero(), "each request pays for a fifth of a try");
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((0..102).filter(|_| budget.withdraw().is_zero()).count(), 100, "no more is saved");
    }
}
