//! Training data: triplets, pairs and parallel texts, from files and from suites.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use super::batch::{Example, Kind, Labels, Source};
use super::recipe::{DataKind, DataRecipe, Recipe, Rows};
use super::rows::DataFile;
use super::{TrainError, rows};
use korfinsts_base::fs;
use korfinsts_base::hub::Hub;
use korfinsts_base::records::Format;
use korfinsts_bench::coverage::terms;
use korfinsts_bench::suite::{Pair, Registry, Suite};
use korfinsts_encoder::tokenizer::Tokenizer;

/// The suite whose variants may be trained on.
pub const SHIFT: &str = "korfin-shift";

/// Where data are found.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Files are named relative to it.
    pub root: &'a Path,
    /// Suites.
    pub registry: &'a Registry,
    /// The recipe, for messages.
    pub recipe: &'a Path,
    /// Datasets.
    pub hub: &'a Hub,
    /// The first teacher's tokenizer, where there is one.
    pub teacher: Option<&'a Tokenizer>,
}

impl Places<'_> {
    fn suite(&self, name: &str) -> Result<Suite, TrainError> {
        let (manifest, split) = self.registry.select(name)?;
        Ok(self.registry.load(&manifest, Some(&split))?)
    }

    /// An error in the recipe.
    pub(super) fn wrong(&self, reason: String, hint: Option<String>) -> TrainError {
        TrainError::Recipe {
            path: self.recipe.to_owned(),
            line: None,
            reason,
            hint,
        }
    }
}

/// The data of every stage, in the recipe's order.
///
/// # Errors
/// When a file or a suite cannot be read, or has other bytes than the recipe says.
pub fn load(recipe: &Recipe, places: Places<'_>) -> Result<Vec<Vec<Source>>, TrainError> {
    let mut seed = recipe.seed;
    recipe
        .stages
        .iter()
        .map(|stage| {
            stage
                .data
                .iter()
                .map(|data| {
                    seed = seed.wrapping_add(1);
                    source(data, places, seed)
                })
                .collect()
        })
        .collect()
}

fn source(data: &DataRecipe, places: Places<'_>, seed: u64) -> Result<Source, TrainError> {
    let mut source = match &data.kind {
        DataKind::Triplets(rows) => of_rows(Kind::Triplets, data, rows, places)?,
        DataKind::Pairs(rows) => of_rows(Kind::Pairs, data, rows, places)?,
        DataKind::ScoredRows(rows) => of_rows(Kind::Scored, data, rows, places)?,
        DataKind::Texts(rows) => of_rows(Kind::Texts, data, rows, places)?,
        DataKind::Shift(variants) => shift(variants, places)?,
        DataKind::Scored(name) if Format::of(name).is_some() => {
            return Err(places.wrong(
                format!("`scored` names the suite `{name}`, which looks like a file"),
                Some(format!("write `scored = {{ file = \"{name}\" }}`")),
            ));
        }
        DataKind::Scored(name) => {
            let suite = places.suite(name)?;
            let examples = suite.pairs.iter().map(|pair| Example {
                first: pair.sentence1.clone(),
                second: pair.sentence2.clone(),
                gold: Some(pair.gold),
                place: format!("{name} {}", pair.id),
                ..Example::default()
            });
            Source::new(Kind::Scored, name.clone(), examples.collect())
        }
        DataKind::Parallel([first, second]) => {
            let mut files = Vec::new();
            let mut path = |i: usize, name: &PathBuf| {
                let path = found(places.root, name)?;
                let sha256 = checked(&path, data.sha256.get(i))?;
                let name = name_of(name);
                files.push(DataFile { name, sha256 });
                Ok::<_, TrainError>(path)
            };
            let paths = [path(0, first)?, path(1, second)?];
            let mut source = Source::new(Kind::Parallel, name_of(first), parallel(&paths)?);
            source.files = files;
            source
        }
        DataKind::ParallelSuites([first, second]) => {
            let suites = [places.suite(first)?, places.suite(second)?];
            let examples = parallel_suites(&suites, [first, second], places)?;
            Source::new(Kind::Parallel, format!("{first} + {second}"), examples)
        }
        DataKind::Glossary => {
            let terms = terms::built_in().into_iter();
            let examples = terms
                .filter(|t| !t.english.trim().is_empty())
                .map(|t| Example {
                    place: format!("term `{}`", t.term),
                    first: t.english,
                    second: t.term,
                    ..Example::default()
                });
            Source::new(Kind::Parallel, "financial terms".into(), examples.collect())
        }
    };
    source.passes = data.passes;
    filter(&mut source, data, places)?;
    if source.kind == Kind::Parallel {
        source.extra = extra(&source.examples, data.spans, data.words, seed);
        if let Some(teacher) = places.teacher.filter(|_| data.teacher_words) {
            let mut seen: HashSet<String> = source.extra.iter().cloned().collect();
            source.extra.extend(
                whole_words(teacher)
                    .into_iter()
                    .filter(|w| seen.insert(w.clone())),
            );
        }
    }
    Ok(source)
}

