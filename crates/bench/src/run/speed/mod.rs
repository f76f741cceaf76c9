//! How fast a model is on this machine, and how much memory it takes.
//!
//! [`measure`] encodes fixed texts ([`texts`]) again and again until the median time of a round is known well enough.
//! What it finds is a part of the record that no score depends on, and that is there only when it was asked for.

mod measure;
pub mod texts;

use serde::{Deserialize, Serialize};

use korfinsts_encoder::machine::Machine;
use korfinsts_metric::{Median, median};

pub use measure::measure;

/// Coverage of the intervals of rates. The interval of a ratio whose two rates have this coverage has at least 95 %.
pub const LEVEL: f64 = 0.975;
/// Most rounds of one length that a record may hold.
const MOST_ROUNDS: usize = 10_000;

/// How fast a model is on one machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Speed {
    /// The machine: of a server, that of the client.
    pub machine: Machine,
    /// `cpu`, `cuda` or `cuda:N`; `server` where another process encodes.
    pub device: String,
    /// Batches that are encoded at the same time: threads, or requests to a server.
    pub lanes: usize,
    /// Padded tokens per batch at most.
    pub batch_tokens: usize,
    /// Median seconds from the model's files, in the memory of the system, to an encoder that is ready; `null` for a server.
    pub load_s: Option<f64>,
    /// Most memory of this process in bytes, from before the model was loaded to the end; `null` where the system does not
    /// say, and for a server.
    pub peak_memory_bytes: Option<u64>,
    /// Operations per second of the fastest float32 matrix product on as many threads, measured in the same run; `null` off
    /// the CPU and where it was not measured.
    pub matrix_peak: Option<f64>,
    /// The rates, by language and length of text.
    pub workloads: Vec<Workload>,
}

/// The rate at texts of one language and length.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Workload {
    /// `ko` or `en`.
    pub language: String,
    /// `short`, `medium` or `long`.
    pub length: String,
    /// SHA-256 of the texts.
    pub sha256: String,
    /// Mean tokens that the model sees of a text, special ones included.
    pub tokens_per_text: f64,
    /// Texts of a round: the same ones again where there are more than the texts that differ.
    pub texts_per_round: usize,
    /// Seconds of each round after those to warm up.
    pub rounds_s: Vec<f64>,
    /// Texts per second: that of the median round.
    pub texts_per_s: f64,
    /// The interval of the median round, with a coverage of at least 97.5 %; `null` below 7 rounds.
    pub interval: Option<[f64; 2]>,
    /// Tokens per second, at the same round.
    pub tokens_per_s: f64,
    /// Operations of a text on average (a multiplication and an addition are two); `null` where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations_per_text: Option<f64>,
    /// Operations per second over [`Speed::matrix_peak`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_peak: Option<f64>,
}

impl Workload {
    /// `ko short`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.language, self.length)
    }

    /// The median round in seconds.
    #[must_use]
    pub fn round(&self) -> Option<Median> {
        median(&self.rounds_s, LEVEL)
    }

    /// Rates of a round that took so many seconds.
    fn rate(&self, seconds: f64) -> f64 {
        self.texts_per_round as f64 / seconds
    }
}

/// A figure of one model over that of another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratio {
    /// `ko short` and so on: texts per second; [`LOAD`]; [`MEMORY`].
    pub name: String,
    /// The figure of the first.
    pub a: f64,
    /// That of the second.
    pub b: f64,
    /// `a / b`.
    pub ratio: f64,
    /// Its interval, with a coverage of at least 95 %; `null` where either has none.
    pub interval: Option<[f64; 2]>,
}

/// Name of the seconds of loading.
pub const LOAD: &str = "load (s)";
/// Name of the memory in megabytes.
pub const MEMORY: &str = "memory (MB)";

impl Speed {
    /// Whether times of both may be compared: one machine, the same device and number of lanes.
    #[must_use]
    pub fn is_comparable(&self, other: &Self) -> bool {
        (&self.machine, &self.device, self.lanes) == (&other.machine, &other.device, other.lanes)
    }

    /// The most memory in megabytes (10⁶ bytes).
    #[must_use]
    pub fn megabytes(&self) -> Option<f64> {
        self.peak_memory_bytes.map(|bytes| bytes as f64 / 1e6)
    }

