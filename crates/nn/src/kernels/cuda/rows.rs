//! Launches of the kernels of `rows.cu`.

use candle_core::backend::BackendStorage;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Layout, Result, Shape, Tensor};

use super::{Arguments, Launch, View, device, empty, tensor};
use crate::kernels::{AdamWStep, failed};
use crate::ops::{Activation, Epilogue};

/// Threads that work on a row.
const ROW: u32 = 128;

/// Blocks that share the rows of a backward pass.
const BLOCKS: usize = 1024;

/// Normalisation of rows; see [`crate::kernels::gradient::norm`].
pub struct Norm {
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether the mean is taken out.
    pub centre: bool,
}

impl Norm {
    /// The normalised rows, in the type of the residual where there is one.
    pub fn forward(
        &self,
        x: (&CudaStorage, &Layout),
        residual: Option<(&CudaStorage, &Layout)>,
        parameters: (&CudaStorage, &Layout),
    ) -> Result<(CudaStorage, Shape)> {
        let device = &x.0.device;
        let (shifts, width) = parameters.1.shape().dims2()?;
        let shape = x.1.shape().clone();
        if shape.dims().last() != Some(&width) || residual.is_some_and(|r| r.1.shape() != &shape) {
            return Err(failed(format!(
                "a normalisation of width {width} was given {shape:?}"
            )));
        }
        let residual = residual
            .map(|(r, layout)| View::of_storage(r, layout))
            .transpose()?;
        let x = View::of_storage(x.0, x.1)?;
        let parameters = View::of_storage(parameters.0, parameters.1)?;
        let dtype = residual.map_or(x.dtype, |r| r.dtype);
        let (y, out) = empty(device, &shape, dtype)?;
        let arguments = Arguments::default()
            .typed(x)?
            .typed(residual)?
            .typed(parameters)?
            .typed(out)?
            .size(width)?
            .flag(shifts == 2)
            .flag(self.centre)
            .float(self.epsilon);
        let rows = shape.elem_count() / width.max(1);
        if rows > 0 {
            Launch {
                block: [ROW, 1, 1],
                shared: (width + 32) * size_of::<f32>(),
                ..Launch::blocks(device, "norm_forward", rows)
            }
            .run(&arguments)?;
        }
        Ok((y, shape))
    }

    /// Gradients of `x`, of the residual where there is one, and of the parameters.
    pub fn backward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        parameters: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Tensor, Option<Tensor>, Tensor)> {
        let device = device(x)?;
        let (shifts, width) = parameters.dims2()?;
        let rows = x.elem_count() / width.max(1);
        let blocks = rows.clamp(1, BLOCKS);
        let (to_x, x_out) = empty(&device, x.shape(), x.dtype())?;
        let to_residual = residual
            .map(|r| empty(&device, r.shape(), r.dtype()))
            .transpose()?;
        let (sums, sums_out) = empty(&device, &Shape::from((blocks, shifts * width)), DType::F32)?;
        let arguments = Arguments::default()
            .typed(View::of(x)?)?
            .typed(residual.map(View::of).transpose()?)?
            .typed(View::of(parameters)?)?
            .typed(View::of(gradient)?)?
            .values(x_out)
            .maybe(to_residual.as_ref().map(|(_, view)| *view))
            .values(sums_out)
            .size(rows)?
            .size(width)?
            .flag(shifts == 2)
            .flag(self.centre)
            .float(self.epsilon);
        Launch {
            block: [ROW, 1, 1],
            shared: (3 * width + 32) * size_of::<f32>(),
            ..Launch::blocks(&device, "norm_backward", blocks)
        }
        .run(&arguments)?;
        let sums = column_sums(&tensor(sums, (blocks, shifts * width)))?;
        let to_residual = residual
            .zip(to_residual)
            .map(|(r, (storage, _))| tensor(storage, r.shape().clone()));
        Ok((
            tensor(to_x, x.shape().clone()),
            to_residual,
            sums.reshape((shifts, width))?
                .to_dtype(parameters.dtype())?,
        ))
    }
}

/// Sums of the columns of a matrix, float32.
pub fn column_sums(x: &Tensor) -> Result<Tensor> {
    let device = device(x)?;
    let (rows, width) = x.dims2()?;
    let sum = |x: View, rows: usize, parts: usize| -> Result<(CudaStorage, View)> {
        let (sums, out) = empty(&device, &Shape::from((parts, width)), DType::F32)?;
        let arguments = Arguments::default()
            .typed(x)?
            .size(rows)?
            .size(width)?
            .values(out);
        Launch {
            grid: [width.div_ceil(32).max(1), parts, 1],
            block: [32, 8, 1],
            shared: 32 * 8 * size_of::<f32>(),
            ..Launch::blocks(&device, "column_sums", 1)
        }
        .run(&arguments)?;
        Ok((sums, out))
    };
    let x = View::of(x)?;
    let parts = rows.div_ceil(128).clamp(1, 64);
    let (sums, out) = sum(x, rows, parts)?;
    if parts == 1 {
        return Ok(tensor(sums, width));
    }
    Ok(tensor(sum(out, parts, 1)?.0, width))
}

/// The activation's number in the kernels, and whether it is a gate.
fn numbers(epilogue: Epilogue) -> (i32, bool) {
    let number = |activation| match activation {
        Activation::Gelu => 1,
        Activation::GeluTanh => 2,
        Activation::Relu => 3,
        Activation::Silu => 4,
    };
    match epilogue {
        Epilogue::None => (0, false),
        Epilogue::Activate(a) => (number(a), false),
        Epilogue::Gate(a) => (number(a), true),
    }
}