fn of_rows(
    kind: Kind,
    data: &DataRecipe,
    rows: &Rows,
    places: Places<'_>,
) -> Result<Source, TrainError> {
    let (examples, files) = rows::read(data, rows, places)?;
    let name = match rows {
        Rows::File(file) => name_of(file),
        Rows::Hub(hub) => format!("{} {}", hub.dataset, hub.split),
    };
    let mut source = Source::new(kind, name, examples);
    if kind == Kind::Texts {
        let mut seen = HashSet::new();
        source.retain(|example| seen.insert(example.first.clone()));
    }
    source.files = files;
    Ok(source)
}

/// Leaves the examples that the recipe wants. A value that no example has is an error: it is
/// misspelt, or the data are others.
fn filter(source: &mut Source, data: &DataRecipe, places: Places<'_>) -> Result<(), TrainError> {
    type Label = fn(&Labels) -> &String;
    let wanted: [(&str, &[String], Label); 5] = [
        ("languages", &data.languages, |l| &l.language),
        ("sources", &data.sources, |l| &l.source),
        ("patterns", &data.patterns, |l| &l.pattern),
        ("variants", &data.variants, |l| &l.variant),
        ("origins", &data.origins, |l| &l.origin),
    ];
    for (key, values, label) in wanted {
        let known: BTreeSet<&str> = source
            .examples
            .iter()
            .map(|e| label(&e.labels).as_str())
            .collect();
        if let Some(unknown) = values.iter().find(|v| !known.contains(v.as_str())) {
            let known: Vec<String> = known.iter().map(|v| format!("`{v}`")).collect();
            let known = match known.len() {
                0 => "no example".into(),
                _ => known.join(", "),
            };
            let name = &source.name;
            let reason = format!("`{key}` names `{unknown}`, but the data `{name}` have {known}");
            return Err(places.wrong(reason, None));
        }
    }
    source.retain(|e| {
        wanted
            .iter()
            .all(|(_, values, label)| values.is_empty() || values.contains(label(&e.labels)))
            && !data.without_variants.contains(&e.labels.variant)
    });
    if source.examples.is_empty() {
        let reason = format!("the data `{}` hold no example", source.name);
        return Err(places.wrong(reason, None));
    }
    Ok(())
}

