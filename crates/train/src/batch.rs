//! Examples, and the order in which they are trained on: a function of the seed alone, so that a
//! run that was stopped continues with the batch it stopped at.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng as _;

use super::data::below;
use super::rows::DataFile;

/// One row of training data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// Anchor, the first text of a pair, or the only text.
    pub first: String,
    /// Positive, or the second text of a pair; empty where there is none.
    pub second: String,
    /// Hard negative.
    pub negative: Option<String>,
    /// Gold score of a pair.
    pub gold: Option<f64>,
    /// Where it came from: file and line, or suite and pair.
    pub place: String,
    /// What the data say of it.
    pub labels: Labels,
    /// Whether it stays in one batch with the example before it.
    pub tied: bool,
}

/// What the data say of an example; empty where they say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// Language.
    pub language: String,
    /// Kind of text it was taken from: `news`, `disclosure`.
    pub source: String,
    /// Meaning-shift pattern.
    pub pattern: String,
    /// Variant of the pattern.
    pub variant: String,
    /// How it was made: `document`, `translation`, `template`.
    pub origin: String,
}

impl Labels {
    /// Every label with its name in the data.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &str); 5] {
        [
            ("language", &self.language),
            ("source", &self.source),
            ("pattern", &self.pattern),
            ("variant", &self.variant),
            ("origin", &self.origin),
        ]
    }
}

impl Example {
    /// Its texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        [
            Some(&self.first),
            Some(&self.second),
            self.negative.as_ref(),
        ]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .map(String::as_str)
    }
}

/// What examples are trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Equation 1.
    Triplets,
    /// Pairs that mean the same, against the rest of the batch.
    Pairs,
    /// Pairs with gold scores.
    Scored,
    /// Texts of a teacher's language and their translations.
    Parallel,
    /// Texts without a translation, for the teachers that read their language.
    Texts,
}

impl Kind {
    /// Whether a teacher is imitated.
    #[must_use]
    pub fn distils(self) -> bool {
        matches!(self, Self::Parallel | Self::Texts)
    }

    /// Its name in messages and cards.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Triplets => "triplets",
            Self::Pairs => "pairs",
            Self::Scored => "scored pairs",
            Self::Parallel => "parallel texts",
            Self::Texts => "texts",
        }
    }
}

/// Examples of one kind from one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// What they are trained for.
    pub kind: Kind,
    /// Where they came from.
    pub name: String,
    /// The examples.
    pub examples: Vec<Example>,
    /// Passes per epoch.
    pub passes: f64,
    /// Further texts for a teacher.
    pub extra: Vec<String>,
    /// The files that the examples were read from.
    pub files: Vec<DataFile>,
}

/// Every example of every stage.
pub(super) fn examples(stages: &[Vec<Source>]) -> impl Iterator<Item = &Example> {
    stages.iter().flatten().flat_map(|s| &s.examples)
}

/// The sources of a kind, of every stage.
pub(super) fn of_kind(stages: &[Vec<Source>], kind: Kind) -> impl Iterator<Item = &Source> {
    stages.iter().flatten().filter(move |s| s.kind == kind)
}

impl Source {
    /// A source that is passed once per epoch.
    #[must_use]
    pub fn new(kind: Kind, name: String, examples: Vec<Example>) -> Self {
        Self {
            kind,
            name,
            examples,
            passes: 1.0,
            extra: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Leaves the examples that are wanted, and says how many went. What was tied to an example
    /// that goes is alone.
    pub fn retain(&mut self, mut wanted: impl FnMut(&Example) -> bool) -> usize {
        let before = self.examples.len();
        let mut kept = true;
        self.examples.retain_mut(|example| {
            example.tied &= kept;
            kept = wanted(example);
            kept
        });
        before - self.examples.len()
    }

    /// Rows that stay in one batch.
    fn groups(&self) -> Vec<std::ops::Range<usize>> {
        let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
        for (i, example) in self.examples.iter().enumerate() {
            match groups.last_mut().filter(|_| example.tied) {
                Some(group) => group.end = i + 1,
                None => groups.push(i..i + 1),
            }
        }
        groups
    }
}

/// A row of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Index of the source in its stage.
    pub source: usize,
    /// Index of the example, or of the extra text.
    pub row: usize,
}

/// One batch: examples of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlan {
    /// What its examples are trained for.
    pub kind: Kind,
    /// Its examples.
    pub rows: Vec<At>,
    /// Its further texts for the teacher.
    pub extra: Vec<At>,
    /// Seed of what is random within the batch.
    pub seed: u64,
}

