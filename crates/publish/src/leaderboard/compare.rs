//! Two models on the same pairs: who is better, how surely, where, and at what cost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::LeaderboardError;
use super::catalogue::Catalogue;
use super::entry::{Entry, NAME_LENGTH};
use korfinsts_base::text::visible;
use korfinsts_bench::run::record::{ScoredPair, clusters};
use korfinsts_bench::run::speed::{Ratio, Speed};
use korfinsts_bench::run::triplets::{Compared, Triplets};
use korfinsts_bench::suite::manifest::Area;
use korfinsts_encoder::protocol::CUSTOM;
use korfinsts_metric::{self as metric, BootstrapOptions, PairedStatistic, Resampling, Undefined};

/// What splits the pairs of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The domain of each pair: Δρ per domain.
    Domain,
    /// The group of each triplet: difference of triplet accuracy per group.
    Pattern,
}

/// What is asked of a comparison.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// Bootstrap and permutation test.
    pub bootstrap: BootstrapOptions,
    /// Suites, by id or key; all that both models have where empty.
    pub suites: Vec<String>,
    /// Protocol, where the models were run under several.
    pub protocol: Option<String>,
    /// Compare also where the two were run under different protocols.
    pub across_protocols: bool,
    /// Breakdown.
    pub by: Option<By>,
    /// Show so many pairs per suite on which the models disagree most.
    pub disagreements: usize,
}

/// Two models on every suite that both were run on. Its JSON is what `korfinsts compare --format
/// json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Name of the first model.
    pub a: String,
    /// Name of the second.
    pub b: String,
    /// By the name of the suite. Every Δ is that of `a` less that of `b`.
    pub suites: BTreeMap<String, SuiteComparison>,
    /// What the first gained over the second on finance, and what on general text.
    pub areas: BTreeMap<Area, AreaComparison>,
    /// Speed and memory of the two, where both were measured on one machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<SpeedComparison>,
    /// What a reader of the numbers must know.
    pub warnings: Vec<String>,
    /// Resamples and random permutations.
    pub resamples: usize,
    /// Their seed.
    pub seed: u64,
    /// Nominal coverage of the intervals.
    pub level: f64,
}

/// Two models on one suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteComparison {
    /// What its texts are about.
    pub area: Area,
    /// Names its content.
    pub release_id: String,
    /// Protocol of each model.
    pub protocols: [String; 2],
    /// Pairs that are compared, the same for both.
    pub n_pairs: usize,
    /// Whether A, and B, was trained on part of the suite.
    #[serde(skip_serializing_if = "neither")]
    pub trained: [bool; 2],
    /// Pairs that are left out because one of the two was trained on them; 0 where the per-pair scores do not
    /// say which: then all are compared.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// ρ of the first model; `null` with the reason in the warnings.
    pub spearman_a: Option<f64>,
    /// ρ of the second.
    pub spearman_b: Option<f64>,
    /// `spearman_a − spearman_b`.
    pub delta_spearman: Option<f64>,
    /// Clusters that are resampled and swapped whole; absent where the suite declares none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<usize>,
    /// Triplet accuracy of the two, where the suite has triplets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triplets: Option<Compared>,
    /// Its percentile interval, from a paired bootstrap over pairs, or clusters of them.
    pub interval: Option<[f64; 2]>,
    /// Two-sided permutation test.
    pub p_value: Option<f64>,
    /// The same, by Holm over the figures to read of the suites of this report; `null` where the suite has
    /// triplets, whose accuracy is that figure.
    pub p_holm: Option<f64>,
    /// Two-sided p of the bootstrap.
    pub p_bootstrap: Option<f64>,
    /// Standard deviation of the differences of the bootstrap.
    pub standard_error: Option<f64>,
    /// Areas under the ROC curve; binary gold only.
    pub auc: Option<AucComparison>,
    /// Parts of the suite, where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartComparison>,
    /// Pairs on which the models disagree most, where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disagreements: Vec<Disagreement>,
    /// Why the texts of these pairs are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts_withheld: Option<String>,
}

/// Speed and memory of two models on one machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpeedComparison {
    /// The machine.
    pub machine: String,
    /// Texts encoded at the same time.
    pub lanes: usize,
    /// Every figure of `a` over that of `b`.
    pub ratios: Vec<Ratio>,
}

