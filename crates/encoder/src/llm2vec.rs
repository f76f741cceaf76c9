//! Folders of llm2vec (0.2.3): decoders in which every token sees every other, with a pooling over
//! the text behind its instruction.
//!
//! `llm2vec_config.json` says the pooling and the lengths; its package puts texts of models that were
//! tuned on conversations into one, and cuts long texts word by word before it counts tokens.

use std::path::Path;

use serde_json::Value;

use super::tokenizer::{EncodeOptions, Tokenizer};
use super::{EncoderError, PreparedText};
use crate::json;
use crate::pooling::Pooling;
use crate::read::holds;

/// The file that makes a folder one of llm2vec.
pub(crate) const FILE: &str = "llm2vec_config.json";
/// Families for which the package has a class.
pub(crate) const FAMILIES: [&str; 3] = ["llama", "mistral", "qwen2"];

/// Keys of the file; the package takes no other.
const KEYS: &str = "pooling_mode max_length doc_max_length skip_instruction";

/// Models whose texts are put into a conversation, and what is before and behind a text.
const CONVERSATIONS: [(&[&str], &str, &str); 3] = [
    (
        &["meta-llama/Meta-Llama-3-8B-Instruct"],
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|>",
    ),
    (
        &[
            "mistralai/Mistral-7B-Instruct-v0.2",
            "meta-llama/Llama-2-7b-chat-hf",
        ],
        "[INST] ",
        " [/INST]",
    ),
    (
        &["Qwen/Qwen2-1.5B-Instruct", "Qwen/Qwen2-7B-Instruct"],
        "<|im_start|>user\n",
        "<|im_end|>",
    ),
];

/// How texts are prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Llm2Vec {
    /// Pooling over the tokens of the text.
    pub pooling: Pooling,
    /// Maximum length in tokens, special tokens included.
    pub max_tokens: usize,
    /// Tokens of a text without its instruction, from which on words are cut off.
    pub text_tokens: usize,
    /// Whether the pooling leaves the instruction and the first special tokens out.
    pub skips_instruction: bool,
    /// Put before the instruction.
    pub before: String,
    /// Put behind the text, without the white space at its end.
    pub behind: String,
}

impl Llm2Vec {
    /// Reads the file at `path`, of a model of a family whose base has one of these names.
    ///
    /// # Errors
    /// When the file is damaged, or says what is not known here.
    pub(crate) fn read(
        path: &Path,
        model_type: &str,
        names: &[&str],
    ) -> Result<Option<Self>, EncoderError> {
        let Some(value) = json::load(path)? else {
            return Ok(None);
        };
        let mut fields = value.as_object().into_iter().flatten();
        if let Some((key, found)) = fields.find(|(key, _)| !holds(KEYS, key)) {
            let allowed = format!("no such key: llm2vec knows {}", KEYS.replace(' ', ", "));
            return Err(json::wrong_field(path, key, found, &allowed));
        }
        if !FAMILIES.contains(&model_type) {
            return Err(EncoderError::Invalid {
                path: path.to_owned(),
                reason: format!(
                    "`model_type` is `{model_type}`, but a folder of llm2vec is known here for \
                     `llama`, `mistral` and `qwen2`"
                ),
                hint: Some(format!(
                    "take `{FILE}` out, and say what the model does with `--attention` and \
                     `--pooling`"
                )),
            });
        }
        let conversation = CONVERSATIONS
            .iter()
            .find(|(models, ..)| names.iter().any(|name| models.contains(name)));
        let (before, behind) =
            conversation.map_or(("", ""), |(_, before, behind)| (before, behind));
        let mut behind = behind.to_owned();
        let found = json::text(path, &value, "pooling_mode")?.unwrap_or("mean");
        let pooling = match found {
            "mean" => Pooling::Mean,
            "last_token" => Pooling::LastToken,
            "bos_token" => Pooling::Cls,
            "eos_token" => {
                // The template of Llama 3 ends a text itself.
                if conversation.is_none_or(|(models, ..)| !models[0].contains("Llama-3")) {
                    behind += match model_type {
                        _ if names.contains(&"meta-llama/Meta-Llama-3-8B") => "<|end_of_text|>",
                        "qwen2" => "<|endoftext|>",
                        _ => " </s>",
                    };
                }
                Pooling::LastToken
            }
            _ => {
                let allowed = "`mean`, `eos_token`, `last_token` or `bos_token`";
                let found = Value::String(found.to_owned());
                return Err(json::wrong_field(path, "pooling_mode", &found, allowed));
            }
        };
        let skips = json::boolean(path, &value, "skip_instruction")?.unwrap_or(true);
        Ok(Some(Self {
            pooling,
            max_tokens: json::size(path, &value, "max_length")?.unwrap_or(512),
            text_tokens: json::size(path, &value, "doc_max_length")?.unwrap_or(400),
            skips_instruction: skips && pooling == Pooling::Mean,
            before: before.to_owned(),
            behind,
        }))
    }

