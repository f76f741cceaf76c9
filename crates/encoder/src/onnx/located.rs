//! External data with its place written out. ONNX lets a tensor name a file without `offset` (the
//! beginning) and `length` (all of it), and with keys that a reader may ignore; rten wants both and no
//! other key.

use std::io::Cursor;

use korfinsts_base::protobuf::{Field, Message, Payload, Reader, WireError};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

impl Level {
    /// What a field of it is, where tensors may be in it.
    fn of_field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Self::Tensor,
            _ => return None,
        })
    }
}

/// The bytes of an ONNX file in which every tensor of external data says offset and length, in a file that is
/// [`renamed`]; `length` gives
/// the length of a file by its name.
pub(crate) fn located(bytes: &[u8], length: &dyn Fn(&str) -> u64) -> Result<Vec<u8>, WireError> {
    copied(bytes, Level::Model, length)
}

fn copied(bytes: &[u8], level: Level, length: &dyn Fn(&str) -> u64) -> Result<Vec<u8>, WireError> {
    let whole = bytes.len() as u64;
    let mut wire = Reader::new(Cursor::new(bytes), whole);
    let mut out = Vec::with_capacity(bytes.len());
    let mut place = None;
    let mut start = 0;
    while let Some(Field { number, payload }) = wire.next(whole)? {
        if let Payload::Bytes { end } = payload {
            let inside = &bytes[wire.position() as usize..end as usize];
            wire.skip(Field { number, payload })?;
            if level == Level::Tensor && number == 13 {
                let (key, value) = super::graph::entry_of(inside)?;
                let place: &mut Place = place.get_or_insert_default();
                match key.as_str() {
                    "location" => place.location = value,
                    "offset" => place.offset = value.trim().parse().unwrap_or(0),
                    "length" => place.length = value.trim().parse().ok(),
                    _ => {}
                }
            } else if let Some(inner) = level.of_field(number) {
                let inner = copied(inside, inner, length)?;
                out.extend(Message::default().bytes(number, &inner).finish());
            } else {
                out.extend_from_slice(&bytes[start..end as usize]);
            }
        } else {
            out.extend_from_slice(&bytes[start..wire.position() as usize]);
        }
        start = wire.position() as usize;
    }
    if let Some(place) = place {
        let name = place.location.trim_start_matches("./");
        let all = || length(name).saturating_sub(place.offset);
        for (key, value) in [
            ("location", renamed(name)),
            ("offset", place.offset.to_string()),
            ("length", place.length.unwrap_or_else(all).to_string()),
        ] {
            let entry = Message::default().text(1, key).text(2, &value);
            out.extend(Message::default().message(13, &entry).finish());
        }
    }
    Ok(out)
}

/// The name of a file in [`located`] bytes: with an ending that rten takes.
pub(crate) fn renamed(name: &str) -> String {
    format!("{name}.data")
}

/// Where the data of a tensor are.
#[derive(Debug, Default)]
struct Place {
    location: String,
    offset: u64,
    length: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(entries: &[(&str, &str)]) -> Message {
        let mut tensor = Message::default().number(1, 4).number(2, 1).text(8, "w");
        for (key, value) in entries {
            tensor = tensor.message(13, &Message::default().text(1, key).text(2, value));
        }
        tensor.number(14, 1)
    }

    #[test]
    fn offset_and_length_are_written_out_and_nothing_else_changes() {
        let bytes = |tensor: &Message| {
            let value = Message::default().text(1, "value").message(5, tensor);
            let node = Message::default().text(4, "Constant").message(5, &value);
            let graph = Message::default().message(1, &node).message(5, tensor);
            Message::default().number(1, 8).message(7, &graph).finish()
        };
        for given in [
            &[("location", "w.bin")][..],
            &[("location", "w.bin"), ("checksum", "0123")],
            &[("offset", "0"), ("location", "w.bin")],
        ] {
            let found = located(&bytes(&tensor(given)), &|_| 16).expect("a file");
            let text = String::from_utf8_lossy(&found).into_owned();
            assert!(
                text.matches("length").count() == 2 && text.matches("w.bin.data").count() == 2,
                "{text}"
            );
            assert!(!text.contains("checksum"), "{text}");
        }
        let plain = Message::default()
            .number(1, 4)
            .text(8, "w")
            .bytes(9, &[0; 16]);
        assert_eq!(
            located(&bytes(&plain), &|_| 1).expect("a file"),
            bytes(&plain)
        );
        assert!(located(&bytes(&plain)[..20], &|_| 1).is_err());
    }
}
