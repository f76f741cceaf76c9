//! The board: records and reported figures put in order, with the statistics between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use serde::Serialize;

use super::LeaderboardError;
use super::catalogue::Catalogue;
use super::compare::{Disagreement, disagreements};
use super::entry::{Entry, NAME_LENGTH};
use super::reported::{ModelFacts, Models, Reported};
use crate::metric::{self, BootstrapOptions, Field, PairedStatistic};
use crate::run::record::{ScoredPair, SuiteFacts};
use crate::suite::manifest::Area;
use crate::text::visible;

/// Most characters of a text of a pair, or of a warning.
const TEXT_LENGTH: usize = 400;

/// How a result came about. They are never ranked as if they were the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Badge {
    /// Run by the maintainers, and equal to what its per-pair scores give.
    Reproduced,
    /// Run by others, and computed again here from its per-pair scores.
    Recomputed,
    /// Said by others, in a paper or on another leaderboard.
    Reported,
}

impl Badge {
    /// As printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Recomputed => "recomputed",
            Self::Reported => "reported",
        }
    }
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An encoder.
    Encoder,
    /// A similarity that needs no model.
    Baseline,
}

/// Before or after the adaptation that a source is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// As it was.
    Before,
    /// Adapted.
    After,
}

/// What a board is made of.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Records that the maintainers made.
    pub reproduced: Vec<Entry>,
    /// Records that others made.
    pub submitted: Vec<Entry>,
    /// Figures that others report.
    pub reported: Vec<Reported>,
    /// Facts about models.
    pub models: Models,
    /// Files that were left out, with the reason.
    pub broken: Vec<(String, String)>,
}

/// How a board is computed.
#[derive(Debug, Clone, Copy)]
pub struct BoardOptions {
    /// Resamples behind ranks and differences.
    pub bootstrap: BootstrapOptions,
    /// Pairs shown per suite and couple of models in the pair browser.
    pub disagreements: usize,
    /// Most differences of two models that are kept.
    pub most_differences: usize,
}

impl Default for BoardOptions {
    fn default() -> Self {
        Self {
            bootstrap: BootstrapOptions::default(),
            disagreements: 10,
            most_differences: 2_000,
        }
    }
}

/// Everything a page shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Board {
    /// Suites: finance first, then by name.
    pub suites: Vec<SuiteColumn>,
    /// Models: by badge, baselines last, then by the score on the first suite.
    pub rows: Vec<Row>,
    /// Differences of two rows on a suite, from a paired bootstrap.
    pub differences: Vec<RowDifference>,
    /// Models before and after adaptation.
    pub adaptations: Vec<Adaptation>,
    /// Pairs on which two rows disagree most.
    pub disputes: Vec<Dispute>,
    /// What was left out and why.
    pub notes: Vec<String>,
    /// Resamples behind ranks and differences.
    pub resamples: usize,
    /// Nominal coverage of every interval.
    pub level: f64,
}

/// A suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteColumn {
    /// Name in reports.
    pub key: String,
    /// Name as people write it.
    pub title: String,
    /// Finance or general.
    pub area: Area,
    /// Languages with script.
    pub languages: Vec<String>,
    /// Licence of its texts.
    pub licence: String,
    /// Where to read about it.
    pub homepage: Option<String>,
    /// Whether gold is 0 or 1.
    pub binary: bool,
    /// Pairs.
    pub n_pairs: Option<usize>,
    /// Largest ρ that untied predictions can reach; binary gold only.
    pub ceiling: Option<f64>,
    /// Domains in the order of their names.
    pub domains: Vec<String>,
    /// The release that is ranked.
    pub release_id: Option<String>,
    /// The baseline with the highest score, and that score.
    pub best_baseline: Option<(String, f64)>,
}

/// A model under one protocol, or one model of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Unique, of letters, digits and dashes: for links.
    pub id: String,
    /// Name as shown.
    pub name: String,
    /// Encoder or baseline.
    pub kind: Kind,
    /// How its results came about.
    pub badge: Badge,
    /// Before or after an adaptation.
    pub stage: Option<Stage>,
    /// Protocol of prompts.
    pub protocol: String,
    /// Who reports it.
    pub source: Option<String>,
    /// Where.
    pub source_url: Option<String>,
    /// What is known of the model.
    pub facts: ModelFacts,
    /// Facts of the run, in the order in which they are shown: name and value.
    pub run: Vec<(String, String)>,
    /// One per suite of the board.
    pub cells: Vec<Option<Cell>>,
}

