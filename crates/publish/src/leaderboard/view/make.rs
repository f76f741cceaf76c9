//! The page and its table.

use super::parts::{
    adaptations, common_warnings, contradictions, coverage, data, detail, disputes, provenance,
    rivals, scatters,
};
use super::words::{badge_text, fill, interval, is_korean, rank, text};
use super::{CellView, Files, Filters, GroupView, Page, RowView, SuiteView, Texts};
use crate::leaderboard::board::{Badge, Board, Cell, Kind, Row, Stage};
use crate::leaderboard::chart::{self, Words, decimal};
use korfinsts_bench::coverage::gains;
use korfinsts_bench::suite::manifest::Area;

/// Cells up to which the provenance is on the page itself: it is looked at on demand, and would be a
/// quarter of the page.
const MOST_PROVENANCE: usize = 100;

/// Makes what the templates of one language see. `languages` are all: code and name.
#[must_use]
pub fn page(board: &Board, lang: &str, t: &Texts, languages: &[[String; 2]]) -> Page {
    let words = Words {
        ceiling: text(t, "ceiling"),
        baseline: text(t, "best_baseline"),
        after: text(t, "adapted_short"),
    };
    let files = Files::of(lang);
    let suites: Vec<SuiteView> = (0..board.suites.len())
        .map(|s| suite(board, s, t))
        .collect();
    let common = common_warnings(board);
    let cells = board.rows.iter().flat_map(|r| &r.cells).flatten().count();
    let apart = cells > MOST_PROVENANCE;
    Page {
        lang: lang.to_owned(),
        languages: languages
            .iter()
            .map(|[code, name]| {
                let files = Files::of(code);
                [code.clone(), name.clone(), files.index, files.pairs]
            })
            .collect(),
        findings: findings(board, t),
        groups: groups(board, t),
        rows: board.rows.len(),
        filters: filters(board, t),
        details: (0..board.suites.len())
            .map(|s| detail(board, s, &suites[s], t, words))
            .collect(),
        adaptations: adaptations(board, t, words),
        contradictions: contradictions(board, t),
        scatters: scatters(board, words),
        coverage: gains::paper().iter().map(coverage).collect(),
        rivals: rivals(board, t),
        disputes: disputes(board, t),
        provenance: (0..board.rows.len())
            .map(|r| provenance(board, r, &common, t))
            .collect(),
        provenance_file: if apart {
            files.provenance
        } else {
            String::new()
        },
        index_file: files.index,
        pairs_file: files.pairs,
        notes: board.notes.iter().take(100).cloned().collect(),
        data: data(board, t),
        made_by: format!("{} {}", korfinsts_base::NAME, korfinsts_base::VERSION),
        suites,
        t: t.clone(),
    }
}

fn suite(board: &Board, at: usize, t: &Texts) -> SuiteView {
    let s = &board.suites[at];
    SuiteView {
        key: s.key.clone(),
        title: s.title.clone(),
        area: text(
            t,
            if s.area == Area::Finance {
                "finance"
            } else {
                "general"
            },
        )
        .to_owned(),
        finance: s.area == Area::Finance,
        n_pairs: s.n_pairs,
        ceiling: s.ceiling.map(|c| decimal(c, 3)),
        languages: s.languages.join(", "),
        licence: s.licence.clone(),
        homepage: s.homepage.clone(),
    }
}

/// Sentences that the figures support, strongest first.
fn findings(board: &Board, t: &Texts) -> Vec<String> {
    let mut found = Vec::new();
    for (at, suite) in board.suites.iter().enumerate() {
        let Some((name, score)) = &suite.best_baseline else {
            continue;
        };
        let marks: Vec<bool> = board
            .rows
            .iter()
            .filter(|r| r.kind == Kind::Encoder)
            .filter_map(|r| r.cells[at].as_ref()?.beats_baselines)
            .collect();
        let below = marks.iter().filter(|m| !**m).count();
        if below > 0 && suite.area == Area::Finance {
            let values = [
                ("below", below.to_string()),
                ("all", marks.len().to_string()),
                ("suite", suite.title.clone()),
                ("baseline", name.clone()),
                ("score", decimal(*score, 3)),
            ];
            let values: Vec<(&str, &str)> = values.iter().map(|(k, v)| (*k, v.as_str())).collect();
            found.push(fill(t, "finding_baseline", &values));
        }
    }
    let (mut sure, mut all) = (0, 0);
    for change in board.adaptations.iter().flat_map(|a| {
        let finance = a.changes.iter();
        finance.filter(|(s, _)| board.suites[**s].area == Area::Finance)
    }) {
        all += 1;
        sure += usize::from(
            change
                .1
                .interval
                .is_some_and(|[low, high]| low > 0.0 || high < 0.0),
        );
    }
    if all > 0 {
        let values = [("sure", sure.to_string()), ("all", all.to_string())];
        let values: Vec<(&str, &str)> = values.iter().map(|(k, v)| (*k, v.as_str())).collect();
        found.push(fill(t, "finding_changes", &values));
    }
    found
}

