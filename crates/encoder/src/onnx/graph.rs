//! What is read of an ONNX file: inputs, outputs, operators and where tensors are. Tensors
//! themselves are skipped.
//!
//! Field numbers follow `onnx.proto3` of ONNX 1.23 (IR version 14).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;

use korfinsts_base::protobuf::{Field, Payload, Reader, WireError};

pub(super) type Wire = Reader<BufReader<File>>;

/// Graphs inside attributes of nodes (`If`, `Loop`) may nest this deep.
const MAX_DEPTH: usize = 8;
/// More dimensions than this do not occur.
const MAX_RANK: usize = 64;

/// One dimension of a declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// Always this size.
    Fixed(u64),
    /// Known when the graph runs.
    Free,
}

/// A declared input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) name: String,
    /// Element type, as [`element_name`] gives it; empty where none is declared.
    pub(crate) element: &'static str,
    /// Shape, where one is declared.
    pub(crate) shape: Option<Vec<Dimension>>,
}

/// A piece of an external data file that holds a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct External {
    pub(super) tensor: String,
    pub(super) location: String,
    pub(super) offset: u64,
    pub(super) length: Option<u64>,
    /// Bytes that shape and element type ask for, where that is known.
    pub(super) wanted: Option<u64>,
}

/// What was read of a file.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Inputs that have no initial value.
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
    /// `(domain, operator)` of every node, functions of the model itself left out.
    pub(super) operators: BTreeSet<(String, String)>,
    pub(super) externals: Vec<External>,
    /// Number of tensor elements by element type.
    pub(super) elements: BTreeMap<&'static str, u64>,
    functions: BTreeSet<(String, String)>,
    initialised: BTreeSet<String>,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    ir_version: bool,
    graph: bool,
}

/// Name of an element type of `TensorProto.DataType`.
pub(super) fn element_name(code: u64) -> &'static str {
    match code {
        1 => "float32",
        2 => "uint8",
        3 => "int8",
        4 => "uint16",
        5 => "int16",
        6 => "int32",
        7 => "int64",
        8 => "string",
        9 => "bool",
        10 => "float16",
        11 => "float64",
        12 => "uint32",
        13 => "uint64",
        14 => "complex64",
        15 => "complex128",
        16 => "bfloat16",
        17..=20 => "float8",
        21 => "uint4",
        22 => "int4",
        23 => "float4",
        _ => "unknown",
    }
}

/// Bytes of one element; `None` where elements are packed or of varying size.
fn element_bytes(element: &str) -> Option<u64> {
    Some(match element {
        "uint8" | "int8" | "bool" | "float8" => 1,
        "uint16" | "int16" | "float16" | "bfloat16" => 2,
        "float32" | "int32" | "uint32" => 4,
        "float64" | "int64" | "uint64" | "complex64" => 8,
        "complex128" => 16,
        _ => return None,
    })
}

/// Reads the graph of a file.
pub(super) fn read(wire: &mut Wire) -> Result<Graph, WireError> {
    let mut graph = Graph::default();
    graph.model(wire)?;
    if !graph.seen.graph {
        return Err(wire.malformed("no graph in it"));
    }
    if !graph.seen.ir_version {
        return Err(wire.malformed("no IR version in it"));
    }
    if graph.outputs.is_empty() {
        return Err(wire.malformed("a graph without outputs"));
    }
    let initialised = std::mem::take(&mut graph.initialised);
    graph.inputs.retain(|v| !initialised.contains(&v.name));
    let functions = std::mem::take(&mut graph.functions);
    graph.operators.retain(|o| !functions.contains(o));
    Ok(graph)
}

