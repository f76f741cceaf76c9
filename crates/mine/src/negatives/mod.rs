//! Hard negatives that an encoder finds among candidate texts, with the rules of NV-Retriever
//! (Moreira et al., 2024) against false negatives: a candidate that is nearly as close to the anchor
//! as the positive is, or closer, often means the same.

mod rows;
mod search;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use serde::Serialize;

use crate::MineError;
pub use rows::{Columns, PairRow, read};
use search::{Ranked, Rows};

/// Gives the embedding of a text. It may have any length.
pub type Embedding<'e> = &'e (dyn Fn(&str) -> &'e [f32] + Sync);

/// Which candidates become negatives. Similarities are cosines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rules {
    /// Negatives of a pair, at most.
    pub negatives: usize,
    /// Nearest candidates that are left out, whatever their similarity.
    pub skip: usize,
    /// A negative has at most this share of the positive's similarity (`TopK-PercPos`).
    pub relative: Option<f64>,
    /// A negative's similarity is below the positive's by this much at least (`TopK-MarginPos`).
    pub absolute: Option<f64>,
    /// The highest similarity of a negative (`TopK-Abs`).
    pub max_similarity: Option<f64>,
    /// Nearest candidates within the limits from which negatives are drawn at random; absent: the
    /// nearest are taken.
    pub pool: Option<usize>,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            negatives: 1,
            skip: 0,
            relative: Some(0.95),
            absolute: None,
            max_similarity: None,
            pool: None,
            seed: 0,
        }
    }
}

/// The limits by name, in the order in which a candidate above several is counted.
const LIMITS: [&str; 3] = ["relative", "absolute", "max_similarity"];

impl Rules {
    /// The highest similarity that each of [`LIMITS`] allows next to a positive of this one. A share
    /// of a similarity below 0 is as far below it as that of one above 0.
    fn limits(&self, positive: f64) -> [f64; 3] {
        [
            self.relative
                .map(|share| positive - (1.0 - share) * positive.abs()),
            self.absolute.map(|margin| positive - margin),
            self.max_similarity,
        ]
        .map(|limit| limit.unwrap_or(f64::INFINITY))
    }

    /// Whether the numbers can be met.
    ///
    /// # Errors
    /// The rule that cannot.
    pub fn check(&self) -> Result<(), MineError> {
        let wrong = |what: String, hint: &str| Err(MineError::usage(what, hint));
        if let Some(share) = self.relative.filter(|s| !(*s > 0.0 && *s <= 1.0)) {
            return wrong(
                format!("the relative margin is {share}, expected a share above 0 and up to 1"),
                "`--relative 0.95` allows negatives of up to 95 % of the positive's similarity",
            );
        }
        if let Some(margin) = self.absolute.filter(|m| !(0.0..=2.0).contains(m)) {
            return wrong(
                format!("the absolute margin is {margin}, expected a number from 0 to 2"),
                "`--absolute 0.05` wants negatives at least .05 below the positive",
            );
        }
        if let Some(most) = self.max_similarity.filter(|m| !(-1.0..=1.0).contains(m)) {
            return wrong(
                format!("the highest similarity is {most}, expected a cosine from -1 to 1"),
                "for instance `--max-similarity 0.8`",
            );
        }
        match self.pool {
            Some(pool) if pool < self.negatives => wrong(
                format!(
                    "{} negatives cannot be drawn from the {pool} nearest",
                    self.negatives
                ),
                "give a larger `--pool`, or fewer `--negatives`",
            ),
            _ => Ok(()),
        }
    }

