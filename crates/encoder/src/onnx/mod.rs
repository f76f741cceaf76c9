//! ONNX files: what is in them, checked before any runtime opens them.
//!
//! [`inspect`] reads the graph without its tensors, so that a file of 2 GiB costs milliseconds,
//! and refuses what is not an ONNX file, what is cut off, and what reaches outside its folder.
//! [`plan`] says what the graph is fed and what is read from it, the same for every runtime.

mod constant;
mod graph;
#[cfg(feature = "rten")]
pub(crate) mod located;
#[cfg(any(feature = "onnxruntime", feature = "rten"))]
pub(crate) mod plan;
mod sniff;

use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};

pub use self::constant::parse as parse_input;
use self::graph::{Dimension, External, Graph, Value};
use super::EncoderError;
use super::network::FixedShape;
use korfinsts_base::fs;
use korfinsts_base::protobuf::{Reader, WireError};

/// Domains of the ONNX standard.
const STANDARD: [&str; 6] = [
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
];
/// Domains of operators that come with ONNX Runtime itself.
const CONTRIB: [&str; 4] = [
    "com.microsoft",
    "com.microsoft.experimental",
    "com.microsoft.nchwc",
    "com.ms.internal.nhwc",
];

/// Inputs that a text gives, one number for each of its tokens.
const OF_TOKENS: [&str; 4] = [
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "position_ids",
];
/// Largest fixed batch, in texts and in tokens of each, that is believed.
const LARGEST_FIXED: [u64; 2] = [1024, 1 << 17];

/// A declared input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueInfo {
    /// Name in the graph.
    pub name: String,
    /// Element type: `int64`, `float32`, `float16`, ...; empty where none is declared.
    pub element_type: String,
    /// Number of dimensions, where a shape is declared.
    pub rank: Option<usize>,
    /// The last dimension, where it is fixed.
    pub width: Option<usize>,
}

/// What an ONNX file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphInfo {
    /// Inputs that have to be fed, in the graph's order.
    pub inputs: Vec<ValueInfo>,
    /// Outputs, in the graph's order.
    pub outputs: Vec<ValueInfo>,
    /// Texts and tokens of a batch, where the graph takes no other number.
    pub fixed: FixedShape,
    /// Number type of the computation: `float32`, `float16`, `bfloat16`, `float64`, `int8` where
    /// operators on quantised numbers occur, `int4` where weights are packed in blocks.
    pub dtype: String,
    /// Files in the same folder that hold tensors, sorted; each of them exists.
    pub external_files: Vec<PathBuf>,
    /// Operators outside the ONNX standard that ONNX Runtime brings along, sorted.
    pub contrib_operators: Vec<String>,
    /// Domains that need a library of custom operators: no runtime here loads one.
    pub custom_domains: Vec<String>,
}

/// Reads what an ONNX file holds, without its tensors.
///
/// External data must be in the file's folder under a bare name, and every piece of it must exist.
/// A file of the hub's cache may be a link into the cache's `blobs` folder.
///
/// # Errors
/// When the file cannot be read, is not an ONNX file (the error names what it is instead where
/// that can be told), is cut off, or names external data that is missing, too short, or outside
/// its folder. Operators of unknown domains are no error here: see [`GraphInfo::custom_domains`].
pub fn inspect(path: &Path) -> Result<GraphInfo, EncoderError> {
    let graph = read(path)?;
    let external_files = external_files(path, &graph.externals)?;
    let contrib = graph
        .operators
        .iter()
        .filter(|(domain, _)| CONTRIB.contains(&domain.as_str()))
        .map(|(domain, operator)| format!("{domain}.{operator}"));
    Ok(GraphInfo {
        inputs: graph.inputs.iter().map(info).collect(),
        outputs: graph.outputs.iter().map(info).collect(),
        fixed: fixed(path, &graph.inputs)?,
        dtype: dtype(&graph).to_owned(),
        external_files,
        contrib_operators: contrib.collect(),
        custom_domains: custom_domains(&graph),
    })
}

