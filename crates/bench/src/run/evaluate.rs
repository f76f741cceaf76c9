//! An encoder, or a lexical baseline, on suites: embeddings or texts to scored pairs to records.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rayon::prelude::*;

use super::RunError;
use super::engine::{self, Amount, EncodeOptions, EncodeTask, Progress};
use super::form::{Form, FormFacts, Forms, Quantizer};
use super::record::{
    BatchFacts, BootstrapFacts, EncoderFacts, EndpointFacts, Harness, PairTokens, Record,
    SCHEMA_VERSION, ScoredPair, SuiteFacts, Timing, TrainedOn,
};
use super::score::{self, Asked, LEXICAL, Numbers};
use super::speed;
use super::store::{About, EmbeddingSet, Store, text_key};
use crate::suite::{Pair, ScaleKind, Suite};
use korfinsts_encoder::backend::OpenOptions;
use korfinsts_encoder::lexical::{BASELINES, Baseline};
use korfinsts_encoder::protocol::Prompting;
use korfinsts_encoder::spec::Setting;
use korfinsts_encoder::{EncoderError, EncoderSpec, TokenCount, Usage};
use korfinsts_metric::{self as metric, BootstrapOptions, Similarity};

/// Share of tied predictions above which a reader is warned.
const TIES_WORTH_SAYING: f64 = 0.05;

/// How suites are evaluated.
#[derive(Debug, Clone, Copy)]
pub struct EvaluateOptions<'a> {
    /// How missing texts are encoded.
    pub encode: EncodeOptions<'a>,
    /// How intervals are made.
    pub bootstrap: BootstrapOptions,
    /// Score only the first so many pairs.
    pub limit: Option<usize>,
    /// Folder that holds the embedding stores, one folder each.
    pub cache: &'a Path,
    /// The forms in which embeddings are compared: a record of each.
    pub forms: Forms<'a>,
    /// Whether the speed of encoders is measured too.
    pub speed: bool,
}

impl EvaluateOptions<'_> {
    /// The pairs of a suite that are scored.
    #[must_use]
    pub fn limited<'s>(&self, suite: &'s Suite) -> &'s [Pair] {
        &suite.pairs[..self.limit.unwrap_or(usize::MAX).min(suite.pairs.len())]
    }
}

/// One encoder on one suite in one form: the record and the contents of its other files.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The record, not yet written.
    pub record: Record,
    /// Per-pair scores.
    pub pairs: Vec<ScoredPair>,
    /// Tokens of each pair; empty where nothing is tokenised.
    pub tokens: Vec<PairTokens>,
    /// When and how fast.
    pub timing: Timing,
    /// Key of the encoder; empty for a baseline.
    pub key: String,
}

/// An encoder as it is evaluated.
#[derive(Debug, Clone, Copy)]
pub struct EvaluatedEncoder<'e> {
    /// How its files were read.
    pub spec: &'e EncoderSpec,
    /// Its prompts.
    pub prompting: &'e Prompting,
    /// How it is opened.
    pub open: &'e OpenOptions,
}

