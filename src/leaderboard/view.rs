//! What the templates see: typed, in the reader's language, every number already a text.

use std::collections::BTreeMap;

use serde::Serialize;

use super::board::{Badge, Board, Cell, Kind, Row, Stage};
use super::chart::{self, Bars, CoverageChart, Dumbbell, Forest, HeatMap, Scatter, Words};
use super::chart::{decimal, signed};
use crate::coverage::gains::{self, GainGroup, Measure};
use crate::suite::manifest::Area;

/// Texts of a page by key.
pub type Texts = BTreeMap<String, String>;

/// Most rows of a table of details; the exports hold all.
const MOST_DETAILS: usize = 40;

/// Rows up to which the provenance stands on the page itself.
const MOST_PROVENANCE: usize = 40;

/// A page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// Language: `en`, `ko`.
    pub lang: String,
    /// The other languages: code, name, file of this page and of the pair browser.
    pub languages: Vec<[String; 4]>,
    /// Texts.
    pub t: Texts,
    /// What the figures say at first sight.
    pub findings: Vec<String>,
    /// Suites.
    pub suites: Vec<SuiteView>,
    /// Rows in groups that are never mixed.
    pub groups: Vec<GroupView>,
    /// Number of rows.
    pub rows: usize,
    /// What can be filtered by.
    pub filters: Filters,
    /// Details of each suite.
    pub details: Vec<DetailView>,
    /// Before and after, one per source.
    pub adaptations: Vec<AdaptationView>,
    /// Figures of one model and suite that sources disagree on.
    pub contradictions: Vec<[String; 6]>,
    /// Score against size.
    pub scatters: Vec<Scatter>,
    /// Coverage against gain.
    pub coverage: Vec<CoverageView>,
    /// Each encoder against the best baseline.
    pub rivals: Vec<RivalView>,
    /// Pairs on which models disagree.
    pub disputes: Vec<DisputeView>,
    /// Where each number comes from; empty where it has a page of its own.
    pub provenance: Vec<ProvenanceView>,
    /// File that holds the provenance; empty where it is this page.
    pub provenance_file: String,
    /// File of this page.
    pub index_file: String,
    /// File of the pair browser.
    pub pairs_file: String,
    /// What was left out.
    pub notes: Vec<String>,
    /// Differences for the comparison, as JSON that is safe inside a script element.
    pub data: String,
    /// Program and version.
    pub made_by: String,
}

/// A suite in the head of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteView {
    /// Key.
    pub key: String,
    /// Title.
    pub title: String,
    /// Area in the reader's language.
    pub area: String,
    /// Whether it is finance.
    pub finance: bool,
    /// Number of pairs.
    pub n_pairs: Option<usize>,
    /// Ceiling.
    pub ceiling: Option<String>,
    /// Languages.
    pub languages: String,
    /// Licence.
    pub licence: String,
    /// Homepage.
    pub homepage: Option<String>,
}

/// Rows of one origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupView {
    /// Name of the group.
    pub title: String,
    /// What its badge means.
    pub note: String,
    /// Badge.
    pub badge: &'static str,
    /// Where to read it.
    pub url: Option<String>,
    /// Rows.
    pub rows: Vec<RowView>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowView {
    /// For links.
    pub id: String,
    /// Name.
    pub name: String,
    /// Language of the name, where it is Korean.
    pub korean: bool,
    /// `baseline` or `encoder`.
    pub kind: &'static str,
    /// Before or after, in the reader's language.
    pub stage: String,
    /// Badge.
    pub badge: &'static str,
    /// Badge in the reader's language.
    pub badge_text: String,
    /// Protocol.
    pub protocol: String,
    /// Number of weights, for sorting and filters.
    pub parameters: Option<u64>,
    /// Number of weights as text.
    pub size: String,
    /// Licence.
    pub licence: String,
    /// Languages.
    pub languages: String,
    /// Architecture.
    pub architecture: String,
    /// Cells.
    pub cells: Vec<CellView>,
}

/// A cell of the table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CellView {
    /// Score; a dash where there is none.
    pub text: String,
    /// Interval.
    pub interval: String,
    /// Rank or range of ranks.
    pub rank: String,
    /// Classes: bar, mark of the baselines, first rank.
    pub class: String,
}

/// What can be filtered by.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Filters {
    /// Badges: value and text.
    pub badges: Vec<[String; 2]>,
    /// Protocols.
    pub protocols: Vec<String>,
    /// Licences.
    pub licences: Vec<String>,
    /// Languages.
    pub languages: Vec<String>,
    /// Architectures.
    pub architectures: Vec<String>,
}

