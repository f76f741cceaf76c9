//! Memory that a run needs, found out without a step. Every tensor that the graph of a batch keeps for
//! its backward pass has a size that is linear in the texts and quadratic in the tokens, so the
//! graphs of six tiny batches tell that of the largest one.

use std::collections::{HashMap, HashSet};

use candle_core::{Tensor, TensorId, Var};
use serde::Serialize;

use super::TrainError;
use super::batch::{BatchPlan, Source};
use super::error::computing;
use super::metrics::memory_mib;
use super::model::Model;
use super::recipe::{Number, Stage};
use super::session::Session;
use korfinsts_encoder::{PreparedText, TokenBatch};
use korfinsts_nn::as_on_gpu;
use korfinsts_nn::dropout::Draw;

/// GPUs whose memory is compared: name, and GiB.
const CARDS: [(&str, f64); 4] = [
    ("24 GB (RTX 4090, A10, L4)", 24.0),
    ("40 GB (A100)", 40.0),
    ("80 GB (A100, H100)", 80.0),
    ("141 GB (H200)", 141.0),
];
/// Share of a GPU's memory that a run can have.
const USABLE: f64 = 0.95;
/// What CUDA, its kernels and its libraries take, in bytes.
const CUDA: u64 = 600 << 20;
/// Tensors of the size of the largest that exist next to each other while the backward pass is at it:
/// its gradient, the sum it is added to, the new sum, and what is computed again.
const AT_ONCE: u64 = 4;

/// What a run needs at its highest, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memory {
    /// Texts of the largest part of a batch that goes through the network at once.
    pub texts: usize,
    /// Tokens of each of them, padding included.
    pub tokens: usize,
    /// In this process, where it trains on a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Parts>,
    /// On a GPU.
    pub gpu: Parts,
    /// GPUs by name, and whether it fits.
    pub cards: Vec<(String, bool)>,
}

/// Parts of the memory, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parts {
    /// By what it is for.
    pub parts: Vec<(&'static str, u64)>,
    /// Their sum.
    pub total: u64,
}

impl Parts {
    fn of(parts: Vec<(&'static str, u64)>) -> Self {
        let total = parts.iter().map(|p| p.1).sum();
        Self { parts, total }
    }
}

/// Sizes of the tensors of a graph, in a fixed order, for one and for two texts of three lengths.
struct Graphs {
    lengths: [usize; 3],
    sizes: [[Vec<u64>; 3]; 2],
}

/// How a step is computed.
#[derive(Clone, Copy)]
struct How {
    checkpointing: bool,
    draw: Draw,
    /// Bytes of a value of a multiplication.
    narrow: u64,
}

/// What a graph keeps, in bytes.
struct Kept {
    linear: u64,
    /// What grows with the square of the length.
    square: u64,
    largest: u64,
}

impl Graphs {
    fn of(model: &Model, ids: &[u32], how: How) -> candle_core::Result<Self> {
        let most = model.max_tokens().clamp(3, 24);
        let lengths = [most / 3, 2 * most / 3, most];
        let sizes = |texts: usize| -> candle_core::Result<[Vec<u64>; 3]> {
            let of = |i: usize| sizes(model, &cut(ids, lengths[i], texts), how);
            Ok([of(0)?, of(1)?, of(2)?])
        };
        let sizes = [sizes(1)?, sizes(2)?];
        let count = sizes[0][0].len();
        if sizes.iter().flatten().any(|s| s.len() != count) {
            candle_core::bail!("graphs of two lengths differ");
        }
        Ok(Self { lengths, sizes })
    }

