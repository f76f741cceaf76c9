//! The operation `table`: rows of a pattern and its replacement.

use regex::Regex;

use super::particle::Particles;
use super::rule::{Edit, Op, Operation, Row, RuleText, pattern};

/// The first row that matches wins; with `all` every row is applied.
#[derive(Debug)]
pub struct Table;

#[derive(Debug)]
struct Rows {
    rows: Vec<(Regex, String)>,
    all: bool,
}

impl Op for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn build(&self, rule: &RuleText) -> Result<Box<dyn Operation>, String> {
        if rule.rules.is_empty() {
            return Err("`rules` is empty".into());
        }
        let rows = rule
            .rules
            .iter()
            .map(|Row { m, r }| Ok((pattern(m)?, r.clone())))
            .collect::<Result<_, String>>()?;
        Ok(Box::new(Rows {
            rows,
            all: rule.all,
        }))
    }
}

impl Operation for Rows {
    fn edits(&self, sentence: &str, everywhere: bool, particles: Option<&Particles>) -> Vec<Edit> {
        let mut found: Vec<Edit> = Vec::new();
        for (pattern, replacement) in &self.rows {
            for captures in pattern.captures_iter(sentence) {
                let Some(whole) = captures.get(0) else {
                    continue;
                };
                let mut text = String::new();
                captures.expand(replacement, &mut text);
                if let Some(particles) = particles {
                    text = particles.resolve(&sentence[..whole.start()], &text);
                }
                let edit = Edit {
                    start: whole.start(),
                    end: whole.end(),
                    text,
                };
                let apart = found
                    .iter()
                    .all(|e| e.end <= edit.start || edit.end <= e.start);
                if apart && edit.text != sentence[edit.start..edit.end] {
                    found.push(edit);
                }
                if !everywhere && !self.all {
                    break;
                }
            }
            if !found.is_empty() && !self.all {
                break;
            }
        }
        found.sort_by_key(|e| e.start);
        found
    }
}
