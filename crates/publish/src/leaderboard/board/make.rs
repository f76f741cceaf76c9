//! Records and figures to rows and columns.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};
use std::path::Path;

use rayon::prelude::*;

use super::adapt::adaptations;
use super::facts::{add_from_record, agrees, cell_of, clean, is_web, run_facts, slug, unique};
use super::models::{self, Ranker};
use super::{Badge, Board, BoardOptions, Cell, Kind, Row, Stage, SuiteColumn, TEXT_LENGTH};
use crate::leaderboard::LeaderboardError;
use crate::leaderboard::catalogue::Catalogue;
use crate::leaderboard::entry::{Entry, NAME_LENGTH};
use crate::leaderboard::reported::{Models, Reported};
use korfinsts_base::text::visible;
use korfinsts_bench::run::form::EmbeddingDtype;
use korfinsts_bench::run::record::{ScoredPair, SuiteFacts};
use korfinsts_bench::suite::manifest::Area;
use korfinsts_metric as metric;

/// What became of a record's per-pair scores.
enum Checked {
    /// They give the record's score.
    Sound(Vec<ScoredPair>),
    /// There are none.
    Absent(String),
    /// They are not what the record says.
    Wrong(String),
}

/// An error without the path of this machine.
fn bare(error: &LeaderboardError, entry: &Entry) -> String {
    let folder = entry
        .path
        .parent()
        .unwrap_or(Path::new(""))
        .display()
        .to_string();
    let text = error.to_string().replace(&format!("{folder}/"), "");
    visible(&text, TEXT_LENGTH)
}

/// Per-pair scores of a cell.
pub(super) struct Scored {
    pub row: usize,
    pub facts: SuiteFacts,
    pub pairs: Vec<ScoredPair>,
}

/// A row while the board is made: cells by the key of their suite.
pub(super) struct RowDraft {
    pub row: Row,
    pub cells: BTreeMap<String, Cell>,
    /// What tells rows apart.
    key: String,
}

pub(super) struct Maker<'a> {
    pub catalogue: &'a Catalogue,
    pub options: &'a BoardOptions,
    pub suites: BTreeMap<(Area, String), SuiteColumn>,
    pub rows: Vec<RowDraft>,
    /// Per-pair scores by suite.
    pub scored: HashMap<String, Vec<Scored>>,
    pub notes: Vec<String>,
}

/// Ids and gold scores of a suite.
type Gold = Vec<(String, f64)>;

/// Whether the ids and gold scores of a submitted record are those of the suite on this machine: gold is
/// never taken from a submission.
fn gold_here(entry: &Entry, pairs: Vec<ScoredPair>, rows: &Result<Gold, String>) -> Checked {
    let rows = match rows {
        Ok(rows) => rows,
        Err(reason) => {
            let reason = format!("its gold scores could not be compared with the suite: {reason}");
            return Checked::Absent(visible(&reason, TEXT_LENGTH));
        }
    };
    let most = entry.record.suite.limit.unwrap_or(rows.len());
    let rows = &rows[..most.min(rows.len())];
    if rows.len() != pairs.len() {
        return Checked::Wrong(format!(
            "it has {} pairs, the suite {}",
            pairs.len(),
            rows.len()
        ));
    }
    let other = rows
        .iter()
        .zip(&pairs)
        .find(|((id, gold), pair)| *id != pair.id || *gold != pair.gold);
    match other {
        None => Checked::Sound(pairs),
        Some(((id, gold), pair)) if *id == pair.id => Checked::Wrong(format!(
            "the gold score of `{id}` is {}, in the suite {gold}",
            pair.gold
        )),
        Some(((id, _), pair)) => Checked::Wrong(format!(
            "it has the pair `{}` where the suite has `{id}`",
            visible(&pair.id, NAME_LENGTH)
        )),
    }
}

