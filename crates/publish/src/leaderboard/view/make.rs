//! The page and its table.

use super::answers::{answers, findings, scatters};
use super::parts::{
    adaptations, common_warnings, contradictions, coverage, data, detail, disputes, provenance,
    rivals, sources,
};
use super::words::{badge_text, half, is_korean, range, rank, say, text};
use super::{
    CellView, FactView, Files, Filters, ModelView, Page, SourceView, SubsetView, SuiteView, Texts,
};
use crate::leaderboard::board::{Badge, Board, Cell, Kind, Mean, Model, Row, Stage};
use crate::leaderboard::chart::{self, AGAINST, decimal};
use crate::leaderboard::reported::ModelFacts;
use korfinsts_bench::coverage::gains;
use korfinsts_bench::suite::manifest::Area;

/// Cells up to which the provenance is on the page itself: it is looked at on demand, and would be a
/// quarter of the page.
const MOST_PROVENANCE: usize = 100;

/// Suites up to which every one has a column at first.
const MOST_SUITES: usize = 6;

/// Makes what the templates of one language see. `languages` are all: code and name.
#[must_use]
pub fn page(board: &Board, lang: &str, t: &Texts, languages: &[[String; 2]]) -> Page {
    let files = Files::of(lang);
    let suites: Vec<SuiteView> = (0..board.suites.len())
        .map(|s| suite(board, s, t))
        .collect();
    let common = common_warnings(board);
    let cells = board.rows.iter().flat_map(|r| &r.cells).flatten().count();
    let apart = cells > MOST_PROVENANCE;
    let facts: Vec<Fact> = FACTS
        .into_iter()
        .filter(|fact| board.models.iter().any(|m| fact.of(board, m).is_some()))
        .collect();
    let scatters = scatters(board, t);
    let mut ups: Vec<_> = scatters.iter().collect();
    ups.dedup_by_key(|s| &s.up);
    Page {
        lang: lang.to_owned(),
        languages: languages
            .iter()
            .map(|[code, name]| {
                let files = Files::of(code);
                [code.clone(), name.clone(), files.index, files.pairs]
            })
            .collect(),
        answers: answers(board, t),
        findings: findings(board, t),
        facts: facts
            .iter()
            .map(|fact| FactView {
                key: fact.key,
                head: text(t, fact.key).to_owned(),
                number: fact.number,
                hidden: fact.hidden,
            })
            .collect(),
        subsets: subsets(board, t),
        models: board
            .models
            .iter()
            .map(|m| model(board, m, &facts, t))
            .collect(),
        filters: filters(board, t),
        details: (0..board.suites.len())
            .map(|s| detail(board, s, &suites[s], t))
            .collect(),
        sources: sources(board).into_iter().map(str::to_owned).collect(),
        adaptations: adaptations(board, t),
        contradictions: contradictions(board, t),
        axes: [
            ups.iter()
                .map(|s| [s.up.clone(), s.up_title.clone()])
                .collect(),
            AGAINST
                .iter()
                .map(|a| [a.key.to_owned(), text(t, a.key).to_owned()])
                .collect(),
        ],
        scatters,
        protocols: protocols(board, t),
        coverage: gains::paper().iter().map(|g| coverage(g, t)).collect(),
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
        forms: board.rows.iter().any(|row| row.form.is_some()),
        notes: board.notes.iter().take(100).map(|n| say(n, t)).collect(),
        data: data(board, t),
        made_by: format!("{} {}", korfinsts_base::NAME, korfinsts_base::VERSION),
        suites,
        t: t.clone(),
    }
}

