//! What a folder holds and the chosen weights do not use: tensors, adapters, weights of another
//! format.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use korfinsts_nn::safetensors::{self, Checkpoint};

use super::keys::list;
use super::{Reader, StaticKind};
use crate::EncoderError;
use crate::backend::static_embedding;
use crate::onnx::GraphInfo;
use korfinsts_base::fs;

/// Parts of names: a tensor whose name has one of them belongs to a head that no token state
/// depends on, or is a constant that is computed again.
const HEADS: [&str; 19] = [
    "pooler",
    "lm_head",
    "cls",
    "classifier",
    "pre_classifier",
    "score",
    "qa_outputs",
    "vocab_transform",
    "vocab_layer_norm",
    "vocab_projector",
    "position_ids",
    "token_type_ids",
    "inv_freq",
    "masked_bias",
    "discriminator_predictions",
    "generator_predictions",
    "generator_lm_head",
    "lm_predictions",
    "mask_predictions",
];
/// First parts of names of heads, and of the decoder of a model whose encoder is used.
const FIRST: [&str; 2] = ["head", "decoder"];
/// A table that is a copy of the one that is read.
const COPY: &str = "encoder.embed_tokens.weight";

impl Reader<'_> {
    /// What the folder says and holds, against what is used of it.
    #[cfg_attr(
        not(feature = "candle"),
        allow(unused_variables, reason = "only candle runs a network of the folder")
    )]
    pub(super) fn check_unread(
        &mut self,
        causal: Option<bool>,
        static_kind: Option<StaticKind>,
        graph: Option<&GraphInfo>,
    ) -> Result<(), EncoderError> {
        if let Some(graph) = graph {
            self.check_rival(&graph.external_files)?;
            return self.check_keys(None, false);
        }
        if let Some(kind) = static_kind {
            let header = safetensors::check(&self.files.weights[0])?;
            let read = |name: &str| match kind {
                StaticKind::SentenceTransformers => name == static_embedding::TENSORS[0],
                StaticKind::Model2Vec => static_embedding::TENSORS[1..].contains(&name),
            };
            self.check_tensors(header.keys().map(String::as_str), read)?;
            return self.check_keys(None, true);
        }
        #[cfg(feature = "candle")]
        if korfinsts_nn::architecture::find(self.architecture()).is_ok() {
            self.custom_code()?;
            // What is wrong with the weights is said when they are opened.
            let input = korfinsts_nn::architecture::BuildInput {
                config: korfinsts_nn::config::Config::new(&self.config, &self.config_path),
                causal,
            };
            if let Ok(checkpoint) = Checkpoint::open(&self.files.weights)
                && let Ok(taken) = korfinsts_nn::architecture::taken(&input, &checkpoint)
            {
                self.check_tensors(checkpoint.names(), |name| taken.tensors.contains(name))?;
                return self.check_keys(Some(&taken.keys), false);
            }
        }
        self.check_keys(None, false)
    }

    /// Doubts tensors that the network does not read and that are of no known head.
    fn check_tensors<'n>(
        &mut self,
        all: impl Iterator<Item = &'n str>,
        read: impl Fn(&str) -> bool,
    ) -> Result<(), EncoderError> {
        let unread: Vec<String> = all
            .filter(|name| !read(name) && !is_head(name))
            .map(str::to_owned)
            .collect();
        if unread.is_empty() {
            return Ok(());
        }
        let file = self.relative(&self.files.weights[0].clone());
        self.doubt(
            format!(
                "{file} holds {} tensors that the network does not read and that may change \
                 embeddings: {}",
                unread.len(),
                list(&unread)
            ),
            "save the weights without them, or export the whole model to ONNX and name that file",
        )
    }

    /// Doubts a graph that was chosen over safetensors that hold other numbers.
    fn check_rival(&mut self, external: &[PathBuf]) -> Result<(), EncoderError> {
        let rival = std::mem::take(&mut self.files.rival);
        let Some(first) = rival.first() else {
            return Ok(());
        };
        let mut graph = self.files.weights.clone();
        graph.extend(external.iter().cloned());
        let samples = samples(&Checkpoint::open(&rival)?);
        if !samples.is_empty() && holds_all(&graph, &samples)? {
            return Ok(());
        }
        let (graph, rival) = (self.relative(&graph[0]), self.relative(first));
        self.doubt(
            format!(
                "`{graph}` is read, and `{rival}` next to it holds other numbers: one of the two \
                 is older, or was altered"
            ),
            &format!("name the file that is meant, `{graph}` or `{rival}`"),
        )
    }
}

