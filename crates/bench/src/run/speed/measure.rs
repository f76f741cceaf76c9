//! Timing rounds of texts until their median is known.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::texts::{self, Texts};
use super::{Speed, Workload};
use crate::run::RunError;
use crate::run::engine::{EncodeOptions, EncodeTask, Event, Progress};
use crate::run::evaluate::EvaluatedEncoder;
use crate::run::store::{TextKey, text_key};
use korfinsts_encoder::cost::{Cost, matrix_peak};
use korfinsts_encoder::machine::Machine;
use korfinsts_encoder::{Encoder, memory};
use korfinsts_metric::{Median, median};

/// When a round is long enough, and when there are enough of them.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// A round takes at least so long: shorter ones measure the clock and the start of threads.
    round: Duration,
    /// Batches of a round for each lane, at least: all lanes work to its end.
    batches: usize,
    /// Fewest rounds: fewer give no interval.
    fewest: usize,
    /// Most rounds.
    most: usize,
    /// The median is known well enough where half of its interval is at most this share of it.
    spread: f64,
    /// After so long no rounds follow that only make the interval narrower.
    patience: Duration,
    /// After so long no round follows, one excepted.
    limit: Duration,
}

const RULE: Rule = Rule {
    round: Duration::from_millis(250),
    batches: 4,
    fewest: 7,
    most: 60,
    spread: 0.03,
    patience: Duration::from_secs(12),
    limit: Duration::from_secs(90),
};

/// A model is loaded again while loading has taken less than this in all, at most three times.
const LOADING: Duration = Duration::from_secs(2);

/// Measures a model on this machine: loads it, and encodes each kind of text in rounds. The texts go through
/// tokenizer, batches, network and pooling as those of a suite do; only the writing of embeddings is left out.
///
/// # Errors
/// When the model cannot be opened or fails on a text, or the user interrupts.
pub fn measure(
    encoder: EvaluatedEncoder<'_>,
    options: EncodeOptions<'_>,
    progress: &mut dyn Progress,
) -> Result<Speed, RunError> {
    let spec = encoder.spec;
    let is_server = spec.endpoint.is_some();
    let device = if is_server { "server" } else { &*spec.device };
    memory::reset_peak();
    let (opened, load_s) = load(encoder)?;
    let lanes = opened.lanes().max(1);
    let peak = (device == "cpu").then(|| matrix_peak(lanes)).flatten();
    let rounds = Rounds {
        encoder: opened.as_ref(),
        prompt: &encoder.prompting.prompts[0],
        options,
        rule: RULE,
    };
    let mut workloads = Vec::new();
    for texts in texts::all() {
        let mut workload = rounds.workload(&texts)?;
        workload.settle(peak.filter(|_| spec.dtype == "float32"));
        progress.note(&said(&workload));
        workloads.push(workload);
    }
    Ok(Speed {
        machine: Machine::here(device),
        device: device.to_owned(),
        lanes,
        batch_tokens: options.batch_tokens,
        load_s: load_s.filter(|_| !is_server),
        peak_memory_bytes: memory::peak_bytes().filter(|_| !is_server),
        matrix_peak: peak.map(f64::round),
        workloads,
    })
}

/// Opens the model a few times; the last one, and the median seconds.
fn load(encoder: EvaluatedEncoder<'_>) -> Result<(Box<dyn Encoder>, Option<f64>), RunError> {
    let mut seconds: Vec<f64> = Vec::new();
    loop {
        let begun = Instant::now();
        let opened = encoder.spec.open(encoder.open)?;
        seconds.push(microseconds(begun.elapsed()));
        if seconds.len() == 3 || seconds.iter().sum::<f64>() > LOADING.as_secs_f64() {
            let load_s = median(&seconds, super::LEVEL).map(|m| m.value);
            return Ok((opened, load_s));
        }
    }
}

/// Seconds with what a clock tells.
fn microseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

