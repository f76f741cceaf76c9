//! What a graph is fed and what is read from it: the same for every runtime.

use std::path::{Path, PathBuf};

use super::graph::{Dimension, Graph, Value};
use super::{read, refuse_custom};
use crate::family::{self, Positions};
use crate::network::{NetworkOutput, TokenBatch};
use crate::{EncoderError, EncoderSpec};

/// Element type of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Int64,
    Int32,
    Float32,
    Float16,
    Bool,
}

/// What an input is fed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Ids,
    Mask,
    /// Segment of each token: all zero.
    TokenTypes,
    Positions {
        first: u32,
        at_padding: u32,
    },
    /// An empty key-value cache; free dimensions behind the first have size 0.
    Past(Vec<Dimension>),
    /// A switch of merged decoders: whether the cache holds something. Always false.
    UseCache,
}

/// One input, in the graph's order.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) element: Element,
    source: Source,
}

/// The values of one input for one batch.
#[derive(Debug, PartialEq)]
pub(crate) enum Fed {
    /// Whole numbers of the given shape.
    Integers(Vec<u32>, Vec<usize>),
    /// No values at all; the shape has a zero in it.
    Empty(Vec<usize>),
    /// One `false`.
    False,
}

/// How a graph is run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Input>,
    /// Name of the output that is read.
    pub(crate) output: String,
    /// Whether a row's result depends on the other rows of its batch.
    pub(crate) depends_on_batch: bool,
    /// Files in the graph's folder that hold tensors.
    pub(crate) external_files: Vec<PathBuf>,
}

impl Plan {
    /// Reads the graph of a model and says how it is run.
    ///
    /// # Errors
    /// As [`super::inspect`]; when the graph needs custom operators, wants an input that is not a
    /// text's, takes one shape of batch only, or lacks the output that the model names.
    pub(crate) fn new(spec: &EncoderSpec) -> Result<Self, EncoderError> {
        let path = file(spec)?;
        let graph = read(path)?;
        let external_files = super::external_files(path, &graph.externals)?;
        refuse_custom(path, &graph)?;
        let output = output(spec, path, &graph.outputs)?;
        let inputs = graph
            .inputs
            .iter()
            .map(|value| input(spec, path, value))
            .collect::<Result<Vec<_>, _>>()?;
        if !inputs.iter().any(|input| input.source == Source::Ids) {
            let reason = format!(
                "no input `input_ids` in the graph, which has {}",
                names(&graph.inputs)
            );
            return Err(super::invalid(path, reason, None));
        }
        Ok(Self {
            inputs,
            output,
            depends_on_batch: spec.dtype == "int8" || quantises_by_batch(&graph),
            external_files,
        })
    }
}

/// Whether scores of this graph depend on what else is in a batch: numbers are then quantised by
/// the range that a whole batch spans.
fn quantises_by_batch(graph: &Graph) -> bool {
    graph.operators.iter().any(|(_, operator)| {
        operator.starts_with("DynamicQuantize") || operator == "MatMulIntegerToFloat"
    })
}

impl Input {
    /// The values of this input for a batch.
    pub(crate) fn feed(&self, batch: &TokenBatch) -> Fed {
        let shape = vec![batch.rows, batch.width];
        match &self.source {
            Source::Ids => Fed::Integers(batch.ids.clone(), shape),
            Source::Mask => {
                Fed::Integers(batch.mask.iter().map(|&m| u32::from(m)).collect(), shape)
            }
            Source::TokenTypes => Fed::Integers(vec![0; batch.rows * batch.width], shape),
            Source::Positions { first, at_padding } => {
                Fed::Integers(batch.positions(*first, *at_padding), shape)
            }
            Source::Past(dimensions) => Fed::Empty(
                dimensions
                    .iter()
                    .enumerate()
                    .map(|(axis, dimension)| match dimension {
                        _ if axis == 0 => batch.rows,
                        Dimension::Fixed(size) => *size as usize,
                        Dimension::Free => 0,
                    })
                    .collect(),
            ),
            Source::UseCache => Fed::False,
        }
    }
}

/// The one file of an ONNX model.
pub(crate) fn file(spec: &EncoderSpec) -> Result<&Path, EncoderError> {
    match spec.weights.as_slice() {
        [file] => Ok(file),
        files => Err(EncoderError::Unsupported {
            what: format!(
                "an ONNX model of {} files, where one is allowed",
                files.len()
            ),
            hint: Some("name the one `.onnx` file to evaluate".into()),
        }),
    }
}

