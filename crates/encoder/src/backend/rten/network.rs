//! The network behind the backend.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use rten::{
    LoadError, LoadErrorKind, Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value,
    ValueOrView,
};
use rten_tensor::Layout as _;

use super::super::OpenOptions;
use super::super::lanes::Lanes;
use crate::network::{FixedShape, Network, NetworkOutput, TokenBatch};
use crate::onnx::located::{located, renamed};
use crate::onnx::plan::{Element, Fed, GraphPlan, file, unable};
use crate::{EncoderError, EncoderSpec};
use korfinsts_base::fs;

const NAME: &str = "rten";
/// Version of the crate in `Cargo.toml`; the crate itself does not give it.
const VERSION: &str = "0.27.0";
const OTHER_RUNTIME: &str =
    "ONNX Runtime may run it: `korfinsts runtime install`, then `--backend onnxruntime`";

struct Rten {
    model: Model,
    plan: GraphPlan,
    nodes: Vec<NodeId>,
    output: NodeId,
    /// A pool of one thread per lane: the lanes share the model and its weights.
    lanes: Lanes<Arc<ThreadPool>>,
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "the signature of every backend's version"
)]
pub(super) fn version(_options: &OpenOptions) -> Result<String, EncoderError> {
    Ok(VERSION.to_owned())
}

pub(super) fn open(
    spec: &EncoderSpec,
    options: &OpenOptions,
) -> Result<Box<dyn Network>, EncoderError> {
    if spec.device != "cpu" {
        return Err(EncoderError::Unsupported {
            what: format!("backend `{NAME}` runs on `cpu`, not on `{}`", spec.device),
            hint: Some("`--backend onnxruntime` runs ONNX files on `cuda`".into()),
        });
    }
    let plan = GraphPlan::new(spec)?;
    let model = caught(&plan.path, || load(spec, &plan))??;
    let node = |name: &str| {
        model
            .find_node(name)
            .ok_or_else(|| failed(format!("`{name}` is not in the optimised graph")))
    };
    let nodes = plan
        .inputs
        .iter()
        .map(|input| node(&input.name))
        .collect::<Result<Vec<_>, _>>()?;
    let output = node(&plan.output)?;
    let pools = (0..options.threads())
        .map(|_| Arc::new(ThreadPool::with_num_threads(1)))
        .collect();
    Ok(Box::new(Rten {
        nodes,
        output,
        lanes: Lanes::new(pools),
        model,
        plan,
    }))
}

/// Loads the graph; external data stays on the disk and is mapped. Weights inside the graph are
/// copied either way: such a file is read, not mapped, so that it is not in memory twice.
fn load(spec: &EncoderSpec, plan: &GraphPlan) -> Result<Model, EncoderError> {
    let path = file(spec)?;
    let options = ModelOptions::with_all_ops();
    let loaded = if plan.external_files.is_empty() {
        options.load_file(path)
    } else {
        #[allow(
            unsafe_code,
            reason = "weights are mapped; they must not change meanwhile"
        )]
        unsafe {
            options.load_mmap(path)
        }
    };
    let loaded = match loaded {
        // Names of files and places of external data are stricter here than ONNX asks: give it the bytes.
        Err(error)
            if matches!(
                error.kind(),
                LoadErrorKind::UnknownFileType | LoadErrorKind::ExternalDataError
            ) || error.to_string().contains("external data") =>
        {
            load_from_memory(path, plan, options)?
        }
        loaded => loaded,
    };
    loaded.map_err(|error| refused(path, &error, unable(spec, OTHER_RUNTIME)))
}

fn load_from_memory(
    path: &Path,
    plan: &GraphPlan,
    mut options: ModelOptions,
) -> Result<Result<Model, LoadError>, EncoderError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let bytes = fs::read_up_to(path, u64::MAX)?;
    let length = |name: &str| fs::metadata(&folder.join(name)).map_or(0, |m| m.len());
    let bytes = located(&bytes, &length).map_err(|e| failed(e.to_string()))?;
    for file in &plan.external_files {
        let name = file.strip_prefix(folder).unwrap_or(file);
        options.external_data(
            &renamed(&name.to_string_lossy()),
            fs::read_up_to(file, u64::MAX)?,
        );
    }
    Ok(options.load(bytes))
}

fn refused(path: &Path, error: &LoadError, hint: String) -> EncoderError {
    match error.kind() {
        LoadErrorKind::OperatorInvalid
        | LoadErrorKind::OptimizeError
        | LoadErrorKind::ShapeInferenceFailed => EncoderError::Unsupported {
            what: format!("{}: backend `{NAME}`: {error}", path.display()),
            hint: Some(hint),
        },
        _ => EncoderError::Invalid {
            path: path.to_owned(),
            reason: format!("{NAME}: {error}"),
            hint: Some(hint),
        },
    }
}

/// Runs a step of the runtime. An operator may panic on a graph whose sizes are too large or contradict
/// each other.
fn caught<T>(path: &Path, step: impl FnOnce() -> T) -> Result<T, EncoderError> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no reason given");
        at(path, &format!("the runtime cannot compute it: {text}"))
    })
}

fn at(path: &Path, reason: &dyn std::fmt::Display) -> EncoderError {
    failed(format!("{}: {reason}", path.display()))
}

fn failed(reason: impl Into<String>) -> EncoderError {
    EncoderError::Runtime {
        backend: NAME,
        reason: reason.into(),
        hint: Some(OTHER_RUNTIME.into()),
    }
}

impl Network for Rten {
    fn forward(&self, batch: &TokenBatch) -> Result<NetworkOutput, EncoderError> {
        let mut inputs = Vec::with_capacity(self.nodes.len());
        for (input, &node) in self.plan.inputs.iter().zip(&self.nodes) {
            inputs.push((node, value(input.feed(batch), input.element)?));
        }
        let lane = self.lanes.take();
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&lane)));
        let run = || self.model.run_n(inputs, [self.output], Some(options));
        let path = &self.plan.path;
        let [output] = caught(path, run)?.map_err(|error| at(path, &error))?;
        let Value::FloatTensor(tensor) = output else {
            return Err(failed(format!(
                "output `{}` holds no real numbers",
                self.plan.output
            )));
        };
        let shape = tensor.shape().to_vec();
        self.plan.shaped(NAME, batch, &shape, tensor.into_data())
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

/// Values in the types of this runtime: 64-bit integers and truth values are 32-bit integers
/// there, and float16 is float32.
fn value(fed: Fed, element: Element) -> Result<ValueOrView<'static>, EncoderError> {
    let Fed { values, shape } = fed;
    let values = values.into_iter();
    let value = match element {
        Element::Float32 | Element::Float16 => {
            let values: Vec<f32> = values.map(|v| v as f32).collect();
            Value::from_shape(&shape, values).map_err(|e| e.to_string())
        }
        Element::Int64 | Element::Int32 | Element::Bool => {
            let values: Vec<i32> = values.map(|v| v as i32).collect();
            Value::from_shape(&shape, values).map_err(|e| e.to_string())
        }
    };
    value.map(Into::into).map_err(failed)
}
