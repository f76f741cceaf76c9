//! What is taken from a record, checked and cleaned.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cell, Row, TEXT_LENGTH, Unseen};
use crate::leaderboard::entry::{Entry, NAME_LENGTH};
use crate::leaderboard::reported::ModelFacts;
use korfinsts_base::text::visible;
use korfinsts_bench::run::record::ScoredPair;
use korfinsts_bench::run::scores::Values;
use korfinsts_metric as metric;

/// Whether the recorded ρ is that of the per-pair scores.
pub(super) fn agrees(entry: &Entry, pairs: &[ScoredPair]) -> Result<(), String> {
    let gold: Vec<f64> = pairs.iter().map(|p| p.gold).collect();
    let scores: Option<Vec<f64>> = pairs.iter().map(|p| p.score).collect();
    let computed = scores.and_then(|s| metric::spearman(&s, &gold).ok());
    let recorded = entry.record.scores.cosine_spearman;
    let equal = match (computed, recorded) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (None, None) => true,
        _ => false,
    };
    if equal {
        return Ok(());
    }
    let text = |v: Option<f64>| v.map_or_else(|| "none".into(), |v| v.to_string());
    Err(format!(
        "the record says ρ {}, its pairs give {}",
        text(recorded),
        text(computed)
    ))
}

pub(super) fn cell_of(entry: &Entry) -> Cell {
    let r = &entry.record;
    let map = |m: &BTreeMap<String, f64>| {
        let entries = m.iter().take(200);
        entries
            .map(|(k, v)| (visible(k, NAME_LENGTH), *v))
            .collect()
    };
    let domains = r.domains.iter().take(200);
    Cell {
        score: r.scores.cosine_spearman,
        interval: r.interval.get("cosine_spearman").copied(),
        n_pairs: Some(r.n_pairs),
        values: Values::of(r, |score| score.board.is_some()),
        domains: domains
            .map(|(k, d)| (visible(k, NAME_LENGTH), (d.n_pairs, d.cosine_spearman)))
            .collect(),
        triplets: map(&r.triplet_accuracy),
        trained_on: r.trained_on.is_some(),
        unseen: r.trained_on.as_ref().and_then(|trained| {
            Some(Unseen {
                n_pairs: trained.other_pairs,
                score: trained.cosine_spearman_of_others?,
                interval: trained.interval_of_others,
            })
        }),
        warnings: r
            .warnings
            .iter()
            .take(20)
            .map(|w| visible(w, TEXT_LENGTH))
            .collect(),
        release_id: Some(visible(&r.suite.release_id, 64)),
        pairs_sha256: r.pairs.as_ref().map(|p| visible(&p.sha256, 64)),
        ..Cell::default()
    }
}

/// What was run, for whoever asks where a number comes from.
pub(super) fn run_facts(entry: &Entry) -> Vec<(String, String)> {
    let e = &entry.record.encoder;
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            facts.push((name.to_owned(), visible(&value, TEXT_LENGTH)));
        }
    };
    let versioned = |name: &str, version: Option<&str>| match version {
        Some(version) if !version.is_empty() => format!("{name} {version}"),
        _ => name.to_owned(),
    };
    fact(
        "backend",
        Some(versioned(&e.backend, e.backend_version.as_deref())),
    );
    fact("sha256", e.sha256.clone());
    fact("tokenizer sha256", e.tokenizer_sha256.clone());
    fact("revision", e.revision.clone());
    fact("pooling", e.pooling.clone());
    fact("dimension", e.dimension.map(|n| n.to_string()));
    fact("max tokens", e.max_tokens.map(|n| n.to_string()));
    fact("form", entry.form());
    if let Some(form) = &e.form {
        fact(
            "bytes per embedding",
            Some(form.bytes_per_embedding.to_string()),
        );
        fact(
            "ranges of",
            form.calibration.as_ref().map(|by| {
                format!(
                    "{} embeddings of {}:{}, release {}",
                    by.embeddings, by.suite, by.split, by.release_id
                )
            }),
        );
    }
    fact("dtype", e.dtype.clone());
    fact("device", e.device.clone());
    fact("similarity", Some(e.similarity.clone()));
    for (name, prompt) in ["prompt 1", "prompt 2"].into_iter().zip(&e.prompts) {
        fact(name, Some(prompt.clone()));
    }
    for workload in entry
        .record
        .speed
        .iter()
        .flat_map(|speed| &speed.workloads)
        .take(20)
    {
        let rates = format!(
            "{:.4} texts/s, {:.4} tokens/s",
            workload.texts_per_s, workload.tokens_per_s
        );
        fact(
            &format!("speed, {}", visible(&workload.name(), 40)),
            Some(rates),
        );
    }
    let h = &entry.record.harness;
    fact("harness", Some(versioned(&h.name, Some(&h.version))));
    facts
}

/// Facts about a model with nothing in them that could mislead.
pub(super) fn clean(mut facts: ModelFacts) -> ModelFacts {
    facts.name = visible(&facts.name, NAME_LENGTH);
    facts.also.clear();
    facts.adapted_from = facts.adapted_from.map(|a| visible(&a, NAME_LENGTH));
    facts.licence = facts.licence.map(|l| visible(&l, 40));
    facts.architecture = facts.architecture.map(|a| visible(&a, 40));
    facts.languages = facts
        .languages
        .iter()
        .take(8)
        .map(|l| visible(l, 20))
        .collect();
    facts.url = facts.url.filter(|u| is_web(u));
    facts.released = facts.released.map(|d| visible(&d, 10));
    facts.prompt = facts.prompt.map(|p| visible(&p, NAME_LENGTH));
    facts.machine = facts.machine.map(|m| visible(&m, NAME_LENGTH));
    facts
}

/// What a record says of the model itself, where no file of facts does.
pub(super) fn add_from_record(facts: &mut ModelFacts, entry: &Entry) {
    let encoder = &entry.record.encoder;
    facts.architecture = facts.architecture.take().or(encoder.architecture.clone());
    facts.dimensions = facts.dimensions.or(encoder.dimension);
    if let Some(form) = &encoder.form {
        facts.dimensions = encoder.dimension;
        facts.bytes_per_embedding = Some(form.bytes_per_embedding);
    }
    facts.context = facts.context.or(encoder.max_tokens);
    let prompt = encoder.prompts.iter().find(|p| !p.is_empty());
    facts.prompt = facts.prompt.take().or(prompt.cloned());
    // The figures of one machine belong together.
    if let (Some(speed), None) = (&entry.record.speed, &facts.machine) {
        let first = speed.workloads.first();
        facts.texts_per_second = first.map(|workload| workload.texts_per_s);
        facts.memory_mb = speed.megabytes();
        let place = format!("{}, {} ×", speed.machine.sentence(), speed.lanes);
        facts.machine = Some(format!("{place} {}", encoder.backend));
    }
}

pub(super) fn is_web(url: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\' | '`');
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.len() < 300
        && url.chars().all(plain)
}

pub(super) fn slug(row: &Row) -> String {
    let stage = row.stage.map(|s| format!("{s:?}")).unwrap_or_default();
    slug_of(&format!("{} {stage}", row.name))
}

/// Letters, digits and dashes of a name.
pub(super) fn slug_of(text: &str) -> String {
    let mut out = String::new();
    let text = text.to_lowercase();
    for c in text.chars().take(60) {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() {
        "model".into()
    } else {
        out.into()
    }
}

pub(super) fn unique(slug: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = slug.to_owned();
    let mut n = 2;
    while !taken.insert(name.clone()) {
        name = format!("{slug}-{n}");
        n += 1;
    }
    name
}
