//! What makes a text too broken to learn from: limits as data, and the measures they are of.
//!
//! To add a language: a TOML file under `training/quality/`, or one of one's own. To add a
//! measure: its line in [`measure`], its field in [`Quality`] or [`Limits`] and its line in
//! [`CHECKS`].

mod encoding;
pub mod entropy;
mod html;
mod measure;
mod repetition;

use std::collections::BTreeMap;
use std::path::Path;

use korfinsts_base::embedded::Folder;
use serde::{Deserialize, Serialize};
use unicode_script::Script;

use super::corpus::Manifest;
use super::{MineError, Place};

pub use entropy::EntropyLimits;
pub use html::clean;
pub use measure::{Measures, Scratch};

/// The quality files that ship in the binary: the folder `training/quality/`.
const SHIPPED: Folder = Folder::new::<korfinsts_training_data::Training>("quality/");

/// The limits of one language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a check of its own that a language has or has not"
)]
pub struct Quality {
    /// ISO 639-3 code of the language.
    pub language: String,
    /// What it is.
    pub about: String,
    /// Unicode names of the scripts it is written in.
    pub scripts: Vec<String>,
    /// Least share of visible characters that are of these scripts.
    pub min_script_share: f64,
    /// Whether U+FFFD makes a text unusable.
    #[serde(default)]
    pub replacement: bool,
    /// Whether a C1 control does.
    #[serde(default)]
    pub controls: bool,
    /// Whether text in one encoding that was read as another does.
    #[serde(default)]
    pub mojibake: bool,
    /// Whether markup left after the clean pass does.
    #[serde(default)]
    pub html: bool,
    /// Limits of every source.
    pub limits: Limits,
    /// Limits that other sources have.
    #[serde(default)]
    pub by_source: BTreeMap<String, Limits>,
    /// Limits of what repeats.
    pub repetition: Repetition,
    /// Limits of what is unlike its source; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy: Option<EntropyLimits>,
}

/// Limits that may differ from source to source; no limit where absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most jamo among letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_jamo_share: Option<f64>,
    /// Most digits among visible characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_digit_share: Option<f64>,
    /// Most visible characters that are neither letters nor digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_symbol_share: Option<f64>,
    /// Most Hangul words of one syllable among Hangul words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_single_syllable_share: Option<f64>,
    /// Most words with a digit between two small letters among words of Latin letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_digit_word_share: Option<f64>,
}

/// Limits of what repeats, each a share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repetition {
    /// Of lines: those that repeat an earlier one.
    pub max_duplicate_lines: f64,
    /// Of characters: those of all occurrences of the most frequent pair of words.
    pub max_top_2_gram: f64,
    /// The same of three words.
    pub max_top_3_gram: f64,
    /// The same of four words.
    pub max_top_4_gram: f64,
}

/// Why a text is unusable: the reason, and the figure that decided.
pub type Flaw = (&'static str, &'static str, f64);

impl Quality {
    /// The limits built in for a language (`kor-Hang`), where there are some.
    ///
    /// # Errors
    /// When a file is wrong, which would be a flaw of this program.
    pub fn built_in(language: &str) -> Result<Option<Self>, MineError> {
        for name in SHIPPED.names() {
            let path = Path::new("training/quality").join(&name);
            let bytes = SHIPPED.bytes(&name).unwrap_or_default();
            let quality = Self::parse(&path, &bytes)?;
            if quality.is_of(language) {
                return Ok(Some(quality));
            }
        }
        Ok(None)
    }

    /// Reads limits from TOML.
    ///
    /// # Errors
    /// When the text is wrong; the error names the line where there is one.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, MineError> {
        let quality: Self = super::shipped::parse(path, bytes)?;
        quality.script_set().map_err(|name| {
            MineError::data(
                path,
                Place::Whole,
                format!("`scripts` names `{}`", name.escape_debug()),
                Some("write Unicode's name of the script, such as `Hangul`, `Latin` or `Thai`"),
            )
        })?;
        Ok(quality)
    }

    /// Whether these are limits of a language (`kor-Hang`).
    #[must_use]
    pub fn is_of(&self, language: &str) -> bool {
        language.split('-').next() == Some(&self.language)
    }

    /// The limits that hold for a source.
    #[must_use]
    pub fn limits_of(&self, source: &str) -> Limits {
        let own = self.by_source.get(source).copied().unwrap_or_default();
        let all = self.limits;
        Limits {
            max_jamo_share: own.max_jamo_share.or(all.max_jamo_share),
            max_digit_share: own.max_digit_share.or(all.max_digit_share),
            max_symbol_share: own.max_symbol_share.or(all.max_symbol_share),
            max_single_syllable_share: own
                .max_single_syllable_share
                .or(all.max_single_syllable_share),
            max_digit_word_share: own.max_digit_word_share.or(all.max_digit_word_share),
        }
    }

    pub(super) fn script_set(&self) -> Result<Vec<Script>, String> {
        self.scripts
            .iter()
            .map(|name| Script::from_full_name(name).ok_or_else(|| name.clone()))
            .collect()
    }

    /// The first limit that measures pass, in the order of [`CHECKS`]; entropy aside.
    #[must_use]
    pub fn judge(&self, source: &str, found: &Measures) -> Option<Flaw> {
        self.figures(source, found).find_map(|figure| figure.flaw())
    }

    /// Every figure of a text, in the order of [`CHECKS`].
    pub fn figures<'a>(
        &'a self,
        source: &str,
        found: &'a Measures,
    ) -> impl Iterator<Item = Figure> + use<'a> {
        let limits = self.limits_of(source);
        CHECKS.iter().map(move |check| {
            let value = (check.value)(found);
            Figure {
                check,
                value,
                beyond: (check.bound)(self, &limits).is_passed_by(value),
            }
        })
    }
}

