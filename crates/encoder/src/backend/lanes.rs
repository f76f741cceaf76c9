//! Lanes: one resource per thread that may call a network at once.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, PoisonError};

/// A fixed set of resources, each lent to one thread at a time.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    free: Mutex<Vec<T>>,
    returned: Condvar,
    count: usize,
}

impl<T> Lanes<T> {
    /// Lanes over these resources; there must be at least one.
    pub(super) fn new(resources: Vec<T>) -> Self {
        assert!(!resources.is_empty(), "a network has at least one lane");
        Self {
            count: resources.len(),
            free: Mutex::new(resources),
            returned: Condvar::new(),
        }
    }

    /// Number of lanes.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Takes a lane, waiting for one where all are lent. It is given back when dropped.
    pub(super) fn take(&self) -> Lane<'_, T> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(resource) = free.pop() {
                return Lane {
                    lanes: self,
                    resource: Some(resource),
                };
            }
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A lane that is lent.
pub(super) struct Lane<'a, T> {
    lanes: &'a Lanes<T>,
    resource: Option<T>,
}

impl<T> Deref for Lane<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.resource.as_ref().expect("held until dropped")
    }
}

impl<T> DerefMut for Lane<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.resource.as_mut().expect("held until dropped")
    }
}

impl<T> Drop for Lane<'_, T> {
    fn drop(&mut self) {
        let mut free = self
            .lanes
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free.extend(self.resource.take());
        self.lanes.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::Lanes;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn more_threads_than_lanes_wait_for_each_other() {
        let (lanes, done) = (Lanes::new(vec![0_usize, 0]), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    *lanes.take() += 1;
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
        let (one, two) = (lanes.take(), lanes.take());
        assert_eq!(*one + *two, 8);
    }
}
