//! A kit with which people score the pairs of a suite without knowing anything of them, and what their scores say.
//!
//! [`kit`] draws the pairs and the order of each rater, and gives the files: a sheet (CSV) for each rater, one form (HTML) for all
//! of them, and the key, which the raters must not see. [`read`] joins filled-in sheets with the key.

mod read;

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Suite, SuiteError};
use korfinsts_base::fs::sha256;
use korfinsts_base::table::Table;
use korfinsts_base::template;
use korfinsts_base::texts::Texts;

pub use read::{Agreed, Findings, Rater, read};

/// Number of raters.
pub const RATERS: usize = 3;
/// The largest score; the smallest is 0.
pub const MOST: f64 = 5.0;
/// Name of the key in a kit.
pub const KEY: &str = "key.json";
/// Version of the form of the key.
const SCHEMA: u32 = 1;
/// Template of the form.
const FORM: &str = "annotate/form.html";
/// Languages of the form, the first one shown first.
const LANGUAGES: [&str; 2] = ["ko", "en"];
/// Columns of a sheet.
const COLUMNS: [&str; 5] = ["row", "text_a", "text_b", "score", "note"];

/// Which pairs are asked for, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnnotationPlan {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Number of clusters that are drawn, or of pairs where the suite has no clusters; `None`: all.
    pub sample: Option<usize>,
    /// Whether each rater sees each pair twice, once in each order of its texts.
    pub both_orders: bool,
}

/// What the raters do not see: which pair each row of each sheet is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Version of this form.
    pub schema: u32,
    /// Id of the suite.
    pub suite: String,
    /// Its split.
    pub split: String,
    /// Names the content of the split.
    pub release_id: String,
    /// Seed of what was drawn.
    pub seed: u64,
    /// Whether gold scores are 0 or 1.
    pub binary: bool,
    /// The pairs, in an order that says nothing of them.
    pub pairs: Vec<KeyPair>,
    /// For each rater the rows in order: twice the place of the pair in `pairs`, plus 1 where its texts are turned round.
    pub raters: Vec<Vec<usize>>,
}

/// A pair of the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// Its id.
    pub id: String,
    /// Its gold score.
    pub gold: f64,
    /// Its cluster, where the suite has clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Its language, where the suite says one of each pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// Name of the sheet of a rater, counted from 0.
fn sheet_name(rater: usize) -> String {
    format!("sheet-{}.csv", rater + 1)
}

/// The files of a kit by name. Equal suites and plans give equal bytes.
///
/// # Errors
/// When the form's template is broken.
pub fn kit(suite: &Suite, plan: AnnotationPlan) -> Result<BTreeMap<String, Vec<u8>>, SuiteError> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
    let drawn = draw(suite, plan.sample, &mut random);
    let label = |name: Option<&String>, at: usize| suite.pairs[at].labels.get(name?).cloned();
    let language = suite.triplets.as_ref().and_then(|t| t.language.as_ref());
    let pairs = drawn.iter().map(|&at| KeyPair {
        id: suite.pairs[at].id.clone(),
        gold: suite.pairs[at].gold,
        cluster: label(suite.cluster.as_ref(), at),
        language: label(language, at),
    });
    let raters = (0..RATERS).map(|rater| {
        let turned = |place: usize| 2 * place + (place + rater) % 2;
        let mut rows: Vec<usize> = (0..drawn.len()).map(turned).collect();
        if plan.both_orders {
            rows.extend((0..drawn.len()).map(|place| turned(place) ^ 1));
        }
        rows.shuffle(&mut random);
        rows
    });
    let key = Key {
        schema: SCHEMA,
        suite: suite.id.clone(),
        split: suite.split.clone(),
        release_id: suite.release_id.clone(),
        seed: plan.seed,
        binary: suite.scale.kind == super::ScaleKind::Binary,
        pairs: pairs.collect(),
        raters: raters.collect(),
    };
    let texts: Vec<[&str; 2]> = drawn
        .iter()
        .map(|&at| {
            [
                suite.pairs[at].sentence1.as_str(),
                &suite.pairs[at].sentence2,
            ]
        })
        .collect();
    let mut files = BTreeMap::new();
    for (rater, rows) in key.raters.iter().enumerate() {
        files.insert(sheet_name(rater), sheet(&texts, rows).into_bytes());
    }
    let written = serde_json::to_string_pretty(&key).unwrap_or_default() + "\n";
    let form = form(&texts, &key, &sha256(written.as_bytes()))?;
    files.insert("form.html".to_owned(), form.into_bytes());
    files.insert(KEY.to_owned(), written.into_bytes());
    Ok(files)
}

/// Places of the pairs that are drawn, shuffled. Clusters are drawn whole.
fn draw(suite: &Suite, sample: Option<usize>, random: &mut Xoshiro256PlusPlus) -> Vec<usize> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, pair) in suite.pairs.iter().enumerate() {
        let cluster = suite.cluster.as_ref().and_then(|c| pair.labels.get(c));
        groups
            .entry(cluster.unwrap_or(&pair.id))
            .or_default()
            .push(at);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.shuffle(random);
    groups.truncate(sample.unwrap_or(groups.len()));
    let mut drawn = groups.concat();
    drawn.shuffle(random);
    drawn
}

/// The two texts of a row, in its order.
fn shown<'a>(texts: &[[&'a str; 2]], row: usize) -> [&'a str; 2] {
    let [a, b] = texts[row / 2];
    if row % 2 == 1 { [b, a] } else { [a, b] }
}

/// A sheet: a byte order mark, so that spreadsheets read it as UTF-8, and a row for each pair.
fn sheet(texts: &[[&str; 2]], rows: &[usize]) -> String {
    let mut table = Table::new("", &COLUMNS);
    for (row, number) in rows.iter().zip(1..) {
        let [a, b] = shown(texts, *row);
        let cells = [&format!("{number}"), a, b, "", ""];
        table.push(cells.map(str::to_owned).into());
    }
    format!("\u{feff}{}", table.to_csv())
}

/// The form: everything that the raters see, in one file without any address.
fn form(texts: &[[&str; 2]], key: &Key, name: &str) -> Result<String, SuiteError> {
    const WORDS: &str = "annotate_";
    let words = LANGUAGES.map(|code| {
        let words: BTreeMap<String, String> = Texts::of(code).starting_with(WORDS);
        (code, words)
    });
    let data = json!({
        // Scores of another kit are not taken for this one's.
        "kit": &name[..16],
        "texts": texts,
        "raters": key.raters,
        "words": BTreeMap::from(words),
        "languages": LANGUAGES,
    });
    // Within a script, no text may end it.
    let data = data.to_string().replace('<', "\\u003c");
    let source = template::source(FORM, None)?;
    Ok(template::render(FORM, &source, &json!({ "data": data }))?)
}
