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
        file("board.md", markdown(board, &table)),
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
            let Some((cell, score)) = cell.as_ref().and_then(|c| Some((c, c.score?))) else {
                return String::new();
            };
            let mut text = decimal(score, 4);
            if let Some([low, high]) = cell.interval {
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

/// Whether a row has a score on a suite that the model was trained on in part.
fn has_trained(row: &Row) -> bool {
    row.cells.iter().flatten().any(|cell| cell.trained_on)
}

fn markdown(board: &Board, table: &Table) -> String {
    let mut out = table.to_markdown();
    out.push_str("\nReported figures were not run by this project and are not ranked.\n");
    if board.rows.iter().any(has_trained) {
        out.push_str("† The model was trained on a part of the suite: not ranked.\n");
    }
    let mut sources: Vec<&str> = board
        .rows
        .iter()
        .filter_map(|r| r.source.as_deref())
        .collect();
    sources.dedup();
    for source in sources {
        out.push_str(&format!(
            "\n- {}",
            source.replace('<', "&lt;").replace('\n', " ")
        ));
    }
    if !out.ends_with('\n') {
        out.push('\n');
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
    let mut table = Table::new("", &head);
    let raw = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    for row in &board.rows {
        for (cell, suite) in row.cells.iter().zip(&board.suites) {
            let Some(cell) = cell else { continue };
            let mut add = |domain: &str, n: Option<usize>, metric: &str, value: f64, main: bool| {
                let whole = |v: Option<usize>| v.map(|v| v.to_string()).unwrap_or_default();
                let interval = cell.interval.filter(|_| main);
                let rank = cell.rank.filter(|_| main);
                table.push(vec![
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
                ]);
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
