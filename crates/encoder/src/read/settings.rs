//! Settings other than texts and pooling: number type, device, attention, similarity,
//! prompts, backend.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::{Attention, BIDIRECTIONAL, Overrides, Reader, StaticKind, not_allowed};
use crate::backend::device::Device;
use crate::backend::{BACKENDS, Backend};
use crate::onnx::GraphInfo;
use crate::spec::{Setting, WeightsFormat};
use crate::{EncoderError, json, llm2vec};
use korfinsts_metric::Similarity;

/// Longest prompt, in bytes: it is put before every text.
const LONGEST_PROMPT: usize = 1 << 16;

/// Named prompts, and the name of the one used when none is asked for.
pub(super) type Prompts = (BTreeMap<String, String>, Option<String>);

impl Reader<'_> {
    pub(super) fn dtype(
        &mut self,
        graph: Option<&GraphInfo>,
        static_kind: Option<StaticKind>,
    ) -> Result<String, EncoderError> {
        const ALLOWED: [&str; 3] = ["float32", "float16", "bfloat16"];
        let asked = Overrides::pick(
            self.overrides.dtype.as_ref(),
            "dtype",
            self.overrides.table.dtype.as_ref(),
        );
        if let Some(graph) = graph {
            if let Some((dtype, _)) = asked
                && dtype != graph.dtype
            {
                return Err(EncoderError::Unsupported {
                    what: format!(
                        "the number type of an ONNX graph is fixed: this one is `{}`, not `{dtype}`",
                        graph.dtype
                    ),
                    hint: Some("leave `--dtype` out, or name another file".into()),
                });
            }
            self.decide(Setting::Dtype, graph.dtype.clone(), "the graph");
            return Ok(graph.dtype.clone());
        }
        let half = asked.is_none() && self.is_half_table(static_kind)?;
        let default = if half {
            (
                "float16".into(),
                "the weights, as model2vec computes".into(),
            )
        } else {
            ("float32".into(), "default".into())
        };
        let (dtype, source) = asked.unwrap_or(default);
        if !ALLOWED.contains(&dtype.as_str()) {
            return Err(not_allowed("dtype", &dtype, &ALLOWED));
        }
        if static_kind.is_some() && dtype == "bfloat16" {
            return Err(not_allowed("dtype", &dtype, &ALLOWED[..2]));
        }
        self.decide(Setting::Dtype, dtype.clone(), source);
        Ok(dtype)
    }

    /// Whether a table of model2vec is in float16: the library rounds to it what it computes.
    fn is_half_table(&self, kind: Option<StaticKind>) -> Result<bool, EncoderError> {
        if kind != Some(StaticKind::Model2Vec) {
            return Ok(false);
        }
        let header = korfinsts_nn::safetensors::check(&self.files.weights[0])?;
        Ok(header.get("embeddings").is_some_and(|t| t.dtype == "F16"))
    }

    pub(super) fn device(&mut self) -> Result<String, EncoderError> {
        let (device, source) = Overrides::pick(
            self.overrides.device.as_ref(),
            "device",
            self.overrides.table.device.as_ref(),
        )
        .unwrap_or(("cpu".into(), "default".into()));
        Device::parse(&device)?;
        self.decide(Setting::Device, device.clone(), source);
        Ok(device)
    }

    /// `is_causal` or `use_bidirectional_attention` of `config.json`, or the code that it names;
    /// `None` leaves it to the architecture.
    pub(super) fn attention(&mut self) -> Result<Option<bool>, EncoderError> {
        let asked = Overrides::pick(
            self.overrides.attention.as_ref(),
            "attention",
            self.overrides.table.attention.as_ref(),
        );
        if let Some((attention, source)) = asked {
            if self.files.format == WeightsFormat::Onnx {
                return Err(EncoderError::Unsupported {
                    what: "the attention of an ONNX graph is fixed".into(),
                    hint: Some("leave `--attention` out, or choose `--backend candle`".into()),
                });
            }
            self.decide(Setting::Attention, attention.name(), source);
            return Ok(Some(attention == Attention::Causal));
        }
        if self.llm2vec.is_some() {
            self.decide(Setting::Attention, "bidirectional", llm2vec::FILE);
            return Ok(Some(false));
        }
        let flag = |key: &str| json::boolean(&self.config_path, &self.config, key);
        let (causal, key) = match (flag("is_causal")?, flag(BIDIRECTIONAL)?) {
            (Some(causal), _) => (causal, "is_causal"),
            (None, Some(true)) => (false, BIDIRECTIONAL),
            _ if super::is_bidirectional_code(&self.config) => (false, "auto_map"),
            _ => return Ok(None),
        };
        let name = if causal { "causal" } else { "bidirectional" };
        self.decide(Setting::Attention, name, format!("config.json (`{key}`)"));
        Ok(Some(causal))
    }

    pub(super) fn similarity(
        &mut self,
        sentence: &(PathBuf, Value),
    ) -> Result<Similarity, EncoderError> {
        let asked = Overrides::pick(
            self.overrides.similarity.as_ref(),
            "similarity",
            self.overrides.table.similarity.as_ref(),
        );
        let (similarity, source) = match asked {
            Some(asked) => asked,
            None => match json::text(&sentence.0, &sentence.1, "similarity_fn_name")? {
                None => (Similarity::Cosine, "default".to_owned()),
                Some(name) => (
                    similarity(name).ok_or_else(|| {
                        let found = Value::String(name.to_owned());
                        json::wrong_field(
                            &sentence.0,
                            "similarity_fn_name",
                            &found,
                            "cosine, dot, euclidean or manhattan",
                        )
                    })?,
                    "config_sentence_transformers.json".to_owned(),
                ),
            },
        };
        self.decide(Setting::Similarity, similarity.name(), source);
        Ok(similarity)
    }

    pub(super) fn prompts(&mut self, sentence: &(PathBuf, Value)) -> Result<Prompts, EncoderError> {
        let (path, value) = sentence;
        if let Some(found) = value.get("truncate_dim").filter(|v| !v.is_null()) {
            return Err(json::wrong_field(
                path,
                "truncate_dim",
                found,
                "null: embeddings are not cut",
            ));
        }
        let mut prompts = BTreeMap::new();
        match value.get("prompts") {
            None | Some(Value::Null) => {}
            Some(Value::Object(table)) => {
                for (name, prompt) in table {
                    let prompt = match prompt {
                        Value::Null => "",
                        Value::String(text) => text,
                        other => return Err(json::wrong_field(path, "prompts", other, "a text")),
                    };
                    if prompt.len() > LONGEST_PROMPT {
                        let allowed = format!("at most {LONGEST_PROMPT} bytes long");
                        let field = format!("prompts.{name}");
                        return Err(json::wrong_field(path, &field, &prompt.into(), &allowed));
                    }
                    prompts.insert(name.clone(), prompt.to_owned());
                }
            }
            Some(other) => {
                return Err(json::wrong_field(
                    path,
                    "prompts",
                    other,
                    "a table of texts",
                ));
            }
        }
        prompts.extend(self.overrides.table.prompts.clone());
        let named = prompts.values().filter(|p| !p.is_empty()).count();
        if named > 0 {
            let names: Vec<_> = prompts
                .iter()
                .filter(|(_, p)| !p.is_empty())
                .map(|(n, _)| n.as_str())
                .collect();
            let source = if self.overrides.table.prompts.is_empty() {
                "config_sentence_transformers.json"
            } else {
                "korfinsts.toml and the model"
            };
            self.decide(Setting::Prompts, names.join(", "), source);
        }
        let default = match &self.overrides.table.default_prompt_name {
            Some(name) => Some(name.clone()),
            None => json::text(path, value, "default_prompt_name")?.map(str::to_owned),
        };
        if let Some(name) = &default {
            if !prompts.contains_key(name) {
                return Err(EncoderError::Invalid {
                    path: path.clone(),
                    reason: format!("`default_prompt_name` is `{name}`, which is not in `prompts`"),
                    hint: None,
                });
            }
            self.decide(Setting::DefaultPrompt, name.clone(), "the model");
        }
        Ok((prompts, default))
    }

    /// The backend: the one asked for, else the first that reads the format and is installed.
    pub(super) fn backend(
        &mut self,
        wanted: Option<&'static Backend>,
        is_static: bool,
    ) -> Result<(&'static str, String), EncoderError> {
        let open = &self.overrides.open;
        if let Some(backend) = wanted {
            if is_static != (backend.name == "static") {
                return Err(EncoderError::Unsupported {
                    what: format!("backend `{}` does not run this kind of model", backend.name),
                    hint: Some("leave `--backend` out".into()),
                });
            }
            let version = (backend.version)(open)?;
            let source = if self.overrides.backend.is_some() {
                "`--backend`"
            } else {
                "korfinsts.toml"
            };
            self.decide(
                Setting::Backend,
                format!("{} {version}", backend.name),
                source,
            );
            return Ok((backend.name, version));
        }
        let mut refused = Vec::new();
        let mut last = None;
        for backend in BACKENDS {
            if !backend.reads.contains(&self.files.format)
                || is_static != (backend.name == "static")
            {
                continue;
            }
            if let Ok(version) = (backend.version)(open) {
                let source = if refused.is_empty() {
                    "auto".to_owned()
                } else {
                    format!("auto ({} not at hand)", refused.join(", "))
                };
                self.decide(
                    Setting::Backend,
                    format!("{} {version}", backend.name),
                    source,
                );
                return Ok((backend.name, version));
            }
            refused.push(format!("`{}`", backend.name));
            last = Some(backend);
        }
        // None is installed: the last of them is kept, and opening it says what is missing.
        let Some(last) = last else {
            return Err(EncoderError::Unsupported {
                what: "no backend runs this kind of model".into(),
                hint: None,
            });
        };
        self.warnings.push(format!(
            "no backend that runs these weights is at hand: {}",
            refused.join(", ")
        ));
        self.decide(Setting::Backend, last.name, "auto (not at hand)");
        Ok((last.name, String::new()))
    }
}

/// The similarity of that name, as sentence-transformers and mteb spell it too.
pub(crate) fn similarity(name: &str) -> Option<Similarity> {
    Some(match name {
        "cosine" | "cos_sim" => Similarity::Cosine,
        "dot" | "dot_product" | "dot_score" => Similarity::Dot,
        "manhattan" => Similarity::Manhattan,
        "euclidean" => Similarity::Euclidean,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarities_are_read_back_save_the_float32_form_which_a_protocol_decides() {
        for known in Similarity::ALL {
            let expected = Some(known).filter(|s| *s != Similarity::CosineF32);
            assert_eq!(similarity(known.name()), expected);
        }
        assert_eq!(similarity("jaccard"), None);
    }
}