fn groups(board: &Board, t: &Texts) -> Vec<GroupView> {
    let mut groups: Vec<(GroupView, (Badge, Option<String>))> = Vec::new();
    for row in &board.rows {
        let key = (row.badge, row.source.clone());
        if groups.last().is_none_or(|g| g.1 != key) {
            let view = GroupView {
                title: match &row.source {
                    Some(source) => source.clone(),
                    None => text(t, &format!("group_{}", row.badge.name())).to_owned(),
                },
                note: text(t, &format!("note_{}", row.badge.name())).to_owned(),
                badge: row.badge.name(),
                url: row.source_url.clone(),
                rows: Vec::new(),
            };
            groups.push((view, key));
        }
        if let Some((group, _)) = groups.last_mut() {
            group.rows.push(row_view(board, row, t));
        }
    }
    groups.into_iter().map(|g| g.0).collect()
}

fn row_view(board: &Board, row: &Row, t: &Texts) -> RowView {
    let facts = &row.facts;
    RowView {
        id: row.id.clone(),
        name: row.name.clone(),
        korean: is_korean(&row.name),
        kind: match row.kind {
            Kind::Encoder => "encoder",
            Kind::Baseline => "baseline",
        },
        stage: match row.stage {
            Some(Stage::After) => text(t, "adapted").to_owned(),
            _ => String::new(),
        },
        badge: row.badge.name(),
        badge_text: badge_text(row.badge, t),
        protocol: row.protocol.clone(),
        parameters: facts.parameters,
        size: facts.parameters.map(chart::parameters).unwrap_or_default(),
        licence: facts.licence.clone().unwrap_or_default(),
        languages: facts.languages.join(" "),
        architecture: facts.architecture.clone().unwrap_or_default(),
        cells: (0..board.suites.len())
            .map(|s| row.cells[s].as_ref().map_or_else(empty, cell))
            .collect(),
    }
}

fn empty() -> CellView {
    CellView {
        text: "–".into(),
        ..CellView::default()
    }
}

fn cell(cell: &Cell) -> CellView {
    let Some(score) = cell.score else {
        return empty();
    };
    let mut class = if score < 0.0 {
        "n".to_owned()
    } else {
        format!("q{}", (score * 20.0).round().clamp(0.0, 20.0))
    };
    if cell.beats_baselines == Some(false) {
        class.push_str(" x");
    }
    if cell.rank.is_some_and(|[best, _]| best == 1) {
        class.push_str(" r1");
    }
    if cell.trained_on {
        class.push_str(" t");
    }
    CellView {
        text: decimal(score, 4),
        interval: interval(cell.interval, 2),
        rank: rank(cell),
        class,
    }
}

fn filters(board: &Board, t: &Texts) -> Filters {
    let sorted = |values: Vec<String>| -> Vec<String> {
        let mut values: Vec<String> = values.into_iter().filter(|v| !v.is_empty()).collect();
        values.sort();
        values.dedup();
        values
    };
    let rows = || board.rows.iter();
    let mut badges: Vec<Badge> = rows().map(|r| r.badge).collect();
    badges.sort();
    badges.dedup();
    Filters {
        badges: badges
            .into_iter()
            .map(|b| [b.name().to_owned(), badge_text(b, t)])
            .collect(),
        protocols: sorted(rows().map(|r| r.protocol.clone()).collect()),
        licences: sorted(rows().filter_map(|r| r.facts.licence.clone()).collect()),
        languages: sorted(rows().flat_map(|r| r.facts.languages.clone()).collect()),
        architectures: sorted(
            rows()
                .filter_map(|r| r.facts.architecture.clone())
                .collect(),
        ),
    }
}
