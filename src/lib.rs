//! `korfinsts` measures how well sentence encoders capture meaning in Korean (and English)
//! financial text.
//!
//! The command `korfinsts` and this library do the same work. Three functions are the whole
//! interface:
//!
//! | to do | call | gives |
//! |---|---|---|
//! | score an encoder on suites | [`evaluate`] | a [`Record`] per suite |
//! | turn texts into embeddings | [`encode`] | [`Embeddings`], one row per text |
//! | compare two encoders on the same pairs | [`compare`] | a [`Comparison`] with intervals and p-values |
//!
//! A model is what the command takes too: a folder or file with an ONNX graph or safetensors, a hub
//! id (`org/name`), the encoder that ships with the crate (`nmixx-mini`), or the address of a server.
//!
//! ```
//! # fn main() -> Result<(), korfinsts::Error> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! use korfinsts::Options;
//!
//! let options = Options {
//! #   data_home: Some(folder.path().join("data")),
//!     limit: Some(100), // the first 100 pairs only: a quick look
//!     resamples: 1_000,
//!     ..Options::default()
//! };
//! let records = korfinsts::evaluate("nmixx-mini", ["korfin-shift"], &options)?;
//! let rho = records[0].scores.cosine_spearman.expect("the scores vary");
//! assert!((-1.0..=1.0).contains(&rho));
//! # Ok(())
//! # }
//! ```
//!
//! The statistics alone are the crate `korfinsts-metric`, with five dependencies. The other
//! `korfinsts-*` crates are parts of this one: they can be used, and may change in any version
//! below 1.

mod error;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use korfinsts_bench::run::engine::{self, BATCH_TOKENS, EncodeOptions, EncodeTask, Silent};
use korfinsts_bench::run::evaluate::EvaluateOptions;
use korfinsts_bench::run::form::Forms;
use korfinsts_bench::run::session::{Model, Session, SessionPlan};
use korfinsts_bench::run::store::text_key;
use korfinsts_bench::suite::{Registry, Selection};
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::open;
use korfinsts_metric::{BootstrapOptions, LEAST_PAIRS, LEAST_RESAMPLES};
use korfinsts_publish::leaderboard::catalogue::Catalogue;
use korfinsts_publish::leaderboard::compare::{self as comparing, CompareOptions};
use korfinsts_publish::leaderboard::entry;

pub use error::{Error, FailureClass};
pub use korfinsts_bench::run::record::{Record, Scores};
pub use korfinsts_encoder::Embeddings;
pub use korfinsts_encoder::open::ModelOptions;
pub use korfinsts_publish::leaderboard::compare::{Report as Comparison, SuiteComparison};

/// How [`evaluate`], [`encode`] and [`compare`] work. The defaults are those of the command, except
/// that [`evaluate`] writes no files.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the model is found, read and run: backend, device, pooling, prompt, protocol.
    pub model: ModelOptions,
    /// Folder of suites, of the embeddings of earlier runs and of unpacked encoders; `None` is the
    /// folder of the command.
    pub data_home: Option<PathBuf>,
    /// Folder to write records and per-pair scores to; `None` writes nothing.
    pub results: Option<PathBuf>,
    /// Split, where it is not each suite's own.
    pub split: Option<String>,
    /// Score only the first so many pairs of each suite; at least 3.
    pub limit: Option<usize>,
    /// Evaluate the lexical baselines too.
    pub baselines: bool,
    /// Resamples behind each interval and permutations behind each p-value; at least 100.
    pub resamples: usize,
    /// Seed of the resampling.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: ModelOptions::default(),
            data_home: None,
            results: None,
            split: None,
            limit: None,
            baselines: false,
            resamples: 10_000,
            seed: 0,
        }
    }
}

impl Options {
    fn home(&self) -> Result<PathBuf, Error> {
        let named = self.data_home.clone();
        named
            .or_else(korfinsts_base::fs::data_home)
            .ok_or(Error::NoHome)
    }

    fn model(&self, home: &Path) -> ModelOptions {
        let open = OpenOptions {
            data_home: Some(home.to_owned()),
            ..self.model.open.clone()
        };
        ModelOptions {
            open,
            ..self.model.clone()
        }
    }

    fn bootstrap(&self) -> Result<BootstrapOptions, Error> {
        if self.resamples < LEAST_RESAMPLES {
            return Err(Error::Option {
                what: format!(
                    "found {} resamples, at least {LEAST_RESAMPLES} are allowed",
                    self.resamples
                ),
            });
        }
        Ok(BootstrapOptions {
            resamples: self.resamples,
            seed: self.seed,
            ..BootstrapOptions::default()
        })
    }
}

