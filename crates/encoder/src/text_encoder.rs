//! An encoder out of its parts: tokenizer, network, and what follows the network.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::backend::static_embedding;
use super::cost::Cost;
use super::family::{self, Family};
use super::llm2vec::Llm2Vec;
use super::modules::{self, Module};
use super::network::{FixedShape, TokenBatch};
use super::padding::{self, Batching};
use super::spec::WeightsFormat;
use super::tokenizer::{EncodeOptions, Tokenizer};
use super::width::Widths;
use super::{
    BatchLimits, Embeddings, Encoder, EncoderError, EncoderSpec, Memory, Network, PreparedText,
    memory,
};

/// Padded tokens of a batch off the CPU, where the user names no number.
const DEVICE_TOKENS: usize = 16_384;

/// A model that was opened: texts to embeddings.
#[expect(
    clippy::struct_excessive_bools,
    reason = "settings of a model that do not depend on each other"
)]
pub struct TextEncoder {
    tokenizer: Arc<Tokenizer>,
    network: Box<dyn Network>,
    modules: Vec<Module>,
    widths: Widths,
    output: Option<String>,
    /// Whether embeddings are rounded to float16.
    rounds_to_half: bool,
    max_tokens: usize,
    batching: Batching,
    /// Sizes of a batch that the network takes no other than.
    fixed: FixedShape,
    warnings: Vec<String>,
    append_token: Option<u32>,
    add_special_tokens: bool,
    drop_unknown: bool,
    max_characters: Option<usize>,
    leave_prompt_out: bool,
    llm2vec: Option<Llm2Vec>,
    memory: Option<Memory>,
    cost: Option<Cost>,
    /// Padded tokens of a batch that keep a device busy; `None` on the CPU.
    preferred_tokens: Option<usize>,
    /// Length of each prompt in tokens; a run has a handful.
    prompt_tokens: Mutex<HashMap<String, usize>>,
    /// What is known of its architecture.
    family: &'static Family,
}

impl std::fmt::Debug for TextEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextEncoder")
            .field("tokenizer", &self.tokenizer)
            .finish_non_exhaustive()
    }
}

impl TextEncoder {
    /// Puts a network behind the tokenizer of its specification.
    ///
    /// # Errors
    /// When the specification holds no tokenizer; where it is strict, when the graph has a fixed length
    /// and no mask.
    pub fn new(spec: &EncoderSpec, network: Box<dyn Network>) -> Result<Self, EncoderError> {
        let tokenizer = spec
            .tokenizer
            .clone()
            .ok_or_else(|| EncoderError::Missing {
                folder: spec.folder.clone(),
                what: "the tokenizer".into(),
                hint: None,
            })?;
        // The weights are in memory by now: what is free is free for batches.
        let free = match spec.device.as_str() {
            "cpu" => memory::free_bytes(),
            _ => network.free_on_device(),
        };
        let memory = free.and_then(|free| memory::of_batch(spec, free, network.lanes()));
        let fixed = network.fixed();
        let cost = network
            .multiplied()
            .and_then(|n| Cost::new(n, &spec.config));
        let mut encoder = Self {
            cost,
            tokenizer,
            batching: Batching {
                side: spec.padding_side,
                pad_id: spec.pad_id,
                one_text_each: network.depends_on_batch() || fixed.texts == Some(1),
            },
            fixed,
            warnings: Vec::new(),
            network,
            modules: spec.modules.clone(),
            widths: spec.widths.clone(),
            output: spec.onnx_output.clone(),
            rounds_to_half: static_embedding::rounds_to_half(spec),
            max_tokens: spec.max_tokens,
            append_token: spec.append_token,
            add_special_tokens: spec.add_special_tokens,
            drop_unknown: spec.drop_unknown,
            max_characters: spec.max_characters,
            leave_prompt_out: spec.leaves_prompt_out(),
            llm2vec: spec.llm2vec.clone(),
            memory,
            preferred_tokens: (spec.device != "cpu").then_some(DEVICE_TOKENS),
            prompt_tokens: Mutex::default(),
            family: family::of(&spec.architecture),
        };
        if spec.format == WeightsFormat::Onnx {
            encoder.settle(spec)?;
        }
        Ok(encoder)
    }

