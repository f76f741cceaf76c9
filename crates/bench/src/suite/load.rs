//! Files become pairs: columns, domains, ids, gold scores, and every check on them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use korfinsts_base::text::nfc;

use super::error::{Finding, Level, Place, Problem};
use super::format::{Cell, Findings, Lookup, Record, Table, read, read_parallel};
use super::manifest::{
    Column, Domains, Format, Manifest, ROW, Source, SourceFile, Split, Tolerance,
};
use super::stats::narrow;
use super::{Pair, Scale, ScaleKind, Suite, SuiteError};

/// The bytes of one source file of a split, with what the manifest says about it.
#[derive(Debug, Clone)]
pub(super) struct Located {
    /// Path that errors show.
    pub path: PathBuf,
    /// Name in the list of hashes.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Domain of all its pairs.
    pub domain: Option<String>,
    /// Name and bytes of its gold file.
    pub gold: Option<(String, Vec<u8>)>,
}

/// What reading a split gave: pairs, and everything that is wrong.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub pairs: Vec<Pair>,
    /// The place of each pair.
    pub places: Vec<(PathBuf, Place)>,
    pub findings: Vec<Finding>,
    pub warnings: Vec<String>,
    /// Rows of the files, dropped ones included.
    pub rows: usize,
    /// What the files themselves say of where they come from.
    pub provenance: Provenance,
}

/// What the bytes of a split say of the hub's copy: the manifest's word is not enough.
#[derive(Debug, Default)]
pub(super) enum Provenance {
    /// The manifest names no revision of a copy on the hub.
    #[default]
    Elsewhere,
    /// They are those that the manifest means, or were fetched at it, so this revision is theirs.
    Pinned(String),
    /// Nothing names them: the reader is told why no revision is.
    Unverified(&'static str),
}

impl Reading {
    /// Notes the hub's commit from which the files were fetched, where they were.
    pub fn fetched(mut self, commit: Option<String>) -> Self {
        if let Some(commit) = commit {
            self.provenance = Provenance::Pinned(commit);
        }
        self
    }
}

impl Provenance {
    fn of(manifest: &Manifest, source: &Source, split: &str, files: &[Located]) -> Self {
        let declared = source
            .files
            .get(manifest.files_key(split))
            .into_iter()
            .flatten();
        let declared: Vec<&SourceFile> = declared.collect();
        let pinned = |file: &Located| {
            let is = |sha256: &Option<String>, bytes: &[u8]| {
                sha256
                    .as_ref()
                    .is_some_and(|s| *s == korfinsts_base::fs::sha256(bytes))
            };
            declared.iter().any(|d| {
                is(&d.sha256, &file.bytes)
                    && match (&d.gold, &file.gold) {
                        (Some(declared), Some((_, bytes))) => is(&declared.sha256, bytes),
                        (declared, found) => declared.is_none() && found.is_none(),
                    }
            })
        };
        match manifest.pinned_revision() {
            Some(revision) if !files.is_empty() && files.iter().all(pinned) => {
                Self::Pinned(revision.to_owned())
            }
            Some(_) => Self::Unverified(
                "the rows are those of a local file that the manifest names by no sha256: which revision \
                 of the dataset they are of is not known",
            ),
            None if source.hub.is_some() => Self::Unverified(
                "the manifest pins no revision of this suite; the release id names the bytes that \
                 were imported",
            ),
            None => Self::Elsewhere,
        }
    }
}

/// Fewest pairs whose range of gold scores says something of their scale.
const SCALE_PAIRS: usize = 10;

/// A warning where gold scores take up less than half of the declared scale: divided, or of another one.
fn other_scale(pairs: &[Pair], scale: Scale) -> Option<String> {
    let gold = || pairs.iter().map(|p| p.gold);
    let range = [
        gold().fold(f64::MAX, f64::min),
        gold().fold(f64::MIN, f64::max),
    ];
    let varied = pairs.len() >= SCALE_PAIRS && range[0] < range[1];
    narrow(range, scale, 0.5).filter(|_| varied && scale.kind != ScaleKind::Binary)
}

/// The columns of a table, found once, and how the manifest reads them.
struct Found<'a> {
    source: &'a Source,
    scale: Scale,
    sentence1: Lookup,
    sentence2: Lookup,
    score: Lookup,
    id: Vec<Lookup>,
    domain: Option<Lookup>,
    labels: Vec<Lookup>,
}

