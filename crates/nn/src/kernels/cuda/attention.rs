//! Launches of the kernels of `attention.cu`.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Tensor};

use super::{Arguments, Launch, View, device, empty, tensor};
use crate::kernels::failed;
use crate::mask::{OnDevice, Reach};

/// Attention in `qkv [rows, width, heads + 2 groups, head]`.
pub struct Joined {
    /// Factor of the scores.
    pub scale: f32,
    /// How far a token sees.
    pub reach: Reach,
    /// The real tokens.
    pub mask: OnDevice,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and of values.
    pub groups: usize,
    /// Logarithm of the sum of each query's powers, which the backward pass starts from.
    pub logsum: OnceLock<Tensor>,
}

/// Sizes of the kernels for one number type and head width, as in `attention.cu`.
struct Tiles {
    module: String,
    /// Rows of the own tile.
    own: usize,
    /// Rows of the tiles that are gone through.
    other: usize,
    /// Bytes of a row in shared memory.
    row: usize,
}

const HEADS: [usize; 4] = [32, 64, 128, 256];

impl Tiles {
    fn of(dtype: DType, head: usize) -> Result<Self> {
        let Some(padded) = HEADS.into_iter().find(|&h| h >= head) else {
            return Err(failed(format!(
                "heads of {head} values are wider than the {} that attention on a GPU knows",
                HEADS[HEADS.len() - 1]
            )));
        };
        let (name, own, other, bytes) = match dtype {
            DType::F32 => ("f32", 32, if padded <= 128 { 32 } else { 16 }, 4),
            DType::BF16 => ("bf16", 64, if padded <= 128 { 64 } else { 32 }, 2),
            DType::F16 => ("f16", 64, if padded <= 128 { 64 } else { 32 }, 2),
            other => return Err(failed(format!("attention on a GPU knows no {other:?}"))),
        };
        Ok(Self {
            module: format!("attention_{name}_{padded}"),
            own,
            other,
            row: padded * bytes + 16,
        })
    }
}

/// The shape of a tensor of queries, keys and values.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    width: usize,
    head: usize,
}

impl Tiles {
    /// A kernel in a block for each own tile, head and row; `own` says how many own tiles it keeps.
    fn launch<'a>(
        &'a self,
        device: &'a CudaDevice,
        sizes: Sizes,
        (kernel, heads, own): (&'a str, usize, usize),
    ) -> Launch<'a> {
        Launch {
            device,
            module: &self.module,
            kernel,
            grid: [sizes.width.div_ceil(self.own), heads, sizes.rows],
            block: [2 * self.own as u32, 1, 1],
            shared: (own * self.own + 2 * self.other) * self.row,
        }
    }
}

impl Joined {
    fn sizes(&self, shape: &Shape, diagonals: Option<&Shape>) -> Result<Sizes> {
        let (rows, width, count, head) = shape.dims4()?;
        let biases = self.heads * (2 * width).saturating_sub(1);
        let fits = count == self.heads + 2 * self.groups
            && self.mask.spans.dims() == [rows, 2]
            && diagonals.is_none_or(|d| d.elem_count() == biases);
        if fits {
            Ok(Sizes { rows, width, head })
        } else {
            Err(failed(format!(
                "attention of {} heads and {} groups was given {shape:?}",
                self.heads, self.groups
            )))
        }
    }

    /// The arguments that all three kernels end with.
    fn rest(&self, arguments: Arguments, sizes: Sizes, bias: Option<View>) -> Result<Arguments> {
        let reach = |n: usize| n.min(sizes.width);
        let seen = self.mask.seen.as_ref().map(View::of).transpose()?;
        let aligned = sizes.head.is_multiple_of(8);
        Ok(arguments
            .values(View::of(&self.mask.spans)?)
            .maybe(seen)
            .maybe(bias)
            .size(sizes.width)?
            .size(self.heads)?
            .size(self.groups)?
            .size(sizes.head)?
            .size(reach(self.reach.behind))?
            .size(reach(self.reach.ahead))?
            .float(self.scale)
            .flag(aligned))
    }

