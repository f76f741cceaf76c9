//! What is read of an ONNX file: inputs, outputs, operators and where tensors are. Tensors
//! themselves are skipped.
//!
//! Field numbers follow `onnx.proto3` of ONNX 1.23 (IR version 14).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};

use korfinsts_base::protobuf::{Field, Payload, Reader, WireError};

pub(super) type Wire = Reader<BufReader<File>>;

/// Graphs inside attributes of nodes (`If`, `Loop`) may nest this deep.
const MAX_DEPTH: usize = 8;
/// More dimensions than this do not occur.
const MAX_RANK: usize = 64;
/// Most numbers of a tensor that is looked at for a size: one for each dimension, two for padding.
const MOST_CONSTANTS: usize = 2 * MAX_RANK;
/// Most elements that an operator may make where the file alone says how many; a causal mask of 16,384
/// tokens has as many.
const MOST_ELEMENTS: u128 = 1 << 28;
/// Elements of a `Range` whose step is 0.
const FOREVER: u128 = u128::MAX;
/// Most turns of a loop.
const MOST_TURNS: i64 = 1 << 16;

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
    /// Small whole numbers that the file itself holds, by name.
    constants: BTreeMap<String, Vec<i64>>,
    /// Nodes whose result is as large as one of their inputs says.
    growing: Vec<Growing>,
    /// What is known to run without end, or a loop within a loop.
    endless: Option<String>,
    loops: usize,
    initialised: BTreeSet<String>,
    /// Number of elements of each matrix, by name.
    matrices: BTreeMap<String, u64>,
    /// What a node looks rows up in.
    tables: BTreeSet<String>,
    seen: Seen,
}

/// A node whose result is as large as one of its inputs, or an attribute, says.
#[derive(Debug)]
struct Growing {
    operator: String,
    inputs: Vec<String>,
    attributes: Vec<(String, Vec<i64>)>,
}

impl Growing {
    /// Operators of this kind, and loops.
    const ALL: [&str; 11] = [
        "ConstantOfShape",
        "Expand",
        "Tile",
        "Upsample",
        "Resize",
        "OneHot",
        "Pad",
        "Range",
        "RandomNormal",
        "RandomUniform",
        "Loop",
    ];

    /// Elements of the result for each element of what goes in, where the file alone decides it.
    fn elements(&self, constants: &BTreeMap<String, Vec<i64>>) -> Option<u128> {
        let held = |input: usize| constants.get(self.inputs.get(input)?);
        let attribute = |name: &str| Some(&self.attributes.iter().find(|(n, _)| n == name)?.1);
        let positive = |n: &i64| u128::from(n.unsigned_abs()).max(1) * u128::from(*n > 0);
        let product = |sizes: &Vec<i64>| {
            let sizes = sizes.iter().map(|n| positive(n).max(1));
            sizes.fold(1_u128, u128::saturating_mul)
        };
        let only = |input: usize| match held(input)?[..] {
            [number] => Some(i128::from(number)),
            _ => None,
        };
        match self.operator.as_str() {
            "ConstantOfShape" => held(0).map(product),
            "Expand" | "Tile" | "OneHot" | "Upsample" => held(1).map(product),
            "Resize" => held(3).map(product),
            "RandomNormal" | "RandomUniform" => attribute("shape").map(product),
            "Pad" => held(1)
                .or(attribute("pads"))
                .map(|p| p.iter().map(positive).sum()),
            "Range" => {
                let (from, to, step) = (only(0)?, only(1)?, only(2)?);
                let count = (to - from).checked_div(step);
                count.map_or(Some(FOREVER), |n| Some(u128::try_from(n).unwrap_or(0)))
            }
            _ => None,
        }
    }
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
    /// What of the graph would take all memory or never end, whatever text it is given: a size that the
    /// file itself holds, or a loop without a bound that it holds.
    pub(super) fn boundless(&self) -> Option<String> {
        let large = self.growing.iter().find_map(|node| {
            let elements = node
                .elements(&self.constants)
                .filter(|n| *n > MOST_ELEMENTS)?;
            let found = match elements {
                FOREVER => "elements without end".to_owned(),
                // Nobody reads a number of forty digits.
                n if n > 1 << 64 => "more than 2^64 elements of one".to_owned(),
                n => format!("{n} elements of one"),
            };
            Some(format!(
                "an operator `{}` makes {found}, allowed are {MOST_ELEMENTS}",
                node.operator
            ))
        });
        large.or_else(|| self.endless.clone()).or_else(|| {
            let loops = self.growing.iter().filter(|node| node.operator == "Loop");
            let turns =
                |node: &Growing| match node.inputs.first().and_then(|n| self.constants.get(n)) {
                    Some(turns) => turns.iter().all(|n| *n <= MOST_TURNS),
                    None => false,
                };
            loops.into_iter().find(|node| !turns(node)).map(|_| {
                format!(
                    "an operator `Loop` has no number of turns in the file, or more than the \
                     {MOST_TURNS} that are allowed"
                )
            })
        })
    }