/// Reads one split from located files.
pub(super) fn read_split(
    manifest: &Manifest,
    source: &Source,
    split: &str,
    files: &[Located],
) -> Reading {
    let declared = &manifest.splits[split];
    let scale = manifest.scale_of(declared);
    let mut reading = Reading::default();
    let mut ids: HashMap<String, (PathBuf, Place)> = HashMap::new();
    let mut unknown_domains: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        let mut findings = Findings::new(&file.path, &mut reading.findings);
        let before = findings.errors();
        let table = match &file.gold {
            Some((name, gold)) => read_parallel(&file.bytes, gold, name, &mut findings),
            None => read(&file.bytes, &source.format, &mut findings),
        };
        if table.total == 0 && findings.errors() == before {
            findings.add(Place::File, Problem::NoPair { rows: 0 });
            continue;
        }
        let columns = match columns(&table, source, declared.score.as_ref(), scale) {
            Ok(columns) => columns,
            Err(problem) => {
                // A file that could not be read at all has no columns either.
                if table.header.is_some() || !table.records.is_empty() {
                    findings.add(Place::Line(1), problem);
                }
                continue;
            }
        };
        if let Some((what, hint)) = document(&table, &columns) {
            findings.add(Place::File, Problem::Document { what, hint });
            continue;
        }
        if !table.dropped.is_empty() {
            reading.warnings.push(dropped(&file.name, &table));
        }
        for record in &table.records {
            let before = findings.found.len();
            let row = reading.rows + record.number;
            let pair = pair(record, &columns, file, &mut findings);
            let Some(mut pair) = pair else {
                stop_on_missing_column(findings.found, before);
                continue;
            };
            if columns.id.is_empty() {
                pair.id = format!("{split}-{row}");
            }
            if let Some(found) = pair.domain.take() {
                let (domain, known) =
                    domain(source.domains.as_ref(), file.domain.is_some(), &found);
                pair.domain = Some(domain);
                if !known {
                    match unknown_domain(source, found) {
                        Ok(kept) => *unknown_domains.entry(kept).or_default() += 1,
                        Err(problem) => findings.add(record.place, problem),
                    }
                }
            }
            let pairs = apart(pair, &source.columns.marks);
            if pairs.is_empty() {
                let column = columns.sentence2.name.clone();
                findings.add(record.place, Problem::EmptyText { column });
            }
            for pair in pairs {
                match ids.get(&pair.id) {
                    Some((path, first)) => {
                        findings.add(record.place, duplicate(&pair.id, path, *first));
                    }
                    None => {
                        ids.insert(pair.id.clone(), (file.path.clone(), record.place));
                    }
                }
                reading.pairs.push(pair);
                reading.places.push((file.path.clone(), record.place));
            }
        }
        reading.rows += table.total;
    }
    reading.warnings.extend(empty_texts(&reading.pairs));
    for (value, count) in &unknown_domains {
        reading.warnings.push(format!(
            "the domain `{value}` ({count} pairs) is not in the manifest and was kept as it is"
        ));
    }
    reading.provenance = Provenance::of(manifest, source, split, files);
    if !matches!(reading.provenance, Provenance::Pinned(_)) {
        reading.warnings.extend(other_scale(&reading.pairs, scale));
    }
    count(declared, files, unknown_domains.is_empty(), &mut reading);
    if reading
        .findings
        .iter()
        .any(|f| f.problem == Problem::ByteOrderMark)
    {
        reading
            .warnings
            .push("a byte order mark at the start of a file was skipped".to_owned());
    }
    reading
}

/// A warning where pairs have an empty text.
fn empty_texts(pairs: &[Pair]) -> Option<String> {
    let is_empty = |p: &&Pair| p.sentence1.is_empty() || p.sentence2.is_empty();
    let empty = pairs.iter().filter(is_empty).count();
    (empty > 0).then(|| format!("{empty} pairs have an empty text"))
}

