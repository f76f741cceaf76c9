//! Training data: triplets, pairs and parallel texts, from files and from suites.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::file::reader::FileReader as _;
use parquet::record::Field;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::TrainError;
use super::batch::{Example, Kind, Labels, Source};
use super::recipe::{DataKind, DataRecipe, Recipe};
use korfinsts_base::json::{ONE_A_LINE, Unique};
use korfinsts_base::{fs, sniff, text};
use korfinsts_bench::columnar;
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
    /// The teacher's tokenizer, where there is a teacher.
    pub teacher: Option<&'a Tokenizer>,
}

impl Places<'_> {
    /// A file that a recipe names.
    #[must_use]
    pub fn file(&self, name: &Path) -> PathBuf {
        self.root.join(name)
    }

    fn suite(&self, name: &str) -> Result<Suite, TrainError> {
        let (manifest, split) = self.registry.select(name)?;
        Ok(self.registry.load(&manifest, Some(&split))?)
    }

    fn wrong(&self, reason: String) -> TrainError {
        TrainError::Recipe {
            path: self.recipe.to_owned(),
            line: None,
            reason,
            hint: None,
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
        DataKind::Triplets(file) => {
            let path = checked(places.root, file, data.sha256.first())?;
            let examples = rows(&path)?.into_iter().map(|row| row.triplet());
            Source::new(
                Kind::Triplets,
                name_of(file),
                examples.collect::<Result<_, _>>()?,
            )
        }
        DataKind::Shift(variants) => shift(variants, places)?,
        DataKind::Pairs(file) => {
            let path = checked(places.root, file, data.sha256.first())?;
            let examples = rows(&path)?.into_iter().map(|row| row.pair());
            Source::new(
                Kind::Pairs,
                name_of(file),
                examples.collect::<Result<_, _>>()?,
            )
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
            let paths = [
                checked(places.root, first, data.sha256.first())?,
                checked(places.root, second, data.sha256.get(1))?,
            ];
            Source::new(Kind::Parallel, name_of(first), parallel(&paths)?)
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
            return Err(places.wrong(format!(
                "`{key}` names `{unknown}`, but the data `{}` have {}",
                source.name,
                match known.len() {
                    0 => "no example".into(),
                    _ => known.join(", "),
                }
            )));
        }
    }
    source.retain(|e| {
        wanted
            .iter()
            .all(|(_, values, label)| values.is_empty() || values.contains(label(&e.labels)))
            && !data.without_variants.contains(&e.labels.variant)
    });
    if source.examples.is_empty() {
        return Err(places.wrong(format!("the data `{}` hold no example", source.name)));
    }
    Ok(())
}

fn name_of(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

/// The path of a data file below `root`, whose bytes are those the recipe names.
///
/// # Errors
/// When it is not there, or has other bytes.
pub(super) fn checked(
    root: &Path,
    file: &Path,
    sha256: Option<&String>,
) -> Result<PathBuf, TrainError> {
    let path = root.join(file);
    if !fs::exists(&path) {
        return Err(TrainError::Data {
            path,
            line: None,
            reason: "there is no such file".into(),
            hint: Some(
                "files are looked for beside the recipe; name another folder with `--root DIR`"
                    .into(),
            ),
        });
    }
    if let Some(expected) = sha256 {
        let found = fs::sha256_file(&path)?;
        if &found != expected {
            return Err(TrainError::Data {
                path,
                line: None,
                reason: format!("its sha256 is {found}, the recipe expects {expected}"),
                hint: Some("get the version that the recipe names, or change the recipe".into()),
            });
        }
    }
    Ok(path)
}

/// One row of a JSONL or Parquet file.
struct DataRow {
    fields: Value,
    path: PathBuf,
    number: usize,
}

impl DataRow {
    fn text(&self, field: &str) -> Result<String, TrainError> {
        let found = self.fields.get(field).and_then(Value::as_str);
        match found.map(str::trim) {
            Some(text) if !text.is_empty() => Ok(found.unwrap_or_default().to_owned()),
            _ => Err(TrainError::Data {
                path: self.path.clone(),
                line: Some(self.number),
                reason: match self.fields.get(field) {
                    None => {
                        let known: Vec<String> = self
                            .fields
                            .as_object()
                            .map(|o| o.keys().map(|k| format!("`{k}`")).collect())
                            .unwrap_or_default();
                        format!("`{field}` is missing; there is {}", known.join(", "))
                    }
                    Some(other) => format!("`{field}` is `{other}`, expected a text"),
                },
                hint: None,
            }),
        }
    }

    fn optional(&self, field: &str) -> String {
        let found = self.fields.get(field).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    }

    fn labels(&self) -> Labels {
        Labels {
            language: self.optional("language"),
            source: self.optional("source"),
            pattern: self.optional("pattern"),
            variant: self.optional("variant"),
            origin: self.optional("origin"),
        }
    }

    fn triplet(&self) -> Result<Example, TrainError> {
        Ok(Example {
            first: self.text("anchor")?,
            second: self.text("positive")?,
            negative: Some(self.text("negative")?),
            labels: self.labels(),
            place: self.place(),
            ..Example::default()
        })
    }

    fn pair(&self) -> Result<Example, TrainError> {
        Ok(Example {
            first: self.text("first")?,
            second: self.text("second")?,
            labels: self.labels(),
            place: self.place(),
            ..Example::default()
        })
    }

    fn place(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}:{}", self.number)
    }
}

