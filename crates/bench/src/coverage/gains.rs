//! Does coverage go with gain? The paper's Section 5.4 claim, on its own figures and on others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::rank_correlation::RankCorrelation;
use korfinsts_base::embedded::Folder;

const TABLE5: &str = "reported/paper-table5.toml";
const TABLE6: &str = "reported/paper-table6.toml";
const TABLE7: &str = "reported/paper-table7.toml";
const VOCABULARIES: &str = "measured/vocabularies.toml";

/// The two suites whose mean change the paper's Table 7 reports.
const FINANCE: [&str; 2] = ["FinSTS", "KorFinSTS"];

/// One adapted model: what its vocabulary covers, and its scores before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelGain {
    /// Name of the model.
    pub name: String,
    /// Name of the vocabulary: models that share one are not independent observations of it.
    pub vocabulary: String,
    /// Entries.
    pub vocab_size: usize,
    /// Entries with Hangul in the stored token.
    pub raw_any: usize,
    /// Entries with Hangul in the decoded text.
    pub decoded_any: usize,
    /// After less before, by suite.
    pub gains: BTreeMap<String, f64>,
}

/// How coverage is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Entries with Hangul in the stored token.
    RawAny,
    /// Entries with Hangul in the decoded text.
    DecodedAny,
    /// The first over the size of the vocabulary: the paper's "Korean Token %".
    RawShare,
    /// The second over the size of the vocabulary.
    DecodedShare,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 4] = [
        Self::RawShare,
        Self::DecodedShare,
        Self::RawAny,
        Self::DecodedAny,
    ];

    /// As printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RawAny => "entries, raw",
            Self::DecodedAny => "entries, decoded",
            Self::RawShare => "share, raw",
            Self::DecodedShare => "share, decoded",
        }
    }

    /// The value for one model.
    #[must_use]
    pub fn of(self, model: &ModelGain) -> f64 {
        let size = model.vocab_size.max(1) as f64;
        match self {
            Self::RawAny => model.raw_any as f64,
            Self::DecodedAny => model.decoded_any as f64,
            Self::RawShare => rounded(model.raw_any as f64 / size),
            Self::DecodedShare => rounded(model.decoded_any as f64 / size),
        }
    }
}

/// A share to the two decimals of a percentage that the paper prints, so that one vocabulary with
/// and without three more special tokens counts as a tie.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

/// One correlation of coverage with gain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GainCorrelation {
    /// How coverage is measured.
    pub measure: Measure,
    /// The suite, or `mean` for the mean over the suites named in [`GainGroup::suites`].
    pub gain: String,
    /// The correlation.
    #[serde(flatten)]
    pub correlation: RankCorrelation,
}

/// A set of models and what coverage has to do with their gains.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GainGroup {
    /// Which models and where their figures come from.
    pub title: String,
    /// `reported` or `recomputed`.
    pub badge: String,
    /// Suites that the mean is over.
    pub suites: Vec<String>,
    /// The models.
    pub models: Vec<ModelGain>,
    /// Number of distinct vocabularies among them.
    pub distinct_vocabularies: usize,
    /// Every measure with every gain.
    pub correlations: Vec<GainCorrelation>,
    /// What these figures do and do not support.
    pub findings: Vec<String>,
}

impl ModelGain {
    /// Mean gain over `suites`; `None` where one is missing.
    #[must_use]
    pub fn mean(&self, suites: &[String]) -> Option<f64> {
        let gains: Option<Vec<f64>> = suites.iter().map(|s| self.gains.get(s).copied()).collect();
        gains
            .filter(|g| !g.is_empty())
            .map(|g| g.iter().sum::<f64>() / g.len() as f64)
    }
}