    /// Triplets from pairs, in the order of the pairs and, within one, of the similarity. Candidates
    /// that are an anchor's own text or one of its positives are never its negatives. `None` where
    /// `stop` was set.
    ///
    /// Memory: the embeddings, and per pair `skip + pool` (or `negatives`) similarities. Cosines of
    /// candidates with anchors are computed in blocks and not kept.
    ///
    /// # Errors
    /// When the rules cannot be met.
    pub fn mine(
        &self,
        pairs: &[PairRow],
        candidates: &[String],
        [anchors, others]: [Embedding<'_>; 2],
        stop: &AtomicBool,
    ) -> Result<Option<(Vec<MinedTriplet>, NegativesReport)>, MineError> {
        self.check()?;
        let mut seen = HashSet::new();
        let texts: Vec<&str> = candidates
            .iter()
            .map(String::as_str)
            .filter(|text| !text.trim().is_empty() && seen.insert(text.trim()))
            .collect();
        let number: HashMap<&str, usize> = (texts.iter().map(|t| t.trim())).zip(0..).collect();
        let mut own: HashMap<&str, Vec<usize>> = HashMap::new();
        for pair in pairs {
            let known = own.entry(pair.anchor.trim()).or_default();
            let of_pair = [pair.anchor.trim(), pair.positive.trim()];
            known.extend(of_pair.iter().filter_map(|text| number.get(text)));
        }
        for known in own.values_mut() {
            known.sort_unstable();
            known.dedup();
        }
        let positives: Vec<f32> = pairs
            .iter()
            .map(|p| search::cosine(anchors(&p.anchor), others(&p.positive)))
            .collect();
        let limits = |pair: usize| self.limits(f64::from(positives[pair]));
        let queries: Vec<search::Query<'_>> = pairs
            .iter()
            .enumerate()
            .map(|(i, pair)| search::Query {
                embedding: anchors(&pair.anchor),
                limit: limits(i).into_iter().fold(f64::INFINITY, f64::min),
                own: &own[pair.anchor.trim()],
            })
            .collect();
        let depth = search::Depth {
            by_rank: self.skip + self.negatives,
            within: self.skip + self.pool.unwrap_or(self.negatives),
        };
        let rows = Rows(&|i| others(texts[i]), texts.len());
        let Some(found) = search::nearest(&queries, rows, depth, stop) else {
            return Ok(None);
        };
        let mut report = NegativesReport {
            encoder: String::new(),
            rules: self.clone(),
            pairs: pairs.len(),
            candidates: texts.len(),
            triplets: 0,
            short_pairs: 0,
            empty_pairs: 0,
            by_rank: 0,
            dropped: LIMITS.map(|name| (name, 0)).to_vec(),
            positive_similarity: mean(&positives).unwrap_or_default(),
            negative_similarity: None,
        };
        let mut triplets = Vec::new();
        for (i, (pair, nearest)) in pairs.iter().zip(found).enumerate() {
            let by_rank = nearest.by_rank.get(self.skip..).unwrap_or_default();
            report.by_rank += by_rank.len();
            for one in by_rank {
                let above = |limit: f64| f64::from(one.similarity) > limit;
                if let Some(limit) = limits(i).into_iter().position(above) {
                    report.dropped[limit].1 += 1;
                }
            }
            let chosen = choose(&nearest, self, i);
            report.short_pairs += usize::from(chosen.len() < self.negatives);
            report.empty_pairs += usize::from(chosen.is_empty());
            triplets.extend(chosen.into_iter().map(|one| MinedTriplet {
                pair: pair.clone(),
                negative: texts[one.candidate].to_owned(),
                positive_similarity: positives[i],
                negative_similarity: one.similarity,
            }));
        }
        let similarities: Vec<f32> = triplets.iter().map(|t| t.negative_similarity).collect();
        report.triplets = triplets.len();
        report.negative_similarity = mean(&similarities);
        Ok(Some((triplets, report)))
    }
}

/// A training triplet: a pair with a negative.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MinedTriplet {
    /// Texts of the pair.
    #[serde(flatten)]
    pub pair: PairRow,
    /// The candidate that was found.
    pub negative: String,
    /// Cosine of anchor and positive.
    pub positive_similarity: f32,
    /// Cosine of anchor and negative.
    pub negative_similarity: f32,
}

