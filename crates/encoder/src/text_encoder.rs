//! An encoder out of its parts: tokenizer, network, and what follows the network.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::modules::{self, Module};
use super::network::{PaddingSide, TokenBatch};
use super::tokenizer::{EncodeOptions, Tokenizer};
use super::width::Widths;
use super::{
    BatchLimits, Embeddings, Encoder, EncoderError, EncoderSpec, Memory, Network, PreparedText,
    memory,
};

/// Padded tokens of a batch off the CPU, where the user names no number.
const DEVICE_TOKENS: usize = 16_384;

/// A model that was opened: texts to embeddings.
pub struct TextEncoder {
    tokenizer: Arc<Tokenizer>,
    network: Box<dyn Network>,
    modules: Vec<Module>,
    widths: Widths,
    output: Option<String>,
    max_tokens: usize,
    pad_id: u32,
    padding_side: PaddingSide,
    append_token: Option<u32>,
    add_special_tokens: bool,
    drop_unknown: bool,
    max_characters: Option<usize>,
    leave_prompt_out: bool,
    memory: Option<Memory>,
    /// Padded tokens of a batch that keep a device busy; `None` on the CPU.
    preferred_tokens: Option<usize>,
    /// Length of each prompt in tokens; a run has a handful.
    prompt_tokens: Mutex<HashMap<String, usize>>,
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
    /// When the specification holds no tokenizer.
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
        Ok(Self {
            tokenizer,
            network,
            modules: spec.modules.clone(),
            widths: spec.widths.clone(),
            output: spec.onnx_output.clone(),
            max_tokens: spec.max_tokens,
            pad_id: spec.pad_id,
            padding_side: spec.padding_side,
            append_token: spec.append_token,
            add_special_tokens: spec.add_special_tokens,
            drop_unknown: spec.drop_unknown,
            max_characters: spec.max_characters,
            leave_prompt_out: spec.leaves_prompt_out(),
            memory,
            preferred_tokens: (spec.device != "cpu").then_some(DEVICE_TOKENS),
            prompt_tokens: Mutex::default(),
        })
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
        let n = self.tokenizer.prompt_tokens(options)?;
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
        let mut prepared = self.tokenizer.encode(text, &options)?;
        prepared.prompt_tokens = self.prompt_tokens(&options)?.min(prepared.ids.len());
        Ok(prepared)
    }

    fn encode(&self, batch: &[&PreparedText]) -> Result<Embeddings, EncoderError> {
        if batch.is_empty() {
            return Ok(Embeddings::default());
        }
        let tokens = TokenBatch::pad(batch, self.pad_id, self.padding_side, self.leave_prompt_out);
        let output = self.network.forward(&tokens)?;
        let modes = match self.modules.first() {
            Some(Module::Pooling { modes, .. }) => modes.len().max(1),
            _ => 1,
        };
        self.widths
            .check(output.width(modes), self.output.as_deref())?;
        let embeddings = modules::apply(&self.modules, output, &tokens)?;
        modules::check_finite(&embeddings)?;
        Ok(embeddings)
    }

    fn lanes(&self) -> usize {
        self.network.lanes()
    }

    fn depends_on_batch(&self) -> bool {
        self.network.depends_on_batch()
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits {
            memory: self.memory,
            preferred_tokens: self.preferred_tokens,
            ..BatchLimits::default()
        }
    }
}
