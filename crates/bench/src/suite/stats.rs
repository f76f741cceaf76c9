//! What a split looks like: counts, lengths, vocabulary, gold scores, repeats, and where the
//! declared scale and the data disagree.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::{Scale, ScaleKind, Suite};
use korfinsts_base::text::{eojeol, nfc};
use korfinsts_metric::spearman_ceiling;

/// How long the texts of one side are, in units of some measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Lengths {
    /// Shortest.
    pub min: usize,
    /// Mean.
    pub mean: f64,
    /// Median: the lower one of the two middle ones where their number is even.
    pub median: usize,
    /// 95th percentile: the smallest length that at least 95 % do not exceed.
    pub p95: usize,
    /// Longest.
    pub max: usize,
}

/// Lengths of the first and the second texts of a suite, by any measure: characters, eojeol, the
/// tokens of a tokenizer. An empty suite has zeros.
pub fn lengths(suite: &Suite, measure: impl Fn(&str) -> usize) -> [Lengths; 2] {
    let first = suite.pairs.iter().map(|p| measure(&p.sentence1)).collect();
    let second = suite.pairs.iter().map(|p| measure(&p.sentence2)).collect();
    [summary(first), summary(second)]
}

fn summary(mut values: Vec<usize>) -> Lengths {
    values.sort_unstable();
    let n = values.len();
    if n == 0 {
        return Lengths::default();
    }
    Lengths {
        min: values[0],
        mean: values.iter().sum::<usize>() as f64 / n as f64,
        median: values[(n - 1) / 2],
        p95: values[(n * 95).div_ceil(100).max(1) - 1],
        max: values[n - 1],
    }
}

/// The gold scores of a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GoldStats {
    /// Mean; 0 for an empty suite.
    pub mean: f64,
    /// Standard deviation over the pairs (divided by n).
    pub sd: f64,
    /// Smallest score.
    pub min: f64,
    /// Largest score.
    pub max: f64,
    /// Number of different scores.
    pub distinct: usize,
    /// Share of pairs whose score another pair has too, in \[0, 1\].
    pub tied_share: f64,
    /// Largest Spearman correlation that predictions without ties can reach.
    pub ceiling: Option<f64>,
    /// Pairs per bin: one bin per score where there are at most 12, else ten of equal width over
    /// the declared scale, each with its lower bound; the last holds the upper end.
    pub histogram: Vec<(f64, usize)>,
}

/// Texts that occur more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Repeats {
    /// Pairs whose two texts, in either order, occur in an earlier pair of the split.
    pub duplicate_pairs: usize,
    /// Different pairs of texts (in either order) that carry more than one score.
    pub conflicting_pairs: usize,
    /// Pairs whose two texts are equal.
    pub identical_texts: usize,
    /// Pairs whose two texts are equal and whose score is not the largest of the scale.
    pub identical_below_top: usize,
    /// Different texts.
    pub unique_texts: usize,
}

/// What a split looks like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Suite id.
    pub suite: String,
    /// Split.
    pub split: String,
    /// Version of the suite.
    pub version: String,
    /// Names the content.
    pub release_id: String,
    /// Declared scale.
    pub scale: Scale,
    /// Pairs.
    pub pairs: usize,
    /// Pairs, mean gold and lengths per domain; one entry without a name where there are none.
    pub domains: Vec<DomainStats>,
    /// Unicode characters of the first and second texts.
    pub characters: [Lengths; 2],
    /// Eojeol (units between white space) of the first and second texts.
    pub eojeol: [Lengths; 2],
    /// Lengths in tokens, where a tokenizer was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenStats>,
    /// Different eojeol in all texts.
    pub vocabulary: usize,
    /// Eojeol in all texts.
    pub eojeol_total: usize,
    /// Gold scores.
    pub gold: GoldStats,
    /// Repeats.
    pub repeats: Repeats,
    /// Where the declared scale and the data disagree, and what else to know.
    pub warnings: Vec<String>,
}

