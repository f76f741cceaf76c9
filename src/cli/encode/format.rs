//! Files of embeddings: a head that says how many rows follow, and the rows.

use std::path::Path;

use crate::cli::CliError;

/// A format of embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    Safetensors,
    Jsonl,
}

/// Formats by extension.
const FORMATS: [(&str, Format); 3] = [
    ("npy", Format::Npy),
    ("safetensors", Format::Safetensors),
    ("jsonl", Format::Jsonl),
];

impl Format {
    /// The format that the extension of a path chooses.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        let (_, format) = FORMATS.iter().find(|(e, _)| *e == extension)?;
        Some(*format)
    }

    /// The error of a path that chooses none.
    pub fn unknown(path: &Path) -> CliError {
        let allowed = FORMATS.map(|(e, _)| format!("`.{e}`")).join(", ");
        CliError::usage(
            format!("found output `{}`, allowed are {allowed}", path.display()),
            "the extension chooses the format; `-` is JSON lines on stdout",
        )
    }

    /// What comes before the rows.
    pub fn head(self, rows: usize, dimension: usize) -> Vec<u8> {
        match self {
            Self::Npy => npy((rows, dimension)),
            Self::Safetensors => safetensors([rows, dimension]),
            Self::Jsonl => Vec::new(),
        }
    }

    /// One row: float32, little endian, or `{"text": "...", "embedding": [...]}`.
    pub fn row(self, text: &str, row: &[f32]) -> Vec<u8> {
        match self {
            Self::Npy | Self::Safetensors => row.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::Jsonl => {
                let line = serde_json::json!({"text": text, "embedding": row});
                format!("{line}\n").into_bytes()
            }
        }
    }
}

/// Version 1.0 of [NumPy's format](https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
/// a header of a multiple of 64 bytes, then the rows.
fn npy(shape: (usize, usize)) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape:?}, }}");
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend((header.len() as u16).to_le_bytes());
    head.extend(header.as_bytes());
    head
}

/// The head of one tensor, of a multiple of 8 bytes, as the library writes it of data that is held.
fn safetensors(shape: [usize; 2]) -> Vec<u8> {
    let end = shape[0] * shape[1] * 4;
    let mut header = format!(
        r#"{{"embeddings":{{"dtype":"F32","shape":[{},{}],"data_offsets":[0,{end}]}}}}"#,
        shape[0], shape[1]
    );
    header.extend(std::iter::repeat_n(
        ' ',
        header.len().next_multiple_of(8) - header.len(),
    ));
    let mut head = (header.len() as u64).to_le_bytes().to_vec();
    head.extend(header.as_bytes());
    head
}

#[cfg(test)]
mod tests {
    use ::safetensors::tensor::{Dtype, TensorView};

    use super::*;

    #[test]
    fn a_streamed_tensor_is_what_the_library_writes() {
        for (rows, dimension) in [(1, 3), (7, 32), (1000, 384)] {
            let values = vec![0.5_f32; rows * dimension];
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let shape = vec![rows, dimension];
            let view = TensorView::new(Dtype::F32, shape, &bytes).expect("a tensor");
            let whole = ::safetensors::serialize([("embeddings", view)], None).expect("written");
            let mut streamed = Format::Safetensors.head(rows, dimension);
            for row in values.chunks(dimension) {
                streamed.extend(Format::Safetensors.row("", row));
            }
            assert!(streamed == whole, "{rows} {dimension}");
        }
    }
}
