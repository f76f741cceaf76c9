//! CUDA kernels of this project, for the operations of [`super::gradient`] on a GPU: `rows.cu` and
//! `attention.cu`, which the build compiles to PTX. The products of linear layers are cuBLAS's.
//!
//! Everything runs on the one stream of a device, in order. Every sum has a fixed order, so a run
//! can be repeated bit for bit. `emulate.h` runs the same kernels on a CPU; a test does.

#![allow(unsafe_code, reason = "kernels are given pointers")]

mod attention;
mod linear;
mod rows;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute;
use candle_core::cuda_backend::cudarc::driver::{
    DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor};

use super::failed;

pub use attention::Joined;
pub use linear::Linear;
pub use rows::{Norm, activate, activate_backward, adamw, rotate, select_backward};

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Where the values of a tensor without gaps are.
#[derive(Debug, Clone, Copy)]
struct View {
    pointer: u64,
    dtype: DType,
}

impl View {
    fn of(tensor: &Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Self::of_storage(storage, layout),
            _ => Err(failed("a CUDA kernel was given a tensor of another device")),
        }
    }

    fn of_storage(storage: &CudaStorage, layout: &Layout) -> Result<Self> {
        fn pointer<T: CudaDType + DeviceRepr>(storage: &CudaStorage) -> Result<u64> {
            let stream = storage.device.cuda_stream();
            let (pointer, _used) = storage.as_cuda_slice::<T>()?.device_ptr(&stream);
            Ok(pointer)
        }
        let (start, _) = layout
            .contiguous_offsets()
            .ok_or_else(|| failed("a kernel was given a tensor with gaps"))?;
        let dtype = storage.dtype();
        let first = match dtype {
            DType::F32 => pointer::<f32>(storage)?,
            DType::BF16 => pointer::<half::bf16>(storage)?,
            DType::F16 => pointer::<half::f16>(storage)?,
            DType::U8 => pointer::<u8>(storage)?,
            DType::U32 => pointer::<u32>(storage)?,
            DType::I64 => pointer::<i64>(storage)?,
            other => return Err(failed(format!("no kernel takes values of type {other:?}"))),
        };
        Ok(Self {
            pointer: first + (start * dtype.size_in_bytes()) as u64,
            dtype,
        })
    }

    /// The number of its type in the kernels.
    fn number(self) -> Result<i32> {
        match self.dtype {
            DType::F32 => Ok(0),
            DType::BF16 => Ok(1),
            DType::F16 => Ok(2),
            other => Err(failed(format!("no kernel computes with {other:?}"))),
        }
    }
}

/// A value that a kernel is given.
enum Value {
    Pointer(u64),
    Long(u64),
    Int(i32),
    Float(f32),
}

/// The values that a kernel is given, in order.
#[derive(Default)]
struct Arguments(Vec<Value>);

impl Arguments {
    /// The values of a tensor.
    fn values(mut self, view: View) -> Self {
        self.0.push(Value::Pointer(view.pointer));
        self
    }

    /// The values of a tensor that may not be there.
    fn maybe(mut self, view: Option<View>) -> Self {
        self.0.push(Value::Pointer(view.map_or(0, |v| v.pointer)));
        self
    }

    /// Values and type of a tensor that may not be there.
    fn typed(mut self, view: impl Into<Option<View>>) -> Result<Self> {
        let view = view.into();
        self = self.maybe(view);
        Ok(self.int(view.map_or(Ok(0), View::number)?))
    }

    fn size(self, n: usize) -> Result<Self> {
        let n = i32::try_from(n).map_err(|_| failed(format!("{n} is too much for a kernel")))?;
        Ok(self.int(n))
    }

    fn int(mut self, n: i32) -> Self {
        self.0.push(Value::Int(n));
        self
    }

    fn flag(self, on: bool) -> Self {
        self.int(i32::from(on))
    }

    fn long(mut self, n: usize) -> Self {
        self.0.push(Value::Long(n as u64));
        self
    }

    fn float(mut self, x: f32) -> Self {
        self.0.push(Value::Float(x));
        self
    }
}

/// A kernel and how many threads run it.
struct Launch<'a> {
    device: &'a CudaDevice,
    module: &'a str,
    kernel: &'a str,
    grid: [usize; 3],
    block: [u32; 3],
    /// Bytes of shared memory.
    shared: usize,
}

/// Threads of a block that has no other wish.
const THREADS: u32 = 256;

/// Shared memory that every kernel may use without asking.
const SHARED: usize = 48 << 10;

impl<'a> Launch<'a> {
    /// A kernel of `rows.cu` over `n` values.
    fn over(device: &'a CudaDevice, kernel: &'a str, n: usize) -> Self {
        let blocks = n.div_ceil(THREADS as usize).clamp(1, 1 << 16);
        Self::blocks(device, kernel, blocks)
    }

    /// A kernel of `rows.cu` in so many blocks.
    fn blocks(device: &'a CudaDevice, kernel: &'a str, blocks: usize) -> Self {
        Self {
            device,
            module: "rows",
            kernel,
            grid: [blocks, 1, 1],
            block: [THREADS, 1, 1],
            shared: 0,
        }
    }

    fn run(&self, arguments: &Arguments) -> Result<()> {
        let (_, ptx) = MODULES
            .iter()
            .find(|(name, _)| *name == self.module)
            .ok_or_else(|| failed(format!("this build has no kernels `{}`", self.module)))?;
        let kernel = self
            .device
            .get_or_load_custom_func(self.kernel, self.module, ptx)?;
        if self.shared > SHARED {
            let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            kernel.set_attribute(most, self.shared as i32).w()?;
        }
        let mut builder = kernel.builder();
        for value in &arguments.0 {
            match value {
                Value::Pointer(x) | Value::Long(x) => builder.arg(x),
                Value::Int(x) => builder.arg(x),
                Value::Float(x) => builder.arg(x),
            };
        }
        let [x, y, z] = self.grid.map(|n| n as u32);
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: self.block.into(),
            shared_mem_bytes: self.shared as u32,
        };
        // SAFETY: the callers of this module give each kernel what its source names, of tensors
        // that live until the stream has run it: memory is given back in the stream's order.
        unsafe { builder.launch(config) }.w()?;
        Ok(())
    }
}

/// A tensor of one of this module's outputs.
fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// Memory that a kernel will fill.
fn empty(device: &CudaDevice, shape: &Shape, dtype: DType) -> Result<(CudaStorage, View)> {
    // SAFETY: the kernel that it is allocated for writes every value.
    let storage = unsafe { device.alloc_uninit(shape, dtype) }?;
    let view = View::of_storage(&storage, &Layout::contiguous(shape))?;
    Ok((storage, view))
}

/// The GPU that a tensor is on.
fn device(tensor: &Tensor) -> Result<CudaDevice> {
    tensor.device().as_cuda_device().cloned()
}
