//! Forms of embeddings: cut to a width, normalised, quantised, as a vector store keeps them.
//!
//! The order is that of sentence-transformers 6 (`encode(truncate_dim, normalize_embeddings, precision)`):
//! everything that follows the network in the model, its own normalisation included; the cut; the
//! normalisation that is asked for; the number type, as its `quantize_embeddings` makes it. A form is applied
//! to stored embeddings, so nothing is encoded for it.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::record::EncoderFacts;
use super::store::{EmbeddingSet, text_key};
use crate::suite::{Pair, Suite};
use korfinsts_metric::Similarity;

/// Fewest embeddings for ranges that sentence-transformers does not warn of.
const LEAST_CALIBRATION: usize = 100;
/// Codes of an int8 or uint8 number, less one.
const STEPS: f32 = 255.0;
/// Least divisor of a normalisation, as `PyTorch` has it.
const LEAST_NORM: f64 = 1e-12;

/// Number type of a stored embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingDtype {
    /// As the encoder gives it.
    #[default]
    Float32,
    /// 256 steps between the least and the largest value of each dimension, as −128 to 127.
    Int8,
    /// The same as 0 to 255.
    Uint8,
    /// One bit per dimension, set where the value is above 0; bytes are signed.
    Binary,
    /// The same in unsigned bytes: the scores are those of `binary`.
    Ubinary,
}

impl EmbeddingDtype {
    /// Every number type.
    pub const ALL: [Self; 5] = [
        Self::Float32,
        Self::Int8,
        Self::Uint8,
        Self::Binary,
        Self::Ubinary,
    ];

    /// The name that sentence-transformers has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Binary => "binary",
            Self::Ubinary => "ubinary",
        }
    }

    /// Whether it needs the ranges of a calibration.
    #[must_use]
    pub fn is_calibrated(self) -> bool {
        matches!(self, Self::Int8 | Self::Uint8)
    }

    /// Whether a number is one bit.
    #[must_use]
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Binary | Self::Ubinary)
    }

    /// Bytes of an embedding of `width` numbers.
    #[must_use]
    pub fn bytes(self, width: usize) -> usize {
        match self {
            Self::Float32 => 4 * width,
            Self::Int8 | Self::Uint8 => width,
            Self::Binary | Self::Ubinary => width.div_ceil(8),
        }
    }
}

impl FromStr for EmbeddingDtype {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            format!("a number type is one of {}", names.join(", "))
        })
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A form of embeddings. The default is the whole embedding as the encoder gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Form {
    /// The first so many numbers; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate_dim: Option<usize>,
    /// Number type.
    pub embedding_dtype: EmbeddingDtype,
    /// Whether the embedding is L2-normalised after the cut.
    #[serde(default, skip_serializing_if = "is_false")]
    pub normalized: bool,
    /// Whether `sentence1` is a query in float32, and `sentence2` alone is quantised.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rescored: bool,
}

impl Form {
    /// Numbers of an embedding, of `dimension` as the encoder gives it.
    #[must_use]
    pub fn width(&self, dimension: usize) -> usize {
        self.truncate_dim.unwrap_or(dimension).min(dimension)
    }

    /// How the main score is computed, where it is not that of the whole embedding.
    #[must_use]
    pub fn main_score(&self) -> Option<&'static str> {
        match (self.embedding_dtype, self.rescored) {
            (EmbeddingDtype::Float32, _) => None,
            (EmbeddingDtype::Binary | EmbeddingDtype::Ubinary, false) => {
                Some("1 - 2 * Hamming distance / dimensions")
            }
            (EmbeddingDtype::Binary | EmbeddingDtype::Ubinary, true) => {
                Some("cosine of sentence1 in float32 and the signs of sentence2")
            }
            (_, false) => Some("cosine of the codes"),
            (_, true) => Some("cosine of sentence1 in float32 and the codes of sentence2"),
        }
    }
}

/// `128 · int8 · rescored`; empty for the whole embedding.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantised = self.embedding_dtype != EmbeddingDtype::Float32;
        let parts = [
            self.truncate_dim.map(|width| width.to_string()),
            self.normalized.then(|| "normalized".to_owned()),
            quantised.then(|| self.embedding_dtype.name().to_owned()),
            self.rescored.then(|| "rescored".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(" · "))
    }
}

/// What a record says of the form of the embeddings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FormFacts {
    /// The form.
    #[serde(flatten)]
    pub form: Form,
    /// Bytes of a stored embedding, without an index.
    pub bytes_per_embedding: usize,
    /// Where the ranges of int8 and uint8 come from; absent for other types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationFacts>,
}