fn suite(board: &Board, at: usize, t: &Texts) -> SuiteView {
    let s = &board.suites[at];
    let tongues: Vec<&str> = [("kor", "ko"), ("eng", "en")]
        .into_iter()
        .filter(|(code, _)| s.languages.iter().any(|l| l.starts_with(code)))
        .map(|(_, name)| name)
        .collect();
    let tongues = tongues.join(" ");
    let mut sets = board.subsets.iter().flat_map(|subset| &subset.suites);
    let twin = sets
        .find(|set| set[1..].contains(&at))
        .map(|set| board.suites[set[0]].key.clone());
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
        counts: board
            .subsets
            .iter()
            .flat_map(|subset| &subset.counted)
            .any(|set| set.contains(&at)),
        hidden: board.suites.len() > MOST_SUITES
            && (twin.is_some() || s.area != Area::Finance && !tongues.contains("ko")),
        tongues,
        twin,
        n_pairs: s.n_pairs,
        ceiling: s.ceiling.map(|c| decimal(c, 3)),
        languages: s.languages.join(", "),
        licence: s.licence.clone(),
        // A suite of this project names its licence where others name a page.
        homepage: s.homepage.clone().filter(|h| !h.contains("/licenses/")),
    }
}

fn subsets(board: &Board, t: &Texts) -> Vec<SubsetView> {
    let titles = |sets: &[Vec<usize>]| {
        let titles = sets.iter().map(|set| board.suites[set[0]].title.as_str());
        titles.collect::<Vec<_>>().join(", ")
    };
    let view = |subset: &crate::leaderboard::board::Subset| SubsetView {
        key: subset.key,
        title: subset_title(subset.key, t),
        note: titles(&subset.counted),
    };
    board.subsets.iter().map(view).collect()
}

/// Name of a subset.
pub(super) fn subset_title(key: &str, t: &Texts) -> String {
    text(t, &format!("subset_{key}")).to_owned()
}

/// A fact about models that has a column.
#[derive(Clone, Copy)]
struct Fact {
    key: &'static str,
    number: bool,
    hidden: bool,
    get: fn(&ModelFacts) -> Option<String>,
}

const fn fact(key: &'static str, get: fn(&ModelFacts) -> Option<String>) -> Fact {
    Fact {
        key,
        number: true,
        hidden: true,
        get,
    }
}

/// The facts, in the order of their columns. Numbers are the ones to sort by.
const FACTS: [Fact; 13] = [
    Fact {
        hidden: false,
        ..fact("parameters", |f| f.parameters.map(|n| n.to_string()))
    },
    fact("without_embeddings", |f| {
        f.parameters_without_embeddings.map(|n| n.to_string())
    }),
    Fact {
        hidden: false,
        ..fact("dimensions", |f| f.dimensions.map(|n| n.to_string()))
    },
    Fact {
        hidden: false,
        ..fact("bytes", |f| f.bytes_per_embedding.map(|n| n.to_string()))
    },
    fact("context", |f| f.context.map(|n| n.to_string())),
    Fact {
        hidden: false,
        ..fact("speed", |f| f.texts_per_second.map(|v| format!("{v:.0}")))
    },
    fact("memory", |f| f.memory_mb.map(|v| format!("{v:.0}"))),
    fact("price", |f| f.price.map(|v| v.to_string())),
    word("machine", |f| f.machine.clone()),
    word("released", |f| f.released.clone()),
    word("prompt", |f| f.prompt.clone()),
    word("licence", |f| f.licence.clone()),
    word("architecture", |f| f.architecture.clone()),
];

const fn word(key: &'static str, get: fn(&ModelFacts) -> Option<String>) -> Fact {
    Fact {
        number: false,
        ..fact(key, get)
    }
}

impl Fact {
    fn of(&self, board: &Board, model: &Model) -> Option<String> {
        let mut rows = model.rows.iter().map(|&row| &board.rows[row].facts);
        rows.find_map(|facts| (self.get)(facts).filter(|v| !v.is_empty()))
    }

    /// As shown, and the number to sort by where that is another text.
    fn view(&self, board: &Board, model: &Model) -> [String; 2] {
        let value = self.of(board, model).unwrap_or_default();
        match value.parse::<u64>() {
            Ok(count) if self.number && count >= 10_000 => [chart::parameters(count), value],
            _ => [value, String::new()],
        }
    }
}