/// Where a figure ceases to be usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Nowhere: the language sets no limit.
    Open,
    /// Above this.
    Most(f64),
    /// Below this.
    Least(f64),
}

impl Bound {
    fn most(limit: Option<f64>) -> Self {
        limit.map_or(Self::Open, Self::Most)
    }

    fn none_at_all(asked: bool) -> Self {
        if asked { Self::Most(0.0) } else { Self::Open }
    }

    /// Whether a figure exceeds it.
    #[must_use]
    pub fn is_passed_by(self, value: f64) -> bool {
        match self {
            Self::Open => false,
            Self::Most(most) => value > most,
            Self::Least(least) => value < least,
        }
    }
}

/// A figure of a text and the limit on it.
pub struct Check {
    /// Why a text beyond the limit is dropped.
    pub reason: &'static str,
    /// Name of the figure.
    pub metric: &'static str,
    /// The figure.
    pub value: fn(&Measures) -> f64,
    /// The limit.
    pub bound: fn(&Quality, &Limits) -> Bound,
}

impl Check {
    /// Whether the figure is a share, 0 to 1, and not a count.
    #[must_use]
    pub fn is_share(&self) -> bool {
        self.metric != CHARACTERS
    }
}

/// What a check found in a text.
#[derive(Clone, Copy)]
pub struct Figure {
    /// The check.
    pub check: &'static Check,
    /// The figure.
    pub value: f64,
    /// Whether it exceeds the limit.
    pub beyond: bool,
}

impl Figure {
    /// Why the text is unusable, where the figure exceeds the limit.
    #[must_use]
    pub fn flaw(&self) -> Option<Flaw> {
        let Check { reason, metric, .. } = *self.check;
        self.beyond.then_some((reason, metric, self.value))
    }
}

/// The figure of what makes a text unusable wherever it occurs.
const CHARACTERS: &str = "characters";

/// What is looked at, in order.
pub static CHECKS: &[Check] = &[
    Check {
        reason: "replacement-character",
        metric: CHARACTERS,
        value: |m| m.replacement.into(),
        bound: |q, _| Bound::none_at_all(q.replacement),
    },
    Check {
        reason: "control-character",
        metric: CHARACTERS,
        value: |m| m.controls.into(),
        bound: |q, _| Bound::none_at_all(q.controls),
    },
    Check {
        reason: "mojibake",
        metric: CHARACTERS,
        value: |m| m.mojibake.into(),
        bound: |q, _| Bound::none_at_all(q.mojibake),
    },
    Check {
        reason: "html",
        metric: CHARACTERS,
        value: |m| m.html.into(),
        bound: |q, _| Bound::none_at_all(q.html),
    },
    Check {
        reason: "loose-jamo",
        metric: "jamo_share",
        value: Measures::jamo_share,
        bound: |_, l| Bound::most(l.max_jamo_share),
    },
    Check {
        reason: "script",
        metric: "script_share",
        value: Measures::script_share,
        bound: |q, _| Bound::Least(q.min_script_share),
    },
    Check {
        reason: "digits",
        metric: "digit_share",
        value: Measures::digit_share,
        bound: |_, l| Bound::most(l.max_digit_share),
    },
    Check {
        reason: "symbols",
        metric: "symbol_share",
        value: Measures::symbol_share,
        bound: |_, l| Bound::most(l.max_symbol_share),
    },
    Check {
        reason: "single-syllables",
        metric: "single_syllable_share",
        value: Measures::single_syllable_share,
        bound: |_, l| Bound::most(l.max_single_syllable_share),
    },
    Check {
        reason: "digits-in-words",
        metric: "digit_word_share",
        value: Measures::digit_word_share,
        bound: |_, l| Bound::most(l.max_digit_word_share),
    },
    Check {
        reason: "duplicate-lines",
        metric: "duplicate_line_share",
        value: |m| m.duplicate_lines,
        bound: |q, _| Bound::Most(q.repetition.max_duplicate_lines),
    },
    Check {
        reason: "repeated-2-gram",
        metric: "top_2_gram",
        value: |m| m.top_grams[0],
        bound: |q, _| Bound::Most(q.repetition.max_top_2_gram),
    },
    Check {
        reason: "repeated-3-gram",
        metric: "top_3_gram",
        value: |m| m.top_grams[1],
        bound: |q, _| Bound::Most(q.repetition.max_top_3_gram),
    },
    Check {
        reason: "repeated-4-gram",
        metric: "top_4_gram",
        value: |m| m.top_grams[2],
        bound: |q, _| Bound::Most(q.repetition.max_top_4_gram),
    },
];