/// Areas under the ROC curve of two models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AucComparison {
    /// Of the first model.
    pub auc_a: f64,
    /// Of the second.
    pub auc_b: f64,
    /// `auc_a − auc_b`.
    pub delta_auc: f64,
    /// Its percentile interval.
    pub interval: [f64; 2],
    /// Two-sided permutation test.
    pub p_value: f64,
    /// The same, by Holm over the suites with binary gold.
    pub p_holm: f64,
}

/// Two models on a part of a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartComparison {
    /// Domain, or group of triplets.
    pub name: String,
    /// Pairs, or triplets.
    pub n: usize,
    /// ρ, or triplet accuracy, of the first model.
    pub a: Option<f64>,
    /// Of the second.
    pub b: Option<f64>,
    /// The difference.
    pub delta: Option<f64>,
    /// Its percentile interval; none for triplets.
    pub interval: Option<[f64; 2]>,
    /// Permutation test, or sign test of triplets (with clusters: of the signs of their sums).
    pub p_value: Option<f64>,
    /// The same, by Holm over the parts of this suite.
    pub p_holm: Option<f64>,
    /// The difference that a test of this part, before Holm, sees with a power of 80 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
}

/// A pair that the models see differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disagreement {
    /// Id of the pair.
    pub id: String,
    /// Gold score.
    pub gold: f64,
    /// Domain.
    pub domain: Option<String>,
    /// Share of the suite's pairs that the gold score puts below this one (ties count half).
    pub gold_rank: f64,
    /// The same for the first model.
    pub rank_a: f64,
    /// The same for the second.
    pub rank_b: f64,
    /// Which model puts the pair nearer to its gold rank: `a`, `b`, or `null` for neither.
    pub nearer: Option<char>,
    /// Texts, where the licence lets them be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<[String; 2]>,
}

/// Mean difference over the suites of one area.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AreaComparison {
    /// Suites that the mean is over.
    pub suites: Vec<String>,
    /// Mean of Δρ.
    pub mean_delta: f64,
    /// 95 % interval: normal, from the standard errors of the suites, which share no pairs.
    pub interval: [f64; 2],
}

impl SuiteComparison {
    /// The difference of the figure to read and its p by Holm: of triplet accuracy where the suite has
    /// triplets, else of ρ.
    #[must_use]
    pub fn headline(&self) -> (Option<f64>, Option<f64>) {
        match &self.triplets {
            Some(triplets) => (Some(triplets.delta), triplets.p_holm),
            None => (self.delta_spearman, self.p_holm),
        }
    }
}

impl Report {
    /// Suites on which the first model is worse than the second by more than `threshold` in the figure to
    /// read, with a p-value by Holm of at most `1 − level`.
    #[must_use]
    pub fn worse_by(&self, threshold: f64) -> Vec<&str> {
        let alpha = 1.0 - self.level + 1e-12;
        let worse = |(_, s): &(&String, &SuiteComparison)| {
            let (delta, p) = s.headline();
            delta.is_some_and(|d| d < -threshold) && p.is_some_and(|p| p <= alpha)
        };
        let suites = self.suites.iter().filter(worse);
        suites.map(|(name, _)| name.as_str()).collect()
    }