impl EvaluatedEncoder<'_> {
    /// Evaluates an encoder on suites: each unique text of them all is encoded once, then each suite
    /// is scored, in each form of the embeddings, and handed to `sink` at once, so that what is finished is
    /// kept.
    ///
    /// # Errors
    /// When the encoder, the store, the disk or `sink` fails, a form is wider than the embeddings, or the user
    /// interrupts.
    pub fn evaluate(
        self,
        suites: &[Suite],
        options: EvaluateOptions<'_>,
        progress: &mut dyn Progress,
        sink: &mut dyn FnMut(Evaluation) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let Self {
            spec,
            prompting,
            open,
        } = self;
        if let Some(dimension) = spec.dimension() {
            options.forms.check(dimension, &spec.name)?;
        }
        let start = Instant::now();
        let mut encoding = Duration::ZERO;
        let mut stores = Vec::new();
        let mut progress = NotingProgress {
            to: progress,
            encoded: 0,
            usage: None,
            notes: Vec::new(),
        };
        let same = prompting.prompts[0] == prompting.prompts[1];
        for side in 0..=usize::from(!same) {
            let prompt = &prompting.prompts[side];
            let mut texts = Vec::new();
            let scored = suites.iter().flat_map(|s| options.limited(s));
            for pair in scored.chain(options.forms.calibration_pairs()) {
                if same || side == 0 {
                    texts.push(pair.sentence1.as_str());
                }
                if same || side == 1 {
                    texts.push(pair.sentence2.as_str());
                }
            }
            let folder = options.cache.join(spec.key(prompt));
            let task = EncodeTask {
                texts: &texts,
                prompt,
                folder: &folder,
                options: EncodeOptions {
                    label: &spec.name,
                    ..options.encode
                },
            };
            let begun = Instant::now();
            let mut opening = Duration::ZERO;
            let store = engine::embed(task, &mut progress, &mut || {
                let begun = Instant::now();
                let encoder = spec.open(open);
                opening = begun.elapsed();
                encoder
            })
            .map_err(|error| located(error, suites, prompt))?;
            encoding += begun.elapsed().saturating_sub(opening);
            stores.push(store);
        }
        let about = stores[0].about();
        options
            .forms
            .check(stores[0].set().dimension(), &spec.name)?;
        let texts_encoded = progress.encoded;
        let speed = if options.speed {
            Some(Box::new(speed::measure(self, options.encode, progress.to)?))
        } else {
            None
        };
        for suite in suites {
            let sets = [
                stores[0].set(),
                stores.last().map_or(stores[0].set(), Store::set),
            ];
            for form in options.forms.all() {
                let run = FormRun {
                    form,
                    options: &options,
                    about: about.as_ref(),
                };
                let (mut record, scored) = self.score(suite, sets, run)?;
                // Of the whole embedding: a form of it is encoded in the same way.
                if form == Form::default() {
                    record.speed.clone_from(&speed);
                }
                let timing = Timing {
                    usage: progress.usage,
                    notes: progress.notes.clone(),
                    ..timing(start, encoding, texts_encoded)
                };
                sink(Evaluation {
                    record,
                    pairs: scored.pairs,
                    tokens: scored.tokens,
                    timing,
                    key: spec.key(""),
                })?;
            }
        }
        Ok(())
    }

    /// The record of one form on one suite, without its files.
    fn score(
        self,
        suite: &Suite,
        sets: [&EmbeddingSet; 2],
        run: FormRun<'_>,
    ) -> Result<(Record, Scored), RunError> {
        let FormRun {
            form,
            options,
            about,
        } = run;
        let spec = self.spec;
        let own = options.forms.calibration_pairs();
        let own = if own.is_empty() {
            options.limited(suite)
        } else {
            own
        };
        let quantizer = Quantizer::new(form, own, sets);
        let mut scored = self.score_pairs(suite, options.limited(suite), sets, &quantizer)?;
        let numbers = self::numbers(&scored.pairs, suite, true, &options.bootstrap);
        let mut record = assemble(numbers, &scored.pairs, suite, options);
        let mut facts = options.forms.facts(form, suite);
        if let Some(facts) = &mut facts {
            facts.bytes_per_embedding = form.embedding_dtype.bytes(form.width(sets[0].dimension()));
            if let Some(calibration) = &mut facts.calibration {
                calibration.embeddings = quantizer.embeddings;
            }
        }
        record.encoder = self.facts(form.width(sets[0].dimension()), facts);
        record.warnings.extend(quantizer.warning());
        // A baseline counts, and bits have few distances, so their ties say nothing; others hint at low
        // precision.
        let tied = record
            .tie_share
            .filter(|_| !form.embedding_dtype.is_binary());
        if let Some(share) = tied.filter(|share| *share > TIES_WORTH_SAYING) {
            record.warnings.push(format!(
                "{:.1} % of the pairs share their predicted score with another pair",
                100.0 * share
            ));
        }
        record
            .warnings
            .extend(inverted(&record, options.limited(suite)));
        record.truncated_share = scored.truncated_share;
        record.tokens_lost_share = scored.tokens_lost_share;
        record.warnings.append(&mut scored.warnings);
        let opened = about.iter().flat_map(|a| &a.warnings);
        let one_text_each = about.is_some_and(|a| a.one_text_each);
        record
            .warnings
            .extend(spec.warnings.iter().chain(opened).cloned());
        let variants = mark_trained(spec, suite, &mut scored.pairs);
        record.trained_on = score::trained_on(&scored.pairs, variants, &options.bootstrap);
        record
            .warnings
            .extend(record.trained_on.as_ref().map(TrainedOn::sentence));
        // A server makes batches of its own, unseen.
        record.batch = spec.endpoint.is_none().then_some(BatchFacts {
            batch_tokens: options.encode.batch_tokens,
            one_text_each,
        });
        Ok((record, scored))
    }

    /// Similarities and tokens of the pairs of a suite.
    fn score_pairs<'a>(
        self,
        suite: &Suite,
        pairs: &[Pair],
        sets: [&'a EmbeddingSet; 2],
        quantizer: &Quantizer,
    ) -> Result<Scored, RunError> {
        let cosine = if self.prompting.float32_cosine {
            Similarity::CosineF32
        } else {
            Similarity::Cosine
        };
        let scored = pairs
            .par_iter()
            .map(|pair| {
                let find = |set: &'a EmbeddingSet, text: &str| {
                    set.get(&text_key(text))
                        .ok_or_else(|| RunError::MissingEmbedding {
                            suite: suite.id.clone(),
                            id: pair.id.clone(),
                        })
                };
                let (a, first) = find(sets[0], &pair.sentence1)?;
                let (b, second) = find(sets[1], &pair.sentence2)?;
                let [score, dot, manhattan, euclidean] = quantizer.scores([a, b], cosine);
                let scored = ScoredPair {
                    score,
                    dot,
                    manhattan,
                    euclidean,
                    ..ScoredPair::unscored(pair, suite)
                };
                Ok((scored, first, second))
            })
            .collect::<Result<Vec<_>, RunError>>()?;
        let counts = || scored.iter().flat_map(|(_, a, b)| [*a, *b]);
        let truncated = counts().filter(|t| t.lost > 0).count();
        let unknown = counts().any(|t| t.lost == TokenCount::UNKNOWN);
        let kept: u64 = counts().map(|t| u64::from(t.kept)).sum();
        let lost: u64 = counts()
            .filter(|t| t.lost != TokenCount::UNKNOWN)
            .map(|t| u64::from(t.lost))
            .sum();
        let mut warnings = Vec::new();
        if truncated > 0 {
            let length = self.spec.longest_text();
            let tokens = if unknown {
                "how many tokens are lost is not known".to_owned()
            } else {
                format!(
                    "{:.1} % of all tokens are lost",
                    100.0 * lost as f64 / (kept + lost) as f64
                )
            };
            warnings.push(format!(
                "{truncated} of {} texts were longer than {length} and were truncated; {tokens}",
                2 * scored.len(),
            ));
        }
        // A server that counts no tokens still has its truncation watched.
        let tokenised = kept > 0 || self.spec.endpoint.is_some();
        let texts = 2 * scored.len();
        let tokens = scored
            .iter()
            .filter(|_| tokenised)
            .map(|(pair, a, b)| PairTokens {
                id: pair.id.clone(),
                tokens: [a.kept, b.kept],
                lost: [a.lost, b.lost],
            });
        Ok(Scored {
            tokens: tokens.collect(),
            pairs: scored.into_iter().map(|(pair, _, _)| pair).collect(),
            truncated_share: tokenised.then(|| truncated as f64 / texts as f64),
            tokens_lost_share: (kept > 0 && !unknown).then(|| lost as f64 / (kept + lost) as f64),
            warnings,
        })
    }

    /// What a record says of the encoder.
    fn facts(self, dimension: usize, form: Option<FormFacts>) -> EncoderFacts {
        let Self {
            spec,
            prompting,
            open,
        } = self;
        let of_role = |role: &str| -> Vec<&str> {
            spec.files
                .iter()
                .filter(|f| f.role.starts_with(role))
                .map(|f| f.sha256.as_str())
                .collect()
        };
        let one = |hashes: &[&str]| match hashes {
            [] => None,
            [one] => Some((*one).to_owned()),
            several => Some(korfinsts_base::fs::sha256(several.join("\n").as_bytes())),
        };
        let whole = if prompting.float32_cosine {
            "cosine in float32"
        } else {
            "cosine in float64"
        };
        let main = form.as_ref().and_then(|f| f.form.main_score());
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        EncoderFacts {
            name: spec.name.clone(),
            revision: spec.revision.clone(),
            backend: spec.backend.into(),
            backend_version: korfinsts_encoder::backend::find(spec.backend)
                .and_then(|b| (b.version)(open).ok())
                .or_else(|| some(&spec.backend_version)),
            sha256: one(&of_role("weights")),
            tokenizer_sha256: one(&of_role("tokenizer")),
            files: spec.files.clone(),
            architecture: Some(spec.architecture.clone()).filter(|a| !a.is_empty()),
            pooling: spec.decided(&Setting::Pooling).map(str::to_owned),
            dimension: Some(dimension).filter(|d| *d > 0),
            form,
            max_tokens: spec.token_limit(),
            dtype: some(&spec.dtype),
            device: some(&spec.device),
            protocol: prompting.protocol.clone(),
            prompts: prompting.prompts.clone(),
            similarity: format!(
                "{} (main score: {})",
                spec.similarity.name(),
                main.unwrap_or(whole)
            ),
            endpoint: spec.endpoint.as_ref().map(|e| EndpointFacts {
                url: e.url.clone(),
                dialect: e.dialect.name().into(),
                model: e.model.clone(),
                server: e.server.clone(),
                pinned: e.is_pinned(),
                fingerprint: e.fingerprint.clone(),
                texts_per_request: e.texts_per_request,
            }),
            decisions: spec.decisions.clone(),
        }
    }
}

