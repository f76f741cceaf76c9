//! The operation `quarter_shift`: another quarter of the same year.

use regex::Regex;

use super::particle::Particles;
use super::rule::{Edit, Op, Operation, RuleText, pattern};

/// 1 → 2 → 3 → 4 → 3, so that no year need change. One mention only.
#[derive(Debug)]
pub struct QuarterShift;

#[derive(Debug)]
struct Shift(Regex);

const ORDINALS: [&str; 4] = ["first", "second", "third", "fourth"];

impl Op for QuarterShift {
    fn name(&self) -> &'static str {
        "quarter_shift"
    }

    fn build(&self, _: &RuleText) -> Result<Box<dyn Operation>, String> {
        // A digit or a dot before it makes it a part of `12분기`, `1·2분기` or `1~3분기`.
        pattern(
            r"(?:^|[^\d·․ㆍ~∼/,-])(?:(?<ko>[1-4])(?: ?/ ?4)?분기|(?i:(?<en>first|second|third|fourth)[ -]quarter)|Q(?<q>[1-4])\b)",
        )
        .map(|p| Box::new(Shift(p)) as _)
    }
}

impl Operation for Shift {
    fn edits(&self, sentence: &str, _: bool, _: Option<&Particles>) -> Vec<Edit> {
        let found: Vec<_> = self.0.captures_iter(sentence).collect();
        let [captures] = found.as_slice() else {
            return Vec::new();
        };
        // A second mention of another form (`1·2분기`) may hang together with the first.
        if sentence.matches("분기").count() > 1 {
            return Vec::new();
        }
        let next = |n: usize| if n == 4 { 3 } else { n + 1 };
        for name in ["ko", "q"] {
            if let Some(digit) = captures.name(name) {
                let n: usize = digit.as_str().parse().unwrap_or(1);
                return vec![Edit {
                    start: digit.start(),
                    end: digit.end(),
                    text: next(n).to_string(),
                }];
            }
        }
        let Some(word) = captures.name("en") else {
            return Vec::new();
        };
        let lower = word.as_str().to_lowercase();
        let n = ORDINALS.iter().position(|o| *o == lower).unwrap_or(0) + 1;
        let mut text = ORDINALS[next(n) - 1].to_owned();
        if word.as_str().starts_with(char::is_uppercase) {
            text[..1].make_ascii_uppercase();
        }
        vec![Edit {
            start: word.start(),
            end: word.end(),
            text,
        }]
    }
}
