//! `korfinsts suite stats`: what the paper's Table 2 has, for any suite.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::scale_text;
use crate::cli::output::{Format, OutputArgs, Table};
use crate::cli::{Global, tokenizer};
use korfinsts_bench::suite::{
    Lengths, Overlap, Stats, Suite, TokenIds, overlap, stats, unique_texts,
};

/// Prints the statistics of suites.
///
/// # Errors
/// When the tokenizer or the output fails.
pub fn show(
    suites: &[Suite],
    tokenizer: Option<&str>,
    output: &OutputArgs,
    global: &Global,
) -> anyhow::Result<()> {
    let mut all = Vec::new();
    let mut overlaps: Vec<(String, Overlap)> = Vec::new();
    let tokens = tokenizer
        .map(|source| token_ids(source, suites, global))
        .transpose()?;
    for suite in suites {
        let stats = stats(suite, tokens.as_ref());
        for warning in &stats.warnings {
            global.note(&format!(
                "warning: {} ({}): {warning}",
                suite.id, suite.split
            ));
        }
        all.push(stats);
        // Splits that read the same files in another way share everything by design.
        for other in suites.iter().filter(|o| o.id == suite.id) {
            if other.split != suite.split && other.release_id != suite.release_id {
                overlaps.push((suite.id.clone(), overlap(suite, other)));
            }
        }
    }
    let document: Vec<Value> = all
        .iter()
        .map(|s| {
            let mut value = json!(s);
            let mine: Vec<&Overlap> = overlaps
                .iter()
                .filter(|(id, o)| *id == s.suite && o.split == s.split)
                .map(|(_, o)| o)
                .collect();
            value["overlaps"] = json!(mine);
            value
        })
        .collect();
    let tables = match output.format {
        Format::Csv => vec![stats_rows(&all, &overlaps)],
        _ => stats_tables(&all, &overlaps),
    };
    output.show(&document, &tables)
}

/// Tokenises every text of the suites once.
fn token_ids(source: &str, suites: &[Suite], global: &Global) -> anyhow::Result<TokenIds> {
    let subject = tokenizer::source::load(source, global)?;
    let mut ids = HashMap::new();
    for text in suites.iter().flat_map(unique_texts) {
        if !ids.contains_key(text) {
            let pieces = subject.tokenizer().pieces(text)?;
            ids.insert(text.to_owned(), pieces.iter().map(|p| p.id).collect());
        }
    }
    Ok(TokenIds {
        tokenizer: subject.name().to_owned(),
        ids,
    })
}

/// Lengths per unit: characters, eojeol and, where a tokenizer was given, its tokens.
fn units(s: &Stats) -> Vec<(&'static str, &[Lengths; 2])> {
    let mut units = vec![("characters", &s.characters), ("eojeol", &s.eojeol)];
    units.extend(s.tokens.iter().map(|t| ("tokens", &t.lengths)));
    units
}

