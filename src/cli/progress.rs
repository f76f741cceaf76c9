//! The progress bar of a run, on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use korfinsts_bench::run::engine::Progress;
use korfinsts_encoder::Usage;

/// A bar with rate and time left; nothing where stderr is no terminal or with `--quiet`.
pub struct Bar {
    drawn: ProgressBar,
    tokens: u64,
    quiet: bool,
}

impl Bar {
    /// A bar that is drawn once encoding starts.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self {
            drawn: ProgressBar::hidden(),
            tokens: 0,
            quiet,
        }
    }
}

impl Progress for Bar {
    fn start(&mut self, _total: usize, missing: usize) {
        self.tokens = 0;
        if missing == 0 || self.quiet {
            return;
        }
        let style = ProgressStyle::with_template(
            "{spinner} encoding {bar:24} {pos}/{len} texts  {per_sec}  {msg}  {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        self.drawn = ProgressBar::with_draw_target(
            Some(missing as u64),
            ProgressDrawTarget::stderr_with_hz(5),
        )
        .with_style(style);
        self.drawn.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&mut self, texts: usize, tokens: usize) {
        self.tokens += tokens as u64;
        let seconds = self.drawn.elapsed().as_secs_f64();
        if seconds > 0.0 {
            self.drawn
                .set_message(format!("{:.0} tokens/s", self.tokens as f64 / seconds));
        }
        self.drawn.inc(texts as u64);
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
