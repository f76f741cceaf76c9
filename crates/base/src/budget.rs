//! Budgets: how large an input may become, counted after it is decoded.
//!
//! A file of a megabyte may unpack to gigabytes, a declared length may be a lie, and a server may send
//! without end. So whatever is read whole is read through [`read_to_end`] or [`Bounded`]. How much is
//! allowed is said by each reader, next to its format. Ground floor: imports nothing.

use std::io::{self, Read};

/// Most bytes of a file that is read whole, where its reader says nothing else.
pub const WHOLE_FILE: u64 = 1 << 30;

/// The error of an input that is longer than its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has more than {most} bytes (unpacked), which is the most that is read")]
pub struct Over {
    /// Bytes that are allowed.
    pub most: u64,
}

impl From<Over> for io::Error {
    fn from(over: Over) -> Self {
        Self::new(io::ErrorKind::InvalidData, over)
    }
}

/// A reader that fails with [`Over`] behind a number of bytes.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R> Bounded<R> {
    /// Reads at most `most` bytes of `inner`, which gives them decoded.
    pub fn new(inner: R, most: u64) -> Self {
        let left = most;
        Self { inner, left, most }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            // Only the end may come now.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(Over { most: self.most }.into()),
            };
        }
        let room = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let n = self.inner.read(&mut buffer[..room])?;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Everything that `reader` gives, at most `most` bytes.
///
/// # Errors
/// When it gives more (an error of kind `InvalidData` around [`Over`]), or cannot be read.
pub fn read_to_end(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Bounded::new(reader, most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_read_and_one_byte_more_is_refused() {
        for (length, most, fits) in [(0, 0, true), (5, 5, true), (5, 6, true), (6, 5, false)] {
            let bytes = vec![b'x'; length];
            match read_to_end(&bytes[..], most) {
                Ok(read) => assert!(fits && read == bytes, "{length} of {most}"),
                Err(error) => {
                    assert!(!fits, "{length} of {most}");
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                    assert!(error.to_string().contains("more than 5 bytes"), "{error}");
                }
            }
        }
        // Without end: only the budget is read.
        assert!(read_to_end(io::repeat(0), 1 << 16).is_err());
    }
}
