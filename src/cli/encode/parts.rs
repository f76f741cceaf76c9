//! The texts of a run in parts that memory holds.

use std::ops::Range;

use super::DASH;
use super::input::{Input, Visit};
use crate::cli::CliError;
use korfinsts_base::failure::FailureClass;
use korfinsts_bench::run::shard::Shard;

/// Texts of a part at most.
const PART: usize = 1 << 17;
/// Bytes of the texts of a part at most, but for the last of them.
const PART_BYTES: usize = 128 << 20;

/// The texts of a run. A file that is larger than a part is read twice: its texts are counted before
/// the first of them is encoded, and what is wrong with one is found before that, too.
pub(super) struct Texts<'a> {
    input: Input<'a>,
    /// All texts of the input, where they are few or cannot be read twice.
    held: Option<Vec<String>>,
    /// How many the input has.
    count: usize,
    /// Those of this run's shard.
    pub own: Range<usize>,
    shard: Option<Shard>,
}

impl<'a> Texts<'a> {
    /// Counts the texts of an input.
    ///
    /// # Errors
    /// When it cannot be read, or the shard holds none of its texts.
    pub fn of(input: Input<'a>, shard: Option<Shard>) -> anyhow::Result<Self> {
        let (mut held, mut count) = (Some(Part::default()), 0);
        if input.path.as_os_str() == DASH {
            let texts = input.texts()?;
            count = texts.len();
            held = Some(Part { texts, bytes: 0 });
        } else {
            input.each(&mut |text| {
                count += 1;
                if let Some(part) = &mut held {
                    part.push(text);
                    if part.full() {
                        held = None;
                    }
                }
                Ok(())
            })?;
        }
        let edge = |of: Shard, index| (count as u128 * index as u128 / of.count as u128) as usize;
        let own = shard.map_or(0..count, |s| edge(s, s.index - 1)..edge(s, s.index));
        if let Some(shard) = shard.filter(|_| own.is_empty()) {
            let found = format!("shard {shard} of {count} texts holds none");
            return Err(CliError::usage(found, format!("use at most {count} shards")).into());
        }
        Ok(Self {
            input,
            held: held.map(|part| part.texts),
            count,
            own,
            shard,
        })
    }

    /// Whether they are one part, and no shard.
    pub fn whole(&self) -> bool {
        self.held.is_some() && self.shard.is_none()
    }

    /// Calls `visit` with the parts in order.
    ///
    /// # Errors
    /// What `visit` returns, and when the file has changed since the texts were counted.
    pub fn parts(
        &self,
        visit: &mut dyn FnMut(&[String]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if let Some(held) = &self.held {
            return visit(&held[self.own.clone()]);
        }
        let (mut part, mut at) = (Part::default(), 0);
        let collect: Visit<'_> = &mut |text| {
            if self.own.contains(&at) {
                part.push(text);
                if part.full() {
                    visit(&std::mem::take(&mut part).texts)?;
                }
            }
            at += 1;
            Ok(())
        };
        self.input.each(collect)?;
        if at != self.count {
            let path = self.input.path.display();
            let found = format!("{path}: it had {} texts and has {at} now", self.count);
            let hint = "another program writes to it: encode when that has ended";
            return Err(CliError::new(FailureClass::Data, found, Some(hint.into())).into());
        }
        if part.texts.is_empty() {
            return Ok(());
        }
        visit(&part.texts)
    }
}

#[derive(Default)]
struct Part {
    texts: Vec<String>,
    bytes: usize,
}

impl Part {
    fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.texts.push(text);
    }

    fn full(&self) -> bool {
        self.texts.len() >= PART || self.bytes >= PART_BYTES
    }
}