    /// Every figure over that of another model: rates where both encoded the same texts, then loading and memory.
    #[must_use]
    pub fn ratios(&self, other: &Self) -> Vec<Ratio> {
        let rate = |a: &Workload| {
            let same = |b: &&Workload| (&a.sha256, a.name()) == (&b.sha256, b.name());
            let b = other.workloads.iter().find(same)?;
            let interval = a.interval.zip(b.interval);
            Some(Ratio {
                name: a.name(),
                a: a.texts_per_s,
                b: b.texts_per_s,
                ratio: a.texts_per_s / b.texts_per_s,
                interval: interval.map(|(a, b)| [a[0] / b[1], a[1] / b[0]]),
            })
        };
        let single = |name: &str, a: Option<f64>, b: Option<f64>| {
            let (a, b) = a.zip(b)?;
            Some(Ratio {
                name: name.into(),
                a,
                b,
                ratio: a / b,
                interval: None,
            })
        };
        let rates = self.workloads.iter().filter_map(rate);
        let load = single(LOAD, self.load_s, other.load_s);
        let memory = single(MEMORY, self.megabytes(), other.megabytes());
        rates.chain(load).chain(memory).collect()
    }

    /// What is no time, no rate or no count.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |what: &str, found: f64| Err(format!("`speed`: found {what} {found}"));
        for (what, value) in [
            ("`load_s`", self.load_s),
            ("`matrix_peak`", self.matrix_peak),
        ] {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v >= 0.0)) {
                return wrong(what, value);
            }
        }
        for w in &self.workloads {
            let shares = [w.operations_per_text, w.share_of_peak]
                .into_iter()
                .flatten();
            let ends = w.interval.into_iter().flatten();
            let rates = [w.texts_per_s, w.tokens_per_s, w.tokens_per_text];
            let numbers = rates.into_iter().chain(ends).chain(shares);
            let mut numbers = numbers.chain(w.rounds_s.iter().copied());
            if let Some(found) = numbers.find(|v| !(v.is_finite() && *v >= 0.0)) {
                return wrong("a time, rate or share of", found);
            }
            if w.rounds_s.len() > MOST_ROUNDS {
                return wrong("a number of rounds of", w.rounds_s.len() as f64);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rounds_s: &[f64]) -> Speed {
        let mut workload = Workload {
            language: "ko".into(),
            length: "short".into(),
            texts_per_round: 100,
            rounds_s: rounds_s.to_vec(),
            ..Workload::default()
        };
        workload.settle(None);
        Speed {
            workloads: vec![workload],
            ..Speed::default()
        }
    }

    #[test]
    fn a_ratio_has_the_ends_of_both_intervals() {
        let slow = of(&[2.0, 2.0, 2.0, 2.0, 2.0, 2.5, 1.6]);
        let fast = of(&[1.0; 7]);
        assert_eq!(slow.workloads[0].interval, Some([40.0, 62.5]));
        let found = &fast.ratios(&slow)[..];
        let [found] = found else { panic!("{found:?}") };
        assert_eq!((found.a, found.b, found.ratio), (100.0, 50.0, 2.0));
        assert_eq!(
            (&*found.name, found.interval),
            ("ko short", Some([1.6, 2.5]))
        );
        let few = of(&[1.0; 6]).ratios(&slow);
        assert_eq!(few[0].interval, None);
    }

    #[test]
    fn other_machines_and_other_texts_are_not_compared() {
        let mut other = of(&[1.0; 7]);
        assert!(of(&[1.0; 7]).is_comparable(&other));
        other.lanes = 4;
        assert!(!of(&[1.0; 7]).is_comparable(&other));
        other.workloads[0].sha256 = "1".into();
        assert_eq!(of(&[1.0; 7]).ratios(&other), []);
        (other.load_s, other.peak_memory_bytes) = (Some(0.5), Some(3_000_000));
        let found: Vec<(String, f64)> = other
            .ratios(&other)
            .into_iter()
            .map(|r| (r.name, r.a))
            .collect();
        let expected = [("ko short", 100.0), (LOAD, 0.5), (MEMORY, 3.0)];
        assert_eq!(found, expected.map(|(name, a)| (name.to_owned(), a)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        assert_eq!(of(&[1.0; 7]).check(), Ok(()));
        let error = of(&[-1.0; 7]).check().expect_err("negative");
        assert!(error.starts_with("`speed`: found"), "{error}");
        let mut load = of(&[1.0; 7]);
        load.load_s = Some(f64::NAN);
        assert!(load.check().is_err());
    }
}
