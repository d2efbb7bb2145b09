//! Concurrent requests, reduced if a server cannot keep up.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Interval at which a waiting request checks whether everything has stopped.
const GLANCE: Duration = Duration::from_millis(50);

/// Maximum number of requests in flight: halved when the server reports too many, and increased by one after as
/// many answers as there are requests in flight.
pub(super) struct Throttle {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    allowed: usize,
    /// Answers since the maximum last changed.
    answered: usize,
    in_flight: usize,
    /// No request is sent before this time.
    rest_until: Option<Instant>,
    /// Earlier requests say nothing about the current maximum.
    halved: Instant,
    limited: Limited,
}

/// The effect of a server's rate limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limited {
    /// How often it reported too many requests.
    pub(super) times: usize,
    /// Total delay that it requested.
    pub(super) waited: Duration,
    /// The smallest maximum of requests in flight.
    pub(super) fewest: usize,
}

/// A request in flight.
pub(super) struct Permit<'a> {
    throttle: &'a Throttle,
    begun: Instant,
}

impl Throttle {
    pub(super) fn new(most: usize) -> Self {
        let limited = Limited { times: 0, waited: Duration::ZERO, fewest: most };
        let state = State {
            allowed: most,
            answered: 0,
            in_flight: 0,
            rest_until: None,
            halved: Instant::now(),
            limited,
        };
        Self { most, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more request may be sent; none if everything has stopped.
    pub(super) fn enter(&self, call: &Call) -> Option<Permit<'_>> {
        let mut state = self.state();
        loop {
            if call.is_stopped() {
                return None;
            }
            let now = Instant::now();
            let rest = state.rest_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            if rest.is_zero() && state.in_flight < state.allowed {
                state.in_flight += 1;
                return Some(Permit { throttle: self, begun: now });
            }
            let wait = if rest.is_zero() { GLANCE } else { rest.min(GLANCE) };
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn limited(&self) -> Limited {
        self.state().limited
    }
}

impl Permit<'_> {
    /// Records that the request was answered.
    pub(super) fn answered(self) {
        let mut state = self.throttle.state();
        state.answered += 1;
        if state.answered >= state.allowed {
            state.allowed = (state.allowed + 1).min(self.throttle.most);
            state.answered = 0;
        }
    }

    /// Records that the server asks for fewer requests, and possibly a delay.
    pub(super) fn too_many(self, rest: Option<Duration>) {
        let mut state = self.throttle.state();
        state.limited.times += 1;
        // Requests that were sent together are rejected together, and halve the maximum only once.
        if self.begun >= state.halved {
            state.allowed = (state.allowed / 2).max(1);
            state.answered = 0;
            state.halved = Instant::now();
            state.limited.fewest = state.limited.fewest.min(state.allowed);
        }
        if let Some(rest) = rest {
            let until = Instant::now() + rest;
            let before = state.rest_until.filter(|&before| before > Instant::now());
            if before.is_none_or(|before| until > before) {
                state.limited.waited += until - before.unwrap_or_else(Instant::now);
                state.rest_until = Some(until);
            }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // The lock is released before `answered` and `too_many` are called.
        self.throttle.state().in_flight -= 1;
        self.throttle.changed.notify_all();
    }
}

/// Why an item was not processed.
pub(super) enum Stopped<E> {
    /// It failed, but others may succeed.
    Failed(E),
    /// All others would fail as well.
    All(E),
    /// Everything had stopped because of another item.
    Abandoned,
}

/// Whether everything has stopped.
pub(super) struct Call {
    stopped: AtomicBool,
}

impl Call {
    pub(super) fn new() -> Self {
        Self { stopped: AtomicBool::new(false) }
    }

    /// Waits, unless everything stops in the meantime.
    pub(super) fn rest(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.is_stopped() && Instant::now() < until {
            std::thread::sleep(GLANCE.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Whether no further requests may be sent.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Processes every item once, at most `most` concurrently.
///
/// If one fails, no further item is started, and those in progress are finished. If one stops everything, those in progress
/// send no further requests.
///
/// # Errors
/// The failure that stopped everything, else that of the first failed item.
pub(super) fn each<E: Send>(
    count: usize,
    most: usize,
    work: impl Fn(&Call, usize) -> Result<(), Stopped<E>> + Sync,
) -> Result<(), E> {
    let (call, next) = (Call::new(), AtomicUsize::new(0));
    let closed = AtomicBool::new(false);
    // Ordered by whether all others fail too, then by number.
    let first: Mutex<Option<(bool, usize, E)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..most.min(count) {
            scope.spawn(|| {
                while !closed.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let (others, error) = match work(&call, number) {
                        Ok(()) | Err(Stopped::Abandoned) => continue,
                        Err(Stopped::Failed(error)) => (true, error),
                        Err(Stopped::All(error)) => {
                            call.stopped.store(true, Ordering::Relaxed);
                            (false, error)
                        }
                    };
                    closed.store(true, Ordering::Relaxed);
                    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.as_ref().is_none_or(|(o, n, _)| (others, number) < (*o, *n)) {
                        *first = Some((others, number, error));
                    }
                }
            });
        }
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, _, error)) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_requests_sent_together_halve_the_number_once_and_it_grows_back() {
        let throttle = Throttle::new(16);
        let permits: Vec<_> = (0..16).map(|_| throttle.enter(&Call::new()).unwrap()).collect();
        for permit in permits {
            permit.too_many(None);
        }
        assert_eq!(throttle.limited(), Limited { times: 16, waited: Duration::ZERO, fewest: 8 });
        assert_eq!(throttle.state().allowed, 8);
        throttle.enter(&Call::new()).unwrap().too_many(None);
        assert_eq!(throttle.state().allowed, 4);
        for _ in 0..5 {
            throttle.enter(&Call::new()).unwrap().answered();
        }
        assert_eq!(throttle.state().allowed, 5, "one more for as many answers as are in flight");
        for _ in 0..1000 {
            throttle.enter(&Call::new()).unwrap().answered();
        }
        assert_eq!(throttle.state().allowed, 16);
        assert_eq!(throttle.state().in_flight, 0);
    }

    #[test]
    fn the_number_never_falls_below_one() {
        let throttle = Throttle::new(3);
        for _ in 0..5 {
            throttle.enter(&Call::new()).unwrap().too_many(None);
        }
        assert_eq!(throttle.state().allowed, 1);
    }

    #[test]
    fn nobody_asks_before_the_rest_is_over() {
        let throttle = Throttle::new(2);
        throttle.enter(&Call::new()).unwrap().too_many(Some(Duration::from_millis(60)));
        let begun = Instant::now();
        drop(throttle.enter(&Call::new()).unwrap());
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert!(throttle.limited().waited >= Duration::from_millis(50));
    }

    #[test]
    fn every_item_is_done_once() {
        let done = Mutex::new(Vec::new());
        each::<()>(100, 7, |_, number| {
            done.lock().unwrap().push(number);
            Ok(())
        })
        .unwrap();
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_failure_begins_nothing_new_and_the_first_one_is_told() {
        let begun = AtomicUsize::new(0);
        let together = std::sync::Barrier::new(4);
        let failed = each(100, 4, |_, number| {
            begun.fetch_add(1, Ordering::Relaxed);
            if number < 4 {
                together.wait();
            } else {
                // Time for the failures to be reported.
                std::thread::sleep(Duration::from_millis(20));
            }
            if number == 0 || number > 3 { Ok(()) } else { Err(Stopped::Failed(number)) }
        });
        // The item that did not fail may start others until the failures are reported.
        assert!(failed == Err(1));
        assert!(begun.load(Ordering::Relaxed) < 100);
    }

    #[test]
    fn what_stops_all_is_told_rather_than_an_earlier_failure() {
        let together = std::sync::Barrier::new(2);
        let failed = each(2, 2, |call, number| {
            together.wait();
            if number == 1 {
                return Err(Stopped::All("key"));
            }
            while !call.is_stopped() {
                std::thread::yield_now();
            }
            Err(Stopped::Failed("late"))
        });
        assert_eq!(failed, Err("key"));
    }
}