    /// The size of the graph of so many texts of so many tokens.
    fn at(&self, texts: usize, tokens: usize) -> Kept {
        let mut kept = Kept {
            linear: 0,
            square: 0,
            largest: 0,
        };
        let [a, b, c] = self.lengths.map(|l| l as f64);
        let (x, more) = (tokens as f64, texts as f64 - 1.0);
        for node in 0..self.sizes[0][0].len() {
            let y = [0, 1, 2].map(|i| {
                let [one, two] = [0, 1].map(|n: usize| self.sizes[n][i][node] as f64);
                one + more * (two - one)
            });
            // Newton's form of the parabola through the three points.
            let slope = (y[1] - y[0]) / (b - a);
            let bend = ((y[2] - y[1]) / (c - b) - slope) / (c - a);
            let bytes = (y[0] + (x - a) * (slope + (x - b) * bend)).max(0.0) as u64;
            if bend.abs() > 1e-6 {
                kept.square += bytes;
            } else {
                kept.linear += bytes;
            }
            kept.largest = kept.largest.max(bytes);
        }
        kept
    }
}

fn cut(ids: &[u32], length: usize, texts: usize) -> Vec<PreparedText> {
    let text = PreparedText {
        ids: ids.iter().copied().cycle().take(length).collect(),
        ..PreparedText::default()
    };
    vec![text; texts]
}

/// Sizes of what the graph of a batch keeps.
fn sizes(model: &Model, texts: &[PreparedText], how: How) -> candle_core::Result<Vec<u64>> {
    let batch = model.batch(&texts.iter().collect::<Vec<_>>());
    let numbers: Vec<usize> = (0..texts.len()).collect();
    model.draws().of(how.draw, &numbers, &batch);
    let sizes = of_batch(model, &batch, how);
    model.draws().end();
    sizes
}

fn of_batch(model: &Model, batch: &TokenBatch, how: How) -> candle_core::Result<Vec<u64>> {
    // The graph, and the bytes of each value of it.
    let graph = |f: &dyn Fn() -> candle_core::Result<Tensor>| -> candle_core::Result<Vec<u64>> {
        let (output, narrow) = as_on_gpu(f);
        Ok(of_graph(&output?, &narrow, how.narrow))
    };
    if how.checkpointing
        && let Some(layers) = model.layers(batch)?
    {
        let (transformer, prepared) = (layers.transformer, &layers.prepared);
        let input = transformer.embed(prepared)?.detach();
        let one = (input.elem_count() * input.dtype().size_in_bytes()) as u64;
        let input = Var::from_tensor(&input)?;
        let mut sizes = graph(&|| transformer.layer(0, input.as_tensor(), prepared))?;
        sizes.extend(std::iter::repeat_n(one, transformer.layers() + 1));
        return Ok(sizes);
    }
    graph(&|| model.forward(batch))
}

/// Bytes of each node of a graph that is no variable; 0 where it is a view of one before it. Values
/// of those in `narrow` have `bytes` each.
fn of_graph(output: &Tensor, narrow: &HashSet<TensorId>, bytes: u64) -> Vec<u64> {
    let mut first: HashMap<usize, usize> = HashMap::new();
    let (mut sizes, mut variables) = (Vec::new(), HashSet::new());
    for (i, node) in output.sorted_nodes().into_iter().enumerate() {
        let each = if narrow.contains(&node.id()) {
            bytes
        } else {
            node.dtype().size_in_bytes() as u64
        };
        let bytes = node.elem_count() as u64 * each;
        let storage = std::ptr::from_ref(&*node.storage_and_layout().0).addr();
        sizes.push(0);
        let at = *first.entry(storage).or_insert(i);
        if node.is_variable() {
            // What shows a variable is no copy of it.
            sizes[at] = 0;
            variables.insert(at);
        } else if !variables.contains(&at) {
            sizes[at] = sizes[at].max(bytes);
        }
    }
    sizes
}

/// Bytes of the weights in float32.
fn stored(model: &Model) -> Result<u64, TrainError> {
    let checkpoint = model.spec().checkpoint()?;
    let tensors = checkpoint.names().filter_map(|name| checkpoint.get(name));
    let values: usize = tensors.map(|t| t.shape.iter().product::<usize>()).sum();
    Ok(values as u64 * 4)
}

impl Session<'_> {
    /// What the run needs at its highest, on one process.
    ///
    /// # Errors
    /// When a text cannot be tokenised or the device fails.
    pub fn memory(&self) -> Result<Memory, TrainError> {
        let failed = computing("estimating memory");
        let recipe = &self.plan.recipe;
        let resident = memory_mib().map(|m| (f64::from(m) * 1024.0 * 1024.0) as u64);
        let (mut largest, mut ids) = ((0, 0), Vec::new());
        for (i, stage) in recipe.stages.iter().enumerate() {
            let (found, longest) = self.largest(stage, i)?;
            if found.0 * found.1 > largest.0 * largest.1 {
                (largest, ids) = (found, longest);
            }
        }
        let (texts, tokens) = largest;
        let model = &self.model;
        let shares = recipe.stages.iter().map(|stage| stage.dropout);
        let draw = Draw {
            seed: recipe.seed,
            share: shares.fold(0.0, f64::max),
        };
        let narrow = recipe.compute.matmul == Number::Bfloat16;
        let how = How {
            checkpointing: recipe.compute.gradient_checkpointing,
            draw,
            narrow: if narrow { 2 } else { 4 },
        };
        let trained = model.size() as u64 * 4;
        let weights = match recipe.lora {
            Some(_) => stored(model)? + trained,
            None => stored(model)?,
        };
        let table = (model.parameters().iter())
            .map(|p| p.variable.elem_count() as u64 * 4)
            .max()
            .unwrap_or_default();
        // Those of the parts before are kept until they are added.
        let part = trained * u64::from(recipe.compute.micro_batch > 0);
        let parts = |kept: &Kept, other: (&'static str, u64)| {
            let passing = (AT_ONCE * kept.largest).max(table);
            let copies = u64::from(recipe.evaluate.best.is_some())
                + u64::from(recipe.stages.iter().any(|s| s.soup > 1));
            Parts::of(vec![
                ("weights", weights),
                ("gradients", trained),
                ("gradients of a part", part),
                ("moments", 2 * trained),
                ("copies of weights", copies * trained),
                ("activations", kept.linear),
                ("attention", kept.square),
                ("backward pass", passing),
                other,
            ])
        };
        let graphs = Graphs::of(model, &ids, how).map_err(&failed)?;
        let gpu = parts(&graphs.at(texts, tokens), ("CUDA", CUDA));
        let here = match resident {
            Some(resident) if self.plan.device.is_cpu() && !narrow => {
                let other = resident.saturating_sub(weights);
                Some(parts(
                    &graphs.at(texts, tokens),
                    ("program, tokenizer, data", other),
                ))
            }
            _ => None,
        };
        let fits = |gib: f64| gpu.total as f64 <= gib * USABLE * (1_u64 << 30) as f64;
        let cards = CARDS.map(|(name, gib)| (name.to_owned(), fits(gib)));
        Ok(Memory {
            texts,
            tokens,
            here,
            cards: cards.to_vec(),
            gpu,
        })
    }

