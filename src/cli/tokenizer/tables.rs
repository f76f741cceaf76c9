//! A coverage report as tables.

use super::Page;
use crate::cli::output::Table;
use korfinsts_base::text::visible;
use korfinsts_bench::coverage::TokenizerReport;
use korfinsts_bench::coverage::definitions::{self, Definition};
use korfinsts_bench::coverage::text::{TextCounts, TextReport};
use korfinsts_bench::coverage::vocabulary::HANGUL_SYLLABLES;

/// Most characters of a tokenizer's name in the summary.
const NAME_LENGTH: usize = 24;

/// The summary of a report; with `worst`, every table, its warnings and definitions, and so many
/// terms, 0 for all.
pub(super) fn page(reports: &[TokenizerReport], worst: Option<usize>) -> Page {
    let mut page = Page::default();
    page.table(summary(reports));
    page.table(fertility(reports));
    let Some(worst) = worst else {
        let warnings = warnings(reports).len();
        let mut lines: Vec<String> = definitions::all()
            .filter(|d| SUMMARY.contains(&d.key) && is_shown(d, reports))
            .map(|d| format!("{}: {}", d.head, d.text))
            .collect();
        lines.push(match warnings {
            0 => "`--detail` shows all counts and definitions".into(),
            1 => "1 warning (`--detail` shows it, all counts and definitions)".into(),
            n => format!("{n} warnings (`--detail` shows them, all counts and definitions)"),
        });
        page.notes("Notes", lines);
        return page;
    };
    page.table(korean(reports));
    page.table(other(reports));
    page.table(text(reports));
    page.table(forms(reports));
    page.table(term_shares(reports));
    for report in reports {
        page.table(worst_terms(report, worst));
    }
    page.notes("Warnings", warnings(reports));
    let mut lines: Vec<String> = definitions::all()
        .filter(|d| is_shown(d, reports))
        .map(|d| format!("{}: {}", d.head, d.text))
        .collect();
    let scripts = reports.iter().flat_map(|r| &r.vocabulary.scripts);
    for (name, script) in scripts {
        let line = format!("{name}: {}", script.definition);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    page.notes("Definitions", lines);
    page
}

/// Keys of the definitions that the summary needs.
const SUMMARY: [&str; 3] = ["hangul.decoded_any", "tokens_per_eojeol", "unknown_rate"];

/// One row per tokenizer: the vocabulary, all texts together, and the terms.
fn summary(reports: &[TokenizerReport]) -> Table {
    let head = [
        "tokenizer",
        "#size",
        "#Hangul %",
        "#tokens/eojeol",
        "#unknown %",
        "#whole terms %",
    ];
    let mut table = Table::new("Summary", &head);
    for report in reports {
        let v = &report.vocabulary;
        let mut all = TextCounts::default();
        for text in report.suites.values().chain(report.corpora.values()) {
            all.merge(&text.counts);
        }
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let hangul = v.hangul.decoded_any as f64 / v.vocab_size.max(1) as f64;
        table.push(vec![
            visible(&report.tokenizer, NAME_LENGTH),
            v.vocab_size.to_string(),
            percent(Some(hangul), 2),
            number(share(all.tokens, all.eojeol), 2),
            percent(share(all.unknown, all.tokens), 1),
            percent(report.terms.as_ref().map(|t| t.all.whole_share), 1),
        ]);
    }
    table
}

/// Tokens per eojeol: one row per text, one column per tokenizer.
fn fertility(reports: &[TokenizerReport]) -> Table {
    let names = reports.iter().map(|r| visible(&r.tokenizer, NAME_LENGTH));
    let head: Vec<String> = std::iter::once("text".to_owned())
        .chain(names.map(|name| format!("#{name}")))
        .collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new("Tokens per eojeol", &head);
    let bodies = |r: &TokenizerReport| {
        let all = r.suites.iter().chain(&r.corpora);
        all.map(|(name, text)| (name.clone(), text.tokens_per_eojeol))
            .collect::<Vec<_>>()
    };
    let columns: Vec<_> = reports.iter().map(bodies).collect();
    for (at, (body, _)) in columns.first().into_iter().flatten().enumerate() {
        let cells = columns.iter().map(|column| number(column[at].1, 2));
        table.push(std::iter::once(body.clone()).chain(cells).collect());
    }
    table
}

fn is_shown(definition: &Definition, reports: &[TokenizerReport]) -> bool {
    if definitions::TEXT.contains(definition) {
        reports
            .iter()
            .any(|r| !r.suites.is_empty() || !r.corpora.is_empty())
    } else if definitions::TERMS.contains(definition) {
        reports.iter().any(|r| r.terms.is_some())
    } else {
        true
    }
}

fn korean(reports: &[TokenizerReport]) -> Table {
    let mut table = Table::new(
        "Vocabulary: Korean",
        &[
            "tokenizer",
            "#size",
            "#Hangul raw",
            "#raw %",
            "#Hangul decoded",
            "#decoded %",
            "#syllables only",
            "#one syllable",
            "#two or more",
            "#jamo only",
            "#mixed",
            "#distinct syllables",
            "#of 11,172 %",
            "Hangul form",
        ],
    );
    for report in reports {
        let v = &report.vocabulary;
        let h = &v.hangul;
        let share = |n: usize| percent(Some(n as f64 / v.vocab_size.max(1) as f64), 2);
        table.push(vec![
            report.tokenizer.clone(),
            v.vocab_size.to_string(),
            h.raw_any.to_string(),
            share(h.raw_any),
            h.decoded_any.to_string(),
            share(h.decoded_any),
            h.decoded_syllables_only.to_string(),
            h.decoded_single_syllable.to_string(),
            h.decoded_multi_syllable.to_string(),
            h.decoded_jamo_only.to_string(),
            h.decoded_mixed.to_string(),
            h.distinct_syllables.to_string(),
            percent(
                Some(h.distinct_syllables as f64 / HANGUL_SYLLABLES as f64),
                1,
            ),
            report.hangul_form.name().to_owned(),
        ]);
    }
    table
}

fn other(reports: &[TokenizerReport]) -> Table {
    let mut head: Vec<String> = [
        "tokenizer",
        "#Latin",
        "#Han",
        "#digits",
        "#partial UTF-8",
        "#fallback bytes",
        "#special",
        "#unused",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut scripts: Vec<&String> = reports
        .iter()
        .flat_map(|r| r.vocabulary.scripts.keys())
        .collect();
    scripts.sort();
    scripts.dedup();
    for script in &scripts {
        head.push(format!("#{script} raw"));
        head.push(format!("#{script} decoded"));
        head.push(format!("#{script} only"));
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new("Vocabulary: the rest", &head);
    for report in reports {
        let v = &report.vocabulary;
        let mut row = vec![report.tokenizer.clone()];
        row.extend(
            [
                v.latin,
                v.han,
                v.digits,
                v.partial_utf8,
                v.byte_fallback,
                v.special,
                v.unused,
            ]
            .map(|n| n.to_string()),
        );
        for script in &scripts {
            let found = v.scripts.get(*script);
            let cell = |n: Option<usize>| n.map(|n| n.to_string()).unwrap_or_default();
            row.push(cell(found.map(|s| s.raw_any)));
            row.push(cell(found.map(|s| s.decoded_any)));
            row.push(cell(found.map(|s| s.decoded_only)));
        }
        table.push(row);
    }
    table
}

/// Every body of text of every report, with its domains: body, domain, tokenizer, report.
fn bodies(reports: &[TokenizerReport]) -> Vec<(&str, &str, &TokenizerReport, &TextReport)> {
    let mut rows = Vec::new();
    for report in reports {
        for (body, text) in report.suites.iter().chain(&report.corpora) {
            rows.push((body.as_str(), "", report, text));
            for (domain, text) in &text.domains {
                rows.push((body.as_str(), domain.as_str(), report, text));
            }
        }
    }
    // Stable: tokenizers stay in the order in which they were named.
    rows.sort_by_key(|(body, domain, ..)| (*body, *domain));
    rows
}

fn text(reports: &[TokenizerReport]) -> Table {
    let mut table = Table::new(
        "Text",
        &[
            "text",
            "domain",
            "tokenizer",
            "#tokens/eojeol",
            "#unknown %",
            "#eojeol with unknown %",
            "#byte or partial %",
            "#tokens/syllable",
            "#tokens/byte",
            "#continuing %",
            "#one-token eojeol %",
            "#truncated %",
            "#max tokens",
        ],
    );
    for (body, domain, report, text) in bodies(reports) {
        table.push(vec![
            body.to_owned(),
            domain.to_owned(),
            report.tokenizer.clone(),
            number(text.tokens_per_eojeol, 2),
            percent(text.unknown_rate, 1),
            percent(text.unknown_eojeol_share, 1),
            percent(text.partial_utf8_share, 1),
            number(text.tokens_per_syllable, 2),
            number(text.tokens_per_byte, 3),
            percent(text.continuation_share, 1),
            percent(text.single_token_eojeol_share, 1),
            percent(text.truncated_share, 1),
            report
                .max_tokens
                .as_ref()
                .map(|m| m.tokens.to_string())
                .unwrap_or_default(),
        ]);
    }
    table
}

fn forms(reports: &[TokenizerReport]) -> Table {
    let mut table = Table::new(
        "Composed against decomposed Hangul",
        &[
            "text",
            "tokenizer",
            "normaliser",
            "#NFC≠NFD %",
            "#NFD tokens/eojeol",
            "#NFD unknown %",
            "#NFD/NFC tokens",
            "#not NFC",
            "#texts compared",
        ],
    );
    for (body, _, report, text) in bodies(reports)
        .into_iter()
        .filter(|(_, domain, ..)| domain.is_empty())
    {
        let forms = &text.unicode_forms;
        if text.counts.forms.texts == 0 {
            continue;
        }
        table.push(vec![
            body.to_owned(),
            report.tokenizer.clone(),
            report.hangul_form.name().to_owned(),
            percent(forms.differing_share, 1),
            number(forms.nfd_tokens_per_eojeol, 2),
            percent(forms.nfd_unknown_rate, 1),
            number(forms.nfd_over_nfc, 2),
            text.counts.not_nfc.to_string(),
            text.counts.forms.texts.to_string(),
        ]);
    }
    table
}

fn term_shares(reports: &[TokenizerReport]) -> Table {
    let mut table = Table::new(
        "Terms",
        &[
            "source",
            "tokenizer",
            "#terms",
            "#tokens/term",
            "#with unknown %",
            "#whole %",
            "#byte or partial %",
        ],
    );
    let mut rows = Vec::new();
    for report in reports {
        let Some(terms) = &report.terms else {
            continue;
        };
        rows.push(("all", report, &terms.all));
        rows.extend(terms.sources.iter().map(|(s, n)| (s.as_str(), report, n)));
    }
    rows.sort_by_key(|(source, ..)| (*source != "all", *source));
    for (source, report, shares) in rows {
        table.push(vec![
            source.to_owned(),
            report.tokenizer.clone(),
            shares.terms.to_string(),
            number(Some(shares.tokens_per_term), 2),
            percent(Some(shares.unknown_terms_share), 1),
            percent(Some(shares.whole_share), 1),
            percent(Some(shares.partial_utf8_share), 1),
        ]);
    }
    table
}

fn worst_terms(report: &TokenizerReport, worst: usize) -> Table {
    let title = format!("Terms, worst first: {}", report.tokenizer);
    let mut table = Table::new(
        &title,
        &[
            "term",
            "English",
            "source",
            "#tokens",
            "#unknown",
            "#tokens/syllable",
            "pieces",
        ],
    );
    let Some(terms) = &report.terms else {
        return table;
    };
    let shown = if worst == 0 { usize::MAX } else { worst };
    for split in terms.worst.iter().take(shown) {
        table.push(vec![
            split.term.clone(),
            split.english.clone(),
            split.source.clone(),
            split.tokens.to_string(),
            split.unknown.to_string(),
            number(Some(split.tokens_per_syllable), 2),
            split.pieces.join(" "),
        ]);
    }
    table
}

fn warnings(reports: &[TokenizerReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for report in reports {
        let own = report
            .warnings
            .iter()
            .map(|w| format!("{}: {w}", report.tokenizer));
        lines.extend(own);
        for (body, text) in report.suites.iter().chain(&report.corpora) {
            for warning in &text.warnings {
                let line = format!("{body}: {warning}");
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
    }
    lines
}

/// What a measure of a part counts; empty for plain sums (`counts.tokens`) that others are made of.
fn definition(part: &str, measure: &str) -> String {
    let find = |key: &str| definitions::all().find(|d| d.key == key).map(|d| d.text);
    let key = match part {
        "terms" => format!("terms.{measure}"),
        _ => measure.to_owned(),
    };
    let as_stored = || {
        let of = key.replace(".raw_", ".decoded_");
        (of != key).then(|| find(&of).map(|text| format!("{text}; of the tokens as stored")))?
    };
    find(&key)
        .map(str::to_owned)
        .or_else(as_stored)
        .unwrap_or_default()
}

/// One row per number: tokenizer, part, text, domain, measure, value, definition. Fertility and
/// unknown rate are in neighbouring rows.
pub(super) fn tidy(reports: &[TokenizerReport]) -> Table {
    let mut table = Table::new(
        "",
        &[
            "tokenizer",
            "part",
            "text",
            "domain",
            "measure",
            "#value",
            "definition",
        ],
    );
    for report in reports {
        let mut add = |part: &str, body: &str, domain: &str, measure: &str, value: String| {
            let definition = definition(part, measure);
            table.push(
                [
                    report.tokenizer.as_str(),
                    part,
                    body,
                    domain,
                    measure,
                    &value,
                    &definition,
                ]
                .map(ToOwned::to_owned)
                .to_vec(),
            );
        };
        let json = serde_json::to_value(&report.vocabulary).unwrap_or_default();
        flatten("", &json, &mut |key, value| {
            add("vocabulary", "", "", key, value);
        });
        for (body, text) in report.suites.iter().chain(&report.corpora) {
            let domains = text.domains.iter().map(|(d, t)| (d.as_str(), t));
            for (domain, text) in std::iter::once(("", text)).chain(domains) {
                let mut json = serde_json::to_value(text).unwrap_or_default();
                if let Some(object) = json.as_object_mut() {
                    object.remove("domains");
                    object.remove("warnings");
                }
                flatten("", &json, &mut |key, value| {
                    add("text", body, domain, key, value);
                });
            }
        }
        if let Some(terms) = &report.terms {
            let all = std::iter::once(("all", &terms.all));
            let sources = terms.sources.iter().map(|(s, t)| (s.as_str(), t));
            for (source, shares) in all.chain(sources) {
                let json = serde_json::to_value(shares).unwrap_or_default();
                flatten("", &json, &mut |key, value| {
                    add("terms", "", source, key, value);
                });
            }
            for split in &terms.worst {
                add(
                    "term",
                    &split.term,
                    &split.source,
                    "tokens",
                    split.tokens.to_string(),
                );
                add(
                    "term",
                    &split.term,
                    &split.source,
                    "unknown",
                    split.unknown.to_string(),
                );
            }
        }
    }
    table
}

/// Numbers of a JSON object with their keys joined by dots; a null is an empty cell.
fn flatten(prefix: &str, value: &serde_json::Value, add: &mut dyn FnMut(&str, String)) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                let key = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                flatten(&key, value, add);
            }
        }
        serde_json::Value::Number(n) => add(prefix, n.to_string()),
        serde_json::Value::Null => add(prefix, String::new()),
        _ => {}
    }
}

pub(super) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map(|v| format!("{v:.decimals$}")).unwrap_or_default()
}

pub(super) fn percent(share: Option<f64>, decimals: usize) -> String {
    number(share.map(|s| s * 100.0), decimals)
}
