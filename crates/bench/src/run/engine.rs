//! Encoding: the texts that a store lacks, each once, in batches of bounded tokens.
//!
//! One thread tokenises windows of texts and cuts them into batches; as many threads as the
//! encoder has lanes encode them; the calling thread writes each finished batch to the store.
//! An embedding is a function of its text alone, so order and batching never change a score.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use rayon::prelude::*;

use super::RunError;
use super::halving::Halving;
use super::store::{About, EmbeddingSet, Store, StoreEntry, TextKey, text_key};
use korfinsts_encoder::{
    BatchLimits, Embeddings, Encoder, EncoderError, PreparedText, TokenCount, Usage,
};

/// Padded tokens per batch: best or within noise of it for short and long texts.
pub const BATCH_TOKENS: usize = 512;
/// Texts tokenised ahead of their encoding. The first window is small so that encoding starts.
const FIRST_WINDOW: usize = 256;
const WINDOW: usize = 4096;

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions<'a> {
    /// Padded tokens per batch at most; a longer text is a batch of its own.
    pub batch_tokens: usize,
    /// Whether embeddings of earlier runs are used.
    pub resume: bool,
    /// Name of the encoder, for people who list the store.
    pub label: &'a str,
    /// Set by the edge when the user wants to stop.
    pub stop: &'a AtomicBool,
}

/// Observes the encoding of a run. Calls come from one thread.
pub trait Progress {
    /// `missing` of `total` different texts are to be encoded; the others were found in the store.
    fn start(&mut self, total: usize, missing: Amount);
    /// A batch was encoded and kept.
    fn advance(&mut self, done: Amount);
    /// Encoding ended, well or not.
    fn finish(&mut self);
    /// Something that a user should know happened, and the run goes on.
    fn note(&mut self, _line: &str) {}
    /// What a server was asked in this run; called once, before the end.
    fn usage(&mut self, _usage: &Usage) {}
}

/// An amount of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Texts.
    pub texts: usize,
    /// Their size in bytes of UTF-8, without prompts: the time that a text takes goes with it.
    pub bytes: usize,
}

/// A progress that nobody watches.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&mut self, _total: usize, _missing: Amount) {}
    fn advance(&mut self, _done: Amount) {}
    fn finish(&mut self) {}
}

/// What encoding hands to the calling thread.
pub(super) enum Event<'a> {
    /// A line for the user.
    Note(&'a str),
    /// A batch was encoded.
    Encoded(&'a Batch, &'a Embeddings, &'a [TokenCount]),
}

/// One batch, cut and tokenised.
pub(super) struct Batch {
    keys: Vec<TextKey>,
    texts: Vec<PreparedText>,
}

/// What a lane sends back.
type Encoded = Result<(Batch, Embeddings, Vec<TokenCount>), EncoderError>;

/// Texts to encode, and where their embeddings are kept.
#[derive(Debug, Clone, Copy)]
pub struct EncodeTask<'a> {
    /// Texts without their prompt; one that occurs twice is encoded once.
    pub texts: &'a [&'a str],
    /// Prompt of every text.
    pub prompt: &'a str,
    /// Folder of the store of the encoder with this prompt.
    pub folder: &'a Path,
    /// How to encode.
    pub options: EncodeOptions<'a>,
}