    /// Texts and tokens of the largest part of a stage's batches, and the ids of its longest text.
    fn largest(
        &self,
        stage: &Stage,
        index: usize,
    ) -> Result<((usize, usize), Vec<u32>), TrainError> {
        let prompts = stage.prompts(&self.plan.recipe.compute);
        let sources = &self.stages[index];
        let mut lengths: HashMap<(usize, String), usize> = HashMap::new();
        let mut longest: Vec<u32> = Vec::new();
        let mut of = |role: usize, text: &str| -> Result<usize, TrainError> {
            let key = (role.min(1), text.to_owned());
            if let Some(length) = lengths.get(&key) {
                return Ok(*length);
            }
            let ids = self.model.prepare(text, prompts[key.0])?.ids;
            let length = ids.len();
            if length > longest.len() {
                longest = ids;
            }
            lengths.insert(key, length);
            Ok(length)
        };
        let mut largest = (0, 0);
        for batch in self.batches[index].iter().flatten() {
            let mut tokens = lengths_of(batch, sources, &mut of)?;
            tokens.sort_unstable();
            let part = match self.plan.recipe.compute.micro_batch {
                0 => tokens.len(),
                n => n,
            };
            for part in tokens.chunks(part.max(1)) {
                let size = (part.len(), part.last().copied().unwrap_or_default());
                if size.0 * size.1 > largest.0 * largest.1 {
                    largest = size;
                }
            }
        }
        Ok((largest, longest))
    }
}

/// Tokens of each text of a batch.
fn lengths_of(
    batch: &BatchPlan,
    sources: &[Source],
    of: &mut dyn FnMut(usize, &str) -> Result<usize, TrainError>,
) -> Result<Vec<usize>, TrainError> {
    let examples = batch.examples(sources).flat_map(|e| e.texts().enumerate());
    let extra = batch.extra(sources).map(|text| (1, text));
    examples
        .chain(extra)
        .map(|(role, text)| of(role, text))
        .collect()
}