/// A model on a suite.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cell {
    /// ρ; `None` with the reason in the warnings.
    pub score: Option<f64>,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
    /// Whether the interval follows from ρ and n alone rather than from pairs.
    pub approximate: bool,
    /// Pairs.
    pub n_pairs: Option<usize>,
    /// Best and worst rank it may hold among those run under the same protocol.
    pub rank: Option<[usize; 2]>,
    /// How many were ranked.
    pub ranked: usize,
    /// Whether it is surely better than the best baseline; of a reported figure, whether it is
    /// above it. `None` where there is no baseline.
    pub beats_baselines: Option<bool>,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// ρ over its ceiling.
    pub over_ceiling: Option<f64>,
    /// Pearson's r.
    pub pearson: Option<f64>,
    /// Mean over domains.
    pub macro_spearman: Option<f64>,
    /// Stratified by domain.
    pub within_domain: Option<f64>,
    /// By domain: pairs and ρ.
    pub domains: BTreeMap<String, (usize, Option<f64>)>,
    /// Triplet accuracy by group.
    pub triplets: BTreeMap<String, f64>,
    /// Share of texts that were truncated.
    pub truncated: Option<f64>,
    /// Share of tied predictions.
    pub ties: Option<f64>,
    /// What a reader must know.
    pub warnings: Vec<String>,
    /// Release of the suite that it was run on.
    pub release_id: Option<String>,
    /// Hash of the per-pair scores.
    pub pairs_sha256: Option<String>,
    /// Why it is not ranked.
    pub unranked: Option<String>,
}

/// Two rows on one suite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RowDifference {
    /// Index of the suite.
    pub suite: usize,
    /// Index of the first row; less than that of the second.
    pub a: usize,
    /// Index of the second row.
    pub b: usize,
    /// ρ of the first less that of the second.
    pub delta: f64,
    /// Percentile interval.
    pub interval: [f64; 2],
    /// Two-sided p of the bootstrap.
    pub p_value: f64,
}

/// A model before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adaptation {
    /// Name of the model.
    pub name: String,
    /// Who says so; `None` for what was run.
    pub source: Option<String>,
    /// How the results came about.
    pub badge: Badge,
    /// By suite: before and after.
    pub changes: BTreeMap<usize, Change>,
}

/// Before and after on a suite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// ρ before.
    pub before: f64,
    /// ρ after.
    pub after: f64,
    /// Interval of ρ before.
    pub before_interval: Option<[f64; 2]>,
    /// Interval of ρ after.
    pub after_interval: Option<[f64; 2]>,
    /// Interval of the difference: paired where both were run; else as if the two were independent,
    /// which is wider.
    pub interval: Option<[f64; 2]>,
    /// Whether that interval is paired.
    pub paired: bool,
}

impl Change {
    /// After less before.
    #[must_use]
    pub fn delta(&self) -> f64 {
        self.after - self.before
    }
}

/// Two rows and the pairs of a suite that they see most differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dispute {
    /// Index of the suite.
    pub suite: usize,
    /// Index of the first row.
    pub a: usize,
    /// Index of the second row.
    pub b: usize,
    /// The pairs.
    pub pairs: Vec<Disagreement>,
    /// Why their texts are not shown.
    pub withheld: Option<String>,
}

/// Per-pair scores of a cell.
struct Scored {
    row: usize,
    facts: SuiteFacts,
    pairs: Vec<ScoredPair>,
}

