//! From what was typed to a tokenizer.

use crate::cli::{Global, model};
use korfinsts_bench::coverage::Subject;
use korfinsts_encoder::open::find_tokenizer;

/// Loads the tokenizer of a path or a hub id.
///
/// # Errors
/// When nothing is there, it cannot be fetched, or it is wrong.
pub fn load(source: &str, global: &Global) -> anyhow::Result<Subject> {
    let found = find_tokenizer(source, &model::options(global)?)?;
    let subject = Subject::load(&found.path)?;
    Ok(match found.identity {
        Some((id, _)) => subject.named(id),
        None => subject,
    })
}