/// Evaluates a model on suites: a record for each suite, in the order given, then those of the
/// baselines where they are asked for.
///
/// A suite is an id (`korsts`), an id with a split (`korsts:dev`), or the path of a folder with a
/// `suite.toml`. Embeddings are kept in the data home, so a second call encodes nothing again.
///
/// # Errors
/// When a suite is unknown, broken or not on disk; when the model cannot be found, read or run; when
/// the disk fails; when an option is out of its range.
pub fn evaluate<S: AsRef<str>>(
    model: &str,
    suites: impl IntoIterator<Item = S>,
    options: &Options,
) -> Result<Vec<Record>, Error> {
    let bootstrap = options.bootstrap()?;
    if options.limit.is_some_and(|n| n < LEAST_PAIRS) {
        return Err(Error::Option {
            what: format!("found a limit below {LEAST_PAIRS} pairs: no correlation has fewer"),
        });
    }
    let home = options.home()?;
    let chosen = Registry::open(&home)?.choose(&Selection {
        names: suites.into_iter().map(|s| s.as_ref().to_owned()).collect(),
        splits: options.split.iter().cloned().collect(),
        ..Selection::default()
    })?;
    if let Some(absent) = chosen.absent.into_iter().next() {
        return Err(Error::NoSuite {
            id: absent.id,
            command: absent.command,
        });
    }
    let reading = options.model(&home);
    let read = open::read(model, &reading)?;
    let stop = AtomicBool::new(false);
    let cache = home.join("embeddings");
    let mut session = Session::new(SessionPlan {
        encoders: vec![model.to_owned()],
        suites: chosen.suites,
        baselines: options.baselines,
        shard: None,
        results: options.results.clone(),
        mteb: None,
        open: reading.open,
        options: EvaluateOptions {
            encode: encode_options(&stop),
            bootstrap,
            limit: options.limit,
            cache: &cache,
            forms: Forms::default(),
            speed: false,
        },
    });
    let models = [Model {
        index: 0,
        spec: read.spec,
        prompting: read.prompting,
    }];
    Ok(session.run(&models, &mut Silent)?.records)
}

/// Turns texts into embeddings, one row per text, float32, shape `[texts, dimension]`.
///
/// Embeddings are kept in the data home, so a text that was encoded before is not encoded again.
///
/// ```no_run
/// let options = korfinsts::Options::default();
/// let texts = ["영업이익이 증가했다.", "순손실이 확대됐다."];
/// let embeddings = korfinsts::encode("./all-MiniLM-L6-v2", &texts, &options)?;
/// assert_eq!((embeddings.rows(), embeddings.dimension), (2, 384));
/// # Ok::<(), korfinsts::Error>(())
/// ```
///
/// # Errors
/// When the model cannot be found, read or run, or the disk fails.
pub fn encode<S: AsRef<str>>(
    model: &str,
    texts: &[S],
    options: &Options,
) -> Result<Embeddings, Error> {
    let home = options.home()?;
    let reading = options.model(&home);
    let read = open::read(model, &reading)?;
    let prompt = &read.prompting.prompts[0];
    let folder = home.join("embeddings").join(read.spec.key(prompt));
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let stop = AtomicBool::new(false);
    let task = EncodeTask {
        texts: &texts,
        prompt,
        folder: &folder,
        options: EncodeOptions {
            label: &read.spec.name,
            ..encode_options(&stop)
        },
    };
    let store = engine::embed(task, &mut Silent, &mut || read.spec.open(&reading.open))?;
    let set = store.set();
    let rows = texts.iter().filter_map(|text| set.get(&text_key(text)));
    Ok(Embeddings {
        values: rows.flat_map(|(row, _)| row).copied().collect(),
        dimension: set.dimension(),
    })
}

/// Compares two encoders on every suite that both were evaluated on: paired intervals over the same
/// pairs, permutation tests, and p-values corrected for the number of suites. A difference above
/// zero means that `a` is better.
///
/// `a` and `b` are each the path of a record, or of a folder of records of one encoder, as
/// [`evaluate`] and the command write them.
///
/// # Errors
/// When a record is missing or broken, or the two have no pairs in common.
pub fn compare(a: &Path, b: &Path, options: &Options) -> Result<Comparison, Error> {
    let catalogue = Catalogue::open(&options.home()?)?;
    let results = options.results.clone().unwrap_or_default();
    let records = |path: &Path| entry::of_model(&path.to_string_lossy(), &results);
    let how = CompareOptions {
        bootstrap: options.bootstrap()?,
        suites: Vec::new(),
        protocol: None,
        across_protocols: false,
        by: None,
        disagreements: 0,
    };
    Ok(comparing::compare(
        &records(a)?,
        &records(b)?,
        &catalogue,
        &how,
    )?)
}

fn encode_options(stop: &AtomicBool) -> EncodeOptions<'_> {
    EncodeOptions {
        batch_tokens: BATCH_TOKENS,
        resume: true,
        label: "",
        stop,
    }
}