impl GainGroup {
    /// Correlates coverage with the gain on each of `suites` and on their mean. Models that lack
    /// a suite are left out of its correlation.
    #[must_use]
    pub fn new(title: &str, badge: &str, suites: &[String], models: Vec<ModelGain>) -> Self {
        let mut correlations = Vec::new();
        for measure in Measure::ALL {
            let mut add = |gain: &str, of: &dyn Fn(&ModelGain) -> Option<f64>| {
                let (x, y): (Vec<f64>, Vec<f64>) = models
                    .iter()
                    .filter_map(|m| of(m).map(|g| (measure.of(m), g)))
                    .unzip();
                correlations.push(GainCorrelation {
                    measure,
                    gain: gain.to_owned(),
                    correlation: RankCorrelation::of(&x, &y),
                });
            };
            if suites.len() > 1 {
                add("mean", &|m| m.mean(suites));
            }
            for suite in suites {
                add(suite, &|m| m.gains.get(suite).copied());
            }
        }
        let distinct: BTreeSet<&str> = models.iter().map(|m| m.vocabulary.as_str()).collect();
        let mut group = Self {
            title: title.to_owned(),
            badge: badge.to_owned(),
            suites: suites.to_vec(),
            distinct_vocabularies: distinct.len(),
            models,
            correlations,
            findings: Vec::new(),
        };
        group.findings = group.find();
        group
    }

    /// The correlation of one measure with one gain.
    #[must_use]
    pub fn correlation(&self, measure: Measure, gain: &str) -> Option<&RankCorrelation> {
        self.correlations
            .iter()
            .find(|c| c.measure == measure && c.gain == gain)
            .map(|c| &c.correlation)
    }

    fn find(&self) -> Vec<String> {
        let mut findings = self.artefacts();
        findings.push(self.significance());
        findings.extend(self.raw_against_decoded());
        if self.distinct_vocabularies < self.models.len() {
            findings.push(format!(
                "{} models share {} vocabularies: models of one vocabulary are not independent \
                 observations of it, so the test above flatters the claim",
                self.models.len(),
                self.distinct_vocabularies
            ));
        }
        let gained: Vec<&str> = self
            .models
            .iter()
            .filter(|m| m.mean(&self.suites).is_some_and(|g| g > 0.0))
            .map(|m| m.name.as_str())
            .collect();
        findings.push(format!(
            "mean gain over {} is above zero for {} of {} models{}",
            self.suites.join(" and "),
            gained.len(),
            self.models.len(),
            if gained.is_empty() {
                String::new()
            } else {
                format!(": {}", gained.join(", "))
            }
        ));
        findings.push(
            "these figures come from one training run per model: they hold no estimate of the \
             spread between runs, and coverage goes with size, language mix and pooling of the \
             models, so that even a strong correlation would not say which of them matters"
                .into(),
        );
        findings
    }

    /// Zeros that only say how a vocabulary is stored.
    fn artefacts(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for model in &self.models {
            if model.decoded_any <= model.raw_any {
                continue;
            }
            let share = Measure::DecodedShare.of(model);
            let below: Vec<&str> = self
                .models
                .iter()
                .filter(|m| Measure::DecodedShare.of(m) < share && m.decoded_any > 0)
                .map(|m| m.name.as_str())
                .collect();
            findings.push(format!(
                "{}: the raw count of {} is an artefact of byte-level storage; decoded, its \
                 vocabulary has {} Korean entries, {:.2} %{}",
                model.name,
                model.raw_any,
                model.decoded_any,
                share * 100.0,
                if below.is_empty() {
                    String::new()
                } else {
                    format!(", a larger share than {}", below.join(", "))
                }
            ));
        }
        findings
    }

    fn significance(&self) -> String {
        let tested: Vec<&GainCorrelation> = self
            .correlations
            .iter()
            .filter(|c| c.correlation.p_value.is_some())
            .collect();
        let Some(least) = tested.iter().min_by(|a, b| {
            let p = |c: &GainCorrelation| c.correlation.p_value.unwrap_or(1.0);
            p(a).total_cmp(&p(b))
        }) else {
            return format!(
                "no correlation exists: {} models, or coverage or gain is the same for all",
                self.models.len()
            );
        };
        let p = least.correlation.p_value.unwrap_or(1.0);
        let attainable = tested
            .iter()
            .filter_map(|c| c.correlation.smallest_p)
            .fold(f64::INFINITY, f64::min);
        let corrected = (p * tested.len() as f64).min(1.0);
        if attainable > 0.05 {
            format!(
                "these {} models support nothing either way: no pairing of these values could \
                 give p below {attainable:.3}, whatever the truth is",
                self.models.len()
            )
        } else if p > 0.05 {
            format!(
                "no relation of coverage and gain is shown: the smallest p of {} correlations is \
                 {p:.3}",
                tested.len()
            )
        } else {
            format!(
                "the smallest p of {} correlations is {p:.3} ({} with {}); times their number it \
                 is {corrected:.3}, so {}",
                tested.len(),
                least.measure.name(),
                least.gain,
                if corrected > 0.05 {
                    "no relation of coverage and gain is shown"
                } else {
                    "coverage and gain go together in these models"
                }
            )
        }
    }

