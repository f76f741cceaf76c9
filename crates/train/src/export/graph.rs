//! A graph that is being built: nodes, tensors, names.

use std::collections::BTreeMap;

use super::precision::{Precision, eight_bits};
use super::proto::{self, Attribute, FLOAT, INT8, INT64, Message, node, tensor, value};
use super::refused;
use crate::TrainError;
use crate::save::Values;

/// One operator with the names of its inputs and outputs.
struct Node {
    operator: &'static str,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attributes: Vec<(&'static str, Stored)>,
}

/// An attribute that is kept.
enum Stored {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
}

/// A tensor of the graph.
struct Constant {
    name: String,
    element: i64,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Nodes and tensors.
pub(super) struct Graph {
    weights: BTreeMap<String, Values>,
    precision: Precision,
    nodes: Vec<Node>,
    constants: Vec<Constant>,
    known: BTreeMap<String, String>,
}

impl Graph {
    /// A graph over a model's tensors, whose matrices are stored as `precision` says.
    pub fn new(tensors: Vec<Values>, precision: Precision) -> Self {
        Self {
            precision,
            weights: tensors.into_iter().map(|t| (t.name.clone(), t)).collect(),
            nodes: Vec::new(),
            constants: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    /// Prefix of the names of this model's tensors.
    pub fn prefix(&self, anchor: &str) -> Result<String, TrainError> {
        self.weights
            .keys()
            .find_map(|n| n.strip_suffix(anchor).map(str::to_owned))
            .ok_or_else(|| refused(format!("the tensor `{anchor}` is missing"), None))
    }

    /// Whether the model has a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }

    /// A tensor of the model.
    pub fn take(&self, name: &str) -> Result<&Values, TrainError> {
        self.weights
            .get(name)
            .ok_or_else(|| refused(format!("the tensor `{name}` is missing"), None))
    }

    fn constant(
        &mut self,
        name: String,
        element: i64,
        shape: Vec<usize>,
        bytes: Vec<u8>,
    ) -> String {
        self.constants.push(Constant {
            name: name.clone(),
            element,
            shape,
            bytes,
        });
        name
    }

    /// Adds a tensor that is no part of the network.
    pub fn add(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.weights.insert(
            name.to_owned(),
            Values {
                name: name.to_owned(),
                shape: shape.to_vec(),
                values: values.to_vec(),
            },
        );
    }

    /// A tensor of the model as it is.
    pub fn weight(&mut self, name: &str) -> Result<String, TrainError> {
        let found = self.take(name)?;
        let shape = found.shape.clone();
        let bytes = floats(&found.values);
        Ok(self.constant(name.to_owned(), FLOAT, shape, bytes))
    }

    /// The first row of a matrix, as a vector.
    pub fn first_row(&mut self, name: &str) -> Result<String, TrainError> {
        let found = self.take(name)?;
        let width = found.shape.last().copied().unwrap_or(0);
        let bytes = floats(&found.values[..width.min(found.values.len())]);
        Ok(self.constant(format!("{name}.0"), FLOAT, vec![width], bytes))
    }

    /// Rows of the matrix `name`, by ids.
    pub fn rows(&mut self, name: &str, ids: &str) -> Result<String, TrainError> {
        let found = self.take(name)?;
        let shape = found.shape.clone();
        if self.precision == Precision::Int8 {
            let (numbers, scales) = eight_bits(&found.values, shape.last().copied().unwrap_or(1));
            let rows = self.constant(name.to_owned(), INT8, shape, bytes(&numbers));
            let scale = self.constant(
                format!("{name}.scale"),
                FLOAT,
                vec![scales.len(), 1],
                floats(&scales),
            );
            let rows = self.op("Gather", &[&rows, ids], &[]);
            let rows = self.op("Cast", &[&rows], &[("to", Attribute::Int(FLOAT))]);
            let scale = self.op("Gather", &[&scale, ids], &[]);
            return Ok(self.op("Mul", &[&rows, &scale], &[]));
        }
        let (element, stored) = self.precision.floats(&found.values);
        let rows = self.constant(name.to_owned(), element, shape, stored);
        let rows = self.op("Gather", &[&rows, ids], &[]);
        Ok(self.as_float(element, rows))
    }

    /// `x W^T + b` for the layer `name`, whose bias may be absent.
    pub fn linear(&mut self, x: &str, name: &str) -> Result<String, TrainError> {
        let found = self.take(&format!("{name}.weight"))?;
        let &[outputs, inputs] = found.shape.as_slice() else {
            return Err(refused(format!("`{name}.weight` is no matrix"), None));
        };
        let weight = format!("{name}.weight.T");
        let y = if self.precision == Precision::Int8 {
            let (numbers, scales) = eight_bits(&found.values, inputs);
            let numbers = bytes(&transposed(&numbers, inputs));
            let weight = self.constant(weight, INT8, vec![inputs, outputs], numbers);
            let scale = self.constant(
                format!("{name}.weight.scale"),
                FLOAT,
                vec![outputs],
                floats(&scales),
            );
            self.product_of_integers(x, &weight, &scale)
        } else {
            let (element, stored) = self.precision.floats(&transposed(&found.values, inputs));
            let weight = self.constant(weight, element, vec![inputs, outputs], stored);
            let weight = self.as_float(element, weight);
            self.op("MatMul", &[x, &weight], &[])
        };
        let bias = format!("{name}.bias");
        if !self.weights.contains_key(&bias) {
            return Ok(y);
        }
        let bias = self.weight(&bias)?;
        Ok(self.op("Add", &[&y, &bias], &[]))
    }

    /// `x W` with `x` in unsigned 8-bit numbers of a range that is found while the graph runs, one for all rows,
    /// and `W` in signed ones.
    fn product_of_integers(&mut self, x: &str, weight: &str, scale: &str) -> String {
        let numbers = match self.known.get(&format!("q{x}")) {
            Some(numbers) => numbers.clone(),
            None => {
                let numbers = self.op_with("DynamicQuantizeLinear", &[x], &[], 3);
                self.known.insert(format!("q{x}"), numbers.clone());
                numbers
            }
        };
        let (range, zero) = (format!("{numbers}.1"), format!("{numbers}.2"));
        let y = self.op("MatMulInteger", &[&numbers, weight, &zero], &[]);
        let y = self.op("Cast", &[&y], &[("to", Attribute::Int(FLOAT))]);
        let scale = self.op("Mul", &[scale, &range], &[]);
        self.op("Mul", &[&y, &scale], &[])
    }

    /// A tensor as float32, whatever it is stored as.
    fn as_float(&mut self, element: i64, x: String) -> String {
        if element == FLOAT {
            return x;
        }
        self.op("Cast", &[&x], &[("to", Attribute::Int(FLOAT))])
    }

    /// Layer normalisation over the last axis.
    pub fn layer_norm(&mut self, x: &str, name: &str, epsilon: f32) -> Result<String, TrainError> {
        let weight = self.weight(&format!("{name}.weight"))?;
        let mut inputs = vec![x.to_owned(), weight];
        let bias = format!("{name}.bias");
        if self.has(&bias) {
            inputs.push(self.weight(&bias)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = [
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(epsilon)),
        ];
        Ok(self.op("LayerNormalization", &inputs, &attributes))
    }

    /// Root-mean-square normalisation over the last axis.
    pub fn rms_norm(&mut self, x: &str, name: &str, epsilon: f32) -> Result<String, TrainError> {
        let weight = self.weight(&format!("{name}.weight"))?;
        let epsilon = self.float(epsilon);
        let square = self.op("Mul", &[x, x], &[]);
        let attributes = [
            ("axes", Attribute::Ints(&[-1])),
            ("keepdims", Attribute::Int(1)),
        ];
        let mean = self.op("ReduceMean", &[&square], &attributes);
        let mean = self.op("Add", &[&mean, &epsilon], &[]);
        let root = self.op("Sqrt", &[&mean], &[]);
        let x = self.op("Div", &[x, &root], &[]);
        Ok(self.op("Mul", &[&x, &weight], &[]))
    }

    /// The two halves of the last axis, which is `width` wide.
    pub fn halves(&mut self, x: &str, width: usize) -> [String; 2] {
        let half = width as i64 / 2;
        let sizes = self.ints(&[half, half]);
        let first = self.op_with("Split", &[x, &sizes], &[("axis", Attribute::Int(-1))], 2);
        let second = format!("{first}.1");
        [first, second]
    }

    /// The three parts of the last axis, each `width` wide.
    pub fn thirds(&mut self, x: &str, width: usize) -> [String; 3] {
        let sizes = self.ints(&[width as i64; 3]);
        let first = self.op_with("Split", &[x, &sizes], &[("axis", Attribute::Int(-1))], 3);
        let (second, third) = (format!("{first}.1"), format!("{first}.2"));
        [first, second, third]
    }

    /// Numbers of the network that are no tensor of the model.
    pub fn floats(&mut self, values: &[f32]) -> String {
        let key = format!("v{values:?}");
        self.shared(key, FLOAT, vec![values.len()], floats(values))
    }

    fn shared(&mut self, key: String, element: i64, shape: Vec<usize>, bytes: Vec<u8>) -> String {
        if let Some(name) = self.known.get(&key) {
            return name.clone();
        }
        let name = self.constant(
            format!("constant.{}", self.known.len()),
            element,
            shape,
            bytes,
        );
        self.known.insert(key, name.clone());
        name
    }

    /// A scalar.
    pub fn float(&mut self, value: f32) -> String {
        let bytes = value.to_le_bytes().to_vec();
        self.shared(format!("f{value:e}"), FLOAT, vec![], bytes)
    }

    /// A whole scalar.
    pub fn int(&mut self, value: i64) -> String {
        let bytes = value.to_le_bytes().to_vec();
        self.shared(format!("i{value}"), INT64, vec![], bytes)
    }

    /// Whole numbers.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.shared(format!("l{values:?}"), INT64, vec![values.len()], bytes)
    }

    /// Adds a node; gives the name of its output.
    pub fn op(
        &mut self,
        operator: &'static str,
        inputs: &[&str],
        attributes: &[(&'static str, Attribute<'_>)],
    ) -> String {
        self.op_with(operator, inputs, attributes, 1)
    }

    /// Adds a node with several outputs; gives the name of the first, to which the others add `.1`, `.2`.
    fn op_with(
        &mut self,
        operator: &'static str,
        inputs: &[&str],
        attributes: &[(&'static str, Attribute<'_>)],
        outputs: usize,
    ) -> String {
        let output = format!("{operator}.{}", self.nodes.len());
        let others = (1..outputs).map(|i| format!("{output}.{i}"));
        self.nodes.push(Node {
            operator,
            inputs: inputs.iter().map(|i| (*i).to_owned()).collect(),
            outputs: std::iter::once(output.clone()).chain(others).collect(),
            attributes: attributes
                .iter()
                .map(|(name, attribute)| {
                    let stored = match attribute {
                        Attribute::Int(value) => Stored::Int(*value),
                        Attribute::Float(value) => Stored::Float(*value),
                        Attribute::Ints(values) => Stored::Ints(values.to_vec()),
                    };
                    (*name, stored)
                })
                .collect(),
        });
        output
    }

    /// Gives an output another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        for node in &mut self.nodes {
            for name in node.outputs.iter_mut().chain(&mut node.inputs) {
                if name == from {
                    to.clone_into(name);
                }
            }
        }
    }

