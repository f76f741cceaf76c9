//! The offline judge. It knows no rule: it reads figures, and words of the typology's contrasts
//! (direction, degree, modality, …), in both texts, and compares what it found.
//!
//! A negative must differ in a contrast of its variant (any contrast or figure, where the variant names none) and share most words; a positive may differ in
//! none. Either must be sound: no particle that does not fit, no word twice, nothing unbalanced,
//! that the first text has not too. Calibration says how far this goes on free wordings.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde_json::Value;

use super::{Backend, Failure, Reply};
use crate::generate::call::{Call, JudgeAnswer};
use crate::generate::diff;
use crate::generate::prompt::Prompt;
use crate::typology::FIGURES;
use crate::{Transforms, Typology};

/// A number with what multiplies it and what it counts.
static FIGURE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(?<date>(?<y>20\d\d) ?[.년/-] ?(?<m>\d{1,2}) ?[.월/-] ?(?<d>\d{1,2}))|(?<n>\d[\d,]*(?:\.\d+)?) ?(?<unit>%포인트|%p\b|퍼센트포인트|percentage points?|%|percent|퍼센트|bp\b|조|억|천만|백만|만|천|trillion|billion|million)?",
    )
    .unwrap_or_else(|e| panic!("the pattern of figures: {e}"))
});

#[derive(Debug)]
pub(super) struct Judge {
    model: String,
    typology: Arc<Typology>,
    transforms: Arc<Transforms>,
}

/// What is found in a text: how often each value of each contrast, and its figures.
#[derive(Debug, Default, PartialEq)]
struct Signature {
    values: BTreeMap<String, Vec<usize>>,
    figures: Vec<String>,
}

impl Judge {
    pub(super) fn new(typology: Arc<Typology>, transforms: Arc<Transforms>) -> Self {
        Self {
            model: format!("contrasts-{}-{}", typology.name, typology.version),
            typology,
            transforms,
        }
    }

    fn signature(&self, text: &str, language: &str) -> Signature {
        let lower = text.to_lowercase();
        let mut values = BTreeMap::new();
        for contrast in self
            .typology
            .contrasts
            .iter()
            .filter(|c| c.language == language)
        {
            let mut words: Vec<(&str, usize)> = contrast
                .values
                .iter()
                .enumerate()
                .flat_map(|(i, words)| words.iter().map(move |w| (w.as_str(), i)))
                .collect();
            words.sort_by_key(|(w, _)| std::cmp::Reverse(w.len()));
            let counts = count(&lower, &words, contrast.values.len());
            values.insert(contrast.id.clone(), counts);
        }
        Signature {
            values,
            figures: figures(text),
        }
    }

    fn judge(&self, call: &Call) -> JudgeAnswer {
        let (first, second) = (call.text("first"), call.text("second"));
        let language = call.text("language");
        let (a, b) = (
            self.signature(first, language),
            self.signature(second, language),
        );
        let figures = a.figures == b.figures;
        let differing: Vec<&str> = a
            .values
            .iter()
            .filter(|(id, counts)| b.values.get(*id) != Some(counts))
            .map(|(id, _)| id.as_str())
            .collect();
        let shared = shared_words(first, second);
        let sound = self.sound(first, second);
        let quality = match call.text("kind") {
            "negative" => {
                let named = call
                    .input
                    .pointer("/variant/id")
                    .and_then(Value::as_str)
                    .and_then(|id| self.typology.variant(id))
                    .map_or(&[][..], |v| &v.contrasts);
                let differs = if named.is_empty() {
                    !figures || !differing.is_empty()
                } else {
                    named.iter().any(|id| match id.as_str() {
                        FIGURES => !figures,
                        id => differing.contains(&id),
                    })
                };
                let kept = match shared {
                    s if s >= 0.4 => 1.0,
                    s if s >= 0.2 => 0.67,
                    _ => 0.34,
                };
                [f64::from(u8::from(differs)), kept, sound]
            }
            _ => [
                f64::from(u8::from(figures)),
                if differing.is_empty() { 1.0 } else { 0.5 },
                sound,
            ],
        };
        let changed = diff::changed(first, second);
        let evidence = changed
            .iter()
            .map(|[s, e]| first[*s..*e].trim())
            .find(|words| !words.is_empty())
            .map_or_else(|| first.trim().to_owned(), str::to_owned);
        let reason = match (figures, differing.as_slice()) {
            (true, []) => "no figure and no contrast differs".to_owned(),
            (false, []) => "figures differ".to_owned(),
            (_, found) => format!("contrasts differ: {}", found.join(", ")),
        };
        let rubric = call.input.get("rubric").and_then(Value::as_array);
        let scores = rubric
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(i, s)| {
                let most = s.get("most")?.as_u64()? as f64;
                let quality = quality[i.min(2)];
                Some((
                    s.get("id")?.as_str()?.to_owned(),
                    (most * quality).round() as u8,
                ))
            })
            .collect();
        JudgeAnswer {
            scores,
            evidence,
            reason,
        }
    }

    /// 1 where the texts have no fault that one of them has not too, else 0.
    fn sound(&self, first: &str, second: &str) -> f64 {
        let faults = |text: &str| {
            let particles = self
                .transforms
                .particles
                .as_ref()
                .map_or(0, |p| p.faults(text).len());
            let words: Vec<&str> = text.split_whitespace().collect();
            let twice = words
                .windows(2)
                .filter(|w| w[0] == w[1] && w[0].chars().any(char::is_alphabetic))
                .count();
            let spaces = text.matches("  ").count()
                + text.matches(" .").count()
                + text.matches("..").count();
            let open = text.matches(['(', '「']).count();
            let close = text.matches([')', '」']).count();
            [particles, twice, spaces, open.abs_diff(close)]
        };
        f64::from(u8::from(faults(first) == faults(second)))
    }
}

