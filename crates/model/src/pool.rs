//! Which endpoint serves a request, and how many it is given at once.
//!
//! Each endpoint has a limit that follows what it can do: an answer raises it a little, a sign of overload halves it.
//! Requests beyond it wait their turn at the endpoint that was chosen for them. A rollout stays where its last request
//! was served, because its prompt is in the cache there, unless that endpoint is down or has much more to do than
//! another.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::problem::Sign;

/// Failures in a row after which an endpoint counts as down.
const FAILURES: u32 = 3;
/// Failed checks in a row after which an endpoint counts as down.
const FAILED_CHECKS: u32 = 2;
/// How often an endpoint is checked while it is up, and while it is down.
const CHECK_UP: Duration = Duration::from_secs(15);
const CHECK_DOWN: Duration = Duration::from_secs(2);
/// Requests by which an endpoint may be ahead of twice another before rollouts leave it.
const SLACK: usize = 8;

/// The endpoints of a client, as far as choosing between them goes.
#[derive(Debug)]
pub(crate) struct Pool {
    states: Mutex<Vec<State>>,
    /// Told when a request may have got its turn at the endpoint.
    turns: Vec<Notify>,
    max_limit: f64,
}

#[derive(Debug)]
struct State {
    /// Requests that it is given at once.
    limit: f64,
    running: usize,
    waiting: usize,
    /// Requests that it was ever given: evens out what the others leave open.
    served: u64,
    failures: u32,
    failed_checks: u32,
    down: bool,
    paused_until: Instant,
    limit_cut: Instant,
    next_check: Instant,
}

/// Where a request would rather go.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// Where the rollout's last request was served.
    pub(crate) home: Option<usize>,
    /// Where this request has just failed.
    pub(crate) avoid: Option<usize>,
}

impl State {
    fn new(limit: f64, now: Instant) -> Self {
        Self {
            limit,
            running: 0,
            waiting: 0,
            served: 0,
            failures: 0,
            failed_checks: 0,
            down: false,
            paused_until: now,
            limit_cut: now,
            next_check: now,
        }
    }

    fn requests(&self) -> usize {
        self.running + self.waiting
    }

    fn load(&self) -> f64 {
        self.requests() as f64 / self.limit
    }

    fn has_room(&self, now: Instant) -> bool {
        self.running < self.limit as usize && self.paused_until <= now
    }

    fn is_usable(&self, now: Instant) -> bool {
        !self.down && self.paused_until <= now
    }

    fn has_much_more_to_do(&self, other: &Self) -> bool {
        let overflows = self.load() > 1.0 && self.load() > 2.0 * other.load();
        overflows || self.requests() > 2 * other.requests() + SLACK
    }
}

fn choose(states: &[State], wish: Wish, now: Instant) -> usize {
    let candidates = |fit: &dyn Fn(usize, &State) -> bool| -> Vec<usize> {
        states
            .iter()
            .enumerate()
            .filter(|(index, state)| fit(*index, state))
            .map(|(index, _)| index)
            .collect()
    };
    let mut fitting = candidates(&|index, state| state.is_usable(now) && wish.avoid != Some(index));
    for relaxed in [&(|_, state: &State| !state.down) as &dyn Fn(usize, &State) -> bool, &|_, _| true] {
        if fitting.is_empty() {
            fitting = candidates(relaxed);
        }
    }
    let order = |a: &usize, b: &usize| {
        let (a, b) = (&states[*a], &states[*b]);
        a.load().total_cmp(&b.load()).then(a.served.cmp(&b.served))
    };
    let least = fitting.iter().copied().min_by(order).unwrap_or_default();
    let home = wish.home.filter(|home| fitting.contains(home));
    home.filter(|&home| !states[home].has_much_more_to_do(&states[least])).unwrap_or(least)
}

impl Pool {
    /// A pool of `endpoints` that are given up to `max_limit` requests each.
    pub(crate) fn new(endpoints: usize, max_limit: usize) -> Self {
        let max_limit = max_limit.max(1) as f64;
        let now = Instant::now();
        Self {
            states: Mutex::new((0..endpoints).map(|_| State::new(max_limit, now)).collect()),
            turns: (0..endpoints).map(|_| Notify::new()).collect(),
            max_limit,
        }
    }

    /// Waits for a turn at the endpoint that suits best.
    pub(crate) async fn acquire(self: &Arc<Self>, wish: Wish) -> Permit {
        let mut place = Place::new(self, wish);
        loop {
            let mut turn = pin!(self.turns[place.index].notified());
            turn.as_mut().enable();
            match place.advance(wish) {
                Step::Go(started) => return place.into_permit(started),
                Step::Moved => {}
                Step::Wait(None) => turn.await,
                // Either it is told, or the pause is over.
                Step::Wait(Some(until)) => drop(timeout_at(until, turn).await),
            }
        }
    }

    /// Whether a request that failed at `index` can go to another endpoint at once.
    pub(crate) fn has_alternative(&self, index: usize) -> bool {
        let now = Instant::now();
        self.states().iter().enumerate().any(|(other, state)| other != index && state.is_usable(now))
    }

