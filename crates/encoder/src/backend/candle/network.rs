//! A checkpoint opened for inference.

use std::borrow::Cow;

use candle_core::{DType, Device};
use korfinsts_nn::architecture::{self, BuildInput, Transformer};
use korfinsts_nn::config::Config;
use korfinsts_nn::ops::Mode;
use korfinsts_nn::runtime_error;
use korfinsts_nn::weights::Weights;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::pooling;
use crate::backend::OpenOptions;
use crate::backend::device;
use crate::backend::lanes::Lanes;
use crate::modules::Module;
use crate::network::NetworkOutput;
use crate::pooling::Pooling;
use crate::{EncoderError, EncoderSpec, Network, TokenBatch};

/// Version of candle; pinned exactly in `Cargo.toml`, and a test compares the two.
pub const VERSION: &str = "0.11.1";

/// A transformer on one device. On a CPU every lane is one thread: several batches at once are
/// faster than one batch on several threads.
pub struct CandleNetwork {
    transformer: Box<dyn Transformer>,
    /// Pools of one thread each; `None` off the CPU.
    lanes: Option<Lanes<ThreadPool>>,
    /// Weights that each token is multiplied by.
    multiplied: u64,
    /// Free memory of the device once the weights are on it; `None` on the CPU.
    free: Option<u64>,
    /// What is pooled on the device, so that one vector per text is copied from it and not one per
    /// token; `None` on the CPU.
    pooling: Option<Vec<Pooling>>,
}

impl CandleNetwork {
    /// Opens the checkpoint that `spec` names.
    ///
    /// # Errors
    /// When the architecture, the number type or the device is not supported, a file is damaged,
    /// or configuration and tensors do not belong together.
    pub fn open(spec: &EncoderSpec, options: &OpenOptions) -> Result<Self, EncoderError> {
        let device = device(&spec.device)?;
        let dtype = number_type(&spec.dtype)?;
        let path = spec.config_path.clone();
        if !spec.config.is_object() {
            return Err(EncoderError::Missing {
                folder: spec.folder.clone(),
                what: "`config.json`".into(),
                hint: Some("safetensors weights need the model's `config.json` beside them".into()),
            });
        }
        if spec.weights.is_empty() {
            return Err(EncoderError::Missing {
                folder: spec.folder.clone(),
                what: "`model.safetensors`".into(),
                hint: None,
            });
        }
        let checkpoint = spec.checkpoint()?;
        let mut weights = Weights::new(&checkpoint, &device, dtype, Mode::Fused);
        let transformer = architecture::open(
            &BuildInput {
                config: Config::new(&spec.config, &path),
                causal: spec.causal,
            },
            &mut weights,
        )?;
        let lanes = if device.is_cpu() {
            let pools: Result<Vec<_>, _> = (0..options.threads()).map(|_| one_thread()).collect();
            Some(Lanes::new(pools?))
        } else {
            None
        };
        let free = free_on(&device);
        let pooling = match spec.modules.first() {
            Some(Module::Pooling { modes, .. }) if !device.is_cpu() => Some(modes),
            _ => None,
        };
        Ok(Self {
            multiplied: weights.multiplied(),
            transformer,
            lanes,
            free,
            // The maximum over no token is minus infinity, which only `crate::pooling` gives.
            pooling: pooling.filter(|m| !m.contains(&Pooling::Max)).cloned(),
        })
    }

    /// Refuses ids and lengths that the network has no rows for. The id of padding may be any:
    /// it is replaced where the network does not know it, and masked anyway.
    fn check<'a>(&self, batch: &'a TokenBatch) -> Result<Cow<'a, TokenBatch>, EncoderError> {
        let vocabulary = self.transformer.vocabulary();
        let mut unknown_padding = false;
        for (&id, &m) in batch.ids.iter().zip(&batch.mask) {
            if id as usize >= vocabulary {
                if m == 1 {
                    return Err(failed(format!(
                        "token id {id} is outside the model's vocabulary of {vocabulary}"
                    )));
                }
                unknown_padding = true;
            }
        }
        let tokens = longest(batch);
        match self.transformer.max_tokens() {
            Some(max) if tokens > max => Err(failed(format!(
                "a text of {tokens} tokens, but the model has positions for {max}"
            ))),
            _ if unknown_padding => {
                let mut known = batch.clone();
                for (id, &m) in known.ids.iter_mut().zip(&batch.mask) {
                    *id *= u32::from(m);
                }
                Ok(Cow::Owned(known))
            }
            _ => Ok(Cow::Borrowed(batch)),
        }
    }

    fn run(&self, batch: &TokenBatch) -> Result<NetworkOutput, EncoderError> {
        let states = self
            .transformer
            .states(batch)
            .and_then(|s| s.to_dtype(DType::F32))
            .map_err(runtime_error)?;
        if let Some(modes) = &self.pooling {
            let pooled = pooling::pool(modes, &states, batch).map_err(runtime_error)?;
            let (_, dimension) = pooled.dims2().map_err(runtime_error)?;
            let values = pooled
                .flatten_all()
                .and_then(|p| p.to_vec1::<f32>())
                .map_err(runtime_error)?;
            return Ok(NetworkOutput::Pooled { values, dimension });
        }
        let (_, _, dimension) = states.dims3().map_err(runtime_error)?;
        let values = states
            .flatten_all()
            .and_then(|s| s.to_vec1::<f32>())
            .map_err(runtime_error)?;
        Ok(NetworkOutput::Tokens { values, dimension })
    }
}

