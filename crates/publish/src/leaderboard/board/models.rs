//! One entry per model: which of its rows is shown, and its means over groups of suites.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::facts::{slug_of, unique};
use super::rank::Ranked;
use super::{Badge, BoardOptions, Cell, Kind, Mean, Model, Row, Stage, Subset, SuiteColumn};
use korfinsts_bench::suite::manifest::Area;
use korfinsts_metric::{Field, Part, normal_quantile};

/// The groups of suites that have a mean.
const SUBSETS: [&str; 3] = ["finance", "korean", "english"];

/// The group of a suite.
fn group_of(suite: &SuiteColumn) -> &'static str {
    if suite.area == Area::Finance {
        SUBSETS[0]
    } else if suite.languages.iter().any(|l| l.starts_with("kor")) {
        SUBSETS[1]
    } else {
        SUBSETS[2]
    }
}

/// The groups of the suites of a board. Two suites of one release are one data set under two names.
pub(super) fn subsets(suites: &[SuiteColumn], rows: &[Row]) -> Vec<Subset> {
    let subset = |key: &'static str| {
        let mut sets: Vec<Vec<usize>> = Vec::new();
        for (at, suite) in suites.iter().enumerate() {
            if group_of(suite) != key {
                continue;
            }
            let twin = sets.iter_mut().find(|set| {
                suite.release_id.is_some() && suites[set[0]].release_id == suite.release_id
            });
            match twin {
                Some(set) => set.push(at),
                None => sets.push(vec![at]),
            }
        }
        let run = |set: &&Vec<usize>| {
            let run = |row: &&Row| row.badge != Badge::Reported && row.kind == Kind::Encoder;
            let mut run = rows.iter().filter(run);
            run.any(|row| set.iter().any(|&s| row.cells[s].is_some()))
        };
        let mut counted: Vec<Vec<usize>> = sets.iter().filter(run).cloned().collect();
        if counted.is_empty() {
            counted.clone_from(&sets);
        }
        Subset {
            key,
            suites: sets,
            counted,
        }
    };
    let subsets = SUBSETS.into_iter().map(subset);
    subsets.filter(|s| !s.suites.is_empty()).collect()
}

/// What the models of a board are ranked by.
pub(super) struct Ranker<'a> {
    rows: &'a [Row],
    options: &'a BoardOptions,
    /// By suite and row: the field and the index in it.
    places: HashMap<(usize, usize), (&'a Field, usize)>,
}

impl<'a> Ranker<'a> {
    /// `place` is the row of each row of a field.
    pub(super) fn new(
        rows: &'a [Row],
        fields: &'a [Ranked],
        place: &[usize],
        options: &'a BoardOptions,
    ) -> Self {
        let mut places = HashMap::new();
        for ranked in fields {
            for (at, row) in ranked.rows.iter().enumerate() {
                places.insert((ranked.suite, place[*row]), (&ranked.field, at));
            }
        }
        Self {
            rows,
            options,
            places,
        }
    }

