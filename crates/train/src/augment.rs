//! New tokens for a base model: its folder again, with a tokenizer that knows them and a row of the
//! embedding matrix for each, which starts as the mean of the rows of the pieces it replaces.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::recipe::AugmentBase;
use super::save::{self, Values};
use super::vocabulary::{self, Places, corpus_name, matrix};
use korfinsts_bench::coverage::augment::{self, AugmentOptions, BeforeAfter, RowMap, Texts};
use korfinsts_bench::coverage::{ScriptQuery, Subject};
use korfinsts_encoder::EncoderSpec;

/// What is kept with the new tokenizer, for a run that is continued later.
const REPORT: &str = "vocabulary.json";
/// What the new tokens are and what they save.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VocabularyReport {
    /// Kind of the tokenizer's model: `Unigram`, `BPE`, `WordPiece`.
    pub model: String,
    /// Where the tokens were learnt: a file, or the training texts.
    pub corpus: String,
    /// First new row.
    pub old_rows: u32,
    /// One after the last new row.
    pub new_rows: u32,
    /// New tokens that replace the unknown token: the mean of its row says nothing of them.
    pub from_unknown: usize,
    /// Fertility before and after, on the texts that proposed tokens and on those held out.
    pub texts: Vec<Fertility>,
}

/// A tokenizer before and after on the same texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fertility {
    /// `training texts` or `held-out texts`.
    pub texts: String,
    /// How many.
    pub n_texts: u64,
    /// New tokens that occur in them.
    pub used: usize,
    /// Tokens per eojeol, before and after.
    pub tokens_per_eojeol: [Option<f64>; 2],
    /// Share of unknown tokens, before and after.
    pub unknown_rate: [Option<f64>; 2],
}

impl From<&BeforeAfter> for Fertility {
    fn from(found: &BeforeAfter) -> Self {
        let both = [&found.before, &found.after];
        Self {
            texts: found.texts.to_owned(),
            n_texts: found.before.counts.texts,
            used: found.used,
            tokens_per_eojeol: both.map(|t| t.tokens_per_eojeol),
            unknown_rate: both.map(|t| t.unknown_rate),
        }
    }
}

/// Writes `base` with new tokens as a model folder and reads it back.
///
/// # Errors
/// When the corpus cannot be read or gives no token, the tokenizer is of a kind that takes none,
/// or the weights have no matrix for them.
pub fn base(
    base: &EncoderSpec,
    recipe: &AugmentBase,
    places: Places<'_>,
) -> Result<(EncoderSpec, VocabularyReport), TrainError> {
    let (mut spec, report) = places.model(base, REPORT, || write(base, recipe, places))?;
    spec.name = format!(
        "{} + {} tokens",
        base.name,
        report.new_rows - report.old_rows
    );
    Ok((spec, report))
}

fn write(
    base: &EncoderSpec,
    recipe: &AugmentBase,
    places: Places<'_>,
) -> Result<VocabularyReport, TrainError> {
    let folder = places.folder;
    let corpus = places.corpus(
        recipe.corpus.as_ref(),
        recipe.field.as_deref(),
        recipe.sha256.as_ref(),
    )?;
    let texts = match &corpus {
        Some(corpus) => Texts::Corpus(corpus),
        None => Texts::Listed(places.training_texts),
    };
    let options = AugmentOptions {
        tokens: recipe.tokens,
        min_count: recipe.min_count,
        script: ScriptQuery::parse(&recipe.script)?,
        max_characters: recipe.max_characters,
    };
    let before = Subject::load(base.tokenizer_folder())?.named(base.name.clone());
    let words = texts.words(&before, &options.script)?;
    let (tokenizer, map) = augment::propose(&before, &words, &options)?;
    let after = augment::write(folder, &before, &tokenizer, &map)?;
    let compared = texts.compare(&before, &after, &map)?;
    let rows = vocabulary::weights(folder, base, &|table| extend(table, &map))?;
    if let Some(mut config) = base.config.as_object().cloned() {
        config.insert("vocab_size".into(), rows.into());
        save::write_json(&folder.join("config.json"), &config.into())?;
    }
    Ok(VocabularyReport {
        model: map.model.to_owned(),
        corpus: corpus_name(recipe.corpus.as_ref()),
        old_rows: map.old_rows,
        new_rows: map.new_rows,
        from_unknown: map.rows.iter().filter(|r| r.from_unknown).count(),
        texts: compared.iter().map(Fertility::from).collect(),
    })
}

/// Adds the new rows to a matrix `[rows, width]`. Rows that were behind the old vocabulary (a
/// matrix is often padded to a round number) are used first.
fn extend(table: &mut Values, map: &RowMap) -> Result<(), String> {
    let (rows, width) = matrix(table, map.old_rows)?;
    let total = rows.max(map.new_rows as usize);
    table.values.resize(total * width, 0.0);
    table.shape = vec![total, width];
    for new in &map.rows {
        let mut mean = vec![0.0_f64; width];
        for &piece in &new.pieces {
            let old = &table.values[piece as usize * width..][..width];
            for (sum, &value) in mean.iter_mut().zip(old) {
                *sum += f64::from(value);
            }
        }
        let share = 1.0 / new.pieces.len().max(1) as f64;
        let row = &mut table.values[new.id as usize * width..][..width];
        for (value, sum) in row.iter_mut().zip(mean) {
            *value = (sum * share) as f32;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use korfinsts_bench::coverage::augment::NewRow;

    fn map(old_rows: u32, rows: &[&[u32]]) -> RowMap {
        RowMap {
            schema_version: 1,
            model: "BPE",
            old_rows,
            new_rows: old_rows + rows.len() as u32,
            initialisation: "",
            rows: rows
                .iter()
                .zip(old_rows..)
                .map(|(pieces, id)| NewRow {
                    id,
                    token: String::new(),
                    text: None,
                    pieces: pieces.to_vec(),
                    from_unknown: false,
                })
                .collect(),
        }
    }

    fn table(rows: usize) -> Values {
        Values {
            name: "embed_tokens.weight".into(),
            shape: vec![rows, 2],
            values: (0..rows * 2).map(|i| i as f32).collect(),
        }
    }

    #[test]
    fn new_rows_are_means_and_padded_rows_are_used_first() {
        let mut exact = table(3);
        extend(&mut exact, &map(3, &[&[0, 2], &[1, 1, 2]])).expect("extended");
        assert_eq!(exact.shape, [5, 2]);
        assert_eq!(exact.values[..6], table(3).values);
        assert_eq!(exact.values[6..8], [2.0, 3.0]);
        assert_eq!(exact.values[8], 8.0 / 3.0);
        let mut padded = table(6);
        extend(&mut padded, &map(3, &[&[0, 2]])).expect("extended");
        assert_eq!(padded.shape, [6, 2]);
        assert_eq!(padded.values[6..8], [2.0, 3.0]);
        assert_eq!(padded.values[8..], table(6).values[8..]);
    }

    #[test]
    fn a_matrix_that_is_too_short_is_an_error() {
        let error = extend(&mut table(2), &map(3, &[&[0]])).expect_err("too short");
        assert!(error.contains("2 rows, but the tokenizer gives ids up to 2"));
    }
}
