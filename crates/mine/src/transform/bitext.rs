//! Slot templates: the same facts in two languages, so that a pair is an exact translation without
//! a translator; and the same with one fact changed, which is a negative.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;

use super::particle::Particles;

/// Values of each slot: their wordings by language.
pub type Slots = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// A template as its file has it. `{slot}` is the slot's wording in the language of the text;
/// `{을/를}` is the particle that fits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateText {
    /// Id.
    pub id: String,
    /// The text, by language.
    pub texts: BTreeMap<String, String>,
    /// The same in other words, by language.
    #[serde(default)]
    pub paraphrases: BTreeMap<String, String>,
    /// Slots of which another value makes a negative, each with the variant of that negative.
    #[serde(default)]
    pub changes: BTreeMap<String, String>,
    /// The text with another claim, by name: negatives that no slot makes.
    #[serde(default)]
    pub shifts: BTreeMap<String, Shift>,
}

/// A text with another claim.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    /// Variant of the typology.
    pub variant: String,
    /// The text, by language.
    pub texts: BTreeMap<String, String>,
}

/// A template that can be rendered.
#[derive(Debug, Clone)]
pub struct Template {
    /// As the file has it.
    pub text: TemplateText,
    slots: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

/// One rendering: texts by language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub source: BTreeMap<String, String>,
    /// In other words, where the template has them.
    pub paraphrase: BTreeMap<String, String>,
    /// With one fact changed.
    pub negative: BTreeMap<String, String>,
    /// What was changed: a slot, or a name of `shifts`.
    pub changed: String,
    /// Variant of the change.
    pub variant: String,
}

impl Template {
    /// Understands a template.
    ///
    /// # Errors
    /// In words: a slot without values, or a language that is missing somewhere.
    pub fn new(text: TemplateText, slots: &Slots) -> Result<Self, String> {
        let mut used: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
        let all = text
            .texts
            .iter()
            .chain(&text.paraphrases)
            .chain(text.shifts.values().flat_map(|s| &s.texts));
        for (language, pattern) in all {
            for name in names(pattern) {
                let values = slots
                    .get(name)
                    .filter(|v| !v.is_empty())
                    .ok_or_else(|| format!("the slot `{name}` has no values"))?;
                if let Some(at) = values.iter().position(|v| !v.contains_key(language)) {
                    return Err(format!(
                        "value {} of the slot `{name}` has no wording in `{language}`",
                        at + 1
                    ));
                }
                used.insert(name.to_owned(), values.clone());
            }
        }
        for name in text.changes.keys() {
            match used.get(name) {
                None => return Err(format!("`changes` names `{name}`, no slot of its texts")),
                Some(values) if values.len() < 2 => {
                    return Err(format!("the slot `{name}` has one value and cannot change"));
                }
                Some(_) => {}
            }
        }
        if text.changes.is_empty() && text.shifts.is_empty() {
            return Err("neither `changes` nor `shifts`: nothing makes a negative".into());
        }
        for (name, shift) in &text.shifts {
            if !shift.texts.keys().eq(text.texts.keys()) {
                return Err(format!("`shifts.{name}` has other languages than `texts`"));
            }
        }
        Ok(Self { text, slots: used })
    }

    /// Variants that its negatives are of.
    pub fn variants(&self) -> impl Iterator<Item = &str> {
        let shifts = self.text.shifts.values().map(|s| &s.variant);
        self.text.changes.values().chain(shifts).map(String::as_str)
    }

