//! Filled-in sheets: checked row by row, joined with the key, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

use serde::Serialize;

use super::{KEY, Key, MOST, RATERS, SCHEMA, sheet_name};
use crate::suite::SuiteError;
use korfinsts_base::delimited::Rows;
use korfinsts_base::{fs, json};
use korfinsts_metric::{
    Agreement, BootstrapOptions, Clusters, Measurement, SpearmanSample, auc, bootstrap,
    krippendorff_clustered, spearman,
};

/// What to do with a sheet that is not CSV.
const CSV: &str = "save it as CSV in UTF-8, with commas; a spreadsheet offers that under `save as`";

/// Resamples behind every interval.
const RESAMPLES: usize = 2_000;

/// What three raters say of a suite.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// Id of the suite.
    pub suite: String,
    /// Its split.
    pub split: String,
    /// Names the content of the split.
    pub release_id: String,
    /// Each rater.
    pub raters: Vec<Rater>,
    /// What they agree on: over all pairs (`all`), and by language where the suite says languages.
    pub agreement: BTreeMap<String, Agreed>,
}

/// One rater.
#[derive(Debug, Clone, Serialize)]
pub struct Rater {
    /// Rows with a score.
    pub scored: usize,
    /// Rows without one.
    pub missing: usize,
    /// Spearman of the scores with the gold scores; absent where it does not exist.
    pub gold_spearman: Option<f64>,
    /// Spearman of the scores with the mean of the other raters.
    pub others_spearman: Option<f64>,
    /// Mean distance of the two scores of a pair that was shown in both orders.
    pub own_distance: Option<f64>,
}

/// What the raters agree on. A figure that does not exist is absent.
#[derive(Debug, Clone, Serialize)]
pub struct Agreed {
    /// Pairs with a score of at least one rater.
    pub pairs: usize,
    /// Clusters of these pairs, where the suite has clusters.
    pub clusters: Option<usize>,
    /// Krippendorff's alpha of scores whose differences count, with its 95 % interval: value, low, high.
    pub alpha_interval: Option<[f64; 3]>,
    /// The same of scores of which only the order counts.
    pub alpha_ordinal: Option<[f64; 3]>,
    /// Human ceiling: mean over raters of Spearman with the mean of the others.
    pub ceiling: Option<f64>,
    /// Spearman of the mean score with the gold score, with its 95 % interval.
    pub gold_spearman: Option<[f64; 3]>,
    /// Area under the ROC curve of the mean score, where gold is 0 or 1.
    pub gold_auc: Option<f64>,
}

fn wrong(path: &Path, line: Option<u64>, reason: String, hint: &'static str) -> SuiteError {
    SuiteError::Sheet {
        path: path.to_owned(),
        line,
        reason,
        hint,
    }
}

/// Reads the key and the three sheets of a kit's folder.
///
/// # Errors
/// When a file is missing or broken, a row is not of the sheet or is there twice, a score is not a number from 0 to 5, or a
/// sheet has no score at all. A row without a score is counted.
pub fn read(folder: &Path) -> Result<Findings, SuiteError> {
    const AGAIN: &str = "take the file that `korfinsts suite annotate SUITE -o DIR` wrote";
    let path = folder.join(KEY);
    if !fs::exists(&path) {
        let hint = "give the folder that `korfinsts suite annotate SUITE -o DIR` wrote, with the filled-in sheets in it";
        return Err(wrong(&path, None, "the key is not there".into(), hint));
    }
    let key: Key = json::parse_as(&fs::read(&path)?).map_err(|e| wrong(&path, None, e, AGAIN))?;
    let rows = 2 * key.pairs.len();
    if key.schema != SCHEMA
        || key.raters.len() != RATERS
        || key.raters.iter().flatten().any(|row| *row >= rows)
    {
        let reason = "this is no key of this version: rows name pairs that are not there".into();
        return Err(wrong(&path, None, reason, AGAIN));
    }
    let sheets = (0..RATERS).map(|rater| scores(folder, &key, rater));
    let sheets: Vec<Sheet> = sheets.collect::<Result<_, _>>()?;
    Ok(findings(&key, &sheets))
}

/// Scores of one rater by pair: none, one, or one for each order.
type Sheet = Vec<Vec<f64>>;

