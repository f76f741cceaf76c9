//! Rules that shift or keep meaning without a language model: data under `training/transforms/`,
//! read strictly.
//!
//! Holds the file ([`Transforms`]), a rule ([`rule`]), its operations (one file and one line in
//! [`OPS`] each), particles ([`particle`]), sentences ([`sentence`]) and slot templates
//! ([`bitext`]). To add a rule: a block in the file, with examples that must and must not fire.

pub mod bitext;
mod krw_scale;
pub mod particle;
mod quarter_shift;
mod role_swap;
pub mod rule;
pub mod sentence;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use self::bitext::{Slots, Template, TemplateText};
use self::particle::Particles;
use self::rule::{Op, Rule, RuleText};
use super::typology::Typology;
use super::{MineError, Place};
use crate::shipped::{Shipped, parse};
use korfinsts_base::embedded::Folder;
use korfinsts_base::fs;

/// Every operation.
pub static OPS: &[&dyn Op] = &[
    &table::Table,
    &krw_scale::KrwScale,
    &quarter_shift::QuarterShift,
    &role_swap::RoleSwap,
];

/// The rules that ship in the binary: the folder `training/transforms/`.
const SHIPPED: Shipped = Shipped {
    files: Folder::new::<korfinsts_training_data::Training>("transforms/"),
    root: "training/transforms",
    missing: |name| format!("no rules `{name}` ship in this binary"),
};

/// Rules of a pair of languages.
#[derive(Debug)]
pub struct Transforms {
    /// Name of the file, `ko-en`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Particles, where a language has such.
    pub particles: Option<Particles>,
    /// Rules that shift meaning.
    pub negatives: Vec<Rule>,
    /// Rules that keep it.
    pub positives: Vec<Rule>,
    /// Slot templates.
    pub templates: Vec<Template>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    meta: Meta,
    #[serde(default)]
    particles: Option<Particles>,
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    neg: Vec<RuleText>,
    #[serde(default)]
    pos: Vec<RuleText>,
    #[serde(default)]
    slots: Slots,
    #[serde(default)]
    bitext: Vec<TemplateText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    name: String,
    version: String,
}

/// A document that a rule made of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The new text.
    pub text: String,
    /// Ids of the rules that had a part in it, in the order in which they were applied.
    pub rules: Vec<String>,
}

impl Transforms {
    /// The rules of that name in the binary.
    ///
    /// # Errors
    /// When there are none.
    pub fn built_in(name: &str) -> Result<Self, MineError> {
        let (path, bytes) = SHIPPED.built_in(name)?;
        Self::parse(&bytes, &path)
    }

    /// The rules in a file, or of that name in the binary.
    ///
    /// # Errors
    /// When there are none, or they are wrong.
    pub fn read(name_or_path: &str) -> Result<Self, MineError> {
        let (path, bytes) = SHIPPED.read(name_or_path)?;
        Self::parse(&bytes, &path)
    }

