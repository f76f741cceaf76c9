//! How a model is read: every rule in a fixed order, every decision with its source.
//!
//! [`read`] turns a file or folder into an [`EncoderSpec`] without opening the network. Flags win
//! over `korfinsts.toml`, which wins over the folder; what is guessed is a warning, and an error
//! when the user asked for strictness.

mod adapted;
mod graph;
mod keys;
mod modules;
mod output;
mod overrides;
mod settings;
mod text;
mod transformer;
mod unread;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Value, json};

pub(crate) use self::keys::holds;
pub use self::overrides::{Attention, ModelTable, Overrides, model_tables};
use super::adapter;
use super::backend::{self, BACKENDS};
use super::family::{self, Family, Kind};
use super::llm2vec::Llm2Vec;
use super::locate::{self, ModelFiles};
use super::modules::Module;
use super::pooling::Pooling;
use super::spec::{Decision, ModelFile, Setting, TRAINED_VARIANTS, WeightsFormat};
use super::tokenizer::Tokenizer;
use super::width::Widths;
use super::{EncoderError, EncoderSpec, json, onnx};
use korfinsts_base::fs;
pub(crate) use settings::similarity;

/// Key of `config.json` by which a decoder is one in which every token sees every other.
const BIDIRECTIONAL: &str = "use_bidirectional_attention";

/// Reads the model at `path`, a file or folder.
///
/// # Errors
/// When the model is not there, a file of it is wrong, or what was asked for does not fit it; and
/// under `overrides.strict`, when something had to be guessed.
pub fn read(path: &Path, overrides: &Overrides) -> Result<EncoderSpec, EncoderError> {
    let wanted = overrides.wanted_backend()?;
    let levels = match &overrides.adapters {
        Some(levels) => levels.clone(),
        None => adapter::levels(path, &mut adapter::local)?,
    };
    let only = match wanted.map(|b| b.reads) {
        Some([only]) => Some(*only),
        _ if locate::names_static_embeddings(path)? => Some(WeightsFormat::Safetensors),
        _ => None,
    };
    let files = match locate::find_adapted(&levels)? {
        Some(files) => files,
        None => locate::find(path, only)?,
    };
    if let Some(backend) = wanted
        && !backend.reads.contains(&files.format)
    {
        return Err(EncoderError::Unsupported {
            what: format!(
                "backend `{}` does not read `{}`",
                backend.name,
                locate::file_name(&files.weights[0])
            ),
            hint: Some("leave `--backend` out, or name another weights file".into()),
        });
    }
    // Hashing large weights takes as long as everything else here: it begins at once, on its own
    // thread, which is left behind when reading fails.
    let weights = files.weights.clone();
    let hashes = std::thread::spawn(move || hash_all(&weights));
    let mut reader = Reader::new(files, overrides)?;
    reader.adapters(&levels)?;
    reader.read_llm2vec(&levels)?;
    let mut spec = reader.finish(path, wanted)?;
    let hashes = hashes.join().map_err(|_| EncoderError::Runtime {
        backend: "sha256",
        reason: "the thread that hashes the weights stopped".into(),
        hint: None,
    })?;
    for (file, sha256) in spec.files.iter_mut().zip(hashes) {
        file.sha256 = sha256?;
    }
    Ok(spec)
}

/// SHA-256 of each file, several at a time.
fn hash_all(paths: &[PathBuf]) -> Vec<Result<String, fs::FsError>> {
    paths.par_iter().map(|path| fs::sha256_file(path)).collect()
}

/// The state of reading one model.
struct Reader<'a> {
    overrides: &'a Overrides,
    files: ModelFiles,
    config_path: PathBuf,
    config: Value,
    settings_path: PathBuf,
    settings: Value,
    /// The configuration of the transformer module, where there is one.
    transformer: Option<(PathBuf, Value)>,
    llm2vec: Option<Llm2Vec>,
    decisions: Vec<Decision>,
    warnings: Vec<String>,
    read_files: Vec<(&'static str, PathBuf)>,
}

impl<'a> Reader<'a> {
    fn new(mut files: ModelFiles, overrides: &'a Overrides) -> Result<Self, EncoderError> {
        let config_path = files.base.join("config.json");
        let mut settings = files.tokenizer.iter();
        let settings_path = settings
            .find_map(|folder| Some(folder.join("tokenizer_config.json")).filter(|p| fs::exists(p)))
            .unwrap_or_else(|| files.tokenizer[0].join("tokenizer_config.json"));
        let config = json::load(&config_path)?;
        let settings = json::load(&settings_path)?;
        let transformer = text::TRANSFORMER_CONFIGS
            .map(|name| files.module.join(name))
            .into_iter()
            .find(|path| fs::exists(path));
        let transformer = match transformer {
            Some(path) => json::load(&path)?.map(|module| (path, module)),
            None => None,
        };
        let warnings = std::mem::take(&mut files.warnings);
        let mut read_files = Vec::new();
        if config.is_some() {
            read_files.push(("config", config_path.clone()));
        }
        if settings.is_some() {
            read_files.push(("config", settings_path.clone()));
        }
        Ok(Self {
            overrides,
            files,
            config_path,
            config: config.unwrap_or(Value::Null),
            settings_path,
            settings: settings.unwrap_or(Value::Null),
            transformer,
            llm2vec: None,
            decisions: Vec::new(),
            warnings,
            read_files,
        })
    }

