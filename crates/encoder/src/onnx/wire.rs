//! A bounded reader of protobuf's wire format over a file: reads names and numbers, skips tensors
//! by seeking, and allocates nothing that the file does not hold.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use korfinsts_base::fs::{self, FsError};

/// Longest name, domain or key that is read; longer ones do not occur and are refused.
const MAX_STRING: u64 = 1 << 16;

/// Why a file could not be read as protobuf.
#[derive(Debug)]
pub(super) enum WireError {
    /// The file system failed.
    Fs(FsError),
    /// The bytes are not what the format allows.
    Malformed {
        /// Offset in the file, in bytes.
        at: u64,
        /// What is wrong.
        what: String,
    },
}

/// The payload of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// A number.
    Varint(u64),
    /// Four or eight bytes, already skipped.
    Fixed,
    /// Bytes that follow, up to this offset: a string, a message, packed numbers.
    Bytes {
        /// Offset of the first byte behind the field.
        end: u64,
    },
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// Field number.
    pub(super) number: u64,
    /// Its payload.
    pub(super) payload: Payload,
}

/// The reader: a file and its position in it.
pub(super) struct Wire {
    file: BufReader<File>,
    position: u64,
    length: u64,
}

impl Wire {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, FsError> {
        let length = fs::metadata(path)?.len();
        Ok(Self {
            file: BufReader::with_capacity(1 << 14, fs::open(path)?),
            position: 0,
            length,
        })
    }

    /// Size of the file in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The reader's position.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// An error at this place.
    pub(super) fn malformed(&self, what: impl Into<String>) -> WireError {
        WireError::Malformed {
            at: self.position,
            what: what.into(),
        }
    }

    /// The next field of the message that ends at `end`; `None` at its end.
    pub(super) fn next(&mut self, end: u64) -> Result<Option<Field>, WireError> {
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
            1 => self.fixed(8, end)?,
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
            5 => self.fixed(4, end)?,
            other => return Err(self.malformed(format!("wire type {other} is not allowed"))),
        };
        Ok(Some(Field { number, payload }))
    }

    /// Skips what is left of a field.
    pub(super) fn skip(&mut self, field: Field) -> Result<(), WireError> {
        match field.payload {
            Payload::Bytes { end } => self.seek(end),
            _ => Ok(()),
        }
    }

    /// Reads a field of text.
    pub(super) fn string(&mut self, end: u64) -> Result<String, WireError> {
        let length = end - self.position;
        if length > MAX_STRING {
            return Err(self.malformed(format!("a name of {length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.malformed("a name that is not UTF-8"))
    }

    /// Reads a number that may run up to `end`.
    pub(super) fn varint(&mut self, end: u64) -> Result<u64, WireError> {
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

    fn fixed(&mut self, bytes: u64, end: u64) -> Result<Payload, WireError> {
        if end - self.position < bytes {
            return Err(self.malformed("a number is cut off"));
        }
        self.seek(self.position + bytes)?;
        Ok(Payload::Fixed)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), WireError> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.position += bytes.len() as u64;
                Ok(())
            }
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn seek(&mut self, to: u64) -> Result<(), WireError> {
        let distance = i64::try_from(to - self.position).unwrap_or(i64::MAX);
        match self.file.seek_relative(distance) {
            Ok(()) => {
                self.position = to;
                Ok(())
            }
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn failed(&self, error: &io::Error) -> WireError {
        self.malformed(format!("reading stopped: {error}"))
    }
}

impl From<FsError> for WireError {
    fn from(error: FsError) -> Self {
        Self::Fs(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(bytes: &[u8]) -> (tempfile::NamedTempFile, Wire) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write_atomic(file.path(), bytes).expect("written");
        let wire = Wire::open(file.path()).expect("opened");
        (file, wire)
    }

    fn fields(bytes: &[u8]) -> Result<Vec<Field>, String> {
        let (_file, mut wire) = wire(bytes);
        let (mut found, end) = (Vec::new(), wire.length());
        loop {
            match wire.next(end) {
                Ok(Some(field)) => {
                    found.push(field);
                    wire.skip(field).map_err(|e| format!("{e:?}"))?;
                }
                Ok(None) => return Ok(found),
                Err(WireError::Malformed { what, .. }) => return Err(what),
                Err(WireError::Fs(e)) => panic!("{e}"),
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
