//! Whether a text is as long as a passage should be, in tokens.

use super::{Candidate, Drop, RowEntry, RowStep};
use crate::MineError;
use crate::setup::Setup;
use korfinsts_bench::coverage::TokenCounter;

pub(super) const ENTRY: RowEntry = RowEntry {
    id: "length",
    about: "texts with fewer or more tokens than allowed",
    open: |setup| {
        Ok(Box::new(Length {
            setup,
            counter: TokenCounter::new(&setup.tokenizer),
        }))
    },
};

struct Length<'a> {
    setup: &'a Setup,
    counter: TokenCounter<'a>,
}

impl RowStep for Length<'_> {
    fn judge(&mut self, candidate: &mut Candidate) -> Result<Option<Drop>, MineError> {
        let (least, most) = (self.setup.options.min_tokens, self.setup.options.max_tokens);
        let bounds = self.counter.bounds(&candidate.document.text, least, most)?;
        candidate.tokens = Some(bounds);
        Ok(if bounds.at_most < least {
            Some(Drop::new(
                "too-short",
                "at_most_tokens",
                bounds.at_most as f64,
            ))
        } else if bounds.at_least > most {
            Some(Drop::new(
                "too-long",
                "at_least_tokens",
                bounds.at_least as f64,
            ))
        } else {
            None
        })
    }
}