/// All statistics, one row per number, unrounded.
fn stats_rows(all: &[Stats], overlaps: &[(String, Overlap)]) -> Table {
    let mut table = Table::new("", &["suite", "split", "of", "measure", "#value"]);
    for s in all {
        let mut push = |of: &str, measure: &str, value: String| {
            table.push(vec![
                s.suite.clone(),
                s.split.clone(),
                of.to_owned(),
                measure.to_owned(),
                value,
            ]);
        };
        push("split", "pairs", s.pairs.to_string());
        push("split", "vocabulary", s.vocabulary.to_string());
        push("split", "eojeol", s.eojeol_total.to_string());
        if let Some(t) = &s.tokens {
            push("split", "different tokens", t.vocabulary.to_string());
            push("split", "tokens", t.total.to_string());
        }
        for d in &s.domains {
            let Some(name) = &d.domain else { continue };
            let of = format!("domain {name}");
            push(&of, "pairs", d.pairs.to_string());
            push(&of, "gold mean", d.gold_mean.to_string());
            push(&of, "vocabulary", d.vocabulary.to_string());
            let mut means = vec![("characters", d.characters), ("eojeol", d.eojeol)];
            means.extend(d.tokens.map(|t| ("tokens", t)));
            for (unit, means) in means {
                for (i, mean) in means.iter().enumerate() {
                    push(&of, &format!("{unit} {} mean", i + 1), mean.to_string());
                }
            }
        }
        for (unit, sides) in units(s) {
            for (i, l) in sides.iter().enumerate() {
                let of = format!("{unit} {}", i + 1);
                push(&of, "min", l.min.to_string());
                push(&of, "median", l.median.to_string());
                push(&of, "mean", l.mean.to_string());
                push(&of, "p95", l.p95.to_string());
                push(&of, "max", l.max.to_string());
            }
        }
        let ceiling = s.gold.ceiling.map_or_else(String::new, |c| c.to_string());
        for (measure, value) in [
            ("mean", s.gold.mean.to_string()),
            ("sd", s.gold.sd.to_string()),
            ("min", s.gold.min.to_string()),
            ("max", s.gold.max.to_string()),
            ("distinct", s.gold.distinct.to_string()),
            ("tied share", s.gold.tied_share.to_string()),
            ("ceiling", ceiling),
        ] {
            push("gold", measure, value);
        }
        for (i, (from, count)) in s.gold.histogram.iter().enumerate() {
            push("histogram", &bin(s, i, *from), count.to_string());
        }
        for (measure, value) in [
            ("unique texts", s.repeats.unique_texts),
            ("duplicate pairs", s.repeats.duplicate_pairs),
            ("conflicting pairs", s.repeats.conflicting_pairs),
            ("identical texts", s.repeats.identical_texts),
            ("identical below top", s.repeats.identical_below_top),
        ] {
            push("repeats", measure, value.to_string());
        }
        for (_, o) in overlaps
            .iter()
            .filter(|(id, o)| *id == s.suite && o.split == s.split)
        {
            let of = format!("overlap with {}", o.other);
            push(&of, "shared pairs", o.shared_pairs.to_string());
            push(
                &of,
                "pairs with a shared text",
                o.pairs_with_shared_text.to_string(),
            );
            push(&of, "share", o.share.to_string());
        }
    }
    table
}

fn stats_tables(all: &[Stats], overlaps: &[(String, Overlap)]) -> Vec<Table> {
    let mut lengths = Table::new(
        "Lengths",
        &[
            "suite", "split", "unit", "#text", "#min", "#median", "#mean", "#p95", "#max",
        ],
    );
    let mut gold = Table::new(
        "Gold scores",
        &[
            "suite",
            "split",
            "declared",
            "#mean",
            "#sd",
            "#min",
            "#max",
            "#distinct",
            "#tied",
            "#ceiling",
        ],
    );
    let mut histogram = Table::new(
        "Histogram",
        &["suite", "split", "#score", "#pairs", "share"],
    );
    let mut repeats = Table::new(
        "Repeats",
        &[
            "suite",
            "split",
            "#unique texts",
            "#duplicate pairs",
            "#conflicting pairs",
            "#identical texts",
            "#identical below top",
        ],
    );
    for s in all {
        let name = || vec![s.suite.clone(), s.split.clone()];
        let row = |cells: Vec<String>| [name(), cells].concat();
        for (unit, sides) in units(s) {
            for (i, l) in sides.iter().enumerate() {
                lengths.push(row(
                    [vec![unit.to_owned(), (i + 1).to_string()], length(l)].concat()
                ));
            }
        }
        gold.push(row(vec![
            scale_text(s.scale),
            format!("{:.3}", s.gold.mean),
            format!("{:.3}", s.gold.sd),
            s.gold.min.to_string(),
            s.gold.max.to_string(),
            s.gold.distinct.to_string(),
            format!("{:.3}", s.gold.tied_share),
            s.gold
                .ceiling
                .map_or_else(String::new, |c| format!("{c:.3}")),
        ]));
        for (i, (from, count)) in s.gold.histogram.iter().enumerate() {
            let label = bin(s, i, *from);
            histogram.push(row(vec![label, count.to_string(), bar(*count, s.pairs)]));
        }
        repeats.push(row(vec![
            s.repeats.unique_texts.to_string(),
            s.repeats.duplicate_pairs.to_string(),
            s.repeats.conflicting_pairs.to_string(),
            s.repeats.identical_texts.to_string(),
            s.repeats.identical_below_top.to_string(),
        ]));
    }
    let mut tables = vec![domain_table(all), lengths, gold, histogram, repeats];
    if let Some(table) = token_table(all) {
        tables.insert(2, table);
    }
    if !overlaps.is_empty() {
        tables.push(overlap_table(overlaps));
    }
    tables
}