    /// The model's bytes, and the tensors outside it, where there are any.
    pub fn finish(
        self,
        opset: i64,
        dimension: usize,
        inside: usize,
        data_file: &str,
    ) -> (Vec<u8>, Option<Vec<Vec<u8>>>) {
        let external = self.constants.iter().map(|c| c.bytes.len()).sum::<usize>() > inside;
        let mut graph = Message::default();
        for found in &self.nodes {
            let inputs: Vec<&str> = found.inputs.iter().map(String::as_str).collect();
            let attributes: Vec<(&str, Attribute<'_>)> = found
                .attributes
                .iter()
                .map(|(name, stored)| {
                    let attribute = match stored {
                        Stored::Int(value) => Attribute::Int(*value),
                        Stored::Float(value) => Attribute::Float(*value),
                        Stored::Ints(values) => Attribute::Ints(values),
                    };
                    (*name, attribute)
                })
                .collect();
            let encoded = node(found.operator, &inputs, &found.outputs, &attributes);
            graph = graph.message(1, &encoded);
        }
        graph = graph.text(2, "sentence-encoder");
        let mut data = Vec::new();
        let mut offset = 0;
        for constant in self.constants {
            let mut message = tensor(&constant.name, constant.element, &constant.shape);
            // Shapes and axes are read before any file is.
            if external && constant.element != INT64 && constant.bytes.len() >= 1024 {
                let length = constant.bytes.len();
                for (key, value) in [
                    ("location", data_file.to_owned()),
                    ("offset", offset.to_string()),
                    ("length", length.to_string()),
                ] {
                    let entry = Message::default().text(1, key).text(2, &value);
                    message = message.message(13, &entry);
                }
                message = message.number(14, 1);
                offset += length;
                data.push(constant.bytes);
                // Mapped files want tensors at whole pages.
                let gap = offset.next_multiple_of(4096) - offset;
                if gap > 0 {
                    data.push(vec![0; gap]);
                    offset += gap;
                }
            } else {
                message = message.bytes(9, &constant.bytes);
            }
            graph = graph.message(5, &message);
        }
        let text = [Err("batch"), Err("sequence")];
        graph = graph
            .message(11, &value("input_ids", INT64, &text))
            .message(11, &value("attention_mask", INT64, &text))
            .message(
                12,
                &value(
                    "sentence_embedding",
                    proto::FLOAT,
                    &[Err("batch"), Ok(dimension as i64)],
                ),
            );
        let model = Message::default()
            .number(1, 8)
            .text(2, "korfinsts")
            .text(3, korfinsts_base::VERSION)
            .message(7, &graph)
            .message(8, &Message::default().text(1, "").number(2, opset));
        (model.finish(), external.then_some(data))
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    Precision::Float32.floats(values).1
}

fn bytes(numbers: &[i8]) -> Vec<u8> {
    numbers.iter().map(|n| n.cast_unsigned()).collect()
}

/// A row-major matrix with rows of `width`, column by column.
fn transposed<T: Copy>(values: &[T], width: usize) -> Vec<T> {
    (0..width)
        .flat_map(|column| values.iter().skip(column).step_by(width).copied())
        .collect()
}