    /// A rendering that `seed` decides.
    #[must_use]
    pub fn render(&self, seed: u64, particles: Option<&Particles>) -> Rendered {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, values) in &self.slots {
            chosen.insert(name, random.random_range(0..values.len()));
        }
        let all = |texts: &BTreeMap<String, String>, chosen: &BTreeMap<&str, usize>| {
            texts
                .iter()
                .map(|(l, t)| (l.clone(), self.fill(t, l, chosen, particles)))
                .collect::<BTreeMap<_, _>>()
        };
        let source = all(&self.text.texts, &chosen);
        let paraphrase = all(&self.text.paraphrases, &chosen);
        let ways = self.text.changes.len() + self.text.shifts.len();
        let way = random.random_range(0..ways);
        let (changed, variant, negative) =
            if let Some((slot, variant)) = self.text.changes.iter().nth(way) {
                let count = self.slots[slot].len();
                let other = (chosen[slot.as_str()] + random.random_range(1..count)) % count;
                let mut changed = chosen.clone();
                changed.insert(slot, other);
                (slot, variant, all(&self.text.texts, &changed))
            } else {
                let at = way - self.text.changes.len();
                let (name, shift) = self.text.shifts.iter().nth(at).unwrap_or_else(|| {
                    unreachable!("`way` is below the number of changes and shifts")
                });
                (name, &shift.variant, all(&shift.texts, &chosen))
            };
        Rendered {
            source,
            paraphrase,
            negative,
            changed: changed.clone(),
            variant: variant.clone(),
        }
    }

    fn fill(
        &self,
        pattern: &str,
        language: &str,
        chosen: &BTreeMap<&str, usize>,
        particles: Option<&Particles>,
    ) -> String {
        let mut text = pattern.to_owned();
        for (name, at) in chosen {
            if let Some(wording) = self.slots[*name][*at].get(language) {
                text = text.replace(&format!("{{{name}}}"), wording);
            }
        }
        // A name that ends in s takes the apostrophe alone.
        let text = text.replace("s's ", "s' ");
        match particles {
            Some(particles) => particles.resolve("", &text),
            None => text,
        }
    }
}

/// Names in braces that are no pair of particles.
fn names(pattern: &str) -> impl Iterator<Item = &str> {
    pattern
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
        .filter(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::transform::Transforms;

    #[test]
    fn every_rendering_is_whole_and_its_negative_differs() {
        let rules = Transforms::built_in("ko-en").expect("built in");
        assert!(rules.templates.len() >= 6);
        let particles = rules.particles.as_ref();
        for template in &rules.templates {
            for seed in 0..200 {
                let found = template.render(seed, particles);
                assert_eq!(found, template.render(seed, particles));
                let all = [&found.source, &found.paraphrase, &found.negative];
                for text in all.iter().flat_map(|t| t.values()) {
                    assert!(!text.contains(['{', '}']), "{text}");
                    let faults = particles.expect("Korean").faults(text);
                    assert!(faults.is_empty(), "{text}: {faults:?}");
                }
                for (language, text) in &found.source {
                    assert_ne!(text, &found.negative[language], "{}", found.changed);
                }
            }
        }
    }

    #[test]
    fn a_template_that_cannot_be_rendered_is_refused() {
        let file = |slots: &str, fields: &str| {
            format!(
                "[meta]\nname = \"x\"\nversion = \"1\"\n[slots]\n{slots}\n[[bitext]]\nid = \"B\"\n{fields}"
            )
        };
        for (slots, fields, reason) in [
            (
                "",
                "texts.ko = \"{a}\"\nchanges.a = \"v\"",
                "the slot `a` has no values",
            ),
            (
                "a = [{ en = \"x\" }]",
                "texts.ko = \"{a}\"\nchanges.a = \"v\"",
                "no wording in `ko`",
            ),
            (
                "a = [{ ko = \"x\" }]",
                "texts.ko = \"{a}\"\nchanges.a = \"v\"",
                "one value and cannot change",
            ),
            (
                "a = [{ ko = \"x\" }]",
                "texts.ko = \"{a}\"",
                "nothing makes a negative",
            ),
            (
                "a = [{ ko = \"x\" }, { ko = \"y\" }]",
                "texts.ko = \"{a}\"\nchanges.b = \"v\"",
                "`changes` names `b`",
            ),
        ] {
            let error = Transforms::parse(file(slots, fields).as_bytes(), Path::new("r.toml"))
                .expect_err(reason)
                .to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