/// `epilogue(z)` in values of type `dtype`.
pub fn activate(
    (z, layout): (&CudaStorage, &Layout),
    epilogue: Epilogue,
    dtype: DType,
) -> Result<(CudaStorage, Shape)> {
    let (activation, gate) = numbers(epilogue);
    let mut dims = layout.dims().to_vec();
    if let (true, Some(last)) = (gate, dims.last_mut()) {
        *last /= 2;
    }
    let width = dims.last().copied().unwrap_or(1);
    let shape = Shape::from(dims);
    let n = shape.elem_count();
    let (y, out) = empty(&z.device, &shape, dtype)?;
    let arguments = Arguments::default()
        .typed(View::of_storage(z, layout)?)?
        .typed(out)?
        .long(n)
        .size(width)?
        .int(activation)
        .flag(gate);
    Launch::over(&z.device, "activate", n).run(&arguments)?;
    Ok((y, shape))
}

/// The gradient of `z` from that of `epilogue(z)`.
pub fn activate_backward(z: &Tensor, gradient: &Tensor, epilogue: Epilogue) -> Result<Tensor> {
    let (activation, gate) = numbers(epilogue);
    let device = device(z)?;
    let last = z.dims().last().copied().unwrap_or(1);
    let width = if gate { last / 2 } else { last };
    let n = gradient.elem_count();
    let (to_z, out) = empty(&device, z.shape(), z.dtype())?;
    let arguments = Arguments::default()
        .typed(View::of(z)?)?
        .typed(View::of(gradient)?)?
        .values(out)
        .long(n)
        .size(width)?
        .int(activation)
        .flag(gate);
    Launch::over(&device, "activate_backward", n).run(&arguments)?;
    Ok(tensor(to_z, z.shape().clone()))
}

/// Adds a row to each row of `y`, in place.
pub(super) fn add_row(device: &CudaDevice, (y, shape): (View, &Shape), row: View) -> Result<()> {
    let n = shape.elem_count();
    let arguments = Arguments::default()
        .typed(y)?
        .typed(row)?
        .long(n)
        .size(shape.dims().last().copied().unwrap_or(1))?;
    Launch::over(device, "add_row", n).run(&arguments)
}

/// Rotates the first `turned` heads of `x [rows, width, heads, head]` by `way` times its angles.
pub fn rotate(
    x: (&CudaStorage, &Layout),
    cos: &Tensor,
    sin: &Tensor,
    (turned, way): (usize, f32),
) -> Result<CudaStorage> {
    let (_, _, heads, head) = x.1.shape().dims4()?;
    let shape = x.1.shape();
    let n = shape.elem_count() / 2;
    if 2 * cos.elem_count() * heads != 2 * n || cos.dtype() != DType::F32 {
        return Err(failed(format!(
            "{shape:?} is not rotated by {:?}",
            cos.shape()
        )));
    }
    let (y, out) = empty(&x.0.device, shape, x.0.dtype())?;
    let arguments = Arguments::default()
        .typed(View::of_storage(x.0, x.1)?)?
        .values(View::of(cos)?)
        .values(View::of(sin)?)
        .values(out)
        .long(n)
        .size(heads)?
        .size(turned)?
        .size(head / 2)?
        .float(way);
    Launch::over(&x.0.device, "rotate", n).run(&arguments)?;
    Ok(y)
}

/// The gradient of a table `[rows, width]` from that of rows taken from it by `ids`.
pub fn select_backward(table: &Tensor, ids: &[u32], gradient: &Tensor) -> Result<Tensor> {
    let device = device(table)?;
    let width = table.dim(1)?;
    let out = Tensor::zeros(table.shape(), table.dtype(), table.device())?;
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_by_key(|&i| (ids[i as usize], i));
    let (mut starts, mut taken) = (Vec::new(), Vec::new());
    for (at, &i) in order.iter().enumerate() {
        if taken.last() != Some(&ids[i as usize]) {
            starts.push(at as u32);
            taken.push(ids[i as usize]);
        }
    }
    starts.push(ids.len() as u32);
    if taken.is_empty() {
        return Ok(out);
    }
    let blocks = taken.len();
    let put = |values: Vec<u32>| {
        let n = values.len();
        Tensor::from_vec(values, n, &Device::Cuda(device.clone()))
    };
    let [order, starts, taken] = [put(order)?, put(starts)?, put(taken)?];
    let arguments = Arguments::default()
        .typed(View::of(gradient)?)?
        .values(View::of(&order)?)
        .values(View::of(&starts)?)
        .values(View::of(&taken)?)
        .typed(View::of(&out)?)?
        .size(width)?;
    Launch::blocks(&device, "table_backward", blocks).run(&arguments)?;
    Ok(out)
}

/// A step of `AdamW`; see [`crate::kernels::adamw`].
pub fn adamw(step: &AdamWStep, tensors: [&Tensor; 4]) -> Result<()> {
    let [parameter, ..] = tensors;
    let n = parameter.elem_count();
    let mut arguments = Arguments::default();
    for tensor in tensors {
        arguments = arguments.values(View::of(tensor)?);
    }
    let [first, second] = [step.first, step.second];
    arguments = arguments.long(n);
    for x in [first, second].into_iter().flatten() {
        arguments = arguments.float(x);
    }
    for x in [step.keep, step.rate, step.scale, step.epsilon, step.factor] {
        arguments = arguments.float(x);
    }
    Launch::over(&device(parameter)?, "adamw", n).run(&arguments)
}
