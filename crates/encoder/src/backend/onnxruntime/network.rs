//! The network behind the backend.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider as _};
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorElementType, ValueType};

use super::super::OpenOptions;
use super::super::device::Device;
use super::super::lanes::Lanes;
use super::Loaded;
use super::library::{self, OLDEST_MINOR, Place};
use crate::network::{FixedShape, Network, NetworkOutput, TokenBatch};
use crate::onnx::plan::{Element, Fed, GraphPlan, Input, file, unable};
use crate::{EncoderError, EncoderSpec, memory};
use korfinsts_base::fs;

const NAME: &str = "onnxruntime";
const INSTALL: &str = "`korfinsts runtime install` puts one in place; `korfinsts runtime list` \
                       shows where it is looked for; `--backend rten` needs none";

/// The library of this process: it can neither be unloaded nor loaded twice.
static LOADED: Mutex<Option<(Loaded, Environment)>> = Mutex::new(None);

pub(super) fn version(options: &OpenOptions) -> Result<String, EncoderError> {
    load(options).map(|loaded| loaded.version)
}

pub(super) fn load(options: &OpenOptions) -> Result<Loaded, EncoderError> {
    environment(options).map(|(loaded, _)| loaded)
}

fn environment(options: &OpenOptions) -> Result<(Loaded, Environment), EncoderError> {
    let mut slot = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let places = library::places(options);
    if let Some((loaded, environment)) = &*slot {
        return match places.first() {
            Some(Place {
                origin,
                library: Some(other),
                ..
            }) if origin.is_named() && *other != loaded.path => Err(failed(
                format!(
                    "`{}` cannot be loaded: this process already uses `{}`",
                    other.display(),
                    loaded.path.display()
                ),
                None,
            )),
            _ => Ok((loaded.clone(), environment.clone())),
        };
    }
    let found = first_that_loads(&places)?;
    Ok(slot.insert(found).clone())
}

fn first_that_loads(places: &[Place]) -> Result<(Loaded, Environment), EncoderError> {
    let mut passed_over: Vec<(PathBuf, String)> = Vec::new();
    for place in places {
        let Some(path) = &place.library else { continue };
        match initialise(path) {
            Ok((version, environment)) => {
                let loaded = Loaded {
                    path: path.clone(),
                    version,
                    providers: providers(),
                    passed_over,
                };
                return Ok((loaded, environment));
            }
            Err(reason) => passed_over.push((path.clone(), reason)),
        }
    }
    let reason = match (passed_over.as_slice(), places) {
        ([], [named]) if named.origin.is_named() => format!(
            "no library at `{}`, which {} names",
            named.path.display(),
            named.origin.name()
        ),
        ([], _) => "no library of ONNX Runtime found".to_owned(),
        (failures, _) => failures
            .iter()
            .map(|(path, reason)| format!("`{}` cannot be loaded: {reason}", path.display()))
            .collect::<Vec<_>>()
            .join("; "),
    };
    Err(failed(reason, Some(INSTALL)))
}

/// Loads one library. The error is that of the system's loader, which says what is missing.
fn initialise(path: &Path) -> Result<(String, Environment), String> {
    let builder = ort::init_from(path).map_err(|error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })?;
    let version = library::version(path)
        .or_else(|| ort::util::probe(path).map(|minor| format!("1.{minor}")))
        .unwrap_or_else(|| format!("1.{OLDEST_MINOR} or newer"));
    let environment = builder
        .with_name("korfinsts")
        .with_telemetry(false)
        // What matters comes back as an error; nothing is printed behind the caller's back.
        .with_logger(Arc::new(|_, _, _, _, _| {}))
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Fatal);
    Ok((version, environment))
}

fn providers() -> Vec<&'static str> {
    let mut found = vec!["CPU"];
    if ep::CUDA::is_available().unwrap_or(false) {
        found.push("CUDA");
    }
    found
}

fn failed(reason: impl Into<String>, hint: Option<&str>) -> EncoderError {
    EncoderError::Runtime {
        backend: NAME,
        reason: reason.into(),
        hint: hint.map(str::to_owned),
    }
}

/// How many sessions run at once, and with how many threads each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    sessions: usize,
    threads: usize,
}

impl Layout {
    /// One single-thread session per thread is fastest, but each holds the weights again: where
    /// that would fill more than half of the free memory, fewer sessions share the threads.
    fn new(threads: usize, weights_bytes: u64, free_bytes: u64) -> Self {
        // Measured: a session holds 1.2 times its weights, and 60 MB.
        let each = weights_bytes + weights_bytes / 5 + (60 << 20);
        let fitting = usize::try_from(free_bytes / 2 / each).unwrap_or(usize::MAX);
        let sessions = fitting.clamp(1, threads.max(1));
        Self {
            sessions,
            threads: (threads / sessions).max(1),
        }
    }
}

