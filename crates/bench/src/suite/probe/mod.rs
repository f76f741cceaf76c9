//! What tells positives from negatives without reading: cheap probes, trained and tested on the suite itself.
//!
//! Four probes: logistic regression and boosted stumps on features of the pair ([`FEATURES`]), and logistic
//! regression on the second text alone, as TF-IDF of characters and of words. Each is cross-validated in
//! ten folds; all pairs of a cluster (a document) are in one fold. A suite that asks for meaning leaves
//! every probe near an AUC of 0.5.

mod grams;
mod learn;
mod pair;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Suite, TripletColumns};
use grams::{Unit, Vocabulary};
use korfinsts_metric::{self as metric, AucSample, BootstrapOptions, Clusters};
use learn::Sparse;
pub use pair::FEATURES;

/// Folds of the cross-validation.
const FOLDS: usize = 10;
/// Fewest clusters that a probe is trained on: below it an AUC says little.
const LEAST_CLUSTERS: usize = 20;
/// Most pairs that a probe is trained on; of more, clusters are left out evenly.
const MOST_PAIRS: usize = 4_000;

/// A pair that a probe sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Example<'a> {
    /// First text.
    pub source: &'a str,
    /// Second text.
    pub text: &'a str,
    /// Whether it is a positive.
    pub positive: bool,
    /// What it was made from: pairs of one cluster are in one fold.
    pub cluster: &'a str,
    /// Language, or languages.
    pub language: &'a str,
}

/// AUC of one probe on pairs that it was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Area {
    /// Area under the ROC curve over all folds, in \[0, 1\].
    pub auc: f64,
    /// Its 95 % interval, with clusters resampled.
    pub interval: Option<[f64; 2]>,
}

/// What the probes find in the pairs of one language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// Pairs.
    pub pairs: usize,
    /// Clusters of them.
    pub clusters: usize,
    /// Logistic regression on features of the pair.
    pub logistic: Area,
    /// Boosted stumps on the same features.
    pub boosted: Area,
    /// The second text alone: TF-IDF of characters.
    pub characters: Area,
    /// The second text alone: TF-IDF of words.
    pub words: Area,
}

impl Probes {
    /// The probes by name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, Area); 4] {
        [
            ("pair features, logistic regression", self.logistic),
            ("pair features, boosted stumps", self.boosted),
            ("second text alone, characters", self.characters),
            ("second text alone, words", self.words),
        ]
    }

    /// The probe with the highest AUC.
    #[must_use]
    pub fn best(&self) -> (&'static str, Area) {
        let all = self.all();
        all.into_iter()
            .max_by(|a, b| a.1.auc.total_cmp(&b.1.auc))
            .unwrap_or(all[0])
    }
}

/// Runs the probes on the pairs of each language. A language with fewer than 20 clusters, or with positives
/// or negatives alone, is left out.
#[must_use]
pub fn probe(examples: &[Example<'_>]) -> BTreeMap<String, Probes> {
    let languages: BTreeSet<&str> = examples.iter().map(|e| e.language).collect();
    let own = |language: &str| -> Vec<Example<'_>> {
        let own = examples.iter().filter(|e| e.language == language);
        own.copied().collect()
    };
    let found = languages.into_iter();
    found
        .filter_map(|language| Some((language.to_owned(), probe_one(&own(language))?)))
        .collect()
}

/// What a suite's pairs are to a probe; empty where gold is not binary.
#[must_use]
pub fn examples(suite: &Suite) -> Vec<Example<'_>> {
    if suite.scale.kind != super::ScaleKind::Binary {
        return Vec::new();
    }
    let columns = Columns::new(suite.cluster.as_ref(), suite.triplets.as_ref());
    let language = suite.languages.first().map_or("", String::as_str);
    let pairs = suite.pairs.iter();
    let example = pairs.map(|pair| {
        let texts = [pair.sentence1.as_str(), &pair.sentence2];
        columns.example(texts, pair.gold, &pair.labels, language)
    });
    example.collect()
}

/// The labels that say what a pair was made from.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    cluster: Option<&'a String>,
    triplet: Option<&'a String>,
    language: Option<&'a String>,
}

impl<'a> Columns<'a> {
    /// Of what a suite declares. Languages that it does not name are in the column `language`.
    #[must_use]
    pub fn new(cluster: Option<&'a String>, triplets: Option<&'a TripletColumns>) -> Self {
        Self {
            cluster,
            triplet: triplets.map(|t| &t.id),
            language: triplets.and_then(|t| t.language.as_ref()),
        }
    }

    /// A pair as a probe sees it. Without a cluster it belongs with those of its triplet, else with those of
    /// the same first text; `language` is that of a pair that names none.
    #[must_use]
    pub fn example<'p>(
        &self,
        [source, text]: [&'p str; 2],
        gold: f64,
        labels: &'p BTreeMap<String, String>,
        language: &'p str,
    ) -> Example<'p> {
        let label = |column: Option<&String>| column.and_then(|c| labels.get(c));
        let cluster = label(self.cluster).or_else(|| label(self.triplet));
        let own = label(self.language).or_else(|| labels.get("language"));
        Example {
            source,
            text,
            positive: gold == 1.0,
            cluster: cluster.map_or(source, String::as_str),
            language: own.map_or(language, String::as_str),
        }
    }
}