impl Graph {
    fn model(&mut self, wire: &mut Wire) -> Result<(), WireError> {
        let end = wire.length();
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (1, Payload::Varint(version)) => self.seen.ir_version = version > 0,
                (7, Payload::Bytes { end }) => {
                    self.seen.graph = true;
                    self.graph(wire, end, 0)?;
                }
                (25, Payload::Bytes { end }) => self.function(wire, end)?,
                _ => wire.skip(field)?,
            }
        }
        Ok(())
    }

    fn graph(&mut self, wire: &mut Wire, end: u64, depth: usize) -> Result<(), WireError> {
        if depth > MAX_DEPTH {
            return Err(wire.malformed(format!("graphs nested deeper than {MAX_DEPTH}")));
        }
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (1, Payload::Bytes { end }) => self.node(wire, end, depth)?,
                (5, Payload::Bytes { end }) => {
                    let name = self.tensor(wire, end)?;
                    if depth == 0 {
                        self.initialised.insert(name);
                    }
                }
                (11, Payload::Bytes { end }) if depth == 0 => {
                    let value = value(wire, end)?;
                    self.inputs.push(value);
                }
                (12, Payload::Bytes { end }) if depth == 0 => {
                    let value = value(wire, end)?;
                    self.outputs.push(value);
                }
                (15, Payload::Bytes { end }) => self.sparse(wire, end)?,
                _ => wire.skip(field)?,
            }
        }
        Ok(())
    }

    fn node(&mut self, wire: &mut Wire, end: u64, depth: usize) -> Result<(), WireError> {
        let (mut operator, mut domain) = (String::new(), String::new());
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (4, Payload::Bytes { end }) => operator = wire.string(end)?,
                (7, Payload::Bytes { end }) => domain = wire.string(end)?,
                (5, Payload::Bytes { end }) => self.attribute(wire, end, depth)?,
                _ => wire.skip(field)?,
            }
        }
        self.operators.insert((domain, operator));
        Ok(())
    }

    fn attribute(&mut self, wire: &mut Wire, end: u64, depth: usize) -> Result<(), WireError> {
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (5 | 10, Payload::Bytes { end }) => {
                    self.tensor(wire, end)?;
                }
                (6 | 11, Payload::Bytes { end }) => self.graph(wire, end, depth + 1)?,
                (22 | 23, Payload::Bytes { end }) => self.sparse(wire, end)?,
                _ => wire.skip(field)?,
            }
        }
        Ok(())
    }

    fn function(&mut self, wire: &mut Wire, end: u64) -> Result<(), WireError> {
        let (mut name, mut domain) = (String::new(), String::new());
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (1, Payload::Bytes { end }) => name = wire.string(end)?,
                (10, Payload::Bytes { end }) => domain = wire.string(end)?,
                (7, Payload::Bytes { end }) => self.node(wire, end, 1)?,
                _ => wire.skip(field)?,
            }
        }
        self.functions.insert((domain, name));
        Ok(())
    }

    fn sparse(&mut self, wire: &mut Wire, end: u64) -> Result<(), WireError> {
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (1 | 2, Payload::Bytes { end }) => {
                    let name = self.tensor(wire, end)?;
                    self.initialised.insert(name);
                }
                _ => wire.skip(field)?,
            }
        }
        Ok(())
    }

    /// Reads all of a tensor but its values, and returns its name.
    fn tensor(&mut self, wire: &mut Wire, end: u64) -> Result<String, WireError> {
        let mut tensor = Tensor::default();
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (1, Payload::Varint(size)) => tensor.dimension(wire, size)?,
                (1, Payload::Bytes { end }) => {
                    while wire.position() < end {
                        let size = wire.varint(end)?;
                        tensor.dimension(wire, size)?;
                    }
                }
                (2, Payload::Varint(code)) => tensor.element = element_name(code),
                (8, Payload::Bytes { end }) => tensor.name = wire.string(end)?,
                (9, Payload::Bytes { end }) => {
                    tensor.raw = Some(end - wire.position());
                    wire.skip(field)?;
                }
                (13, Payload::Bytes { end }) => {
                    let (key, value) = entry(wire, end)?;
                    tensor.entries.insert(key, value);
                }
                (14, Payload::Varint(location)) => tensor.external = location == 1,
                _ => wire.skip(field)?,
            }
        }
        let count = tensor.count.unwrap_or(1);
        *self.elements.entry(tensor.element).or_default() += count;
        let wanted = element_bytes(tensor.element).and_then(|bytes| bytes.checked_mul(count));
        if tensor.external {
            let external = tensor.external(wire, wanted)?;
            self.externals.push(external);
        } else if let (Some(found), Some(wanted)) = (tensor.raw, wanted)
            && found != wanted
        {
            return Err(wire.malformed(format!(
                "tensor `{}` holds {found} bytes, its shape needs {wanted}",
                tensor.name
            )));
        }
        Ok(tensor.name)
    }
}

