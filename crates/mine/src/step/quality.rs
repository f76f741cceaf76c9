//! Whether a text is whole enough to learn from.

use ahash::AHashMap;
use unicode_script::Script;

use super::{Candidate, Drop, Measured, RowEntry, RowStep};
use crate::quality::{Measures, Quality, Scratch};
use crate::setup::Setup;
use crate::{MineError, histogram};

/// The figure that has no check of its own: its limit is learned.
pub(crate) const BITS: &str = "bits_per_character";

pub(super) const ENTRY: RowEntry = RowEntry {
    id: "quality",
    about: "broken encodings, markup, recognition noise, repetition, and what is unlike its source",
    open: |setup| {
        let qualities = setup
            .qualities
            .iter()
            .map(|(language, quality)| {
                let scripts = quality.script_set().unwrap_or_default();
                (language.as_str(), (quality, scripts))
            })
            .collect();
        Ok(Box::new(QualityStep {
            setup,
            qualities,
            scratch: Scratch::default(),
        }))
    },
};

struct QualityStep<'a> {
    setup: &'a Setup,
    qualities: AHashMap<&'a str, (&'a Quality, Vec<Script>)>,
    scratch: Scratch,
}

impl RowStep for QualityStep<'_> {
    fn judge(&mut self, candidate: &mut Candidate) -> Result<Option<Drop>, MineError> {
        let document = &candidate.document;
        // Every language of the corpora has its file: the setup saw to that.
        let Some((quality, scripts)) = self.qualities.get(document.language.as_str()) else {
            return Ok(None);
        };
        let found = Measures::of(&document.text, scripts, &mut self.scratch);
        let mut flaw = None;
        for figure in quality.figures(&document.source, &found) {
            flaw = flaw.or_else(|| figure.flaw());
            if figure.check.is_share() {
                candidate.measured.push(Measured {
                    metric: figure.check.metric,
                    value: figure.value,
                    beyond: figure.beyond,
                    step: histogram::SHARE,
                });
            }
        }
        if let Some((reason, metric, value)) = flaw {
            return Ok(Some(Drop::new(reason, metric, value)));
        }
        let calibrated = self
            .setup
            .entropy
            .get(&(document.source.clone(), document.language.clone()));
        Ok(calibrated.and_then(|calibrated| {
            let bits = calibrated.model.bits(&document.text);
            let beyond = bits > calibrated.limit;
            candidate.measured.push(Measured {
                metric: BITS,
                value: bits,
                beyond,
                step: histogram::BITS,
            });
            beyond.then(|| Drop {
                reason: "unlike-its-source",
                metrics: vec![(BITS, bits.into()), ("limit", calibrated.limit.into())],
            })
        }))
    }
}