    /// What the two areas say together, where both are there.
    #[must_use]
    pub fn trade_off(&self) -> Option<String> {
        let finance = self.areas.get(&Area::Finance)?;
        let general = self.areas.get(&Area::General)?;
        let word = |area: &AreaComparison| match area.interval {
            [low, _] if low > 0.0 => "gains",
            [_, high] if high < 0.0 => "loses",
            _ => "changes by",
        };
        let amount = |area: &AreaComparison| match word(area) {
            "changes by" => format!("{:+.4} (no sure change)", area.mean_delta),
            _ => format!("{:.4}", area.mean_delta.abs()),
        };
        let mark = |area: &AreaComparison| {
            let trained = |name: &String| !neither(&self.suites[name].trained);
            if area.suites.iter().any(trained) {
                "†"
            } else {
                ""
            }
        };
        Some(format!(
            "{} against {}: {} {}{} on finance and {} {}{} on general text (means over suites)",
            self.a,
            self.b,
            word(finance),
            amount(finance),
            mark(finance),
            word(general),
            amount(general),
            mark(general)
        ))
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn neither(trained: &[bool; 2]) -> bool {
    *trained == [false; 2]
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Compares two models on every suite that both have records of.
///
/// # Errors
/// When they share no suite, were run on different releases or pairs or under different
/// protocols, a file is broken, or the statistics cannot be computed.
pub fn compare(
    a: &[Entry],
    b: &[Entry],
    catalogue: &Catalogue,
    options: &CompareOptions,
) -> Result<Report, LeaderboardError> {
    let names = names(a, b);
    let mut report = Report {
        a: names[0].clone(),
        b: names[1].clone(),
        suites: BTreeMap::new(),
        areas: BTreeMap::new(),
        speed: None,
        warnings: Vec::new(),
        resamples: options.bootstrap.resamples,
        seed: options.bootstrap.seed,
        level: options.bootstrap.level,
    };
    let comparison = Comparison {
        names: &names,
        catalogue,
        options,
    };
    for (key, a, b) in comparison.matched(a, b)? {
        let found = comparison.suite(&key, a, b, &mut report.warnings)?;
        report.suites.insert(key, found);
    }
    correct(&mut report);
    report.areas = areas(&report);
    report.speed = speed(a, b, &mut report.warnings);
    Ok(report)
}

/// Speed and memory of two models, where both were measured; a warning where that was on two machines.
fn speed(a: &[Entry], b: &[Entry], warnings: &mut Vec<String>) -> Option<SpeedComparison> {
    let [a, b] = [a, b].map(|entries| entries.iter().find_map(|e| e.record.speed.as_deref()));
    let (a, b) = (a?, b?);
    let place = |s: &Speed| {
        let place = format!("{}, {} at a time", s.machine.sentence(), s.lanes);
        visible(&place, 2 * NAME_LENGTH)
    };
    if !a.is_comparable(b) {
        warnings.push(format!(
            "the speeds are not compared: A was measured on {}, B on {}",
            place(a),
            place(b)
        ));
        return None;
    }
    Some(SpeedComparison {
        machine: visible(&a.machine.sentence(), 2 * NAME_LENGTH),
        lanes: a.lanes,
        ratios: a.ratios(b),
    })
}

/// Names of the two models; what tells them apart is added where they are the same.
fn names(a: &[Entry], b: &[Entry]) -> [String; 2] {
    let of = |entries: &[Entry]| entries.first().map_or_else(String::new, Entry::name);
    let (first, second) = (of(a), of(b));
    if first != second {
        return [first, second];
    }
    let folder = |entries: &[Entry]| {
        entries
            .first()
            .and_then(|e| e.path.parent()?.file_name())
            .map_or_else(String::new, |n| visible(&n.to_string_lossy(), NAME_LENGTH))
    };
    let folders = [folder(a), folder(b)];
    if folders[0] == folders[1] {
        [format!("{first} (A)"), format!("{second} (B)")]
    } else {
        folders
    }
}

/// What two models are compared by.
struct Comparison<'c> {
    /// Names of the two.
    names: &'c [String; 2],
    catalogue: &'c Catalogue,
    options: &'c CompareOptions,
}

impl Comparison<'_> {
    /// The records of both models on the same suite, split and protocol.
    fn matched<'a>(
        &self,
        a: &'a [Entry],
        b: &'a [Entry],
    ) -> Result<Vec<(String, &'a Entry, &'a Entry)>, LeaderboardError> {
        let refuse = |reason: String, hint: &str| LeaderboardError::Incomparable {
            a: self.names[0].clone(),
            b: self.names[1].clone(),
            reason,
            hint: hint.to_owned(),
        };
        let group = |entries: &'a [Entry]| {
            let mut by: BTreeMap<String, Vec<&'a Entry>> = BTreeMap::new();
            for entry in entries {
                by.entry(self.catalogue.key(&entry.record.suite))
                    .or_default()
                    .push(entry);
            }
            by
        };
        let (of_a, of_b) = (group(a), group(b));
        let shared: Vec<&String> = of_a.keys().filter(|k| of_b.contains_key(*k)).collect();
        let list = |keys: Vec<&String>| {
            let keys: Vec<&str> = keys.iter().map(|k| k.as_str()).collect();
            keys.join(", ")
        };
        for wanted in &self.options.suites {
            if !shared.iter().any(|k| named(k, wanted)) {
                let reason = format!("they have no records of `{wanted}` in common");
                let hint = format!("both have {}", list(shared));
                return Err(refuse(reason, &hint));
            }
        }
        if shared.is_empty() {
            let reason = format!(
                "they share no suite: the first has {}, the second {}",
                list(of_a.keys().collect()),
                list(of_b.keys().collect())
            );
            return Err(refuse(
                reason,
                "run both on the same suites: `korfinsts eval A B`",
            ));
        }
        let mut found = Vec::new();
        for key in shared {
            let asked = &self.options.suites;
            if !asked.is_empty() && !asked.iter().any(|w| named(key, w)) {
                continue;
            }
            let pairs = by_protocol(&of_a[key], &of_b[key], self.options);
            if pairs.is_empty() {
                let protocols = |entries: &[&Entry]| {
                    let all = entries.iter().map(|e| format!("`{}`", protocol(e)));
                    all.collect::<Vec<_>>().join(", ")
                };
                let reason = format!(
                    "on `{key}` the first was run under {}, the second under {}",
                    protocols(&of_a[key]),
                    protocols(&of_b[key])
                );
                let hint = "run both under one protocol, or add `--across-protocols` to compare them nevertheless";
                return Err(refuse(reason, hint));
            }
            let several = pairs.len() > 1;
            for (first, second) in pairs {
                let key = if several {
                    format!("{key} ({})", conditions(first, second))
                } else {
                    key.clone()
                };
                // Records that differ in their intervals alone have the same pairs.
                if found.iter().all(|(other, _, _)| *other != key) {
                    found.push((key, first, second));
                }
            }
        }
        Ok(found)
    }

    /// Compares the records of both models on one suite.
    fn suite(
        &self,
        key: &str,
        a: &Entry,
        b: &Entry,
        warnings: &mut Vec<String>,
    ) -> Result<SuiteComparison, LeaderboardError> {
        let Self {
            names,
            catalogue,
            options,
        } = *self;
        let aligned = align(key, a, b, names)?;
        let protocols = [protocol(a), protocol(b)];
        if protocols[0] != protocols[1] && !a.is_baseline() && !b.is_baseline() {
            warnings.push(format!(
                "{key}: run under different protocols, `{}` and `{}`: prompts or lengths may differ",
                protocols[0], protocols[1]
            ));
        }
        let trained = [a, b].map(|entry| entry.record.trained_on.is_some());
        if !neither(&trained) && aligned.left_out == 0 {
            warnings.push(format!(
                "{key}: its per-pair scores do not say which pairs a model was trained on, so all are compared: \
                 run `korfinsts eval` again"
            ));
        }
        let mut found = SuiteComparison {
            area: catalogue.area(&a.record.suite.id),
            release_id: visible(&a.record.suite.release_id, 64),
            protocols,
            n_pairs: aligned.gold.len(),
            trained,
            left_out: aligned.left_out,
            spearman_a: None,
            spearman_b: None,
            delta_spearman: None,
            clusters: None,
            triplets: None,
            interval: None,
            p_value: None,
            p_holm: None,
            p_bootstrap: None,
            standard_error: None,
            auc: None,
            parts: Vec::new(),
            disagreements: Vec::new(),
            texts_withheld: None,
        };
        let complete = |scores: &[Option<f64>], name: &str| -> Result<Vec<f64>, String> {
            let missing = scores.iter().filter(|s| s.is_none()).count();
            match scores.iter().copied().collect::<Option<Vec<f64>>>() {
                Some(all) => Ok(all),
                None => Err(format!("{missing} pairs have no score of `{name}`")),
            }
        };
        let scored =
            complete(&aligned.a, &names[0]).and_then(|a| Ok((a, complete(&aligned.b, &names[1])?)));
        let (first, second) = match scored {
            Ok(scored) => scored,
            Err(reason) => {
                warnings.push(format!("{key}: not compared: {reason}"));
                return Ok(found);
            }
        };
        let gold = &aligned.gold;
        let binary = a.record.suite.scale == "binary";
        let clusters = clusters(&aligned.pairs);
        found.clusters = clusters.as_ref().map(metric::Clusters::count);
        let sides = Sides {
            first: &first,
            second: &second,
            gold,
            how: options.bootstrap.by(clusters.as_ref()),
        };
        for reason in differences(&mut found, &sides, binary) {
            warnings.push(format!("{key}: {reason}"));
        }
        found.triplets =
            Triplets::of(&aligned.pairs).compare([&first, &second], &options.bootstrap);
        match options.by {
            Some(By::Domain) => found.parts = domains(&aligned.pairs, &first, &second, options),
            Some(By::Pattern) => found.parts = patterns(&aligned.pairs, [&first, &second], options),
            None => {}
        }
        if options.disagreements > 0 {
            found.disagreements =
                disagreements(&aligned.pairs, &first, &second, options.disagreements);
            match catalogue.texts(&a.record.suite)? {
                Ok(texts) => {
                    for pair in &mut found.disagreements {
                        pair.texts = texts.get(&pair.id).cloned();
                    }
                }
                Err(reason) => found.texts_withheld = Some(reason),
            }
            for pair in &mut found.disagreements {
                pair.id = visible(&pair.id, NAME_LENGTH);
            }
        }
        Ok(found)
    }
}