/// Embeddings of the texts of a task: those in its store are read, the others encoded and kept
/// there. `open` is called only when a text is missing.
///
/// # Errors
/// When the store, the encoder or the disk fails, or when `options.stop` was set; every batch
/// that was finished by then is kept.
pub fn embed(
    task: EncodeTask<'_>,
    progress: &mut dyn Progress,
    open: &mut dyn FnMut() -> Result<Box<dyn Encoder>, EncoderError>,
) -> Result<Store, RunError> {
    let EncodeTask { texts, options, .. } = task;
    let mut store = Store::open(task.folder, options.resume)?;
    let missing = missing(texts, store.set());
    let total = texts
        .iter()
        .map(|t| text_key(t))
        .collect::<HashSet<_>>()
        .len();
    let size = Amount {
        texts: missing.len(),
        bytes: missing.iter().map(|(_, text)| text.len()).sum(),
    };
    progress.start(total, size);
    if missing.is_empty() {
        progress.finish();
        return Ok(store);
    }
    let encoder = open()?;
    let about = About {
        encoder: options.label.to_owned(),
        one_text_each: encoder.depends_on_batch(),
        warnings: encoder.warnings().to_vec(),
    };
    store.set_about(&about)?;
    let result = task.encode(&missing, encoder.as_ref(), &mut |event| {
        let (batch, embeddings, tokens) = match event {
            Event::Note(line) => {
                progress.note(line);
                return Ok(());
            }
            Event::Encoded(batch, embeddings, tokens) => (batch, embeddings, tokens),
        };
        keep(batch, embeddings, tokens, &mut store)?;
        let bytes = |text: &PreparedText| text.text.len().saturating_sub(task.prompt.len());
        progress.advance(Amount {
            texts: batch.texts.len(),
            bytes: batch.texts.iter().map(bytes).sum(),
        });
        Ok(())
    });
    if let Some(usage) = encoder.usage() {
        progress.usage(&usage);
    }
    progress.finish();
    result?;
    if options.stop.load(Ordering::Relaxed) {
        return Err(RunError::Interrupted {
            encoded: total - self::missing(texts, store.set()).len(),
            total,
        });
    }
    Ok(store)
}

/// Unique texts that the set lacks, the longest first, so that memory is at its highest at the
/// start and lanes end together.
fn missing<'a>(texts: &[&'a str], set: &EmbeddingSet) -> Vec<(TextKey, &'a str)> {
    let mut seen = HashSet::with_capacity(texts.len());
    let mut missing: Vec<(TextKey, &str)> = texts
        .iter()
        .map(|t| (text_key(t), *t))
        .filter(|(key, _)| !set.contains(key) && seen.insert(*key))
        .collect();
    missing.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.1.cmp(b.1)));
    missing
}

impl EncodeTask<'_> {
    /// Encodes texts in their order, and hands each batch to `sink` on the calling thread.
    pub(super) fn encode(
        &self,
        missing: &[(TextKey, &str)],
        encoder: &dyn Encoder,
        sink: &mut dyn FnMut(Event<'_>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let Self {
            prompt, options, ..
        } = *self;
        let lanes = encoder.lanes().max(1);
        let limits = Limits::new(encoder, options.batch_tokens);
        let halving = Halving::default();
        let over = AtomicBool::new(false);
        let ended = &|| over.load(Ordering::Relaxed) || options.stop.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            let (to_lanes, batches) = mpsc::sync_channel::<Batch>(lanes * 2);
            let (to_writer, results) = mpsc::sync_channel::<Encoded>(lanes * 2);
            // Shared so that it goes away with the last lane, and the tokeniser then ends too.
            let batches = Arc::new(Mutex::new(batches));
            let failed = to_writer.clone();
            scope.spawn(move || {
                let mut rest = missing;
                let mut window = FIRST_WINDOW;
                while !rest.is_empty() && !ended() {
                    let (now, later) = rest.split_at(window.min(rest.len()));
                    (rest, window) = (later, WINDOW);
                    match cut(now, prompt, encoder, limits) {
                        Ok(cut) => {
                            for batch in cut {
                                if to_lanes.send(batch).is_err() {
                                    return;
                                }
                            }
                        }
                        Err(error) => {
                            let _ = failed.send(Err(error));
                            return;
                        }
                    }
                }
            });
            for _ in 0..lanes {
                let (to_writer, batches) = (to_writer.clone(), Arc::clone(&batches));
                let halving = &halving;
                scope.spawn(move || {
                    loop {
                        let next = batches.lock().map(|queue| queue.recv());
                        let Ok(Ok(batch)) = next else { return };
                        // After the end the queue is emptied, so that the tokeniser is not left
                        // waiting on a full one.
                        if ended() {
                            continue;
                        }
                        let texts: Vec<&PreparedText> = batch.texts.iter().collect();
                        let result = halving
                            .encode(encoder, &texts)
                            .map(|(embeddings, tokens)| (batch, embeddings, tokens));
                        if to_writer.send(result).is_err() {
                            return;
                        }
                    }
                });
            }
            drop((to_writer, batches));
            let mut outcome = Ok(());
            for result in results {
                for line in halving.notes() {
                    let _ = sink(Event::Note(&line));
                }
                let kept =
                    result
                        .map_err(RunError::from)
                        .and_then(|(batch, embeddings, tokens)| {
                            sink(Event::Encoded(&batch, &embeddings, &tokens))
                        });
                // After a failure, what other lanes finish meanwhile was paid for: it is kept where it can be.
                if outcome.is_ok() && kept.is_err() {
                    over.store(true, Ordering::Relaxed);
                    outcome = kept;
                }
            }
            outcome
        })
    }
}

