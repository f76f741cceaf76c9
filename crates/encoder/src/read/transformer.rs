//! The configuration of the transformer module (`sentence_bert_config.json` and its older names),
//! and code that a model brings along.

use std::path::Path;

use serde_json::Value;

use super::Reader;
use super::keys::{LOADER, holds, list};
#[cfg(feature = "candle")]
use crate::spec::Setting;
use crate::spec::WeightsFormat;
use crate::{EncoderError, json};

/// What replaces code of a model's own.
pub(super) const EXPORT: &str =
    "export the whole model to ONNX with a `sentence_embedding` output, and name that file";

impl Reader<'_> {
    /// Refuses what the transformer module asks for and is not done here, and applies
    /// `config_kwargs` to `config.json`, as sentence-transformers does.
    pub(super) fn transformer_module(&mut self) -> Result<(), EncoderError> {
        let Some((path, module)) = self.transformer.clone() else {
            return Ok(());
        };
        let wrong = |field: &str, found: &Value, allowed: &str| {
            Err(json::wrong_field(&path, field, found, allowed))
        };
        for (field, allowed) in [
            ("transformer_task", "feature-extraction"),
            ("module_output_name", "token_embeddings"),
        ] {
            if let Some(found) = json::text(&path, &module, field)?
                && found != allowed
            {
                return wrong(field, &module[field], allowed);
            }
        }
        if let Some(found) = module.get("modality_config").filter(|m| !m.is_null()) {
            for (field, allowed) in [
                ("method", "forward"),
                ("method_output_name", "last_hidden_state"),
            ] {
                let found = &found["text"][field];
                if found != allowed {
                    return wrong(&format!("modality_config.text.{field}"), found, allowed);
                }
            }
        }
        if let Some(found) = module
            .get("tokenizer_name_or_path")
            .filter(|n| !n.is_null())
        {
            return wrong(
                "tokenizer_name_or_path",
                found,
                "none: the folder's own tokenizer",
            );
        }
        Self::processing(&path, &module)?;
        for (fields, known) in [
            (["model_kwargs", "model_args"], ""),
            (["processor_kwargs", "tokenizer_args"], "model_max_length"),
        ] {
            for field in fields {
                let unknown: Vec<String> = arguments(&module, field)
                    .filter(|(key, _)| !holds(known, key))
                    .map(|(key, _)| key.clone())
                    .collect();
                if !unknown.is_empty() {
                    self.doubt(
                        format!(
                            "{} has arguments in `{field}` that are not applied here and may \
                             change embeddings: {}",
                            self.relative(&path),
                            list(&unknown)
                        ),
                        "write what they say into `config.json` or `tokenizer_config.json`",
                    )?;
                }
            }
        }
        if self.files.format == WeightsFormat::Safetensors {
            for field in ["config_kwargs", "config_args"] {
                for (key, value) in arguments(&module, field) {
                    self.set_in_config(&path, key, value)?;
                }
            }
        }
        Ok(())
    }

    /// Sets a key of `config.json`, as transformers does where the file has it. Where it has not,
    /// the class of the configuration decides whether the key is known.
    fn set_in_config(&mut self, path: &Path, key: &str, value: &Value) -> Result<(), EncoderError> {
        if let Some(found) = self.config.get_mut(key) {
            *found = value.clone();
            self.read_files.push(("config", path.to_owned()));
            return Ok(());
        }
        self.doubt(
            format!(
                "{} sets `{key}`, which config.json has not: it is not applied and may change \
                 embeddings",
                self.relative(path)
            ),
            "write it into `config.json`, or take it out",
        )
    }

    /// Arguments of the call of the tokenizer.
    fn processing(path: &Path, module: &Value) -> Result<(), EncoderError> {
        const HARMLESS: &str = "max_length padding padding_side pad_to_multiple_of return_tensors \
                                return_attention_mask return_token_type_ids";
        for part in ["common", "text"] {
            let part = module.pointer(&format!("/processing_kwargs/{part}"));
            for (key, value) in part.and_then(Value::as_object).into_iter().flatten() {
                let cuts = ["longest_first", "only_first"]
                    .iter()
                    .any(|cut| value == cut);
                let allowed = match key.as_str() {
                    key if holds(HARMLESS, key) => continue,
                    "add_special_tokens" | "truncation" if *value == Value::Bool(true) => continue,
                    "truncation" if cuts => continue,
                    "add_special_tokens" => "true",
                    "truncation" => "true, `longest_first` or `only_first`",
                    _ => "no such argument: it is not known here and may change embeddings",
                };
                let field = format!("processing_kwargs.{key}");
                return Err(json::wrong_field(path, &field, value, allowed));
            }
        }
        Ok(())
    }

    /// Classes of the model's own that compute or configure its network.
    #[cfg(feature = "candle")]
    fn code(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let map = self.config.get("auto_map");
        ["AutoModel", "AutoConfig"]
            .into_iter()
            .filter_map(move |auto| Some((auto, map?.get(auto)?.as_str()?)))
    }

    /// Refuses a network that the model's own code computes, unless it is known to be that of the
    /// family, or something says how tokens attend, which is what such code changes where
    /// `model_type` is a known one.
    #[cfg(feature = "candle")]
    pub(super) fn custom_code(&mut self) -> Result<(), EncoderError> {
        let family = self.family();
        let known = [family.code, family.bidirectional_code].concat();
        let unknown = self
            .code()
            .find(|(_, class)| !known.contains(&last(class)))
            .map(|(auto, class)| (auto, class.to_owned()));
        let Some((auto, class)) = unknown else {
            return Ok(());
        };
        let kind = self.architecture().to_owned();
        let what = format!(
            "{} names code of the model's own (`auto_map`: `{auto}` is `{class}`), which is not \
             run",
            self.relative(&self.config_path.clone())
        );
        let attention = self.decisions.iter().find(|d| d.what == Setting::Attention);
        let Some(attention) = attention.map(|d| (d.value.clone(), d.source.clone())) else {
            return Err(EncoderError::Unsupported {
                what,
                hint: Some(format!(
                    "{EXPORT}; where its network is that of `{kind}`, say `--attention \
                     bidirectional` or `--attention causal` to run it as one"
                )),
            });
        };
        let what = format!("{what}: it runs as `{kind}` with {} attention", attention.0);
        if attention.1.starts_with("config.json") {
            self.doubt(
                what,
                &format!(
                    "say `--attention {}` if this is right, or {EXPORT}",
                    attention.0
                ),
            )
        } else {
            self.warnings.push(what);
            Ok(())
        }
    }
}

/// Name of a class without the module before it.
pub(super) fn last(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// The arguments in a field, without those that change no embedding.
fn arguments<'a>(module: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let arguments = module.get(field).and_then(Value::as_object);
    arguments
        .into_iter()
        .flatten()
        .filter(|(key, value)| !holds(LOADER, key) && !value.is_null())
}