    fn decide(&mut self, what: Setting, value: impl Into<String>, source: impl Into<String>) {
        self.decisions.push(Decision::new(what, value, source));
    }

    /// A decision that the model leaves open.
    fn guess(
        &mut self,
        what: Setting,
        value: &str,
        why: &str,
        flag: &str,
    ) -> Result<(), EncoderError> {
        if self.overrides.strict {
            return Err(EncoderError::Unsupported {
                what: format!("{what} would have to be guessed: {why}"),
                hint: Some(format!("say it with `{flag}`, or leave `--strict` out")),
            });
        }
        self.warnings
            .push(format!("{what} was guessed to be {value}: {why}"));
        self.decisions.push(Decision {
            guessed: true,
            ..Decision::new(what, value, "guessed")
        });
        Ok(())
    }

    /// Says what may make embeddings wrong; an error under strictness.
    fn doubt(&mut self, what: String, hint: &str) -> Result<(), EncoderError> {
        if self.overrides.strict {
            return Err(EncoderError::Unsupported {
                what,
                hint: Some(format!("{hint}; or leave `--strict` out")),
            });
        }
        self.warnings.push(what);
        Ok(())
    }

    /// Path relative to the model's folder, with `/`.
    fn relative(&self, path: &Path) -> String {
        let mut roots = std::iter::once(&self.files.root)
            .chain(&self.files.below)
            .enumerate();
        let (depth, relative) = roots
            .find_map(|(depth, root)| Some((depth, path.strip_prefix(root).ok()?)))
            .unwrap_or_else(|| (0, path.file_name().map_or(path, Path::new)));
        let parts = relative
            .components()
            .map(|c| c.as_os_str().to_string_lossy());
        // Where an adapter changes a base, its files have a name of their own.
        let below = std::iter::repeat_n("base".into(), depth);
        below.chain(parts).collect::<Vec<_>>().join("/")
    }

