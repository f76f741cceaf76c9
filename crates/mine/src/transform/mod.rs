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
                    if negative {
                        text.sources = sources(&text).map_err(|reason| wrong(&id, reason))?;
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
            for variant in template.variants() {
                if typology.variant(variant).is_none() {
                    return wrong(&template.text.id, "variant", variant);
                }
            }
        }
        Ok(())
    }

    /// Variants of the typology that no rule makes of a document, with what makes them: `slot templates`, or `a
    /// model`.
    #[must_use]
    pub fn beyond(&self, typology: &Typology) -> BTreeMap<String, String> {
        let templates: BTreeSet<&str> =
            self.templates.iter().flat_map(Template::variants).collect();
        let by_rule = |id: &String| self.negatives.iter().any(|r| r.text.variants.contains(id));
        let all = typology.variants.iter().map(|v| &v.id);
        all.filter(|id| !by_rule(id))
            .map(|id| {
                let maker = if templates.contains(id.as_str()) {
                    "slot templates"
                } else {
                    "a model"
                };
                (id.clone(), maker.to_owned())
            })
            .collect()
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

    /// Every negative that a rule makes of `text`, by variant of its source, in the order of the rules. A text that
    /// two rules make is the first one's: no text has two labels.
    #[must_use]
    pub fn negatives(
        &self,
        text: &str,
        language: &str,
        source: &str,
    ) -> BTreeMap<String, Vec<Made>> {
        let mut found: BTreeMap<String, Vec<Made>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for rule in self.negatives.iter().filter(|r| r.is_for(language, source)) {
            let Some(variant) = rule.text.variants.iter().find(|v| source_of(v) == source) else {
                continue;
            };
            for made in self.made(rule, text) {
                if seen.insert(made.text.clone()) {
                    found.entry(variant.clone()).or_default().push(made);
                }
            }
        }
        found
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

/// The kind of text that a variant is of: ids of variants begin with it.
fn source_of(variant: &str) -> &str {
    variant
        .split_once('.')
        .map_or(variant, |(source, _)| source)
}

/// Kinds of text of a negative rule: those of its variants, one variant each.
fn sources(rule: &RuleText) -> Result<Vec<String>, String> {
    if !rule.sources.is_empty() {
        return Err("a negative has no `sources`: they are those of its `variants`".into());
    }
    let mut found: Vec<String> = Vec::new();
    for variant in &rule.variants {
        let source = source_of(variant).to_owned();
        if found.contains(&source) {
            return Err(format!(
                "`variants` names two of the source `{source}`: a text has one label"
            ));
        }
        found.push(source);
    }
    Ok(found)
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
    fn a_text_has_one_label_and_it_is_of_its_kind() {
        let rules = rules();
        let examples: Vec<&String> = rules
            .negatives
            .iter()
            .flat_map(|r| r.text.ex.iter().map(|[input, _]| input))
            .collect();
        let mut made = 0;
        for text in examples {
            for (language, source) in ["ko", "en"]
                .into_iter()
                .flat_map(|l| ["news", "report", "disclosure", "legal"].map(|s| (l, s)))
            {
                let found = rules.negatives(text, language, source);
                let texts: Vec<&str> = found.values().flatten().map(|m| m.text.as_str()).collect();
                let different: BTreeSet<&str> = texts.iter().copied().collect();
                assert_eq!(different.len(), texts.len(), "{text}");
                assert!(found.keys().all(|v| source_of(v) == source), "{text}");
                made += texts.len();
            }
        }
        assert!(made > 60, "{made}");
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
            (rule("op = \"krw_scale\"\nm = \"a\""), "unknown field `m`"),
            (
                rule("op = \"table\"\nsources = [\"v\"]"),
                "a negative has no `sources`",
            ),
            (
                rule("op = \"table\"").replace("[\"v\"]", "[\"news.a.b\", \"news.c.d\"]"),
                "two of the source `news`",
            ),
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