/// What a user sees while it is measured.
fn said(workload: &Workload) -> String {
    let spread = workload.round().and_then(|m| m.spread());
    let spread = spread.map_or_else(String::new, |s| format!(" ±{:.1} %", 100.0 * s));
    format!(
        "speed, {}: {:.1} texts/s{spread}",
        workload.name(),
        workload.texts_per_s
    )
}

/// An encoder that is timed.
struct Rounds<'a> {
    encoder: &'a dyn Encoder,
    prompt: &'a str,
    options: EncodeOptions<'a>,
    rule: Rule,
}

/// One round.
#[derive(Default)]
struct Round {
    time: Duration,
    batches: usize,
    tokens: u64,
    operations: f64,
}

impl Rounds<'_> {
    fn workload(&self, texts: &Texts) -> Result<Workload, RunError> {
        let begun = Instant::now();
        let (texts_per_round, warm) = self.warm_up(&texts.texts)?;
        let mut rounds_s: Vec<f64> = Vec::new();
        let known = |rounds: &[f64]| median(rounds, super::LEVEL).and_then(|m: Median| m.spread());
        let timed = Instant::now();
        let rule = self.rule;
        while rounds_s.len() < rule.most && begun.elapsed() < rule.limit {
            let is_known = known(&rounds_s).is_some_and(|spread| spread <= rule.spread);
            let enough = is_known || timed.elapsed() > rule.patience;
            if rounds_s.len() >= rule.fewest && enough {
                break;
            }
            let round = self.round(&texts.texts, texts_per_round)?;
            rounds_s.push(microseconds(round.time));
        }
        if rounds_s.is_empty() {
            rounds_s.push(microseconds(warm.time));
        }
        let each = |sum: f64| sum / texts_per_round as f64;
        Ok(Workload {
            language: texts.language.into(),
            length: texts.length.into(),
            sha256: texts.sha256.clone(),
            tokens_per_text: each(warm.tokens as f64),
            operations_per_text: Some(each(warm.operations)).filter(|n| *n > 0.0),
            texts_per_round,
            rounds_s,
            ..Workload::default()
        })
    }

    /// Doubles the texts of a round until it is long enough. Gives their number and the last round.
    fn warm_up(&self, texts: &[String]) -> Result<(usize, Round), RunError> {
        let mut count = 8;
        let begun = Instant::now();
        loop {
            let round = self.round(texts, count)?;
            let batches = self.rule.batches * self.encoder.lanes();
            let enough = round.time >= self.rule.round && round.batches >= batches;
            if enough || begun.elapsed() > self.rule.limit / 8 {
                return Ok((count, round));
            }
            count *= 2;
        }
    }

    /// Encodes the first `count` texts, the same ones again where there are fewer.
    fn round(&self, texts: &[String], count: usize) -> Result<Round, RunError> {
        let mut all: Vec<(TextKey, &str)> = texts
            .iter()
            .map(|text| (text_key(text), text.as_str()))
            .cycle()
            .take(count)
            .collect();
        all.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
        let task = EncodeTask {
            texts: &[],
            prompt: self.prompt,
            folder: Path::new(""),
            options: self.options,
        };
        let cost: Option<Cost> = self.encoder.cost();
        let mut round = Round::default();
        let begun = Instant::now();
        task.encode(&all, self.encoder, &mut |event| {
            if let Event::Encoded(_, _, tokens) = event {
                round.batches += 1;
                for text in tokens {
                    round.tokens += u64::from(text.kept);
                    round.operations += cost.map_or(0.0, |cost| cost.of(text.kept as usize));
                }
            }
            Ok(())
        })?;
        round.time = begun.elapsed();
        if self.options.stop.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted {
                encoded: 0,
                total: count,
            });
        }
        Ok(round)
    }
}

