//! A base model with another vocabulary, as [`augment`](super::augment) and [`prune`](super::prune) make one:
//! where it is written, its corpus, and the matrix whose rows change.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::model::TABLE;
use super::save::{self, Layout, Values};
use super::{TrainError, data};
use korfinsts_base::fs;
use korfinsts_bench::coverage::corpus::Corpus;
use korfinsts_encoder::spec::{Overrides, read};
use korfinsts_encoder::{EncoderError, EncoderSpec};

/// How the names of embedding matrices end, over all architectures.
const TABLES: [&str; 4] = [
    "word_embeddings.weight",
    "embed_tokens.weight",
    "tok_embeddings.weight",
    "shared.weight",
];

/// Where such a model is written, and what it is made from.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Folder of the new model.
    pub folder: &'a Path,
    /// Folder that the corpus is named relative to.
    pub root: &'a Path,
    /// The texts that are trained on.
    pub training_texts: &'a [&'a str],
    /// Whether a folder that an earlier run left is read alone.
    pub keep: bool,
}

impl Places<'_> {
    /// The model of the folder and the report in its file `name`. Both are written by `write`, unless an
    /// earlier run left them and they are kept.
    pub(super) fn model<R: Serialize + DeserializeOwned>(
        self,
        base: &EncoderSpec,
        name: &str,
        write: impl FnOnce() -> Result<R, TrainError>,
    ) -> Result<(EncoderSpec, R), TrainError> {
        let kept = self.folder.join(name);
        let is_there = fs::exists(&self.folder.join("modules.json")) && fs::exists(&kept);
        let report = if self.keep && is_there {
            serde_json::from_slice(&fs::read(&kept)?).map_err(|e| TrainError::State {
                path: kept,
                reason: format!("it is damaged: {e}"),
            })?
        } else {
            let report = write()?;
            let value = serde_json::to_value(&report).map_err(|e| TrainError::Compute {
                what: "writing the new vocabulary",
                reason: e.to_string(),
            })?;
            save::write_json(&kept, &value)?;
            report
        };
        let overrides = Overrides {
            backend: Some(base.backend.to_owned()),
            ..Overrides::default()
        };
        Ok((read(self.folder, &overrides)?, report))
    }

    /// The corpus that a recipe names, where it names one.
    pub(super) fn corpus(
        self,
        file: Option<&PathBuf>,
        field: Option<&str>,
        sha256: Option<&String>,
    ) -> Result<Option<Corpus>, TrainError> {
        let Some(file) = file else { return Ok(None) };
        let path = data::found(self.root, file)?;
        data::checked(&path, sha256)?;
        Ok(Some(Corpus::new(&path, field)?))
    }
}

/// A corpus by name, for reports.
pub(super) fn corpus_name(file: Option<&PathBuf>) -> String {
    match file {
        Some(file) => file.to_string_lossy().into_owned(),
        None => "the training texts".to_owned(),
    }
}

/// Writes weights and modules of `base` with another embedding matrix, which `change` makes of the
/// old one; gives its rows.
pub(super) fn weights(
    folder: &Path,
    base: &EncoderSpec,
    change: &dyn Fn(&mut Values) -> Result<(), String>,
) -> Result<usize, TrainError> {
    let (mut tensors, number) = save::stored(base)?;
    let mut rows = None;
    for tensor in &mut tensors {
        let is_table = tensor.name == TABLE
            || TABLES.iter().any(|end| {
                tensor
                    .name
                    .strip_suffix(end)
                    .is_some_and(|before| before.is_empty() || before.ends_with('.'))
            });
        if is_table {
            change(tensor).map_err(|reason| EncoderError::Invalid {
                path: base.weights.first().cloned().unwrap_or_default(),
                reason,
                hint: Some("do the weights belong to this tokenizer?".into()),
            })?;
            rows = tensor.shape.first().copied();
        }
    }
    let Some(rows) = rows else {
        return Err(EncoderError::Unsupported {
            what: format!(
                "`{}` has no embedding matrix with a row per token among its tensors",
                base.name
            ),
            hint: Some("leave `[base.augment]` or `[base.prune]` out of the recipe".into()),
        }
        .into());
    };
    save::folder(
        folder,
        &Layout {
            max_tokens: (base.backend != "static").then_some(base.max_tokens),
            ..save::layout(base, &base.modules)
        },
        &tensors,
        number,
    )?;
    Ok(rows)
}

/// Rows and width of an embedding matrix with at least `ids` rows.
///
/// # Errors
/// What the tensor is instead.
pub(super) fn matrix(table: &Values, ids: u32) -> Result<(usize, usize), String> {
    let &[rows, width] = &table.shape[..] else {
        return Err(format!(
            "the tensor `{}` has the shape {:?}, expected a matrix",
            table.name, table.shape
        ));
    };
    if rows < ids as usize {
        return Err(format!(
            "the tensor `{}` has {rows} rows, but the tokenizer gives ids up to {}",
            table.name,
            ids.saturating_sub(1)
        ));
    }
    Ok((rows, width))
}