/// Writes a batch to the store.
fn keep(
    batch: &Batch,
    embeddings: &Embeddings,
    tokens: &[TokenCount],
    store: &mut Store,
) -> Result<(), RunError> {
    store.append(StoreEntry {
        keys: &batch.keys,
        tokens,
        values: &embeddings.values,
        dimension: embeddings.dimension,
    })
}

/// What a batch may hold: the user's tokens, and what the encoder says of itself.
#[derive(Debug, Clone, Copy)]
struct Limits {
    tokens: usize,
    own: BatchLimits,
}

impl Limits {
    fn new(encoder: &dyn Encoder, batch_tokens: usize) -> Self {
        let mut own = encoder.limits();
        if encoder.depends_on_batch() {
            own.texts = 1;
        }
        let tokens = match own.preferred_tokens {
            // The general default is no wish of the user's.
            Some(preferred) if batch_tokens == BATCH_TOKENS => preferred,
            _ => batch_tokens,
        };
        Self { tokens, own }
    }

    /// Whether `rows` texts of at most `width` tokens are one batch; one text always is.
    fn allow(&self, rows: usize, width: usize) -> bool {
        let fits = self.own.memory.is_none_or(|m| m.fits(rows, width));
        rows <= 1 || rows <= self.own.texts && rows * width <= self.tokens && fits
    }
}

