//! The fused operations on a CPU: float32, without gradients; those with a gradient are in
//! [`gradient`].
//!
//! Matrix multiplication (with weights packed once) and vector functions are those of rten, which
//! measured 2.5 times as fast here as candle's own. Sums run in an order that does not depend on
//! the batch, and padding is left out of the attention, so that a text gives the same numbers
//! alone and in any batch.

mod adamw;
mod attention;
#[cfg(feature = "cuda")]
pub mod cuda;
mod disentangled;
pub mod gradient;
mod linear;
mod multiply;
mod norm;

use candle_core::{CpuStorage, Error, Layout, Result, Tensor};

pub use adamw::{AdamWStep, adamw};
pub use attention::{attention, rotate};
pub use disentangled::disentangled;
pub use linear::Packed;
pub(crate) use multiply::{Product, Right, Weights};
pub use norm::{layer_norm, rms_norm};

fn failed(what: impl std::fmt::Display) -> Error {
    Error::Msg(what.to_string())
}

fn float32(storage: &CpuStorage) -> Result<&[f32]> {
    storage.as_slice::<f32>()
}

/// The values of a tensor without gaps.
fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| failed("a kernel was given a tensor with gaps"))?;
    Ok(&float32(storage)?[start..end])
}

/// Runs `f` over the values of a contiguous float32 tensor on a CPU.
///
/// # Errors
/// When the tensor is another, or `f` fails.
pub fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(cpu) => f(contiguous(cpu, layout)?),
        _ => Err(failed("a CPU kernel was given a tensor of another device")),
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    with_values(&tensor.contiguous()?, |v| Ok(v.to_vec()))
}