/// The error of an encoder on one text, with the first pair that the text is of.
fn located(error: RunError, suites: &[Suite], prompt: &str) -> RunError {
    let RunError::Encoder(EncoderError::Text { text, source }) = error else {
        return error;
    };
    let bare = text.strip_prefix(prompt).unwrap_or(&text);
    for suite in suites {
        for pair in &suite.pairs {
            let sentences = [&pair.sentence1, &pair.sentence2];
            if let Some(side) = sentences.iter().position(|s| *s == bare) {
                return RunError::Pair {
                    suite: suite.id.clone(),
                    id: pair.id.clone(),
                    sentence: side + 1,
                    source: Box::new(EncoderError::Text { text, source }),
                };
            }
        }
    }
    EncoderError::Text { text, source }.into()
}

/// Evaluates a lexical baseline on a suite.
#[must_use]
pub fn baseline(baseline: &Baseline, suite: &Suite, options: EvaluateOptions<'_>) -> Evaluation {
    let start = Instant::now();
    let pairs: Vec<ScoredPair> = options
        .limited(suite)
        .par_iter()
        .map(|pair| {
            let score = baseline.score(&pair.sentence1, &pair.sentence2);
            ScoredPair {
                score: Some(score),
                ..ScoredPair::unscored(pair, suite)
            }
        })
        .collect();
    let numbers = self::numbers(&pairs, suite, false, &options.bootstrap);
    let record = assemble(numbers, &pairs, suite, &options);
    let record = Record {
        encoder: baseline_facts(baseline),
        ..record
    };
    Evaluation {
        record,
        pairs,
        tokens: Vec::new(),
        timing: timing(start, Duration::ZERO, 0),
        key: String::new(),
    }
}