    /// Decides how the texts of a graph become batches.
    fn settle(&mut self, spec: &EncoderSpec) -> Result<(), EncoderError> {
        let alone = self.batching.one_text_each;
        if alone && self.fixed.texts == Some(1) {
            self.warnings.push(
                "each text is a batch of its own, which is slower: the graph takes one text at a \
                 time"
                    .into(),
            );
        }
        if alone && self.fixed.tokens.is_none() {
            // Nothing is ever padded.
            return Ok(());
        }
        let [a, b] = padding::TEXTS.map(|text| self.prepare(text, ""));
        let (a, b) = (a?, b?);
        let encode = |batching: Batching| {
            if !batching.one_text_each {
                return self.batch(&[&a, &b], batching);
            }
            let mut both = self.batch(&[&a], batching)?;
            both.values.extend(self.batch(&[&b], batching)?.values);
            Ok(both)
        };
        let dtype = spec.dtype.as_str();
        let (batching, found) = padding::decide(self.batching, dtype, encode);
        let fills = match (self.fixed.tokens, b.ids.get(b.ids.len() / 2)) {
            (Some(_), Some(id)) => padding::fills(batching, *id, dtype, encode),
            _ => None,
        };
        if let (Some(what), true) = (&fills, spec.strict) {
            return Err(EncoderError::Unsupported {
                what: what.clone(),
                hint: Some(
                    "export the graph with an input `attention_mask`, or leave `--strict` out"
                        .into(),
                ),
            });
        }
        self.batching = batching;
        self.warnings.extend(found.into_iter().chain(fills));
        Ok(())
    }

    /// Embeddings of a batch, which is padded to the sizes that the network takes.
    fn batch(
        &self,
        texts: &[&PreparedText],
        batching: Batching,
    ) -> Result<Embeddings, EncoderError> {
        let rows = self.fixed.texts.unwrap_or(0).max(texts.len());
        let longest = PreparedText {
            ids: vec![batching.pad_id; self.fixed.tokens.unwrap_or(0)],
            ..PreparedText::default()
        };
        let mut filled: Vec<&PreparedText> = texts.iter().copied().cycle().take(rows).collect();
        filled.extend(self.fixed.tokens.map(|_| &longest));
        let (pad_id, prompt_out) = (batching.pad_id, self.leave_prompt_out);
        let tokens = TokenBatch::pad(&filled, pad_id, batching.side, prompt_out).first(rows);
        let output = self.network.forward(&tokens)?;
        let modes = match self.modules.first() {
            Some(Module::Pooling { modes, .. }) => modes.len().max(1),
            _ => 1,
        };
        self.widths
            .check(output.width(modes), self.output.as_deref())?;
        let mut embeddings = modules::apply(&self.modules, output, &tokens)?;
        if self.rounds_to_half {
            for value in &mut embeddings.values {
                *value = half::f16::from_f32(*value).to_f32();
            }
        }
        embeddings
            .values
            .truncate(texts.len() * embeddings.dimension);
        modules::check_finite(&embeddings).map_err(|(row, error)| error.of(&texts[row].text))?;
        Ok(embeddings)
    }

    fn prompt_tokens(&self, options: &EncodeOptions<'_>) -> Result<usize, EncoderError> {
        if options.prompt.is_empty() {
            return Ok(0);
        }
        // A panic while the lock was held leaves the map as it was.
        let known = |map: &Mutex<HashMap<String, usize>>| {
            let map = map.lock().unwrap_or_else(PoisonError::into_inner);
            map.get(options.prompt).copied()
        };
        if let Some(n) = known(&self.prompt_tokens) {
            return Ok(n);
        }
        // White space at the end of a prompt is no part of it in the pooling.
        let measured = if self.family.means_behind_prompt {
            options.prompt.trim_end()
        } else {
            options.prompt
        };
        let n = self.tokenizer.prompt_tokens(&EncodeOptions {
            prompt: measured,
            ..*options
        })?;
        self.prompt_tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(options.prompt.to_owned(), n);
        Ok(n)
    }
}

impl Encoder for TextEncoder {
    fn prepare(&self, text: &str, prompt: &str) -> Result<PreparedText, EncoderError> {
        let options = EncodeOptions {
            prompt,
            max_tokens: self.max_tokens,
            add_special_tokens: self.add_special_tokens,
            append: self.append_token,
            drop_unknown: self.drop_unknown,
            max_characters: self.max_characters,
        };
        if let Some(llm2vec) = &self.llm2vec {
            let encoded = llm2vec.encode(&self.tokenizer, text, &options);
            return encoded.map_err(|error| error.of(text));
        }
        let encoded = self.tokenizer.encode(text, &options);
        let mut prepared = encoded.map_err(|error| error.of(text))?;
        prepared.prompt_tokens = self.prompt_tokens(&options)?.min(prepared.ids.len());
        Ok(prepared)
    }

    fn encode(&self, batch: &[&PreparedText]) -> Result<Embeddings, EncoderError> {
        if batch.is_empty() {
            return Ok(Embeddings::default());
        }
        self.batch(batch, self.batching)
    }

    fn lanes(&self) -> usize {
        self.network.lanes()
    }

    fn depends_on_batch(&self) -> bool {
        self.batching.one_text_each
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn cost(&self) -> Option<Cost> {
        self.cost
    }

    fn limits(&self) -> BatchLimits {
        // A short text of a fixed length takes as much room as a long one.
        let full = self.fixed.tokens.map(|n| (DEVICE_TOKENS / n).max(1));
        BatchLimits {
            texts: self.fixed.texts.or(full).unwrap_or(usize::MAX),
            memory: self.memory,
            preferred_tokens: self.preferred_tokens,
        }
    }
}