/// Names of the files next to an ONNX file that hold tensors of it, sorted; they need not be there
/// yet. A downloader asks, since exporters name them freely (`model.onnx_data`,
/// `model.onnx.data`, `Constant_7_attr__value`).
///
/// # Errors
/// When the file cannot be read, is no whole ONNX file, or names data outside its folder.
pub fn external_names(path: &Path) -> Result<Vec<String>, EncoderError> {
    let graph = read(path)?;
    let names: BTreeSet<&str> = graph
        .externals
        .iter()
        .map(|external| bare_name(path, external))
        .collect::<Result<_, _>>()?;
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Refuses a graph that needs a library of custom operators.
#[cfg(any(feature = "onnxruntime", feature = "rten", test))]
fn refuse_custom(path: &Path, graph: &Graph) -> Result<(), EncoderError> {
    let domains = custom_domains(graph);
    if domains.is_empty() {
        return Ok(());
    }
    let operators: Vec<String> = graph
        .operators
        .iter()
        .filter(|(domain, _)| domains.contains(domain))
        .map(|(domain, operator)| format!("`{domain}.{operator}`"))
        .collect();
    Err(EncoderError::Invalid {
        path: path.to_owned(),
        reason: format!(
            "the graph needs custom operators ({}), whose library would be code",
            operators.join(", ")
        ),
        hint: Some("export the model with standard operators only, without its tokenizer".into()),
    })
}

fn read(path: &Path) -> Result<Graph, EncoderError> {
    if let Some(error) = sniff::not_onnx(path)? {
        return Err(error);
    }
    let length = fs::metadata(path)?.len();
    let file = BufReader::with_capacity(1 << 14, fs::open(path)?);
    let graph = graph::read(&mut Reader::new(file, length)).map_err(|WireError { at, what }| {
        EncoderError::Invalid {
            path: path.to_owned(),
            reason: format!("not a whole ONNX file: at byte {at}: {what}"),
            hint: Some("fetch or export the file again: it is cut off or damaged".into()),
        }
    })?;
    match graph.boundless() {
        None => Ok(graph),
        Some(reason) => Err(invalid(
            path,
            reason,
            Some(
                "export it again by tracing (`torch.onnx.export`), which writes loops out, with sizes that \
                  follow the input",
            ),
        )),
    }
}

fn info(value: &Value) -> ValueInfo {
    ValueInfo {
        name: value.name.clone(),
        element_type: value.element.to_owned(),
        rank: value.shape.as_ref().map(Vec::len),
        width: match value.shape.as_deref().and_then(<[_]>::last) {
            Some(graph::Dimension::Fixed(n)) => usize::try_from(*n).ok(),
            _ => None,
        },
    }
}

/// The sizes that the inputs of a text declare, which must not contradict each other.
fn fixed(path: &Path, inputs: &[Value]) -> Result<FixedShape, EncoderError> {
    let mut found = [None; 2];
    for input in inputs {
        let (true, Some([texts, tokens])) = (
            OF_TOKENS.contains(&input.name.as_str()),
            input.shape.as_deref(),
        ) else {
            continue;
        };
        for (axis, dimension) in [texts, tokens].into_iter().enumerate() {
            let Dimension::Fixed(size) = *dimension else {
                continue;
            };
            if size > LARGEST_FIXED[axis] || found[axis].is_some_and(|known| known != size) {
                let what = ["texts", "tokens"][axis];
                let known = found[axis].map_or_else(String::new, |n| format!(", another {n}"));
                let reason = format!("input `{}` takes {size} {what}{known}", input.name);
                let hint = "export it again with dynamic axes for batch and sequence";
                return Err(invalid(path, reason, Some(hint)));
            }
            found[axis] = Some(size);
        }
    }
    let [texts, tokens] = found.map(|size| size.map(|size| size as usize));
    Ok(FixedShape { texts, tokens })
}

fn custom_domains(graph: &Graph) -> Vec<String> {
    let domains: BTreeSet<&String> = graph.operators.iter().map(|(domain, _)| domain).collect();
    domains
        .into_iter()
        .filter(|d| !STANDARD.contains(&d.as_str()) && !CONTRIB.contains(&d.as_str()))
        .cloned()
        .collect()
}

fn dtype(graph: &Graph) -> &'static str {
    let has = |names: &[&str]| {
        graph
            .operators
            .iter()
            .any(|(_, operator)| names.contains(&operator.as_str()))
    };
    if has(&["MatMulNBits", "GatherBlockQuantized", "MatMulBnb4"]) {
        return "int4";
    }
    let integer = has(&[
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
        "DynamicQuantizeLinear",
        "QLinearMatMul",
        "QGemm",
        "QAttention",
        "QEmbedLayerNormalization",
        "QuantizeLinear",
    ]);
    if integer {
        return "int8";
    }
    ["float32", "float16", "bfloat16", "float64"]
        .into_iter()
        .max_by_key(|name| (graph.elements.get(name).copied(), *name == "float32"))
        .unwrap_or("float32")
}