/// A remark where the encoder and most lexical baselines order the pairs against the gold scores, each
/// surely: then a high gold score may mean that two texts differ.
fn inverted(record: &Record, pairs: &[Pair]) -> Option<String> {
    let rho = record.scores.cosine_spearman?;
    let [_, high] = record.interval.get("cosine_spearman")?;
    if *high >= 0.0 {
        return None;
    }
    let gold: Vec<f64> = pairs.iter().map(|p| p.gold).collect();
    let is_below = |baseline: &&Baseline| {
        let scores = pairs
            .par_iter()
            .map(|p| baseline.score(&p.sentence1, &p.sentence2));
        let scores: Vec<f64> = scores.collect();
        let interval = |rho| metric::spearman_interval(rho, pairs.len(), record.bootstrap.level);
        let rho = metric::spearman(&scores, &gold).ok();
        rho.is_some_and(|rho| rho <= -1.0 || interval(rho).is_some_and(|[_, high]| high < 0.0))
    };
    let below = BASELINES.iter().filter(is_below).count();
    (2 * below > BASELINES.len()).then(|| {
        format!(
            "the gold scores may be inverted: ρ is {rho:.4}, and below zero for {below} of {} lexical \
             baselines too; does a high score mean that two texts are alike?",
            BASELINES.len()
        )
    })
}