/// The limits for the languages of some corpora: a user's own files first, then those built in.
///
/// # Errors
/// When a language has none, or a file is wrong.
pub fn for_corpora(
    corpora: &[&Manifest],
    own: &[Quality],
) -> Result<BTreeMap<String, Quality>, MineError> {
    let mut found = BTreeMap::new();
    for corpus in corpora {
        let language = &corpus.language;
        if found.contains_key(language) {
            continue;
        }
        let quality = match own.iter().find(|q| q.is_of(language)) {
            Some(quality) => Some(quality.clone()),
            None => Quality::built_in(language)?,
        };
        let quality = quality.ok_or_else(|| {
            MineError::usage(
                format!(
                    "corpus `{}` is in `{language}`, for which there is no quality file",
                    corpus.id
                ),
                "write one (`docs/mining.md` says how) and give it with `--quality FILE`",
            )
        })?;
        found.insert(language.clone(), quality);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(language: &str, source: &str, text: &str) -> Option<&'static str> {
        let quality = Quality::built_in(language)
            .expect("valid")
            .expect("it is there");
        let scripts = quality.script_set().expect("valid");
        let (text, _) = clean(text);
        let found = Measures::of(&text, &scripts, &mut Scratch::default());
        quality.judge(source, &found).map(|f| f.0)
    }

    #[test]
    fn each_flaw_is_found_and_a_clean_text_has_none() {
        let clean = "한국은행 금융통화위원회는 11월 기준금리를 연 3.25%로 동결했다. 물가가 안정되고 있지만 \
                     가계부채 증가세가 꺾이지 않은 점을 함께 고려한 결정이라고 총재는 설명했다.";
        let spaced: String = clean
            .chars()
            .filter(|c| *c != ' ')
            .flat_map(|c| [c, ' '])
            .collect();
        for (source, text, expected) in [
            ("news", clean.to_owned(), None),
            ("legal", clean.replace("금융", "금융ㆍ증권ㆍ"), None),
            ("news", format!("<p class=\"x\">{clean}</p>&nbsp;"), None),
            ("legal", format!("&lt;p&gt;{clean}"), Some("html")),
            (
                "news",
                format!("{clean}\u{fffd}"),
                Some("replacement-character"),
            ),
            (
                "news",
                format!("\u{85}{clean} \u{85}."),
                Some("control-character"),
            ),
            ("news", format!("{clean} ê¸ˆë¦¬"), Some("mojibake")),
            ("news", format!("{clean} ±Ý¸®ÀÎ»ó"), Some("mojibake")),
            ("news", format!("{clean} ㄱㅏㄱㅏㄱㅏ"), Some("loose-jamo")),
            (
                "news",
                "Rates were left unchanged. ".to_owned()
                    + "日本銀行は政策金利を据え置いた。物価の安定が続いている。",
                Some("script"),
            ),
            (
                "news",
                "매출액 영업이익 순이익 1234567".to_owned(),
                Some("digits"),
            ),
            ("news", spaced, Some("single-syllables")),
            (
                "news",
                "가격이 올랐다.\n".repeat(9),
                Some("duplicate-lines"),
            ),
            ("news", "기준금리 인상 ".repeat(12), Some("repeated-2-gram")),
        ] {
            assert_eq!(judged("kor-Hang", source, &text), expected, "{text}");
        }
        let broken = "The bo5rd of dire8tors app0oved the div1dend for the third quarter.";
        assert_eq!(
            judged("eng-Latn", "report", broken),
            Some("digits-in-words")
        );
        let named = "H1N1, COVID19, 3M, Q1FY24E, 10-K, 2b2 and U238b are not broken words.";
        assert_eq!(judged("eng-Latn", "report", named), None);
        let filing = "Net sales 1234567 2345678 3456789 were up in the half year.";
        assert_eq!(judged("eng-Latn", "disclosure", filing), Some("digits"));
        assert_eq!(
            judged("eng-Latn", "news", "The café’s “margin” rose…"),
            None
        );
    }

    #[test]
    fn a_source_may_have_limits_of_its_own() {
        let quality = Quality::built_in("kor-Hang")
            .expect("valid")
            .expect("there");
        assert_eq!(quality.limits_of("news").max_digit_share, Some(0.25));
        assert_eq!(quality.limits_of("legal").max_digit_share, Some(0.35));
        assert_eq!(quality.limits_of("news").max_jamo_share, Some(0.02));
    }
}