/// How often each value's words occur in a text; the longest word at a place counts. A Latin word
/// counts only from its start.
fn count(text: &str, words: &[(&str, usize)], values: usize) -> Vec<usize> {
    let mut counts = vec![0; values];
    let mut at = 0;
    let mut inside = false;
    while let Some(c) = text[at..].chars().next() {
        let here = words.iter().find(|(word, _)| {
            text[at..].starts_with(word)
                && !(inside && word.starts_with(|c: char| c.is_ascii_alphanumeric()))
        });
        if let Some((word, value)) = here {
            counts[*value] += 1;
            at += word.len();
            inside = word.ends_with(|c: char| c.is_ascii_alphanumeric());
        } else {
            at += c.len_utf8();
            inside = c.is_ascii_alphanumeric();
        }
    }
    counts
}

/// Figures of a text, sorted: `1조 2,000억` and `1.2조` are the same, so are `0.25%포인트` and
/// `25bp`, and a date in either form; `%` and `%포인트` are not.
pub(crate) fn figures(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut sum: Option<(f64, usize)> = None;
    let settle = |sum: &mut Option<(f64, usize)>, found: &mut Vec<String>| {
        if let Some((value, _)) = sum.take() {
            found.push(format!("{value:.4e}"));
        }
    };
    for captures in FIGURE.captures_iter(text) {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        if captures.name("date").is_some() {
            settle(&mut sum, &mut found);
            for part in ["y", "m", "d"] {
                found.push(format!("{:.4e}", captures[part].parse().unwrap_or(0.0)));
            }
            continue;
        }
        let Ok(value) = captures["n"].replace(',', "").parse::<f64>() else {
            continue;
        };
        let unit = captures
            .name("unit")
            .map_or("", |m| m.as_str())
            .to_lowercase();
        let times = match unit.as_str() {
            "조" | "trillion" => 1e12,
            "억" => 1e8,
            "billion" => 1e9,
            "million" | "백만" => 1e6,
            "천만" => 1e7,
            "만" => 1e4,
            "천" => 1e3,
            _ => 1.0,
        };
        if times > 1.0 {
            // `1조 2,000억` is one amount: parts that follow each other with falling units.
            match &mut sum {
                Some((total, end))
                    if text[*end..whole.start()].trim().is_empty() && times * value < *total =>
                {
                    *total += value * times;
                    *end = whole.end();
                }
                _ => {
                    settle(&mut sum, &mut found);
                    sum = Some((value * times, whole.end()));
                }
            }
            continue;
        }
        settle(&mut sum, &mut found);
        found.push(match unit.as_str() {
            "bp" => format!("{:.4e}p", value / 100.0),
            "%" | "percent" | "퍼센트" => format!("{value:.4e}%"),
            "" => format!("{value:.4e}"),
            _ => format!("{value:.4e}p"),
        });
    }
    settle(&mut sum, &mut found);
    found.sort();
    found
}

