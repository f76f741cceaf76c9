//! How many tokens a text has, as far as a caller needs to know.

use super::Subject;
use super::memo::Memo;
use korfinsts_encoder::EncoderError;

/// Texts for which bounds are compared with the exact count, per counter.
const CHECKED: u32 = 128;

/// Bounds of the number of tokens of a text, special tokens left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBounds {
    /// It has at least so many.
    pub at_least: u64,
    /// It has at most so many.
    pub at_most: u64,
}

impl TokenBounds {
    /// Exactly so many.
    #[must_use]
    pub fn exactly(tokens: u64) -> Self {
        Self {
            at_least: tokens,
            at_most: tokens,
        }
    }

    /// The number, where it is known.
    #[must_use]
    pub fn exact(self) -> Option<u64> {
        (self.at_least == self.at_most).then_some(self.at_least)
    }
}

/// Counts the tokens of one text after another, looking up the eojeol it has seen where the
/// tokenizer treats eojeol one by one.
pub struct TokenCounter<'a> {
    subject: &'a Subject,
    memo: Option<Memo>,
    checked: u32,
}

impl<'a> TokenCounter<'a> {
    /// A counter that has seen nothing.
    #[must_use]
    pub fn new(subject: &'a Subject) -> Self {
        Self {
            subject,
            memo: Memo::of(subject),
            checked: 0,
        }
    }

    /// The exact number.
    ///
    /// # Errors
    /// When the tokenizer fails on the text.
    pub fn exact(&mut self, text: &str) -> Result<u64, EncoderError> {
        let mut tokens = 0;
        self.subject
            .tokenizer()
            .scan(text, |_, _| tokens += 1)
            .map(|()| tokens)
    }

    /// Bounds that decide whether the number is in `least..=most`: either side of both ends is
    /// certain, and where cheap bounds leave it open the number is exact.
    ///
    /// A token of a byte-level vocabulary stands for at least one byte. The lines of a text split
    /// at white space are tokenised one by one; a line break adds at most one token, and may join
    /// the marks at the end of its line.
    ///
    /// # Errors
    /// When the tokenizer fails on the text.
    pub fn bounds(
        &mut self,
        text: &str,
        least: u64,
        most: u64,
    ) -> Result<TokenBounds, EncoderError> {
        let byte_level = self.subject.tokenizer().byte_level();
        if byte_level && (text.len() as u64) < least {
            return Ok(TokenBounds {
                at_least: u64::from(!text.is_empty()),
                at_most: text.len() as u64,
            });
        }
        let Some(memo) = &mut self.memo else {
            return Ok(TokenBounds::exactly(self.exact(text)?));
        };
        let mut bounds = TokenBounds::exactly(0);
        for (i, line) in text.split('\n').enumerate() {
            if i > 0 && !byte_level {
                return Ok(TokenBounds::exactly(self.exact(text)?));
            }
            if i > 0 {
                bounds.at_most += 1;
            }
            if line.is_empty() {
                continue;
            }
            let Some((tokens, last)) = memo.tokens(self.subject, line)? else {
                return Ok(TokenBounds::exactly(self.exact(text)?));
            };
            bounds.at_most += tokens;
            bounds.at_least += tokens - last.saturating_sub(1).min(tokens);
        }
        if !text.contains('\n') {
            bounds.at_least = bounds.at_most;
        }
        let open = |end: u64, below: bool| {
            let side = |n: u64| if below { n < end } else { n > end };
            side(bounds.at_least) != side(bounds.at_most)
        };
        let undecided = open(least, true) || open(most, false);
        if !undecided && self.checked >= CHECKED {
            return Ok(bounds);
        }
        let exact = self.exact(text)?;
        self.checked = self.checked.saturating_add(1);
        if !(bounds.at_least..=bounds.at_most).contains(&exact) {
            self.memo = None;
        }
        Ok(if undecided || self.memo.is_none() {
            TokenBounds::exactly(exact)
        } else {
            bounds
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_bounds_are_a_number() {
        assert_eq!(TokenBounds::exactly(7).exact(), Some(7));
        let open = TokenBounds {
            at_least: 7,
            at_most: 9,
        };
        assert_eq!(open.exact(), None);
    }
}