    fn family(&self) -> &'static Family {
        family::of(self.architecture())
    }

    fn architecture(&self) -> &str {
        self.config
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    fn finish(
        mut self,
        path: &Path,
        wanted: Option<&'static backend::Backend>,
    ) -> Result<EncoderSpec, EncoderError> {
        let name = match &self.overrides.identity {
            Some((name, _)) => name.clone(),
            None => display_name(path, &self.files),
        };
        self.unread_adapter();
        let sentence = self.sentence_config()?;
        self.transformer_module()?;
        let described = modules::read(&self.files.modules)?;
        let static_kind = self.static_kind(described.as_ref())?;
        // The libraries of static embeddings open `tokenizer.json` and nothing else.
        let plain = json!({"model_type": "model2vec"});
        let tokenizer = Tokenizer::from_folder(
            &self
                .files
                .tokenizer
                .iter()
                .map(PathBuf::as_path)
                .collect::<Vec<_>>(),
            if static_kind.is_some() {
                &plain
            } else {
                &self.config
            },
        )?;
        self.warnings.extend(tokenizer.warnings().iter().cloned());
        for doubt in tokenizer.doubts() {
            let hint = "write a `tokenizer.json` with `AutoTokenizer.from_pretrained(...)\
                        .save_pretrained(...)`, and take out what contradicts it";
            self.doubt(doubt.clone(), hint)?;
        }
        self.read_files
            .extend(tokenizer.files().iter().map(|f| ("tokenizer", f.clone())));

        let shown = match self.files.weights.len() {
            1 => self.relative(&self.files.weights[0]),
            n => format!(
                "{} and {} more",
                self.relative(&self.files.weights[0]),
                n - 1
            ),
        };
        let source = if self.files.explicit {
            "named"
        } else {
            "found"
        };
        self.decide(Setting::Weights, shown, source);
        let (backend, backend_version) = self.backend(wanted, static_kind.is_some())?;
        let device = self.device()?;
        let graph = self.graph()?;
        let dtype = self.dtype(graph.as_ref(), static_kind)?;
        let tokenizer_file = self.relative(&tokenizer.files()[0]);
        self.decide(Setting::Tokenizer, tokenizer.format(), tokenizer_file);
        let pieces = tokenizer.vocabulary_size();
        let chosen = self.modules(described, static_kind, graph.as_ref(), pieces)?;
        let onnx_inputs = self.onnx_inputs()?;
        let mut text = self.text(&tokenizer, chosen.pools_last, static_kind)?;
        if let Some(tokens) = graph.as_ref().and_then(|g| g.fixed.tokens) {
            text.max_tokens = self.within(tokens, text.max_tokens)?;
        }
        let causal = self.attention()?;
        self.check_unread(causal, static_kind, graph.as_ref())?;
        let similarity = self.similarity(&sentence)?;
        let (prompts, default_prompt_name) = self.prompts(&sentence)?;
        let architecture = self.architecture().to_owned();
        let files = self.hash(graph.as_ref())?;
        let trained_variants = self.trained_variants()?;
        Ok(EncoderSpec {
            name,
            revision: self.overrides.identity.as_ref().map(|(_, r)| r.clone()),
            folder: self.files.root.clone(),
            config_path: self.config_path,
            format: self.files.format,
            weights: self.files.weights,
            adapters: self.files.adapters,
            files,
            architecture,
            config: self.config,
            backend,
            backend_version,
            device,
            dtype,
            modules: chosen.modules,
            onnx_output: chosen.output,
            onnx_inputs,
            widths: chosen.widths,
            max_tokens: text.max_tokens,
            pad_id: text.pad_id,
            padding_side: text.padding_side,
            append_token: text.append_token,
            add_special_tokens: static_kind.is_none(),
            drop_unknown: static_kind == Some(StaticKind::Model2Vec),
            max_characters: text.max_characters,
            llm2vec: self.llm2vec,
            causal,
            prompts,
            default_prompt_name,
            similarity,
            tokenizer: Some(Arc::new(tokenizer)),
            endpoint: None,
            trained_variants,
            strict: self.overrides.strict,
            decisions: self.decisions,
            warnings: self.warnings,
        })
    }

    /// What a checkpoint says it was trained on.
    fn trained_variants(&self) -> Result<Vec<String>, EncoderError> {
        let path = self.files.modules.join(TRAINED_VARIANTS);
        let Some(value) = json::load(&path)? else {
            return Ok(Vec::new());
        };
        serde_json::from_value(value).map_err(|e| EncoderError::Invalid {
            path,
            reason: format!("{e}, expected a list of texts"),
            hint: None,
        })
    }

    /// `config_sentence_transformers.json`.
    fn sentence_config(&mut self) -> Result<(PathBuf, Value), EncoderError> {
        let path = self.files.modules.join("config_sentence_transformers.json");
        let Some(value) = json::load(&path)? else {
            return Ok((path, Value::Null));
        };
        match json::text(&path, &value, "model_type")? {
            None | Some("SentenceTransformer") => {}
            Some(other) => {
                let found = Value::String(other.to_owned());
                return Err(json::wrong_field(
                    &path,
                    "model_type",
                    &found,
                    "`SentenceTransformer`: other kinds of model give no single embedding per text",
                ));
            }
        }
        self.read_files.push(("config", path.clone()));
        Ok((path, value))
    }

    /// Whether the weights are a table of static embeddings, and whose.
    fn static_kind(
        &mut self,
        described: Option<&modules::Described>,
    ) -> Result<Option<StaticKind>, EncoderError> {
        let named = described.is_some_and(|d| d.is_static) || self.family().kind == Kind::Static;
        if self.files.format != WeightsFormat::Safetensors {
            return if named {
                Err(EncoderError::Unsupported {
                    what: "static embeddings are read from `model.safetensors` only".into(),
                    hint: Some("name the model's folder".into()),
                })
            } else {
                Ok(None)
            };
        }
        if !named && described.is_some() {
            return Ok(None);
        }
        let file = &self.files.weights[0];
        let header = korfinsts_nn::safetensors::check(file)?;
        let kind = if header.contains_key("embedding.weight") {
            Some(StaticKind::SentenceTransformers)
        } else if header.contains_key("embeddings") {
            Some(StaticKind::Model2Vec)
        } else {
            None
        };
        match kind {
            Some(kind) if named || kind == StaticKind::Model2Vec => Ok(Some(kind)),
            None if named => Err(EncoderError::Invalid {
                path: file.clone(),
                reason: "static embeddings need a tensor `embedding.weight` or `embeddings`".into(),
                hint: None,
            }),
            _ => Ok(None),
        }
    }

    fn graph(&mut self) -> Result<Option<onnx::GraphInfo>, EncoderError> {
        if self.files.format != WeightsFormat::Onnx {
            return Ok(None);
        }
        match &self.overrides.graph {
            Some(graph) => Ok(Some(graph.clone())),
            None => onnx::inspect(&self.files.weights[0]).map(Some),
        }
    }

    /// Every file that shapes a result, the weights first and without their hashes.
    fn hash(&mut self, graph: Option<&onnx::GraphInfo>) -> Result<Vec<ModelFile>, EncoderError> {
        let mut files: Vec<(&'static str, PathBuf)> = Vec::new();
        files.extend(self.files.weights.iter().map(|f| ("weights", f.clone())));
        files.extend(self.files.index.iter().map(|f| ("config", f.clone())));
        files.extend(
            graph
                .iter()
                .flat_map(|g| &g.external_files)
                .map(|f| ("weights-external", f.clone())),
        );
        files.append(&mut self.read_files);
        let mut seen = HashSet::new();
        files.retain(|(_, path)| seen.insert(path.clone()));
        let weights = self.files.weights.len();
        let others: Vec<PathBuf> = files[weights..].iter().map(|(_, p)| p.clone()).collect();
        // The weights come first, and their hashes are filled in later.
        let hashes = std::iter::repeat_with(|| Ok(String::new()))
            .take(weights)
            .chain(hash_all(&others));
        files
            .into_iter()
            .zip(hashes)
            .map(|((role, path), sha256)| {
                Ok(ModelFile {
                    role: role.to_owned(),
                    name: self.relative(&path),
                    path,
                    sha256: sha256?,
                })
            })
            .collect()
    }
}

/// Who made a table of static embeddings, which decides how its texts are tokenised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StaticKind {
    /// Unknown tokens kept.
    SentenceTransformers,
    /// Unknown tokens dropped, tokens weighted.
    Model2Vec,
}