/// Tokenises a window of texts and cuts it into batches of bounded padded tokens.
fn cut(
    window: &[(TextKey, &str)],
    prompt: &str,
    encoder: &dyn Encoder,
    limits: Limits,
) -> Result<Vec<Batch>, EncoderError> {
    let mut prepared = window
        .par_iter()
        .map(|(key, text)| Ok((*key, encoder.prepare(text, prompt)?)))
        .collect::<Result<Vec<_>, EncoderError>>()?;
    prepared.sort_by_key(|(_, text)| std::cmp::Reverse(text.cost()));
    let mut batches: Vec<Batch> = Vec::new();
    let mut width = 0;
    for (key, text) in prepared {
        match batches.last_mut() {
            Some(batch) if limits.allow(batch.texts.len() + 1, width) => {
                batch.keys.push(key);
                batch.texts.push(text);
            }
            _ => {
                width = text.cost();
                batches.push(Batch {
                    keys: vec![key],
                    texts: vec![text],
                });
            }
        }
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use korfinsts_base::fs;

    /// An encoder whose embedding is the bytes' sum and count; it fails or stops on request.
    #[derive(Default)]
    struct Fake {
        fails_on: Option<&'static str>,
        alone: bool,
        /// Padded tokens that one batch has room for.
        room: Option<usize>,
        limits: BatchLimits,
        /// The user has stopped the run.
        stopped: bool,
    }

    impl Encoder for Fake {
        fn prepare(&self, text: &str, prompt: &str) -> Result<PreparedText, EncoderError> {
            let text = format!("{prompt}{text}");
            let ids = text.bytes().map(u32::from).collect();
            Ok(PreparedText {
                text,
                ids,
                prompt_tokens: 0,
                lost_tokens: 2,
            })
        }

        fn encode(&self, batch: &[&PreparedText]) -> Result<Embeddings, EncoderError> {
            assert!(
                !self.alone || batch.len() == 1,
                "a batch-dependent encoder gets one text"
            );
            let width = batch.iter().map(|t| t.cost()).max().unwrap_or(0);
            let fits = self
                .limits
                .memory
                .is_none_or(|m| m.fits(batch.len(), width));
            assert!(batch.len() == 1 || fits && batch.len() <= self.limits.texts);
            if self.room.is_some_and(|room| batch.len() * width > room) {
                return Err(EncoderError::Runtime {
                    backend: "fake",
                    reason: "CUDA_ERROR_OUT_OF_MEMORY".into(),
                    hint: None,
                });
            }
            let mut values = Vec::new();
            for text in batch {
                if self.fails_on.is_some_and(|t| t == text.text) {
                    return Err(EncoderError::NotFinite {
                        value: f32::NAN,
                        dimension: 1,
                    });
                }
                values.push(text.ids.iter().sum::<u32>() as f32);
                values.push(text.ids.len() as f32);
            }
            Ok(Embeddings {
                values,
                dimension: 2,
            })
        }

        fn lanes(&self) -> usize {
            3
        }

        fn depends_on_batch(&self) -> bool {
            self.alone
        }

        fn limits(&self) -> BatchLimits {
            self.limits
        }
    }

    fn texts() -> Vec<String> {
        (0..700)
            .map(|i| "가나다 abc ".repeat(i % 37) + &(i / 2).to_string())
            .collect()
    }

    fn run(
        folder: &Path,
        fake: fn() -> Fake,
        batch_tokens: usize,
        progress: &mut dyn Progress,
    ) -> Result<Store, RunError> {
        let texts = texts();
        let fake = fake();
        let task = EncodeTask {
            texts: &texts.iter().map(String::as_str).collect::<Vec<_>>(),
            prompt: "p:",
            folder,
            options: EncodeOptions {
                batch_tokens,
                resume: true,
                label: "fake",
                stop: &AtomicBool::new(fake.stopped),
            },
        };
        let mut fake = Some(fake);
        embed(task, progress, &mut || {
            Ok(Box::new(fake.take().expect("opened once")))
        })
    }

    fn assert_complete(store: &Store) {
        for text in texts() {
            let (embedding, tokens) = store.set().get(&text_key(&text)).expect("encoded");
            assert_eq!(embedding[1] as usize, text.len() + 2);
            assert_eq!(
                tokens,
                TokenCount {
                    kept: text.len() as u32 + 2,
                    lost: 2
                }
            );
        }
    }

    #[derive(Default)]
    struct Count {
        missing: Amount,
        texts: usize,
        bytes: usize,
        finished: usize,
        notes: Vec<String>,
    }

    impl Progress for Count {
        fn start(&mut self, _total: usize, missing: Amount) {
            self.missing = missing;
        }
        fn advance(&mut self, done: Amount) {
            self.texts += done.texts;
            self.bytes += done.bytes;
        }
        fn finish(&mut self) {
            self.finished += 1;
        }
        fn note(&mut self, line: &str) {
            self.notes.push(line.to_owned());
        }
    }

    #[test]
    fn out_of_memory_halves_the_batch_and_goes_on_and_says_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fake = || Fake {
            room: Some(600),
            ..Fake::default()
        };
        let mut count = Count::default();
        let store = run(folder.path(), fake, 50_000, &mut count).expect("encoded");
        assert_complete(&store);
        assert!(!count.notes.is_empty());
        assert!(
            count.notes.len() < 40,
            "what was learnt is kept: {:?}",
            count.notes
        );
        for note in &count.notes {
            assert!(note.contains("out of memory with"), "{note}");
        }
    }

    #[test]
    fn batches_are_bounded_by_memory_and_by_texts_as_well_as_by_tokens() {
        for limits in [
            BatchLimits {
                memory: Some(korfinsts_encoder::Memory {
                    budget: 100_000,
                    per_token: 100,
                    per_pair: 2,
                }),
                ..BatchLimits::default()
            },
            BatchLimits {
                texts: 3,
                ..BatchLimits::default()
            },
        ] {
            let encoder = Fake {
                limits,
                ..Fake::default()
            };
            let texts = texts();
            let window: Vec<(TextKey, &str)> =
                texts.iter().map(|t| (text_key(t), t.as_str())).collect();
            let cut = cut(&window, "p:", &encoder, Limits::new(&encoder, 1_000_000));
            let batches = cut.expect("cut");
            assert!(batches.len() > 10);
            assert_eq!(
                batches.iter().map(|b| b.texts.len()).sum::<usize>(),
                texts.len()
            );
            for batch in &batches {
                let texts: Vec<&PreparedText> = batch.texts.iter().collect();
                encoder.encode(&texts).expect("within the limits");
            }
        }
        let preferred = Fake {
            limits: BatchLimits {
                preferred_tokens: Some(8192),
                ..BatchLimits::default()
            },
            ..Fake::default()
        };
        assert_eq!(Limits::new(&preferred, BATCH_TOKENS).tokens, 8192);
        assert_eq!(Limits::new(&preferred, 64).tokens, 64);
    }

    #[test]
    fn each_unique_text_is_encoded_once_and_found_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let unique = texts().into_iter().collect::<HashSet<_>>().len();
        for (batch_tokens, left) in [(512, unique), (512, 0)] {
            let mut count = Count::default();
            let store = run(folder.path(), Fake::default, batch_tokens, &mut count);
            assert_complete(&store.expect("encoded"));
            assert_eq!(
                (count.missing.texts, count.texts, count.finished),
                (left, left, 1)
            );
            assert_eq!(count.missing.bytes, count.bytes);
        }
    }

    #[test]
    fn batching_does_not_change_an_embedding() {
        for batch_tokens in [1, 64, 100_000] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let store = run(folder.path(), Fake::default, batch_tokens, &mut Silent);
            assert_complete(&store.expect("encoded"));
        }
    }

    #[test]
    fn an_encoder_that_depends_on_its_batch_gets_one_text_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fake = || Fake {
            alone: true,
            ..Fake::default()
        };
        assert_complete(&run(folder.path(), fake, 512, &mut Silent).expect("encoded"));
    }

    #[test]
    fn a_failure_keeps_what_was_encoded_and_the_next_run_goes_on() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fake = || Fake {
            fails_on: Some("p:333"),
            ..Fake::default()
        };
        let failed = run(folder.path(), fake, 16, &mut Silent);
        assert!(matches!(
            failed,
            Err(RunError::Encoder(EncoderError::NotFinite { .. }))
        ));
        let kept = Store::open(folder.path(), true)
            .expect("opened")
            .set()
            .len();
        assert!(kept > 0);
        let mut count = Count::default();
        let store = run(folder.path(), Fake::default, 512, &mut count).expect("encoded");
        assert_complete(&store);
        assert!(count.texts > 0 && count.texts < store.set().len());
    }

    #[test]
    fn a_stop_ends_the_run_as_interrupted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fake = || Fake {
            stopped: true,
            ..Fake::default()
        };
        let stopped = run(folder.path(), fake, 512, &mut Silent);
        assert!(matches!(
            stopped,
            Err(RunError::Interrupted { encoded: 0, .. })
        ));
        assert!(!fs::exists(&folder.path().join("000000.kfe")));
    }
}
