//! The parts of the page below its table.

use std::collections::BTreeMap;

use super::words::{
    badge_text, between, class_of, interval, name_of, number, percent, probability, rank, say, text,
};
use super::{
    AdaptationRow, AdaptationView, CoverageView, DetailRow, DetailView, DisputeView, PairView,
    PatternView, ProvenanceView, RivalView, SuiteView, Texts,
};
use crate::leaderboard::board::{Adaptation, Badge, Board, Cell, Kind, Row, Stage};
use crate::leaderboard::chart::{self, Plots, Words, dagger, decimal, signed};
use korfinsts_bench::coverage::gains::{GainGroup, Measure};
use korfinsts_bench::run::scores::{Form, SCORES};
use korfinsts_bench::suite::manifest::Area;

/// Most rows of a table of details; the exports hold all.
const MOST_DETAILS: usize = 40;

/// The same, where a board holds more than a hundred models.
const MOST_DETAILS_OF_MANY: usize = 15;

/// A column of a suite's table.
struct Shown {
    /// Key of its head among the texts.
    key: &'static str,
    /// Its head where there is no such text.
    head: &'static str,
    text: Box<dyn Fn(&Cell) -> String>,
}

impl Shown {
    fn new(key: &'static str, text: fn(&Cell) -> String) -> Self {
        let text = Box::new(text);
        Self {
            key,
            head: key,
            text,
        }
    }
}

/// The columns of a suite's table: the main score, every score that has a column, and whether it
/// beats the baselines.
fn columns() -> Vec<Shown> {
    let mut columns = vec![
        Shown::new("rank", rank),
        Shown::new("rho", |c| {
            let shown = c.shown().map(|s| s.0);
            format!("{}{}", number(shown, 4), dagger(c.trained_on))
        }),
        Shown::new("interval", |c| interval(c.shown().and_then(|s| s.1), 3)),
        Shown::new("pairs", |c| {
            c.n_pairs.map(|n| n.to_string()).unwrap_or_default()
        }),
    ];
    columns.extend(SCORES.iter().filter_map(|score| {
        let column = score.board?;
        Some(Shown {
            key: column.head,
            head: score.report.map_or(column.head, |report| report.head),
            text: Box::new(move |c| match (column.form, c.values.get(score.key)) {
                (_, None) => String::new(),
                // These are over all pairs.
                (Form::Decimal, value) => format!("{}{}", number(value, 4), dagger(c.trained_on)),
                (Form::Percent, value) => percent(value),
            }),
        })
    }));
    columns.push(Shown::new("beats", |c| match c.beats_baselines {
        Some(true) => "yes".into(),
        Some(false) => "no".into(),
        None => String::new(),
    }));
    columns
}

/// What the guides of a plot are called.
fn words(t: &Texts) -> Words<'_> {
    Words {
        ceiling: text(t, "ceiling"),
        baseline: text(t, "best_baseline"),
    }
}