impl Network for CandleNetwork {
    fn forward(&self, batch: &TokenBatch) -> Result<NetworkOutput, EncoderError> {
        let batch = self.check(batch)?;
        match &self.lanes {
            Some(lanes) => lanes.take().install(|| self.run(&batch)),
            None => self.run(&batch),
        }
    }

    fn lanes(&self) -> usize {
        self.lanes.as_ref().map_or(1, Lanes::count)
    }

    fn multiplied(&self) -> Option<u64> {
        Some(self.multiplied)
    }

    fn free_on_device(&self) -> Option<u64> {
        self.free
    }
}

fn failed(reason: String) -> EncoderError {
    EncoderError::Runtime {
        backend: "candle",
        reason,
        hint: None,
    }
}

fn one_thread() -> Result<ThreadPool, EncoderError> {
    ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "candle-lane".into())
        .build()
        .map_err(|e| EncoderError::Runtime {
            backend: "candle",
            reason: format!("cannot start a thread: {e}"),
            hint: None,
        })
}

/// Tokens of the longest row.
fn longest(batch: &TokenBatch) -> usize {
    batch
        .mask
        .chunks(batch.width.max(1))
        .map(|row| row.iter().map(|&m| usize::from(m)).sum())
        .max()
        .unwrap_or(0)
}

/// The number type of that name.
///
/// # Errors
/// When candle cannot compute in it.
pub fn number_type(name: &str) -> Result<DType, EncoderError> {
    match name {
        "float32" => Ok(DType::F32),
        "float16" => Ok(DType::F16),
        "bfloat16" => Ok(DType::BF16),
        _ => Err(EncoderError::Unsupported {
            what: format!(
                "number type `{name}` is not supported by backend `candle`, which knows \
                 `float32`, `float16`, `bfloat16`"
            ),
            hint: Some("leave `--dtype` out".into()),
        }),
    }
}

/// The device of that name: `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// When the name is another, or the build or the machine has no such device.
pub fn device(name: &str) -> Result<Device, EncoderError> {
    match device::Device::parse(name)? {
        device::Device::Cpu => Ok(Device::Cpu),
        device::Device::Cuda(index) => cuda(index),
    }
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device, EncoderError> {
    let device = Device::new_cuda(index).map_err(runtime_error)?;
    keep_freed_memory(&device).map_err(runtime_error)?;
    Ok(device)
}

/// Keeps the memory that tensors gave back for later tensors. The driver's pool otherwise returns
/// it to the system at every synchronisation, and each batch and each step asks for it again.
#[cfg(feature = "cuda")]
#[allow(unsafe_code, reason = "the binding has no safe form of the call")]
fn keep_freed_memory(device: &Device) -> candle_core::Result<()> {
    use candle_core::cuda_backend::WrapErr as _;
    use candle_core::cuda_backend::cudarc::driver::result::{device as driver, mem_pool};
    use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute;
    let ordinal = device.as_cuda_device()?.cuda_stream().context().ordinal();
    let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let mut everything = u64::MAX;
    let all = std::ptr::from_mut(&mut everything).cast();
    // SAFETY: the context of the device is alive, and the attribute is read from a `u64`.
    unsafe {
        let pool = driver::get_default_mem_pool(driver::get(ordinal as i32).w()?).w()?;
        mem_pool::set_attribute(pool, threshold, all).w()
    }
}

/// Free memory of a GPU in bytes.
#[cfg(feature = "cuda")]
fn free_on(device: &Device) -> Option<u64> {
    let device = device.as_cuda_device().ok()?;
    let (free, _total) = device.cuda_stream().context().mem_get_info().ok()?;
    Some(free as u64)
}

#[cfg(not(feature = "cuda"))]
fn free_on(_device: &Device) -> Option<u64> {
    None
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device, EncoderError> {
    Err(EncoderError::Unsupported {
        what: "backend `candle` of this build has no device `cuda`".into(),
        hint: Some(
            "build with `--features cuda`, or evaluate `model.onnx` with ONNX Runtime".into(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_pinned_one() {
        let manifest = include_str!("../../../../../Cargo.toml");
        assert!(manifest.contains(&format!("candle-core = {{ version = \"={VERSION}\"")));
    }

    #[test]
    fn devices_and_number_types_are_refused_by_name() {
        for error in [
            device("tpu").err(),
            number_type("int8").err(),
            #[cfg(not(feature = "cuda"))]
            device("cuda").err(),
        ] {
            let error = error.expect("not supported");
            assert!(error.to_string().contains("allowed are") || error.hint().is_some());
        }
    }
}