impl Maker<'_> {
    /// Takes records in. Of those that others made, ids and gold scores must be those of the suites on
    /// this machine.
    ///
    /// # Errors
    /// When a suite on this machine is broken.
    pub fn records(
        &mut self,
        entries: &[Entry],
        badge: Badge,
        models: &Models,
    ) -> Result<(), LeaderboardError> {
        let of = |s: &SuiteFacts| [s.id.clone(), s.split.clone(), s.release_id.clone()];
        let mut suites = HashMap::new();
        if badge == Badge::Recomputed {
            for facts in entries.iter().map(|e| &e.record.suite) {
                if let hash_map::Entry::Vacant(place) = suites.entry(of(facts)) {
                    place.insert(self.gold(facts)?);
                }
            }
        }
        // Reading and checking per-pair scores is most of the work that is no statistics.
        let checked: Vec<Checked> = entries
            .par_iter()
            .map(|entry| match entry.pairs() {
                Ok(pairs) => match agrees(entry, &pairs) {
                    Ok(()) => match suites.get(&of(&entry.record.suite)) {
                        Some(suite) => gold_here(entry, pairs, suite),
                        None => Checked::Sound(pairs),
                    },
                    Err(reason) => Checked::Wrong(reason),
                },
                Err(LeaderboardError::NoPairs { .. }) => {
                    Checked::Absent("its per-pair scores are not here".into())
                }
                Err(e) if entry.record.pairs.is_none() => Checked::Absent(bare(&e, entry)),
                Err(e) => Checked::Wrong(bare(&e, entry)),
            })
            .collect();
        for (entry, pairs) in entries.iter().zip(checked) {
            self.record(entry, badge, pairs, models);
        }
        Ok(())
    }

    /// The gold scores of a suite: those on this machine, else those of a record that was made here on the
    /// same release; else the reason why there are none.
    fn gold(&self, facts: &SuiteFacts) -> Result<Result<Gold, String>, LeaderboardError> {
        let reason = match self.catalogue.loaded(facts)? {
            Ok(suite) => {
                let rows = suite.pairs.into_iter().map(|p| (p.id, p.gold));
                return Ok(Ok(rows.collect()));
            }
            Err(reason) => reason,
        };
        let same = |s: &&Scored| {
            let own = self.rows[s.row].row.badge == Badge::Reproduced;
            own && s.facts.release_id == facts.release_id
        };
        let own = self.scored.get(&self.catalogue.key(facts));
        let own = own.and_then(|s| s.iter().find(same));
        let rows = |s: &Scored| s.pairs.iter().map(|p| (p.id.clone(), p.gold)).collect();
        Ok(own.map(rows).ok_or(reason))
    }

    fn record(&mut self, entry: &Entry, badge: Badge, pairs: Checked, models: &Models) {
        let record = &entry.record;
        let key = self.catalogue.key(&record.suite);
        let (badge, pairs, unranked) = match pairs {
            Checked::Sound(pairs) => (badge, Some(pairs), None),
            // What cannot be computed again is only said.
            Checked::Absent(reason) => (Badge::Reported, None, Some(reason)),
            Checked::Wrong(reason) => {
                let note = format!("left out: {} on {key}: {reason}", entry.name());
                self.notes.push(visible(&note, TEXT_LENGTH));
                return;
            }
        };
        // What was trained on a part of a suite is shown, and no rank is lost to it.
        let (pairs, unranked) = match &record.trained_on {
            Some(trained) => (None, Some(visible(&trained.sentence(), TEXT_LENGTH))),
            None => (pairs, unranked),
        };
        // Nobody hands in a baseline: the best one is what every encoder is held against.
        let kind = if entry.is_baseline() && badge != Badge::Recomputed {
            Kind::Baseline
        } else {
            Kind::Encoder
        };
        let e = &record.encoder;
        let text = |o: &Option<String>| o.clone().unwrap_or_default();
        let row_key = format!(
            "{badge:?}\n{}\n{}\n{}\n{}\n{}\n{}",
            entry.name(),
            entry.protocol(),
            text(&e.sha256),
            text(&e.dtype),
            e.backend,
            text(&e.revision)
        );
        let at = self.row(row_key, || {
            let mut facts = models.of(&e.name);
            add_from_record(&mut facts, entry);
            let mut name = entry.name();
            if let Some(dtype) = e.dtype.as_deref().filter(|d| *d != "float32") {
                name = format!("{name} [{}]", visible(dtype, 20));
            }
            if e.form.is_some() {
                // A model of its own: its facts are the encoder's, its name is not.
                facts.name.clone_from(&name);
                facts.adapted_from = None;
            }
            Row {
                id: String::new(),
                name,
                kind,
                badge,
                stage: None,
                protocol: entry.protocol(),
                form: entry.form(),
                source: None,
                source_url: None,
                facts: clean(facts),
                run: run_facts(entry),
                cells: Vec::new(),
            }
        });
        let mut cell = cell_of(entry);
        cell.unranked = unranked;
        self.column(&key, entry);
        if self.rows[at].cells.contains_key(&key) {
            let name = entry.name();
            self.notes
                .push(format!("left out: a second record of {name} on {key}"));
            return;
        }
        self.rows[at].cells.insert(key.clone(), cell);
        if let Some(pairs) = pairs {
            self.scored.entry(key).or_default().push(Scored {
                row: at,
                facts: record.suite.clone(),
                pairs,
            });
        }
    }

    pub fn reported(&mut self, reported: &Reported, models: &Models) {
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
                    form: None,
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
                    // What tells the columns of one suite apart: split and number of pairs.
                    title: manifest.map_or_else(
                        || key.to_owned(),
                        |m| match key[id.len()..].trim_start_matches(':') {
                            "" => m.title.clone(),
                            part if part.starts_with(' ') => format!("{}{part}", m.title),
                            part => format!("{} ({part})", m.title),
                        },
                    ),
                    area,
                    languages: manifest.map(|m| m.languages.clone()).unwrap_or_default(),
                    licence: manifest.map(|m| m.licence.clone()).unwrap_or_default(),
                    homepage: manifest
                        .and_then(|m| m.homepage.clone())
                        .filter(|u| is_web(u)),
                    binary: scale
                        .is_some_and(|s| s.kind == korfinsts_bench::suite::ScaleKind::Binary),
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

    pub fn finish(mut self) -> Result<Board, LeaderboardError> {
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
        // Of whole embeddings the size is of interest where there are others.
        if rows.iter().any(|row| row.form.is_some()) {
            for row in &mut rows {
                let whole = row
                    .facts
                    .dimensions
                    .map(|n| EmbeddingDtype::Float32.bytes(n));
                row.facts.bytes_per_embedding = row.facts.bytes_per_embedding.or(whole);
            }
        }
        let subsets = models::subsets(&suites, &rows);
        let models = Ranker::new(&rows, &fields, &place, self.options).models(&subsets);
        let mut board = Board {
            suites,
            rows,
            subsets,
            models,
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
}