/// One domain of a split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainStats {
    /// Name; `None` for pairs without one.
    pub domain: Option<String>,
    /// Pairs.
    pub pairs: usize,
    /// Mean gold score.
    pub gold_mean: f64,
    /// Mean number of characters of the first and second texts.
    pub characters: [f64; 2],
    /// Mean number of eojeol of the first and second texts.
    pub eojeol: [f64; 2],
    /// Mean number of tokens of the first and second texts, where a tokenizer was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<[f64; 2]>,
    /// Different eojeol in its texts.
    pub vocabulary: usize,
}

/// The token ids of texts, made by whoever holds a tokenizer: a suite knows none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenIds {
    /// Name of the tokenizer.
    pub tokenizer: String,
    /// Ids per text, without special tokens and truncation.
    pub ids: HashMap<String, Vec<u32>>,
}

impl TokenIds {
    fn of(&self, text: &str) -> &[u32] {
        self.ids.get(text).map_or(&[], Vec::as_slice)
    }
}

/// Lengths in tokens of a tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenStats {
    /// Name of the tokenizer.
    pub tokenizer: String,
    /// Tokens of the first and second texts.
    pub lengths: [Lengths; 2],
    /// Different tokens in all texts.
    pub vocabulary: usize,
    /// Tokens in all texts.
    pub total: usize,
}

/// All texts of a split, each once.
#[must_use]
pub fn unique_texts(suite: &Suite) -> BTreeSet<&str> {
    texts(suite).collect()
}

/// Counts and measures a loaded split; with `tokens` also in tokens (a text that it lacks counts
/// as empty).
#[must_use]
pub fn stats(suite: &Suite, tokens: Option<&TokenIds>) -> Stats {
    let gold: Vec<f64> = suite.pairs.iter().map(|p| p.gold).collect();
    let mut vocabulary = BTreeSet::new();
    let mut eojeol_total = 0;
    for text in texts(suite) {
        for word in eojeol(text) {
            vocabulary.insert(word);
            eojeol_total += 1;
        }
    }
    let gold = gold_stats(&gold, suite.scale);
    let mut warnings = scale_warnings(&gold, suite.scale, suite.pairs.len());
    let repeats = repeats(suite);
    for (number, what) in [
        (
            repeats.duplicate_pairs,
            "repeat an earlier pair (in either order)",
        ),
        (
            repeats.identical_below_top,
            "have two equal texts but not the top score",
        ),
    ] {
        if number > 0 {
            warnings.push(format!("{number} pairs {what}"));
        }
    }
    if repeats.conflicting_pairs > 0 {
        warnings.push(format!(
            "{} pairs of texts carry more than one score",
            repeats.conflicting_pairs
        ));
    }
    Stats {
        suite: suite.id.clone(),
        split: suite.split.clone(),
        version: suite.version.clone(),
        release_id: suite.release_id.clone(),
        scale: suite.scale,
        pairs: suite.pairs.len(),
        domains: domain_stats(suite, tokens),
        characters: lengths(suite, |t| t.chars().count()),
        eojeol: lengths(suite, |t| eojeol(t).count()),
        tokens: tokens.map(|t| token_stats(suite, t)),
        vocabulary: vocabulary.len(),
        eojeol_total,
        gold,
        repeats,
        warnings,
    }
}

fn texts(suite: &Suite) -> impl Iterator<Item = &str> {
    suite
        .pairs
        .iter()
        .flat_map(|p| [p.sentence1.as_str(), p.sentence2.as_str()])
}

fn token_stats(suite: &Suite, tokens: &TokenIds) -> TokenStats {
    let mut different: BTreeSet<u32> = BTreeSet::new();
    let mut total = 0;
    for text in texts(suite) {
        let ids = tokens.of(text);
        different.extend(ids);
        total += ids.len();
    }
    TokenStats {
        tokenizer: tokens.tokenizer.clone(),
        lengths: lengths(suite, |t| tokens.of(t).len()),
        vocabulary: different.len(),
        total,
    }
}