fn scores(folder: &Path, key: &Key, rater: usize) -> Result<Sheet, SuiteError> {
    let path = folder.join(sheet_name(rater));
    let wrong = |line, reason, hint| wrong(&path, line, reason, hint);
    if !fs::exists(&path) {
        let hint =
            "three sheets are read: put the one that the rater sent back here, under this name";
        return Err(wrong(None, "the sheet is not there".into(), hint));
    }
    let mut rows = Rows::new(Cursor::new(fs::read(&path)?), b',');
    let header = rows
        .header()
        .map_err(|e| wrong(Some(e.line), e.problem.to_string(), CSV))?;
    let column = |name: &str| {
        let reason = || wrong(Some(1), format!("there is no column `{name}`"), CSV);
        header.position(name).ok_or_else(reason)
    };
    let (number, score) = (column("row")?, column("score")?);
    let order = &key.raters[rater];
    let mut sheet: Sheet = vec![Vec::new(); key.pairs.len()];
    let mut seen = BTreeSet::new();
    for row in rows {
        let row = row.map_err(|e| wrong(Some(e.line), e.problem.to_string(), CSV))?;
        let line = Some(row.line);
        let written = row.get(number).unwrap_or_default().trim();
        let place = written.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let Some(shown) = place.and_then(|place| order.get(place)) else {
            let reason = format!(
                "row `{}` is not of this sheet, which has {}",
                written.escape_debug(),
                order.len()
            );
            return Err(wrong(line, reason, "leave the column `row` as it was"));
        };
        if !seen.insert(written.to_owned()) {
            let reason = format!("row {written} is there twice");
            return Err(wrong(line, reason, "keep one of them"));
        }
        let written = row.get(score).unwrap_or_default().trim();
        if written.is_empty() {
            continue;
        }
        match written.parse::<f64>() {
            Ok(value) if (0.0..=MOST).contains(&value) => sheet[shown / 2].push(value),
            _ => {
                let reason = format!("the score is `{}`", written.escape_debug());
                return Err(wrong(
                    line,
                    reason,
                    "write a number from 0 to 5, or nothing",
                ));
            }
        }
    }
    if sheet.iter().all(Vec::is_empty) {
        let hint =
            "the form writes the scores when the rater downloads the sheet; put that file here";
        return Err(wrong(None, "no row has a score".into(), hint));
    }
    Ok(sheet)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Spearman over the pairs that have both values.
fn correlation(pairs: impl Iterator<Item = (Option<f64>, Option<f64>)>) -> Option<f64> {
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.filter_map(|(x, y)| x.zip(y)).unzip();
    spearman(&x, &y).ok()
}

fn findings(key: &Key, sheets: &[Sheet]) -> Findings {
    // The score of each rater for each pair.
    let given: Vec<Vec<Option<f64>>> = sheets
        .iter()
        .map(|sheet| sheet.iter().map(|scores| mean(scores)).collect())
        .collect();
    let all: Vec<usize> = (0..key.pairs.len()).collect();
    let raters = (0..RATERS).map(|rater| {
        let rows = key.raters[rater].len();
        let scored = sheets[rater].iter().map(Vec::len).sum();
        let distances: Vec<f64> = sheets[rater]
            .iter()
            .filter_map(|scores| Some((scores.first()? - scores.get(1)?).abs()))
            .collect();
        Rater {
            scored,
            missing: rows - scored,
            gold_spearman: correlation(
                all.iter()
                    .map(|&i| (given[rater][i], Some(key.pairs[i].gold))),
            ),
            others_spearman: with_others(&given, rater, &all),
            own_distance: mean(&distances),
        }
    });
    let mut parts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, pair) in key.pairs.iter().enumerate() {
        if let Some(language) = &pair.language {
            parts.entry(language.clone()).or_default().push(i);
        }
    }
    let mut agreement: BTreeMap<String, Agreed> = parts
        .iter()
        .map(|(language, of)| (language.clone(), agreed(key, &given, of)))
        .collect();
    agreement.insert("all".to_owned(), agreed(key, &given, &all));
    Findings {
        suite: key.suite.clone(),
        split: key.split.clone(),
        release_id: key.release_id.clone(),
        raters: raters.collect(),
        agreement,
    }
}

/// Spearman of a rater with the mean of the others.
fn with_others(given: &[Vec<Option<f64>>], rater: usize, of: &[usize]) -> Option<f64> {
    let others = |i: usize| {
        let others = (0..given.len()).filter(|other| *other != rater);
        mean(
            &others
                .filter_map(|other| given[other][i])
                .collect::<Vec<f64>>(),
        )
    };
    correlation(of.iter().map(|&i| (given[rater][i], others(i))))
}

fn agreed(key: &Key, given: &[Vec<Option<f64>>], of: &[usize]) -> Agreed {
    let scores = |i: usize| -> Vec<f64> { given.iter().filter_map(|of| of[i]).collect() };
    let of: Vec<usize> = of
        .iter()
        .copied()
        .filter(|&i| !scores(i).is_empty())
        .collect();
    let units: Vec<Vec<f64>> = of.iter().map(|&i| scores(i)).collect();
    let clusters = Clusters::new(of.iter().map(|&i| key.pairs[i].cluster.as_deref()));
    let options = BootstrapOptions {
        resamples: RESAMPLES,
        ..BootstrapOptions::default()
    };
    let how = options.by(clusters.as_ref());
    let alpha = |level: Measurement| {
        let Agreement {
            alpha, low, high, ..
        } = krippendorff_clustered(&units, level, how)?;
        Some([alpha, low, high])
    };
    let means: Vec<f64> = units.iter().filter_map(|scores| mean(scores)).collect();
    let gold: Vec<f64> = of.iter().map(|&i| key.pairs[i].gold).collect();
    let gold_spearman = spearman(&means, &gold).ok().and_then(|rho| {
        let interval = bootstrap(&SpearmanSample::new(&means, &gold).ok()?, how).ok()?;
        Some([rho, interval.low, interval.high])
    });
    let ceilings: Vec<f64> = (0..given.len())
        .filter_map(|rater| with_others(given, rater, &of))
        .collect();
    Agreed {
        pairs: of.len(),
        clusters: clusters.as_ref().map(Clusters::count),
        alpha_interval: alpha(Measurement::Interval),
        alpha_ordinal: alpha(Measurement::Ordinal),
        ceiling: mean(&ceilings),
        gold_spearman,
        gold_auc: key.binary.then(|| auc(&means, &gold).ok()).flatten(),
    }
}