impl Board {
    /// Puts records and figures in order and computes what is between them.
    ///
    /// # Errors
    /// When there is nothing to show, or a suite on disk is broken.
    pub fn new(
        inputs: &Inputs,
        catalogue: &Catalogue,
        options: &BoardOptions,
    ) -> Result<Self, LeaderboardError> {
        let mut maker = Maker {
            catalogue,
            options,
            suites: BTreeMap::new(),
            rows: Vec::new(),
            scored: HashMap::new(),
            notes: inputs
                .broken
                .iter()
                .map(|(path, reason)| format!("left out: {path}: {reason}"))
                .collect(),
        };
        maker.records(&inputs.reproduced, Badge::Reproduced, &inputs.models);
        maker.records(&inputs.submitted, Badge::Recomputed, &inputs.models);
        for reported in &inputs.reported {
            maker.reported(reported, &inputs.models);
        }
        if maker.rows.is_empty() {
            return Err(LeaderboardError::Empty {
                reason: "no record and no reported figure".into(),
            });
        }
        maker.finish()
    }

    /// Index of a suite.
    #[must_use]
    pub fn suite(&self, key: &str) -> Option<usize> {
        self.suites.iter().position(|s| s.key == key)
    }

    /// Rows with a score on a suite, highest first.
    #[must_use]
    pub fn by_score(&self, suite: usize) -> Vec<usize> {
        let score = |row: usize| self.rows[row].cells[suite].as_ref().and_then(|c| c.score);
        let mut rows: Vec<usize> = (0..self.rows.len())
            .filter(|&r| score(r).is_some())
            .collect();
        let place = |row: usize| score(row).unwrap_or(f64::NEG_INFINITY);
        rows.sort_by(|&a, &b| place(b).total_cmp(&place(a)));
        rows
    }
}

/// A row while the board is made: cells by the key of their suite.
struct RowDraft {
    row: Row,
    cells: BTreeMap<String, Cell>,
    /// What tells rows apart.
    key: String,
}

struct Maker<'a> {
    catalogue: &'a Catalogue,
    options: &'a BoardOptions,
    suites: BTreeMap<(Area, String), SuiteColumn>,
    rows: Vec<RowDraft>,
    /// Per-pair scores by suite.
    scored: HashMap<String, Vec<Scored>>,
    notes: Vec<String>,
}