fn named(key: &str, wanted: &str) -> bool {
    key == wanted || key.split([':', ' ', '@']).next() == Some(wanted)
}

fn protocol(entry: &Entry) -> String {
    visible(&entry.record.encoder.protocol, NAME_LENGTH)
}

/// What two records were run under; a baseline reads no prompts.
fn conditions(first: &Entry, second: &Entry) -> String {
    let encoders = [first, second].into_iter().filter(|e| !e.is_baseline());
    let mut names: Vec<String> = encoders.map(Entry::protocol).collect();
    names.dedup();
    if names.is_empty() {
        return protocol(first);
    }
    names.join(" and ")
}

/// Pairs of records under the same protocol. A baseline reads no prompts, so any protocol fits it.
fn by_protocol<'a>(
    a: &[&'a Entry],
    b: &[&'a Entry],
    options: &CompareOptions,
) -> Vec<(&'a Entry, &'a Entry)> {
    let asked = |e: &Entry| {
        let wanted = options.protocol.as_deref();
        e.is_baseline() || wanted.is_none_or(|p| p == e.record.encoder.protocol)
    };
    let mut found = Vec::new();
    for first in a.iter().filter(|e| asked(e)) {
        for second in b.iter().filter(|e| asked(e)) {
            let same = first.record.encoder.protocol == second.record.encoder.protocol;
            if same || first.is_baseline() || second.is_baseline() {
                found.push((*first, *second));
            }
        }
    }
    // Of several prompts by hand, each is compared with its like where there is one.
    let alike = |(first, second): &(&Entry, &Entry)| {
        first.record.encoder.prompts == second.record.encoder.prompts
    };
    let by_hand = |(first, second): &(&Entry, &Entry)| {
        [first, second]
            .iter()
            .all(|e| e.record.encoder.protocol == CUSTOM)
    };
    if found.iter().any(|pair| by_hand(pair) && alike(pair)) {
        found.retain(|pair| !by_hand(pair) || alike(pair));
    }
    if found.is_empty()
        && options.across_protocols
        && let (Some(first), Some(second)) = (a.first(), b.first())
    {
        found.push((*first, *second));
    }
    found
}

/// Predicted scores of two models on the same pairs, less those that one of them was trained on.
struct Aligned {
    pairs: Vec<ScoredPair>,
    gold: Vec<f64>,
    a: Vec<Option<f64>>,
    b: Vec<Option<f64>>,
    left_out: usize,
}

/// Triplet accuracy of two encoders on the triplets of a suite that neither was trained on; `None` where
/// there are none, or their per-pair scores do not say which those are.
///
/// # Errors
/// When the two were not run on the same pairs, or a file is broken.
pub fn triplets(
    a: &Entry,
    b: &Entry,
    options: &BootstrapOptions,
) -> Result<Option<Compared>, LeaderboardError> {
    let found = align(&a.record.suite.id, a, b, &[a.name(), b.name()])?;
    if found.left_out == 0 && [a, b].iter().any(|e| e.record.trained_on.is_some()) {
        return Ok(None);
    }
    let scores = |scores: &[Option<f64>]| scores.iter().copied().collect::<Option<Vec<f64>>>();
    let (Some(a), Some(b)) = (scores(&found.a), scores(&found.b)) else {
        return Ok(None);
    };
    Ok(Triplets::of(&found.pairs).compare([&a, &b], options))
}

fn align(
    key: &str,
    a: &Entry,
    b: &Entry,
    names: &[String; 2],
) -> Result<Aligned, LeaderboardError> {
    let refuse = |reason: String, hint: &str| LeaderboardError::Incomparable {
        a: names[0].clone(),
        b: names[1].clone(),
        reason: format!("on `{key}`: {reason}"),
        hint: hint.to_owned(),
    };
    let again = "evaluate both on the same data again";
    let releases = [a, b].map(|e| visible(&e.record.suite.release_id, 16));
    if a.record.suite.release_id != b.record.suite.release_id {
        let reason = format!("the releases differ: {} and {}", releases[0], releases[1]);
        return Err(refuse(reason, again));
    }
    let (mut pairs, others) = (a.pairs()?, b.pairs()?);
    let by_id: HashMap<&str, &ScoredPair> = others.iter().map(|p| (p.id.as_str(), p)).collect();
    let missing = pairs.iter().find(|p| !by_id.contains_key(p.id.as_str()));
    if missing.is_some() || pairs.len() != others.len() {
        let reason = match missing {
            Some(pair) => format!(
                "the pairs differ: `{}` was scored by the first only",
                visible(&pair.id, NAME_LENGTH)
            ),
            None => format!(
                "the pairs differ: {} were scored by the first, {} by the second",
                pairs.len(),
                others.len()
            ),
        };
        return Err(refuse(reason, again));
    }
    let mut scores = Vec::with_capacity(pairs.len());
    for pair in &mut pairs {
        let other = by_id[pair.id.as_str()];
        if other.gold != pair.gold {
            let reason = format!(
                "the gold scores of `{}` differ: {} and {}",
                visible(&pair.id, NAME_LENGTH),
                pair.gold,
                other.gold
            );
            return Err(refuse(reason, again));
        }
        pair.trained |= other.trained;
        if !pair.trained {
            scores.push(other.score);
        }
    }
    let all = pairs.len();
    pairs.retain(|pair| !pair.trained);
    Ok(Aligned {
        left_out: all - pairs.len(),
        gold: pairs.iter().map(|p| p.gold).collect(),
        a: pairs.iter().map(|p| p.score).collect(),
        b: scores,
        pairs,
    })
}

/// Predicted scores of both sides, the gold scores, and how they are resampled.
struct Sides<'a> {
    first: &'a [f64],
    second: &'a [f64],
    gold: &'a [f64],
    how: Resampling<'a>,
}