/// What follows the network, and which output of the graph is read.
pub(super) struct Chosen {
    pub modules: Vec<Module>,
    pub output: Option<String>,
    pub widths: Widths,
    /// Whether the last token is pooled, by these modules or within the graph.
    pub pools_last: bool,
}

impl Overrides {
    /// The backend that was asked for.
    fn wanted_backend(&self) -> Result<Option<&'static backend::Backend>, EncoderError> {
        let name = self.backend.as_ref().or(self.table.backend.as_ref());
        match name.map(String::as_str) {
            None | Some("auto") => Ok(None),
            Some(name) => backend::find(name).map(Some).ok_or_else(|| {
                let names: Vec<_> = BACKENDS.iter().map(|b| b.name).collect();
                not_allowed("backend", name, &names)
            }),
        }
    }
}

fn not_allowed(what: &str, found: &str, allowed: &[&str]) -> EncoderError {
    let allowed: Vec<_> = allowed.iter().map(|a| format!("`{a}`")).collect();
    EncoderError::Unsupported {
        what: format!(
            "{what} `{found}` is not known; allowed are {}",
            allowed.join(", ")
        ),
        hint: None,
    }
}

/// Name of the folder, or of a file that is not named `model`.
fn display_name(path: &Path, files: &ModelFiles) -> String {
    let folder = || {
        let name = locate::file_name(&files.root);
        if name.is_empty() {
            std::path::absolute(&files.root)
                .ok()
                .map(|p| locate::file_name(&p))
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| "model".to_owned())
        } else {
            name
        }
    };
    if !files.explicit {
        return folder();
    }
    let stem = locate::file_name(path);
    let stem = stem.split('.').next().unwrap_or(&stem).to_owned();
    if stem == "model" {
        folder()
    } else {
        format!("{}/{stem}", folder())
    }
}

/// Whether a model of this kind attends to the past only, by what `config.json` says.
pub(super) fn is_causal_lm(config: &Value) -> bool {
    let model_type = config.get("model_type").and_then(Value::as_str);
    let named = config
        .get("architectures")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|name| name.ends_with("ForCausalLM"));
    let flag = |key: &str| config.get(key).and_then(Value::as_bool);
    let bidirectional = flag("is_causal") == Some(false)
        || flag(BIDIRECTIONAL) == Some(true)
        || is_bidirectional_code(config);
    (named || model_type.is_some_and(|t| family::of(t).kind == Kind::Decoder)) && !bidirectional
}

/// Whether the model's own code is known to be its family's network with bidirectional attention.
pub(super) fn is_bidirectional_code(config: &Value) -> bool {
    let model_type = config.get("model_type").and_then(Value::as_str);
    let class = config
        .pointer("/auto_map/AutoModel")
        .and_then(Value::as_str);
    let known = family::of(model_type.unwrap_or("")).bidirectional_code;
    class.is_some_and(|class| known.contains(&transformer::last(class)))
}

/// The modes of a pooling module at the head of `modules`.
pub(super) fn pooling_of(modules: &[Module]) -> Option<(&[Pooling], bool)> {
    match modules.first() {
        Some(Module::Pooling {
            modes,
            include_prompt,
        }) => Some((modes, *include_prompt)),
        _ => None,
    }
}