fn domain_stats(suite: &Suite, tokens: Option<&TokenIds>) -> Vec<DomainStats> {
    let mut members: BTreeMap<Option<&str>, Vec<&super::Pair>> = BTreeMap::new();
    for pair in &suite.pairs {
        members
            .entry(pair.domain.as_deref())
            .or_default()
            .push(pair);
    }
    members
        .into_iter()
        .map(|(domain, pairs)| {
            let mean = |measure: &dyn Fn(&super::Pair) -> f64| {
                pairs.iter().map(|p| measure(p)).sum::<f64>() / pairs.len() as f64
            };
            let words: BTreeSet<&str> = pairs
                .iter()
                .flat_map(|p| eojeol(&p.sentence1).chain(eojeol(&p.sentence2)))
                .collect();
            DomainStats {
                domain: domain.map(ToOwned::to_owned),
                pairs: pairs.len(),
                gold_mean: mean(&|p| p.gold),
                characters: [
                    mean(&|p| p.sentence1.chars().count() as f64),
                    mean(&|p| p.sentence2.chars().count() as f64),
                ],
                eojeol: [
                    mean(&|p| eojeol(&p.sentence1).count() as f64),
                    mean(&|p| eojeol(&p.sentence2).count() as f64),
                ],
                tokens: tokens.map(|t| {
                    [
                        mean(&|p| t.of(&p.sentence1).len() as f64),
                        mean(&|p| t.of(&p.sentence2).len() as f64),
                    ]
                }),
                vocabulary: words.len(),
            }
        })
        .collect()
}

fn gold_stats(gold: &[f64], scale: Scale) -> GoldStats {
    let n = gold.len().max(1) as f64;
    let mean = gold.iter().sum::<f64>() / n;
    let sd = (gold.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n).sqrt();
    let mut sorted = gold.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for value in &sorted {
        match groups.last_mut() {
            Some((last, count)) if last == value => *count += 1,
            _ => groups.push((*value, 1)),
        }
    }
    let tied: usize = groups.iter().map(|g| g.1).filter(|c| *c > 1).sum();
    GoldStats {
        mean,
        sd,
        min: sorted.first().copied().unwrap_or_default(),
        max: sorted.last().copied().unwrap_or_default(),
        distinct: groups.len(),
        tied_share: tied as f64 / n,
        ceiling: spearman_ceiling(gold).ok(),
        histogram: if groups.len() <= 12 {
            groups
        } else {
            histogram(gold, scale)
        },
    }
}

fn histogram(gold: &[f64], scale: Scale) -> Vec<(f64, usize)> {
    const BINS: usize = 10;
    let width = (scale.max - scale.min) / BINS as f64;
    let mut bins: Vec<(f64, usize)> = (0..BINS)
        .map(|i| (scale.min + width * i as f64, 0))
        .collect();
    for value in gold {
        let bin = ((value - scale.min) / width) as usize;
        bins[bin.min(BINS - 1)].1 += 1;
    }
    bins
}

/// Where the declared scale and the observed scores disagree.
fn scale_warnings(gold: &GoldStats, scale: Scale, pairs: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let span = scale.max - scale.min;
    if pairs < 2 {
        return warnings;
    }
    if gold.distinct == 1 {
        warnings.push(format!(
            "every gold score is {}: no correlation exists",
            gold.min
        ));
        return warnings;
    }
    if scale.kind != ScaleKind::Binary {
        if gold.distinct == 2 {
            warnings.push(format!(
                "the scale is declared from {} to {}, but only {} and {} occur: is it binary?",
                scale.min, scale.max, gold.min, gold.max
            ));
        }
        // The sd of a share p of ones, stretched over the scale: as large as an sd with this
        // mean and range can be.
        let p = (gold.mean - scale.min) / span;
        let bernoulli = span * (p * (1.0 - p)).max(0.0).sqrt();
        if gold.distinct > 2 && bernoulli > 0.0 && gold.sd > 0.95 * bernoulli {
            warnings.push(format!(
                "the standard deviation {:.3} is that of scores at the two ends of the scale \
                 ({bernoulli:.3}): is it binary?",
                gold.sd
            ));
        }
        warnings.extend(narrow([gold.min, gold.max], scale, 0.8));
    }
    if let Some(ceiling) = gold.ceiling.filter(|c| *c < 0.95) {
        warnings.push(format!(
            "ties in the gold scores cap Spearman's correlation at {ceiling:.3}"
        ));
    }
    warnings
}

