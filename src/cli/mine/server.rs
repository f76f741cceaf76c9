//! What `generate` and `synthesise` ask of who writes: limits, patience, prompts.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::super::{CliError, Global, interrupt};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::http::Patience;
use korfinsts_mine::generate::ask::{CallPlan, LimitedBackend, Role};
use korfinsts_mine::generate::backend::{self, Setting};
use korfinsts_mine::generate::limit::Rate;
use korfinsts_mine::generate::prompt::Prompts;
use korfinsts_mine::{MineError, RunFolder, Transforms, Typology};

#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// Typology: a name that is built in, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "ko-en")]
    pub(super) typology: String,
    /// Folder with prompts of your own (`mine/prompts/…`), used before the built-in ones
    #[arg(long, value_name = "DIR")]
    pub(super) templates: Option<PathBuf>,
    /// Use the first documents only
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// Documents worked on at once [default: 8 with a server, the cores with rules]
    #[arg(long, value_name = "N")]
    pub(super) concurrency: Option<NonZeroUsize>,
    /// Requests per minute to each server
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// Tokens per minute to each server, prompts and the most an answer may have
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Dollars per million tokens of the generator, prompt and answer
    #[arg(long, value_name = "IN,OUT", value_parser = price)]
    pub(super) price_generator: Option<[f64; 2]>,
    /// Stop before more than this many dollars are spent, over all runs of the folder
    #[arg(long, value_name = "DOLLARS")]
    pub(super) max_cost: Option<f64>,
    /// Temperature of the generator; a judge has 0
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    temperature: f64,
    /// How a server is asked for JSON
    #[arg(long, default_value = "json_schema", value_parser = ["json_schema", "json_object", "none"])]
    structured: String,
    /// Maximum number of replies to one question that cannot be parsed
    #[arg(long, value_name = "N", default_value = "2")]
    pub(super) attempts: u32,
    /// Maximum number of attempts of one request
    #[arg(long, value_name = "N", default_value = "8")]
    retries: u32,
    /// Seconds that a server may take to begin its answer
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    timeout: u64,
    /// Output and error files of a batch, as its service gave them
    #[arg(long, value_name = "FILE", num_args = 1..)]
    batch_results: Vec<PathBuf>,
}

/// What a backend is opened with, whoever it is.
pub(super) struct Opening<'a> {
    pub(super) folder: &'a RunFolder,
    pub(super) typology: &'a Arc<Typology>,
    pub(super) transforms: &'a Arc<Transforms>,
    pub(super) offline: bool,
}

impl ServerArgs {
    /// What a run asks with; `concurrency` where the user names none.
    pub(super) fn calls<'a>(
        &self,
        folder: RunFolder,
        generator: LimitedBackend,
        concurrency: usize,
        progress: &'a (dyn Fn(usize, usize) + Sync),
    ) -> CallPlan<'a> {
        CallPlan {
            folder,
            prompts: Prompts::new(self.templates.as_deref()),
            generator,
            max_cost: self.max_cost,
            concurrency: self.concurrency.map_or(concurrency, NonZeroUsize::get),
            attempts: self.attempts,
            limit: self.limit,
            stop: interrupt::flag(),
            progress,
        }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.max_cost.is_some_and(|m| !(m.is_finite() && m >= 0.0)) {
            return Err(
                CliError::usage("`--max-cost` is no amount", "give dollars, 0 or more").into(),
            );
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            return Err(CliError::usage(
                format!("`--temperature` is {}", self.temperature),
                "give a number from 0 to 2",
            )
            .into());
        }
        Ok(())
    }

    /// Opens a backend, with its limits.
    pub(super) fn open(
        &self,
        role: Role,
        text: &str,
        price: Option<[f64; 2]>,
        with: &Opening<'_>,
    ) -> anyhow::Result<LimitedBackend> {
        let setting = Setting {
            role,
            typology: Arc::clone(with.typology),
            transforms: Arc::clone(with.transforms),
            temperature: if role == Role::Judge {
                0.0
            } else {
                self.temperature
            },
            structured: self.structured.clone(),
            patience: Patience {
                attempts: self.retries.max(1),
                first: Duration::from_millis(500),
                longest: Duration::from_mins(2),
            },
            timeout: Duration::from_secs(self.timeout.max(1)),
            requests: with.folder.path().to_owned(),
            results: self.batch_results.clone(),
        };
        let backend = backend::open(text, &setting)?;
        if with.offline && backend.is_limited() {
            return Err(CliError::new(
                FailureClass::Network,
                "a server is named, and `--offline` forbids the network",
                Some("leave `--offline` out, or take `rules`, `batch` or `replay`".into()),
            )
            .into());
        }
        Ok(LimitedBackend {
            backend,
            price,
            rate: Rate::new(self.requests_per_minute, self.tokens_per_minute),
        })
    }
}

/// A progress line every thousand documents.
pub(super) fn progress(global: &Global) -> impl Fn(usize, usize) + Sync {
    let quiet = global.quiet;
    move |done: usize, all: usize| {
        if !quiet && (done == all || done.is_multiple_of(1000)) {
            crate::cli::output::say(&format!("{done} of {all} documents"));
        }
    }
}

/// Two numbers: dollars of a prompt's and of an answer's million tokens.
pub(super) fn price(text: &str) -> Result<[f64; 2], String> {
    let wrong = || format!("`{text}` is no price; give two numbers from 0 on: `2.5,10`");
    let (i, o) = text.split_once(',').ok_or_else(wrong)?;
    let number = |t: &str| {
        t.trim()
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite() && *n >= 0.0)
    };
    match (number(i), number(o)) {
        (Some(i), Some(o)) => Ok([i, o]),
        _ => Err(wrong()),
    }
}

/// The error of a run that stopped on its way.
pub(super) fn interrupted() -> anyhow::Error {
    CliError::new(
        FailureClass::Interrupted,
        "stopped; answers are kept",
        Some("run the same command again to go on".into()),
    )
    .into()
}

/// Refuses a limit of cost without prices.
pub(super) fn unpriced() -> MineError {
    MineError::usage(
        "`--max-cost` needs a price for every model that is paid for",
        "give `--price-generator IN,OUT` in dollars per million tokens",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_two_numbers() {
        assert_eq!(price("2.5, 10"), Ok([2.5, 10.0]));
        for wrong in ["2.5", "a,b", "-1,2", "inf,1", "1,2,3"] {
            assert!(price(wrong).is_err(), "{wrong}");
        }
    }
}