/// A session of its own, since one must not run twice at once; its options select one output.
struct Lane {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
}

struct OnnxRuntime {
    plan: GraphPlan,
    lanes: Lanes<Lane>,
}

pub(super) fn open(
    spec: &EncoderSpec,
    options: &OpenOptions,
) -> Result<Box<dyn Network>, EncoderError> {
    let device = device(&spec.device)?;
    let plan = GraphPlan::new(spec)?;
    let path = file(spec)?;
    let (loaded, environment) = environment(options)?;
    let layout = match device {
        Some(_) => Layout {
            sessions: 1,
            threads: 1,
        },
        None => {
            let free = memory::free_bytes().unwrap_or(u64::MAX);
            Layout::new(options.threads(), weights_bytes(path, &plan)?, free)
        }
    };
    if device.is_some() {
        prepare_cuda(&loaded)?;
    }
    let lane = || {
        let options = RunOptions::new().map_err(|error| failed(error.to_string(), None))?;
        Ok(Lane {
            session: session(&environment, spec, device, layout.threads)?,
            options: options.with_outputs(OutputSelector::no_default().with(&plan.output)),
        })
    };
    let lanes = (0..layout.sessions)
        .map(|_| lane())
        .collect::<Result<Vec<_>, EncoderError>>()?;
    Ok(Box::new(OnnxRuntime {
        plan,
        lanes: Lanes::new(lanes),
    }))
}

/// Index of the CUDA device; `None` for the CPU.
fn device(name: &str) -> Result<Option<i32>, EncoderError> {
    Ok(match Device::parse(name)? {
        Device::Cpu => None,
        Device::Cuda(index) => Some(i32::try_from(index).unwrap_or(i32::MAX)),
    })
}

fn weights_bytes(path: &Path, plan: &GraphPlan) -> Result<u64, EncoderError> {
    let mut bytes = fs::metadata(path)?.len();
    for file in &plan.external_files {
        bytes += fs::metadata(file)?.len();
    }
    Ok(bytes)
}

/// Loads CUDA's libraries from where they were found: the system's loader looks in few of these
/// places.
fn prepare_cuda(loaded: &Loaded) -> Result<(), EncoderError> {
    if !loaded.providers.contains(&"CUDA") {
        return Err(failed(
            format!(
                "`{}` (version {}) was built without CUDA",
                loaded.path.display(),
                loaded.version
            ),
            Some("`korfinsts runtime install --cuda`"),
        ));
    }
    for library in super::cuda::libraries(Some(&loaded.path)) {
        if let Some(path) = library.path {
            // One that fails to load is named by the provider itself, with what it lacks.
            let _ = ort::util::preload_dylib(&path);
        }
    }
    Ok(())
}

fn session(
    environment: &Environment,
    spec: &EncoderSpec,
    device: Option<i32>,
    threads: usize,
) -> Result<Session, EncoderError> {
    let path = file(spec)?;
    configure(environment, device, threads)
        .and_then(|mut builder| builder.commit_from_file(path))
        .map_err(|error| match device {
            Some(_) => {
                let missing: Vec<&str> = super::cuda::libraries(None)
                    .iter()
                    .filter(|l| l.path.is_none())
                    .map(|l| l.name)
                    .collect();
                let hint = if missing.is_empty() {
                    "`korfinsts doctor` looks at the driver and CUDA's libraries".to_owned()
                } else {
                    format!("not found: {}; see `korfinsts doctor`", missing.join(", "))
                };
                failed(error.to_string(), Some(&hint))
            }
            None => {
                let other = "a newer ONNX Runtime may know this graph; `--backend rten` may run it";
                failed(
                    format!("{}: {error}", path.display()),
                    Some(&unable(spec, other)),
                )
            }
        })
}

fn configure(
    environment: &Environment,
    device: Option<i32>,
    threads: usize,
) -> Result<SessionBuilder, ort::Error> {
    let provider = match device {
        None => ep::CPU::default().with_arena_allocator(arena()).build(),
        Some(index) => ep::CUDA::default()
            .with_device_id(index)
            // TensorFloat-32 rounds factors to 10 bits: scores would differ from the CPU's.
            .with_tf32(false)
            .build()
            .error_on_failure(),
    };
    Ok(Session::builder(environment)?
        .with_log_level(LogLevel::Fatal)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // Every batch has another shape: patterns of earlier ones would only hold memory.
        .with_memory_pattern(false)?
        .with_device_allocated_initializers()?
        .with_execution_providers([provider])?)
}

fn arena() -> bool {
    std::env::var_os("ORT_NO_ARENA").is_none()
}