/// Fills in the scores of both sides and their differences. Gives the reasons why one is missing.
fn differences(found: &mut SuiteComparison, sides: &Sides<'_>, binary: bool) -> Vec<String> {
    let Sides {
        first,
        second,
        gold,
        how,
    } = *sides;
    let mut missing = Vec::new();
    found.spearman_a = metric::spearman(first, gold).ok();
    found.spearman_b = metric::spearman(second, gold).ok();
    match metric::compare(PairedStatistic::Spearman, [first, second], gold, how) {
        Ok(c) => {
            found.delta_spearman = Some(c.delta);
            found.interval = Some([c.interval.low, c.interval.high]);
            found.p_value = Some(c.permutation.p_value);
            found.p_bootstrap = Some(c.p_bootstrap);
            found.standard_error = Some(c.interval.standard_error);
        }
        Err(reason) => missing.push(format!("no Δρ: {reason}")),
    }
    if !binary {
        return missing;
    }
    match metric::compare(PairedStatistic::Auc, [first, second], gold, how) {
        Ok(c) => {
            found.auc = Some(AucComparison {
                auc_a: c.a,
                auc_b: c.b,
                delta_auc: c.delta,
                interval: [c.interval.low, c.interval.high],
                p_value: c.permutation.p_value,
                p_holm: c.permutation.p_value,
            });
        }
        Err(reason) => missing.push(format!("no ΔAUC: {reason}")),
    }
    missing
}