pub(super) fn detail(board: &Board, at: usize, view: &SuiteView, t: &Texts) -> DetailView {
    let suite = &board.suites[at];
    let rows = board.by_score(at);
    let most = if board.rows.len() > 100 {
        MOST_DETAILS_OF_MANY
    } else {
        MOST_DETAILS
    };
    // Behind them those of which domains alone are known.
    let only_domains = |&r: &usize| {
        let cell = board.rows[r].cells[at].as_ref();
        cell.is_some_and(|c| c.shown().is_none() && c.domains.values().any(|d| d.1.is_some()))
    };
    let rows: Vec<usize> = rows
        .into_iter()
        .chain((0..board.rows.len()).filter(only_domains))
        .collect();
    let shown: Vec<usize> = rows.iter().copied().take(most).collect();
    let of = |row: usize| board.rows[row].cells[at].as_ref();
    let used: Vec<Shown> = columns()
        .into_iter()
        .filter(|column| {
            let mut cells = shown.iter().filter_map(|&r| of(r));
            match column.key {
                // Where all are those of the suite, its line says so.
                "pairs" => cells.any(|c| c.n_pairs.is_some() && c.n_pairs != suite.n_pairs),
                _ => cells.any(|c| !(column.text)(c).is_empty()),
            }
        })
        .collect();
    let domains: Vec<&String> = suite
        .domains
        .iter()
        .filter(|d| {
            let has = |c: &Cell| c.domains.get(*d).is_some_and(|d| d.1.is_some());
            board
                .rows
                .iter()
                .any(|r| r.cells[at].as_ref().is_some_and(has))
        })
        .take(12)
        .collect();
    // Domains come right after the score that pools them.
    let beside = used
        .iter()
        .take_while(|column| ["rank", "rho", "interval"].contains(&column.key))
        .count();
    let text_of = |c: &Shown| t.get(c.key).map_or(c.head, String::as_str).to_owned();
    let mut head: Vec<String> = used.iter().map(text_of).collect();
    head.splice(beside..beside, domains.iter().map(|d| (*d).clone()));
    let shown_of = |row: usize| of(row).and_then(Cell::shown);
    let values = shown.iter().filter_map(|&r| shown_of(r));
    let values = values.flat_map(|(s, ends)| ends.into_iter().flatten().chain([s]));
    let (plots, axis) = Plots::new(board, at, values.collect(), words(t));
    let rows_view = shown.iter().map(|&r| {
        let row = &board.rows[r];
        let cell = of(r);
        let value = |column: &Shown| {
            let value = cell.map(&column.text).unwrap_or_default();
            let value = if column.key == "beats" && !value.is_empty() {
                text(t, &value).to_owned()
            } else {
                value
            };
            [value, String::new()]
        };
        let domains = domains.iter().map(|d| {
            let found = cell.and_then(|c| c.domains.get(*d)).and_then(|d| d.1);
            let shade = found.map(chart::shade).unwrap_or_default();
            let mark = dagger(found.is_some() && cell.is_some_and(|c| c.trained_on));
            [format!("{}{mark}", number(found, 3)), shade]
        });
        let (first, rest) = used.split_at(beside);
        let first = first.iter().map(value);
        let cells = first.chain(domains).chain(rest.iter().map(value));
        DetailRow {
            name: name_of(row, t),
            id: row.id.clone(),
            source: sources(board)
                .iter()
                .position(|s| Some(*s) == row.source.as_deref())
                .map_or(0, |at| at + 1),
            plot: shown_of(r).map(|(score, ends)| plots.score(score, ends, class_of(row))),
            cells: cells.collect(),
        }
    });
    DetailView {
        suite: view.clone(),
        axis,
        patterns: patterns(board, at, t),
        head,
        by_domain: !domains.is_empty(),
        rows: rows_view.collect(),
        more: rows.len() - shown.len(),
        warnings: warnings(board, at, t),
    }
}

/// Who reports figures, in the order of the rows.
pub(super) fn sources(board: &Board) -> Vec<&str> {
    let all = board.rows.iter().filter_map(|row| row.source.as_deref());
    let mut sources: Vec<&str> = all.collect();
    sources.dedup();
    sources
}

/// Triplet accuracy by pattern of every row that has any, as a heat map.
fn patterns(board: &Board, suite: usize, t: &Texts) -> Option<PatternView> {
    let rows = board.rows.iter().filter_map(|row| {
        let cell = row.cells[suite].as_ref()?;
        (!cell.triplets.is_empty()).then_some((row, cell))
    });
    let rows: Vec<_> = rows.take(MOST_DETAILS_OF_MANY).collect();
    let head: Vec<&String> = rows.first()?.1.triplets.keys().take(40).collect();
    let view = |(row, cell): &(&Row, &Cell)| {
        let accuracy = |pattern: &&String| match cell.triplets.get(*pattern) {
            Some(share) => {
                // A half is chance: the middle of the scale.
                let text = format!("{:.0}{}", 100.0 * share, dagger(cell.trained_on));
                [text, chart::shade(2.0 * share - 1.0)]
            }
            None => Default::default(),
        };
        let name = format!("{}{}", name_of(row, t), dagger(cell.trained_on));
        (name, head.iter().map(accuracy).collect())
    };
    Some(PatternView {
        rows: rows.iter().map(view).collect(),
        head: head.into_iter().cloned().collect(),
    })
}

/// Warnings of a suite's records; one that several share is said once.
fn warnings(board: &Board, suite: usize, t: &Texts) -> Vec<[String; 2]> {
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    for row in &board.rows {
        let Some(cell) = &row.cells[suite] else {
            continue;
        };
        for warning in cell.warnings.iter().chain(&cell.unranked) {
            match said.iter_mut().find(|(w, _)| w == warning) {
                Some((_, models)) => models.push(row.name.clone()),
                None => said.push((warning.clone(), vec![row.name.clone()])),
            }
        }
        if said.len() > 60 {
            break;
        }
    }
    said.into_iter()
        .map(|(warning, models)| {
            let more = models.len().saturating_sub(3);
            let mut names = models[..models.len() - more].join(", ");
            if more > 0 {
                names.push_str(&format!(" +{more}"));
            }
            [say(&warning, t), names]
        })
        .collect()
}

