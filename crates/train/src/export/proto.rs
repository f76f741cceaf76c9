//! The few messages of `onnx.proto` that a transformer needs.
//!
//! Field numbers are those of <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

pub use korfinsts_base::protobuf::Message;

/// Element type `FLOAT`.
pub const FLOAT: i64 = 1;
/// Element type `INT8`.
pub const INT8: i64 = 3;
/// Element type `INT64`.
pub const INT64: i64 = 7;
/// Element type `FLOAT16`.
pub const FLOAT16: i64 = 10;

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub enum Attribute<'a> {
    /// A whole number.
    Int(i64),
    /// A float.
    Float(f32),
    /// Whole numbers.
    Ints(&'a [i64]),
}

impl Attribute<'_> {
    fn encode(self, name: &str) -> Message {
        let message = Message::default().text(1, name);
        match self {
            Self::Float(value) => message.float(2, value).number(20, 1),
            Self::Int(value) => message.number(3, value).number(20, 2),
            Self::Ints(values) => values
                .iter()
                .fold(message, |m, value| m.number(8, *value))
                .number(20, 7),
        }
    }
}

/// `NodeProto`, named after the first of its outputs.
#[must_use]
pub fn node(
    operator: &str,
    inputs: &[&str],
    outputs: &[String],
    attributes: &[(&str, Attribute<'_>)],
) -> Message {
    let mut message = Message::default();
    for input in inputs {
        message = message.text(1, input);
    }
    for output in outputs {
        message = message.text(2, output);
    }
    message = message.text(3, &outputs[0]).text(4, operator);
    for (name, attribute) in attributes {
        message = message.message(5, &attribute.encode(name));
    }
    message
}

/// `ValueInfoProto` of a tensor; a dimension is a name or a number.
#[must_use]
pub fn value(name: &str, element: i64, shape: &[Result<i64, &str>]) -> Message {
    let mut dimensions = Message::default();
    for dimension in shape {
        let dimension = match dimension {
            Ok(number) => Message::default().number(1, *number),
            Err(name) => Message::default().text(2, name),
        };
        dimensions = dimensions.message(1, &dimension);
    }
    let tensor = Message::default()
        .number(1, element)
        .message(2, &dimensions);
    Message::default()
        .text(1, name)
        .message(2, &Message::default().message(1, &tensor))
}

/// `TensorProto` without its values.
#[must_use]
pub fn tensor(name: &str, element: i64, shape: &[usize]) -> Message {
    shape
        .iter()
        .fold(Message::default(), |m, d| m.number(1, *d as i64))
        .number(2, element)
        .text(8, name)
}