/// Everything about one suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetailView {
    /// The suite.
    pub suite: SuiteView,
    /// Scores with intervals.
    pub forest: Option<Forest>,
    /// ρ per domain.
    pub heat_map: Option<HeatMap>,
    /// Triplet accuracy.
    pub bars: Option<Bars>,
    /// Heads of the table, after the name: text and whether it is a number.
    pub head: Vec<String>,
    /// Rows: name, id, class, cells.
    pub rows: Vec<DetailRow>,
    /// How many rows are left out.
    pub more: usize,
    /// Warnings: text and models.
    pub warnings: Vec<[String; 2]>,
}

/// A row of a suite's table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetailRow {
    /// Name with its stage.
    pub name: String,
    /// For links.
    pub id: String,
    /// `baseline`, `encoder` or `reported`.
    pub class: String,
    /// Cells.
    pub cells: Vec<String>,
}

/// Before and after, from one source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationView {
    /// Who says so.
    pub title: String,
    /// Badge.
    pub badge: &'static str,
    /// Badge in the reader's language.
    pub badge_text: String,
    /// One chart per suite.
    pub charts: Vec<Dumbbell>,
    /// Suites: key and title.
    pub suites: Vec<[String; 2]>,
    /// Rows.
    pub rows: Vec<AdaptationRow>,
}

/// One model before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationRow {
    /// Name.
    pub name: String,
    /// Per suite: before, after, Δ, interval, class; empty where unknown.
    pub cells: Vec<[String; 5]>,
    /// Mean Δ over the suites of finance, and over the others.
    pub means: [String; 2],
}

/// Coverage against gain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageView {
    /// Which models.
    pub title: String,
    /// The chart.
    pub chart: Option<CoverageChart>,
    /// Suites whose gains are shown.
    pub suites: Vec<String>,
    /// Rows: model, vocabulary, size, raw, raw share, decoded, decoded share, gains, mean.
    pub rows: Vec<Vec<String>>,
    /// ρ of coverage and gain: measure, ρ, p, smallest p.
    pub correlations: Vec<[String; 4]>,
    /// What the figures support, in English.
    pub findings: Vec<String>,
}

/// An encoder against the best baseline of a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RivalView {
    /// The encoder.
    pub name: String,
    /// Suite.
    pub suite: String,
    /// The other.
    pub rival: String,
    /// Difference.
    pub delta: String,
    /// Its interval.
    pub interval: String,
    /// p.
    pub p: String,
    /// What may be said, in the reader's language.
    pub verdict: String,
    /// `gain`, `loss`, `same`.
    pub class: &'static str,
}

/// Two models and the pairs they disagree on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DisputeView {
    /// For links.
    pub id: String,
    /// Suite.
    pub suite: String,
    /// Title of the suite.
    pub title: String,
    /// First model.
    pub a: String,
    /// Second model.
    pub b: String,
    /// Why texts are not shown.
    pub withheld: Option<String>,
    /// Licence of the texts.
    pub licence: String,
    /// Whether the texts are Korean.
    pub korean: bool,
    /// Pairs.
    pub pairs: Vec<PairView>,
}

/// A pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairView {
    /// Id.
    pub id: String,
    /// Domain.
    pub domain: String,
    /// Gold score.
    pub gold: String,
    /// Ranks as percentages: gold, first, second.
    pub ranks: [String; 3],
    /// The same from 0 to 100, for the drawing.
    pub places: [f64; 3],
    /// Name of the nearer model.
    pub nearer: String,
    /// Texts.
    pub texts: Option<[String; 2]>,
}

/// Where the numbers of a row come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProvenanceView {
    /// For links.
    pub id: String,
    /// Name.
    pub name: String,
    /// Badge.
    pub badge: &'static str,
    /// Badge in the reader's language.
    pub badge_text: String,
    /// Facts: name and value.
    pub facts: Vec<[String; 2]>,
    /// Where to read about the model.
    pub url: Option<String>,
    /// Per suite: suite, ρ, interval, pairs, release, per-pair scores, truncated, remarks.
    pub cells: Vec<[String; 8]>,
}

/// Names of the files of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The page.
    pub index: String,
    /// The pair browser.
    pub pairs: String,
    /// The provenance, where it has a page of its own.
    pub provenance: String,
}

impl Files {
    /// Names in a language; English has the bare ones.
    #[must_use]
    pub fn of(lang: &str) -> Self {
        let end = if lang == "en" {
            String::new()
        } else {
            format!(".{lang}")
        };
        Self {
            index: format!("index{end}.html"),
            pairs: format!("pairs{end}.html"),
            provenance: format!("provenance{end}.html"),
        }
    }
}

/// A text of the page; its key where it is missing, which a test rules out.
fn text<'a>(t: &'a Texts, key: &'a str) -> &'a str {
    t.get(key).map_or(key, String::as_str)
}

/// A text with its places filled.
fn fill(t: &Texts, key: &str, values: &[(&str, &str)]) -> String {
    let mut out = text(t, key).to_owned();
    for (name, value) in values {
        out = out.replace(&format!("{{{name}}}"), value);
    }
    out
}

