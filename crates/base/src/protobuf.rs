//! Protocol buffers as bytes: a bounded reader and a writer of messages. Used for ONNX graphs and
//! SentencePiece models.
//!
//! The reader allocates nothing that the input does not hold, and skips what is not asked for, by
//! seeking.

use std::io::{Read, Seek};

/// Longest name, domain or key that is read; longer ones do not occur and are refused.
const MAX_STRING: u64 = 1 << 16;

/// Bytes that are not what the format allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct WireError {
    /// Offset in the input, in bytes.
    pub at: u64,
    /// What is wrong.
    pub what: String,
}

/// The payload of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// A number.
    Varint(u64),
    /// Four bytes: a number in little-endian order, often a float.
    Fixed32([u8; 4]),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// Bytes that follow, up to this offset: a string, a message, packed numbers.
    Bytes {
        /// Offset of the first byte behind the field.
        end: u64,
    },
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Field number.
    pub number: u64,
    /// Its payload.
    pub payload: Payload,
}

/// A reader of messages, and its position in them.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    position: u64,
    length: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// A reader of an input of `length` bytes, from its beginning.
    pub fn new(input: R, length: u64) -> Self {
        Self {
            input,
            position: 0,
            length,
        }
    }

    /// Size of the input in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// An error at this offset.
    #[must_use]
    pub fn malformed(&self, what: impl Into<String>) -> WireError {
        WireError {
            at: self.position,
            what: what.into(),
        }
    }

    /// The next field of the message that ends at `end`; `None` at its end.
    ///
    /// # Errors
    /// When the bytes are no field, or one that reaches beyond `end`.
    pub fn next(&mut self, end: u64) -> Result<Option<Field>, WireError> {
        if self.position >= end {
            return Ok(None);
        }
        let key = self.varint(end)?;
        let number = key >> 3;
        if number == 0 || number > (1 << 29) {
            return Err(self.malformed(format!("field number {number} does not exist")));
        }
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint(end)?),
            1 => Payload::Fixed64(self.fixed(end)?),
            2 => {
                let length = self.varint(end)?;
                let last = self.position.checked_add(length).filter(|&e| e <= end);
                match last {
                    Some(end) => Payload::Bytes { end },
                    None => {
                        return Err(self.malformed(format!(
                            "a field of {length} bytes in a message with {} bytes left",
                            end - self.position
                        )));
                    }
                }
            }
            5 => Payload::Fixed32(self.fixed(end)?),
            other => return Err(self.malformed(format!("wire type {other} is not allowed"))),
        };
        Ok(Some(Field { number, payload }))
    }

    /// Skips what is left of a field.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn skip(&mut self, field: Field) -> Result<(), WireError> {
        match field.payload {
            Payload::Bytes { end } => self.seek(end),
            _ => Ok(()),
        }
    }

    /// Reads a field of text, of at most 64 KiB.
    ///
    /// # Errors
    /// When it is longer, or is not UTF-8.
    pub fn string(&mut self, end: u64) -> Result<String, WireError> {
        let length = end - self.position;
        if length > MAX_STRING {
            return Err(self.malformed(format!("a name of {length} bytes")));
        }
        let bytes = self.bytes(end)?;
        String::from_utf8(bytes).map_err(|_| self.malformed("a name that is not UTF-8"))
    }

    /// Reads a field of bytes.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn bytes(&mut self, end: u64) -> Result<Vec<u8>, WireError> {
        let mut bytes = vec![0; (end - self.position) as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a number that may run up to `end`.
    ///
    /// # Errors
    /// When it is cut off, or has more than 64 bits.
    pub fn varint(&mut self, end: u64) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            if self.position >= end {
                return Err(self.malformed("a number is cut off"));
            }
            let mut byte = [0];
            self.fill(&mut byte)?;
            let bits = u64::from(byte[0] & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed("a number of more than 64 bits"))
    }

    fn fixed<const N: usize>(&mut self, end: u64) -> Result<[u8; N], WireError> {
        if end - self.position < N as u64 {
            return Err(self.malformed("a number is cut off"));
        }
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), WireError> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.position += bytes.len() as u64;
                Ok(())
            }
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn seek(&mut self, to: u64) -> Result<(), WireError> {
        let distance = i64::try_from(to - self.position).unwrap_or(i64::MAX);
        match self.input.seek_relative(distance) {
            Ok(()) => {
                self.position = to;
                Ok(())
            }
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn failed(&self, error: &std::io::Error) -> WireError {
        self.malformed(format!("reading stopped: {error}"))
    }
}

/// One protobuf message that is being written.
#[derive(Debug, Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A whole number.
    #[must_use]
    pub fn number(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    /// A float.
    #[must_use]
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A float of eight bytes.
    #[must_use]
    pub fn double(mut self, field: u64, value: f64) -> Self {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A text.
    #[must_use]
    pub fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A message within this one.
    #[must_use]
    pub fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<Field>, String> {
        let end = bytes.len() as u64;
        let (mut wire, mut found) = (Reader::new(Cursor::new(bytes), end), Vec::new());
        loop {
            match wire.next(end) {
                Ok(Some(field)) => {
                    found.push(field);
                    wire.skip(field).map_err(|e| format!("{e:?}"))?;
                }
                Ok(None) => return Ok(found),
                Err(WireError { what, .. }) => return Err(what),
            }
        }
    }

    #[test]
    fn fields_of_every_wire_type_are_read() {
        let bytes = [
            0x08, 0x96, 0x01, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'o', b'k', 0x25, 0, 0, 0, 0,
        ];
        let found = fields(&bytes).expect("valid");
        let numbers: Vec<u64> = found.iter().map(|f| f.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(found[0].payload, Payload::Varint(150));
    }

    #[test]
    fn what_is_written_is_read() {
        let inner = Message::default().text(1, "금리").float(2, -0.5);
        let bytes = Message::default().number(3, -1).message(4, &inner);
        let bytes = bytes.double(5, 0.1).finish();
        let end = bytes.len() as u64;
        let mut wire = Reader::new(Cursor::new(&bytes), end);
        let mut next = |end| wire.next(end).expect("valid").expect("a field").payload;
        assert_eq!(next(end), Payload::Varint(u64::MAX));
        let Payload::Bytes { end: inside } = next(end) else {
            panic!("a message");
        };
        let Payload::Bytes { end } = next(inside) else {
            panic!("a text");
        };
        assert_eq!(wire.string(end).expect("a text"), "금리");
        let float = wire.next(inside).expect("valid").expect("a field").payload;
        assert_eq!(float, Payload::Fixed32((-0.5_f32).to_le_bytes()));
        assert_eq!(wire.next(inside), Ok(None));
        let double = wire.next(bytes.len() as u64).expect("valid");
        let double = double.expect("a field").payload;
        assert_eq!(double, Payload::Fixed64(0.1_f64.to_le_bytes()));
    }

    #[test]
    fn malformed_bytes_are_refused() {
        for (bytes, reason) in [
            (&[0x08][..], "cut off"),
            (&[0x00, 0x00], "field number 0"),
            (&[0x0b], "wire type 3"),
            (
                &[0x0a, 0x05, b'x'],
                "5 bytes in a message with 1 bytes left",
            ),
            (&[0x11, 0, 0], "cut off"),
            (
                &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                "more than 64 bits",
            ),
            (
                &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                "18446744073709551615 bytes",
            ),
        ] {
            let error = fields(bytes).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
