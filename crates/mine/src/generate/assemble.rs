//! Which triplets are taken of what was kept.

use std::collections::HashSet;

use super::diff;
use super::flow::{DocumentOutcome, Scored};
use super::shortcut::features;
use crate::triplet::{Triplet, triplet_id};
use crate::{Document, Transforms, Typology};

/// Takes triplets document by document, so that overlap and length say as little as possible: of
/// the pairs of wordings that a document has, the one is taken that brings the balance of what was
/// taken before back to nought.
#[derive(Debug, Default)]
pub struct Assembler {
    /// Triplets whose negative overlaps more than their positive, less those the other way round.
    overlap: i64,
    /// The same of closeness in length.
    length: i64,
    /// Features of the plain wordings, where there were such.
    naive: Vec<[[f64; 2]; 2]>,
    /// Anchors and negatives taken before: one text has one label.
    taken: HashSet<[String; 2]>,
}

fn sign([positive, negative]: [f64; 2]) -> i64 {
    i64::from(negative > positive) - i64::from(positive > negative)
}

impl Assembler {
    /// Features of triplets had every document kept its plain wordings: a close negative and a free
    /// positive.
    #[must_use]
    pub fn naive(&self) -> &[[[f64; 2]; 2]] {
        &self.naive
    }

    fn is_taken(&self, anchor: &str, negative: &str) -> bool {
        let pair = [anchor.to_owned(), negative.to_owned()];
        self.taken.contains(&pair)
    }

    /// The triplets of a document, one per variant, and one more per variant and language of
    /// translation.
    pub fn take(
        &mut self,
        document: &Document,
        outcome: &DocumentOutcome,
        typology: &Typology,
    ) -> Vec<Triplet> {
        let shared = Shared {
            document,
            anchor: &outcome.anchor,
            typology,
        };
        let mut taken = Vec::new();
        let mut variants: Vec<&str> = Vec::new();
        for (variant, _) in &outcome.negatives {
            if !variants.contains(&variant.as_str()) {
                variants.push(variant);
            }
        }
        for id in variants {
            let negatives: Vec<&Scored> = outcome
                .negatives
                .iter()
                .filter(|(v, n)| v == id && !self.is_taken(&outcome.anchor, &n.text))
                .map(|(_, n)| n)
                .collect();
            let mut best: Option<(i64, [[f64; 2]; 2], &Scored, &Scored)> = None;
            for negative in &negatives {
                for positive in &outcome.positives {
                    if positive.text == negative.text {
                        continue;
                    }
                    let found = features(&outcome.anchor, &positive.text, &negative.text);
                    if negative.wording == "close" && positive.wording == "free" {
                        self.naive.push(found);
                    }
                    let after = (self.overlap + sign(found[0])).abs() * 2
                        + (self.length + sign(found[1])).abs();
                    if best.is_none_or(|(least, ..)| after < least) {
                        best = Some((after, found, negative, positive));
                    }
                }
            }
            if let Some((_, found, negative, positive)) = best {
                self.overlap += sign(found[0]);
                self.length += sign(found[1]);
                taken.push(shared.triplet(id, positive, negative));
                let pair = [outcome.anchor.clone(), negative.text.clone()];
                self.taken.insert(pair);
            }
        }
        for translation in &outcome.translations {
            let positive = &translation.text;
            for (at, negative) in &translation.negatives {
                let Some((id, original)) = outcome.negatives.get(*at) else {
                    continue;
                };
                let pair = [outcome.anchor.clone(), negative.text.clone()];
                if positive.text == negative.text || !self.taken.insert(pair) {
                    continue;
                }
                let mut triplet = shared.triplet(id, positive, negative);
                triplet.other_language.clone_from(&translation.language);
                "translation".clone_into(&mut triplet.origin);
                original.wording.clone_into(&mut triplet.negative_wording);
                triplet.negative_score = original.score;
                triplet.edits = Vec::new();
                taken.push(triplet);
            }
        }
        taken
    }
}

/// What the triplets of a document share.
struct Shared<'a> {
    document: &'a Document,
    anchor: &'a str,
    typology: &'a Typology,
}

