//! Fused operations with a gradient, on a CPU in float32, and on a GPU.
//!
//! candle keeps every result of a graph until the backward pass is over, gives
//! constants a gradient too, and adds each gradient to fresh zeros. So an operation here covers
//! what would be many of candle's, keeps its arguments alone, and computes the rest again in its
//! backward pass; masks and rotations are fields of the operation, not arguments. Sums over rows
//! run in parts of a fixed size, in a fixed order, so that a run does not depend on its threads.
//!
//! To add one: a file, and in it the composed form that it is tested against.

#![allow(
    clippy::inline_always,
    reason = "a loop has the vectors of the function that it is inlined into"
)]

mod activation;
mod attention;
mod linear;
mod norm;
mod rotary;
mod select;

use std::cell::RefCell;
use std::collections::HashSet;

use candle_core::{CpuStorage, Shape};
use candle_core::{DType, Device, InplaceOp1, Layout, Result, Tensor, TensorId};
use rten_simd::{Isa, SimdOp};

pub use activation::activate;
pub use attention::attention;
pub use linear::{activated, linear};
pub use norm::norm;
pub use rotary::rotate;
pub use select::select;

use super::failed;
use crate::isa;

/// Values that one task works on.
const PART: usize = 1 << 15;

thread_local! {
    static NARROW: RefCell<Option<HashSet<TensorId>>> = const { RefCell::new(None) };
}

/// Runs `f`, which builds a graph on a CPU in float32, as on a GPU, and gives the tensors that there
/// have the number type of the multiplications. So what a graph keeps on a GPU is found out without
/// one.
pub fn as_on_gpu<T>(f: impl FnOnce() -> T) -> (T, HashSet<TensorId>) {
    NARROW.set(Some(HashSet::new()));
    let y = f();
    (y, NARROW.take().unwrap_or_default())
}

/// Whether [`as_on_gpu`] runs.
pub fn is_as_on_gpu() -> bool {
    NARROW.with_borrow(Option::is_some)
}

/// Says that a result has the number type of the multiplications on a GPU.
fn narrow(y: Tensor) -> Tensor {
    NARROW.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.insert(y.id())));
    y
}

/// Whether the operations of this module serve a tensor.
#[must_use]
pub fn serves(x: &Tensor) -> bool {
    match x.device() {
        Device::Cpu => x.dtype() == DType::F32,
        Device::Cuda(_) => matches!(x.dtype(), DType::F32 | DType::BF16 | DType::F16),
        Device::Metal(_) => false,
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// Runs plain loops compiled for the widest vectors of this machine that [`isa`](crate::isa) allows.
#[inline]
pub fn wide<T>(f: impl FnOnce() -> T) -> T {
    struct Wide<F>(F);
    impl<T, F: FnOnce() -> T> SimdOp for Wide<F> {
        type Output = T;
        #[inline(always)]
        fn eval<I: Isa>(self, _isa: I) -> T {
            (self.0)()
        }
    }
    isa::run(Wide(f))
}

const LANES: usize = 32;

/// Sum of `f(i)` over `0..n`, the same on every machine.
#[inline(always)]
fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = n / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    let mut rest = 0.0;
    for i in whole..n {
        rest += f(i);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0] + rest
}

/// Adds `parts` in their order.
fn add_up(parts: Vec<Vec<f32>>) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_default();
    for part in parts {
        for (sum, value) in total.iter_mut().zip(&part) {
            *sum += value;
        }
    }
    total
}

/// Runs `f` over the values of a contiguous float32 tensor on a CPU, which it may change. Nothing
/// that a graph still needs must be changed so.
///
/// # Errors
/// When the tensor is another, or `f` fails.
pub fn change<F: FnOnce(&mut [f32]) -> Result<()>>(tensor: &Tensor, f: F) -> Result<()> {
    struct Change<F>(std::cell::Cell<Option<F>>);
    impl<F: FnOnce(&mut [f32]) -> Result<()>> InplaceOp1 for Change<F> {
        fn name(&self) -> &'static str {
            "change"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let (start, end) = layout
                .contiguous_offsets()
                .ok_or_else(|| failed("a tensor with gaps cannot be changed in place"))?;
            let CpuStorage::F32(values) = storage else {
                return Err(failed("only float32 is changed in place"));
            };
            match self.0.take() {
                Some(f) => f(&mut values[start..end]),
                None => Ok(()),
            }
        }
    }
    tensor.inplace_op1(&Change(std::cell::Cell::new(Some(f))))
}

#[cfg(test)]
pub(super) mod tests {
    use candle_core::Var;

    use super::*;
    use crate::rounding::float32;

    /// Numbers without a pattern between -1 and 1.
    pub fn numbers(n: usize, seed: usize) -> Vec<f64> {
        (0..n)
            .map(|i| {
                let mixed = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (seed * 7919);
                let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
            })
            .collect()
    }

    type Operation<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

