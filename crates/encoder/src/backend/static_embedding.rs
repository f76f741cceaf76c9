//! Backend `static`: one vector per token and their mean, in pure Rust.
//!
//! Two layouts of `model.safetensors`: `embedding.weight` (sentence-transformers), and
//! `embeddings` with optional `weights` and `mapping` (model2vec), which are folded as
//! sentence-transformers 6.2 folds them: `embeddings[mapping[id]] * weights[id]`.
//!
//! model2vec stores a table in float16 or int8 too. What it computes with either has the number types of
//! `NumPy`: a mean over float16 is float16, int8 has no scale.

use half::f16;
use korfinsts_nn::safetensors::{Checkpoint, TensorBytes};

use super::{Backend, OpenOptions};
use crate::spec::WeightsFormat;
use crate::{EncoderError, EncoderSpec, Network, NetworkOutput, TokenBatch, locate};

/// Tensors of both layouts.
pub(crate) const TENSORS: [&str; 4] = ["embedding.weight", "embeddings", "weights", "mapping"];

/// The line of this backend in the list.
pub const BACKEND: Backend = Backend {
    name: "static",
    summary: "static embeddings: the mean of one vector per token",
    reads: &[WeightsFormat::Safetensors],
    version,
    open,
};

#[allow(
    clippy::unnecessary_wraps,
    reason = "other backends may be out of reach"
)]
fn version(_options: &OpenOptions) -> Result<String, EncoderError> {
    Ok(korfinsts_base::VERSION.to_owned())
}

fn open(spec: &EncoderSpec, options: &OpenOptions) -> Result<Box<dyn Network>, EncoderError> {
    let [path] = spec.weights.as_slice() else {
        return Err(EncoderError::Unsupported {
            what: "static embeddings in several files are not supported".into(),
            hint: None,
        });
    };
    let invalid = |reason: String| EncoderError::Invalid {
        path: path.clone(),
        reason,
        hint: None,
    };
    if spec.device != "cpu" {
        return Err(EncoderError::Unsupported {
            what: format!("backend `static` runs on `cpu`, not on `{}`", spec.device),
            hint: Some("leave `--device` out".into()),
        });
    }
    locate::refuse_foreign(path)?;
    let file = Checkpoint::open(std::slice::from_ref(path))?;
    let (name, table) = ["embedding.weight", "embeddings"]
        .into_iter()
        .find_map(|name| file.get(name).map(|t| (name, t)))
        .ok_or_else(|| invalid("it has no tensor `embedding.weight` or `embeddings`".into()))?;
    let &[rows, dimension] = table.shape else {
        return Err(invalid(format!(
            "the tensor `{name}` has the shape {:?}, expected [tokens, dimension]",
            table.shape
        )));
    };
    if rows == 0 || dimension == 0 {
        return Err(invalid(format!("the tensor `{name}` is empty")));
    }
    let half = rounds_to_half(spec);
    let floats = |name: &str, tensor: &TensorBytes<'_>| {
        // model2vec's int8 has no scale: its library takes the whole numbers as they are.
        let whole = || {
            tensor
                .bytes()
                .iter()
                .map(|b| f32::from(b.cast_signed()))
                .collect()
        };
        (tensor.dtype == "I8")
            .then(whole)
            .or_else(|| tensor.to_f32())
            .ok_or_else(|| invalid(format!("the tensor `{name}` is {}", tensor.dtype)))
    };
    let mapping = match file.get("mapping") {
        Some(tensor) if name == "embeddings" => {
            let mapping = tensor.to_indices().ok_or_else(|| {
                invalid("the tensor `mapping` must hold whole numbers of 0 or more".into())
            })?;
            if let Some(row) = mapping.iter().find(|row| **row >= rows) {
                return Err(invalid(format!(
                    "`mapping` names row {row}, `embeddings` has {rows}"
                )));
            }
            Some(mapping)
        }
        _ => None,
    };
    let ids = mapping.as_ref().map_or(rows, Vec::len);
    let stored = file.get("weights").filter(|_| name == "embeddings");
    let precision = Precision::of(half, table.dtype, stored.as_ref().map(|w| w.dtype));
    let weights = match stored {
        Some(tensor) => {
            let weights = floats("weights", &tensor)?;
            if weights.len() != ids {
                return Err(invalid(format!(
                    "`weights` has {} values, the vocabulary {ids} ids",
                    weights.len()
                )));
            }
            Some(weights)
        }
        None => None,
    };
    let mut table = floats(name, &table)?;
    if half {
        for value in &mut table {
            *value = f16::from_f32(*value).to_f32();
        }
    }
    Ok(Box::new(StaticEmbedding {
        table,
        precision,
        half,
        dimension,
        ids,
        mapping,
        weights,
        lanes: options.threads(),
    }))
}

