//! Which vector instructions the CPU kernels use: the widest that the processor has, or fewer where
//! the environment variable [`VARIABLE`] says so.
//!
//! The variable is for tests and for finding out whether two machines differ: sums are rounded in
//! another order under every instruction set, so the last digits of an embedding differ too. A cap
//! covers every vector function and every matrix multiplication of this crate's CPU kernels, that
//! is, float32 networks from safetensors, and their training. Below the set of the processor they
//! are slow: rten-gemm chooses its kernel itself and lets nobody else choose, so a plain loop that
//! rounds as that set does takes its place.
//!
//! What cannot be capped, because the library offers no way: the backends `onnxruntime` and `rten`
//! (graphs), and candle's own CPU operations (the `gemm` crate), which run pooling heads, losses,
//! half precision and float64. On x86-64 candle's use AVX2 and FMA at most.
//!
//! The tests whose bounds must hold on every processor run under each set that a machine has:
//!
//! ```text
//! KORFINSTS_ISA=generic cargo test -- kernels:: ops:: fused_and_differentiable whole_encoders
//! ```

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use rten_simd::isa::{Avx2Isa, Avx512Isa};
use rten_simd::ops::GetNumOps;
use rten_simd::{SimdOp, SimdUnaryOp, functional::simd_map, isa::GenericIsa};

use super::NnError;

/// The environment variable that caps the instruction set.
pub const VARIABLE: &str = "KORFINSTS_ISA";

/// A set of vector instructions of x86-64, from the smallest to the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every processor of the architecture has; products and sums are rounded one by one.
    Generic,
    /// AVX2 and FMA: 8 numbers at once; a product and its sum are rounded once.
    Avx2,
    /// AVX-512: 16 numbers at once.
    Avx512,
}

impl Isa {
    const NAMES: [(&'static str, Self); 3] = [
        ("generic", Self::Generic),
        ("avx2", Self::Avx2),
        ("avx512", Self::Avx512),
    ];

    fn parse(name: &str) -> Result<Self, NnError> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, isa)| *isa).ok_or_else(|| {
            let known = Self::NAMES.map(|(known, _)| format!("`{known}`"));
            NnError::Unsupported {
                what: format!("found {VARIABLE}=`{name}`"),
                hint: Some(format!("allowed are {}", known.join(", "))),
            }
        })
    }

    /// The largest set of this processor; `None` where it is no x86-64.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(clippy::unnecessary_wraps, reason = "other architectures have none")
    )]
    fn native() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Some(match (Avx2Isa::new(), Avx512Isa::new()) {
            (_, Some(_)) => Self::Avx512,
            (Some(_), None) => Self::Avx2,
            (None, None) => Self::Generic,
        });
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

/// The set that [`VARIABLE`] allows, where it allows less than the processor has. A set that the
/// processor lacks is no cap; on processors other than x86-64 `generic` alone is one.
///
/// # Errors
/// [`NnError::Unsupported`] when the variable names no set.
pub fn cap() -> Result<Option<Isa>, NnError> {
    static CAP: OnceLock<Result<Option<Isa>, String>> = OnceLock::new();
    let found = CAP.get_or_init(|| {
        let Some(name) = std::env::var_os(VARIABLE) else {
            return Ok(None);
        };
        let name = name.to_string_lossy().into_owned();
        let isa = Isa::parse(&name).map_err(|_| name)?;
        let below = Isa::native().map_or(isa == Isa::Generic, |native| isa < native);
        Ok(below.then_some(isa))
    });
    match found {
        Ok(cap) => Ok(*cap),
        Err(name) => Isa::parse(name).map(Some),
    }
}

fn name_of(isa: Option<Isa>) -> &'static str {
    let found = Isa::NAMES.iter().find(|(_, known)| Some(*known) == isa);
    found.map_or(std::env::consts::ARCH, |(name, _)| name)
}

/// The set that the CPU kernels use, in a few words.
#[must_use]
pub fn name() -> String {
    let native = name_of(Isa::native());
    match capped() {
        None => native.to_owned(),
        cap => format!("{} by {VARIABLE} of {native}", name_of(cap)),
    }
}

/// What the CPU kernels use, for people: the set, and what a cap leaves out.
#[must_use]
pub fn describe() -> String {
    match capped() {
        None => format!("{}, the widest here; {VARIABLE} caps it", name()),
        _ => format!(
            "{}; ONNX graphs and candle's own operations are not capped",
            name()
        ),
    }
}

/// The cap of a network that was opened, which [`cap`] has accepted then.
pub(crate) fn capped() -> Option<Isa> {
    cap().unwrap_or_default()
}

/// Runs an operation with the vectors that are allowed.
pub(crate) fn run<Op: SimdOp>(op: Op) -> Op::Output {
    match capped() {
        None => op.dispatch(),
        #[cfg(target_arch = "x86_64")]
        Some(Isa::Avx2) if let Some(isa) = Avx2Isa::new() => op.eval(isa),
        Some(_) => op.eval(GenericIsa::new()),
    }
}

/// Applies a function to every value, with the vectors that are allowed.
pub(crate) fn map<Op: SimdUnaryOp<f32>>(op: &Op, values: &mut [f32]) {
    struct Map<'a, Op>(&'a Op, &'a mut [f32]);
    impl<Op: SimdUnaryOp<f32>> SimdOp for Map<'_, Op> {
        type Output = ();
        fn eval<I: rten_simd::Isa>(self, isa: I) {
            simd_map(f32::num_ops(isa), self.1, |x| self.0.eval(isa, x));
        }
    }
    match capped() {
        None => op.map_mut(values),
        Some(_) => run(Map(op, values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_and_others_are_errors_that_name_them() {
        for (name, isa) in Isa::NAMES {
            assert_eq!(Isa::parse(name).expect("known"), isa);
        }
        let NnError::Unsupported { what, hint } = Isa::parse("sse9").expect_err("unknown") else {
            panic!("another error")
        };
        assert_eq!(what, "found KORFINSTS_ISA=`sse9`");
        let hint = hint.expect("a hint");
        assert_eq!(hint, "allowed are `generic`, `avx2`, `avx512`");
    }
}