    /// The states `[rows, width, heads * head]`; the biases are float32.
    pub fn forward(
        &self,
        (qkv, layout): (&CudaStorage, &Layout),
        diagonals: Option<(&CudaStorage, &Layout)>,
    ) -> Result<(CudaStorage, Shape)> {
        let sizes = self.sizes(layout.shape(), diagonals.map(|d| d.1.shape()))?;
        let Sizes { rows, width, head } = sizes;
        let device = &qkv.device;
        let tiles = Tiles::of(qkv.dtype(), head)?;
        let shape = Shape::from((rows, width, self.heads * head));
        let (states, out) = empty(device, &shape, qkv.dtype())?;
        let logsum_shape = Shape::from((rows, self.heads, width));
        let (logsum, logsum_out) = empty(device, &logsum_shape, DType::F32)?;
        let bias = diagonals
            .map(|(d, layout)| View::of_storage(d, layout))
            .transpose()?;
        let arguments = Arguments::default()
            .values(View::of_storage(qkv, layout)?)
            .values(out)
            .values(logsum_out);
        let arguments = self.rest(arguments, sizes, bias)?;
        tiles
            .launch(device, sizes, ("attention_forward", self.heads, 1))
            .run(&arguments)?;
        // Only the first pass counts: the operation belongs to one node of a graph.
        let _ = self.logsum.set(tensor(logsum, logsum_shape));
        Ok((states, shape))
    }

    /// Gradients of `qkv` and of the biases.
    pub fn backward(
        &self,
        qkv: &Tensor,
        diagonals: Option<&Tensor>,
        states: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let sizes = self.sizes(qkv.shape(), diagonals.map(Tensor::shape))?;
        let Sizes { rows, width, head } = sizes;
        let device = device(qkv)?;
        let tiles = Tiles::of(qkv.dtype(), head)?;
        let logsum = self
            .logsum
            .get()
            .ok_or_else(|| failed("attention goes back before it went forward"))?;
        let (qkv_view, g, logsum) = (View::of(qkv)?, View::of(gradient)?, View::of(logsum)?);
        let (_delta, delta) = {
            let (storage, view) =
                empty(&device, &Shape::from((rows, self.heads, width)), DType::F32)?;
            let n = rows * width * self.heads;
            let arguments = Arguments::default()
                .values(View::of(states)?)
                .values(g)
                .values(view)
                .long(n)
                .size(width)?
                .size(self.heads)?
                .size(head)?;
            Launch {
                module: &tiles.module,
                ..Launch::blocks(&device, "attention_delta", n.div_ceil(8))
            }
            .run(&arguments)?;
            (storage, view)
        };
        let (to_qkv, out) = empty(&device, qkv.shape(), qkv.dtype())?;
        let fixed = diagonals
            .map(|d| Tensor::zeros(d.elem_count(), DType::I64, d.device()))
            .transpose()?;
        let bias = diagonals.map(View::of).transpose()?;
        let given = || {
            Arguments::default()
                .values(qkv_view)
                .values(g)
                .values(logsum)
                .values(delta)
                .values(out)
        };
        let arguments = given().maybe(fixed.as_ref().map(View::of).transpose()?);
        let arguments = self.rest(arguments, sizes, bias)?;
        let queries = ("attention_backward_queries", self.heads, 2);
        tiles.launch(&device, sizes, queries).run(&arguments)?;
        let arguments = self.rest(given(), sizes, bias)?;
        let keys = ("attention_backward_keys", self.groups, 2);
        tiles.launch(&device, sizes, keys).run(&arguments)?;
        let to_diagonals = diagonals
            .zip(fixed)
            .map(|(d, fixed)| {
                let (sums, out) = empty(&device, d.shape(), DType::F32)?;
                let arguments = Arguments::default()
                    .values(View::of(&fixed)?)
                    .values(out)
                    .long(d.elem_count());
                Launch::over(&device, "of_fixed", d.elem_count()).run(&arguments)?;
                Ok::<_, candle_core::Error>(tensor(sums, d.shape().clone()))
            })
            .transpose()?;
        Ok((tensor(to_qkv, qkv.shape().clone()), to_diagonals))
    }
}