/// What was found, and what was left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NegativesReport {
    /// The encoder.
    pub encoder: String,
    /// The rules.
    pub rules: Rules,
    /// Pairs.
    pub pairs: usize,
    /// Candidate texts, each counted once.
    pub candidates: usize,
    /// Triplets that were written.
    pub triplets: usize,
    /// Pairs with fewer negatives than were asked for; those without one among them.
    pub short_pairs: usize,
    /// Pairs without a negative.
    pub empty_pairs: usize,
    /// Candidates that would be negatives by their ranks alone.
    pub by_rank: usize,
    /// How many of [`Self::by_rank`] are above a limit, by the first limit that they are above.
    pub dropped: Vec<(&'static str, usize)>,
    /// Mean cosine of anchors and positives.
    pub positive_similarity: f64,
    /// Mean cosine of anchors and negatives; absent where there is none.
    pub negative_similarity: Option<f64>,
}

/// The negatives of a pair among the candidates within its limits, the nearest first. Candidates
/// above a limit count as skipped ranks: they are the nearest.
fn choose(nearest: &search::Nearest, rules: &Rules, pair: usize) -> Vec<Ranked> {
    let skip = rules.skip.saturating_sub(nearest.above);
    let mut pool = nearest.within.get(skip..).unwrap_or_default().to_vec();
    pool.truncate(rules.pool.unwrap_or(rules.negatives));
    if rules.pool.is_some() {
        // Of each pair's own, so that a pair's negatives do not depend on the pairs before it.
        let seed = rules.seed ^ (pair as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        while pool.len() > rules.negatives {
            let at = (u128::from(random.next_u64()) * pool.len() as u128) >> 64;
            pool.remove(at as usize);
        }
    }
    pool
}

fn mean(values: &[f32]) -> Option<f64> {
    let sum: f64 = values.iter().copied().map(f64::from).sum();
    (!values.is_empty()).then(|| sum / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit vectors in a plane, by the cosine with that of the anchors.
    fn vector(text: &str) -> Vec<f32> {
        let cosine: f32 = text
            .rsplit(' ')
            .next()
            .and_then(|c| c.parse().ok())
            .unwrap_or(1.0);
        vec![3.0 * cosine, 3.0 * (1.0 - cosine * cosine).sqrt()]
    }

    fn mined(pairs: &[[&str; 2]], rules: &Rules) -> (Vec<String>, NegativesReport) {
        let pairs: Vec<PairRow> = pairs
            .iter()
            .map(|[anchor, positive]| PairRow {
                anchor: (*anchor).to_owned(),
                positive: (*positive).to_owned(),
                ..PairRow::default()
            })
            .collect();
        let candidates: Vec<String> = ["n .99", "a", "p .8", " p .8", "n .79", "n .7", "n .5", ""]
            .map(String::from)
            .to_vec();
        let texts = pairs.iter().flat_map(|p| [&p.anchor, &p.positive]);
        let vectors: HashMap<String, Vec<f32>> = texts
            .chain(&candidates)
            .map(|t| (t.clone(), vector(t)))
            .collect();
        let embedding = |text: &str| vectors[text].as_slice();
        let stop = AtomicBool::new(false);
        let found = rules.mine(&pairs, &candidates, [&embedding, &embedding], &stop);
        let (triplets, report) = found.expect("rules that can be met").expect("not stopped");
        (triplets.into_iter().map(|t| t.negative).collect(), report)
    }

    const PAIR: [[&str; 2]; 1] = [["a", "p .8"]];

    #[test]
    fn negatives_keep_their_distance_to_the_positive() {
        let none = Rules {
            relative: None,
            negatives: 2,
            ..Rules::default()
        };
        let with = |change: &dyn Fn(&mut Rules)| {
            let mut rules = none.clone();
            change(&mut rules);
            rules
        };
        for (rules, expected, dropped) in [
            (none.clone(), vec!["n .99", "n .79"], [0, 0, 0]),
            (
                with(&|r| r.relative = Some(0.95)),
                vec!["n .7", "n .5"],
                [2, 0, 0],
            ),
            (
                with(&|r| r.relative = Some(1.0)),
                vec!["n .79", "n .7"],
                [1, 0, 0],
            ),
            (with(&|r| r.absolute = Some(0.2)), vec!["n .5"], [0, 2, 0]),
            (
                with(&|r| r.max_similarity = Some(0.75)),
                vec!["n .7", "n .5"],
                [0, 0, 2],
            ),
            (
                with(&|r| (r.relative, r.max_similarity) = (Some(1.0), Some(0.75))),
                vec!["n .7", "n .5"],
                [1, 0, 1],
            ),
            (with(&|r| r.skip = 1), vec!["n .79", "n .7"], [0, 0, 0]),
            // What is above the limit is among the ranks that are skipped.
            (
                with(&|r| (r.skip, r.relative) = (1, Some(0.95))),
                vec!["n .7", "n .5"],
                [1, 0, 0],
            ),
            (
                with(&|r| (r.skip, r.relative) = (3, Some(0.95))),
                vec!["n .5"],
                [0, 0, 0],
            ),
        ] {
            let (found, report) = mined(&PAIR, &rules);
            assert_eq!(found, expected, "{rules:?}");
            let counts: Vec<usize> = report.dropped.iter().map(|d| d.1).collect();
            assert_eq!(counts, dropped, "{rules:?}");
            assert_eq!(report.short_pairs, usize::from(expected.len() < 2));
        }
    }

    #[test]
    fn own_texts_are_no_negatives_and_an_anchor_has_those_of_all_its_pairs() {
        let rules = Rules {
            relative: None,
            negatives: 9,
            ..Rules::default()
        };
        let pairs = [["a", "n .99"], [" a", "p .8"], ["b", "n .5"]];
        let (found, report) = mined(&pairs, &rules);
        let each = ["n .79", "n .7", "n .5"];
        let last = ["a", "n .99", "p .8", "n .79", "n .7"];
        assert_eq!(found, [&each[..], &each, &last].concat());
        assert_eq!((report.candidates, report.triplets), (6, 11));
    }

    #[test]
    fn a_draw_depends_on_seed_and_pair() {
        let rules = |seed| Rules {
            relative: None,
            pool: Some(4),
            negatives: 2,
            seed,
            ..Rules::default()
        };
        let pairs = [["a", "p .8"]; 12];
        let (first, _) = mined(&pairs, &rules(1));
        assert_eq!(first, mined(&pairs, &rules(1)).0);
        assert_ne!(first, mined(&pairs, &rules(2)).0);
        assert_eq!(first[..6], mined(&pairs[..3], &rules(1)).0);
        let different: HashSet<&[String]> = first.chunks(2).collect();
        assert!(different.len() > 2, "{different:?}");
    }

    #[test]
    fn a_share_of_a_similarity_below_zero_is_below_it() {
        let limit = |positive| Rules::default().limits(positive)[0];
        assert!((limit(0.8) - 0.76).abs() < 1e-12);
        assert!((limit(-0.8) + 0.84).abs() < 1e-12);
    }

    #[test]
    fn rules_that_cannot_be_met_are_refused() {
        let rules = Rules::default();
        for (rules, expected) in [
            (
                Rules {
                    relative: Some(1.5),
                    ..rules.clone()
                },
                "the relative margin is 1.5, expected",
            ),
            (
                Rules {
                    relative: Some(f64::NAN),
                    ..rules.clone()
                },
                "the relative margin is NaN",
            ),
            (
                Rules {
                    absolute: Some(-0.1),
                    ..rules.clone()
                },
                "the absolute margin is -0.1",
            ),
            (
                Rules {
                    max_similarity: Some(80.0),
                    ..rules.clone()
                },
                "the highest similarity is 80",
            ),
            (
                Rules {
                    negatives: 3,
                    pool: Some(2),
                    ..rules.clone()
                },
                "3 negatives cannot be drawn",
            ),
        ] {
            let error = rules.check().expect_err(expected).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
