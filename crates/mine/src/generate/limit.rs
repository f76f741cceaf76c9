//! What may be asked per minute, and what may be spent.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The span that limits are counted over.
const MINUTE: Duration = Duration::from_mins(1);

/// Requests and tokens per minute, over the minute that ends now.
#[derive(Debug, Default)]
pub struct Rate {
    requests: Option<u64>,
    tokens: Option<u64>,
    sent: Mutex<VecDeque<(Instant, u64)>>,
}

impl Rate {
    /// No more than these, where given.
    #[must_use]
    pub fn new(requests: Option<u64>, tokens: Option<u64>) -> Self {
        Self {
            requests,
            tokens,
            sent: Mutex::default(),
        }
    }

    /// Waits until a request of so many tokens may be sent, and counts it. One that is larger than
    /// the limit is sent when nothing else was in the last minute.
    /// `false` when `stop` was set meanwhile.
    #[must_use]
    pub fn wait(&self, tokens: u64, stop: &AtomicBool) -> bool {
        loop {
            let wait = {
                let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
                self.wait_at(&mut sent, tokens, Instant::now())
            };
            let Some(wait) = wait else { return true };
            let until = Instant::now() + wait;
            while Instant::now() < until {
                if stop.load(Ordering::Relaxed) {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(20).min(wait));
            }
        }
    }

    /// How long to wait, or `None` after the request was counted.
    fn wait_at(
        &self,
        sent: &mut VecDeque<(Instant, u64)>,
        tokens: u64,
        now: Instant,
    ) -> Option<Duration> {
        while sent
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) >= MINUTE)
        {
            sent.pop_front();
        }
        let sum: u64 = sent.iter().map(|(_, n)| n).sum();
        let full = self
            .requests
            .is_some_and(|most| sent.len() as u64 >= most.max(1))
            || self
                .tokens
                .is_some_and(|most| !sent.is_empty() && sum + tokens > most);
        if full && let Some((oldest, _)) = sent.front() {
            return Some(MINUTE.saturating_sub(now.duration_since(*oldest)));
        }
        sent.push_back((now, tokens));
        None
    }
}

/// What may be spent in all, and what was.
#[derive(Debug, Default)]
pub struct Budget {
    most: Option<f64>,
    money: Mutex<Money>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Money {
    spent: f64,
    /// Set aside for calls under way, and how many those are.
    reserved: f64,
    under_way: usize,
}

impl Budget {
    /// No more than `most` US dollars, of which `spent` are gone.
    #[must_use]
    pub fn new(most: Option<f64>, spent: f64) -> Self {
        Self {
            most,
            money: Mutex::new(Money {
                spent,
                ..Money::default()
            }),
            settled: Condvar::new(),
        }
    }

    /// Sets aside what a call may cost at most. Waits for calls under way where only what is set
    /// aside for them counts against it.
    ///
    /// # Errors
    /// When that is more than is left, in words.
    pub fn reserve(&self, estimate: f64) -> Result<Reserved<'_>, String> {
        let mut money = self.money.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(most) = self.most
            && money.spent + money.reserved + estimate > most
        {
            if money.under_way == 0 || money.spent + estimate > most {
                return Err(format!(
                    "${:.4} of ${most:.4} are spent, and the next call may cost ${estimate:.4}",
                    money.spent
                ));
            }
            money = self
                .settled
                .wait(money)
                .unwrap_or_else(PoisonError::into_inner);
        }
        money.reserved += estimate;
        money.under_way += 1;
        Ok(Reserved {
            budget: self,
            estimate,
            cost: Cell::new(0.0),
        })
    }
}

/// Money set aside for one call; what was not spent of it is given back when dropped.
#[derive(Debug)]
pub struct Reserved<'a> {
    budget: &'a Budget,
    estimate: f64,
    cost: Cell<f64>,
}

impl Reserved<'_> {
    /// What the call cost; the estimate where nobody knows.
    pub fn settle(&self, cost: Option<f64>) {
        self.cost.set(cost.unwrap_or(self.estimate));
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut money = self
            .budget
            .money
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        money.reserved -= self.estimate;
        money.under_way -= 1;
        money.spent += self.cost.get();
        self.budget.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_no_more_than_its_limits() {
        let now = Instant::now();
        let at = |s: u64| now + Duration::from_secs(s);
        let rate = Rate::new(Some(2), Some(100));
        let mut sent = VecDeque::new();
        assert_eq!(rate.wait_at(&mut sent, 60, at(0)), None);
        // 60 + 60 is more than 100.
        assert_eq!(
            rate.wait_at(&mut sent, 60, at(10)),
            Some(Duration::from_secs(50))
        );
        assert_eq!(rate.wait_at(&mut sent, 40, at(10)), None);
        // Two requests are in the minute.
        assert_eq!(
            rate.wait_at(&mut sent, 0, at(30)),
            Some(Duration::from_secs(30))
        );
        assert_eq!(rate.wait_at(&mut sent, 0, at(60)), None);
        // One that is larger than the limit goes alone.
        let alone = Rate::new(None, Some(10));
        assert_eq!(alone.wait_at(&mut VecDeque::new(), 99, now), None);
    }

    #[test]
    fn nothing_is_begun_that_could_cost_more_than_is_left() {
        let budget = Budget::new(Some(1.0), 0.2);
        let first = budget.reserve(0.5).expect("there is enough");
        // What cannot be paid for whatever the first costs is refused at once; what could be waits.
        assert!(budget.reserve(0.9).is_err());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| budget.reserve(0.6).map(drop));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!second.is_finished());
            first.settle(Some(0.1));
            drop(first);
            second
                .join()
                .expect("no panic")
                .expect("there is enough now");
        });
        // 0.2 + 0.1 are spent.
        drop(budget.reserve(0.65).expect("there is enough"));
        // Failed: nothing was spent.
        drop(budget.reserve(0.65).expect("there is enough still"));
        let said = budget.reserve(0.75).expect_err("too much");
        assert!(said.starts_with("$0.3000 of $1.0000"), "{said}");
        assert!(Budget::new(None, 9.0).reserve(1e9).is_ok());
    }

    #[test]
    fn a_wait_ends_when_the_run_is_stopped() {
        let rate = Rate::new(Some(1), None);
        let stop = AtomicBool::new(false);
        assert!(rate.wait(1, &stop), "the first goes");
        stop.store(true, Ordering::Relaxed);
        assert!(!rate.wait(1, &stop));
    }
}