/// Whether embeddings are rounded to float16, and what they are computed from too.
pub(crate) fn rounds_to_half(spec: &EncoderSpec) -> bool {
    spec.backend == BACKEND.name && spec.dtype == "float16"
}

/// The number type of a weighted token vector, as `NumPy` promotes those of table and weights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    Half,
    Single,
    /// And of everything that is not rounded to less in the end.
    Double,
}

impl Precision {
    /// `half`: the table is in float16, whatever it is stored as.
    fn of(half: bool, table: &str, weights: Option<&str>) -> Self {
        match (half, table, weights) {
            (true, _, None | Some("F16")) | (false, "I8", Some("F16")) => Self::Half,
            (true, _, Some("F32")) => Self::Single,
            _ => Self::Double,
        }
    }

    fn round(self, value: f64) -> f64 {
        match self {
            Self::Half => f16::from_f64(value).to_f64(),
            Self::Single => f64::from(value as f32),
            Self::Double => value,
        }
    }

    /// The number type of a sum: float16 is added up in float32.
    fn of_sum(self) -> Self {
        match self {
            Self::Half => Self::Single,
            other => other,
        }
    }
}

/// A table of token vectors.
struct StaticEmbedding {
    /// Row-major `[rows, dimension]`.
    table: Vec<f32>,
    dimension: usize,
    /// Token ids that have a vector.
    ids: usize,
    mapping: Option<Vec<usize>>,
    weights: Option<Vec<f32>>,
    precision: Precision,
    /// Whether the mean is rounded to float16.
    half: bool,
    lanes: usize,
}

impl Network for StaticEmbedding {
    /// The mean over the tokens of each text; zeros for a text without tokens.
    fn forward(&self, batch: &TokenBatch) -> Result<NetworkOutput, EncoderError> {
        let (own, of_sum) = (self.precision, self.precision.of_sum());
        let mut values = vec![0.0_f32; batch.rows * self.dimension];
        let mut sum = vec![0.0_f64; self.dimension];
        for (row, out) in values.chunks_mut(self.dimension).enumerate() {
            sum.fill(0.0);
            let mut n = 0_usize;
            let at = row * batch.width..(row + 1) * batch.width;
            for (&id, &mask) in batch.ids[at.clone()].iter().zip(&batch.mask[at]) {
                if mask == 0 {
                    continue;
                }
                let id = id as usize;
                if id >= self.ids {
                    return Err(EncoderError::Runtime {
                        backend: "static",
                        reason: format!(
                            "the tokenizer gave id {id}, the table has vectors for {}",
                            self.ids
                        ),
                        hint: Some(
                            "do the weights and the tokenizer belong to the same model?".into(),
                        ),
                    });
                }
                let from = self.mapping.as_ref().map_or(id, |m| m[id]);
                let weight = f64::from(self.weights.as_ref().map_or(1.0, |w| w[id]));
                let vector = &self.table[from * self.dimension..(from + 1) * self.dimension];
                for (sum, &value) in sum.iter_mut().zip(vector) {
                    *sum = of_sum.round(*sum + own.round(weight * f64::from(value)));
                }
                n += 1;
            }
            if n > 0 {
                for (out, sum) in out.iter_mut().zip(&sum) {
                    let mean = own.round(of_sum.round(sum / n as f64));
                    *out = if self.half {
                        f16::from_f64(mean).to_f32()
                    } else {
                        mean as f32
                    };
                }
            }
        }
        Ok(NetworkOutput::Sentence {
            values,
            dimension: self.dimension,
        })
    }

    fn lanes(&self) -> usize {
        self.lanes
    }
}