/// A pair for each text between marks in the second one, without outer white space, numbered from 1; the pair itself
/// where there are no marks.
fn apart(pair: Pair, marks: &[String]) -> Vec<Pair> {
    if marks.is_empty() {
        return vec![pair];
    }
    let mut texts = vec![pair.sentence2.as_str()];
    for mark in marks {
        texts = texts.iter().flat_map(|t| t.split(mark.as_str())).collect();
    }
    let texts = texts.iter().map(|t| t.trim()).filter(|t| !t.is_empty());
    let mut labels = pair.labels.clone();
    labels.insert(ROW.to_owned(), pair.id.clone());
    let numbered = texts.zip(1..).map(|(text, number)| Pair {
        id: format!("{}-{number}", pair.id),
        sentence2: text.to_owned(),
        labels: labels.clone(),
        ..pair.clone()
    });
    numbered.collect()
}

/// What the only record of a file is, where it is a document and no row: it lacks the first text.
fn document(table: &Table, columns: &Found<'_>) -> Option<(String, String)> {
    match &table.records[..] {
        [only] if only.text(&columns.sentence1).is_err() => only.document(),
        _ => None,
    }
}

/// A domain that the manifest does not name: kept, or refused.
fn unknown_domain(source: &Source, found: String) -> Result<String, Problem> {
    match source.domains.as_ref().map(|d| d.unknown) {
        Some(Tolerance::Refuse) => Err(Problem::UnknownDomain {
            found,
            allowed: allowed(source.domains.as_ref()),
        }),
        _ => Ok(found),
    }
}

fn duplicate(id: &str, path: &Path, first: Place) -> Problem {
    let first = match first {
        Place::Line(n) => format!("{}:{n}", path.display()),
        Place::Row(n) => format!("{} row {n}", path.display()),
        Place::File => path.display().to_string(),
    };
    Problem::DuplicateId {
        id: id.to_owned(),
        first: first.into(),
    }
}

/// A key that the first object lacks would be reported for every row of the file: once is enough.
fn stop_on_missing_column(found: &mut Vec<Finding>, before: usize) {
    let fresh = found.split_off(before);
    for finding in fresh {
        let seen = found.iter().any(|f| {
            f.path == finding.path
                && matches!(f.problem, Problem::MissingColumn { .. })
                && f.problem == finding.problem
        });
        if !seen {
            found.push(finding);
        }
    }
}

fn dropped(name: &str, table: &Table) -> String {
    let shown: Vec<String> = table
        .dropped
        .iter()
        .take(5)
        .map(ToString::to_string)
        .collect();
    let more = table.dropped.len().saturating_sub(5);
    format!(
        "{} of {} rows of `{name}` were dropped, as the manifest says: {}{}",
        table.dropped.len(),
        table.total,
        shown.join(", "),
        if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        }
    )
}

fn columns<'a>(
    table: &Table,
    source: &'a Source,
    score: Option<&Column>,
    scale: Scale,
) -> Result<Found<'a>, Problem> {
    let wanted = &source.columns;
    let gold = Column::Index(2);
    let score = match (score.or(wanted.score.as_ref()), &source.format) {
        (_, Format::Parallel) | (None, _) => &gold,
        (Some(score), _) => score,
    };
    let domain = match &source.domains {
        Some(Domains {
            column: Some(column),
            optional,
            ..
        }) => match table.column(column) {
            Ok(lookup) => Some(lookup),
            Err(_) if *optional => None,
            Err(problem) => return Err(problem),
        },
        _ => None,
    };
    Ok(Found {
        source,
        scale,
        sentence1: table.column(&wanted.sentence1)?,
        sentence2: table.column(&wanted.sentence2)?,
        score: table.column(score)?,
        id: wanted
            .id
            .iter()
            .map(|c| table.column(c))
            .collect::<Result<_, _>>()?,
        domain,
        labels: wanted
            .labels
            .iter()
            .map(|name| table.column(&Column::Name(name.clone())))
            .collect::<Result<_, _>>()?,
    })
}