pub(super) fn adaptations(board: &Board, t: &Texts) -> Vec<AdaptationView> {
    let mut sources: Vec<(Option<String>, Badge)> = Vec::new();
    for adaptation in &board.adaptations {
        let key = (adaptation.source.clone(), adaptation.badge);
        if !sources.contains(&key) {
            sources.push(key);
        }
    }
    let views = sources.into_iter().map(|(source, badge)| {
        let of: Vec<_> = board
            .adaptations
            .iter()
            .filter(|a| a.source == source && a.badge == badge)
            .collect();
        let suites: Vec<usize> = (0..board.suites.len())
            .filter(|s| of.iter().any(|a| a.changes.contains_key(s)))
            .collect();
        let columns: Vec<_> = suites
            .iter()
            .map(|&s| {
                let changes = of.iter().filter_map(|a| a.changes.get(&s));
                let values = changes.flat_map(|c| {
                    let ends = c.after_interval.into_iter().flatten();
                    ends.chain([c.before, c.after])
                });
                Plots::new(board, s, values.collect(), words(t))
            })
            .collect();
        let mean = |a: &Adaptation, area: Area| {
            let deltas: Vec<f64> = a
                .changes
                .iter()
                .filter(|(s, _)| board.suites[**s].area == area)
                .map(|(_, c)| c.delta())
                .collect();
            let n = deltas.len();
            if n == 0 {
                String::new()
            } else {
                signed(deltas.iter().sum::<f64>() / n as f64, 4)
            }
        };
        AdaptationView {
            title: source
                .clone()
                .unwrap_or_else(|| text(t, "adapted_here").to_owned()),
            badge: badge.name(),
            badge_text: badge_text(badge, t),
            suites: suites
                .iter()
                .zip(&columns)
                .map(|(&s, (_, axis))| (board.suites[s].title.clone(), axis.clone()))
                .collect(),
            rows: of
                .iter()
                .map(|a| AdaptationRow {
                    name: a.name.clone(),
                    cells: suites
                        .iter()
                        .zip(&columns)
                        .map(|(s, (plots, _))| {
                            let c = a.changes.get(s)?;
                            let texts = [
                                decimal(c.before, 3),
                                format!("{}{}", decimal(c.after, 3), dagger(c.trained_on)),
                                signed(c.delta(), 3),
                                between(c.interval),
                            ];
                            Some((texts, plots.change(c)))
                        })
                        .collect(),
                    means: [mean(a, Area::Finance), mean(a, Area::General)],
                })
                .collect(),
        }
    });
    views.collect()
}

/// Figures of one model, stage and suite of which two sources say different things.
pub(super) fn contradictions(board: &Board, t: &Texts) -> Vec<[String; 6]> {
    /// Four printed decimals differ by rounding up to this.
    const ROUNDING: f64 = 1.5e-4;
    let mut found = Vec::new();
    for (at, suite) in board.suites.iter().enumerate() {
        for (i, a) in board.rows.iter().enumerate() {
            for b in &board.rows[i + 1..] {
                let same = a.source.is_some()
                    && b.source.is_some()
                    && a.source != b.source
                    && a.facts.name == b.facts.name
                    && (a.stage == Some(Stage::After)) == (b.stage == Some(Stage::After));
                let scores = a.cells[at].as_ref().zip(b.cells[at].as_ref());
                let Some((x, y)) = scores.and_then(|(x, y)| Some((x.score?, y.score?))) else {
                    continue;
                };
                if same && (x - y).abs() > ROUNDING {
                    found.push([
                        name_of(a, t),
                        suite.title.clone(),
                        decimal(x, 4),
                        a.source.clone().unwrap_or_default(),
                        decimal(y, 4),
                        b.source.clone().unwrap_or_default(),
                    ]);
                }
            }
        }
    }
    found.truncate(60);
    found
}

