//! The tensors of an adapter as changes of those of its base.

use std::collections::BTreeMap;

use korfinsts_nn::safetensors::{Change, Checkpoint, TensorBytes};

use super::settings::{Settings, ends};
use super::{AdapterFiles, MERGE};
use crate::EncoderError;

/// Before the names of every adapter's tensors.
const PREFIX: &str = "base_model.model.";
/// Behind the name of a module that an adapter wraps.
const WRAPPED: &str = "base_layer.";

/// Tables of embeddings that every network looks rows up in as PEFT adapts them. Of others it reads the
/// weights past the adapter.
const TABLES: [&str; 5] = [
    "word_embeddings",
    "position_embeddings",
    "token_type_embeddings",
    "embed_tokens",
    "tok_embeddings",
];
/// The table of T5, which its encoder reads under another name: PEFT changes it there only for single
/// rows.
const SHARED: &str = "shared";

/// What merging found.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// Tensors of the base that were changed.
    pub changed: usize,
    /// Tensors of the adapter without a counterpart in the base: of heads, or wrong.
    pub unplaced: Vec<String>,
    /// Layers of the base that the adapter names and holds nothing of.
    pub left_out: Vec<String>,
}

/// What an adapter holds for one module.
#[derive(Default)]
struct Parts<'a> {
    down: Option<TensorBytes<'a>>,
    up: Option<TensorBytes<'a>>,
    up_bias: Option<TensorBytes<'a>>,
    rows: Option<TensorBytes<'a>>,
    /// A table of embeddings, whose factors are stored the other way round.
    is_table: bool,
}

/// Lets a checkpoint be read with the adapter merged.
///
/// # Errors
/// When a file is damaged, the settings are not understood, or a tensor does not fit its base.
pub(crate) fn merge(
    files: &AdapterFiles,
    checkpoint: &mut Checkpoint,
) -> Result<Merged, EncoderError> {
    let settings = Settings::read(&files.config)?;
    let tensors = Checkpoint::open(std::slice::from_ref(&files.weights))?;
    let invalid = |reason: String| EncoderError::Invalid {
        path: files.weights.clone(),
        reason,
        hint: Some(MERGE.to_owned()),
    };
    let mut merged = Merged::default();
    let mut modules: BTreeMap<&str, Parts<'_>> = BTreeMap::new();
    let mut changes: Vec<(String, Change)> = Vec::new();
    for name in tensors.names() {
        let Some(tensor) = tensors.get(name) else {
            continue;
        };
        let place = name.strip_prefix(PREFIX).ok_or_else(|| {
            invalid(format!(
                "the tensor `{name}` does not begin with `{PREFIX}`, as those of PEFT do"
            ))
        })?;
        if let Some((module, put)) = part(place) {
            put(modules.entry(module).or_default(), tensor);
        } else if place.contains("lora_") || place.contains("token_adapter") {
            return Err(invalid(format!(
                "the tensor `{name}` is of no kind that is known here"
            )));
        } else {
            let place = place.replace(WRAPPED, "");
            if ends(place.trim_end_matches(".weight"), SHARED) {
                return Err(invalid(format!(
                    "the tensor `{name}` is a table that the encoder of T5 reads under another name"
                )));
            }
            match base_name(checkpoint, &place).map_err(invalid)? {
                Some(base) => {
                    let values = values(checkpoint, &base, tensor).map_err(invalid)?;
                    changes.push((base, Change::Whole(values)));
                }
                None => merged.unplaced.push(name.to_owned()),
            }
        }
    }
    for (module, parts) in &modules {
        let table = format!("{module}.weight");
        let Some(base) = base_name(checkpoint, &table).map_err(invalid)? else {
            merged.unplaced.push(format!("{PREFIX}{table}"));
            continue;
        };
        let made = parts
            .changes((&settings, module), (checkpoint, &base))
            .map_err(invalid)?;
        changes.extend(made);
    }
    merged.left_out = checkpoint
        .names()
        .filter_map(|name| {
            let module = name.strip_suffix(".weight")?;
            let is_matrix = checkpoint.get(name)?.shape.len() == 2;
            let untouched = changes.iter().all(|(changed, _)| changed != name);
            (is_matrix && untouched && settings.names(module)).then(|| module.to_owned())
        })
        .collect();
    // Whole tensors come first, as an adapter of the same module acts on them.
    changes.sort_by_key(|(_, change)| !matches!(change, Change::Whole(_)));
    let mut names: Vec<&String> = changes.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    merged.changed = names.len();
    for (name, change) in changes {
        checkpoint.change(&name, change);
    }
    Ok(merged)
}