impl Maker<'_> {
    fn records(&mut self, entries: &[Entry], badge: Badge, models: &Models) {
        // Reading and checking per-pair scores is most of the work that is no statistics.
        let checked: Vec<Result<Vec<ScoredPair>, String>> = entries
            .par_iter()
            .map(|entry| {
                let pairs = entry.pairs().map_err(|e| e.to_string())?;
                agrees(entry, &pairs)?;
                Ok(pairs)
            })
            .collect();
        for (entry, pairs) in entries.iter().zip(checked) {
            self.record(entry, badge, pairs, models);
        }
    }

    fn record(
        &mut self,
        entry: &Entry,
        badge: Badge,
        pairs: Result<Vec<ScoredPair>, String>,
        models: &Models,
    ) {
        let record = &entry.record;
        let key = self.catalogue.key(&record.suite);
        let badge = match &pairs {
            Ok(_) => badge,
            // What cannot be computed again is only said.
            Err(_) => Badge::Reported,
        };
        if let Err(reason) = &pairs
            && record.pairs.is_some()
        {
            self.notes.push(visible(
                &format!("left out: {} on {key}: {reason}", entry.name()),
                TEXT_LENGTH,
            ));
            return;
        }
        let kind = if entry.is_baseline() {
            Kind::Baseline
        } else {
            Kind::Encoder
        };
        let e = &record.encoder;
        let text = |o: &Option<String>| o.clone().unwrap_or_default();
        let row_key = format!(
            "{badge:?}\n{}\n{}\n{}\n{}\n{}\n{}",
            e.name,
            e.protocol,
            text(&e.sha256),
            text(&e.dtype),
            e.backend,
            text(&e.revision)
        );
        let at = self.row(row_key, || {
            let mut facts = models.of(&e.name);
            if facts.architecture.is_none() {
                facts.architecture.clone_from(&e.architecture);
            }
            let mut name = entry.name();
            if let Some(dtype) = e.dtype.as_deref().filter(|d| *d != "float32") {
                name = format!("{name} [{}]", visible(dtype, 20));
            }
            Row {
                id: String::new(),
                name,
                kind,
                badge,
                stage: None,
                protocol: visible(&e.protocol, 40),
                source: None,
                source_url: None,
                facts: clean(facts),
                run: run_facts(entry),
                cells: Vec::new(),
            }
        });
        let mut cell = cell_of(entry);
        if let Err(reason) = &pairs {
            cell.unranked = Some(visible(reason, TEXT_LENGTH));
        }
        self.column(&key, entry);
        if self.rows[at].cells.contains_key(&key) {
            let name = entry.name();
            self.notes
                .push(format!("left out: a second record of {name} on {key}"));
            return;
        }
        self.rows[at].cells.insert(key.clone(), cell);
        if let Ok(pairs) = pairs {
            self.scored.entry(key).or_default().push(Scored {
                row: at,
                facts: record.suite.clone(),
                pairs,
            });
        }
    }

    fn reported(&mut self, reported: &Reported, models: &Models) {
        for model in &reported.models {
            for (stage, scores) in [
                (None, &model.scores),
                (Some(Stage::Before), &model.before),
                (Some(Stage::After), &model.after),
            ] {
                if scores.is_empty() {
                    continue;
                }
                let key = format!("{}\n{}\n{stage:?}", reported.source, model.name);
                let at = self.row(key, || Row {
                    id: String::new(),
                    name: visible(&model.name, NAME_LENGTH),
                    kind: Kind::Encoder,
                    badge: Badge::Reported,
                    stage,
                    protocol: visible(reported.protocol.as_deref().unwrap_or_default(), 40),
                    source: Some(visible(&reported.source, 160)),
                    source_url: reported.url.clone().filter(|u| is_web(u)),
                    facts: clean(models.of(&model.name)),
                    run: Vec::new(),
                    cells: Vec::new(),
                });
                for (suite, share) in &reported.ones {
                    let column = self.column_of_id(&visible(suite, NAME_LENGTH));
                    let ceiling = (3.0 * share * (1.0 - share)).sqrt();
                    column.ceiling = column.ceiling.or(Some(ceiling).filter(|_| column.binary));
                }
                for (name, score) in scores {
                    let (suite, domain) = match name.split_once('/') {
                        Some((suite, domain)) => (suite, Some(domain)),
                        None => (name.as_str(), None),
                    };
                    let suite = visible(suite, NAME_LENGTH);
                    self.column_of_id(&suite);
                    let n = reported.pairs.get(name).copied();
                    let cell = self.rows[at].cells.entry(suite).or_default();
                    if let Some(domain) = domain {
                        let found = (n.unwrap_or(0), Some(*score));
                        cell.domains.insert(visible(domain, NAME_LENGTH), found);
                    } else {
                        cell.score = Some(*score);
                        cell.n_pairs = n;
                        cell.approximate = true;
                        cell.interval = n.and_then(|n| {
                            metric::spearman_interval(*score, n, self.options.bootstrap.level)
                        });
                    }
                }
            }
        }
    }

    fn row(&mut self, key: String, make: impl FnOnce() -> Row) -> usize {
        if let Some(at) = self.rows.iter().position(|r| r.key == key) {
            return at;
        }
        self.rows.push(RowDraft {
            row: make(),
            cells: BTreeMap::new(),
            key,
        });
        self.rows.len() - 1
    }

    fn column_of_id(&mut self, key: &str) -> &mut SuiteColumn {
        let id = key.split([':', ' ']).next().unwrap_or(key);
        let manifest = self.catalogue.manifest(id);
        let area = self.catalogue.area(id);
        self.suites
            .entry((area, key.to_owned()))
            .or_insert_with(|| {
                let split = manifest.and_then(|m| m.splits.get(&m.default_split));
                let scale = manifest.map(|m| split.map_or(m.scale, |s| m.scale_of(s)));
                SuiteColumn {
                    key: key.to_owned(),
                    title: manifest.map_or_else(|| key.to_owned(), |m| m.title.clone()),
                    area,
                    languages: manifest.map(|m| m.languages.clone()).unwrap_or_default(),
                    licence: manifest.map(|m| m.licence.clone()).unwrap_or_default(),
                    homepage: manifest
                        .and_then(|m| m.homepage.clone())
                        .filter(|u| is_web(u)),
                    binary: scale.is_some_and(|s| s.kind == crate::suite::ScaleKind::Binary),
                    n_pairs: split.and_then(|s| s.rows),
                    ceiling: None,
                    domains: split
                        .map(|s| s.domains.keys().cloned().collect())
                        .unwrap_or_default(),
                    release_id: None,
                    best_baseline: None,
                }
            })
    }

    fn column(&mut self, key: &str, entry: &Entry) {
        let record = &entry.record;
        let column = self.column_of_id(key);
        column.binary = record.suite.scale == "binary";
        column.n_pairs = Some(record.n_pairs);
        for domain in record.domains.keys() {
            let domain = visible(domain, NAME_LENGTH);
            if !column.domains.contains(&domain) {
                column.domains.push(domain);
            }
        }
        if column.binary {
            column.ceiling = record.scores.ceiling.or(column.ceiling);
        }
        if column.languages.is_empty() {
            let languages = record.suite.languages.iter().take(8);
            column.languages = languages.map(|l| visible(l, 20)).collect();
        }
    }

    fn finish(mut self) -> Result<Board, LeaderboardError> {
        let mut suites: Vec<SuiteColumn> = std::mem::take(&mut self.suites).into_values().collect();
        for suite in &mut suites {
            suite.domains.sort();
        }
        let mut fields = Vec::new();
        for (at, suite) in suites.iter_mut().enumerate() {
            let scored = self.scored.remove(&suite.key).unwrap_or_default();
            fields.extend(self.rank(at, suite, scored));
        }
        let order = self.order(&suites);
        let mut place = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new;
        }
        let mut differences = Vec::new();
        let mut disputes = Vec::new();
        for field in &fields {
            differences.extend(self.differences(field, &place, fields.len()));
            disputes.extend(self.disputes(field, &place)?);
        }
        differences.sort_by_key(|d| (d.a, d.b, d.suite));
        let mut drafts: Vec<Option<RowDraft>> = self.rows.into_iter().map(Some).collect();
        let mut rows: Vec<Row> = Vec::new();
        let mut ids = BTreeSet::new();
        for old in order {
            let mut draft = drafts[old].take().expect("each row has one place");
            draft.row.cells = suites.iter().map(|s| draft.cells.remove(&s.key)).collect();
            draft.row.id = unique(&slug(&draft.row), &mut ids);
            rows.push(draft.row);
        }
        let mut board = Board {
            suites,
            rows,
            differences,
            adaptations: Vec::new(),
            disputes,
            notes: self.notes,
            resamples: self.options.bootstrap.resamples,
            level: self.options.bootstrap.level,
        };
        board.adaptations = adaptations(&board);
        Ok(board)
    }

    /// Ranks the models of one suite, protocol by protocol; baselines stand in each.
    fn rank(&mut self, at: usize, suite: &mut SuiteColumn, scored: Vec<Scored>) -> Vec<Ranked> {
        // The release that most records are of; others are shown, not ranked.
        let mut releases: BTreeMap<String, Vec<Scored>> = BTreeMap::new();
        for s in scored {
            let cell = &self.rows[s.row].cells[&suite.key];
            let release = cell.release_id.clone().unwrap_or_default();
            let mut text = release;
            for pair in &s.pairs {
                text.push_str(&format!("\n{}\t{}", pair.id, pair.gold));
            }
            releases
                .entry(crate::fs::sha256(text.as_bytes()))
                .or_default()
                .push(s);
        }
        let Some(most) = releases
            .iter()
            .max_by_key(|(name, s)| (s.len(), std::cmp::Reverse(name.as_str())))
            .map(|(name, _)| name.clone())
        else {
            return Vec::new();
        };
        let ranked = releases.remove(&most).unwrap_or_default();
        for other in releases.into_values().flatten() {
            let cell = self.rows[other.row].cells.get_mut(&suite.key);
            if let Some(cell) = cell {
                cell.unranked = Some("another release, other pairs or other gold scores".into());
            }
        }
        suite.release_id = ranked
            .first()
            .and_then(|s| self.rows[s.row].cells[&suite.key].release_id.clone());
        let mut protocols: BTreeSet<String> = ranked
            .iter()
            .filter(|s| self.rows[s.row].row.kind == Kind::Encoder)
            .map(|s| self.rows[s.row].row.protocol.clone())
            .collect();
        if protocols.is_empty() {
            protocols.insert(String::new());
        }
        let mut fields = Vec::new();
        for protocol in protocols {
            let members: Vec<&Scored> = ranked
                .iter()
                .filter(|s| {
                    let row = &self.rows[s.row].row;
                    row.kind == Kind::Baseline || row.protocol == protocol
                })
                .collect();
            fields.extend(self.field(at, suite, &members));
        }
        self.mark_reported(suite);
        fields
    }

    fn field(&mut self, at: usize, suite: &mut SuiteColumn, members: &[&Scored]) -> Option<Ranked> {
        let gold: Vec<f64> = members.first()?.pairs.iter().map(|p| p.gold).collect();
        let (mut rows, mut columns) = (Vec::new(), Vec::new());
        for member in members {
            let scores: Option<Vec<f64>> = member.pairs.iter().map(|p| p.score).collect();
            if let Some(scores) = scores
                && metric::spearman(&scores, &gold).is_ok()
            {
                rows.push(member.row);
                columns.push(scores);
            }
        }
        let slices: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let field = Field::new(
            PairedStatistic::Spearman,
            &slices,
            &gold,
            &self.options.bootstrap,
        )
        .ok()?;
        let ranges = field.ranges().ok()?;
        let baseline = (0..rows.len())
            .filter(|&i| self.rows[rows[i]].row.kind == Kind::Baseline)
            .max_by(|&a, &b| field.score(a).total_cmp(&field.score(b)));
        if let Some(best) = baseline {
            let name = self.rows[rows[best]].row.name.clone();
            suite.best_baseline = Some((name, field.score(best)));
        }
        for (i, (&row, range)) in rows.iter().zip(&ranges).enumerate() {
            let is_baseline = self.rows[row].row.kind == Kind::Baseline;
            let Some(cell) = self.rows[row].cells.get_mut(&suite.key) else {
                continue;
            };
            // A baseline stands in every protocol's field; the first one says its rank.
            if cell.rank.is_none() || !is_baseline {
                cell.rank = Some([range.best, range.worst]);
                cell.ranked = rows.len();
            }
            cell.score = Some(range.score);
            cell.interval = Some([range.interval.low, range.interval.high]);
            if !is_baseline {
                cell.beats_baselines = baseline.map(|b| field.surely_better(i, b));
            }
        }
        let pairs = members[0].pairs.clone();
        Some(Ranked {
            suite: at,
            rows,
            field,
            baseline,
            pairs,
            columns,
            facts: members[0].facts.clone(),
        })
    }

    /// A reported figure has no pairs: it is set beside the best baseline as it is.
    fn mark_reported(&mut self, suite: &SuiteColumn) {
        let Some((_, best)) = &suite.best_baseline else {
            return;
        };
        for draft in &mut self.rows {
            if draft.row.badge == Badge::Reported
                && let Some(cell) = draft.cells.get_mut(&suite.key)
            {
                cell.beats_baselines = cell.score.map(|s| s > *best);
            }
        }
    }

    /// Rows by badge (baselines after the encoders that were run), source, and score on the first
    /// suite that each group has.
    fn order(&self, suites: &[SuiteColumn]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        let score = |at: usize| {
            let cells = &self.rows[at].cells;
            let mut suites = suites.iter().enumerate();
            suites.find_map(|(i, s)| Some((i, cells.get(&s.key)?.score?)))
        };
        order.sort_by(|&a, &b| {
            let group = |at: usize| {
                let row = &self.rows[at].row;
                (row.badge, row.source.clone(), row.kind)
            };
            group(a)
                .cmp(&group(b))
                .then_with(|| match (score(a), score(b)) {
                    (Some((i, x)), Some((j, y))) => i.cmp(&j).then(y.total_cmp(&x)),
                    (x, y) => y.is_some().cmp(&x.is_some()),
                })
                .then_with(|| self.rows[a].row.name.cmp(&self.rows[b].row.name))
        });
        order
    }

    /// Differences that the page compares rows by: all where they are few, else each row with its
    /// neighbours by score, with the best and with the best baseline.
    fn differences(&self, ranked: &Ranked, place: &[usize], fields: usize) -> Vec<RowDifference> {
        let n = ranked.rows.len();
        let share = self.options.most_differences / fields.max(1);
        let mut by_score: Vec<usize> = (0..n).collect();
        by_score.sort_by(|&a, &b| ranked.field.score(b).total_cmp(&ranked.field.score(a)));
        let mut wanted: Vec<(usize, usize)> = Vec::new();
        if n * n.saturating_sub(1) / 2 <= share {
            wanted = (0..n)
                .flat_map(|a| (a + 1..n).map(move |b| (a, b)))
                .collect();
        } else {
            for (at, &a) in by_score.iter().enumerate() {
                wanted.extend(ranked.baseline.map(|b| (a, b)));
                wanted.extend(by_score.get(at + 1).map(|&b| (a, b)));
                wanted.push((by_score[0], a));
                if wanted.len() >= share {
                    break;
                }
            }
        }
        let mut seen = BTreeSet::new();
        wanted.retain(|&(a, b)| a != b && seen.insert((a.min(b), a.max(b))));
        wanted
            .into_par_iter()
            .filter_map(|(a, b)| {
                // In the order of the rows on the page.
                let (a, b) = if place[ranked.rows[a]] <= place[ranked.rows[b]] {
                    (a, b)
                } else {
                    (b, a)
                };
                let found = ranked.field.difference(a, b).ok()?;
                Some(RowDifference {
                    suite: ranked.suite,
                    a: place[ranked.rows[a]],
                    b: place[ranked.rows[b]],
                    delta: found.delta,
                    interval: [found.interval.low, found.interval.high],
                    p_value: found.p_value,
                })
            })
            .collect()
    }

    /// The best encoder against the second, against the best baseline, and against what it was
    /// adapted from.
    fn disputes(&self, ranked: &Ranked, place: &[usize]) -> Result<Vec<Dispute>, LeaderboardError> {
        if self.options.disagreements == 0 {
            return Ok(Vec::new());
        }
        let row = |i: usize| &self.rows[ranked.rows[i]].row;
        let mut encoders: Vec<usize> = (0..ranked.rows.len())
            .filter(|&i| row(i).kind == Kind::Encoder)
            .collect();
        encoders.sort_by(|&a, &b| ranked.field.score(b).total_cmp(&ranked.field.score(a)));
        let mut couples = Vec::new();
        if let Some(&first) = encoders.first() {
            couples.extend(encoders.get(1).map(|&second| (first, second)));
            couples.extend(ranked.baseline.map(|baseline| (first, baseline)));
        }
        for &i in &encoders {
            let base = row(i).facts.adapted_from.as_ref();
            let base = base.and_then(|b| encoders.iter().find(|&&j| &row(j).facts.name == b));
            couples.extend(base.map(|&j| (i, j)));
        }
        couples.dedup();
        couples.truncate(6);
        let texts = match couples.first() {
            Some(_) => self.catalogue.texts(&ranked.facts)?,
            None => return Ok(Vec::new()),
        };
        let found = couples.into_iter().map(|(a, b)| {
            let mut pairs = disagreements(
                &ranked.pairs,
                &ranked.columns[a],
                &ranked.columns[b],
                self.options.disagreements,
            );
            for pair in &mut pairs {
                if let Ok(texts) = &texts {
                    pair.texts = texts
                        .get(&pair.id)
                        .map(|t| [visible(&t[0], TEXT_LENGTH), visible(&t[1], TEXT_LENGTH)]);
                }
                pair.id = visible(&pair.id, NAME_LENGTH);
            }
            Dispute {
                suite: ranked.suite,
                a: place[ranked.rows[a]],
                b: place[ranked.rows[b]],
                pairs,
                withheld: texts.as_ref().err().cloned(),
            }
        });
        Ok(found.collect())
    }
}