    /// Tokenises a text with its instruction, which `options` has as the prompt.
    ///
    /// # Errors
    /// When the tokenizer fails on the text.
    pub(crate) fn encode(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        options: &EncodeOptions<'_>,
    ) -> Result<PreparedText, EncoderError> {
        let mut prompt = self.before.clone();
        if !options.prompt.is_empty() {
            prompt += options.prompt.trim();
            prompt.push(' ');
        }
        let (mut text, cut) = self.shortened(tokenizer, text, options.max_tokens)?;
        if !self.behind.is_empty() {
            text.truncate(text.trim_end().len());
            text += &self.behind;
        }
        let pooled = tokenizer.count(&text)?.min(options.max_tokens);
        let prompt = prompt.as_str();
        let mut prepared = tokenizer.encode(&text, &EncodeOptions { prompt, ..*options })?;
        prepared.prompt_tokens = prepared.ids.len().saturating_sub(pooled);
        prepared.lost_tokens += cut;
        Ok(prepared)
    }

    /// The text with as many words as the package keeps, and the number of tokens that were lost.
    fn shortened(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        max_tokens: usize,
    ) -> Result<(String, usize), EncoderError> {
        let mut text = text.to_owned();
        let whole = tokenizer.count(&text)?;
        let mut tokens = whole;
        while tokens.min(max_tokens) > self.text_tokens {
            let words: Vec<&str> = text.split_whitespace().collect();
            let share = self.text_tokens as f64 / tokens.min(max_tokens) as f64;
            let kept = (words.len() as f64 * share) as usize;
            text = words[..kept].join(" ");
            if text.is_empty() {
                tokens = 0;
                break;
            }
            tokens = tokenizer.count(&text)?;
        }
        Ok((text, whole - tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family;
    use korfinsts_base::fs;

    #[test]
    fn each_family_of_the_package_is_one_that_runs() {
        for name in FAMILIES {
            assert_eq!(family::of(name).name, name);
        }
    }

    #[test]
    fn conversations_and_ends_are_those_of_the_package() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let read = |text: &str, kind: &str, name: &str| {
            fs::write_atomic(&path, text.as_bytes()).expect("written");
            Llm2Vec::read(&path, kind, &[name])
        };
        let eos = r#"{"pooling_mode": "eos_token", "doc_max_length": 9}"#;
        for (kind, name, before, behind) in [
            (
                "mistral",
                "mistralai/Mistral-7B-Instruct-v0.2",
                "[INST] ",
                " [/INST] </s>",
            ),
            ("qwen2", "org/other", "", "<|endoftext|>"),
            ("llama", "meta-llama/Meta-Llama-3-8B", "", "<|end_of_text|>"),
            (
                "llama",
                "meta-llama/Meta-Llama-3-8B-Instruct",
                "<|start_header_id|>user<|end_header_id|>\n\n",
                "<|eot_id|>",
            ),
        ] {
            let found = read(eos, kind, name).expect("known").expect("there");
            assert_eq!((&*found.before, &*found.behind), (before, behind), "{name}");
            assert_eq!((found.max_tokens, found.text_tokens), (512, 9));
            assert!(!found.skips_instruction);
        }
        let mean = read("{}", "llama", "").expect("known").expect("there");
        assert!(mean.skips_instruction && mean.behind.is_empty());
        for (text, kind, says) in [
            (
                r#"{"pooling_mode": "weighted_mean"}"#,
                "llama",
                r#"`"weighted_mean"`, allowed is `mean`"#,
            ),
            ("{}", "gemma3_text", "`model_type` is `gemma3_text`"),
            (r#"{"max_length": 0}"#, "llama", "`max_length` is `0`"),
        ] {
            let error = read(text, kind, "").expect_err(says);
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.hint().is_some(), "{error}");
        }
    }
}
