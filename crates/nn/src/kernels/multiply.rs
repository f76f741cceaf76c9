//! Matrix multiplication: rten's, or a plain loop where the instruction set is capped.

use std::cell::RefCell;

use candle_core::Result;
use rten_gemm::{
    BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, GemmUninitOptions, PackedBMatrix,
};
use rten_tensor::prelude::*;
use rten_tensor::{Matrix, NdTensor};
use rten_vecmath::ExtendInit;

use super::failed;
use crate::isa::{Isa, capped};

thread_local! {
    static GEMM: GemmExecutor<f32> = GemmExecutor::new();
}

/// A matrix that many others are multiplied by, in the order in which the multiplication reads it.
pub enum Weights {
    Packed(PackedBMatrix<f32>),
    /// Where the instruction set is capped.
    Plain(NdTensor<f32, 2>),
}

impl Weights {
    pub fn new(matrix: Matrix<'_, f32>) -> Self {
        match capped() {
            None => Self::Packed(GEMM.with(|g| g.prepack_b(matrix))),
            Some(_) => Self::Plain(matrix.to_tensor()),
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Self::Packed(matrix) => matrix.rows(),
            Self::Plain(matrix) => matrix.size(0),
        }
    }

    pub fn columns(&self) -> usize {
        match self {
            Self::Packed(matrix) => matrix.cols(),
            Self::Plain(matrix) => matrix.size(1),
        }
    }
}

/// The right side of a product.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    Matrix(Matrix<'a, f32>),
    Weights(&'a Weights),
}

impl<'a> From<Matrix<'a, f32>> for Right<'a> {
    fn from(matrix: Matrix<'a, f32>) -> Self {
        Self::Matrix(matrix)
    }
}

/// `scale a b + bias` of matrices `[rows, inner]` and `[inner, columns]`.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    a: Matrix<'a, f32>,
    b: Right<'a>,
    pub scale: f32,
    /// Added to every row: `[columns]`.
    pub bias: Option<&'a [f32]>,
}

impl<'a> Product<'a> {
    /// `a b`.
    pub fn new(a: Matrix<'a, f32>, b: impl Into<Right<'a>>) -> Self {
        Self {
            a,
            b: b.into(),
            scale: 1.0,
            bias: None,
        }
    }

    fn size(&self) -> usize {
        self.a.size(0)
            * match self.b {
                Right::Matrix(b) => b.size(1),
                Right::Weights(b) => b.columns(),
            }
    }

    /// The product.
    pub fn values(self) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        self.write(&mut out)?;
        Ok(out)
    }

    /// Writes the product into `out`, whose old values are dropped.
    pub fn write(self, out: &mut Vec<f32>) -> Result<()> {
        let size = self.size();
        out.clear();
        let Some((a, b)) = self.inputs() else {
            out.resize(size, 0.0);
            return self.plain(out);
        };
        out.reserve(size);
        let outcome = RefCell::new(Ok(()));
        out.extend_init(|free| {
            let options = GemmUninitOptions {
                alpha: self.scale,
                bias: self.bias.map(BiasVector::Row),
                ..GemmUninitOptions::default()
            };
            match GEMM.with(|g| g.gemm_uninit(&mut free[..size], a, b, options)) {
                Ok(written) => written,
                Err(e) => {
                    *outcome.borrow_mut() = Err(failed(format!("matrix multiplication: {e:?}")));
                    &mut []
                }
            }
        });
        outcome.into_inner()
    }

    /// Adds the product to `out`.
    pub fn add(self, out: &mut [f32]) -> Result<()> {
        let Some((a, b)) = self.inputs() else {
            return self.plain(out);
        };
        let options = GemmOptions {
            alpha: self.scale,
            beta: 1.0,
            bias: self.bias.map(BiasVector::Row),
            ..GemmOptions::default()
        };
        GEMM.with(|g| g.gemm(out, a, b, options))
            .map_err(|e| failed(format!("matrix multiplication: {e:?}")))
    }

    /// What rten multiplies; `None` where the instruction set is capped.
    fn inputs(&self) -> Option<(GemmInputA<'a, f32>, GemmInputB<'a, f32>)> {
        let b = match self.b {
            Right::Matrix(_) | Right::Weights(Weights::Plain(_)) if capped().is_some() => None,
            Right::Matrix(b) => Some(GemmInputB::Unpacked(b)),
            Right::Weights(Weights::Packed(b)) => Some(GemmInputB::Packed(b)),
            Right::Weights(Weights::Plain(_)) => None,
        };
        Some((GemmInputA::Unpacked(self.a), b?))
    }

    /// Adds the product to `out`, one number after another, rounded as the capped instruction set
    /// rounds.
    fn plain(&self, out: &mut [f32]) -> Result<()> {
        let b = match self.b {
            Right::Matrix(b) => b,
            Right::Weights(Weights::Plain(b)) => b.view(),
            Right::Weights(Weights::Packed(_)) => return Err(failed("weights are packed")),
        };
        let (rows, inner, columns) = (self.a.size(0), self.a.size(1), b.size(1));
        if b.size(0) != inner || out.len() != rows * columns {
            return Err(failed("matrix multiplication: shapes do not fit"));
        }
        let fused = capped() > Some(Isa::Generic);
        for row in 0..rows {
            for column in 0..columns {
                let sum = (0..inner).fold(0.0_f32, |sum, k| {
                    let (x, y) = (self.a[[row, k]], b[[k, column]]);
                    if fused {
                        x.mul_add(y, sum)
                    } else {
                        sum + x * y
                    }
                });
                let bias = self.bias.map_or(0.0, |bias| bias[column]);
                out[row * columns + column] += self.scale * sum + bias;
            }
        }
        Ok(())
    }
}