impl BatchPlan {
    /// Its examples.
    pub fn examples<'a>(&self, sources: &'a [Source]) -> impl Iterator<Item = &'a Example> {
        self.rows
            .iter()
            .map(|at| &sources[at.source].examples[at.row])
    }

    /// Its further texts for the teacher.
    pub fn extra<'a>(&self, sources: &'a [Source]) -> impl Iterator<Item = &'a str> {
        self.extra
            .iter()
            .map(|at| sources[at.source].extra[at.row].as_str())
    }
}

/// How a stage is cut into batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanOptions {
    /// Examples per batch.
    pub batch: usize,
    /// Passes.
    pub epochs: usize,
    /// Extra texts per example.
    pub extra: f64,
    /// Seed.
    pub seed: u64,
}

/// Most rows of all batches of a stage, which are planned before the first step; 16 bytes each.
pub const MOST_ROWS: f64 = (1 << 27) as f64;

/// Rows in all batches of [`plan`], at least; counted without planning them.
#[must_use]
pub fn planned_rows(sources: &[Source], options: PlanOptions) -> f64 {
    let rows = |source: &Source| source.examples.len() as f64 * source.passes.max(0.0);
    let one: f64 = sources.iter().map(rows).sum();
    one * (1.0 + options.extra.max(0.0)) * options.epochs as f64
}

/// Every batch of a stage. Parallel texts of all sources, and texts without a translation, are mixed within batches, so that
/// similarities are learnt across them; a batch of another kind has one source, so that the other
/// rows of a batch are no easy negatives and gold scores one scale. Batches take turns at random.
/// The last batch of an epoch may be smaller.
#[must_use]
pub fn plan(sources: &[Source], options: PlanOptions) -> Vec<BatchPlan> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(options.seed ^ 0x6b6f_7266_696e);
    let mut batches = Vec::new();
    let pools: Vec<(Vec<usize>, Vec<At>)> = pools(sources)
        .into_iter()
        .map(|pool| {
            let rows = |&source: &usize| {
                (0..sources[source].extra.len()).map(move |row| At { source, row })
            };
            let extra = pool.iter().flat_map(rows).collect();
            (pool, extra)
        })
        .collect();
    for _ in 0..options.epochs {
        let first = batches.len();
        for (pool, extra) in &pools {
            let mut groups: Vec<Vec<At>> = pool
                .iter()
                .flat_map(|&source| pass(sources, source, &mut random))
                .collect();
            if pool.len() > 1 {
                shuffle(&mut groups, &mut random);
            }
            for rows in full(groups, options.batch) {
                let n = match extra.len() {
                    0 => 0,
                    _ => (rows.len() as f64 * options.extra).round() as usize,
                };
                batches.push(BatchPlan {
                    kind: sources[pool[0]].kind,
                    rows,
                    extra: (0..n)
                        .map(|_| extra[below(&mut random, extra.len())])
                        .collect(),
                    seed: below(&mut random, usize::MAX) as u64,
                });
            }
        }
        shuffle(&mut batches[first..], &mut random);
    }
    batches
}

/// Sources whose rows are mixed within batches.
fn pools(sources: &[Source]) -> Vec<Vec<usize>> {
    let mut pools: Vec<Vec<usize>> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let with = pools
            .iter_mut()
            .find(|pool| source.kind.distils() && sources[pool[0]].kind == source.kind);
        match with {
            Some(pool) => pool.push(index),
            None => pools.push(vec![index]),
        }
    }
    pools
}

/// One epoch of a source: its groups at random, each as often as its passes say.
fn pass(sources: &[Source], source: usize, random: &mut Xoshiro256PlusPlus) -> Vec<Vec<At>> {
    let groups = sources[source].groups();
    let wanted = (groups.len() as f64 * sources[source].passes)
        .round()
        .max(1.0) as usize;
    let mut order: Vec<usize> = Vec::with_capacity(wanted);
    while order.len() < wanted {
        let mut pass: Vec<usize> = (0..groups.len()).collect();
        shuffle(&mut pass, random);
        pass.truncate(wanted - order.len());
        order.extend(pass);
    }
    order
        .into_iter()
        .map(|g| groups[g].clone().map(|row| At { source, row }).collect())
        .collect()
}

/// Groups in order, as many per batch as fit; a group that is larger than a batch is one.
fn full(groups: Vec<Vec<At>>, batch: usize) -> Vec<Vec<At>> {
    let mut batches: Vec<Vec<At>> = Vec::new();
    for group in groups {
        match batches.last_mut() {
            Some(rows) if rows.len() + group.len() <= batch => rows.extend(group),
            _ => batches.push(group),
        }
    }
    batches
}

