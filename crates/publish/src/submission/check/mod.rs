//! The checks of an opened bundle, one file each: what it claims against what follows from it.
//!
//! To add one: a file with its `run`, and a line in [`CHECKS`].

mod auc;
mod ceiling;
mod copy;
mod disclosure;
mod display;
mod domains;
mod ids;
mod metrics;
mod owner;
mod release;
mod scores;
mod ties;
mod truncation;

use super::verify::Examined;

/// One check.
pub struct Check {
    /// Name in verdicts.
    pub id: &'static str,
    /// What it looks at.
    pub title: &'static str,
    /// Looks: what was found, in words, where it passes and where it does not.
    pub(super) run: fn(&Examined<'_>) -> Result<String, String>,
}

const fn check(
    id: &'static str,
    title: &'static str,
    run: fn(&Examined<'_>) -> Result<String, String>,
) -> Check {
    Check { id, title, run }
}

/// Every check, in order.
pub static CHECKS: &[Check] = &[
    check("display", "texts that will be shown are safe", display::run),
    check(
        "release",
        "the suites are known, here and not revoked",
        release::run,
    ),
    check("ids", "the ids are exactly those of the suite", ids::run),
    check("scores", "scores are finite and in [-1, 1]", scores::run),
    check(
        "metrics",
        "every metric follows from the scores",
        metrics::run,
    ),
    check("auc", "binary Spearman and AUC agree", auc::run),
    check(
        "domains",
        "domains are consistent with the whole",
        domains::run,
    ),
    check("ceiling", "no Spearman exceeds its ceiling", ceiling::run),
    check(
        "ties",
        "scores are neither constant nor mostly tied",
        ties::run,
    ),
    check("copy", "the scores are nobody else's", copy::run),
    check(
        "owner",
        "the name is nobody else's, and what it replaces neither",
        owner::run,
    ),
    check(
        "truncation",
        "truncation follows from the token counts",
        truncation::run,
    ),
    check(
        "disclosure",
        "what it was trained on is said",
        disclosure::run,
    ),
];

/// The first `n` of a list as text, and how many more there are.
fn first(names: &[String], n: usize) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(n)
        .map(|i| format!("`{}`", i.escape_debug()))
        .collect();
    if names.len() > n {
        format!("{} and {} more", shown.join(", "), names.len() - n)
    } else {
        shown.join(", ")
    }
}