    fn raw_against_decoded(&self) -> Option<String> {
        let gain = if self.suites.len() > 1 {
            "mean"
        } else {
            self.suites.first()?
        };
        let rho = |measure| self.correlation(measure, gain)?.rho;
        let raw = rho(Measure::RawShare)?;
        let decoded = rho(Measure::DecodedShare)?;
        (raw != decoded).then(|| {
            format!(
                "rho of share and {gain} gain is {raw:.2} raw and {decoded:.2} decoded: one \
                 vocabulary read correctly changes the figure, which is how little {} models say",
                self.models.len()
            )
        })
    }
}

/// The paper's own figures: its Table 7 (four models), and all seven of its Table 5.
///
/// Counts of the four are the paper's (raw) and this project's (decoded); those of the other
/// three are this project's.
///
/// # Panics
/// When the figures in the sources are malformed, which a test rules out.
#[must_use]
pub fn paper() -> Vec<GainGroup> {
    #[derive(Deserialize)]
    struct Table5 {
        model: Vec<BeforeAfter>,
    }
    #[derive(Deserialize)]
    struct BeforeAfter {
        name: String,
        before: BTreeMap<String, f64>,
        after: BTreeMap<String, f64>,
    }
    #[derive(Deserialize)]
    struct Table7 {
        disagreement: Vec<Disagreement>,
        model: Vec<Printed>,
    }
    #[derive(Deserialize)]
    struct Disagreement {
        says: String,
        shows: String,
    }
    #[derive(Deserialize)]
    struct Printed {
        name: String,
        gains: BTreeMap<String, f64>,
    }
    let table5: Table5 = shipped(TABLE5);
    let table7: Table7 = shipped(TABLE7);
    let vocabularies = paper_vocabularies();
    let model = |name: &str, gains: BTreeMap<String, f64>| {
        let found = vocabularies.get(name).expect("every model has counts");
        ModelGain {
            name: name.to_owned(),
            gains,
            ..found.clone()
        }
    };
    let suites = FINANCE.map(str::to_owned);
    let four = table7
        .model
        .into_iter()
        .map(|m| model(&m.name, m.gains))
        .collect();
    let seven = table5
        .model
        .into_iter()
        .map(|m| {
            let gains = m
                .after
                .iter()
                .filter_map(|(suite, after)| {
                    // The paper prints four decimals; so does the difference.
                    let gain = after - m.before.get(suite)?;
                    Some((suite.clone(), (gain * 1e4).round() / 1e4))
                })
                .collect();
            model(&m.name, gains)
        })
        .collect();
    let mut groups = vec![
        GainGroup::new(
            "the paper's Table 7: four models",
            "reported",
            &suites,
            four,
        ),
        GainGroup::new(
            "the paper's Table 5: all seven models",
            "reported",
            &suites,
            seven,
        ),
    ];
    for disagreement in table7.disagreement {
        groups[0].findings.push(format!(
            "the paper says that {}, but {}",
            disagreement.says, disagreement.shows
        ));
    }
    groups
}

/// Counts by model: the paper's raw ones where it prints them, this project's otherwise.
fn paper_vocabularies() -> BTreeMap<String, ModelGain> {
    #[derive(Deserialize)]
    struct Table6 {
        model: Vec<Printed>,
    }
    #[derive(Deserialize)]
    struct Printed {
        name: String,
        vocab_size: usize,
        korean_tokens: usize,
    }
    let measured: Measured = shipped(VOCABULARIES);
    let table6: Table6 = shipped(TABLE6);
    let mut models = BTreeMap::new();
    for vocabulary in measured.vocabulary {
        for name in &vocabulary.models {
            models.insert(
                name.clone(),
                ModelGain {
                    name: name.clone(),
                    vocabulary: vocabulary.name.clone(),
                    vocab_size: vocabulary.vocab_size,
                    raw_any: vocabulary.raw_any,
                    decoded_any: vocabulary.decoded_any,
                    gains: BTreeMap::new(),
                },
            );
        }
    }
    for printed in table6.model {
        if let Some(model) = models.get_mut(&printed.name) {
            model.vocab_size = printed.vocab_size;
            model.raw_any = printed.korean_tokens;
        }
    }
    models
}