impl Shared<'_> {
    fn triplet(&self, variant: &str, positive: &Scored, negative: &Scored) -> Triplet {
        let Self {
            document,
            anchor,
            typology,
        } = *self;
        Triplet {
            id: triplet_id(anchor, &positive.text, &negative.text),
            anchor: anchor.to_owned(),
            positive: positive.text.clone(),
            negative: negative.text.clone(),
            language: document.language.clone(),
            other_language: document.language.clone(),
            source: document.source.clone(),
            pattern: typology
                .variant(variant)
                .map_or_else(String::new, |v| v.pattern.clone()),
            variant: variant.to_owned(),
            origin: "document".into(),
            document: document.id.clone(),
            corpus: document.corpus.clone(),
            licence: document.licence.clone(),
            negative_rules: negative.rules.clone(),
            positive_rules: positive.rules.clone(),
            negative_wording: negative.wording.into(),
            positive_wording: positive.wording.into(),
            edits: diff::changed(anchor, &negative.text),
            negative_score: negative.score,
            positive_score: positive.score,
        }
    }
}

/// So many triplets of slot templates, in turn, each from one language to another or to a
/// paraphrase. They are exact by construction and asked of no judge: their scores are 10.
#[must_use]
pub fn from_templates(transforms: &Transforms, typology: &Typology, count: usize) -> Vec<Triplet> {
    let mut taken: Vec<Triplet> = Vec::new();
    let mut seen = HashSet::new();
    if transforms.templates.is_empty() {
        return taken;
    }
    // Templates have finitely many renderings: a bound ends the search when they run out.
    for seed in 0..(20 * count as u64 + 200) {
        if taken.len() >= count {
            break;
        }
        let template = &transforms.templates[(seed % transforms.templates.len() as u64) as usize];
        let rendered = template.render(seed, transforms.particles.as_ref());
        let Some(variant) = typology.variant(&rendered.variant) else {
            continue;
        };
        let turn = seed / transforms.templates.len() as u64;
        let Some((language, anchor)) = rendered
            .source
            .iter()
            .nth((turn % rendered.source.len() as u64) as usize)
        else {
            continue;
        };
        let others: Vec<&String> = rendered.source.keys().filter(|l| *l != language).collect();
        // Every third is a paraphrase, where the template has one.
        let paraphrase = rendered.paraphrase.get(language).filter(|_| turn % 3 == 2);
        let (other, positive, origin) = match (paraphrase, others.as_slice()) {
            (Some(text), _) => (language, text, "template"),
            (None, [other, ..]) => (*other, &rendered.source[*other], "template"),
            (None, []) => continue,
        };
        let negative = &rendered.negative[other];
        let id = triplet_id(anchor, positive, negative);
        if !seen.insert([anchor.clone(), negative.clone()]) {
            continue;
        }
        let code = |id: &str| {
            typology
                .language(id)
                .map_or_else(|| id.to_owned(), |l| l.code.clone())
        };
        let pattern = typology.pattern(&variant.pattern);
        taken.push(Triplet {
            id,
            anchor: anchor.clone(),
            positive: positive.clone(),
            negative: negative.clone(),
            language: code(language),
            other_language: code(other),
            source: pattern.map_or_else(String::new, |p| p.source.clone()),
            pattern: variant.pattern.clone(),
            variant: variant.id.clone(),
            origin: origin.into(),
            document: crate::document_id(anchor),
            corpus: "template".into(),
            licence: "Apache-2.0".into(),
            negative_rules: vec![format!("{}/{}", template.text.id, rendered.changed)],
            positive_rules: vec![template.text.id.clone()],
            negative_wording: "close".into(),
            positive_wording: if paraphrase.is_some() {
                "free"
            } else {
                "exact"
            }
            .into(),
            edits: if other == language {
                diff::changed(anchor, negative)
            } else {
                Vec::new()
            },
            negative_score: crate::typology::MOST,
            positive_score: crate::typology::MOST,
        });
    }
    taken
}