/// The external files of a graph, each checked.
fn external_files(path: &Path, externals: &[External]) -> Result<Vec<PathBuf>, EncoderError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut lengths = std::collections::BTreeMap::new();
    for external in externals {
        let name = bare_name(path, external)?;
        let file = folder.join(name);
        if !lengths.contains_key(&file) {
            lengths.insert(file.clone(), external_length(path, &file, external)?);
        }
        let (length, available) = (external.length, lengths[&file]);
        let end = external.offset.checked_add(length.unwrap_or(0));
        if end.is_none_or(|end| end > available) {
            let what = format!(
                "tensor `{}` lies at bytes {} to {} of `{name}`, which has {available}",
                external.tensor,
                external.offset,
                end.map_or_else(|| "beyond 2^64".to_owned(), |end| end.to_string()),
            );
            let hint = "fetch the external data again: it is cut off, or of another export";
            return Err(invalid(path, what, Some(hint)));
        }
        let held = length.unwrap_or(available - external.offset);
        if external.wanted.is_some_and(|wanted| wanted != held) {
            let what = format!(
                "tensor `{}` has {held} bytes of external data, its shape needs {}",
                external.tensor,
                external.wanted.unwrap_or(0)
            );
            return Err(invalid(path, what, None));
        }
    }
    Ok(lengths.into_keys().collect())
}

fn bare_name<'a>(path: &Path, external: &'a External) -> Result<&'a str, EncoderError> {
    let name = external.location.as_str();
    // `./weights.data` is a bare name with decoration; some exporters write it.
    let name = name.strip_prefix("./").unwrap_or(name);
    let mut components = Path::new(name).components();
    let bare = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    );
    if bare && !name.contains(['/', '\\', '\0']) {
        return Ok(name);
    }
    Err(invalid(
        path,
        format!(
            "tensor `{}` lies in `{}`: external data must lie beside the file, named without a \
             folder",
            external.tensor,
            external.location.escape_debug()
        ),
        Some("export the model again with its data in the same folder"),
    ))
}

/// Size of an external file, which must be there and in the file's own folder.
fn external_length(path: &Path, file: &Path, external: &External) -> Result<u64, EncoderError> {
    if !fs::exists(file) {
        return Err(EncoderError::Missing {
            folder: file.parent().unwrap_or(Path::new(".")).to_owned(),
            what: format!(
                "external data `{}` of `{}`",
                external.location,
                name_of(path)
            ),
            hint: Some(
                "fetch the whole export: the graph and its data file belong together".into(),
            ),
        });
    }
    let real = fs::canonicalize(file)?;
    let home = fs::canonicalize(file.parent().unwrap_or(Path::new(".")))?;
    if real.parent() != Some(home.as_path()) && !in_hub_cache(&home, &real) {
        return Err(invalid(
            path,
            format!(
                "external data `{}` is a link to `{}`, outside the model's folder",
                external.location,
                real.display()
            ),
            Some("put the file itself beside the graph"),
        ));
    }
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() {
        let what = format!("external data `{}` is not a file", external.location);
        return Err(invalid(path, what, None));
    }
    Ok(metadata.len())
}

/// Whether `folder` is in a snapshot of the hub's cache and `file` among the blobs of the same
/// repository: `<repo>/snapshots/<revision>/...` and `<repo>/blobs/<hash>`.
fn in_hub_cache(folder: &Path, file: &Path) -> bool {
    folder
        .ancestors()
        .filter(|a| a.file_name().is_some_and(|n| n == "snapshots"))
        .filter_map(Path::parent)
        .any(|repository| file.parent() == Some(repository.join("blobs").as_path()))
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |n| n.to_string_lossy().into_owned(),
    )
}

fn invalid(path: &Path, reason: String, hint: Option<&str>) -> EncoderError {
    EncoderError::Invalid {
        path: path.to_owned(),
        reason,
        hint: hint.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests;