pub(super) fn coverage(group: &GainGroup, t: &Texts) -> CoverageView {
    let share = |v: f64| format!("{:.2} %", 100.0 * v);
    CoverageView {
        title: say(&group.title, t),
        chart: chart::coverage(group),
        suites: group.suites.clone(),
        rows: group
            .models
            .iter()
            .map(|m| {
                let mut row = vec![
                    m.name.clone(),
                    m.vocabulary.clone(),
                    m.vocab_size.to_string(),
                    m.raw_any.to_string(),
                    share(Measure::RawShare.of(m)),
                    m.decoded_any.to_string(),
                    share(Measure::DecodedShare.of(m)),
                ];
                let gain = |g: Option<f64>| g.map(|g| signed(g, 4)).unwrap_or_default();
                row.extend(group.suites.iter().map(|s| gain(m.gains.get(s).copied())));
                row.push(gain(m.mean(&group.suites)));
                row
            })
            .collect(),
        correlations: [Measure::RawShare, Measure::DecodedShare]
            .into_iter()
            .filter_map(|measure| {
                let c = group.correlation(measure, "mean")?;
                Some([
                    say(measure.name(), t),
                    number(c.rho, 2),
                    number(c.p_value, 3),
                    number(c.smallest_p, 3),
                ])
            })
            .collect(),
        findings: group.findings.iter().map(|f| say(f, t)).collect(),
    }
}

pub(super) fn rivals(board: &Board, t: &Texts) -> Vec<RivalView> {
    let mut found = Vec::new();
    for d in &board.differences {
        let suite = &board.suites[d.suite];
        let Some((baseline, _)) = &suite.best_baseline else {
            continue;
        };
        let (a, b) = (&board.rows[d.a], &board.rows[d.b]);
        let sides = [(a, b, 1.0), (b, a, -1.0)];
        let side = sides.into_iter().find(|(encoder, other, _)| {
            let is_best = other.kind == Kind::Baseline && &other.name == baseline;
            encoder.kind == Kind::Encoder && is_best
        });
        let Some((encoder, other, sign)) = side else {
            continue;
        };
        let [low, high] = if sign > 0.0 {
            d.interval
        } else {
            [-d.interval[1], -d.interval[0]]
        };
        let class = if low > 0.0 {
            "gain"
        } else if high < 0.0 {
            "loss"
        } else {
            "same"
        };
        found.push(RivalView {
            name: encoder.name.clone(),
            suite: suite.title.clone(),
            rival: other.name.clone(),
            delta: signed(sign * d.delta, 4),
            interval: between(Some([low, high])),
            p: probability(d.p_value),
            verdict: text(t, &format!("verdict_{class}")).to_owned(),
            class,
        });
        if found.len() >= MOST_DETAILS {
            break;
        }
    }
    found
}

pub(super) fn disputes(board: &Board, t: &Texts) -> Vec<DisputeView> {
    let views = board.disputes.iter().map(|d| {
        let (a, b) = (&board.rows[d.a], &board.rows[d.b]);
        let suite = &board.suites[d.suite];
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let place = |share: f64| (share * 1000.0).round() / 10.0;
        DisputeView {
            id: format!("{}-{}-{}", d.suite, d.a, d.b),
            suite: suite.key.clone(),
            title: suite.title.clone(),
            a: name_of(a, t),
            b: name_of(b, t),
            withheld: d.withheld.as_deref().map(|w| say(w, t)),
            licence: suite.licence.clone(),
            korean: suite.languages.iter().any(|l| l.starts_with("kor")),
            pairs: d
                .pairs
                .iter()
                .map(|p| PairView {
                    id: p.id.clone(),
                    domain: p.domain.clone().unwrap_or_default(),
                    gold: p.gold.to_string(),
                    ranks: [p.gold_rank, p.rank_a, p.rank_b].map(percent),
                    places: [p.gold_rank, p.rank_a, p.rank_b].map(place),
                    nearer: match p.nearer {
                        Some('a') => name_of(a, t),
                        Some(_) => name_of(b, t),
                        None => String::new(),
                    },
                    texts: p.texts.clone(),
                })
                .collect(),
        }
    });
    let mut views: Vec<DisputeView> = views.collect();
    // What can be read comes first.
    views.sort_by_key(|d| d.withheld.is_some());
    views
}

