//! How texts become token ids: maximum length, padding, special tokens.

use serde_json::Value;

use super::{Overrides, Reader, StaticKind};
use crate::family::Positions;
use crate::locate::file_name;
use crate::network::PaddingSide;
use crate::spec::Setting;
use crate::tokenizer::{EncodeOptions, Tokenizer};
use crate::{EncoderError, json, llm2vec};

/// Configuration files of the transformer module, in the order in which they are looked for.
pub(super) const TRANSFORMER_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
/// A `model_max_length` from here on means "no limit": tokenizers without one write 1e30.
const NO_LIMIT_FROM: f64 = 1e6;
/// What was decided about texts.
pub(super) struct Text {
    pub max_tokens: usize,
    /// Unicode characters that a text is cut to first.
    pub max_characters: Option<usize>,
    pub pad_id: u32,
    pub padding_side: PaddingSide,
    pub append_token: Option<u32>,
}

impl Reader<'_> {
    pub(super) fn text(
        &mut self,
        tokenizer: &Tokenizer,
        pools_last: bool,
        static_kind: Option<StaticKind>,
    ) -> Result<Text, EncoderError> {
        self.refuse_lower_case(tokenizer)?;
        let max_tokens = match static_kind {
            Some(kind) => self.static_length(tokenizer, kind)?,
            None => self.max_tokens()?,
        };
        let max_characters = match static_kind {
            Some(StaticKind::Model2Vec) if max_tokens != usize::MAX => {
                Some(self.characters(tokenizer, max_tokens))
            }
            _ => None,
        };
        let padding_side = self.padding_side()?;
        let append_token = match static_kind {
            Some(_) => None,
            // llm2vec puts the end into the text, or leaves it to the tokenizer.
            None => self.end_token(tokenizer, pools_last && self.llm2vec.is_none())?,
        };
        let (prefix, suffix) = tokenizer.template();
        let around = prefix.len() + suffix.len() + usize::from(append_token.is_some());
        if static_kind.is_none() && max_tokens <= around {
            return Err(EncoderError::Unsupported {
                what: format!(
                    "a maximum length of {max_tokens} tokens leaves no room beside the {around} \
                     special tokens"
                ),
                hint: Some("say a larger one with `--max-tokens`".into()),
            });
        }
        Ok(Text {
            max_tokens,
            max_characters,
            pad_id: self.pad_id(tokenizer),
            padding_side,
            append_token,
        })
    }

    /// Rule 7: flag, the transformer module's configuration, the tokenizer's, the positions.
    fn max_tokens(&mut self) -> Result<usize, EncoderError> {
        let capacity = self.capacity()?;
        let asked = Overrides::pick(
            self.overrides.max_tokens.as_ref(),
            "max-tokens",
            self.overrides.table.max_tokens.as_ref(),
        );
        if let Some((max, source)) = asked {
            if let Some(capacity) = capacity.filter(|c| max > *c) {
                return Err(EncoderError::Unsupported {
                    what: format!(
                        "a maximum length of {max} tokens was asked for, the model has positions \
                         for {capacity}"
                    ),
                    hint: Some(format!("say at most `--max-tokens {capacity}`")),
                });
            }
            self.decide(Setting::MaxTokens, max.to_string(), source);
            return Ok(max);
        }
        if let Some(max) = self.llm2vec.as_ref().map(|llm2vec| llm2vec.max_tokens) {
            return Ok(self.capped(max, capacity, llm2vec::FILE));
        }
        if let Some((path, config)) = self.transformer.clone() {
            let name = &file_name(&path);
            self.read_files.push(("config", path.clone()));
            if let Some(max) = json::size(&path, &config, "max_seq_length")? {
                return Ok(self.capped(max, capacity, name));
            }
            // Newer versions hand the same to the tokenizer.
            for (part, field) in [
                ("/processing_kwargs/text", "max_length"),
                ("/processing_kwargs/common", "max_length"),
                ("/processor_kwargs", "model_max_length"),
                ("/tokenizer_args", "model_max_length"),
            ] {
                if let Some(part) = config.pointer(part)
                    && let Some(max) = json::size(&path, part, field)?
                {
                    return Ok(self.capped(max, capacity, &format!("{name} (`{field}`)")));
                }
            }
        }
        let positions = self.positions()?;
        if let Some(max) = self
            .settings
            .get("model_max_length")
            .and_then(Value::as_f64)
            .filter(|max| *max >= 1.0 && *max < NO_LIMIT_FROM)
        {
            // sentence-transformers takes the smaller of the two here.
            let max = (max as usize).min(positions.unwrap_or(usize::MAX));
            return Ok(self.capped(max, capacity, "tokenizer_config.json (`model_max_length`)"));
        }
        if let Some(max) = capacity.or(positions) {
            self.decide(
                Setting::MaxTokens,
                max.to_string(),
                "config.json (positions)",
            );
            return Ok(max);
        }
        self.guess(
            Setting::MaxTokens,
            "512",
            "neither the tokenizer nor the model names a maximum length",
            "--max-tokens",
        )?;
        Ok(512)
    }

    fn capped(&mut self, max: usize, capacity: Option<usize>, source: &str) -> usize {
        match capacity {
            Some(capacity) if max > capacity => {
                self.warnings.push(format!(
                    "{source} says {max} tokens, the model has positions for {capacity}: \
                     {capacity} it is"
                ));
                self.decide(
                    Setting::MaxTokens,
                    capacity.to_string(),
                    "config.json (positions)",
                );
                capacity
            }
            _ => {
                self.decide(Setting::MaxTokens, max.to_string(), source);
                max
            }
        }
    }

    /// Positions named by `config.json`.
    fn positions(&self) -> Result<Option<usize>, EncoderError> {
        for field in ["max_position_embeddings", "n_positions", "seq_length"] {
            // XLNet writes -1 for "no limit".
            if self.config.get(field).and_then(Value::as_i64) == Some(-1) {
                continue;
            }
            if let Some(n) = json::size(&self.config_path, &self.config, field)? {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Tokens that a table of learned positions has room for; `None` without such a table.
    fn capacity(&self) -> Result<Option<usize>, EncoderError> {
        let positions = self.family().positions;
        if positions == Positions::Unlimited {
            return Ok(None);
        }
        let relative = self
            .config
            .get("position_embedding_type")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind != "absolute");
        if relative {
            return Ok(None);
        }
        let offset = if positions == Positions::AfterPadding {
            let pad = self.config.get("pad_token_id").and_then(Value::as_u64);
            pad.unwrap_or(1) as usize + 1
        } else {
            0
        };
        Ok(self.positions()?.map(|n| n.saturating_sub(offset).max(1)))
    }

    /// Static embeddings have no positions: there is a limit only where a file names one.
    fn static_length(
        &mut self,
        tokenizer: &Tokenizer,
        kind: StaticKind,
    ) -> Result<usize, EncoderError> {
        let asked = Overrides::pick(
            self.overrides.max_tokens.as_ref(),
            "max-tokens",
            self.overrides.table.max_tokens.as_ref(),
        );
        if let Some((max, source)) = asked {
            self.decide(Setting::MaxTokens, max.to_string(), source);
            return Ok(max.max(1));
        }
        if kind == StaticKind::Model2Vec {
            if self.config.get("max_length") == Some(&Value::Null) {
                self.decide(
                    Setting::MaxTokens,
                    "unlimited",
                    "config.json (`max_length`)",
                );
                return Ok(usize::MAX);
            }
            let (max, source) = match json::size(&self.config_path, &self.config, "max_length")? {
                Some(max) => (max, "config.json (`max_length`)"),
                None => (512, "default of model2vec"),
            };
            self.decide(Setting::MaxTokens, max.to_string(), source);
            return Ok(max);
        }
        if let Some(max) = tokenizer.baked_max_tokens() {
            self.decide(
                Setting::MaxTokens,
                max.to_string(),
                "tokenizer.json (`truncation`)",
            );
            return Ok(max.max(1));
        }
        self.decide(Setting::MaxTokens, "unlimited", "static embeddings");
        Ok(usize::MAX)
    }

    /// Before it counts tokens, model2vec cuts a text to its maximum length times the median
    /// length of its tokens, in Unicode characters (model2vec 0.10, `StaticModel.encode`).
    fn characters(&mut self, tokenizer: &Tokenizer, max_tokens: usize) -> usize {
        let mut lengths: Vec<usize> = tokenizer
            .vocabulary()
            .iter()
            .map(|entry| entry.token.chars().count())
            .collect();
        lengths.sort_unstable();
        let n = lengths.len();
        // The mean of the two middle ones where their number is even, rounded down.
        let median = match n {
            0 => 0,
            _ => usize::midpoint(lengths[(n - 1) / 2], lengths[n / 2]),
        };
        let max = max_tokens.saturating_mul(median);
        self.decide(
            Setting::MaxCharacters,
            max.to_string(),
            format!("model2vec: max tokens times {median}, the median length of a token"),
        );
        max
    }

    fn padding_side(&mut self) -> Result<PaddingSide, EncoderError> {
        let side = match json::text(&self.settings_path, &self.settings, "padding_side")? {
            None | Some("right") => PaddingSide::Right,
            Some("left") => PaddingSide::Left,
            Some(other) => {
                let found = Value::String(other.to_owned());
                return Err(json::wrong_field(
                    &self.settings_path,
                    "padding_side",
                    &found,
                    "left or right",
                ));
            }
        };
        if side == PaddingSide::Left {
            self.decide(Setting::Padding, "left", "tokenizer_config.json");
        }
        Ok(side)
    }

    fn pad_id(&self, tokenizer: &Tokenizer) -> u32 {
        let from_config = || {
            let id = self.config.get("pad_token_id").and_then(Value::as_u64)?;
            u32::try_from(id)
                .ok()
                .filter(|id| tokenizer.token_of(*id).is_some())
        };
        tokenizer
            .names()
            .pad
            .as_deref()
            .and_then(|pad| tokenizer.id_of(pad))
            .or_else(from_config)
            .unwrap_or(0)
    }

    /// Rule 8: the token that the model wants at the end and the tokenizer does not add.
    fn end_token(
        &mut self,
        tokenizer: &Tokenizer,
        last: bool,
    ) -> Result<Option<u32>, EncoderError> {
        let flag = json::boolean(&self.settings_path, &self.settings, "add_eos_token")?;
        let asked = Overrides::pick(
            self.overrides.end_token.as_ref(),
            "end-token",
            self.overrides.table.end_token.as_ref(),
        );
        let probe = tokenizer.encode("금리 a", &EncodeOptions::default())?;
        let bare = tokenizer.count("금리 a")?;
        let (prefix, suffix) = tokenizer.template();
        debug_assert_eq!(probe.ids.len(), bare + prefix.len() + suffix.len());
        self.note_bos(tokenizer, prefix)?;
        let ends = suffix.last().copied();
        if let Some((token, source)) = asked {
            if token.is_empty() {
                self.decide(Setting::EndToken, "none", source);
                return Ok(None);
            }
            let id = tokenizer
                .id_of(&token)
                .ok_or_else(|| EncoderError::Unsupported {
                    what: format!("the vocabulary has no token `{token}`"),
                    hint: None,
                })?;
            self.decide(Setting::EndToken, token, source);
            return Ok((ends != Some(id)).then_some(id));
        }
        let wanted = flag == Some(true) || last;
        if let Some(id) = ends {
            if last {
                let token = tokenizer.token_of(id).unwrap_or_default();
                self.decide(Setting::EndToken, token, "the tokenizer adds it");
            }
            return Ok(None);
        }
        if !wanted {
            return Ok(None);
        }
        let Some((token, id)) = self.end_of_text(tokenizer) else {
            if last {
                self.warnings.push(
                    "the last token is pooled, but neither the tokenizer nor `config.json` names \
                     an end token: the last token of the text itself is used"
                        .to_owned(),
                );
            }
            return Ok(None);
        };
        let why = if flag == Some(true) {
            "tokenizer_config.json (`add_eos_token`)"
        } else if flag == Some(false) {
            // The configuration says so.
            self.warnings.push(format!(
                "the last token is pooled, but `add_eos_token` is false: `{token}` is not appended"
            ));
            return Ok(None);
        } else {
            self.warnings.push(format!(
                "`{token}` is appended to every text: the last token is pooled, and the tokenizer \
                 ends texts without it"
            ));
            "appended for the pooling of the last token"
        };
        self.decide(Setting::EndToken, token, why);
        Ok(Some(id))
    }

    /// `add_bos_token` that the tokenizer's template contradicts is said, not repaired: the
    /// template is what the model's own library applies.
    fn note_bos(&mut self, tokenizer: &Tokenizer, prefix: &[u32]) -> Result<(), EncoderError> {
        let flag = json::boolean(&self.settings_path, &self.settings, "add_bos_token")?;
        let bos = tokenizer
            .names()
            .bos
            .as_deref()
            .and_then(|bos| tokenizer.id_of(bos));
        if flag == Some(true)
            && let Some(bos) = bos
            && !prefix.contains(&bos)
        {
            self.warnings.push(format!(
                "`add_bos_token` is true, but `{}` begins texts without it, and so does the \
                 transformers library",
                tokenizer.format()
            ));
        }
        Ok(())
    }

    fn end_of_text(&self, tokenizer: &Tokenizer) -> Option<(String, u32)> {
        if let Some(token) = &tokenizer.names().eos
            && let Some(id) = tokenizer.id_of(token)
        {
            return Some((token.clone(), id));
        }
        let id = match self.config.get("eos_token_id")? {
            Value::Array(ids) => ids.first()?.as_u64()?,
            id => id.as_u64()?,
        };
        let id = u32::try_from(id).ok()?;
        tokenizer.token_of(id).map(|token| (token, id))
    }

    /// `do_lower_case` of the transformer module lower-cases before the tokenizer does anything.
    fn refuse_lower_case(&self, tokenizer: &Tokenizer) -> Result<(), EncoderError> {
        let Some((path, config)) = &self.transformer else {
            return Ok(());
        };
        if json::boolean(path, config, "do_lower_case")? == Some(true) {
            let same = |a: &str, b: &str| -> Result<bool, EncoderError> {
                let options = EncodeOptions::default();
                Ok(tokenizer.encode(a, &options)?.ids == tokenizer.encode(b, &options)?.ids)
            };
            if !same("Bank OF Korea ÀÉ", "bank of korea àé")? {
                let found = Value::Bool(true);
                return Err(json::wrong_field(
                    path,
                    "do_lower_case",
                    &found,
                    "false, or a tokenizer that lower-cases itself",
                ));
            }
        }
        Ok(())
    }
}
