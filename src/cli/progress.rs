//! The progress of a run, on stderr: a bar in a terminal, a line every ten seconds elsewhere.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::texts::texts as said;
use korfinsts_bench::run::engine::{Amount, Progress};
use korfinsts_encoder::Usage;

/// How long the recent past is from which the time left follows.
const RECENT: Duration = Duration::from_secs(30);
/// The shortest past that says anything of the rest.
const SHORTEST: f64 = 1.0;
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What was done when, and what follows for the rest. The longest texts come first, so the time
/// left follows from bytes, and from the recent past alone.
#[derive(Debug, Default)]
struct Pace {
    total: usize,
    done: usize,
    left: Amount,
    recent: VecDeque<(Duration, Amount)>,
}

impl Pace {
    fn advance(&mut self, now: Duration, done: Amount) {
        self.done += done.texts;
        self.left.texts = self.left.texts.saturating_sub(done.texts);
        self.left.bytes = self.left.bytes.saturating_sub(done.bytes);
        self.recent.push_back((now, done));
        while self.recent.len() > 2 && now.saturating_sub(self.recent[0].0) > RECENT {
            self.recent.pop_front();
        }
    }

    /// `1,230 texts/s, 2m 15s left`; empty in the first second.
    fn sentence(&self) -> String {
        let (Some(first), Some(last)) = (self.recent.front(), self.recent.back()) else {
            return String::new();
        };
        let seconds = last.0.saturating_sub(first.0).as_secs_f64();
        // What the first batch did was done before its time.
        let since = self.recent.iter().skip(1).map(|(_, amount)| amount);
        let (texts, bytes) = since.fold((0, 0), |(texts, bytes), amount| {
            (texts + amount.texts, bytes + amount.bytes)
        });
        if seconds < SHORTEST || bytes == 0 {
            return String::new();
        }
        let left = self.left.bytes as f64 * seconds / bytes as f64;
        let values = [
            ("rate", &*rate(texts as f64 / seconds)),
            ("left", &time(left)),
        ];
        said().fill("cli_pace", &values)
    }

    /// The line for a file.
    fn line(&self) -> String {
        let values = [
            ("done", &*self.done.to_string()),
            ("total", &self.total.to_string()),
        ];
        let done = said().fill("cli_encoded", &values);
        match self.sentence() {
            rate if rate.is_empty() => done,
            rate => format!("{done}, {rate}"),
        }
    }
}

/// A number with three significant digits.
pub(super) fn rate(value: f64) -> String {
    match value {
        v if v >= 1000.0 => {
            let unit = 10f64.powi(v.log10().floor() as i32 - 2);
            format!("{:.0}", (v / unit).round() * unit)
        }
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// `12s`, `2m 15s`, `3h 05m`.
fn time(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A bar with rate and time left, or lines where stderr is no terminal; nothing with `--quiet`.
pub struct Bar {
    drawn: ProgressBar,
    pace: Pace,
    begun: Instant,
    said: Duration,
    quiet: bool,
}

impl Bar {
    /// A bar that is drawn once encoding starts.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self {
            drawn: ProgressBar::hidden(),
            pace: Pace::default(),
            begun: Instant::now(),
            said: Duration::ZERO,
            quiet,
        }
    }
}

impl Progress for Bar {
    fn start(&mut self, total: usize, missing: Amount) {
        self.pace = Pace {
            total,
            done: total - missing.texts,
            left: missing,
            ..Pace::default()
        };
        (self.begun, self.said) = (Instant::now(), Duration::ZERO);
        if missing.texts == 0 || self.quiet || !std::io::stderr().is_terminal() {
            return;
        }
        let style = ProgressStyle::with_template(said().get("cli_bar"))
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        self.drawn = ProgressBar::with_draw_target(
            Some(total as u64),
            ProgressDrawTarget::stderr_with_hz(5),
        )
        .with_style(style)
        .with_position(self.pace.done as u64);
        self.drawn.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&mut self, done: Amount) {
        let now = self.begun.elapsed();
        self.pace.advance(now, done);
        self.drawn.set_message(self.pace.sentence());
        self.drawn.set_position(self.pace.done as u64);
        let lines = !self.quiet && !std::io::stderr().is_terminal();
        if lines && now.saturating_sub(self.said) >= LINE_EVERY {
            self.said = now;
            super::output::say(&self.pace.line());
        }
    }

    fn finish(&mut self) {
        self.drawn.finish_and_clear();
    }

    fn note(&mut self, line: &str) {
        if !self.quiet {
            let line = format!("note: {line}");
            self.drawn.suspend(|| super::output::say(&line));
        }
    }

    fn usage(&mut self, usage: &Usage) {
        let mut line = format!(
            "the server was asked {} times, {} of them again",
            usage.requests, usage.retries
        );
        if let Some(tokens) = usage.tokens {
            line.push_str(&format!("; it counted {tokens} tokens"));
        }
        if let Some(cost) = usage.cost {
            line.push_str(&format!(", at a cost of {cost:.4}"));
        }
        self.note(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits_and_times_two_units() {
        for (value, text) in [
            (10.7342, "10.7"),
            (0.1234, "0.12"),
            (9.999, "10.0"),
            (123.4, "123"),
            (1234.0, "1230"),
            (98_765.0, "98800"),
        ] {
            assert_eq!(rate(value), text);
        }
        for (seconds, text) in [
            (0.2, "1s"),
            (59.9, "1m 00s"),
            (135.0, "2m 15s"),
            (11_100.0, "3h 05m"),
        ] {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn the_time_left_follows_bytes_of_the_recent_past() {
        let amount = |texts, bytes| Amount { texts, bytes };
        let mut pace = Pace {
            total: 3_498,
            done: 206,
            left: amount(3_292, 100_000),
            ..Pace::default()
        };
        assert_eq!(pace.line(), "encoded 206 of 3498 texts");
        // A slow start is forgotten, and two batches at once say nothing.
        pace.advance(Duration::from_secs(50), amount(1, 5_000));
        pace.advance(Duration::from_millis(50_010), amount(1, 5_000));
        assert_eq!(pace.line(), "encoded 208 of 3498 texts");
        for second in 100..=140 {
            pace.advance(Duration::from_secs(second), amount(10, 1_000));
        }
        assert_eq!(
            pace.line(),
            "encoded 618 of 3498 texts, 10.0 texts/s, 49s left"
        );
        let long = "encoding  1234567/1234567 texts  10.0 texts/s, 59m 59s left";
        assert!(long.len() + 10 <= 80, "with ten characters of a bar");
    }
}