/// The embeddings whose least and largest values are the ranges of int8 and uint8.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CalibrationFacts {
    /// Suite whose texts they are of.
    pub suite: String,
    /// Its split.
    pub split: String,
    /// SHA-256 that names its content.
    pub release_id: String,
    /// Whether they are of the very texts that are scored.
    pub of_scored_texts: bool,
    /// Number of embeddings.
    pub embeddings: usize,
}

/// `128 · int8 by korsts:dev`: the form, and where the ranges come from if they are not of the texts that are
/// scored.
impl fmt::Display for FormFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.form.fmt(f)?;
        match &self.calibration {
            Some(by) if !by.of_scored_texts => write!(f, " by {}:{}", by.suite, by.split),
            _ => Ok(()),
        }
    }
}

impl FormFacts {
    /// What tells two forms apart in words, the release of the calibration included.
    #[must_use]
    pub fn identity(&self) -> String {
        let release = self.calibration.as_ref().map(|by| by.release_id.as_str());
        format!("{self} {}", release.unwrap_or_default())
    }
}

impl EncoderFacts {
    /// Name of the encoder with the form of its embeddings, as `org/model · 128 · int8`; the bare name for
    /// the whole embedding.
    #[must_use]
    pub fn name_with_form(&self) -> String {
        match &self.form {
            Some(form) => format!("{} · {form}", self.name),
            None => self.name.clone(),
        }
    }
}

/// The forms of a run. The whole embedding is always the first: the others are compared with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forms<'a> {
    /// The others.
    pub others: &'a [Form],
    /// Suite whose texts give the ranges of int8 and uint8; `None` for the texts that are scored.
    pub calibrate: Option<&'a Suite>,
}

impl<'a> Forms<'a> {
    /// Every form.
    pub fn all(self) -> impl Iterator<Item = Form> {
        std::iter::once(Form::default()).chain(self.others.iter().copied())
    }

    /// The pairs that give the ranges, where they are not those that are scored.
    #[must_use]
    pub fn calibration_pairs(self) -> &'a [Pair] {
        let wanted = self
            .others
            .iter()
            .any(|f| f.embedding_dtype.is_calibrated());
        let suite = self.calibrate.filter(|_| wanted);
        suite.map_or(&[], |suite| &suite.pairs)
    }

    /// Refuses a width above that of an encoder's embeddings.
    ///
    /// # Errors
    /// [`RunError::TooWide`] for the largest such width.
    pub fn check(self, dimension: usize, encoder: &str) -> Result<(), RunError> {
        let widths = || self.others.iter().filter_map(|f| f.truncate_dim);
        match widths().max().filter(|width| *width > dimension) {
            Some(width) => Err(RunError::TooWide {
                encoder: encoder.to_owned(),
                width,
                dimension,
            }),
            None => Ok(()),
        }
    }

    /// What a record says of a form on a suite, as far as it is known before the run; `None` for the whole
    /// embedding.
    #[must_use]
    pub fn facts(self, form: Form, suite: &Suite) -> Option<FormFacts> {
        let by = self.calibrate.unwrap_or(suite);
        let calibration = form.embedding_dtype.is_calibrated();
        (form != Form::default()).then(|| FormFacts {
            form,
            bytes_per_embedding: 0,
            calibration: calibration.then(|| CalibrationFacts {
                suite: by.id.clone(),
                split: by.split.clone(),
                release_id: by.release_id.clone(),
                of_scored_texts: self.calibrate.is_none(),
                embeddings: 0,
            }),
        })
    }
}

/// Least value and step of each dimension.
struct Ranges {
    least: Vec<f32>,
    step: Vec<f32>,
}

impl Ranges {
    /// Of embeddings in the form that is to be quantised.
    fn of(rows: impl Iterator<Item = Vec<f32>>) -> Self {
        let (mut least, mut most) = (Vec::new(), Vec::new());
        for row in rows {
            if least.is_empty() {
                (least, most) = (row.clone(), row);
                continue;
            }
            for (at, value) in row.into_iter().enumerate() {
                least[at] = value.min(least[at]);
                most[at] = value.max(most[at]);
            }
        }
        // The arithmetic is float32 throughout, as NumPy's is: a code differs otherwise.
        let step = least.iter().zip(&most).map(|(low, high)| {
            let step = (high - low) / STEPS;
            if step == 0.0 { 1.0 } else { step }
        });
        Self {
            step: step.collect(),
            least,
        }
    }

    fn code(&self, at: usize, value: f32) -> f32 {
        ((value - self.least[at]) / self.step[at])
            .floor()
            .clamp(0.0, STEPS)
    }
}

