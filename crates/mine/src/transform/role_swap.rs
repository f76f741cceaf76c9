//! The operation `role_swap`: who acts and who is acted upon change places.

use regex::Regex;

use super::particle::Particles;
use super::rule::{Edit, Op, Operation, RuleText, pattern};

/// `m` has four groups: who, particle, whom, particle. Both must be entities: named in `entities`,
/// or ending in one of `suffixes`.
#[derive(Debug)]
pub struct RoleSwap;

#[derive(Debug)]
struct Swap {
    pattern: Regex,
    entities: Vec<String>,
    suffixes: Vec<String>,
}

impl Op for RoleSwap {
    fn name(&self) -> &'static str {
        "role_swap"
    }

    fn build(&self, rule: &RuleText) -> Result<Box<dyn Operation>, String> {
        let pattern = pattern(rule.m.as_deref().ok_or("`m` is missing")?)?;
        if pattern.captures_len() < 5 {
            return Err("`m` needs four groups: who, particle, whom, particle".into());
        }
        Ok(Box::new(Swap {
            pattern,
            entities: rule.entities.clone(),
            suffixes: rule.suffixes.clone(),
        }))
    }
}

impl Swap {
    fn is_entity(&self, word: &str) -> bool {
        self.entities.iter().any(|e| e == word)
            || self
                .suffixes
                .iter()
                .any(|s| word.len() > s.len() && word.ends_with(s.as_str()))
    }
}

impl Operation for Swap {
    fn edits(&self, sentence: &str, _: bool, particles: Option<&Particles>) -> Vec<Edit> {
        let Some(captures) = self.pattern.captures(sentence) else {
            return Vec::new();
        };
        let group = |i: usize| captures.get(i);
        let (Some(who), Some(first), Some(whom), Some(second)) =
            (group(1), group(2), group(3), group(4))
        else {
            return Vec::new();
        };
        if who.as_str() == whom.as_str()
            || !self.is_entity(who.as_str())
            || !self.is_entity(whom.as_str())
        {
            return Vec::new();
        }
        let with = |word: &str, particle: &str| {
            let mended = particles.and_then(|p| p.mend(word, particle));
            format!("{word}{}", mended.map_or(particle, |(_, form)| form))
        };
        vec![
            Edit {
                start: who.start(),
                end: first.end(),
                text: with(whom.as_str(), first.as_str()),
            },
            Edit {
                start: whom.start(),
                end: second.end(),
                text: with(who.as_str(), second.as_str()),
            },
        ]
    }
}
