use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What waits in a [`Queue`]: some texts.
pub(crate) trait Load {
    /// Number of texts.
    fn texts(&self) -> usize;
    /// Their bytes.
    fn bytes(&self) -> usize;
}

/// Jobs that wait, first come, first served, up to a number of texts.
pub(crate) struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    capacity: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    texts: usize,
    closed: bool,
}

/// Jobs that were refused, as so many texts wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) waiting: usize,
}

impl<J: Load> Queue<J> {
    /// A queue for so many texts.
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State { jobs: VecDeque::new(), texts: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), capacity }
    }

    /// Adds all of these jobs, or none if there is no room for all or the queue is closed.
    pub(crate) fn push(&self, jobs: Vec<J>) -> Result<(), Full> {
        let texts: usize = jobs.iter().map(Load::texts).sum();
        let mut state = self.locked();
        if state.closed || state.texts + texts > self.capacity {
            return Err(Full { waiting: state.texts });
        }
        state.texts += texts;
        state.jobs.extend(jobs);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next jobs, at most so many texts and bytes together, but always at least one; waits for one. None once the queue is
    /// closed and empty.
    pub(crate) fn take(&self, texts: usize, bytes: usize) -> Option<Vec<J>> {
        let mut state = self.locked();
        while state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut batch = Vec::new();
        let mut size = (0, 0);
        while let Some(job) = state.jobs.front() {
            size = (size.0 + job.texts(), size.1 + job.bytes());
            if !batch.is_empty() && (size.0 > texts || size.1 > bytes) {
                break;
            }
            batch.extend(state.jobs.pop_front());
        }
        state.texts -= batch.iter().map(Load::texts).sum::<usize>();
        Some(batch)
    }

    /// Number of texts that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.locked().texts
    }

    /// Refuses further jobs; those that wait are still taken.
    pub(crate) fn close(&self) {
        self.locked().closed = true;
        self.changed.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Load for Vec<&str> {
        fn texts(&self) -> usize {
            self.len()
        }
        fn bytes(&self) -> usize {
            self.iter().map(|text| text.len()).sum()
        }
    }

    #[test]
    fn jobs_are_taken_in_order_as_many_as_fit() {
        let queue = Queue::new(10);
        queue.push(vec![vec!["a", "b"], vec!["c"], vec!["d", "e", "f"]]).unwrap();
        assert_eq!(queue.take(4, 100).unwrap(), [vec!["a", "b"], vec!["c"]]);
        assert_eq!(queue.take(1, 1).unwrap(), [vec!["d", "e", "f"]], "larger than allowed, but alone");
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn what_does_not_fit_is_refused_whole_and_a_closed_queue_is_emptied() {
        let queue = Queue::new(3);
        queue.push(vec![vec!["a", "b"]]).unwrap();
        assert_eq!(queue.push(vec![vec!["c"], vec!["d"]]), Err(Full { waiting: 2 }));
        queue.push(vec![vec!["e"]]).unwrap();
        queue.close();
        assert_eq!(queue.push(vec![vec!["g"]]), Err(Full { waiting: 3 }));
        assert_eq!(queue.take(9, 9).unwrap().len(), 2);
        assert_eq!(queue.take(9, 9), None);
    }
}
