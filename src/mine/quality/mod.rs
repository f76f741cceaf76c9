//! What makes a text too broken to learn from: limits as data, and the measures they are of.
//!
//! To add a language: a TOML file under `training/quality/`, or one of one's own. To add a
//! measure: its line in [`measure`], its field in [`Quality`] and its line in [`Quality::judge`].

mod encoding;
pub mod entropy;
mod html;
mod measure;
mod repetition;

use std::collections::BTreeMap;
use std::path::Path;

use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};
use unicode_script::Script;

use super::corpus::Manifest;
use super::{MineError, Place};

pub use entropy::EntropyLimits;
pub use html::clean;
pub use measure::{Measures, Scratch};

/// The quality files built into the program: the folder `training/quality/`.
#[derive(RustEmbed)]
#[folder = "training/quality/"]
struct BuiltIn;

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
        for name in BuiltIn::iter() {
            let path = Path::new("training/quality").join(name.as_ref());
            let bytes = BuiltIn::get(&name).map(|f| f.data).unwrap_or_default();
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
        let quality: Self = super::corpus::parse(path, bytes)?;
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
        }
    }

    pub(super) fn script_set(&self) -> Result<Vec<Script>, String> {
        self.scripts
            .iter()
            .map(|name| Script::from_full_name(name).ok_or_else(|| name.clone()))
            .collect()
    }

    /// The first limit that measures pass, in the order in which they are listed; entropy aside.
    #[must_use]
    pub fn judge(&self, source: &str, found: &Measures) -> Option<Flaw> {
        let limits = self.limits_of(source);
        let above = |reason, metric, value: f64, most: Option<f64>| {
            most.filter(|most| value > *most)
                .map(|_| (reason, metric, value))
        };
        let count = |reason, asked: bool, count: u32| {
            (asked && count > 0).then_some((reason, "characters", f64::from(count)))
        };
        count("replacement-character", self.replacement, found.replacement)
            .or_else(|| count("control-character", self.controls, found.controls))
            .or_else(|| count("mojibake", self.mojibake, found.mojibake))
            .or_else(|| count("html", self.html, found.html))
            .or_else(|| {
                above(
                    "loose-jamo",
                    "jamo_share",
                    found.jamo_share(),
                    limits.max_jamo_share,
                )
            })
            .or_else(|| {
                let share = found.script_share();
                (share < self.min_script_share).then_some(("script", "script_share", share))
            })
            .or_else(|| {
                above(
                    "digits",
                    "digit_share",
                    found.digit_share(),
                    limits.max_digit_share,
                )
            })
            .or_else(|| {
                above(
                    "symbols",
                    "symbol_share",
                    found.symbol_share(),
                    limits.max_symbol_share,
                )
            })
            .or_else(|| {
                above(
                    "single-syllables",
                    "single_syllable_share",
                    found.single_syllable_share(),
                    limits.max_single_syllable_share,
                )
            })
            .or_else(|| {
                let limits = &self.repetition;
                above(
                    "duplicate-lines",
                    "duplicate_line_share",
                    found.duplicate_lines,
                    Some(limits.max_duplicate_lines),
                )
                .or_else(|| {
                    [
                        ("repeated-2-gram", "top_2_gram", limits.max_top_2_gram),
                        ("repeated-3-gram", "top_3_gram", limits.max_top_3_gram),
                        ("repeated-4-gram", "top_4_gram", limits.max_top_4_gram),
                    ]
                    .into_iter()
                    .zip(found.top_grams)
                    .find_map(|((reason, metric, most), share)| {
                        above(reason, metric, share, Some(most))
                    })
                })
            })
    }
}

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