    /// The endpoints that are to be checked now; each is named once per interval. One alone is not checked, because
    /// nothing would follow from it.
    pub(crate) fn due_checks(&self) -> Vec<usize> {
        let now = Instant::now();
        let mut states = self.states();
        if states.len() < 2 {
            return Vec::new();
        }
        let due = states.iter_mut().enumerate().filter(|(_, state)| state.next_check <= now);
        due.map(|(index, state)| {
            state.next_check = now + if state.down { CHECK_DOWN } else { CHECK_UP };
            index
        })
        .collect()
    }

    /// Takes the result of a check.
    pub(crate) fn checked(&self, index: usize, healthy: bool) {
        let mut states = self.states();
        let state = &mut states[index];
        if healthy {
            (state.failures, state.failed_checks, state.down) = (0, 0, false);
        } else {
            state.failed_checks += 1;
            if state.failed_checks >= FAILED_CHECKS {
                state.down = true;
            }
            state.next_check = state.next_check.min(Instant::now() + CHECK_DOWN);
        }
        drop(states);
        // Who waits elsewhere may want to go there, and who waits there may want to leave.
        self.turns.iter().for_each(Notify::notify_waiters);
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, index: usize, started: Instant, verdict: Option<(Sign, Duration)>) {
        let now = Instant::now();
        let mut states = self.states();
        let state = &mut states[index];
        let was_full = state.running + 1 >= state.limit as usize;
        state.running -= 1;
        let was_down = state.down;
        match verdict {
            None => {}
            Some((Sign::Sound, _)) => {
                (state.failures, state.failed_checks, state.down) = (0, 0, false);
                if was_full {
                    state.limit = (state.limit + 1.0 / state.limit).min(self.max_limit);
                }
            }
            Some((Sign::Overloaded, pause)) => {
                state.paused_until = state.paused_until.max(now + pause);
                // Requests that were under way together are one sign, not many.
                if started >= state.limit_cut {
                    state.limit = (state.limit / 2.0).max(1.0);
                    state.limit_cut = now;
                }
            }
            Some((Sign::Broken, _)) => {
                state.failures += 1;
                if state.failures >= FAILURES {
                    state.down = true;
                    state.next_check = state.next_check.min(now + CHECK_DOWN);
                }
            }
        }
        let changed = was_down != state.down;
        let room = (state.limit as usize).saturating_sub(state.running).min(state.waiting);
        drop(states);
        if changed {
            self.turns.iter().for_each(Notify::notify_waiters);
        }
        (0..room).for_each(|_| self.turns[index].notify_one());
    }
}

/// A request that waits at an endpoint. Dropping it gives the place up.
struct Place {
    pool: Arc<Pool>,
    index: usize,
    left: bool,
}

enum Step {
    Go(Instant),
    Moved,
    /// For a turn, or for the end of a pause.
    Wait(Option<Instant>),
}

impl Place {
    fn new(pool: &Arc<Pool>, wish: Wish) -> Self {
        let mut states = pool.states();
        let index = choose(&states, wish, Instant::now());
        states[index].waiting += 1;
        Self { pool: Arc::clone(pool), index, left: false }
    }

    /// Chooses anew, as things may have changed, and goes ahead if it can.
    fn advance(&mut self, wish: Wish) -> Step {
        let now = Instant::now();
        let mut states = self.pool.states();
        // It must not count itself among those that it would have to share with.
        states[self.index].waiting -= 1;
        let index = choose(&states, Wish { home: Some(self.index), ..wish }, now);
        let state = &mut states[index];
        if index == self.index && state.has_room(now) {
            state.running += 1;
            state.served += 1;
            return Step::Go(now);
        }
        state.waiting += 1;
        if index == self.index {
            return Step::Wait(Some(state.paused_until).filter(|&until| until > now));
        }
        // It may have been this one's turn, which it leaves to the next.
        self.pool.turns[self.index].notify_one();
        self.index = index;
        Step::Moved
    }