/// What a record says of a baseline.
pub(super) fn baseline_facts(baseline: &Baseline) -> EncoderFacts {
    EncoderFacts {
        name: baseline.name.into(),
        backend: LEXICAL.into(),
        protocol: "raw".into(),
        similarity: baseline.summary.into(),
        ..EncoderFacts::default()
    }
}

/// Numbers of scored pairs of a suite.
fn numbers(
    pairs: &[ScoredPair],
    suite: &Suite,
    breakdown: bool,
    bootstrap: &BootstrapOptions,
) -> Numbers {
    let asked = Asked {
        binary: suite.scale.kind == ScaleKind::Binary,
        breakdown,
    };
    score::numbers(pairs, asked, Some(bootstrap))
}

fn timing(start: Instant, encoding: Duration, texts_encoded: usize) -> Timing {
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0.0, |d| d.as_secs_f64());
    Timing {
        finished_at: now,
        elapsed_s: start.elapsed().as_secs_f64(),
        encode_s: encoding.as_secs_f64(),
        texts_encoded,
        encoded_by: None,
        usage: None,
        notes: Vec::new(),
    }
}

/// A progress that also notes what the timing file of the record holds.
struct NotingProgress<'a> {
    to: &'a mut dyn Progress,
    /// Texts that were encoded, without those of the store.
    encoded: usize,
    usage: Option<Usage>,
    notes: Vec<String>,
}

impl Progress for NotingProgress<'_> {
    fn start(&mut self, total: usize, missing: Amount) {
        self.to.start(total, missing);
    }
    fn advance(&mut self, done: Amount) {
        self.encoded += done.texts;
        self.to.advance(done);
    }
    fn finish(&mut self) {
        self.to.finish();
    }
    fn note(&mut self, line: &str) {
        self.notes.push(line.to_owned());
        self.to.note(line);
    }
    fn usage(&mut self, usage: &Usage) {
        // An endpoint counts for its whole life, so the last side's count holds the first's.
        self.usage = Some(*usage);
        self.to.usage(usage);
    }
}

/// One form of an evaluation.
#[derive(Clone, Copy)]
struct FormRun<'a> {
    form: Form,
    options: &'a EvaluateOptions<'a>,
    about: Option<&'a About>,
}

struct Scored {
    pairs: Vec<ScoredPair>,
    tokens: Vec<PairTokens>,
    truncated_share: Option<f64>,
    tokens_lost_share: Option<f64>,
    warnings: Vec<String>,
}

/// A record without its encoder.
fn assemble(
    numbers: Numbers,
    pairs: &[ScoredPair],
    suite: &Suite,
    options: &EvaluateOptions<'_>,
) -> Record {
    let limit = options.limit.filter(|n| *n < suite.pairs.len());
    let mut record = numbers.record();
    record.warnings.extend(suite.warnings.iter().cloned());
    if let Some(n) = limit {
        record.warnings.push(format!(
            "only the first {n} of {} pairs were scored",
            suite.pairs.len()
        ));
    }
    Record {
        schema_version: SCHEMA_VERSION,
        suite: SuiteFacts::of(suite, limit),
        n_pairs: pairs.len(),
        bootstrap: BootstrapFacts::of(&options.bootstrap),
        harness: Harness::this(),
        ..record
    }
}

/// Marks the pairs of variants of triplets that a model was trained on, and counts the variants. `pairs`
/// are the suite's first pairs, scored.
fn mark_trained(spec: &EncoderSpec, suite: &Suite, pairs: &mut [ScoredPair]) -> usize {
    let mut variants = BTreeSet::new();
    for (scored, pair) in pairs.iter_mut().zip(&suite.pairs) {
        let variant = pair.variant_among(&spec.trained_variants);
        scored.trained = variant.is_some();
        variants.extend(variant);
    }
    variants.len()
}