/// Shapes values that a runtime gave back into what the pooling expects.
///
/// # Errors
/// When the shape is neither `[rows, dimension]` nor `[rows, width, dimension]`.
pub(crate) fn shaped(
    backend: &'static str,
    plan: &Plan,
    batch: &TokenBatch,
    shape: &[usize],
    values: Vec<f32>,
) -> Result<NetworkOutput, EncoderError> {
    match *shape {
        [rows, dimension] if rows == batch.rows && values.len() == rows * dimension => {
            Ok(NetworkOutput::Sentence { values, dimension })
        }
        [rows, width, dimension]
            if rows == batch.rows
                && width == batch.width
                && values.len() == rows * width * dimension =>
        {
            Ok(NetworkOutput::Tokens { values, dimension })
        }
        _ => Err(EncoderError::Runtime {
            backend,
            reason: format!(
                "output `{}` has shape {shape:?} for a batch of {} texts of {} tokens",
                plan.output, batch.rows, batch.width
            ),
            hint: Some("does the graph give token states or sentence embeddings?".into()),
        }),
    }
}

fn output(spec: &EncoderSpec, path: &Path, outputs: &[Value]) -> Result<String, EncoderError> {
    let Some(name) = &spec.onnx_output else {
        return Err(EncoderError::Unsupported {
            what: format!("no output chosen among {}", names(outputs)),
            hint: None,
        });
    };
    let Some(value) = outputs.iter().find(|o| o.name == *name) else {
        let reason = format!(
            "no output `{name}` in the graph, which has {}",
            names(outputs)
        );
        return Err(super::invalid(path, reason, None));
    };
    if !matches!(
        value.element,
        "" | "float32" | "float16" | "bfloat16" | "float64"
    ) {
        let reason = format!("output `{name}` holds {}, not real numbers", value.element);
        return Err(super::invalid(path, reason, None));
    }
    Ok(name.clone())
}

fn input(spec: &EncoderSpec, path: &Path, value: &Value) -> Result<Input, EncoderError> {
    let element = match value.element {
        "int64" => Element::Int64,
        "int32" => Element::Int32,
        "float32" => Element::Float32,
        "float16" => Element::Float16,
        "bool" => Element::Bool,
        other => {
            let reason = format!(
                "input `{}` holds `{other}`, which no text gives",
                value.name
            );
            return Err(super::invalid(path, reason, None));
        }
    };
    let source = match value.name.as_str() {
        "input_ids" => Source::Ids,
        "attention_mask" => Source::Mask,
        "token_type_ids" => Source::TokenTypes,
        "position_ids" => positions(spec),
        "use_cache_branch" => Source::UseCache,
        name if name.starts_with("past_key_values.") || name.starts_with("past_") => {
            let Some(shape) = value.shape.clone().filter(|s| s.len() > 1) else {
                let reason = format!("input `{name}` declares no shape");
                return Err(super::invalid(path, reason, None));
            };
            Source::Past(shape)
        }
        name => {
            return Err(EncoderError::Unsupported {
                what: format!(
                    "{}: the graph wants an input `{name}`; known are input_ids, attention_mask, \
                     token_type_ids, position_ids and past_key_values.*",
                    path.display()
                ),
                hint: Some("export the text encoder alone".into()),
            });
        }
    };
    let fits = match source {
        Source::UseCache => element == Element::Bool,
        Source::Past(_) => matches!(element, Element::Float32 | Element::Float16),
        // A mask may be of real numbers or of truth values; ids may not.
        Source::Mask => element != Element::Float16,
        _ => matches!(element, Element::Int64 | Element::Int32),
    };
    if !fits {
        let reason = format!("input `{}` holds {}", value.name, value.element);
        return Err(super::invalid(path, reason, None));
    }
    if source == Source::Ids
        && let Some(shape) = &value.shape
        && shape.iter().any(|d| matches!(d, Dimension::Fixed(_)))
    {
        let sizes: Vec<String> = shape
            .iter()
            .map(|d| match d {
                Dimension::Fixed(size) => size.to_string(),
                Dimension::Free => "any".to_owned(),
            })
            .collect();
        return Err(EncoderError::Unsupported {
            what: format!(
                "{}: the graph takes batches of {} tokens only",
                path.display(),
                sizes.join(" x ")
            ),
            hint: Some("export it again with dynamic axes for batch and sequence".into()),
        });
    }
    Ok(Input {
        name: value.name.clone(),
        element,
        source,
    })
}

/// Positions are counted from 0, but by the RoBERTa family from behind its padding id. Padding
/// takes no part, so its position need only be a valid one.
fn positions(spec: &EncoderSpec) -> Source {
    if family::of(&spec.architecture).positions != Positions::AfterPadding {
        return Source::Positions {
            first: 0,
            at_padding: 0,
        };
    }
    let padding = spec.config["pad_token_id"]
        .as_u64()
        .map_or(1, |id| id as u32);
    Source::Positions {
        first: padding + 1,
        at_padding: padding,
    }
}

fn names(values: &[Value]) -> String {
    let names: Vec<String> = values.iter().map(|v| format!("`{}`", v.name)).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
