//! Protocols: named sets of rules for prompts, lengths and pooling, kept as data in
//! `protocols.toml`. Adding one is a block there.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::EncoderError;

/// The protocol used when none is named.
pub const DEFAULT: &str = "native";
/// The protocol that a record names when the user gave prompts by hand.
pub const CUSTOM: &str = "custom";

/// A protocol as written in `protocols.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Name on the command line and in records.
    pub name: String,
    /// One line for the help.
    pub summary: String,
    /// Whether the model's default prompt is used.
    #[serde(default)]
    default_prompt: bool,
    /// Name of the model's prompt that is used where it has one.
    prompt_named: Option<String>,
    /// Whether the cosine is mteb's float32 form.
    #[serde(default)]
    float32_cosine: bool,
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    models: Vec<String>,
    prompt: Option<String>,
    include_prompt: Option<bool>,
    pooling: Option<String>,
    max_tokens: Option<usize>,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    protocol: Vec<Protocol>,
}

static PROTOCOLS: LazyLock<Vec<Protocol>> = LazyLock::new(|| {
    toml::from_str::<File>(include_str!("protocols.toml"))
        .expect("built in and tested")
        .protocol
});

/// The prompts before a pair's texts, and how the cosine is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompting {
    /// Name of the protocol.
    pub protocol: String,
    /// Prompt before `sentence1` and before `sentence2`.
    pub prompts: [String; 2],
    /// Whether the cosine is mteb's float32 form.
    pub float32_cosine: bool,
}

/// What a protocol says about one model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Prompt before both texts; `None` leaves it to [`Rules::resolve_prompt`].
    prompt: Option<String>,
    default_prompt: bool,
    prompt_named: Option<String>,
    /// Whether the prompt's tokens are pooled, where the protocol says so.
    pub include_prompt: Option<bool>,
    /// Pooling, where the protocol says so.
    pub pooling: Option<String>,
    /// Maximum length in tokens, where the protocol says so.
    pub max_tokens: Option<usize>,
    /// Whether the cosine is mteb's float32 form `1 − ½‖x̂ − ŷ‖²`.
    pub float32_cosine: bool,
    /// What a reader should know.
    pub note: Option<String>,
}

/// Every protocol, in the order of the file.
#[must_use]
pub fn all() -> &'static [Protocol] {
    &PROTOCOLS
}

/// The rules of a protocol for a model of this name (`org/name`, a folder's or a file's name).
///
/// # Errors
/// When there is no such protocol.
pub fn rules(protocol: &str, model: &str) -> Result<Rules, EncoderError> {
    let found = all().iter().find(|p| p.name == protocol).ok_or_else(|| {
        let names: Vec<String> = all().iter().map(|p| format!("`{}`", p.name)).collect();
        EncoderError::Unsupported {
            what: format!(
                "found protocol `{protocol}`, allowed are {}",
                names.join(", ")
            ),
            hint: None,
        }
    })?;
    let name = model.rsplit('/').next().unwrap_or(model);
    let rule = found
        .rules
        .iter()
        .find(|r| r.models.iter().any(|m| m.eq_ignore_ascii_case(name)));
    let mut rules = Rules {
        default_prompt: found.default_prompt,
        prompt_named: found.prompt_named.clone(),
        float32_cosine: found.float32_cosine,
        ..Rules::default()
    };
    if let Some(rule) = rule {
        rules.prompt.clone_from(&rule.prompt);
        rules.include_prompt = rule.include_prompt;
        rules.pooling.clone_from(&rule.pooling);
        rules.max_tokens = rule.max_tokens;
        rules.note.clone_from(&rule.note);
    }
    Ok(rules)
}

impl Rules {
    /// Whether the prompt is one of the model's own, which must be known.
    #[must_use]
    pub fn needs_prompts(&self) -> bool {
        self.prompt.is_none() && (self.default_prompt || self.prompt_named.is_some())
    }

    /// The prompt before a text, given the model's own prompts.
    #[must_use]
    pub fn resolve_prompt(
        &self,
        prompts: &BTreeMap<String, String>,
        default_prompt_name: Option<&str>,
    ) -> String {
        if let Some(prompt) = &self.prompt {
            return prompt.clone();
        }
        let named = |name: &str| {
            prompts
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, p)| p.clone())
        };
        let own = self.prompt_named.as_deref().and_then(named);
        let default = if self.default_prompt {
            default_prompt_name.and_then(named)
        } else {
            None
        };
        own.or(default).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_prompts_as_its_page_says() {
        let prompts = BTreeMap::from([
            ("query".to_owned(), "q: ".to_owned()),
            ("sts".to_owned(), "s: ".to_owned()),
        ]);
        let e5 = "Instruct: Retrieve semantically similar text.\nQuery: ";
        for (protocol, model, default, expected) in [
            ("raw", "any", Some("query"), ""),
            ("native", "any", Some("query"), "q: "),
            ("native", "any", None, ""),
            ("mteb", "any", Some("query"), "s: "),
            ("mteb", "intfloat/e5-mistral-7b-instruct", None, e5),
            ("mteb", "Alibaba-NLP/gte-qwen2-1.5b-instruct", None, e5),
            ("mteb", "BAAI/bge-m3", None, ""),
            (
                "mteb",
                "hkunlp/instructor-base",
                None,
                "represent the statement: ",
            ),
            (
                "finmteb",
                "intfloat/e5-mistral-7b-instruct",
                Some("query"),
                "",
            ),
        ] {
            let rules = rules(protocol, model).expect("known");
            assert_eq!(
                rules.resolve_prompt(&prompts, default),
                expected,
                "{protocol} {model}"
            );
        }
    }

    #[test]
    fn lengths_and_pooling_follow_the_scripts() {
        let bge = rules("finmteb", "BAAI/bge-m3").expect("known");
        assert_eq!(
            (bge.max_tokens, bge.pooling.as_deref()),
            (Some(512), Some("cls"))
        );
        let minilm = rules("finmteb", "all-MiniLM-L12-v2").expect("known");
        assert_eq!((minilm.max_tokens, minilm.pooling), (Some(256), None));
        assert!(rules("mteb", "any").expect("known").float32_cosine);
        let error = rules("mtbe", "any").expect_err("unknown").to_string();
        assert!(
            error.contains("allowed are `native`, `raw`, `mteb`, `finmteb`"),
            "{error}"
        );
    }
}