fn overlap_table(overlaps: &[(String, Overlap)]) -> Table {
    let head = [
        "suite",
        "split",
        "with",
        "#shared pairs",
        "#pairs with a shared text",
        "#share",
    ];
    let mut table = Table::new("Overlaps", &head);
    for (id, o) in overlaps {
        table.push(vec![
            id.clone(),
            o.split.clone(),
            o.other.clone(),
            o.shared_pairs.to_string(),
            o.pairs_with_shared_text.to_string(),
            format!("{:.3}", o.share),
        ]);
    }
    table
}

/// Pairs and mean lengths, by domain where a suite has several.
fn domain_table(all: &[Stats]) -> Table {
    let head = [
        "suite",
        "split",
        "domain",
        "#pairs",
        "#gold mean",
        "#characters 1",
        "#characters 2",
        "#eojeol 1",
        "#eojeol 2",
        "#vocabulary",
    ];
    let title = "Pairs, and mean lengths of the first and second texts";
    let mut table = Table::new(title, &head);
    for s in all {
        let mut row = |domain: &str, pairs: usize, vocabulary: usize, means: [f64; 5]| {
            let [gold, lengths @ ..] = means;
            let mut row = vec![
                s.suite.clone(),
                s.split.clone(),
                domain.to_owned(),
                pairs.to_string(),
                format!("{gold:.3}"),
            ];
            row.extend(lengths.map(|mean| format!("{mean:.1}")));
            row.push(vocabulary.to_string());
            table.push(row);
        };
        if s.domains.len() > 1 || s.domains.iter().any(|d| d.domain.is_some()) {
            for d in &s.domains {
                let ([c1, c2], [e1, e2]) = (d.characters, d.eojeol);
                let name = d.domain.as_deref().unwrap_or("-");
                row(name, d.pairs, d.vocabulary, [d.gold_mean, c1, c2, e1, e2]);
            }
        }
        let ([c1, c2], [e1, e2]) = (&s.characters, &s.eojeol);
        let means = [s.gold.mean, c1.mean, c2.mean, e1.mean, e2.mean];
        row("(all)", s.pairs, s.vocabulary, means);
    }
    table
}

/// Tokens per domain and in all, where a tokenizer was given.
fn token_table(all: &[Stats]) -> Option<Table> {
    let name = &all.iter().find_map(|s| s.tokens.as_ref())?.tokenizer;
    let mut table = Table::new(
        &format!(
            "Tokens of `{name}`, without special tokens and uncut; means of the first and second texts"
        ),
        &[
            "suite",
            "split",
            "domain",
            "#tokens 1",
            "#tokens 2",
            "#different",
        ],
    );
    for s in all {
        let mut push = |domain: &str, means: [f64; 2], different: String| {
            table.push(vec![
                s.suite.clone(),
                s.split.clone(),
                domain.to_owned(),
                format!("{:.1}", means[0]),
                format!("{:.1}", means[1]),
                different,
            ]);
        };
        for d in &s.domains {
            if let (Some(domain), Some(means)) = (&d.domain, d.tokens) {
                push(domain, means, String::new());
            }
        }
        if let Some(t) = &s.tokens {
            let means = [t.lengths[0].mean, t.lengths[1].mean];
            push("(all)", means, t.vocabulary.to_string());
        }
    }
    Some(table)
}

fn length(l: &Lengths) -> Vec<String> {
    vec![
        l.min.to_string(),
        l.median.to_string(),
        format!("{:.1}", l.mean),
        l.p95.to_string(),
        l.max.to_string(),
    ]
}

/// A bin's label: its score, or its range where scores are binned.
fn bin(s: &Stats, index: usize, from: f64) -> String {
    if s.gold.distinct <= s.gold.histogram.len() {
        return from.to_string();
    }
    let to = s.gold.histogram.get(index + 1).map_or(s.scale.max, |b| b.0);
    format!("{from:.2}–{to:.2}")
}

/// A bar of at most 30 blocks.
fn bar(count: usize, pairs: usize) -> String {
    let share = count as f64 / pairs.max(1) as f64;
    let mut text = "█".repeat((share * 30.0).round() as usize);
    let _ = write!(text, " {:.1} %", 100.0 * share);
    text.trim_start().to_owned()
}