fn name_of(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

/// The path of a file or folder below `root`.
///
/// # Errors
/// When it is not there.
pub(super) fn found(root: &Path, name: &Path) -> Result<PathBuf, TrainError> {
    let path = root.join(name);
    if fs::exists(&path) {
        return Ok(path);
    }
    Err(TrainError::Data {
        path,
        line: None,
        reason: "there is no such file".into(),
        hint: Some(
            "files are looked for beside the recipe; name another folder with `--root DIR`".into(),
        ),
    })
}

/// The SHA-256 of a file, which is the one that the recipe names, where it names one.
///
/// # Errors
/// When it has other bytes.
pub(super) fn checked(path: &Path, expected: Option<&String>) -> Result<String, TrainError> {
    let found = fs::sha256_file(path)?;
    match expected {
        Some(expected) if *expected != found => Err(TrainError::Data {
            path: path.to_owned(),
            line: None,
            reason: format!("its sha256 is {found}, the recipe expects {expected}"),
            hint: Some("get the version that the recipe names, or change the recipe".into()),
        }),
        _ => Ok(found),
    }
}

/// Triplets of variants of the built-in suite: a positive and a negative of one source.
fn shift(variants: &[String], places: Places<'_>) -> Result<Source, TrainError> {
    let (manifest, _) = places.registry.select(SHIFT)?;
    let mut pairs = Vec::new();
    for split in manifest.splits.keys() {
        pairs.extend(places.registry.load(&manifest, Some(split))?.pairs);
    }
    let label = |pair: &Pair, name: &str| pair.labels.get(name).cloned().unwrap_or_default();
    let known: HashSet<String> = pairs.iter().map(|p| label(p, "variant")).collect();
    if let Some(unknown) = variants.iter().find(|v| !known.contains(*v)) {
        let reason = format!("`{SHIFT}` has no variant `{unknown}`");
        return Err(places.wrong(reason, None));
    }
    let negatives: HashMap<String, &Pair> = pairs
        .iter()
        .filter(|p| p.gold < 0.5)
        .map(|p| (label(p, "triplet"), p))
        .collect();
    let examples = pairs
        .iter()
        .filter(|p| p.gold > 0.5 && variants.contains(&label(p, "variant")))
        .filter_map(|positive| {
            let triplet = label(positive, "triplet");
            Some(Example {
                first: positive.sentence1.clone(),
                second: positive.sentence2.clone(),
                negative: Some(negatives.get(&triplet)?.sentence2.clone()),
                place: format!("{SHIFT} {triplet}"),
                labels: Labels {
                    language: label(positive, "language"),
                    source: positive.domain.clone().unwrap_or_default(),
                    pattern: label(positive, "pattern"),
                    variant: label(positive, "variant"),
                    origin: SHIFT.into(),
                },
                ..Example::default()
            })
        })
        .collect();
    Ok(Source::new(Kind::Triplets, SHIFT.into(), examples))
}

/// Lines of two files as pairs; a line that is empty in either is left out.
fn parallel(paths: &[PathBuf; 2]) -> Result<Vec<Example>, TrainError> {
    let read = |path: &PathBuf| -> Result<Vec<String>, TrainError> {
        let text = String::from_utf8(fs::read(path)?).map_err(|e| TrainError::Data {
            path: path.clone(),
            line: None,
            reason: format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to()),
            hint: None,
        })?;
        Ok(text.lines().map(|l| l.trim().to_owned()).collect())
    };
    let (first, second) = (read(&paths[0])?, read(&paths[1])?);
    if first.len() != second.len() {
        return Err(TrainError::Data {
            path: paths[1].clone(),
            line: None,
            reason: format!(
                "{} lines, but `{}` has {}",
                second.len(),
                paths[0].display(),
                first.len()
            ),
            hint: None,
        });
    }
    let name = paths[0].file_name().unwrap_or_default().to_string_lossy();
    Ok(first
        .into_iter()
        .zip(second)
        .enumerate()
        .filter(|(_, (a, b))| !a.is_empty() && !b.is_empty())
        .map(|(i, (first, second))| Example {
            first,
            second,
            place: format!("{name}:{}", i + 1),
            ..Example::default()
        })
        .collect())
}