fn model(board: &Board, model: &Model, facts: &[Fact], t: &Texts) -> ModelView {
    let rows: Vec<&Row> = model.rows.iter().map(|&row| &board.rows[row]).collect();
    let mut badges: Vec<&str> = rows.iter().map(|r| r.badge.name()).collect();
    badges.dedup();
    let known = &rows[0].facts;
    ModelView {
        id: model.id.clone(),
        name: model.name.clone(),
        url: known.url.clone(),
        korean: is_korean(&model.name),
        kind: match rows[0].kind {
            Kind::Encoder => "encoder",
            Kind::Baseline => "baseline",
        },
        badges: badges.join(" "),
        parameters: known.parameters,
        languages: known.languages.join(" "),
        facts: facts.iter().map(|f| f.view(board, model)).collect(),
        means: model
            .means
            .iter()
            .zip(&board.subsets)
            .map(|(mean, subset)| {
                let view = |mean| mean_cell(mean, subset.counted.len());
                mean.as_ref().map_or_else(empty, view)
            })
            .collect(),
        cells: (0..board.suites.len())
            .map(|s| match board.cell(model, s) {
                Some((row, shown)) => cell(row, shown, rows[0].badge != Badge::Reported),
                None => empty(),
            })
            .collect(),
        sources: rows
            .iter()
            .map(|row| SourceView {
                id: row.id.clone(),
                badge: row.badge.name(),
                badge_text: badge_text(row.badge, t),
                stage: match row.stage {
                    Some(Stage::After) => text(t, "adapted").to_owned(),
                    _ => String::new(),
                },
                protocol: row.protocol.clone(),
                title: row.source.clone().unwrap_or_default(),
                url: row.source_url.clone(),
                cells: if rows.len() == 1 {
                    Vec::new()
                } else {
                    let cells = row.cells.iter();
                    cells
                        .map(|c| c.as_ref().map_or_else(empty, |c| cell(row, c, false)))
                        .collect()
                },
            })
            .collect(),
    }
}

fn empty() -> CellView {
    CellView {
        text: "–".into(),
        ..CellView::default()
    }
}

fn mean_cell(mean: &Mean, all: usize) -> CellView {
    let mut class = "m".to_owned();
    for (mark, is) in [
        (" x", mean.beats_baselines == Some(false)),
        (" r1", mean.rank.is_some_and(|[best, _]| best == 1)),
        (" t", mean.trained_on),
        (" o", mean.reported),
        (" part", !mean.whole),
    ] {
        if is {
            class.push_str(mark);
        }
    }
    CellView {
        text: decimal(mean.score, 3),
        half: if mean.whole {
            half(mean.interval)
        } else {
            format!("{}/{all}", mean.of)
        },
        rank: range(mean.rank),
        class,
    }
}

/// The score of a row. `marked`: what others report has a mark.
fn cell(row: &Row, cell: &Cell, marked: bool) -> CellView {
    let Some((score, interval)) = cell.shown() else {
        return empty();
    };
    let mut class = if score < 0.0 {
        "n".to_owned()
    } else {
        format!("q{}", (score * 20.0).round().clamp(0.0, 20.0))
    };
    for (mark, is) in [
        (" x", cell.beats_baselines == Some(false)),
        (" r1", cell.rank.is_some_and(|[best, _]| best == 1)),
        (" t", cell.trained_on),
        (" o", marked && row.badge == Badge::Reported),
    ] {
        if is {
            class.push_str(mark);
        }
    }
    CellView {
        text: decimal(score, 4),
        half: half(interval),
        rank: rank(cell),
        class,
    }
}

/// The protocols of a board, explained.
fn protocols(board: &Board, t: &Texts) -> Vec<[String; 2]> {
    let mut names: Vec<&str> = board.rows.iter().map(|r| r.protocol.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let known = names.into_iter().filter_map(|name| {
        let key = format!("protocol_{}", name.split(' ').next().unwrap_or(name));
        Some([name.to_owned(), t.get(&key)?.clone()])
    });
    known.collect()
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