#[derive(Default)]
struct Tensor {
    name: String,
    element: &'static str,
    /// Number of elements; `None` before the first dimension (a scalar).
    count: Option<u64>,
    rank: usize,
    raw: Option<u64>,
    external: bool,
    entries: BTreeMap<String, String>,
}

impl Tensor {
    fn dimension(&mut self, wire: &Wire, size: u64) -> Result<(), WireError> {
        self.rank += 1;
        let count = self.count.unwrap_or(1).checked_mul(size);
        // Sizes are signed on the wire; a negative one shows up as one above `i64::MAX`.
        match count.filter(|_| self.rank <= MAX_RANK && i64::try_from(size).is_ok()) {
            Some(count) => {
                self.count = Some(count);
                Ok(())
            }
            None => Err(wire.malformed(format!("tensor `{}` has an impossible shape", self.name))),
        }
    }

    fn external(&self, wire: &Wire, wanted: Option<u64>) -> Result<External, WireError> {
        let number = |key: &str| match self.entries.get(key) {
            None => Ok(None),
            Some(text) => text.trim().parse::<u64>().map(Some).map_err(|_| {
                wire.malformed(format!(
                    "tensor `{}` has {key} `{text}`, which is no number",
                    self.name
                ))
            }),
        };
        let location = self.entries.get("location").cloned().unwrap_or_default();
        Ok(External {
            tensor: self.name.clone(),
            location,
            offset: number("offset")?.unwrap_or(0),
            length: number("length")?,
            wanted,
        })
    }
}

fn entry(wire: &mut Wire, end: u64) -> Result<(String, String), WireError> {
    let (mut key, mut value) = (String::new(), String::new());
    while let Some(field) = wire.next(end)? {
        match (field.number, field.payload) {
            (1, Payload::Bytes { end }) => key = wire.string(end)?,
            (2, Payload::Bytes { end }) => value = wire.string(end)?,
            _ => wire.skip(field)?,
        }
    }
    Ok((key, value))
}

/// A `ValueInfoProto`.
fn value(wire: &mut Wire, end: u64) -> Result<Value, WireError> {
    let mut value = Value {
        name: String::new(),
        element: "",
        shape: None,
    };
    while let Some(field) = wire.next(end)? {
        match (field.number, field.payload) {
            (1, Payload::Bytes { end }) => value.name = wire.string(end)?,
            (2, Payload::Bytes { end }) => {
                within(wire, end, 1, |wire, end| tensor_type(wire, end, &mut value))?;
            }
            _ => wire.skip(field)?,
        }
    }
    Ok(value)
}

fn tensor_type(wire: &mut Wire, end: u64, value: &mut Value) -> Result<(), WireError> {
    while let Some(field) = wire.next(end)? {
        match (field.number, field.payload) {
            (1, Payload::Varint(code)) => value.element = element_name(code),
            (2, Payload::Bytes { end }) => {
                let mut shape = Vec::new();
                within(wire, end, 1, |wire, end| {
                    if shape.len() == MAX_RANK {
                        return Err(wire.malformed("a shape with too many dimensions"));
                    }
                    shape.push(dimension(wire, end)?);
                    Ok(())
                })?;
                value.shape = Some(shape);
            }
            _ => wire.skip(field)?,
        }
    }
    Ok(())
}

fn dimension(wire: &mut Wire, end: u64) -> Result<Dimension, WireError> {
    let mut found = Dimension::Free;
    while let Some(field) = wire.next(end)? {
        match (field.number, field.payload) {
            // Zero and negative sizes are how some exporters write "unknown".
            (1, Payload::Varint(size)) if (1..=i64::MAX as u64).contains(&size) => {
                found = Dimension::Fixed(size);
            }
            _ => wire.skip(field)?,
        }
    }
    Ok(found)
}

/// Runs `read` on every message of field `number` up to `end`.
fn within(
    wire: &mut Wire,
    end: u64,
    number: u64,
    mut read: impl FnMut(&mut Wire, u64) -> Result<(), WireError>,
) -> Result<(), WireError> {
    while let Some(field) = wire.next(end)? {
        match field {
            Field {
                number: n,
                payload: Payload::Bytes { end },
            } if n == number => read(wire, end)?,
            _ => wire.skip(field)?,
        }
    }
    Ok(())
}