    /// The models of the rows, by their mean over the first subset.
    pub(super) fn models(&self, subsets: &[Subset]) -> Vec<Model> {
        let rows = self.rows;
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            // A name as it was run and the name of the same model in a source are one model.
            let name =
                if row.form.is_some() || row.name == row.facts.name || row.name.contains(" [") {
                    &row.name
                } else {
                    &row.facts.name
                };
            by_name.entry(name).or_default().push(at);
        }
        let mut taken = BTreeSet::new();
        let mut models: Vec<Model> = by_name
            .into_values()
            .map(|mut of| {
                let trust = |&at: &usize| {
                    let row = &rows[at];
                    let scores = row.cells.iter().flatten().filter(|c| c.score.is_some());
                    let lacks = row.cells.len() - scores.count();
                    (row.badge, row.stage == Some(Stage::After), lacks, at)
                };
                of.sort_by_key(trust);
                let name = rows[of[0]].name.clone();
                let shown = |suite: usize| {
                    let has = |&&at: &&usize| {
                        let cell = rows[at].cells[suite].as_ref();
                        cell.is_some_and(|c| c.shown().is_some())
                    };
                    of.iter().find(has).copied()
                };
                Model {
                    id: unique(&slug_of(&name), &mut taken),
                    shown: (0..rows[of[0]].cells.len()).map(shown).collect(),
                    means: Vec::new(),
                    rows: of,
                    name,
                }
            })
            .collect();
        for subset in subsets {
            let means = self.means(&models, subset);
            for (model, mean) in models.iter_mut().zip(means) {
                model.means.push(mean);
            }
        }
        let key = |model: &Model| {
            let mean = model.means.first().and_then(Option::as_ref);
            mean.map_or((false, f64::NEG_INFINITY), |m| (m.whole, m.score))
        };
        models.sort_by(|a, b| {
            let ((whole_a, a), (whole_b, b)) = (key(a), key(b));
            whole_b.cmp(&whole_a).then(b.total_cmp(&a))
        });
        models
    }

    fn means(&self, models: &[Model], subset: &Subset) -> Vec<Option<Mean>> {
        let mut means: Vec<Option<Mean>> = models
            .iter()
            .map(|model| self.mean(model, subset))
            .collect();
        let whole = |at: &usize| {
            let form = self.rows[models[*at].rows[0]].form.is_some();
            !form && means[*at].as_ref().is_some_and(|m| m.whole)
        };
        let parts: BTreeMap<usize, (usize, Vec<Part<'_>>)> = (0..models.len())
            .filter(whole)
            .filter_map(|at| Some((at, self.parts(&models[at], subset)?)))
            .collect();
        let is_baseline = |row: usize| self.rows[row].kind == Kind::Baseline;
        let mut protocols: BTreeSet<&str> = parts
            .values()
            .filter(|(row, _)| !is_baseline(*row))
            .map(|(row, _)| self.rows[*row].protocol.as_str())
            .collect();
        if protocols.is_empty() {
            protocols.insert("");
        }
        for protocol in protocols {
            let in_field = |row: usize| is_baseline(row) || self.rows[row].protocol == protocol;
            let of: Vec<_> = parts
                .iter()
                .filter(|(_, (row, _))| in_field(*row))
                .collect();
            let columns: Vec<Vec<Part<'_>>> = of.iter().map(|(_, p)| p.1.clone()).collect();
            let field = Field::of_means(&columns, &self.options.bootstrap);
            let Ok(ranges) = field.ranges() else { continue };
            let best = (0..of.len())
                .filter(|&i| is_baseline(of[i].1.0))
                .max_by(|&a, &b| field.score(a).total_cmp(&field.score(b)));
            for (i, ((at, (row, _)), range)) in of.iter().zip(&ranges).enumerate() {
                let Some(mean) = means[**at].as_mut() else {
                    continue;
                };
                mean.rank = Some([range.best, range.worst]);
                mean.ranked = of.len();
                mean.interval = Some([range.interval.low, range.interval.high]);
                if !is_baseline(*row) {
                    mean.beats_baselines = best.map(|b| field.surely_better(i, b));
                }
            }
        }
        means
    }

    /// Row and cell that a data set shows of a model.
    fn cell(&self, model: &Model, set: &[usize]) -> Option<(usize, usize, &'a Cell)> {
        set.iter().find_map(|&suite| {
            let row = model.shown[suite]?;
            Some((suite, row, self.rows[row].cells[suite].as_ref()?))
        })
    }

    fn mean(&self, model: &Model, subset: &Subset) -> Option<Mean> {
        let sets = subset.counted.iter();
        let cells: Vec<_> = sets.filter_map(|set| self.cell(model, set)).collect();
        let n = cells.len() as f64;
        let scores = cells.iter().filter_map(|c| c.2.shown());
        let score = scores.clone().map(|s| s.0).sum::<f64>() / n;
        // As if suites were independent.
        let halves: Option<Vec<f64>> = scores.map(|s| s.1.map(|[l, h]| (h - l) / 2.0)).collect();
        let interval = halves.map(|halves| {
            let half = halves.iter().map(|h| h * h).sum::<f64>().sqrt() / n;
            [(score - half).max(-1.0), (score + half).min(1.0)]
        });
        (n > 0.0).then(|| Mean {
            score,
            interval,
            of: cells.len(),
            whole: cells.len() == subset.counted.len(),
            rank: None,
            ranked: 0,
            beats_baselines: None,
            trained_on: cells.iter().any(|c| c.2.trained_on),
            reported: cells
                .iter()
                .any(|c| self.rows[c.1].badge == Badge::Reported),
        })
    }

    /// What the mean of a model is ranked by, with its row: replicates where it was ranked, and the
    /// interval of the pairs it has not seen where it was trained on the others. `None` where a score is
    /// of another kind or from another row.
    fn parts(&self, model: &Model, subset: &Subset) -> Option<(usize, Vec<Part<'a>>)> {
        let mut of_row = None;
        let part = |set: &Vec<usize>| {
            let (suite, row, cell) = self.cell(model, set)?;
            if *of_row.get_or_insert(row) != row {
                return None;
            }
            if let Some((field, at)) = self.places.get(&(suite, row)) {
                return Some(Part::Of(field, *at));
            }
            let unseen = cell
                .unseen
                .filter(|_| self.rows[row].badge != Badge::Reported)?;
            let [low, high] = unseen.interval?;
            let width = 2.0 * normal_quantile(self.options.bootstrap.level);
            Some(Part::Alone {
                score: unseen.score,
                error: (high - low) / width,
            })
        };
        let parts: Option<Vec<Part<'a>>> = subset.counted.iter().map(part).collect();
        Some((of_row?, parts?))
    }
}
