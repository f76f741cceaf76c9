//! The encoders that a student imitates. With several, the embedding that a text is to have is theirs
//! side by side, each of length 1, so that its cosines are the means of theirs.

use super::TrainError;
use super::base::{embedded, unit_rows};
use super::batch::{Kind, Source, of_kind};
use super::session::{TrainPlan, Watch};
use korfinsts_bench::run::store::Store;

/// The language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// That of first texts, which every teacher reads.
    First,
    /// That of translations, and of texts without one.
    Second,
}

/// Embeddings of training texts by every teacher.
pub(super) struct Teachers(Vec<Taught>);

struct Taught {
    store: Store,
    width: usize,
    reads_translations: bool,
    /// The means of its embeddings of the texts of each language.
    centres: Option<[Vec<f32>; 2]>,
}

impl Teachers {
    /// Embeds every text that is distilled, and `more` of the first language, once; embeddings are
    /// kept. Nothing where the recipe has no teacher.
    pub fn of(
        plan: &TrainPlan<'_>,
        stages: &[Vec<Source>],
        more: &[&str],
        watch: &mut dyn Watch,
    ) -> Result<Self, TrainError> {
        let parallel = || of_kind(stages, Kind::Parallel);
        let examples = || parallel().flat_map(|s| &s.examples);
        let firsts: Vec<&str> = examples().map(|e| e.first.as_str()).collect();
        let alone = of_kind(stages, Kind::Texts).flat_map(|s| &s.examples);
        let seconds: Vec<&str> = examples()
            .map(|e| e.second.as_str())
            .chain(alone.map(|e| e.first.as_str()))
            .collect();
        let extra: Vec<&str> = parallel()
            .flat_map(|s| s.extra.iter().map(String::as_str))
            .chain(more.iter().copied())
            .collect();
        let mut all = Vec::new();
        for (teacher, spec) in plan.recipe.teachers.iter().zip(&plan.teachers) {
            let mut texts = [&firsts[..], &extra].concat();
            if teacher.reads_translations {
                texts.extend(&seconds);
            }
            let store = embedded(plan, (spec, &teacher.prompt), &texts, watch)?;
            let centre = |texts: &[&str]| -> Result<Vec<f32>, TrainError> {
                let (rows, width) = unit_rows(&store, texts)?;
                Ok(mean(&rows, width))
            };
            let centres = match (teacher.centred, teacher.reads_translations) {
                (false, _) => None,
                (true, false) => Some([centre(&firsts)?, Vec::new()]),
                (true, true) => Some([centre(&firsts)?, centre(&seconds)?]),
            };
            all.push(Taught {
                width: store.set().dimension(),
                reads_translations: teacher.reads_translations,
                store,
                centres,
            });
        }
        Ok(Self(all))
    }

    /// Components of the embedding that a text is to have.
    pub fn width(&self) -> usize {
        self.0.iter().map(|t| t.width).sum()
    }

    /// Components before those of the teachers that read translations.
    pub fn before_translations(&self) -> usize {
        let before = self.0.iter().take_while(|t| !t.reads_translations);
        before.map(|t| t.width).sum()
    }

    /// The embeddings that texts of the first language are to have.
    pub fn firsts(&self, texts: &[&str]) -> Result<Vec<f32>, TrainError> {
        let parts = self.0.iter().map(|t| t.rows(texts, Language::First));
        Ok(side_by_side(parts.collect::<Result<_, _>>()?, texts.len()))
    }

    /// Those that translations are to have: by a teacher that does not read them, those of the
    /// texts that they translate.
    pub fn translations(&self, texts: [&[&str]; 2]) -> Result<Vec<f32>, TrainError> {
        let [firsts, seconds] = texts;
        let parts = self.0.iter().map(|t| {
            if t.reads_translations {
                t.rows(seconds, Language::Second)
            } else {
                t.rows(firsts, Language::First)
            }
        });
        Ok(side_by_side(parts.collect::<Result<_, _>>()?, firsts.len()))
    }

    /// Those that texts of the second language without a translation are to have, in the components
    /// from [`Self::before_translations`] on.
    pub fn alone(&self, texts: &[&str]) -> Result<Vec<f32>, TrainError> {
        let readers = self.0.iter().filter(|t| t.reads_translations);
        let parts = readers.map(|t| t.rows(texts, Language::Second));
        Ok(side_by_side(parts.collect::<Result<_, _>>()?, texts.len()))
    }
}

impl Taught {
    /// Rows of length 1, and their width.
    fn rows(&self, texts: &[&str], language: Language) -> Result<(Vec<f32>, usize), TrainError> {
        let (mut rows, width) = unit_rows(&self.store, texts)?;
        if let Some(centres) = &self.centres {
            let centre = &centres[usize::from(language == Language::Second)];
            for row in rows.chunks_exact_mut(width) {
                for (value, centre) in row.iter_mut().zip(centre) {
                    *value -= centre;
                }
                to_length(row, 1.0);
            }
        }
        Ok((rows, width))
    }
}

fn mean(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; width];
    for row in rows.chunks_exact(width) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let n = (rows.len() / width).max(1) as f64;
    sums.into_iter().map(|sum| (sum / n) as f32).collect()
}

fn to_length(row: &mut [f32], length: f64) {
    let norm = row
        .iter()
        .map(|&v| f64::from(v).powi(2))
        .sum::<f64>()
        .sqrt();
    for value in row {
        *value = (f64::from(*value) * length / norm.max(1e-12)) as f32;
    }
}

/// The rows of several as rows of length 1; those of one as they are.
fn side_by_side(parts: Vec<(Vec<f32>, usize)>, texts: usize) -> Vec<f32> {
    let share = 1.0 / (parts.len() as f64).sqrt();
    if let [_] = parts[..] {
        return parts.into_iter().flat_map(|(rows, _)| rows).collect();
    }
    let mut rows = Vec::with_capacity(texts * parts.iter().map(|p| p.1).sum::<usize>());
    for text in 0..texts {
        for (values, width) in &parts {
            let row = &values[text * width..(text + 1) * width];
            rows.extend(row.iter().map(|&v| (f64::from(v) * share) as f32));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_side_by_side_have_the_mean_of_the_cosines() {
        let a = (vec![1.0, 0.0, 0.6, 0.8], 2);
        let b = (vec![0.0, 0.0, 1.0, 0.0, 1.0, 0.0], 3);
        let rows = side_by_side(vec![a.clone(), b], 2);
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let (first, second) = rows.split_at(5);
        assert!((dot(first, first) - 1.0).abs() < 1e-6);
        assert!((dot(first, second) - f32::midpoint(0.6, 0.0)).abs() < 1e-6);
        assert_eq!(side_by_side(vec![a.clone()], 2), a.0);
        assert_eq!(mean(&a.0, 2), [0.8, 0.4]);
    }
}