/// A warning where gold scores take up less than a share of the declared scale.
pub(super) fn narrow([low, high]: [f64; 2], scale: Scale, share: f64) -> Option<String> {
    let span = scale.max - scale.min;
    let used = (high - low) / span;
    (span.is_finite() && used < share).then(|| {
        format!(
            "the scale is declared from {} to {}, but scores run from {low} to {high} ({:.0} % of it)",
            scale.min,
            scale.max,
            100.0 * used
        )
    })
}

fn repeats(suite: &Suite) -> Repeats {
    let mut scores: HashMap<[&str; 2], Vec<f64>> = HashMap::new();
    let (mut identical, mut below_top) = (0, 0);
    for pair in &suite.pairs {
        let mut key = [pair.sentence1.as_str(), pair.sentence2.as_str()];
        key.sort_unstable();
        scores.entry(key).or_default().push(pair.gold);
        if pair.sentence1 == pair.sentence2 {
            identical += 1;
            below_top += usize::from(pair.gold < suite.scale.max);
        }
    }
    Repeats {
        duplicate_pairs: suite.pairs.len() - scores.len(),
        conflicting_pairs: scores
            .values()
            .filter(|s| s.iter().any(|x| *x != s[0]))
            .count(),
        identical_texts: identical,
        identical_below_top: below_top,
        unique_texts: texts(suite).collect::<BTreeSet<_>>().len(),
    }
}

/// How much two splits (or suites) share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlap {
    /// The split that is looked at.
    pub split: String,
    /// The split it is compared with.
    pub other: String,
    /// Pairs of the first whose two texts (in either order) are a pair of the other.
    pub shared_pairs: usize,
    /// Pairs of the first with at least one text that occurs anywhere in the other.
    pub pairs_with_shared_text: usize,
    /// Their share, in \[0, 1\].
    pub share: f64,
}