fn domains(
    pairs: &[ScoredPair],
    a: &[f64],
    b: &[f64],
    options: &CompareOptions,
) -> Vec<PartComparison> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, pair) in pairs.iter().enumerate() {
        if let Some(domain) = &pair.domain {
            members.entry(domain).or_default().push(at);
        }
    }
    let mut parts = Vec::new();
    for (domain, members) in members {
        let of = |values: &[f64]| -> Vec<f64> { members.iter().map(|&i| values[i]).collect() };
        let gold: Vec<f64> = members.iter().map(|&i| pairs[i].gold).collect();
        let (a, b) = (of(a), of(b));
        let own = members.iter().map(|&i| pairs[i].cluster.as_deref());
        let clusters = metric::Clusters::new(own);
        let how = options.bootstrap.by(clusters.as_ref());
        let found = metric::compare(PairedStatistic::Spearman, [&a, &b], &gold, how).ok();
        parts.push(PartComparison {
            name: visible(domain, NAME_LENGTH),
            n: members.len(),
            a: metric::spearman(&a, &gold).ok(),
            b: metric::spearman(&b, &gold).ok(),
            delta: found.map(|c| c.delta),
            interval: found.map(|c| [c.interval.low, c.interval.high]),
            p_value: found.map(|c| c.permutation.p_value),
            p_holm: None,
            detectable: found.map(|c| {
                let error = c.interval.standard_error;
                metric::detectable_shift(error, options.bootstrap.level)
            }),
        });
    }
    parts
}