    /// Understands a file's content.
    ///
    /// # Errors
    /// What is wrong with it, with the line or the rule.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, MineError> {
        let file: File = parse(path, bytes)?;
        let wrong = |id: &str, reason: String| {
            MineError::data(path, Place::Whole, format!("rule `{id}`: {reason}"), None)
        };
        let mut ids = BTreeSet::new();
        let mut rules = |texts: Vec<RuleText>, negative: bool| {
            texts
                .into_iter()
                .map(|mut text| {
                    let id = text.id.clone();
                    for name in &text.deny_lists {
                        let list = file.lists.get(name).ok_or_else(|| {
                            let known: Vec<&str> = file.lists.keys().map(String::as_str).collect();
                            let known = known.join("`, `");
                            wrong(
                                &id,
                                format!("`deny_lists` names `{name}`, allowed are `{known}`"),
                            )
                        })?;
                        text.deny.extend_from_slice(list);
                    }
                    if !ids.insert(id.clone()) {
                        return Err(wrong(&id, "the id stands twice".into()));
                    }
                    if negative == text.variants.is_empty() {
                        return Err(wrong(
                            &id,
                            if negative {
                                "`variants` is empty: a negative is of some variant".into()
                            } else {
                                "a rule that keeps meaning has no `variants`".into()
                            },
                        ));
                    }
                    if text.ex.is_empty() || text.no.is_empty() {
                        return Err(wrong(
                            &id,
                            "it needs an example in `ex` and one in `no`".into(),
                        ));
                    }
                    Rule::new(text).map_err(|reason| wrong(&id, reason))
                })
                .collect::<Result<Vec<Rule>, MineError>>()
        };
        let negatives = rules(file.neg, true)?;
        let positives = rules(file.pos, false)?;
        let templates = file
            .bitext
            .into_iter()
            .map(|text| {
                let id = text.id.clone();
                Template::new(text, &file.slots).map_err(|reason| wrong(&id, reason))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            name: file.meta.name,
            version: file.meta.version,
            sha256: fs::sha256(bytes),
            particles: file.particles,
            negatives,
            positives,
            templates,
        })
    }

    /// Checks that variants, sources and languages are those of the typology.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, typology: &Typology) -> Result<(), MineError> {
        let wrong = |id: &str, what: &str, found: &str| {
            Err(MineError::usage(
                format!(
                    "rule `{id}` of `{}` names the {what} `{found}`, which the typology `{}` has not",
                    self.name, typology.name
                ),
                "give rules and a typology that belong together",
            ))
        };
        for rule in self.negatives.iter().chain(&self.positives) {
            let text = &rule.text;
            for variant in &text.variants {
                if typology.variant(variant).is_none() {
                    return wrong(&text.id, "variant", variant);
                }
            }
            for source in &text.sources {
                if typology.source(source).is_none() {
                    return wrong(&text.id, "source", source);
                }
            }
            for language in &text.languages {
                if typology.language(language).is_none() {
                    return wrong(&text.id, "language", language);
                }
            }
        }
        for template in &self.templates {
            if typology.variant(&template.text.variant).is_none() {
                return wrong(&template.text.id, "variant", &template.text.variant);
            }
        }
        Ok(())
    }

    /// Examples that do not hold, in words.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut found = Vec::new();
        for rule in self.negatives.iter().chain(&self.positives) {
            let id = &rule.text.id;
            for [input, expected] in &rule.text.ex {
                let made = rule.apply(input, self.particles.as_ref());
                if made != [expected.clone()] {
                    found.push(format!("{id}: `{input}` gives {made:?}, not `{expected}`"));
                }
            }
            for input in &rule.text.no {
                for made in rule.apply(input, self.particles.as_ref()) {
                    found.push(format!("{id} fires on `{input}`: `{made}`"));
                }
            }
        }
        found
    }

    /// Every negative that a rule makes of `text`, by variant, in the order of the rules.
    #[must_use]
    pub fn negatives(
        &self,
        text: &str,
        language: &str,
        source: &str,
    ) -> BTreeMap<String, Vec<Made>> {
        let mut found: BTreeMap<String, Vec<Made>> = BTreeMap::new();
        for rule in self.negatives.iter().filter(|r| r.is_for(language, source)) {
            for made in self.made(rule, text) {
                for variant in &rule.text.variants {
                    found.entry(variant.clone()).or_default().push(made.clone());
                }
            }
        }
        found
    }

    /// The negatives of one variant: what [`Self::negatives`] has for it.
    #[must_use]
    pub fn negatives_of(
        &self,
        variant: &str,
        text: &str,
        language: &str,
        source: &str,
    ) -> Vec<Made> {
        self.negatives
            .iter()
            .filter(|r| r.is_for(language, source) && r.text.variants.iter().any(|v| v == variant))
            .flat_map(|rule| self.made(rule, text))
            .collect()
    }

    fn made(&self, rule: &Rule, text: &str) -> Vec<Made> {
        rule.apply(text, self.particles.as_ref())
            .into_iter()
            .map(|text| Made {
                text,
                rules: vec![rule.text.id.clone()],
            })
            .collect()
    }

    /// Texts of the same meaning with one rule applied in one place (or everywhere, where the rule
    /// says so), in the order of the rules.
    #[must_use]
    pub fn light(&self, text: &str, language: &str, source: &str) -> Vec<Made> {
        self.positives
            .iter()
            .filter(|r| r.is_for(language, source))
            .flat_map(|rule| self.made(rule, text))
            .collect()
    }

    /// The text of the same meaning in which every rule is applied wherever it fires; `None` where
    /// none does.
    #[must_use]
    pub fn free(&self, text: &str, language: &str, source: &str) -> Option<Made> {
        let mut made = Made {
            text: text.to_owned(),
            rules: Vec::new(),
        };
        for rule in self.positives.iter().filter(|r| r.is_for(language, source)) {
            if let Some(next) = rule.throughout(&made.text, self.particles.as_ref()) {
                made.text = next;
                made.rules.push(rule.text.id.clone());
            }
        }
        (made.text != text).then_some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Transforms {
        Transforms::built_in("ko-en").expect("built in")
    }

    #[test]
    fn every_example_of_the_built_in_rules_holds() {
        let rules = rules();
        let examples: usize = rules
            .negatives
            .iter()
            .chain(&rules.positives)
            .map(|r| r.text.ex.len() + r.text.no.len())
            .sum();
        assert!(examples >= 106, "{examples}");
        assert_eq!(rules.failures(), Vec::<String>::new());
    }

    #[test]
    fn the_built_in_rules_are_of_the_built_in_typology() {
        let typology = Typology::built_in("ko-en").expect("built in");
        let rules = rules();
        rules.check(&typology).expect("they belong together");
        let by_rule: BTreeSet<(&str, &str)> = rules
            .negatives
            .iter()
            .flat_map(|r| {
                r.text
                    .variants
                    .iter()
                    .map(|v| (v.as_str(), r.text.id.as_str()))
            })
            .collect();
        let by_variant: BTreeSet<(&str, &str)> = typology
            .variants
            .iter()
            .flat_map(|v| v.transforms.iter().map(|t| (v.id.as_str(), t.as_str())))
            .collect();
        assert_eq!(by_rule, by_variant, "both files name the same pairs");
    }

    #[test]
    fn a_rule_of_the_document_changes_every_occurrence_or_none() {
        let rules = rules();
        let rule = |id: &str| {
            rules
                .negatives
                .iter()
                .find(|r| r.text.id == id)
                .expect("a rule")
        };
        let made = rule("N21").apply(
            "금융위원회는 그 명단을 공표한다. 명단의 서식은 금융위원회가 정한다.",
            rules.particles.as_ref(),
        );
        assert_eq!(
            made,
            ["금융감독원장은 그 명단을 공표한다. 명단의 서식은 금융감독원장이 정한다."]
        );
        // 위원장 in the second sentence forbids the rule there, and so everywhere.
        let refused = "금융위원회는 공표한다. 금융위원회 위원장이 정한다.";
        assert!(
            rule("N21")
                .apply(refused, rules.particles.as_ref())
                .is_empty()
        );
    }

    #[test]
    fn a_free_wording_applies_each_rule_once_to_every_sentence() {
        let rules = rules();
        // 작년 and 지난해 stand for each other: neither is turned back.
        let made = rules
            .free(
                "하지만 매출은 작년 수준이다. 올해는 당분간 쉬어갈 것으로 전망된다.",
                "ko",
                "news",
            )
            .expect("a wording");
        assert_eq!(
            made.text,
            "그러나 매출은 지난해 수준이다. 올해는 한동안 쉬어갈 것으로 예상된다."
        );
        assert_eq!(made.rules, ["P12"]);
        assert_eq!(rules.free("오늘.", "ko", "news"), None);
    }

    #[test]
    fn a_wrong_file_says_which_rule_is_wrong() {
        let rule = |fields: &str| {
            format!(
                "[meta]\nname = \"x\"\nversion = \"1\"\n[[neg]]\nid = \"A\"\nname = \"a\"\nlanguages = [\"ko\"]\nvariants = [\"v\"]\nex = [[\"a\", \"b\"]]\nno = [\"c\"]\n{fields}"
            )
        };
        for (text, reason) in [
            (
                rule("op = \"tables\""),
                "`op` is `tables`, allowed are `table`",
            ),
            (rule("op = \"table\""), "`rules` is empty"),
            (
                rule("op = \"table\"\nrules = [{ m = \"(\", r = \"\" }]"),
                "rule `A`: `(` is no pattern",
            ),
            (rule("op = \"krw_scale\""), "`factors` must be"),
            (rule("op = \"role_swap\"\nm = \"a\""), "needs four groups"),
            (rule("op = \"table\"\nskip = true"), "unknown field `skip`"),
            (
                rule("op = \"table\"\ndeny_lists = [\"q\"]\n[lists]\nplain = [\"z\"]"),
                "rule `A`: `deny_lists` names `q`, allowed are `plain`",
            ),
            ("[meta]\nname = \"x\"\n".into(), "missing field `version`"),
        ] {
            let error = Transforms::parse(text.as_bytes(), Path::new("rules.toml"))
                .expect_err(reason)
                .to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.starts_with("rules.toml"), "{error}");
        }
    }
}
