//! The board for other programs: tidy CSV, JSON, Markdown and LaTeX.

use super::board::{Board, Kind, Row, Stage};
use super::chart::decimal;
use super::page::PageFile;
use korfinsts_base::table::Table;
use korfinsts_bench::run::scores::SCORES;

/// Every export. One is a line here and its function.
#[must_use]
pub fn all(board: &Board) -> Vec<PageFile> {
    let file = |name: &str, content: String| PageFile {
        name: name.into(),
        content,
    };
    let table = table(board);
    vec![
        file("board.json", json(board)),
        file("board.md", markdown(board)),
        file("board.tex", table.to_latex()),
        file("results.csv", tidy(board).to_csv()),
    ]
}

fn json(board: &Board) -> String {
    let bytes = korfinsts_bench::run::record::to_json(board);
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

fn stage(row: &Row) -> &'static str {
    match row.stage {
        Some(Stage::Before) => "before",
        Some(Stage::After) => "after",
        None => "",
    }
}

fn name(row: &Row) -> String {
    match row.stage {
        Some(Stage::After) => format!("{} (adapted)", row.name),
        _ => row.name.clone(),
    }
}

/// One row per model, one column per suite.
fn table(board: &Board) -> Table {
    let mut head: Vec<String> = ["model", "origin", "protocol"].map(str::to_owned).to_vec();
    head.extend(board.suites.iter().map(|s| format!("#{}", s.key)));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let title = "Spearman's ρ of the cosine with its 95 % interval; ranks in parentheses";
    let mut table = Table::new(title, &head);
    for row in &board.rows {
        let mut cells = vec![name(row), row.badge.name().to_owned(), row.protocol.clone()];
        cells.extend(row.cells.iter().map(|cell| {
            let shown = cell.as_ref().and_then(|c| Some((c, c.shown()?)));
            let Some((cell, (score, interval))) = shown else {
                return String::new();
            };
            let mut text = decimal(score, 4);
            if let Some([low, high]) = interval {
                text.push_str(&format!(" [{}, {}]", decimal(low, 2), decimal(high, 2)));
            }
            match cell.rank {
                Some([best, worst]) if best == worst => text.push_str(&format!(" ({best})")),
                Some([best, worst]) => text.push_str(&format!(" ({best}–{worst})")),
                None if cell.trained_on => text.push_str(" †"),
                None => {}
            }
            text
        }));
        table.push(cells);
    }
    table
}

/// One row per model: its means and the score that the page shows, each reported one with the number of its
/// source.
fn markdown(board: &Board) -> String {
    let mut head: Vec<String> = ["model", "origin", "protocol"].map(str::to_owned).to_vec();
    head.extend(board.subsets.iter().map(|s| format!("#mean {}", s.key)));
    head.extend(board.suites.iter().map(|s| format!("#{}", s.key)));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let title =
        "Spearman's ρ of the cosine; half the width of its 95 % interval; ranks in parentheses";
    let mut table = Table::new(title, &head);
    let mut sources: Vec<&str> = Vec::new();
    let text = |score: f64, interval: Option<[f64; 2]>, rank: Option<[usize; 2]>| {
        let mut text = decimal(score, 3);
        if let Some([low, high]) = interval {
            text.push_str(&format!(" ±{}", decimal((high - low) / 2.0, 2)));
        }
        match rank {
            Some([best, worst]) if best == worst => text.push_str(&format!(" ({best})")),
            Some([best, worst]) => text.push_str(&format!(" ({best}–{worst})")),
            None => {}
        }
        text
    };
    let mark = |trained_on: bool| if trained_on { " †" } else { "" };
    for model in &board.models {
        let first = &board.rows[model.rows[0]];
        let mut cells = vec![
            model.name.clone(),
            first.badge.name().to_owned(),
            first.protocol.clone(),
        ];
        cells.extend(model.means.iter().map(|mean| match mean {
            Some(mean) if mean.whole => {
                let text = text(mean.score, mean.interval, mean.rank);
                format!("{text}{}", mark(mean.trained_on))
            }
            _ => String::new(),
        }));
        for suite in 0..board.suites.len() {
            let found = board.cell(model, suite);
            let Some(((row, cell), (score, interval))) = found.zip(found.and_then(|f| f.1.shown()))
            else {
                cells.push(String::new());
                continue;
            };
            let mut text = text(score, interval, cell.rank);
            text.push_str(mark(cell.trained_on));
            if let Some(source) = row.source.as_deref() {
                let known = sources.iter().position(|s| *s == source);
                let at = known.unwrap_or_else(|| {
                    sources.push(source);
                    sources.len() - 1
                });
                text.push_str(&format!(" [{}]", at + 1));
            }
            cells.push(text);
        }
        table.push(cells);
    }
    let mut out = table.to_markdown();
    out.push_str("\nReported figures were not run by this project and are not ranked.\n");
    if board.rows.iter().any(|row| row.form.is_some()) {
        out.push_str(
            "A name such as `model · 128 · int8` is of embeddings that are cut or quantised: they are not ranked.\n",
        );
    }
    if board
        .rows
        .iter()
        .flat_map(|r| r.cells.iter().flatten())
        .any(|c| c.trained_on)
    {
        out.push_str(
            "† The model was trained on a part of the suite: the score is over the other pairs.\n",
        );
    }
    if !sources.is_empty() {
        out.push('\n');
    }
    for (at, source) in sources.iter().enumerate() {
        let source = source.replace('<', "&lt;").replace('\n', " ");
        out.push_str(&format!("{}. {source}\n", at + 1));
    }
    out
}

