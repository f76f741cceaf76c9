//! Batches that run out of memory are halved, with a note, and the run continues.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use korfinsts_encoder::{Embeddings, Encoder, EncoderError, PreparedText, TokenCount};

/// The largest batch that may still be tried in this run, shared by its lanes.
#[derive(Debug)]
pub(super) struct Halving {
    /// Padded tokens that are tried at most.
    tokens: AtomicUsize,
    /// Lanes encode together, except one whose single text did not fit while others ran.
    turn: RwLock<()>,
    notes: Mutex<Vec<String>>,
}

impl Default for Halving {
    fn default() -> Self {
        Self {
            tokens: AtomicUsize::new(usize::MAX),
            turn: RwLock::new(()),
            notes: Mutex::default(),
        }
    }
}

type Counted = (Embeddings, Vec<TokenCount>);

impl Halving {
    /// Encodes a batch, in halves where it does not fit into memory, and a text that does not fit
    /// alone once more while no other lane encodes.
    ///
    /// # Errors
    /// When the encoder fails otherwise, or one text alone does not fit.
    pub fn encode(
        &self,
        encoder: &dyn Encoder,
        texts: &[&PreparedText],
    ) -> Result<Counted, EncoderError> {
        let width = texts.iter().map(|t| t.cost()).max().unwrap_or(0);
        let tokens = texts.len() * width;
        if texts.len() > 1 && tokens > self.tokens.load(Ordering::Relaxed) {
            return self.halves(encoder, texts);
        }
        let result = {
            // A lane that panicked holds nothing that another needs.
            let _together = self.turn.read().unwrap_or_else(PoisonError::into_inner);
            encoder.encode_counted(texts)
        };
        match result {
            Err(error) if error.is_out_of_memory() => {
                if texts.len() > 1 {
                    // At least one text of this width is always tried.
                    let half = (tokens / 2).max(width);
                    self.tokens.fetch_min(half, Ordering::Relaxed);
                    self.note(format!(
                        "out of memory with {} texts of up to {width} tokens; going on with at \
                         most {half} padded tokens a batch ({error})",
                        texts.len()
                    ));
                    return self.halves(encoder, texts);
                }
                self.note(format!(
                    "out of memory with one text of {width} tokens; trying it alone ({error})"
                ));
                let _alone = self.turn.write().unwrap_or_else(PoisonError::into_inner);
                encoder.encode_counted(texts).map_err(too_large)
            }
            result => result,
        }
    }

    fn halves(
        &self,
        encoder: &dyn Encoder,
        texts: &[&PreparedText],
    ) -> Result<Counted, EncoderError> {
        let (a, b) = texts.split_at(texts.len() / 2);
        let (mut embeddings, mut tokens) = self.encode(encoder, a)?;
        let (more, counts) = self.encode(encoder, b)?;
        embeddings.values.extend(more.values);
        tokens.extend(counts);
        Ok((embeddings, tokens))
    }

