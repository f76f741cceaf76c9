//! What a graph is fed and what is read from it: the same for every runtime.

use std::path::{Path, PathBuf};

use super::graph::{Dimension, Graph, Value};
use super::{constant, fixed, read, refuse_custom};
use crate::family::{self, Positions};
use crate::network::{FixedShape, NetworkOutput, TokenBatch};
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
#[derive(Debug, Clone, PartialEq)]
enum InputSource {
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
    /// What the user names; a free first dimension is the batch.
    Constant(Vec<f64>, Vec<Dimension>),
}

/// One input, in the graph's order.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) element: Element,
    source: InputSource,
}

/// The values of one input for one batch, row-major; none where the shape has a zero in it. A truth
/// value is 0 or 1.
#[derive(Debug, PartialEq)]
pub(crate) struct Fed {
    pub(crate) values: Vec<f64>,
    pub(crate) shape: Vec<usize>,
}

/// How a graph is run.
#[derive(Debug)]
pub(crate) struct GraphPlan {
    /// The graph's file.
    pub(crate) path: PathBuf,
    pub(crate) inputs: Vec<Input>,
    /// Name of the output that is read.
    pub(crate) output: String,
    /// Whether a row's result depends on the other rows of its batch.
    pub(crate) depends_on_batch: bool,
    /// Texts and tokens of a batch, where the graph takes no other number.
    pub(crate) fixed: FixedShape,
    /// Files in the graph's folder that hold tensors.
    pub(crate) external_files: Vec<PathBuf>,
    /// Weights that each token is multiplied by.
    pub(crate) multiplied: u64,
}

impl GraphPlan {
    /// Reads the graph of a model and says how it is run.
    ///
    /// # Errors
    /// As [`super::inspect`]; when the graph needs custom operators, wants an input that neither a
    /// text nor the user gives, or lacks an input or output that the user names.
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
        let named = |name: &str| {
            let found = inputs.iter().find(|input| input.name == name);
            found.is_some_and(|input| matches!(input.source, InputSource::Constant(..)))
        };
        if let Some(name) = spec.onnx_inputs.keys().find(|name| !named(name)) {
            return Err(EncoderError::Unsupported {
                what: format!(
                    "{}: the graph has no input `{name}` besides those of a text; its inputs are \
                     {}",
                    path.display(),
                    names(&graph.inputs)
                ),
                hint: Some(format!("leave `--onnx-input {name}=...` out")),
            });
        }
        if !inputs.iter().any(|input| input.source == InputSource::Ids) {
            let reason = format!(
                "no input `input_ids` in the graph, which has {}",
                names(&graph.inputs)
            );
            return Err(super::invalid(path, reason, None));
        }
        Ok(Self {
            path: path.to_owned(),
            inputs,
            output,
            depends_on_batch: spec.dtype == "int8" || quantises_by_batch(&graph),
            fixed: fixed(path, &graph.inputs)?,
            external_files,
            multiplied: graph.multiplied(),
        })
    }

    /// Shapes values that a runtime gave back into what the pooling expects.
    ///
    /// # Errors
    /// When the shape is neither `[rows, dimension]` nor `[rows, width, dimension]`.
    pub(crate) fn shaped(
        &self,
        backend: &'static str,
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
                    self.output, batch.rows, batch.width
                ),
                hint: Some("does the graph give token states or sentence embeddings?".into()),
            }),
        }
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
        let size = |(axis, dimension): (usize, &Dimension), free: usize| match dimension {
            Dimension::Fixed(size) => *size as usize,
            Dimension::Free if axis == 0 => batch.rows,
            Dimension::Free => free,
        };
        match &self.source {
            InputSource::Ids => Fed::new(batch.ids.iter().copied(), shape),
            InputSource::Mask => Fed::new(batch.mask.iter().copied(), shape),
            InputSource::TokenTypes => Fed::new(batch.ids.iter().map(|_| 0_u32), shape),
            InputSource::Positions { first, at_padding } => {
                Fed::new(batch.positions(*first, *at_padding), shape)
            }
            InputSource::Past(dimensions) => {
                let sizes = dimensions.iter().enumerate().map(|d| match d {
                    (0, _) => batch.rows,
                    d => size(d, 0),
                });
                Fed::new::<u32>([], sizes.collect())
            }
            InputSource::UseCache => Fed::new([0_u32], vec![1]),
            InputSource::Constant(values, dimensions) => {
                let sizes = dimensions.iter().enumerate().map(|d| size(d, 1));
                let shape: Vec<usize> = sizes.collect();
                let count = shape.iter().product();
                Fed::new(values.iter().copied().cycle().take(count), shape)
            }
        }
    }
}

impl Fed {
    fn new<T: Into<f64>>(values: impl IntoIterator<Item = T>, shape: Vec<usize>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self { values, shape }
    }
}

/// What to do where a runtime does not run a graph that `other` may run.
pub(crate) fn unable(spec: &EncoderSpec, other: &str) -> String {
    match (spec.dtype.as_str(), spec.device.as_str()) {
        ("bfloat16", "cpu") => "neither ONNX runtime computes bfloat16 on a CPU: export the graph \
                                in float32, name a float32 graph of the folder, or run the model's \
                                safetensors with `--backend candle`"
            .to_owned(),
        _ => other.to_owned(),
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
        "input_ids" => InputSource::Ids,
        "attention_mask" => InputSource::Mask,
        "token_type_ids" => InputSource::TokenTypes,
        "position_ids" => positions(spec),
        "use_cache_branch" => InputSource::UseCache,
        name if name.starts_with("past_key_values.") || name.starts_with("past_") => {
            let Some(shape) = value.shape.clone().filter(|s| s.len() > 1) else {
                let reason = format!("input `{name}` declares no shape");
                return Err(super::invalid(path, reason, None));
            };
            InputSource::Past(shape)
        }
        _ => {
            let values = constant::values(spec.onnx_inputs.get(&value.name), path, value)?;
            InputSource::Constant(values, value.shape.clone().unwrap_or_default())
        }
    };
    let fits = match source {
        InputSource::UseCache => element == Element::Bool,
        InputSource::Past(_) => matches!(element, Element::Float32 | Element::Float16),
        // A mask may be of real numbers or of truth values; ids may not.
        InputSource::Mask => element != Element::Float16,
        InputSource::Constant(..) => true,
        _ => matches!(element, Element::Int64 | Element::Int32),
    };
    if !fits {
        let reason = format!("input `{}` holds {}", value.name, value.element);
        return Err(super::invalid(path, reason, None));
    }
    Ok(Input {
        name: value.name.clone(),
        element,
        source,
    })
}

/// Positions are counted from 0, but by the RoBERTa family from behind its padding id. Padding
/// takes no part, so its position need only be a valid one.
fn positions(spec: &EncoderSpec) -> InputSource {
    if family::of(&spec.architecture).positions != Positions::AfterPadding {
        return InputSource::Positions {
            first: 0,
            at_padding: 0,
        };
    }
    let padding = spec.config["pad_token_id"]
        .as_u64()
        .map_or(1, |id| id as u32);
    InputSource::Positions {
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
