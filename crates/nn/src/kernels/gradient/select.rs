//! Rows of a table, such as the vectors of words.

#[cfg(feature = "cuda")]
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Layout, Shape, Storage, backend::BackendStorage as _,
};
use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use super::super::{cuda, failed};

/// Rows `ids [n]` of `table [rows, width]`, as candle takes them; on a GPU the gradient is summed
/// row by row, in the order of `ids`.
///
/// # Errors
/// When an id has no row or the device fails.
pub fn select(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if table.device().is_cuda() && table.track_op() {
        return table.contiguous()?.apply_op1(Select(ids.contiguous()?));
    }
    table.index_select(ids, 0)
}

#[cfg(feature = "cuda")]
struct Select(Tensor);

#[cfg(feature = "cuda")]
impl CustomOp1 for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn cpu_fwd(&self, _table: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Err(failed("candle selects rows on a CPU"))
    }

    fn cuda_fwd(&self, table: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let (ids, ids_layout) = self.0.storage_and_layout();
        let Storage::Cuda(ids) = &*ids else {
            return Err(failed("rows are selected by ids of another device"));
        };
        let rows = table.index_select(ids, layout, ids_layout, 0)?;
        Ok((rows, Shape::from((self.0.elem_count(), width))))
    }

    fn bwd(&self, table: &Tensor, _rows: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let ids: Vec<u32> = self.0.to_vec1()?;
        cuda::select_backward(table, &ids, &gradient.contiguous()?).map(Some)
    }
}