    fn note(&self, line: String) {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    /// Notes since the last call.
    pub fn notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds to the error of one text that does not fit alone a hint that helps.
fn too_large(error: EncoderError) -> EncoderError {
    match error {
        EncoderError::Runtime {
            backend, reason, ..
        } => EncoderError::Runtime {
            backend,
            reason,
            hint: Some(
                "one text alone does not fit: shorten it with `--max-tokens N`, take `--dtype \
                 bfloat16` on a GPU, or a machine with more memory"
                    .into(),
            ),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An encoder with room for so many padded tokens, all lanes together.
    struct Small {
        room: usize,
        used: AtomicUsize,
        refused: AtomicUsize,
    }

    impl Small {
        fn new(room: usize) -> Self {
            Self {
                room,
                used: AtomicUsize::new(0),
                refused: AtomicUsize::new(0),
            }
        }
    }

    impl Encoder for Small {
        fn prepare(&self, text: &str, _prompt: &str) -> Result<PreparedText, EncoderError> {
            Ok(PreparedText {
                text: text.into(),
                ids: text.bytes().map(u32::from).collect(),
                ..PreparedText::default()
            })
        }

        fn encode(&self, batch: &[&PreparedText]) -> Result<Embeddings, EncoderError> {
            let width = batch.iter().map(|t| t.cost()).max().unwrap_or(0);
            let need = batch.len() * width;
            let before = self.used.fetch_add(need, Ordering::SeqCst);
            // Long enough for lanes to meet.
            std::thread::yield_now();
            let fits = before + need <= self.room;
            self.used.fetch_sub(need, Ordering::SeqCst);
            if !fits {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Err(EncoderError::Runtime {
                    backend: "test",
                    reason: "CUDA_ERROR_OUT_OF_MEMORY".into(),
                    hint: None,
                });
            }
            Ok(Embeddings {
                values: batch.iter().map(|t| t.ids.len() as f32).collect(),
                dimension: 1,
            })
        }
    }

    fn prepared(encoder: &Small, lengths: &[usize]) -> Vec<PreparedText> {
        lengths
            .iter()
            .map(|n| encoder.prepare(&"x".repeat(*n), "").expect("prepared"))
            .collect()
    }

    #[test]
    fn a_batch_that_does_not_fit_is_halved_until_it_does_in_order() {
        let encoder = Small::new(100);
        let halving = Halving::default();
        let texts = prepared(&encoder, &[40, 39, 38, 37, 36, 35, 34, 33]);
        let texts: Vec<&PreparedText> = texts.iter().collect();
        let (embeddings, tokens) = halving.encode(&encoder, &texts).expect("encoded");
        assert_eq!(
            embeddings.values,
            [40.0, 39.0, 38.0, 37.0, 36.0, 35.0, 34.0, 33.0]
        );
        assert_eq!(tokens.iter().map(|t| t.kept).sum::<u32>(), 292);
        let notes = halving.notes();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("8 texts of up to 40 tokens"), "{notes:?}");
        assert!(notes[1].contains("at most 80 padded tokens"), "{notes:?}");
        // What was learnt is kept: the next batch is cut before it is tried.
        let refused = encoder.refused.load(Ordering::SeqCst);
        halving.encode(&encoder, &texts).expect("encoded");
        assert_eq!(encoder.refused.load(Ordering::SeqCst), refused);
        assert!(halving.notes().is_empty());
    }

    #[test]
    fn one_text_that_never_fits_is_an_error_that_says_so() {
        let encoder = Small::new(10);
        let texts = prepared(&encoder, &[40, 4]);
        let texts: Vec<&PreparedText> = texts.iter().collect();
        let error = Halving::default()
            .encode(&encoder, &texts)
            .expect_err("too large");
        assert!(error.is_out_of_memory());
        assert!(error.hint().expect("a hint").contains("--max-tokens"));
    }

    #[test]
    fn lanes_that_do_not_fit_together_fit_one_after_the_other() {
        let encoder = Small::new(50);
        let halving = Halving::default();
        let texts = prepared(&encoder, &[50; 8]);
        std::thread::scope(|scope| {
            for lane in texts.chunks(2) {
                let (encoder, halving) = (&encoder, &halving);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let lane: Vec<&PreparedText> = lane.iter().collect();
                        let (embeddings, _) = halving.encode(encoder, &lane).expect("fits alone");
                        assert_eq!(embeddings.values, [50.0, 50.0]);
                    }
                });
            }
        });
    }

    #[test]
    fn other_failures_are_not_tried_again() {
        struct Broken;
        impl Encoder for Broken {
            fn prepare(&self, _: &str, _: &str) -> Result<PreparedText, EncoderError> {
                Ok(PreparedText::default())
            }
            fn encode(&self, _: &[&PreparedText]) -> Result<Embeddings, EncoderError> {
                Err(EncoderError::Runtime {
                    backend: "test",
                    reason: "device lost".into(),
                    hint: None,
                })
            }
        }
        let texts = [PreparedText::default(), PreparedText::default()];
        let texts: Vec<&PreparedText> = texts.iter().collect();
        let halving = Halving::default();
        assert!(halving.encode(&Broken, &texts).is_err());
        assert!(halving.notes().is_empty());
    }
}
