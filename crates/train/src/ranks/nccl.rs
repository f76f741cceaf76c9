//! Ranks with a GPU each: gradients are summed by NCCL on the GPUs; everything small, and the
//! first meeting, goes over [`Tcp`]. NCCL's order of summation is its own: the sum is the same on
//! every rank, but not bit for bit that of another machine.

use candle_core::cuda_backend::cudarc::nccl::safe::{Comm, Id, ReduceOp};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use super::Ranks;
use super::tcp::Tcp;
use crate::TrainError;
use crate::error::computing;

/// One process of several, on a GPU of its own.
#[derive(Debug)]
pub struct Nccl {
    small: Tcp,
    comm: Comm,
}

impl Nccl {
    /// Joins ranks that met over TCP, with `device` for the sums.
    ///
    /// # Errors
    /// When `device` is no GPU, a rank is lost or NCCL fails.
    pub fn new(mut small: Tcp, device: &Device) -> std::result::Result<Self, TrainError> {
        let failed = |reason: String| TrainError::Compute {
            what: "meeting through NCCL",
            reason,
        };
        let stream = device
            .as_cuda_device()
            .map_err(|e| failed(e.to_string()))?
            .cuda_stream();
        let own = if small.rank() == 0 {
            let id = Id::new().map_err(|e| failed(format!("{e:?}")))?;
            id.internal().map(|byte| byte as u8).to_vec()
        } else {
            Vec::new()
        };
        let all = small.exchange(&own)?;
        let mut id = [0; 128];
        for (byte, sent) in id.iter_mut().zip(&all[0]) {
            *byte = *sent as core::ffi::c_char;
        }
        let comm = Comm::from_rank(stream, small.rank(), small.count(), Id::uninit(id))
            .map_err(|e| failed(format!("{e:?}")))?;
        Ok(Self { small, comm })
    }
}

struct Sum<'a>(&'a Comm);

impl CustomOp1 for Sum<'_> {
    fn name(&self) -> &'static str {
        "sum-over-ranks"
    }

    fn cpu_fwd(&self, _storage: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("NCCL sums on a GPU")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| candle_core::Error::Msg("NCCL was given a tensor with gaps".into()))?;
        let device = storage.device.clone();
        let values = storage.as_cuda_slice::<f32>()?.slice(start..end);
        let mut sums = device.alloc_zeros::<f32>(end - start)?;
        self.0
            .all_reduce(&values, &mut sums, &ReduceOp::Sum)
            .map_err(|e| candle_core::Error::Msg(format!("NCCL: {e:?}")))?;
        Ok((
            CudaStorage::wrap_cuda_slice(sums, device),
            layout.shape().clone(),
        ))
    }
}

impl Ranks for Nccl {
    fn rank(&self) -> usize {
        self.small.rank()
    }

    fn count(&self) -> usize {
        self.small.count()
    }

    fn exchange(&mut self, bytes: &[u8]) -> std::result::Result<Vec<Vec<u8>>, TrainError> {
        self.small.exchange(bytes)
    }

    fn sum(&mut self, values: &Tensor) -> std::result::Result<Tensor, TrainError> {
        // NCCL waits for ever for a rank that is gone; the connection reports it first.
        self.small.wait()?;
        values
            .apply_op1_no_bwd(&Sum(&self.comm))
            .map_err(computing("summing over ranks"))
    }

    fn fail(&mut self, reason: &str) {
        self.small.fail(reason);
    }
}