fn probe_one(examples: &[Example<'_>]) -> Option<Probes> {
    let names: BTreeSet<&str> = examples.iter().map(|e| e.cluster).collect();
    let every = examples.len().div_ceil(MOST_PAIRS);
    let kept: BTreeMap<&str, usize> = shuffled(names)
        .into_iter()
        .step_by(every)
        .zip(0..)
        .collect();
    let examples: Vec<&Example<'_>> = examples
        .iter()
        .filter(|e| kept.contains_key(e.cluster))
        .collect();
    let gold: Vec<bool> = examples.iter().map(|e| e.positive).collect();
    if kept.len() < LEAST_CLUSTERS || gold.iter().all(|g| *g == gold[0]) {
        return None;
    }
    let folds: Vec<usize> = examples.iter().map(|e| kept[e.cluster] % FOLDS).collect();
    let clusters = Clusters::new(examples.iter().map(|e| Some(e.cluster)))?;
    let task = Task {
        gold,
        folds,
        clusters,
    };
    let features: Vec<[f64; FEATURES.len()]> = examples
        .par_iter()
        .map(|e| pair::features(e.source, e.text))
        .collect();
    let texts = |unit: Unit| {
        let parts: Vec<_> = examples
            .par_iter()
            .map(|e| grams::parts(e.text, unit))
            .collect();
        task.area(|train, test| {
            let own: Vec<_> = train.iter().map(|&i| &parts[i]).collect();
            let vocabulary = Vocabulary::new(&own);
            let vector = |i: &usize| vocabulary.vector(&parts[*i]);
            let rows = [train, test].map(|side| side.iter().map(vector).collect());
            task.logistic(rows, train, 10.0)
        })
    };
    Some(Probes {
        pairs: examples.len(),
        clusters: kept.len(),
        logistic: task.area(|train, test| {
            let scaled = Scaled::new(&features, train);
            let row = |i: &usize| scaled.row(&features[*i]);
            let rows = [train, test].map(|side| side.iter().map(row).collect());
            task.logistic(rows, train, 1.0)
        })?,
        boosted: task.area(|train, test| {
            let rows: Vec<&[f64]> = train.iter().map(|&i| &features[i][..]).collect();
            let stumps = learn::boost(&rows, &task.gold_of(train));
            let score = |i: &usize| stumps.iter().map(|s| s.of(&features[*i])).sum();
            test.iter().map(score).collect()
        })?,
        characters: texts(Unit::Characters)?,
        words: texts(Unit::Words)?,
    })
}

/// Names in an order that says nothing of them, and is the same everywhere.
fn shuffled(names: BTreeSet<&str>) -> Vec<&str> {
    let mut names: Vec<(String, &str)> = names
        .into_iter()
        .map(|name| (korfinsts_base::fs::sha256(name.as_bytes()), name))
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// What is to be told apart, and how it is cross-validated.
struct Task {
    gold: Vec<bool>,
    folds: Vec<usize>,
    clusters: Clusters,
}

impl Task {
    fn gold_of(&self, rows: &[usize]) -> Vec<bool> {
        rows.iter().map(|&i| self.gold[i]).collect()
    }

    /// Trains on rows of the first side and gives scores of the second.
    fn logistic(&self, [train, test]: [Vec<Sparse>; 2], rows: &[usize], c: f64) -> Vec<f64> {
        let train: Vec<&Sparse> = train.iter().collect();
        let weights = learn::logistic(&train, &self.gold_of(rows), c);
        test.iter().map(|row| learn::dot(row, &weights)).collect()
    }

    /// The AUC of what `fit` says of the rows of each fold, given those to train on and those to score.
    fn area(&self, fit: impl Fn(&[usize], &[usize]) -> Vec<f64> + Sync) -> Option<Area> {
        let scored: Vec<Vec<(usize, f64)>> = (0..FOLDS)
            .into_par_iter()
            .map(|fold| {
                let (test, train): (Vec<usize>, Vec<usize>) =
                    (0..self.gold.len()).partition(|&i| self.folds[i] == fold);
                let scores = fit(&train, &test);
                test.into_iter().zip(scores).collect()
            })
            .collect();
        let mut predicted = vec![0.0; self.gold.len()];
        for (at, score) in scored.into_iter().flatten() {
            predicted[at] = score;
        }
        let gold: Vec<f64> = self.gold.iter().map(|g| f64::from(u8::from(*g))).collect();
        let options = BootstrapOptions {
            resamples: 1_000,
            ..BootstrapOptions::default()
        };
        let sample = AucSample::new(&predicted, &gold).ok()?;
        let interval = metric::bootstrap(&sample, options.by(Some(&self.clusters))).ok();
        Some(Area {
            auc: metric::auc(&predicted, &gold).ok()?,
            interval: interval.map(|found| [found.low, found.high]),
        })
    }
}

/// Features less their mean, over their standard deviation, of the rows to train on.
struct Scaled {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Scaled {
    fn new(features: &[[f64; FEATURES.len()]], train: &[usize]) -> Self {
        let n = train.len() as f64;
        let mean = |of: &dyn Fn(usize) -> f64| train.iter().map(|&i| of(i)).sum::<f64>() / n;
        let columns = 0..FEATURES.len();
        let means: Vec<f64> = columns.clone().map(|c| mean(&|i| features[i][c])).collect();
        let deviation = |c: usize| mean(&|i| (features[i][c] - means[c]).powi(2)).sqrt();
        Self {
            deviation: columns.map(deviation).collect(),
            mean: means,
        }
    }

    fn row(&self, features: &[f64; FEATURES.len()]) -> Sparse {
        let scaled = self.mean.iter().zip(&self.deviation).zip(features);
        let scaled = scaled.map(|((mean, deviation), value)| {
            if *deviation > 0.0 {
                (value - mean) / deviation
            } else {
                0.0
            }
        });
        (0..).zip(scaled.chain([1.0])).collect()
    }
}