    fn variables(shapes: &[&[usize]], dtype: DType, along: f64) -> Vec<Var> {
        shapes
            .iter()
            .enumerate()
            .map(|(i, shape)| {
                let n = shape.iter().product();
                let values: Vec<f64> = numbers(n, i)
                    .iter()
                    .zip(numbers(n, i + 100))
                    .map(|(x, direction)| x + along * direction)
                    .collect();
                Tensor::from_vec(values, *shape, &Device::Cpu)
                    .and_then(|t| Var::from_tensor(&t.to_dtype(dtype)?))
                    .expect("a variable")
            })
            .collect()
    }

    fn loss(operation: Operation<'_>, variables: &[Var]) -> Tensor {
        let inputs: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
        let y = operation(&inputs).expect("the operation runs");
        let weights = numbers(y.elem_count(), 55);
        Tensor::from_vec(weights, y.shape(), &Device::Cpu)
            .and_then(|w| y.mul(&w.to_dtype(y.dtype())?)?.sum_all())
            .expect("a loss")
    }

    fn float64(t: &Tensor) -> Vec<f64> {
        t.to_dtype(DType::F64)
            .and_then(|t| t.flatten_all()?.to_vec1())
            .expect("values")
    }

    /// Holds an operation in float32 against its composed form in float64, values and gradients,
    /// and its gradients against differences of its own values.
    ///
    /// The longest sum is over a row of an argument, or over all rows of one; with the backward
    /// pass, six operations follow one another (attention: scores, softmax, states, and back).
    pub fn agree(what: &str, shapes: &[&[usize]], fused: Operation<'_>, composed: Operation<'_>) {
        let (narrow, exact) = (
            variables(shapes, DType::F32, 0.0),
            variables(shapes, DType::F64, 0.0),
        );
        let inputs =
            |v: &[Var]| -> Vec<Tensor> { v.iter().map(|v| v.as_tensor().clone()).collect() };
        let found = float64(&fused(&inputs(&narrow)).expect("fused"));
        let expected = float64(&composed(&inputs(&exact)).expect("composed"));
        let longest = shapes.iter().flat_map(|shape| {
            let (width, rows) = shape.split_last().expect("a width");
            [*width, rows.iter().product()]
        });
        let bound = float32(longest.max().expect("a shape"), 6);
        close(&format!("{what}: values"), &found, &expected, bound);
        let size = found.iter().zip(numbers(found.len(), 55));
        let size = size.map(|(y, w)| (y * w).powi(2)).sum::<f64>().sqrt();
        let found = loss(fused, &narrow).backward().expect("fused backward");
        let expected = loss(composed, &exact).backward().expect("backward");
        let mut slope = 0.0;
        for (i, (a, b)) in narrow.iter().zip(&exact).enumerate() {
            let gradient = |store: &candle_core::backprop::GradStore, v: &Var| {
                float64(
                    store
                        .get(v.as_tensor())
                        .unwrap_or_else(|| panic!("{what}: no gradient of {i}")),
                )
            };
            let (a, b) = (gradient(&found, a), gradient(&expected, b));
            close(&format!("{what}: gradient {i}"), &a, &b, bound);
            let direction = numbers(a.len(), i + 100);
            slope += a.iter().zip(direction).map(|(g, d)| g * d).sum::<f64>();
        }
        // Narrow enough for the curve, of which the slope tells all but 1 in 1,000, and wide enough
        // for float32, whose rounding the step divides.
        let step = 2e-3;
        let ends = [step, -step].map(|along| {
            let y = fused(&inputs(&variables(shapes, DType::F32, along))).expect("fused");
            let weights = numbers(y.elem_count(), 55);
            float64(&y)
                .iter()
                .zip(weights)
                .map(|(y, w)| y * w)
                .sum::<f64>()
        });
        let difference = (ends[0] - ends[1]) / (2.0 * step);
        assert!(
            (slope - difference).abs() < 1e-3 * slope.abs().max(1.0) + bound * size / step,
            "{what}: the slope is {slope}, differences say {difference}"
        );
    }

    fn close(what: &str, found: &[f64], expected: &[f64], bound: f64) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let l2 = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
        let apart = l2(&mut found.iter().zip(expected).map(|(a, b)| a - b));
        let size = l2(&mut expected.iter().copied());
        // The norm of many errors is that of a typical one, a fourth of what one may be.
        let bound = bound / 4.0;
        assert!(
            size > 0.0 && apart < bound * size,
            "{what}: {apart} of {size}, the bound is {bound:e}"
        );
    }

    #[test]
    fn sums_are_those_of_all_values() {
        for n in [0, 1, 31, 32, 33, 500] {
            let expected = (0..n).map(|i| i as f32).sum::<f32>();
            assert_eq!(sum(n, |i| i as f32), expected, "{n}");
        }
    }

    #[test]
    fn a_part_of_a_tensor_is_changed_in_place() {
        let whole = Tensor::zeros((4, 2), DType::F32, &Device::Cpu).expect("zeros");
        let part = whole.narrow(0, 1, 2).expect("a part");
        change(&part, |v| {
            v.fill(1.0);
            Ok(())
        })
        .expect("changed");
        assert_eq!(float64(&whole), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        let gaps = whole.narrow(1, 0, 1).expect("a column");
        assert!(change(&gaps, |_| Ok(())).is_err());
    }
}