fn shuffle<T>(items: &mut [T], random: &mut Xoshiro256PlusPlus) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(random, i + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: usize, group: usize, passes: f64) -> Source {
        let mut source = Source::new(Kind::Triplets, "x".into(), vec![Example::default(); n]);
        for (i, example) in source.examples.iter_mut().enumerate() {
            example.tied = i % group != 0;
        }
        source.passes = passes;
        source
    }

    const OPTIONS: PlanOptions = PlanOptions {
        batch: 4,
        epochs: 2,
        extra: 0.0,
        seed: 3,
    };

    #[test]
    fn every_example_comes_once_per_pass() {
        for (n, group, passes) in [(10, 1, 1.0), (12, 2, 1.0), (10, 1, 2.0), (7, 1, 0.5)] {
            let batches = plan(&[source(n, group, passes)], OPTIONS);
            let mut seen = vec![0_usize; n];
            for row in batches.iter().flat_map(|b| &b.rows) {
                seen[row.row] += 1;
            }
            let total: usize = seen.iter().sum();
            let expected = ((n as f64 * passes).round() * 2.0) as usize;
            assert_eq!(total, expected, "{n} {group} {passes}");
            if passes >= 1.0 {
                assert!(
                    seen.iter().all(|&s| s == (2.0 * passes) as usize),
                    "{seen:?}"
                );
            }
            assert!(
                batches
                    .iter()
                    .all(|b| b.rows.len() <= 4 && !b.rows.is_empty())
            );
            for rows in batches.iter().map(|b| &b.rows).filter(|_| group == 2) {
                for pair in rows.chunks(2) {
                    assert_eq!((pair[0].row % 2, pair[1].row), (0, pair[0].row + 1));
                }
            }
        }
    }

    #[test]
    fn what_was_tied_to_an_example_that_goes_stands_alone() {
        let mut source = source(6, 2, 1.0);
        for (i, example) in source.examples.iter_mut().enumerate() {
            example.place = i.to_string();
        }
        let gone = source.retain(|e| e.place != "1" && e.place != "2");
        let left: Vec<(&str, bool)> = source
            .examples
            .iter()
            .map(|e| (e.place.as_str(), e.tied))
            .collect();
        assert_eq!(gone, 2);
        assert_eq!(
            left,
            [("0", false), ("3", false), ("4", false), ("5", true)]
        );
        assert_eq!(source.groups(), [0..1, 1..2, 2..4]);
    }

    #[test]
    fn a_batch_holds_as_many_groups_as_fit() {
        let groups = [0..2, 2..3, 3..5, 5..10];
        let at = |row| At { source: 0, row };
        let batches = full(groups.map(|g| g.map(at).collect()).to_vec(), 4);
        let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 2, 5]);
    }

    #[test]
    fn parallel_texts_are_mixed_and_other_kinds_are_not() {
        let mut sources = [source(50, 1, 1.0), source(20, 1, 1.0)];
        let mixed = |sources: &[Source]| {
            let batches = plan(sources, OPTIONS);
            let of = |b: &BatchPlan| b.rows.iter().map(|at| at.source).collect::<Vec<_>>();
            batches
                .iter()
                .filter(|b| of(b).contains(&0) && of(b).contains(&1))
                .count()
        };
        assert_eq!(mixed(&sources), 0);
        for source in &mut sources {
            source.kind = Kind::Parallel;
        }
        sources[1].extra = vec!["a text".into()];
        assert!(mixed(&sources) > 10, "{}", mixed(&sources));
        let options = PlanOptions {
            extra: 0.5,
            ..OPTIONS
        };
        let batches = plan(&sources, options);
        assert_eq!(batches.iter().map(|b| b.rows.len()).sum::<usize>(), 140);
        assert!(
            batches
                .iter()
                .all(|b| b.extra(&sources).all(|t| t == "a text"))
        );
        assert_eq!(batches.iter().map(|b| b.extra.len()).sum::<usize>(), 70);
    }

    #[test]
    fn the_order_depends_on_the_seed_alone() {
        let sources = [source(50, 1, 1.0), source(20, 1, 1.0)];
        assert_eq!(plan(&sources, OPTIONS), plan(&sources, OPTIONS));
        let other = PlanOptions { seed: 4, ..OPTIONS };
        assert_ne!(plan(&sources, OPTIONS), plan(&sources, other));
        let kinds: Vec<usize> = plan(&sources, OPTIONS)
            .iter()
            .map(|b| b.rows[0].source)
            .collect();
        assert!(!kinds.is_sorted(), "sources take turns");
    }
}