/// What every record of a suite says: the part on that suite says it once. By suite.
pub(super) fn common_warnings(board: &Board) -> Vec<Vec<&String>> {
    let of_suite = |at: usize| {
        let mut run = board
            .rows
            .iter()
            .filter_map(|r| r.cells[at].as_ref())
            .filter(|c| c.pairs_sha256.is_some());
        let first = run.next().map(|c| &c.warnings);
        let others: Vec<&Cell> = run.collect();
        first
            .into_iter()
            .flatten()
            .filter(|w| !others.is_empty() && others.iter().all(|c| c.warnings.contains(w)))
            .collect()
    };
    (0..board.suites.len()).map(of_suite).collect()
}

pub(super) fn provenance(
    board: &Board,
    at: usize,
    common: &[Vec<&String>],
    t: &Texts,
) -> ProvenanceView {
    let row = &board.rows[at];
    let mut facts: Vec<[String; 2]> = Vec::new();
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            facts.push([name.to_owned(), value]);
        }
    };
    fact(text(t, "source"), row.source.clone());
    fact(text(t, "protocol"), Some(row.protocol.clone()));
    fact(
        text(t, "weights"),
        row.facts.parameters.map(|n| n.to_string()),
    );
    fact(text(t, "licence"), row.facts.licence.clone());
    fact(text(t, "languages"), Some(row.facts.languages.join(", ")));
    fact(text(t, "architecture"), row.facts.architecture.clone());
    for (name, value) in &row.run {
        fact(name, Some(say(value, t)));
    }
    let short = |hash: &Option<String>| {
        hash.as_deref()
            .map_or_else(String::new, |h| h.chars().take(12).collect())
    };
    let cells =
        row.cells
            .iter()
            .zip(&board.suites)
            .zip(common)
            .filter_map(|((cell, suite), common)| {
                let cell = cell.as_ref()?;
                let mut remarks: Vec<String> = cell.unranked.iter().map(|w| say(w, t)).collect();
                if cell.approximate {
                    remarks.push(text(t, "approximate").to_owned());
                }
                let said = |w: &&String| common.contains(w) || cell.unranked.as_ref() == Some(*w);
                let own = cell.warnings.iter().filter(|w| !said(w));
                remarks.extend(own.map(|w| say(w, t)));
                Some([
                    suite.key.clone(),
                    cell.score.map_or_else(
                        || "–".into(),
                        |s| format!("{}{}", decimal(s, 6), dagger(cell.trained_on)),
                    ),
                    interval(cell.interval, 4),
                    cell.n_pairs.map(|n| n.to_string()).unwrap_or_default(),
                    short(&cell.release_id),
                    short(&cell.pairs_sha256),
                    percent(cell.values.get("truncated_share")),
                    remarks.join(" · "),
                ])
            });
    let cells = cells.collect();
    ProvenanceView {
        id: row.id.clone(),
        name: name_of(row, t),
        badge: row.badge.name(),
        badge_text: badge_text(row.badge, t),
        facts,
        url: row.facts.url.clone().or_else(|| row.source_url.clone()),
        cells,
    }
}

/// What the comparison of two models reads: rows, suites, and differences in units of 1e-4.
pub(super) fn data(board: &Board, t: &Texts) -> String {
    let unit = |v: f64| (v * 1e4).round() as i64;
    // By model: its id and the rows of its differences.
    let models = board.models.iter();
    let rows: Vec<serde_json::Value> = models.map(|m| serde_json::json!([m.id, m.rows])).collect();
    // By couple of rows, then suite after suite.
    let mut couples: BTreeMap<(usize, usize), Vec<i64>> = BTreeMap::new();
    for d in &board.differences {
        let [low, high] = d.interval.map(unit);
        let numbers = [d.suite as i64, unit(d.delta), low, high, unit(d.p_value)];
        couples.entry((d.a, d.b)).or_default().extend(numbers);
    }
    let differences: Vec<Vec<i64>> = couples
        .into_iter()
        .map(|((a, b), numbers)| [vec![a as i64, b as i64], numbers].concat())
        .collect();
    let suites: Vec<&str> = board.suites.iter().map(|s| s.title.as_str()).collect();
    let keys = [
        "delta",
        "interval",
        "p",
        "verdict",
        "suite",
        "none_paired",
        "verdict_same",
        "remove",
    ];
    let texts: BTreeMap<&str, &str> = keys.into_iter().map(|k| (k, text(t, k))).collect();
    let all = serde_json::json!({"m": rows, "s": suites, "d": differences, "t": texts});
    // Nothing in it can end the script element or start another.
    all.to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}