/// One row per model, suite, domain and number, raw.
fn tidy(board: &Board) -> Table {
    let head = [
        "model",
        "kind",
        "origin",
        "stage",
        "protocol",
        "source",
        "suite",
        "area",
        "domain",
        "n_pairs",
        "metric",
        "value",
        "low",
        "high",
        "best_rank",
        "worst_rank",
        "beats_baselines",
    ];
    let forms = board.rows.iter().any(|row| row.form.is_some());
    let head = head.into_iter().chain(forms.then_some("form"));
    let head: Vec<&str> = head.chain(forms.then_some("bytes_per_embedding")).collect();
    let mut table = Table::new("", &head);
    let raw = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    for row in &board.rows {
        for (cell, suite) in row.cells.iter().zip(&board.suites) {
            let Some(cell) = cell else { continue };
            let mut add = |domain: &str, n: Option<usize>, metric: &str, value: f64, main: bool| {
                let whole = |v: Option<usize>| v.map(|v| v.to_string()).unwrap_or_default();
                let interval = cell.interval.filter(|_| main);
                let rank = cell.rank.filter(|_| main);
                let mut cells = vec![
                    row.name.clone(),
                    match row.kind {
                        Kind::Encoder => "encoder",
                        Kind::Baseline => "baseline",
                    }
                    .to_owned(),
                    row.badge.name().to_owned(),
                    stage(row).to_owned(),
                    row.protocol.clone(),
                    row.source.clone().unwrap_or_default(),
                    suite.key.clone(),
                    suite.area.to_string(),
                    domain.to_owned(),
                    whole(n),
                    metric.to_owned(),
                    value.to_string(),
                    raw(interval.map(|i| i[0])),
                    raw(interval.map(|i| i[1])),
                    whole(rank.map(|r| r[0])),
                    whole(rank.map(|r| r[1])),
                    cell.beats_baselines
                        .filter(|_| main)
                        .map(|b| b.to_string())
                        .unwrap_or_default(),
                ];
                if forms {
                    cells.push(row.form.clone().unwrap_or_default());
                    cells.push(whole(row.facts.bytes_per_embedding));
                }
                table.push(cells);
            };
            if let Some(score) = cell.score {
                add("", cell.n_pairs, "cosine_spearman", score, true);
            }
            for score in SCORES.iter().filter(|s| !s.tables_only) {
                if let Some(value) = cell.values.get(score.key) {
                    add("", cell.n_pairs, score.key, value, false);
                }
            }
            for (domain, (n, score)) in &cell.domains {
                if let Some(score) = score {
                    add(domain, Some(*n), "cosine_spearman", *score, false);
                }
            }
            for (group, accuracy) in &cell.triplets {
                add(group, cell.n_pairs, "triplet_accuracy", *accuracy, false);
            }
        }
    }
    table
}