/// What `suite` shares with `other`; texts are compared exactly, in normalisation form C.
#[must_use]
pub fn overlap(suite: &Suite, other: &Suite) -> Overlap {
    let key = |p: &super::Pair| {
        let mut key = [nfc(&p.sentence1), nfc(&p.sentence2)];
        key.sort_unstable();
        key
    };
    let pairs: BTreeSet<[String; 2]> = other.pairs.iter().map(key).collect();
    let seen: BTreeSet<&str> = pairs.iter().flatten().map(String::as_str).collect();
    let mut shared_pairs = 0;
    let mut shared_text = 0;
    for pair in &suite.pairs {
        let key = key(pair);
        shared_pairs += usize::from(pairs.contains(&key));
        shared_text += usize::from(key.iter().any(|t| seen.contains(t.as_str())));
    }
    Overlap {
        split: suite.split.clone(),
        other: other.split.clone(),
        shared_pairs,
        pairs_with_shared_text: shared_text,
        share: shared_text as f64 / suite.pairs.len().max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Pair;

    fn suite(scale: Scale, rows: &[(&str, &str, f64)]) -> Suite {
        let pair = |(i, (a, b, gold)): (usize, &(&str, &str, f64))| Pair {
            id: format!("test-{i}"),
            sentence1: (*a).to_owned(),
            sentence2: (*b).to_owned(),
            gold: *gold,
            domain: None,
            labels: BTreeMap::new(),
        };
        Suite {
            id: "small".into(),
            version: "1.0.0".into(),
            split: "test".into(),
            languages: vec!["kor-Hang".into()],
            scale,
            pairs: rows.iter().enumerate().map(pair).collect(),
            release_id: String::new(),
            redistributable: true,
            triplets: None,
            cluster: None,
            mteb_task: None,
            hub_revision: None,
            warnings: Vec::new(),
        }
    }

    const INTERVAL: Scale = Scale {
        kind: ScaleKind::Interval,
        min: 0.0,
        max: 5.0,
    };

    #[test]
    fn lengths_are_those_of_the_measure() {
        for (values, expected) in [
            (vec![], [0, 0, 0, 0]),
            (vec![7], [7, 7, 7, 7]),
            (vec![3, 1, 2, 9], [1, 2, 9, 9]),
            ((1..=100).collect(), [1, 50, 95, 100]),
        ] {
            let l = summary(values);
            assert_eq!([l.min, l.median, l.p95, l.max], expected);
        }
        let s = suite(INTERVAL, &[("가나 다", "라", 1.0)]);
        assert_eq!(lengths(&s, |t| t.chars().count()).map(|l| l.max), [4, 1]);
    }

    #[test]
    fn repeats_count_either_order_and_conflicts() {
        let s = suite(
            INTERVAL,
            &[
                ("가", "나", 1.0),
                ("나", "가", 2.0),
                ("가", "나", 1.0),
                ("다", "다", 4.0),
            ],
        );
        assert_eq!(
            repeats(&s),
            Repeats {
                duplicate_pairs: 2,
                conflicting_pairs: 1,
                identical_texts: 1,
                identical_below_top: 1,
                unique_texts: 3,
            }
        );
    }

    #[test]
    fn a_scale_that_the_data_do_not_use_is_said() {
        let of = |gold: &[f64], scale| {
            let rows: Vec<(&str, &str, f64)> = gold.iter().map(|g| ("가", "나", *g)).collect();
            scale_warnings(
                &gold_stats(gold, scale),
                scale,
                suite(scale, &rows).pairs.len(),
            )
        };
        let binary: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let ends: Vec<f64> = (0..100)
            .map(|i| if i == 0 { 2.5 } else { f64::from(i % 2 * 5) })
            .collect();
        let even: Vec<f64> = (0..=100).map(|i| f64::from(i) / 20.0).collect();
        for (gold, messages) in [
            (
                &binary,
                vec![
                    "only 0 and 1 occur: is it binary?",
                    "(20 % of it)",
                    "cap Spearman",
                ],
            ),
            (&ends, vec!["at the two ends of the scale", "cap Spearman"]),
            (&even, vec![]),
            (
                &vec![1.0; 5],
                vec!["every gold score is 1: no correlation exists"],
            ),
        ] {
            let found = of(gold, INTERVAL);
            assert_eq!(found.len(), messages.len(), "{found:?}");
            for (found, message) in found.iter().zip(messages) {
                assert!(found.contains(message), "{found}");
            }
        }
        let declared = Scale {
            kind: ScaleKind::Binary,
            min: 0.0,
            max: 1.0,
        };
        let found = of(&binary, declared);
        assert_eq!(
            found,
            ["ties in the gold scores cap Spearman's correlation at 0.866"]
        );
    }

    #[test]
    fn histograms_have_one_bin_per_score_or_ten() {
        let few = gold_stats(&[0.0, 1.0, 1.0], INTERVAL).histogram;
        assert_eq!(few, [(0.0, 1), (1.0, 2)]);
        let many: Vec<f64> = (0..=50).map(|i| f64::from(i) / 10.0).collect();
        let many = gold_stats(&many, INTERVAL).histogram;
        assert_eq!(many.len(), 10);
        assert_eq!(many[9], (4.5, 6));
        assert_eq!(many.iter().map(|b| b.1).sum::<usize>(), 51);
    }
}