/// Triplet accuracy per group.
fn patterns(
    pairs: &[ScoredPair],
    models: [&[f64]; 2],
    options: &CompareOptions,
) -> Vec<PartComparison> {
    let triplets = Triplets::of(pairs);
    let seen = models.map(|scores| triplets.seen(scores));
    let groups = triplets.groups();
    let names: BTreeSet<&str> = groups.iter().copied().collect();
    let part = |name: &str| {
        let own: Vec<usize> = (0..groups.len()).filter(|&i| groups[i] == name).collect();
        let n = own.len();
        let share =
            |model: usize| own.iter().filter(|&&i| seen[model][i]).count() as f64 / n as f64;
        let only = |model: usize| {
            let only = own
                .iter()
                .filter(|&&i| seen[model][i] && !seen[1 - model][i]);
            only.count()
        };
        let [first, second] = [only(0), only(1)];
        let difference = |&i: &usize| f64::from(i8::from(seen[0][i]) - i8::from(seen[1][i]));
        let differences: Vec<f64> = own.iter().map(difference).collect();
        let clusters = triplets.clusters(|i| groups[i] == name);
        let p_value = clusters.as_ref().map_or_else(
            || metric::sign_test(first, second),
            |clusters| metric::flip_test(&clusters.sums(&differences), &options.bootstrap),
        );
        // One half is added to each of the four counts: few triplets may disagree by chance on none.
        let discordance = (first + second + 1) as f64 / (n + 2) as f64;
        let effective = n as f64 / inflation(&differences, clusters.as_ref());
        let level = options.bootstrap.level;
        PartComparison {
            name: visible(name, NAME_LENGTH),
            n,
            a: Some(share(0)),
            b: Some(share(1)),
            delta: Some(share(0) - share(1)),
            interval: None,
            p_value: Some(p_value),
            p_holm: None,
            detectable: Some(metric::detectable_difference(effective, discordance, level)),
        }
    };
    names.into_iter().map(part).collect()
}

/// How much clusters inflate the variance of a mean, at least 1 and at most the size of the largest.
fn inflation(values: &[f64], clusters: Option<&metric::Clusters>) -> f64 {
    let Some(clusters) = clusters else {
        return 1.0;
    };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let errors: Vec<f64> = values.iter().map(|v| v - mean).collect();
    let squares = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
    let alone = squares(&errors);
    let largest = clusters.members().map(<[u32]>::len).max().unwrap_or(1);
    if alone == 0.0 {
        return largest as f64;
    }
    (squares(&clusters.sums(&errors)) / alone).clamp(1.0, largest as f64)
}