/// This project's counts of the vocabularies behind the paper's models.
#[derive(Debug, Deserialize)]
pub struct Measured {
    /// The vocabularies.
    pub vocabulary: Vec<MeasuredVocabulary>,
}

/// Counts of one vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MeasuredVocabulary {
    /// Its name.
    pub name: String,
    /// Models that use it.
    pub models: Vec<String>,
    /// Entries.
    pub vocab_size: usize,
    /// Entries with Hangul in the stored token.
    pub raw_any: usize,
    /// Entries with Hangul in the decoded text.
    pub decoded_any: usize,
}

/// The built-in counts of the vocabularies behind the paper's models.
///
/// # Panics
/// When the table in the sources is malformed, which a test rules out.
#[must_use]
pub fn measured_vocabularies() -> Vec<MeasuredVocabulary> {
    shipped::<Measured>(VOCABULARIES).vocabulary
}

/// A table that ships in the binary.
fn shipped<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let folder = Folder::new::<korfinsts_leaderboard_data::Leaderboard>("");
    let text = folder.text(name).expect("the table ships in the binary");
    toml::from_str(&text).expect("a built-in table is well formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_7_is_the_difference_of_table_5_and_its_mean() {
        let groups = paper();
        assert_eq!((groups[0].models.len(), groups[1].models.len()), (4, 7));
        let means = [-0.0175, 0.0885, -0.0836, 0.1609];
        for (four, mean) in groups[0].models.iter().zip(means) {
            let found = four.mean(&groups[0].suites).expect("both suites");
            assert!((found - mean).abs() < 5.1e-5, "{}: {found}", four.name);
            let seven = groups[1].models.iter().find(|m| m.name == four.name);
            let seven = seven.expect("the same model");
            for suite in FINANCE {
                let gap = (seven.gains[suite] - four.gains[suite]).abs();
                assert!(gap < 1.1e-4, "{} {suite}: {gap}", four.name);
            }
        }
    }

    #[test]
    fn raw_and_decoded_counts_tell_different_stories() {
        let groups = paper();
        let rho = |group: &GainGroup, measure| {
            let found = group.correlation(measure, "mean").expect("it exists");
            (
                found.rho.expect("a number"),
                found.p_value.expect("a number"),
            )
        };
        // Ranks by hand: raw share 1.08, 0, 1.08, 2.17 against gains 2, 3, 1, 4.
        let (raw, p) = rho(&groups[0], Measure::RawShare);
        assert!((raw - 0.316_227_766).abs() < 1e-9, "{raw}");
        assert!(p > 0.5, "{p}");
        // Decoded share 1.08, 2.35, 1.08, 2.17.
        let (decoded, p) = rho(&groups[0], Measure::DecodedShare);
        assert!((decoded - 0.737_864_787).abs() < 1e-9, "{decoded}");
        assert!(p > 0.05, "{p}");
        let four = groups[0].findings.join("\n");
        for needle in [
            "gte-Qwen2-1.5B-instruct: the raw count of 0 is an artefact",
            "3567 Korean entries, 2.35 %",
            "support nothing either way",
            "says that only bge-m3 gains on average, but gte-Qwen2",
        ] {
            assert!(four.contains(needle), "{needle} is not in:\n{four}");
        }
        let seven = groups[1].findings.join("\n");
        assert!(seven.contains("7 models share 5 vocabularies"), "{seven}");
    }

    #[test]
    fn a_model_without_a_suite_is_left_out_of_its_correlation() {
        let mut groups = paper();
        let mut models = std::mem::take(&mut groups[1].models);
        models[0].gains.remove("FinSTS");
        let suites = FINANCE.map(str::to_owned);
        let group = GainGroup::new("x", "recomputed", &suites, models);
        let n = |gain| group.correlation(Measure::RawAny, gain).map(|c| c.n);
        assert_eq!(
            (n("FinSTS"), n("KorFinSTS"), n("mean")),
            (Some(6), Some(7), Some(6))
        );
    }
}
