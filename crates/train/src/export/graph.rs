//! A graph that is being built: nodes, tensors, names.

use std::collections::BTreeMap;

use super::proto::{self, Attribute, FLOAT, INT64, Message, node, tensor, value};
use super::refused;
use crate::TrainError;
use crate::save::Values;

/// One operator with the names of its inputs and output.
struct Node {
    operator: &'static str,
    inputs: Vec<String>,
    output: String,
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
    nodes: Vec<Node>,
    constants: Vec<Constant>,
    known: BTreeMap<String, String>,
}

impl Graph {
    /// A graph over a model's tensors.
    pub fn new(tensors: Vec<Values>) -> Self {
        Self {
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

    fn take(&self, name: &str) -> Result<&Values, TrainError> {
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

    /// `x W^T + b` for the layer `name`, whose bias may be absent.
    pub fn linear(&mut self, x: &str, name: &str) -> Result<String, TrainError> {
        let found = self.take(&format!("{name}.weight"))?;
        let &[outputs, inputs] = found.shape.as_slice() else {
            return Err(refused(format!("`{name}.weight` is no matrix"), None));
        };
        let mut turned = Vec::with_capacity(4 * inputs * outputs);
        for column in 0..inputs {
            for row in 0..outputs {
                turned.extend(found.values[row * inputs + column].to_le_bytes());
            }
        }
        let weight = self.constant(
            format!("{name}.weight.T"),
            FLOAT,
            vec![inputs, outputs],
            turned,
        );
        let y = self.op("MatMul", &[x, &weight], &[]);
        let bias = format!("{name}.bias");
        if !self.weights.contains_key(&bias) {
            return Ok(y);
        }
        let bias = self.weight(&bias)?;
        Ok(self.op("Add", &[&y, &bias], &[]))
    }

    /// Layer normalisation over the last axis.
    pub fn layer_norm(&mut self, x: &str, name: &str, epsilon: f32) -> Result<String, TrainError> {
        let weight = self.weight(&format!("{name}.weight"))?;
        let bias = self.weight(&format!("{name}.bias"))?;
        let attributes = [
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(epsilon)),
        ];
        Ok(self.op("LayerNormalization", &[x, &weight, &bias], &attributes))
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
        let output = format!("{operator}.{}", self.nodes.len());
        self.nodes.push(Node {
            operator,
            inputs: inputs.iter().map(|i| (*i).to_owned()).collect(),
            output: output.clone(),
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
            if node.output == from {
                to.clone_into(&mut node.output);
            }
            for input in node.inputs.iter_mut().filter(|i| *i == from) {
                to.clone_into(input);
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
            let encoded = node(found.operator, &inputs, &found.output, &attributes);
            graph = graph.message(1, &encoded);
        }
        graph = graph.text(2, "sentence-encoder");
        let mut data = Vec::new();
        let mut offset = 0;
        for constant in self.constants {
            let mut message = tensor(&constant.name, constant.element, &constant.shape);
            // Shapes and axes are read before any file is.
            if external && constant.element == FLOAT && constant.bytes.len() >= 1024 {
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
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