pub(super) fn is_head(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    name == COPY || FIRST.contains(&first) || name.split('.').any(|part| HEADS.contains(&part))
}

/// Bytes that a float32 graph of these weights holds as they are: rows of its widest table, and its
/// first and last normalisation. Matrices may be transposed, and are left out.
fn samples(checkpoint: &Checkpoint) -> Vec<Vec<u8>> {
    const VALUES: usize = 32;
    let network = || checkpoint.names().filter(|name| !is_head(name));
    let shape = |name: &str| checkpoint.get(name).map_or(&[][..], |t| t.shape).to_vec();
    let table = network()
        .filter(|name| shape(name).len() == 2)
        .max_by_key(|name| shape(name)[0]);
    let norms: Vec<&str> = network()
        .filter(|name| name.to_lowercase().contains("norm") && name.ends_with(".weight"))
        .collect();
    let names = table.into_iter().chain(norms.first().copied());
    names
        .chain(norms.last().copied())
        .filter_map(|name| {
            let tensor = checkpoint.get(name)?;
            let count: usize = tensor.shape.iter().product();
            let from = (count / 2).min(count.saturating_sub(VALUES));
            let part = tensor.part(from, count.min(VALUES))?;
            Some(part.iter().flat_map(|v| v.to_le_bytes()).collect())
        })
        .filter(|bytes: &Vec<u8>| bytes.iter().any(|b| *b != bytes[0]))
        .collect()
}

/// Whether the files together hold each of the samples.
fn holds_all(files: &[PathBuf], samples: &[Vec<u8>]) -> Result<bool, EncoderError> {
    let mut missing: Vec<&Vec<u8>> = samples.iter().collect();
    for file in files {
        search(file, &mut missing)?;
    }
    Ok(missing.is_empty())
}

/// Takes out of `missing` what a file holds.
fn search(path: &Path, missing: &mut Vec<&Vec<u8>>) -> Result<(), EncoderError> {
    const CHUNK: usize = 1 << 24;
    let longest = missing.iter().map(|sample| sample.len()).max().unwrap_or(0);
    let mut file = fs::open(path)?;
    let mut held: Vec<u8> = Vec::with_capacity(CHUNK + longest);
    while !missing.is_empty() {
        let kept = held.len().saturating_sub(longest);
        held.drain(..kept);
        let before = held.len();
        let mut chunk = file.by_ref().take(CHUNK as u64);
        chunk.read_to_end(&mut held).map_err(fs::at("read", path))?;
        if held.len() == before {
            break;
        }
        missing.retain(|sample| !contains(&held, sample));
    }
    Ok(())
}

/// Horspool's search.
fn contains(text: &[u8], pattern: &[u8]) -> bool {
    let last = pattern.len() - 1;
    let mut skips = [pattern.len(); 256];
    for (i, &byte) in pattern[..last].iter().enumerate() {
        skips[usize::from(byte)] = last - i;
    }
    let mut at = 0;
    while at + pattern.len() <= text.len() {
        if text[at..at + pattern.len()] == *pattern {
            return true;
        }
        at += skips[usize::from(text[at + last])];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_by_the_parts_of_their_names() {
        for (name, head) in [
            ("pooler.dense.weight", true),
            ("bert.pooler.dense.weight", true),
            ("lm_head.weight", true),
            ("cls.predictions.bias", true),
            ("embeddings.position_ids", true),
            ("decoder.block.0.layer.0.SelfAttention.q.weight", true),
            ("encoder.embed_tokens.weight", true),
            ("linear.weight", false),
            ("encoder.layer.12.output.dense.weight", false),
            ("model.head_norm.weight", false),
        ] {
            assert_eq!(is_head(name), head, "{name}");
        }
    }

    #[test]
    fn a_sample_is_found_wherever_it_is_and_nowhere_else() {
        let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for at in [0, 1, 500, 984] {
            assert!(contains(&text, &text[at..at + 16]), "{at}");
        }
        assert!(!contains(&text, &[1, 2, 3, 5]));
        assert!(!contains(&text[..3], &[0, 1, 2, 3]));
    }
}