/// Pairs of two splits that are translations of each other, pair by pair, as two examples each.
/// Gold scores only say whether the rows belong together.
fn parallel_suites(
    suites: &[Suite; 2],
    names: [&String; 2],
    places: Places<'_>,
) -> Result<Vec<Example>, TrainError> {
    let [a, b] = suites;
    let apart = |reason: String| {
        let reason = format!(
            "`{}` and `{}` are no translations of each other pair by pair: {reason}",
            names[0], names[1]
        );
        places.wrong(reason, None)
    };
    if a.pairs.len() != b.pairs.len() {
        return Err(apart(format!(
            "{} and {} pairs",
            a.pairs.len(),
            b.pairs.len()
        )));
    }
    let mut examples = Vec::with_capacity(2 * a.pairs.len());
    for (row, (p, q)) in a.pairs.iter().zip(&b.pairs).enumerate() {
        if (p.gold - q.gold).abs() > 0.01 {
            return Err(apart(format!(
                "pair {} has the gold scores {} and {}",
                row + 1,
                p.gold,
                q.gold
            )));
        }
        // The two texts of a pair stay in one batch: near texts are what similarities learn from.
        let texts = [(&p.sentence1, &q.sentence1), (&p.sentence2, &q.sentence2)];
        for (tied, (first, second)) in [false, true].into_iter().zip(texts) {
            examples.push(Example {
                first: first.clone(),
                second: second.clone(),
                place: format!("{} pair {}", names[0], row + 1),
                tied,
                ..Example::default()
            });
        }
    }
    Ok(examples)
}

/// Further texts of the teacher's language: random spans of words, and every word. Unique and in
/// an order that the seed decides.
fn extra(examples: &[Example], spans: usize, words: bool, seed: u64) -> Vec<String> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for example in examples {
        let parts: Vec<&str> = example.first.split_whitespace().collect();
        for _ in 0..spans {
            if parts.len() < 4 {
                continue;
            }
            let most = (parts.len() * 4 / 5).max(2);
            let length = 2 + below(&mut random, most - 1);
            let start = below(&mut random, parts.len() - length + 1);
            let span = parts[start..start + length].join(" ");
            if seen.insert(span.clone()) {
                found.push(span);
            }
        }
        if words {
            for word in example.first.split(|c: char| !c.is_alphanumeric()) {
                let word = word.to_lowercase();
                if !word.is_empty() && seen.insert(word.clone()) {
                    found.push(word);
                }
            }
        }
    }
    found
}

/// The entries of a vocabulary that are whole words of two or more letters, in the order of ids:
/// what a teacher knows beyond the training texts.
pub(super) fn whole_words(tokenizer: &Tokenizer) -> Vec<String> {
    let marks_words = tokenizer.model_kind() != "WordPiece";
    tokenizer
        .vocabulary()
        .into_iter()
        .filter(|entry| !entry.special)
        .filter_map(|entry| {
            let word = if marks_words {
                entry.token.strip_prefix(['▁', 'Ġ'])?
            } else {
                &entry.token
            };
            let is_word = word.chars().count() > 1 && word.chars().all(char::is_alphabetic);
            is_word.then(|| word.to_owned())
        })
        .collect()
}

/// A number below `n`.
pub(super) fn below(random: &mut Xoshiro256PlusPlus, n: usize) -> usize {
    ((u128::from(random.next_u64()) * n.max(1) as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_texts_are_unique_spans_and_words_and_depend_on_the_seed() {
        let examples = [Example {
            first: "The bank raised its base rate by 25bp.".into(),
            ..Example::default()
        }];
        let words = extra(&examples, 0, true, 0);
        assert_eq!(
            words,
            ["the", "bank", "raised", "its", "base", "rate", "by", "25bp"]
        );
        let spans = extra(&examples, 5, false, 1);
        assert!(!spans.is_empty() && spans.iter().all(|s| examples[0].first.contains(s)));
        assert_eq!(spans, extra(&examples, 5, false, 1));
        assert_ne!(spans, extra(&examples, 5, false, 2));
    }
}