/// Puts a tensor into the parts of a module.
type Put = for<'p, 't> fn(&'p mut Parts<'t>, TensorBytes<'t>);

/// The module that a tensor belongs to, and as what.
fn part(place: &str) -> Option<(&str, Put)> {
    const ENDS: [(&str, Put); 6] = [
        (".lora_A.weight", |parts, tensor| parts.down = Some(tensor)),
        (".lora_B.weight", |parts, tensor| parts.up = Some(tensor)),
        (".lora_B.bias", |parts, tensor| parts.up_bias = Some(tensor)),
        (".lora_embedding_A", |parts, tensor| {
            parts.down = Some(tensor);
            parts.is_table = true;
        }),
        (".lora_embedding_B", |parts, tensor| {
            parts.up = Some(tensor);
            parts.is_table = true;
        }),
        (".token_adapter.trainable_tokens_delta", |parts, tensor| {
            parts.rows = Some(tensor);
        }),
    ];
    ENDS.iter()
        .find_map(|(end, put)| Some((place.strip_suffix(end)?, *put)))
}

/// The tensor of the base that an adapter knows as `place`: the base may have a prefix before its
/// names that the adapter has not, or the other way round.
fn base_name(checkpoint: &Checkpoint, place: &str) -> Result<Option<String>, String> {
    if checkpoint.get(place).is_some() {
        return Ok(Some(place.to_owned()));
    }
    let longer: Vec<&str> = checkpoint
        .names()
        .filter(|name| ends(name, place))
        .collect();
    match longer[..] {
        [one] => return Ok(Some(one.to_owned())),
        [] => {}
        [first, second, ..] => {
            return Err(format!(
                "`{place}` may be `{first}` or `{second}` of the base"
            ));
        }
    }
    // `model.`, `bert.`, `model.encoder.`: what is shorter no longer tells one layer from another.
    let shorter = place.match_indices('.').map(|(at, _)| &place[at + 1..]);
    Ok(shorter
        .take(2)
        .find(|name| checkpoint.get(name).is_some())
        .map(str::to_owned))
}

/// The values of an adapter's tensor, which has the shape of `base`.
fn values(
    checkpoint: &Checkpoint,
    base: &str,
    tensor: TensorBytes<'_>,
) -> Result<Vec<f32>, String> {
    let shape = checkpoint.get(base).map_or(&[][..], |base| base.shape);
    shaped(base, tensor, shape)
}

/// Values of a tensor of exactly that shape.
fn shaped(what: &str, tensor: TensorBytes<'_>, shape: &[usize]) -> Result<Vec<f32>, String> {
    if tensor.shape != shape {
        return Err(format!(
            "a tensor for `{what}` has the shape {:?}, expected {shape:?}",
            tensor.shape
        ));
    }
    tensor
        .to_f32()
        .ok_or_else(|| format!("a tensor for `{what}` is of type {}", tensor.dtype))
}

impl Parts<'_> {
    /// What they change of the tensor `base` and of its bias.
    fn changes(
        &self,
        (settings, module): (&Settings, &str),
        (checkpoint, base): (&Checkpoint, &str),
    ) -> Result<Vec<(String, Change)>, String> {
        let shape = checkpoint.get(base).map_or(&[][..], |base| base.shape);
        let &[rows, columns] = shape else {
            return Err(format!("`{base}` is no matrix, but has an adapter"));
        };
        let mut changes = Vec::new();
        if let Some(trained) = self.rows {
            if self.down.is_some() || self.up.is_some() {
                return Err(format!(
                    "`{module}` has an adapter and trained rows; one of the two is known here"
                ));
            }
            let tokens = settings.tokens(module).unwrap_or_default();
            if let Some(outside) = tokens.iter().find(|token| **token >= rows) {
                return Err(format!(
                    "`trainable_token_indices` has {outside}, but `{base}` has {rows} rows"
                ));
            }
            let values = shaped(base, trained, &[tokens.len(), columns])?;
            let rows = tokens;
            changes.push((base.to_owned(), Change::Rows { rows, values }));
            return Ok(changes);
        }
        let (Some(down), Some(up)) = (self.down, self.up) else {
            return Err(format!(
                "`{module}` has one of the two factors of an adapter"
            ));
        };
        if !settings.targets(module) {
            return Err(format!(
                "`{module}` has an adapter, but `target_modules` of `adapter_config.json` does not \
                 name it"
            ));
        }
        if self.is_table && !TABLES.iter().any(|table| ends(module, table)) {
            return Err(format!(
                "`{module}` has an adapter of an embedding table, which the network of PEFT does not \
                 read; known are `{}`",
                TABLES.join("`, `")
            ));
        }
        let (rank, scale) = settings.scale(module);
        let (up, down) = if self.is_table {
            // The table is the transposed product: rows of tokens from the first factor.
            let (down, up) = (
                shaped(base, down, &[rank, rows])?,
                shaped(base, up, &[columns, rank])?,
            );
            (transposed(&down, rows), transposed(&up, rank))
        } else {
            (
                shaped(base, up, &[rows, rank])?,
                shaped(base, down, &[rank, columns])?,
            )
        };
        changes.push((
            base.to_owned(),
            Change::Product {
                up,
                down,
                rank,
                scale,
            },
        ));
        if let Some(bias) = self.up_bias {
            let name = format!("{}.bias", base.trim_end_matches(".weight"));
            if checkpoint.get(&name).is_none() {
                return Err(format!(
                    "`{module}` has no bias in the base, but in the adapter"
                ));
            }
            let values = shaped(&name, bias, &[rows])?;
            let values = values.iter().map(|value| value * scale).collect();
            changes.push((name, Change::Sum(values)));
        }
        Ok(changes)
    }
}

/// A row-major matrix with rows of `width`, column by column.
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let column = |column| values.iter().skip(column).step_by(width).copied();
    (0..width).flat_map(column).collect()
}
