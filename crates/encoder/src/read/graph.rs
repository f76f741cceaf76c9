//! What an ONNX graph wants of a text: a fixed length, and inputs that no text gives.

use std::collections::BTreeMap;

use super::{Overrides, Reader};
use crate::spec::{Setting, WeightsFormat};
use crate::{EncoderError, onnx};

impl Reader<'_> {
    /// Values of inputs that no text gives, as the user names them.
    pub(super) fn onnx_inputs(&mut self) -> Result<BTreeMap<String, Vec<f64>>, EncoderError> {
        let asked = Overrides::pick(
            self.overrides.onnx_inputs.as_ref(),
            "onnx-input",
            self.overrides.table.onnx_inputs.as_ref(),
        );
        let Some((texts, source)) = asked else {
            return Ok(BTreeMap::new());
        };
        if self.files.format != WeightsFormat::Onnx {
            return Err(EncoderError::Unsupported {
                what: "these weights are no ONNX graph, and have no inputs besides the text".into(),
                hint: Some("leave `--onnx-input` out, or name an `.onnx` file".into()),
            });
        }
        let mut inputs = BTreeMap::new();
        for text in &texts {
            let (name, values) = onnx::parse_input(text)?;
            if inputs.insert(name.clone(), values).is_some() {
                return Err(EncoderError::Unsupported {
                    what: format!("input `{name}` is given twice: {}", texts.join(" and ")),
                    hint: Some("give each input once".into()),
                });
            }
        }
        self.decide(Setting::Inputs, texts.join(", "), source);
        Ok(inputs)
    }

    /// The maximum length of a text, where a graph takes `tokens` tokens and no other number.
    pub(super) fn within(&mut self, tokens: usize, max: usize) -> Result<usize, EncoderError> {
        if max <= tokens {
            return Ok(max);
        }
        let hint = format!(
            "say `--max-tokens {tokens}`, or export the graph again with a dynamic axis for the \
             sequence"
        );
        let asked = self
            .overrides
            .max_tokens
            .or(self.overrides.table.max_tokens);
        if asked.is_some() || self.overrides.strict {
            return Err(EncoderError::Unsupported {
                what: format!(
                    "the ONNX graph takes exactly {tokens} tokens, and the maximum length is {max}"
                ),
                hint: Some(hint),
            });
        }
        self.warnings.push(format!(
            "texts are cut at {tokens} tokens, which the ONNX graph fixes; the model takes {max}"
        ));
        self.decisions.retain(|d| d.what != Setting::MaxTokens);
        self.decide(Setting::MaxTokens, tokens.to_string(), "the graph");
        Ok(tokens)
    }
}