/// The pairs whose ranks differ most between two models, most first; equal ones in the suite's
/// order.
#[must_use]
pub fn disagreements(pairs: &[ScoredPair], a: &[f64], b: &[f64], most: usize) -> Vec<Disagreement> {
    let n = pairs.len() as f64;
    let shares = |values: &[f64]| -> Vec<f64> {
        let ranks = metric::mid_ranks(values).unwrap_or_default();
        ranks.into_iter().map(|r| (r - 0.5) / n).collect()
    };
    let gold: Vec<f64> = pairs.iter().map(|p| p.gold).collect();
    let (a, b, gold) = (shares(a), shares(b), shares(&gold));
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    let apart = |i: usize| (a[i] - b[i]).abs();
    order.sort_by(|&i, &j| apart(j).total_cmp(&apart(i)).then(i.cmp(&j)));
    order.truncate(most);
    order
        .into_iter()
        .map(|i| {
            let (from_a, from_b) = ((a[i] - gold[i]).abs(), (b[i] - gold[i]).abs());
            let nearer = match from_a.total_cmp(&from_b) {
                std::cmp::Ordering::Less => Some('a'),
                std::cmp::Ordering::Equal => None,
                std::cmp::Ordering::Greater => Some('b'),
            };
            Disagreement {
                id: pairs[i].id.clone(),
                gold: pairs[i].gold,
                domain: pairs[i].domain.as_deref().map(|d| visible(d, NAME_LENGTH)),
                gold_rank: gold[i],
                rank_a: a[i],
                rank_b: b[i],
                nearer,
                texts: None,
            }
        })
        .collect()
}

/// Holm over the suites for the figure to read, over the binary ones for AUC, and over the parts of each
/// suite.
fn correct(report: &mut Report) {
    holm(report.suites.values_mut().map(|s| match &mut s.triplets {
        Some(triplets) => (Some(triplets.p_value), &mut triplets.p_holm),
        None => (s.p_value, &mut s.p_holm),
    }));
    let mut areas: Vec<&mut AucComparison> = report
        .suites
        .values_mut()
        .filter_map(|s| s.auc.as_mut())
        .collect();
    let found: Vec<f64> = areas.iter().map(|a| a.p_value).collect();
    if let Ok(adjusted) = metric::holm(&found) {
        for (area, p) in areas.iter_mut().zip(adjusted) {
            area.p_holm = p;
        }
    }
    for suite in report.suites.values_mut() {
        holm(suite.parts.iter_mut().map(|p| (p.p_value, &mut p.p_holm)));
    }
}

fn holm<'a>(family: impl Iterator<Item = (Option<f64>, &'a mut Option<f64>)>) {
    let (found, places): (Vec<f64>, Vec<&mut Option<f64>>) =
        family.filter_map(|(p, place)| Some((p?, place))).unzip();
    let adjusted: Result<_, Undefined> = metric::holm(&found);
    for (place, p) in places.into_iter().zip(adjusted.into_iter().flatten()) {
        *place = Some(p);
    }
}

fn areas(report: &Report) -> BTreeMap<Area, AreaComparison> {
    let mut by: BTreeMap<Area, Vec<(&str, f64, f64)>> = BTreeMap::new();
    for (name, s) in &report.suites {
        if let (Some(delta), Some(error)) = (s.delta_spearman, s.standard_error) {
            // Two suites of one release hold the same pairs, and count once.
            let of_area = by.entry(s.area).or_default();
            let same = |other: &str| report.suites[other].release_id == s.release_id;
            if s.release_id.is_empty() || !of_area.iter().any(|(other, ..)| same(other)) {
                of_area.push((name, delta, error));
            }
        }
    }
    by.into_iter()
        .map(|(area, suites)| {
            let n = suites.len() as f64;
            let mean = suites.iter().map(|s| s.1).sum::<f64>() / n;
            let error = suites.iter().map(|s| s.2 * s.2).sum::<f64>().sqrt() / n;
            let half = metric::normal_quantile(report.level) * error;
            let found = AreaComparison {
                suites: suites.iter().map(|s| s.0.to_owned()).collect(),
                mean_delta: mean,
                interval: [mean - half, mean + half],
            };
            (area, found)
        })
        .collect()
}