    fn into_permit(mut self, started: Instant) -> Permit {
        self.left = true;
        Permit { pool: Arc::clone(&self.pool), index: self.index, started, verdict: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.left {
            self.pool.states()[self.index].waiting -= 1;
        }
    }
}

/// The right to one request.
#[derive(Debug)]
pub(crate) struct Permit {
    pool: Arc<Pool>,
    index: usize,
    started: Instant,
    verdict: Option<(Sign, Duration)>,
}

impl Permit {
    /// Which endpoint.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Gives it back with what was learned about the endpoint, and how long it wants to be left alone.
    pub(crate) fn give_back(mut self, sign: Sign, pause: Duration) {
        self.verdict = Some((sign, pause));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.pool.release(self.index, self.started, self.verdict);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What a future has to give when it is asked once.
    fn poll_once<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    const NO_PAUSE: Duration = Duration::ZERO;

    fn home(index: usize) -> Wish {
        Wish { home: Some(index), avoid: None }
    }

    fn limit(pool: &Pool, index: usize) -> usize {
        pool.states()[index].limit as usize
    }

    #[tokio::test(start_paused = true)]
    async fn requests_spread_and_rollouts_stay() {
        let pool = Arc::new(Pool::new(3, 100));
        let mut permits = Vec::new();
        for _ in 0..6 {
            permits.push(pool.acquire(Wish::default()).await);
        }
        let spread = |index| permits.iter().filter(|permit| permit.index() == index).count();
        assert_eq!([spread(0), spread(1), spread(2)], [2, 2, 2]);
        let mut at_home = Vec::new();
        for _ in 0..11 {
            at_home.push(pool.acquire(home(1)).await);
        }
        assert!(at_home.iter().all(|permit| permit.index() == 1));
        assert_ne!(pool.acquire(home(1)).await.index(), 1, "13 there, 2 elsewhere");
        drop(at_home);
        assert_eq!(pool.acquire(home(1)).await.index(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_beyond_the_limit_wait_their_turn() {
        let pool = Arc::new(Pool::new(1, 2));
        let first = pool.acquire(Wish::default()).await;
        let _second = pool.acquire(Wish::default()).await;
        let mut third = Box::pin(pool.acquire(Wish::default()));
        let mut gone = Box::pin(pool.acquire(Wish::default()));
        assert!(poll_once(&mut third).is_none() && poll_once(&mut gone).is_none());
        drop(gone);
        drop(first);
        assert!(poll_once(&mut third).is_some());
        assert_eq!(pool.states()[0].waiting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn overload_halves_the_limit_once_and_answers_raise_it() {
        let pool = Arc::new(Pool::new(1, 16));
        let mut together = Vec::new();
        for _ in 0..16 {
            together.push(pool.acquire(Wish::default()).await);
        }
        tokio::time::advance(Duration::from_millis(1)).await;
        together.into_iter().for_each(|permit| permit.give_back(Sign::Overloaded, NO_PAUSE));
        assert_eq!(limit(&pool, 0), 8);
        for _ in 0..10 {
            tokio::time::advance(Duration::from_millis(1)).await;
            pool.acquire(Wish::default()).await.give_back(Sign::Overloaded, NO_PAUSE);
        }
        assert_eq!(limit(&pool, 0), 1, "one request gets through whatever happens");
        for _ in 0..200 {
            let permits: Vec<Permit> = {
                let mut permits = Vec::new();
                for _ in 0..limit(&pool, 0) {
                    permits.push(pool.acquire(Wish::default()).await);
                }
                permits
            };
            permits.into_iter().for_each(|permit| permit.give_back(Sign::Sound, NO_PAUSE));
        }
        assert_eq!(limit(&pool, 0), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_kept_by_all() {
        let pool = Arc::new(Pool::new(1, 16));
        let asked = Duration::from_secs(20);
        pool.acquire(Wish::default()).await.give_back(Sign::Overloaded, asked);
        let begun = Instant::now();
        pool.acquire(Wish::default()).await;
        assert!(begun.elapsed() >= asked);
        let pool = Arc::new(Pool::new(2, 16));
        pool.acquire(home(0)).await.give_back(Sign::Overloaded, asked);
        let begun = Instant::now();
        assert_eq!(pool.acquire(home(0)).await.index(), 1, "the other one is free");
        assert!(begun.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_at_an_endpoint_that_goes_down_moves() {
        let pool = Arc::new(Pool::new(2, 3));
        let mut here = Vec::new();
        for _ in 0..3 {
            here.push(pool.acquire(home(0)).await);
        }
        let _other = pool.acquire(home(1)).await;
        let _another = pool.acquire(home(1)).await;
        let mut waiting = Box::pin(pool.acquire(home(0)));
        assert!(poll_once(&mut waiting).is_none(), "not much more to do there");
        here.into_iter().for_each(|permit| permit.give_back(Sign::Broken, NO_PAUSE));
        assert_eq!(poll_once(&mut waiting).unwrap().index(), 1);
        assert_eq!(pool.acquire(home(0)).await.index(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn checks_mark_endpoints_up_and_down() {
        let pool = Arc::new(Pool::new(2, 3));
        assert_eq!(pool.due_checks(), [0, 1]);
        assert!(pool.due_checks().is_empty(), "once per interval");
        pool.checked(0, false);
        assert_eq!(pool.acquire(home(0)).await.index(), 0, "once is no sign yet");
        pool.checked(0, false);
        assert_eq!(pool.acquire(home(0)).await.index(), 1);
        tokio::time::advance(CHECK_DOWN).await;
        assert_eq!(pool.due_checks(), [0]);
        pool.checked(0, true);
        assert_eq!(pool.acquire(home(0)).await.index(), 0);
        assert!(Pool::new(1, 3).due_checks().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_goes_elsewhere_where_it_can() {
        let pool = Arc::new(Pool::new(2, 3));
        let failed = Wish { home: Some(0), avoid: Some(0) };
        assert_eq!(pool.acquire(failed).await.index(), 1);
        assert!(pool.has_alternative(0));
        for _ in 0..FAILURES {
            pool.acquire(home(1)).await.give_back(Sign::Broken, NO_PAUSE);
        }
        assert!(!pool.has_alternative(0));
        assert_eq!(pool.acquire(failed).await.index(), 0, "there is no other");
    }
}
