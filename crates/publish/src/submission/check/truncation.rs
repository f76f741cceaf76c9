//! The truncated pairs that are claimed follow from the token counts.

use std::collections::{HashMap, HashSet};

use super::super::TokenLine;
use super::super::verify::Examined;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let bundle = examined.bundle;
    let most = bundle.manifest.model.max_tokens;
    let mut by_suite: HashMap<String, Vec<&TokenLine>> = HashMap::new();
    for line in &bundle.tokens {
        by_suite
            .entry(format!("{}:{}", line.suite, line.split))
            .or_default()
            .push(line);
    }
    let mut truncated = 0;
    for suite in &bundle.manifest.suites {
        let name = suite.name();
        let lines = by_suite.remove(&name).unwrap_or_default();
        let Some(claimed) = suite.truncated_pairs else {
            if lines.is_empty() {
                continue;
            }
            return Err(format!(
                "{name}: there are token counts, but no claim on truncation"
            ));
        };
        let ids: HashSet<&str> = lines.iter().map(|l| l.id.as_str()).collect();
        let scored: HashSet<&str> = examined
            .lines(suite)
            .iter()
            .map(|l| l.id.as_str())
            .collect();
        if ids != scored || lines.len() != scored.len() {
            return Err(format!(
                "{name}: the token counts are not of exactly the pairs that are scored"
            ));
        }
        for line in &lines {
            for side in 0..2 {
                if let Some(most) = most
                    && line.tokens[side] as usize > most
                {
                    return Err(format!(
                        "{name}: `{}` has {} tokens, the maximum is {most}",
                        line.id.escape_debug(),
                        line.tokens[side]
                    ));
                }
                if line.tokens[side] == 0 && line.lost[side] > 0 {
                    return Err(format!(
                        "{name}: `{}` lost all its tokens",
                        line.id.escape_debug()
                    ));
                }
            }
        }
        let found = lines.iter().filter(|l| l.lost != [0, 0]).count();
        if found != claimed {
            return Err(format!(
                "{name}: {found} pairs are truncated by the token counts, claimed are {claimed}"
            ));
        }
        truncated += found;
    }
    if let Some(name) = by_suite.keys().next() {
        return Err(format!(
            "there are token counts of `{}`, which is not submitted",
            name.escape_debug()
        ));
    }
    Ok(format!("{truncated} pairs are truncated, as claimed"))
}