fn interval(value: Option<[f64; 2]>, digits: usize) -> String {
    value.map_or_else(String::new, |[low, high]| {
        format!("[{}, {}]", decimal(low, digits), decimal(high, digits))
    })
}

fn between(value: Option<[f64; 2]>) -> String {
    value.map_or_else(String::new, |[low, high]| {
        format!("[{}, {}]", signed(low, 3), signed(high, 3))
    })
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |v| decimal(v, digits))
}

fn percent(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(v) if v > 0.0 && v < 0.001 => "<0.1 %".into(),
        Some(v) => format!("{:.1} %", 100.0 * v),
    }
}

fn probability(p: f64) -> String {
    if p < 0.001 {
        "<0.001".into()
    } else {
        format!("{p:.3}")
    }
}

fn rank(cell: &Cell) -> String {
    match cell.rank {
        Some([best, worst]) if best == worst => best.to_string(),
        Some([best, worst]) => format!("{best}–{worst}"),
        None => String::new(),
    }
}

fn name_of(row: &Row, t: &Texts) -> String {
    match row.stage {
        Some(Stage::After) => format!("{} {}", row.name, text(t, "adapted")),
        _ => row.name.clone(),
    }
}

fn class_of(row: &Row) -> &'static str {
    match (row.kind, row.badge) {
        (Kind::Baseline, _) => "baseline",
        (_, Badge::Reported) => "reported",
        _ => "encoder",
    }
}

fn is_korean(text: &str) -> bool {
    text.chars().any(crate::text::is_hangul)
}

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
    let apart = board.rows.len() > MOST_PROVENANCE;
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
            .map(|r| provenance(board, r, t))
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
        made_by: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
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