/// One record as a pair; `None` where something is wrong with it, which is then reported.
fn pair(
    record: &Record,
    columns: &Found<'_>,
    file: &Located,
    findings: &mut Findings<'_>,
) -> Option<Pair> {
    let Found { source, scale, .. } = *columns;
    let before = findings.found.len();
    let mut take = |result: Result<String, Problem>| match result {
        Ok(text) => text,
        Err(problem) => {
            findings.add(record.place, problem);
            String::new()
        }
    };
    let sentences = [&columns.sentence1, &columns.sentence2].map(|c| {
        match record.text(c) {
            Ok(text) if !text.trim().is_empty() => return Ok(text),
            Err(Problem::WrongType { found, .. }) if found == "null" => {}
            Err(problem) => return Err(problem),
            Ok(_) => {}
        }
        match source.columns.empty {
            Tolerance::Keep => Ok(String::new()),
            Tolerance::Refuse => Err(Problem::EmptyText {
                column: c.name.clone(),
            }),
        }
    });
    let [sentence1, sentence2] = sentences.map(&mut take);
    let id: Vec<String> = columns.id.iter().map(|c| take(record.text(c))).collect();
    let labels = columns
        .labels
        .iter()
        .map(|c| (c.name.clone(), take(record.text(c))))
        .collect();
    let optional = source.domains.as_ref().is_some_and(|d| d.optional);
    let domain = match &columns.domain {
        Some(column) => match record.text(column) {
            Ok(value) => Some(value),
            Err(_) if optional => None,
            Err(problem) => Some(take(Err(problem))),
        },
        None => file.domain.clone(),
    };
    let gold = match gold(record, &columns.score, &source.columns.scores, scale) {
        Ok(gold) => gold,
        Err(problem) => {
            findings.add(record.place, problem);
            return None;
        }
    };
    (findings.found.len() == before).then(|| Pair {
        id: id.join("-"),
        sentence1,
        sentence2,
        gold,
        domain,
        labels,
    })
}

fn gold(
    record: &Record,
    column: &Lookup,
    named: &BTreeMap<String, f64>,
    scale: Scale,
) -> Result<f64, Problem> {
    let (number, written) = match record.cell(column)? {
        Cell::Number(number) => (Some(number), number.to_string()),
        Cell::Text(text) => {
            let name = text.trim();
            let number = named.get(name).copied();
            (number.or_else(|| name.parse().ok()), text.to_owned())
        }
        Cell::Other(found) => (None, found),
    };
    let gold: f64 = number
        .filter(|n: &f64| n.is_finite())
        .ok_or(Problem::GoldNotANumber { found: written })?;
    if !(scale.min..=scale.max).contains(&gold) {
        return Err(Problem::GoldOutOfRange {
            found: gold,
            min: scale.min,
            max: scale.max,
        });
    }
    if scale.kind == ScaleKind::Binary && gold != 0.0 && gold != 1.0 {
        return Err(Problem::GoldNotBinary { found: gold });
    }
    Ok(gold)
}

/// The domain of a value, and whether the manifest knows it.
fn domain(domains: Option<&Domains>, of_file: bool, value: &str) -> (String, bool) {
    let trimmed = value.trim();
    match domains {
        Some(domains) if domains.column.is_some() && !of_file && !domains.map.is_empty() => {
            match domains.map.get(&nfc(&trimmed.to_lowercase())) {
                Some(domain) => (domain.clone(), true),
                None => (trimmed.to_owned(), false),
            }
        }
        _ => (trimmed.to_owned(), true),
    }
}

fn allowed(domains: Option<&Domains>) -> Vec<String> {
    domains.map_or_else(Vec::new, |d| d.map.keys().cloned().collect())
}

/// The file of a split, or the folder of several.
pub(super) fn shown(files: &[Located]) -> PathBuf {
    match files {
        [] => PathBuf::new(),
        [file] => file.path.clone(),
        [file, ..] => file.path.parent().map(PathBuf::from).unwrap_or_default(),
    }
}

