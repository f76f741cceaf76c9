//! The operation `krw_scale`: an amount of another order of magnitude.

use regex::Regex;

use super::particle::Particles;
use super::rule::{Edit, Op, Operation, RuleText, pattern};

/// One amount in 억 or 조, multiplied by the first factor that gives a whole number of 억, and
/// written anew. A sentence with a second amount is left alone: it may depend on the first.
#[derive(Debug)]
pub struct KrwScale;

#[derive(Debug)]
struct Scale {
    amount: Regex,
    factors: Vec<f64>,
}

impl Op for KrwScale {
    fn name(&self) -> &'static str {
        "krw_scale"
    }

    fn build(&self, rule: &RuleText) -> Result<Box<dyn Operation>, String> {
        if rule.factors.is_empty() || rule.factors.iter().any(|f| !(*f > 0.0 && *f != 1.0)) {
            return Err("`factors` must be positive numbers other than 1".into());
        }
        Ok(Box::new(Scale {
            amount: pattern(
                r"(?<n>\d[\d,]*(?:\.\d+)?)(?<thousand>천)?(?<hundreds>\d{1,3})?(?<unit>억|조) ?(?<rest>\d[\d,]*천?(?:억|만)?)? ?(?<currency>원|달러|엔|유로|위안)",
            )?,
            factors: rule.factors.clone(),
        }))
    }
}

impl Operation for Scale {
    fn edits(&self, sentence: &str, _: bool, _: Option<&Particles>) -> Vec<Edit> {
        let found: Vec<_> = self.amount.captures_iter(sentence).collect();
        let [captures] = found.as_slice() else {
            return Vec::new();
        };
        // A remainder in 억 or 만, or an amount in 조, would have to be scaled along.
        if captures.name("rest").is_some() || &captures["unit"] == "조" {
            return Vec::new();
        }
        let (Some(start), Some(end)) = (captures.name("n"), captures.name("unit")) else {
            return Vec::new();
        };
        let Ok(mut value) = captures["n"].replace(',', "").parse::<f64>() else {
            return Vec::new();
        };
        if captures.name("thousand").is_some() {
            let hundreds = captures
                .name("hundreds")
                .map_or(0.0, |m| m.as_str().parse().unwrap_or(0.0));
            value = value * 1000.0 + hundreds;
        } else if captures.name("hundreds").is_some() {
            return Vec::new();
        }
        let scaled = self
            .factors
            .iter()
            .map(|f| value * f)
            .find(|v| *v >= 1.0 && (v - v.round()).abs() < 1e-9);
        let Some(scaled) = scaled else {
            return Vec::new();
        };
        vec![Edit {
            start: start.start(),
            end: end.end(),
            text: render(scaled.round() as u64),
        }]
    }
}

/// An amount in 억 as it is written: `125억`, `1조 2,500억`, `3조`.
fn render(hundred_millions: u64) -> String {
    let (trillions, rest) = (hundred_millions / 10_000, hundred_millions % 10_000);
    match (trillions, rest) {
        (0, rest) => format!("{}억", grouped(rest)),
        (trillions, 0) => format!("{}조", grouped(trillions)),
        (trillions, rest) => format!("{}조 {}억", grouped(trillions), grouped(rest)),
    }
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_anew() {
        let rule = RuleText {
            factors: vec![0.1, 10.0],
            ..RuleText::default()
        };
        let scale = KrwScale.build(&rule).expect("a rule");
        for (sentence, expected) in [
            ("3,400억원을 순매수", Some("340억")),
            ("125억 달러", Some("1,250억")),
            ("5천억원", Some("500억")),
            ("1천200억원", Some("120억")),
            ("2,505억원", Some("2조 5,050억")),
            ("0.5억원", Some("5억")),
            ("1조원", None),
            ("1억2천만원", None),
            ("10억원과 20억원", None),
            ("수백억원", None),
        ] {
            let edits = scale.edits(sentence, false, None);
            let found = edits.first().map(|e| e.text.as_str());
            assert_eq!(found, expected, "{sentence}");
        }
        let none = RuleText::default();
        assert!(KrwScale.build(&none).is_err());
    }
}