/// A field of models and what its differences are made of.
struct Ranked {
    suite: usize,
    rows: Vec<usize>,
    field: Field,
    baseline: Option<usize>,
    pairs: Vec<ScoredPair>,
    columns: Vec<Vec<f64>>,
    facts: SuiteFacts,
}

/// Whether the recorded ρ is that of the per-pair scores.
fn agrees(entry: &Entry, pairs: &[ScoredPair]) -> Result<(), String> {
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

fn cell_of(entry: &Entry) -> Cell {
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
        auc: r.scores.auc,
        average_precision: r.scores.average_precision,
        over_ceiling: r.scores.spearman_over_ceiling,
        pearson: r.scores.cosine_pearson,
        macro_spearman: r.macro_spearman,
        within_domain: r.within_domain_spearman,
        domains: domains
            .map(|(k, d)| (visible(k, NAME_LENGTH), (d.n_pairs, d.cosine_spearman)))
            .collect(),
        triplets: map(&r.triplet_accuracy),
        truncated: r.truncated_share,
        ties: r.tie_share,
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
fn run_facts(entry: &Entry) -> Vec<(String, String)> {
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
    fact("dtype", e.dtype.clone());
    fact("device", e.device.clone());
    fact("similarity", Some(e.similarity.clone()));
    for (name, prompt) in ["prompt 1", "prompt 2"].into_iter().zip(&e.prompts) {
        fact(name, Some(prompt.clone()));
    }
    let h = &entry.record.harness;
    fact("harness", Some(versioned(&h.name, Some(&h.version))));
    facts
}

/// Facts about a model with nothing in them that could mislead.
fn clean(mut facts: ModelFacts) -> ModelFacts {
    facts.licence = facts.licence.map(|l| visible(&l, 40));
    facts.architecture = facts.architecture.map(|a| visible(&a, 40));
    facts.languages = facts
        .languages
        .iter()
        .take(8)
        .map(|l| visible(l, 20))
        .collect();
    facts.url = facts.url.filter(|u| is_web(u));
    facts
}

fn is_web(url: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\' | '`');
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.len() < 300
        && url.chars().all(plain)
}

fn slug(row: &Row) -> String {
    let mut out = String::new();
    let stage = row.stage.map(|s| format!("{s:?}")).unwrap_or_default();
    let text = format!("{} {stage}", row.name).to_lowercase();
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

fn unique(slug: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = slug.to_owned();
    let mut n = 2;
    while !taken.insert(name.clone()) {
        name = format!("{slug}-{n}");
        n += 1;
    }
    name
}

/// Models before and after: those that a source reports so, and those run of which one was adapted
/// from the other.
fn adaptations(board: &Board) -> Vec<Adaptation> {
    let mut found = Vec::new();
    for (after_at, after) in board.rows.iter().enumerate() {
        let before = match after.stage {
            Some(Stage::After) => board.rows.iter().position(|r| {
                r.stage == Some(Stage::Before) && r.name == after.name && r.source == after.source
            }),
            None if after.badge != Badge::Reported => {
                let base = after.facts.adapted_from.as_ref();
                base.and_then(|base| {
                    board.rows.iter().position(|r| {
                        &r.facts.name == base
                            && r.badge != Badge::Reported
                            && r.protocol == after.protocol
                    })
                })
            }
            _ => None,
        };
        let Some(before_at) = before else {
            continue;
        };
        let changes: BTreeMap<usize, Change> = (0..board.suites.len())
            .filter_map(|suite| Some((suite, change(board, suite, before_at, after_at)?)))
            .collect();
        if !changes.is_empty() {
            found.push(Adaptation {
                name: after.name.clone(),
                source: after.source.clone(),
                badge: after.badge,
                changes,
            });
        }
    }
    found
}

fn change(board: &Board, suite: usize, before: usize, after: usize) -> Option<Change> {
    let cell = |row: usize| board.rows[row].cells[suite].as_ref();
    let (b, a) = (cell(before)?, cell(after)?);
    let (from, to) = (b.score?, a.score?);
    let paired = board
        .differences
        .iter()
        .find(|d| d.suite == suite && (d.a, d.b) == (before.min(after), before.max(after)))
        .map(|d| {
            let [low, high] = d.interval;
            if after < before {
                [low, high]
            } else {
                [-high, -low]
            }
        });
    let apart = || {
        let error = |c: &Cell, score: f64| metric::spearman_error(score, c.n_pairs?);
        let both = error(b, from)?.hypot(error(a, to)?);
        let half = metric::normal_quantile(board.level) * both;
        Some([to - from - half, to - from + half])
    };
    Some(Change {
        before: from,
        after: to,
        before_interval: b.interval,
        after_interval: a.interval,
        interval: paired.or_else(apart),
        paired: paired.is_some(),
    })
}