/// Words that both texts have, of all (Jaccard).
fn shared_words(a: &str, b: &str) -> f64 {
    let set = |t: &str| -> std::collections::BTreeSet<String> {
        t.split_whitespace().map(str::to_owned).collect()
    };
    let (a, b) = (set(a), set(b));
    let both = a.intersection(&b).count();
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}

impl Backend for Judge {
    fn model(&self) -> &str {
        &self.model
    }

    fn about(&self) -> Vec<(String, String)> {
        super::rules::about(&self.model)
    }

    fn is_prompted(&self) -> bool {
        false
    }

    fn is_free(&self) -> bool {
        true
    }

    fn answer(&self, _: &str, call: &Call, _: &Prompt) -> Result<Reply, Failure> {
        let answer = serde_json::to_value(self.judge(call)).unwrap_or_default();
        Ok(Reply {
            text: answer.to_string(),
            ..Reply::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_negative_of_a_template_makes_the_shift_of_its_label_and_no_other() {
        let typology = Arc::new(Typology::built_in("ko-en").expect("built in"));
        let transforms = Arc::new(Transforms::built_in("ko-en").expect("built in"));
        let judge = Judge::new(Arc::clone(&typology), Arc::clone(&transforms));
        // Variants that no contrast shows: words that the negative has and the text has not.
        let shown = |variant: &str| match variant {
            "report.scope.micro_to_macro" => ["업종", "sector"],
            "report.scope.macro_to_micro" => ["의 ", "'"],
            "disclosure.emerging.external" => ["관세", "duties"],
            "disclosure.emerging.subsequent_event" => ["보고기간 후", "after the reporting period"],
            other => panic!("no words for {other}"),
        };
        let mut patterns = std::collections::BTreeSet::new();
        for template in &transforms.templates {
            for seed in 0..200 {
                let made = template.render(seed, transforms.particles.as_ref());
                let variant = typology.variant(&made.variant).expect("checked");
                patterns.insert(variant.pattern.as_str());
                let place = format!("{}/{}: {made:?}", template.text.id, made.changed);
                for (language, text) in &made.source {
                    let negative = &made.negative[language];
                    if variant.contrasts.is_empty() {
                        let at = usize::from(language == "en");
                        assert!(negative.contains(shown(&variant.id)[at]), "{place}");
                        continue;
                    }
                    let (a, b) = (
                        judge.signature(text, language),
                        judge.signature(negative, language),
                    );
                    let named = |id: &str| variant.contrasts.iter().any(|c| c == id);
                    let mut differing: Vec<&str> = a
                        .values
                        .iter()
                        .filter(|(id, counts)| b.values[*id] != **counts)
                        .map(|(id, _)| id.as_str())
                        .collect();
                    if a.figures != b.figures {
                        differing.push(FIGURES);
                    }
                    assert!(!differing.is_empty(), "{place}");
                    assert!(
                        differing.iter().all(|id| named(id)),
                        "{differing:?}, {place}"
                    );
                }
                assert!(!format!("{made:?}").contains("s's"), "{place}");
            }
        }
        for reached in ["report.scope", "disclosure.emerging"] {
            assert!(patterns.contains(reached), "{reached}");
        }
    }

    #[test]
    fn a_figure_is_the_same_in_another_form() {
        for (a, b, same) in [
            ("매출액은 1조 2,000억원이다.", "매출액은 1.2조원이다.", true),
            ("0.25%포인트 인하", "25bp 인하", true),
            ("0.25%포인트", "0.25%", false),
            ("50만주", "500,000주", true),
            ("2025년 12월 31일", "2025.12.31.", true),
            ("1,250억원", "125억원", false),
            ("KRW 125 billion", "125 million", false),
            ("3분기와 2분기", "2분기와 3분기", true),
            ("1조 2,000억원과 300억원", "1.2조원과 300억원", true),
        ] {
            assert_eq!(figures(a) == figures(b), same, "{a} | {b}");
        }
    }

    #[test]
    fn the_longest_word_counts_and_latin_words_from_their_start() {
        let words = [("may not", 1), ("may", 0)];
        assert_eq!(count("it may not, or may; dismay", &words, 2), [1, 1]);
        assert_eq!(count("증가세증가", &[("증가", 0)], 1), [2]);
    }
}
