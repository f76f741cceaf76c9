//! What a user may say about a model, over what its folder says: flags and `korfinsts.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::EncoderError;
use crate::adapter::Level;
use crate::backend::OpenOptions;
use crate::onnx::GraphInfo;
use crate::pooling::Pooling;
use korfinsts_base::fs;
use korfinsts_base::strict_toml;
use korfinsts_metric::Similarity;

/// Direction of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attention {
    /// A token sees only those before it.
    Causal,
    /// Every token sees every other.
    Bidirectional,
}

impl Attention {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Causal => "causal",
            Self::Bidirectional => "bidirectional",
        }
    }

    /// The direction of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Causal, Self::Bidirectional]
            .into_iter()
            .find(|a| a.name() == name)
    }
}

/// One `[models."<name>"]` table of `korfinsts.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTable {
    /// Path, hub id or address; the table's name when absent.
    pub source: Option<String>,
    /// Backend.
    pub backend: Option<String>,
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: Option<String>,
    /// Number type of the computation.
    pub dtype: Option<String>,
    /// Pooling mode, or several that are concatenated.
    #[serde(default, deserialize_with = "pooling")]
    pub pooling: Option<Vec<Pooling>>,
    /// Maximum length in tokens, special tokens included.
    pub max_tokens: Option<usize>,
    /// Whether embeddings are L2-normalised.
    pub normalize: Option<bool>,
    /// Direction of attention.
    pub attention: Option<Attention>,
    /// Name of the ONNX output to read.
    pub onnx_output: Option<String>,
    /// Values of ONNX inputs that no text gives, each as `NAME=VALUE`.
    pub onnx_inputs: Option<Vec<String>>,
    /// How embeddings are compared.
    #[serde(default, deserialize_with = "similarity")]
    pub similarity: Option<Similarity>,
    /// Token that ends every text, where the tokenizer adds none.
    pub end_token: Option<String>,
    /// Named prompts, over those of the model.
    #[serde(default)]
    pub prompts: BTreeMap<String, String>,
    /// Prompt used when none is asked for.
    pub default_prompt_name: Option<String>,
}

fn pooling<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Pooling>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let names = match Option::<OneOrMany>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(OneOrMany::One(name)) => vec![name],
        Some(OneOrMany::Many(names)) => names,
    };
    names
        .iter()
        .map(|name| {
            Pooling::parse(name).ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "`{name}` is no pooling mode, allowed are {}",
                    Pooling::names()
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Some)
}

fn similarity<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Similarity>, D::Error> {
    let name = String::deserialize(deserializer)?;
    super::settings::similarity(&name).map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "unknown variant `{name}`, expected one of `cosine`, `dot`, `manhattan`, `euclidean`"
        ))
    })
}

/// Reads the `[models."<name>"]` tables of a `korfinsts.toml`; other tables are left alone.
///
/// # Errors
/// When the file cannot be read, is no TOML, or a table holds an unknown key or value.
pub fn model_tables(path: &Path) -> Result<BTreeMap<String, ModelTable>, EncoderError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        models: BTreeMap<String, ModelTable>,
    }
    let file: File = strict_toml::parse(fs::read(path)?).map_err(|e| EncoderError::Invalid {
        path: format!("{}:{}", path.display(), e.line.unwrap_or(1)).into(),
        reason: e.reason,
        hint: None,
    })?;
    Ok(file.models)
}

/// What the user says about a model. A field that is `None` is left to the model.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Name of the backend; `auto` counts as `None`.
    pub backend: Option<String>,
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: Option<String>,
    /// Number type of the computation.
    pub dtype: Option<String>,
    /// Pooling modes, concatenated in order.
    pub pooling: Option<Vec<Pooling>>,
    /// Maximum length in tokens, special tokens included.
    pub max_tokens: Option<usize>,
    /// Whether embeddings are L2-normalised.
    pub normalize: Option<bool>,
    /// Direction of attention.
    pub attention: Option<Attention>,
    /// Name of the ONNX output to read.
    pub onnx_output: Option<String>,
    /// Values of ONNX inputs that no text gives, each as `NAME=VALUE`.
    pub onnx_inputs: Option<Vec<String>>,
    /// How embeddings are compared.
    pub similarity: Option<Similarity>,
    /// Token that ends every text, where the tokenizer adds none.
    pub end_token: Option<String>,
    /// Makes every guess an error.
    pub strict: bool,
    /// Display name and hub revision, where the model came from the hub.
    pub identity: Option<(String, String)>,
    /// Adapters and their bases, where they were found before; else bases are looked for on disk.
    pub adapters: Option<Vec<Level>>,
    /// The table of this model in `korfinsts.toml`.
    pub table: ModelTable,
    /// What is known of the ONNX graph; it is inspected when `None`.
    pub graph: Option<GraphInfo>,
    /// How backends will be opened: which ones are available depends on it.
    pub open: OpenOptions,
}

impl Overrides {
    /// The flag, else the table's value, each with its source.
    pub(super) fn pick<T: Clone>(
        flag: Option<&T>,
        name: &str,
        table: Option<&T>,
    ) -> Option<(T, String)> {
        flag.map(|v| (v.clone(), format!("`--{name}`")))
            .or_else(|| table.map(|v| (v.clone(), "korfinsts.toml".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_table_is_read_and_its_errors_have_a_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("korfinsts.toml");
        let write = |text: &str| fs::write_atomic(&path, text.as_bytes()).expect("it is written");
        write(
            "[other]\nx = 1\n[models.\"a/b\"]\npooling = \"cls\"\nmax_tokens = 64\n\
             prompts = { sts = \"q: \" }\n[models.c]\npooling = [\"mean\", \"max\"]\n",
        );
        let tables = model_tables(&path).expect("it is right");
        assert_eq!(tables["a/b"].pooling, Some(vec![Pooling::Cls]));
        assert_eq!(tables["a/b"].prompts["sts"], "q: ");
        assert_eq!(tables["c"].pooling, Some(vec![Pooling::Mean, Pooling::Max]));

        for (text, line, says) in [
            (
                "[models.a]\npooling = \"average\"\n",
                ":2",
                "`average` is no pooling",
            ),
            ("[models.a]\npoling = \"cls\"\n", ":2", "poling"),
            ("[models.a\n", ":1", ""),
        ] {
            write(text);
            let error = model_tables(&path).expect_err("it is wrong").to_string();
            assert!(
                error.contains(&format!("korfinsts.toml{line}: ")),
                "{error}"
            );
            assert!(error.contains(says), "{error}");
        }
    }
}
