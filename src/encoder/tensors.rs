//! safetensors as float32, and what is in a file without reading it whole.

use std::io::Read as _;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::EncoderError;
use crate::fs;

/// Largest header of a safetensors file, as its reference implementation allows.
const MAX_HEADER: u64 = 100_000_000;

/// Little-endian values as float32; `None` for types that are no floating-point numbers.
pub(super) fn to_f32(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => values::<4, _>(data, f32::from_le_bytes),
        Dtype::F16 => values::<2, _>(data, |b| half::f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => values::<2, _>(data, |b| half::bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => values::<8, _>(data, |b| f64::from_le_bytes(b) as f32),
        _ => return None,
    })
}

/// Little-endian whole numbers as indices; `None` for other types and for negative numbers.
pub(super) fn to_indices(dtype: Dtype, data: &[u8]) -> Option<Vec<usize>> {
    let index = |v: i64| usize::try_from(v).ok();
    match dtype {
        Dtype::I64 => values::<8, _>(data, i64::from_le_bytes)
            .into_iter()
            .map(index)
            .collect(),
        Dtype::I32 => values::<4, _>(data, i32::from_le_bytes)
            .into_iter()
            .map(|v| index(i64::from(v)))
            .collect(),
        _ => None,
    }
}

fn values<const N: usize, T>(data: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|c| convert(*c))
        .collect()
}

/// The header of a safetensors file: tensors with types and shapes.
///
/// # Errors
/// When the file cannot be read or its header is wrong.
pub(super) fn header(path: &Path) -> Result<Metadata, EncoderError> {
    let invalid = |reason: String| EncoderError::Invalid {
        path: path.to_owned(),
        reason: format!("this is no safetensors file: {reason}"),
        hint: Some("was the file downloaded whole?".into()),
    };
    let length_of_file = fs::metadata(path)?.len();
    let mut file = fs::open(path)?;
    let mut length = [0_u8; 8];
    file.read_exact(&mut length)
        .map_err(|_| invalid("it has fewer than 8 bytes".into()))?;
    let n = u64::from_le_bytes(length);
    if n > MAX_HEADER || n + 8 > length_of_file {
        return Err(invalid(format!("its header would have {n} bytes")));
    }
    let mut header = vec![0; n as usize];
    file.read_exact(&mut header).map_err(fs::at("read", path))?;
    serde_json::from_slice(&header).map_err(|e| invalid(e.to_string()))
}