impl Network for OnnxRuntime {
    fn forward(&self, batch: &TokenBatch) -> Result<NetworkOutput, EncoderError> {
        let inputs = self
            .plan
            .inputs
            .iter()
            .map(|input| Ok((input.name.as_str(), value(input, batch)?)))
            .collect::<Result<Vec<(&str, SessionInputValue<'static>)>, ort::Error>>()
            .map_err(|error| failed(error.to_string(), None))?;
        let mut lane = self.lanes.take();
        let Lane { session, options } = &mut *lane;
        let outputs = session.run_with_options(inputs, options).map_err(|error| {
            let reason = format!("{}: {error}", self.plan.path.display());
            failed(reason, Some(hint(&error.to_string())))
        })?;
        let output = outputs
            .get(&self.plan.output)
            .ok_or_else(|| failed(format!("no output `{}` came back", self.plan.output), None))?;
        let (shape, values) = reals(output).map_err(|error| failed(error, None))?;
        drop(outputs);
        drop(lane);
        self.plan.shaped(NAME, batch, &shape, values)
    }

    fn lanes(&self) -> usize {
        self.lanes.count()
    }

    fn depends_on_batch(&self) -> bool {
        self.plan.depends_on_batch
    }

    fn multiplied(&self) -> Option<u64> {
        Some(self.plan.multiplied)
    }

    fn fixed(&self) -> FixedShape {
        self.plan.fixed
    }
}

fn hint(message: &str) -> &'static str {
    let message = message.to_lowercase();
    if ["alloc", "out of memory"]
        .iter()
        .any(|word| message.contains(word))
    {
        "memory ran out: use a smaller `--batch-tokens`, or fewer `--threads`"
    } else {
        "export the graph again with sizes that follow the input; `--backend rten` may run it"
    }
}

fn value(input: &Input, batch: &TokenBatch) -> Result<SessionInputValue<'static>, ort::Error> {
    fn tensor<T: ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
        shape: Vec<usize>,
        values: Vec<T>,
    ) -> Result<SessionInputValue<'static>, ort::Error> {
        Ok(Tensor::from_array((shape, values))?.into())
    }
    let Fed { values, shape } = input.feed(batch);
    let values = values.into_iter();
    match input.element {
        Element::Int64 => tensor(shape, values.map(|v| v as i64).collect()),
        Element::Int32 => tensor(shape, values.map(|v| v as i32).collect()),
        Element::Bool => tensor(shape, values.map(|v| v != 0.0).collect()),
        Element::Float32 => tensor(shape, values.map(|v| v as f32).collect()),
        Element::Float16 => tensor(shape, values.map(f16::from_f64).collect()),
    }
}

/// Shape and values of an output, in float32.
fn reals(output: &DynValue) -> Result<(Vec<usize>, Vec<f32>), String> {
    let ValueType::Tensor { ty, .. } = output.dtype() else {
        return Err("the output is not a tensor".to_owned());
    };
    let (shape, values) = match ty {
        TensorElementType::Float32 => output
            .try_extract_tensor::<f32>()
            .map(|(shape, values)| (shape, values.to_vec())),
        TensorElementType::Float16 => output
            .try_extract_tensor::<f16>()
            .map(|(shape, values)| (shape, values.to_f32_vec())),
        TensorElementType::Bfloat16 => output
            .try_extract_tensor::<half::bf16>()
            .map(|(shape, values)| (shape, values.to_f32_vec())),
        TensorElementType::Float64 => output
            .try_extract_tensor::<f64>()
            .map(|(shape, values)| (shape, values.iter().map(|&v| v as f32).collect())),
        other => return Err(format!("the output holds {other:?}, not real numbers")),
    }
    .map_err(|error| error.to_string())?;
    let shape = shape.iter().map(|&size| size as usize).collect();
    Ok((shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_as_many_as_threads_unless_memory_is_short() {
        const GB: u64 = 1 << 30;
        for (threads, weights, free, sessions, each) in [
            (2, GB / 10, 8 * GB, 2, 1),
            (64, 2 * GB, 32 * GB, 6, 10),
            (8, 20 * GB, 16 * GB, 1, 8),
            (1, GB, GB, 1, 1),
            (0, GB, 16 * GB, 1, 1),
        ] {
            let layout = Layout::new(threads, weights, free);
            assert_eq!((layout.sessions, layout.threads), (sessions, each));
        }
    }

    #[test]
    fn devices_are_named() {
        assert_eq!(device("cpu").expect("cpu"), None);
        assert_eq!(device("cuda").expect("cuda"), Some(0));
        assert_eq!(device("cuda:3").expect("cuda:3"), Some(3));
        assert!(device("mps").is_err());
    }
}