/// Compares the numbers of pairs with those of the manifest.
fn count(declared: &Split, files: &[Located], domains_known: bool, reading: &mut Reading) {
    // Where rows were refused, their number says nothing new.
    if reading
        .findings
        .iter()
        .any(|f| f.problem.level() == Level::Error)
    {
        return;
    }
    let path = shown(files);
    let mut findings = Findings::new(&path, &mut reading.findings);
    if reading.pairs.is_empty() {
        let rows = reading.rows;
        findings.add(Place::File, Problem::NoPair { rows });
        return;
    }
    if let Some(expected) = declared.rows
        && expected != reading.pairs.len()
    {
        findings.add(
            Place::File,
            Problem::PairCount {
                expected,
                found: reading.pairs.len(),
                domain: None,
            },
        );
        return;
    }
    if !domains_known || reading.pairs.iter().all(|p| p.domain.is_none()) {
        return;
    }
    for (domain, expected) in &declared.domains {
        let found = reading
            .pairs
            .iter()
            .filter(|p| p.domain.as_ref() == Some(domain))
            .count();
        if found != *expected {
            findings.add(
                Place::File,
                Problem::PairCount {
                    expected: *expected,
                    found,
                    domain: Some(domain.clone()),
                },
            );
        }
    }
}

/// The SHA-256 of the canonical list of files with their hashes: `<sha256>  <name>\n`, sorted by
/// name.
#[must_use]
pub(super) fn release_id(files: &[Located]) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for file in files {
        lines.push((&file.name, korfinsts_base::fs::sha256(&file.bytes)));
        if let Some((name, bytes)) = &file.gold {
            lines.push((name, korfinsts_base::fs::sha256(bytes)));
        }
    }
    lines.sort();
    let text: String = lines
        .iter()
        .map(|(name, hash)| format!("{hash}  {name}\n"))
        .collect();
    korfinsts_base::fs::sha256(text.as_bytes())
}

/// A reading without errors as a suite.
///
/// # Errors
/// The first problem that makes the split unusable, with the number of the others.
pub(super) fn finish(
    manifest: &Manifest,
    split: &str,
    files: &[Located],
    reading: Reading,
) -> Result<Suite, SuiteError> {
    let errors: Vec<&Finding> = reading
        .findings
        .iter()
        .filter(|f| f.problem.level() == Level::Error)
        .collect();
    if let Some(first) = errors.first() {
        return Err(SuiteError::Content {
            suite: manifest.id.clone(),
            first: Box::new((*first).clone()),
            more: errors.len() - 1,
        });
    }
    let declared = &manifest.splits[split];
    let mut warnings = manifest.notes.clone();
    warnings.extend(declared.notes.iter().cloned());
    if let Some(other) = &manifest.superseded_by {
        warnings.push(format!("superseded by `{other}`"));
    }
    warnings.extend(reading.warnings);
    let hub_revision = match reading.provenance {
        Provenance::Pinned(revision) => Some(revision),
        Provenance::Unverified(why) => {
            warnings.push(why.to_owned());
            None
        }
        Provenance::Elsewhere => None,
    };
    Ok(Suite {
        id: manifest.id.clone(),
        version: manifest.version.clone(),
        split: split.to_owned(),
        languages: manifest.languages.clone(),
        scale: manifest.scale_of(declared),
        pairs: reading.pairs,
        release_id: release_id(files),
        redistributable: manifest.redistributable && !declared.sealed,
        triplets: manifest.triplets.clone(),
        cluster: manifest.cluster.clone(),
        mteb_task: declared.mteb_task.clone(),
        hub_revision,
        warnings,
    })
}

/// The name of a file in the list of hashes: that of the manifest where it is fixed, else the
/// split, its number among several, and the extension of what was found. So the same bytes have
/// the same release id, whatever the file was called on disk.
pub(super) fn stored_name(
    declared: &SourceFile,
    split: &str,
    number: Option<usize>,
    found: &str,
) -> String {
    let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    if declared.sha256.is_some() || declared.or.is_empty() && !declared.name.contains('*') {
        return base(&declared.name);
    }
    let found = base(found);
    let extension = found.split_once('.').map_or("", |(_, e)| e);
    // `train-00000-of-00001.parquet` has one dot; `x.v2.jsonl.gz` keeps its last known parts.
    let extension = ["jsonl.gz", "json.gz", "csv.gz", "tsv.gz"]
        .into_iter()
        .find(|e| found.ends_with(e))
        .unwrap_or_else(|| extension.rsplit('.').next().unwrap_or(extension));
    let number = number.map_or_else(String::new, |n| format!("-{n}"));
    if extension.is_empty() {
        format!("{split}{number}")
    } else {
        format!("{split}{number}.{extension}")
    }
}