impl Workload {
    /// Computes the rates from the rounds.
    pub(super) fn settle(&mut self, peak: Option<f64>) {
        let Some(round) = self.round() else { return };
        self.texts_per_s = self.rate(round.value);
        self.interval = round
            .interval
            .map(|[low, high]| [self.rate(high), self.rate(low)]);
        self.tokens_per_s = self.texts_per_s * self.tokens_per_text;
        let share = |(operations, peak): (f64, f64)| operations * self.texts_per_s / peak;
        self.share_of_peak = self.operations_per_text.zip(peak).map(share);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use super::*;
    use crate::run::engine::BATCH_TOKENS;
    use korfinsts_encoder::{Embeddings, EncoderError, PreparedText};

    /// An encoder whose tokens are the bytes of a text.
    #[derive(Default)]
    struct Fake {
        texts: AtomicUsize,
    }

    impl Encoder for Fake {
        fn prepare(&self, text: &str, _prompt: &str) -> Result<PreparedText, EncoderError> {
            Ok(PreparedText {
                text: text.to_owned(),
                ids: vec![1; text.len()],
                ..PreparedText::default()
            })
        }

        fn encode(&self, batch: &[&PreparedText]) -> Result<Embeddings, EncoderError> {
            self.texts.fetch_add(batch.len(), Ordering::Relaxed);
            Ok(Embeddings {
                values: vec![1.0; batch.len()],
                dimension: 1,
            })
        }

        fn lanes(&self) -> usize {
            2
        }

        fn cost(&self) -> Option<Cost> {
            Some(Cost {
                per_token: 10.0,
                per_pair: 1.0,
            })
        }
    }

    fn texts() -> Texts {
        Texts {
            language: "ko",
            length: "short",
            texts: vec!["a".repeat(100), "b".repeat(300)],
            sha256: "0".into(),
        }
    }

    fn rounds<'a>(encoder: &'a Fake, stop: &'a AtomicBool) -> Rounds<'a> {
        Rounds {
            encoder,
            prompt: "",
            options: EncodeOptions {
                batch_tokens: BATCH_TOKENS,
                resume: false,
                label: "",
                stop,
            },
            rule: Rule {
                round: Duration::ZERO,
                most: 9,
                spread: 0.0,
                ..RULE
            },
        }
    }

    #[test]
    fn rounds_have_enough_batches_and_every_text_is_encoded_again() {
        let (fake, stop) = (Fake::default(), AtomicBool::new(false));
        let mut found = rounds(&fake, &stop).workload(&texts()).expect("encoded");
        found.settle(Some(1e12));
        // At least eight batches: 8 texts make 5 (each long text one, the short ones another), 16 make 10.
        assert_eq!(found.texts_per_round, 16);
        assert_eq!(found.rounds_s.len(), 9);
        assert_eq!(fake.texts.into_inner(), 8 + 16 + 9 * 16);
        assert_eq!(found.tokens_per_text, 200.0);
        // (100 · 10 + 100² + 300 · 10 + 300²) / 2.
        assert_eq!(found.operations_per_text, Some(52_000.0));
        let share = 52_000.0 * found.texts_per_s / 1e12;
        assert!((found.share_of_peak.expect("a peak") - share).abs() < 1e-12);
        let [low, high] = found.interval.expect("nine rounds");
        assert!(low <= found.texts_per_s && found.texts_per_s <= high);
        assert_eq!(found.tokens_per_s, 200.0 * found.texts_per_s);
    }

    #[test]
    fn a_round_that_is_known_is_the_last_and_a_stop_is_one() {
        let (fake, stop) = (Fake::default(), AtomicBool::new(false));
        let mut rounds = rounds(&fake, &stop);
        rounds.rule.spread = f64::INFINITY;
        let found = rounds.workload(&texts()).expect("encoded");
        assert_eq!(found.rounds_s.len(), RULE.fewest);
        stop.store(true, Ordering::Relaxed);
        let error = rounds.workload(&texts()).expect_err("stopped");
        assert!(matches!(error, RunError::Interrupted { .. }));
    }
}