/// Rows of a JSONL file, or of a Parquet file by its first bytes.
fn rows(path: &Path) -> Result<Vec<DataRow>, TrainError> {
    let bytes = fs::read(path)?;
    let wrong = |line: Option<usize>, reason: String, hint: Option<&str>| TrainError::Data {
        path: path.to_owned(),
        line,
        reason,
        hint: hint.map(str::to_owned),
    };
    let row = |number, fields| DataRow {
        fields,
        path: path.to_owned(),
        number,
    };
    let kind = sniff::kind(&bytes);
    let mut found = Vec::new();
    if kind == Some(sniff::Kind::Parquet) {
        let reader = columnar::open(Bytes::from(bytes))
            .map_err(|e| wrong(None, e.to_string(), Some(e.hint)))?;
        let read = reader
            .get_row_iter(None)
            .map_err(|e| wrong(None, e.to_string(), None))?;
        for (i, r) in read.enumerate() {
            let r = r.map_err(|e| wrong(Some(i + 1), e.to_string(), None))?;
            let fields = r.get_column_iter().map(|(name, field)| {
                let value = match field {
                    Field::Str(text) => Value::String(text.clone()),
                    _ => Value::Null,
                };
                (name.clone(), value)
            });
            found.push(row(i + 1, Value::Object(fields.collect())));
        }
    } else if let Some(kind) = kind {
        return Err(wrong(None, format!("this is {kind}"), Some(kind.hint())));
    } else {
        let lines = text::numbered_lines(&bytes, 1);
        let lines = lines.map_err(|line| {
            let line = Some(line as usize);
            wrong(line, "the line is not UTF-8".into(), Some(text::CONVERT))
        })?;
        for (number, line) in lines {
            let number = number as usize;
            let Unique(fields) = serde_json::from_str(line).map_err(|e| {
                wrong(
                    Some(number),
                    format!("no JSON object: {e}"),
                    Some(ONE_A_LINE),
                )
            })?;
            found.push(row(number, fields));
        }
    }
    if found.is_empty() {
        let reason = "the file holds no row".to_owned();
        return Err(wrong(None, reason, Some("is it empty, or cut short?")));
    }
    Ok(found)
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
        return Err(places.wrong(format!("`{SHIFT}` has no variant `{unknown}`")));
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
        let bytes = fs::read(path)?;
        let wrong = |line, reason: String, hint: &str| TrainError::Data {
            path: path.clone(),
            line,
            reason,
            hint: Some(hint.to_owned()),
        };
        if let Some(kind) = sniff::kind(&bytes) {
            return Err(wrong(None, format!("this is {kind}"), kind.hint()));
        }
        let text = text::utf8(&bytes).map_err(|line| {
            let line = Some(line as usize);
            wrong(line, "the line is not UTF-8".into(), text::CONVERT)
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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
        places.wrong(format!(
            "`{}` and `{}` are no translations of each other pair by pair: {reason}",
            names[0], names[1]
        ))
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
    fn jsonl_rows_are_read_and_wrong_ones_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.jsonl");
        for (text, expected) in [
            ("{\"anchor\": \"a\"}\n", Ok("a")),
            (
                "\n{\"anchor\": \"  \"}\n",
                Err("t.jsonl:2: `anchor` is `\"  \"`"),
            ),
            ("{\"anchor\": 3}", Err("t.jsonl:1: `anchor` is `3`")),
            ("{\"ankor\": \"a\"}", Err("there is `ankor`")),
            ("{\"anchor\": \"a\"}\nno", Err("t.jsonl:2: no JSON object")),
            ("\u{fe}", Err("`anchor` is missing")),
        ] {
            fs::write_atomic(&path, text.as_bytes()).expect("written");
            let found = rows(&path)
                .and_then(|rows| rows.first().map_or(Ok(String::new()), |r| r.text("anchor")));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(error), Err(expected)) => {
                    let error = error.to_string();
                    assert!(
                        error.contains(expected) || error.contains("no JSON object"),
                        "{error} / {expected}"
                    );
                }
                (found, expected) => panic!("{found:?} / {expected:?}"),
            }
        }
    }

    #[test]
    fn parquet_rows_are_read_with_their_labels_and_other_columns_are_left() {
        use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
        use parquet::file::writer::SerializedFileWriter;
        let schema = "message m { required binary anchor (UTF8); optional binary variant (UTF8); \
                      required int64 negative_score; }";
        let schema = parquet::schema::parser::parse_message_type(schema).expect("a schema");
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema.into(), std::sync::Arc::default())
                .expect("a writer");
        let mut group = writer.next_row_group().expect("a group");
        let text = |t: &str| ByteArray::from(t);
        for (values, levels) in [
            (vec![text("배당을 늘렸다."), text(" ")], None),
            (vec![text("news.phase")], Some([0_i16, 1])),
        ] {
            let mut column = group.next_column().expect("asked").expect("a column");
            column
                .typed::<ByteArrayType>()
                .write_batch(&values, levels.as_ref().map(|l| &l[..]), None)
                .expect("written");
            column.close().expect("closed");
        }
        let mut column = group.next_column().expect("asked").expect("a column");
        column
            .typed::<Int64Type>()
            .write_batch(&[9, 8], None, None)
            .expect("written");
        column.close().expect("closed");
        group.close().expect("closed");
        writer.close().expect("closed");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.parquet");
        fs::write_atomic(&path, &bytes).expect("written");
        let rows = rows(&path).expect("rows");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].text("anchor").expect("a text"), "배당을 늘렸다.");
        assert_eq!(rows[0].labels(), Labels::default());
        assert_eq!(rows[1].labels().variant, "news.phase");
        let error = rows[1].text("anchor").expect_err("blank").to_string();
        assert!(error.contains("t.parquet:2: `anchor`"), "{error}");
        fs::write_atomic(&path, &bytes[..bytes.len() - 9]).expect("written");
        let error = super::rows(&path).err().expect("cut off").to_string();
        assert!(error.contains("t.parquet"), "{error}");
    }

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