fn badge_text(badge: Badge, t: &Texts) -> String {
    text(t, badge.name()).to_owned()
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

/// A column of a suite's table: the key of its head, and its text.
type Column = (&'static str, fn(&Cell) -> String);

fn detail(board: &Board, at: usize, view: &SuiteView, t: &Texts, words: Words<'_>) -> DetailView {
    let suite = &board.suites[at];
    let rows = board.by_score(at);
    let shown: Vec<usize> = rows.iter().copied().take(MOST_DETAILS).collect();
    let columns: [Column; 14] = [
        ("rank", rank),
        ("rho", |c| number(c.score, 4)),
        ("interval", |c| interval(c.interval, 3)),
        ("pairs", |c| {
            c.n_pairs.map(|n| n.to_string()).unwrap_or_default()
        }),
        ("pearson", |c| number(c.pearson, 4)),
        ("auc", |c| number(c.auc, 4)),
        ("ap", |c| number(c.average_precision, 4)),
        ("over_ceiling", |c| percent(c.over_ceiling)),
        ("macro", |c| number(c.macro_spearman, 4)),
        ("within", |c| number(c.within_domain, 4)),
        ("triplets", |c| {
            let n = c.triplets.len();
            percent((n > 0).then(|| c.triplets.values().sum::<f64>() / n as f64))
        }),
        ("truncated", |c| percent(c.truncated)),
        ("ties", |c| percent(c.ties)),
        ("beats", |c| match c.beats_baselines {
            Some(true) => "yes".into(),
            Some(false) => "no".into(),
            None => String::new(),
        }),
    ];
    let of = |row: usize| board.rows[row].cells[at].as_ref();
    let used: Vec<&Column> = columns
        .iter()
        .filter(|(_, get)| {
            shown
                .iter()
                .any(|&r| of(r).is_some_and(|c| !get(c).is_empty()))
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
    let mut head: Vec<String> = used.iter().map(|(k, _)| text(t, k).to_owned()).collect();
    head.extend(domains.iter().map(|d| (*d).clone()));
    // Models of which only domains are known stand in the heat map alone.
    let rows_view = shown.iter().map(|&r| {
        let row = &board.rows[r];
        let cell = of(r);
        let mut cells: Vec<String> = used
            .iter()
            .map(|(key, get)| {
                let value = cell.map(get).unwrap_or_default();
                if *key == "beats" && !value.is_empty() {
                    text(t, &value).to_owned()
                } else {
                    value
                }
            })
            .collect();
        cells.extend(domains.iter().map(|d| {
            let found = cell.and_then(|c| c.domains.get(*d));
            number(found.and_then(|d| d.1), 4)
        }));
        DetailRow {
            name: name_of(row, t),
            id: row.id.clone(),
            class: class_of(row).to_owned(),
            cells,
        }
    });
    DetailView {
        suite: view.clone(),
        forest: chart::forest(board, at, words),
        heat_map: chart::heat_map(board, at, words, text(t, "pooled")),
        bars: chart::bars(board, at),
        head,
        rows: rows_view.collect(),
        more: rows.len() - shown.len(),
        warnings: warnings(board, at),
    }
}

/// Warnings of a suite's records; one that several share is said once.
fn warnings(board: &Board, suite: usize) -> Vec<[String; 2]> {
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
            [warning, names]
        })
        .collect()
}

fn adaptations(board: &Board, t: &Texts, words: Words<'_>) -> Vec<AdaptationView> {
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
        let mean = |a: &super::board::Adaptation, area: Area| {
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
            charts: suites
                .iter()
                .filter_map(|&s| chart::dumbbell(board, s, source.as_deref(), words))
                .collect(),
            suites: suites
                .iter()
                .map(|&s| [board.suites[s].key.clone(), board.suites[s].title.clone()])
                .collect(),
            rows: of
                .iter()
                .map(|a| AdaptationRow {
                    name: a.name.clone(),
                    cells: suites
                        .iter()
                        .map(|s| match a.changes.get(s) {
                            None => Default::default(),
                            Some(c) => [
                                decimal(c.before, 4),
                                decimal(c.after, 4),
                                signed(c.delta(), 4),
                                between(c.interval),
                                match c.interval {
                                    Some([low, _]) if low > 0.0 => "gain",
                                    Some([_, high]) if high < 0.0 => "loss",
                                    _ => "same",
                                }
                                .to_owned(),
                            ],
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
fn contradictions(board: &Board, t: &Texts) -> Vec<[String; 6]> {
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

/// Charts of size for the suites that most sized models were scored on, four at most.
fn scatters(board: &Board, words: Words<'_>) -> Vec<Scatter> {
    let mut found: Vec<Scatter> = (0..board.suites.len())
        .filter_map(|s| chart::scatter(board, s, words))
        .collect();
    found.sort_by_key(|s| std::cmp::Reverse(s.points.len()));
    found.truncate(4);
    found
}

fn coverage(group: &GainGroup) -> CoverageView {
    let share = |v: f64| format!("{:.2} %", 100.0 * v);
    CoverageView {
        title: group.title.clone(),
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
                    measure.name().to_owned(),
                    number(c.rho, 2),
                    number(c.p_value, 3),
                    number(c.smallest_p, 3),
                ])
            })
            .collect(),
        findings: group.findings.clone(),
    }
}

fn rivals(board: &Board, t: &Texts) -> Vec<RivalView> {
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

fn disputes(board: &Board, t: &Texts) -> Vec<DisputeView> {
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
            withheld: d.withheld.clone(),
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
    views.collect()
}

fn provenance(board: &Board, at: usize, t: &Texts) -> ProvenanceView {
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
        text(t, "parameters"),
        row.facts.parameters.map(|n| n.to_string()),
    );
    fact(text(t, "licence"), row.facts.licence.clone());
    fact(text(t, "languages"), Some(row.facts.languages.join(", ")));
    fact(text(t, "architecture"), row.facts.architecture.clone());
    for (name, value) in &row.run {
        fact(name, Some(value.clone()));
    }
    let short = |hash: &Option<String>| {
        hash.as_deref()
            .map_or_else(String::new, |h| h.chars().take(12).collect())
    };
    let cells = row
        .cells
        .iter()
        .zip(&board.suites)
        .filter_map(|(cell, suite)| {
            let cell = cell.as_ref()?;
            let mut remarks: Vec<String> = cell.unranked.iter().cloned().collect();
            if cell.approximate {
                remarks.push(text(t, "approximate").to_owned());
            }
            remarks.extend(cell.warnings.iter().cloned());
            Some([
                suite.key.clone(),
                cell.score.map_or_else(|| "–".into(), |s| s.to_string()),
                interval(cell.interval, 4),
                cell.n_pairs.map(|n| n.to_string()).unwrap_or_default(),
                short(&cell.release_id),
                short(&cell.pairs_sha256),
                percent(cell.truncated),
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
fn data(board: &Board, t: &Texts) -> String {
    let unit = |v: f64| (v * 1e4).round() as i64;
    let rows: Vec<serde_json::Value> = board
        .rows
        .iter()
        .map(|r| serde_json::json!([name_of(r, t), r.protocol, r.badge.name()]))
        .collect();
    let differences: Vec<[i64; 7]> = board
        .differences
        .iter()
        .map(|d| {
            let [low, high] = d.interval.map(unit);
            [
                d.a as i64,
                d.b as i64,
                d.suite as i64,
                unit(d.delta),
                low,
                high,
                unit(d.p_value),
            ]
        })
        .collect();
    let suites: Vec<&str> = board.suites.iter().map(|s| s.title.as_str()).collect();
    let keys = [
        "delta",
        "interval",
        "p",
        "verdict",
        "suite",
        "none_paired",
        "verdict_gain",
        "verdict_loss",
        "verdict_same",
        "shown",
        "same_model",
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