/// A form that is ready: its ranges are known.
pub(super) struct Quantizer {
    form: Form,
    ranges: Option<Ranges>,
    /// Embeddings that the ranges are of.
    pub embeddings: usize,
}

impl Quantizer {
    /// `calibration`: the pairs that give the ranges, each text with the set of its side.
    pub fn new(form: Form, calibration: &[Pair], sets: [&EmbeddingSet; 2]) -> Self {
        let mut ready = Self {
            form,
            ranges: None,
            embeddings: 0,
        };
        if form.embedding_dtype.is_calibrated() {
            let same = std::ptr::eq(sets[0], sets[1]);
            let mut seen = HashSet::new();
            let texts = calibration
                .iter()
                .flat_map(|pair| [(0, &pair.sentence1), (1, &pair.sentence2)]);
            let rows = texts.filter_map(|(side, text)| {
                let key = text_key(text);
                let side = if same { 0 } else { side };
                let new = seen.insert((side, key));
                let (row, _) = sets[side].get(&key).filter(|_| new)?;
                Some(ready.cut(row))
            });
            let ranges = Ranges::of(rows);
            ready.embeddings = seen.len();
            ready.ranges = Some(ranges);
        }
        ready
    }

    /// What a reader must know of the ranges.
    pub fn warning(&self) -> Option<String> {
        let few = self.ranges.is_some() && self.embeddings < LEAST_CALIBRATION;
        few.then(|| {
            format!(
                "the ranges of {} are of {} embeddings, at least {LEAST_CALIBRATION} make them stable",
                self.form.embedding_dtype.name(),
                self.embeddings
            )
        })
    }

    /// The first numbers, normalised where that is asked for.
    fn cut(&self, row: &[f32]) -> Vec<f32> {
        let mut row = row[..self.form.width(row.len())].to_vec();
        if self.form.normalized {
            let squares = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            let norm = squares.sqrt().max(LEAST_NORM) as f32;
            for value in &mut row {
                *value /= norm;
            }
        }
        row
    }

    /// The codes of a row that was cut, as a store keeps them: bits are 0 and 1.
    fn codes(&self, row: &[f32]) -> Vec<f32> {
        let offset = match self.form.embedding_dtype {
            EmbeddingDtype::Int8 => 128.0,
            _ => 0.0,
        };
        let code = |(at, value): (usize, &f32)| match &self.ranges {
            Some(ranges) => ranges.code(at, *value) - offset,
            None => f32::from(u8::from(*value > 0.0)),
        };
        row.iter().enumerate().map(code).collect()
    }

    /// Predicted scores of two embeddings: main, inner product, Manhattan, Euclidean; `None` where one does
    /// not exist. `main` is the similarity of the whole embedding.
    ///
    /// Of bits, the main score is 1 − 2 · Hamming distance / width, which is the cosine of signs; the others
    /// are of 0 and 1, as sentence-transformers computes them. A float32 `sentence1` has no distance to codes.
    pub fn scores(&self, pair: [&[f32]; 2], main: Similarity) -> [Option<f64>; 4] {
        let others = [
            Similarity::Dot,
            Similarity::Manhattan,
            Similarity::Euclidean,
        ];
        let of = |similarity: Similarity, a: &[f32], b: &[f32]| similarity.of(a, b).ok();
        let all = |main: Option<f64>, a: &[f32], b: &[f32]| {
            let [dot, manhattan, euclidean] = others.map(|other| of(other, a, b));
            [main, dot, manhattan, euclidean]
        };
        if self.form == Form::default() {
            let [a, b] = pair;
            return all(of(main, a, b), a, b);
        }
        let [a, b] = pair.map(|row| self.cut(row));
        let dtype = self.form.embedding_dtype;
        if dtype == EmbeddingDtype::Float32 {
            return all(of(main, &a, &b), &a, &b);
        }
        let codes = [&a, &b].map(|row| self.codes(row));
        let [first, second] = &codes;
        let query = if self.form.rescored { &a } else { first };
        let main = if dtype.is_binary() {
            let signs = codes
                .clone()
                .map(|bits| bits.iter().map(|bit| 2.0 * bit - 1.0).collect());
            let [own, document]: [Vec<f32>; 2] = signs;
            // In float32 the same distance would have several similarities.
            of(
                Similarity::Cosine,
                if self.form.rescored { &a } else { &own },
                &document,
            )
        } else {
            of(main, query, second)
        };
        let [main, dot, manhattan, euclidean] = all(main, query, second);
        let distance = |value: Option<f64>| value.filter(|_| !self.form.rescored);
        [main, dot, distance(manhattan), distance(euclidean)]
    }
}