    /// Elements of the matrices that the file holds and that no node looks rows up in: those that each token is
    /// multiplied by. 0 where a matrix has no name, so that nobody knows what it is for.
    pub(super) fn multiplied(&self) -> u64 {
        if self.matrices.contains_key("") {
            return 0;
        }
        let weights = self
            .matrices
            .iter()
            .filter(|(name, _)| !self.tables.contains(*name));
        weights.map(|(_, elements)| elements).sum()
    }

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
                    let (name, numbers) = self.tensor(wire, end)?;
                    if !numbers.is_empty() {
                        self.constants.insert(name.clone(), numbers);
                    }
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
        let (mut inputs, mut output, mut attributes) = (Vec::new(), None, Vec::new());
        let outside = self.loops;
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (1, Payload::Bytes { end }) if inputs.len() < 4 => inputs.push(wire.string(end)?),
                (2, Payload::Bytes { end }) if output.is_none() => output = Some(wire.string(end)?),
                (4, Payload::Bytes { end }) => operator = wire.string(end)?,
                (7, Payload::Bytes { end }) => domain = wire.string(end)?,
                (5, Payload::Bytes { end }) => {
                    attributes.extend(self.attribute(wire, end, depth)?);
                }
                _ => wire.skip(field)?,
            }
        }
        if matches!(operator.as_str(), "Loop" | "Scan") {
            if self.loops > outside {
                self.endless = Some(format!("an operator `{operator}` holds another loop"));
            }
            self.loops += 1;
        }
        match (operator.as_str(), output) {
            ("Constant", Some(name)) => {
                self.constants
                    .extend(attributes.pop().map(|(_, value)| (name, value)));
            }
            (lookup, _) if lookup.starts_with("Gather") => {
                self.tables.extend(inputs.into_iter().next());
            }
            (known, _) if Growing::ALL.contains(&known) => self.growing.push(Growing {
                operator: operator.clone(),
                inputs,
                attributes,
            }),
            _ => {}
        }
        self.operators.insert((domain, operator));
        Ok(())
    }

    /// Reads an attribute; its name and value, where that is a few whole numbers.
    fn attribute(
        &mut self,
        wire: &mut Wire,
        end: u64,
        depth: usize,
    ) -> Result<Option<(String, Vec<i64>)>, WireError> {
        let (mut name, mut numbers) = (String::new(), Vec::new());
        while let Some(field) = wire.next(end)? {
            match (field.number, field.payload) {
                (1, Payload::Bytes { end }) => name = wire.string(end)?,
                (3 | 8, Payload::Varint(number)) => numbers.push(number as i64),
                (8, Payload::Bytes { end }) => packed(wire, end, &mut numbers)?,
                (5, Payload::Bytes { end }) => numbers = self.tensor(wire, end)?.1,
                (10, Payload::Bytes { end }) => {
                    self.tensor(wire, end)?;
                }
                (6 | 11, Payload::Bytes { end }) => self.graph(wire, end, depth + 1)?,
                (22 | 23, Payload::Bytes { end }) => self.sparse(wire, end)?,
                _ => wire.skip(field)?,
            }
            numbers.truncate(MOST_CONSTANTS);
        }
        Ok((!numbers.is_empty()).then_some((name, numbers)))
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
                    let (name, _) = self.tensor(wire, end)?;
                    self.initialised.insert(name);
                }
                _ => wire.skip(field)?,
            }
        }
        Ok(())
    }

    /// Reads all of a tensor but its values, and returns its name; and its values where they are a few
    /// 64-bit whole numbers.
    fn tensor(&mut self, wire: &mut Wire, end: u64) -> Result<(String, Vec<i64>), WireError> {
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
                (7, Payload::Varint(number)) if tensor.numbers.len() < MOST_CONSTANTS => {
                    tensor.numbers.push(number as i64);
                }
                (7, Payload::Bytes { end }) => packed(wire, end, &mut tensor.numbers)?,
                (9, Payload::Bytes { end }) => {
                    let length = end - wire.position();
                    tensor.raw = Some(length);
                    if length <= 8 * MOST_CONSTANTS as u64 {
                        tensor.bytes = wire.bytes(end)?;
                    }
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
        let is_weight = tensor.element.contains("float") || tensor.element.ends_with("int8");
        if tensor.rank == 2 && is_weight {
            self.matrices.insert(tensor.name.clone(), count);
        }
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
        let (words, _) = tensor.bytes.as_chunks::<8>();
        tensor
            .numbers
            .extend(words.iter().map(|w| i64::from_le_bytes(*w)));
        if tensor.element != "int64" {
            tensor.numbers.clear();
        }
        Ok((tensor.name, tensor.numbers))
    }
}

/// Whole numbers of a packed field, a few of them.
fn packed(wire: &mut Wire, end: u64, numbers: &mut Vec<i64>) -> Result<(), WireError> {
    while wire.position() < end && numbers.len() < MOST_CONSTANTS {
        numbers.push(wire.varint(end)? as i64);
    }
    wire.skip(Field {
        number: 0,
        payload: Payload::Bytes { end },
    })
}

#[derive(Default)]
struct Tensor {
    name: String,
    element: &'static str,
    /// Number of elements; `None` before the first dimension (a scalar).
    count: Option<u64>,
    rank: usize,
    raw: Option<u64>,
    /// The raw values, where they are few.
    bytes: Vec<u8>,
    /// Values of the field for 64-bit whole numbers.
    numbers: Vec<i64>,
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

/// Key and value of an entry that is whole in memory.
#[cfg(feature = "rten")]
pub(super) fn entry_of(bytes: &[u8]) -> Result<(String, String), WireError> {
    entry(
        &mut Reader::new(std::io::Cursor::new(bytes), bytes.len() as u64),
        bytes.len() as u64,
    )
}

fn entry<R: Read + Seek>(wire: &mut Reader<R>, end: u64) -> Result<(String, String), WireError> {
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
