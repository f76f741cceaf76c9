//! The view on terms: how a tokenizer splits the words that carry the meaning of a field.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CoverageError;
use super::subject::Subject;
use korfinsts_base::embedded::Folder;
use korfinsts_base::fs;
use korfinsts_base::strict_toml;
use korfinsts_base::text::{self, is_hangul_syllable, nfc};

/// One term of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The term.
    pub term: String,
    /// Type of text it comes from: `news`, `disclosure`, `report`, `legal`, or what the list says.
    #[serde(default)]
    pub source: String,
    /// English gloss; may be empty.
    #[serde(default)]
    pub english: String,
}

/// The built-in list: Korean financial terms written for this project, by source type.
///
/// # Panics
/// When the list in the sources is malformed, which a test rules out.
#[must_use]
pub fn built_in() -> Vec<Term> {
    let folder = Folder::new::<korfinsts_training_data::Training>("terms/");
    let text = folder.text("finance-ko.tsv").unwrap_or_default();
    parse_tsv(&text, Path::new("training/terms/finance-ko.tsv"))
        .expect("the built-in list is well formed")
}

/// Reads a list of terms: TOML (`[[term]]` with `term`, `source`, `english`), or tab separated
/// lines `term`, `source`, `english` of which the last two may be left out. Empty lines and lines
/// that start with `#` are skipped, and so is a first line that names the columns.
///
/// # Errors
/// When the file cannot be read, a line has other fields, a term occurs twice, or none is there.
pub fn read(path: &Path) -> Result<Vec<Term>, CoverageError> {
    let bytes = fs::read(path)?;
    let text = text::utf8(&bytes)
        .map_err(|line| invalid(path, line as usize, "the list is not UTF-8".into()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if path.extension().is_some_and(|e| e == "toml") {
        parse_toml(text, path)
    } else {
        parse_tsv(text, path)
    }
}

fn parse_toml(text: &str, path: &Path) -> Result<Vec<Term>, CoverageError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        term: Vec<Term>,
    }
    let list: List =
        strict_toml::parse(text).map_err(|e| invalid(path, e.line.unwrap_or(0), e.reason))?;
    checked(list.term.into_iter().map(|t| (0, t)), path)
}

fn parse_tsv(text: &str, path: &Path) -> Result<Vec<Term>, CoverageError> {
    let mut terms = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if number == 0 && line.split('\t').next() == Some("term") {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        if fields.len() > 3 {
            return Err(invalid(
                path,
                number + 1,
                format!(
                    "expected a term, its source and a gloss separated by tabs, found {} fields",
                    fields.len()
                ),
            ));
        }
        let field = |i: usize| fields.get(i).map(|f| (*f).to_owned()).unwrap_or_default();
        terms.push((
            number + 1,
            Term {
                term: field(0),
                source: field(1),
                english: field(2),
            },
        ));
    }
    checked(terms.into_iter(), path)
}

fn checked(
    terms: impl Iterator<Item = (usize, Term)>,
    path: &Path,
) -> Result<Vec<Term>, CoverageError> {
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for (line, mut term) in terms {
        if term.term.is_empty() {
            return Err(invalid(path, line, "a term is empty".into()));
        }
        if term.source.is_empty() {
            term.source = "terms".into();
        }
        if !seen.insert((nfc(&term.term), term.source.clone())) {
            return Err(invalid(
                path,
                line,
                format!(
                    "the term `{}` stands twice under `{}`",
                    term.term, term.source
                ),
            ));
        }
        kept.push(term);
    }
    if kept.is_empty() {
        return Err(invalid(path, 0, "the list holds no terms".into()));
    }
    Ok(kept)
}

fn invalid(path: &Path, line: usize, reason: String) -> CoverageError {
    CoverageError::Invalid {
        path: path.to_owned(),
        line: line as u64,
        reason,
        hint: Some("write one term per line: term, tab, source type, tab, gloss".into()),
    }
}

/// How one term is split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermSplit {
    /// The term.
    pub term: String,
    /// Its source type.
    pub source: String,
    /// Its gloss.
    pub english: String,
    /// Number of tokens.
    pub tokens: usize,
    /// Number of unknown tokens among them.
    pub unknown: usize,
    /// Tokens over Hangul syllables (over characters, where it has no syllable).
    pub tokens_per_syllable: f64,
    /// The pieces as readable text; a run of pieces that are parts of characters is shown as one
    /// `⟨n⟩` with their number, unknown tokens as they are stored.
    pub pieces: Vec<String>,
}

/// How the terms of one source type are split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TermShares {
    /// Number of terms.
    pub terms: usize,
    /// Tokens over terms.
    pub tokens_per_term: f64,
    /// Share of terms with an unknown token.
    pub unknown_terms_share: f64,
    /// Share of terms that are one known token.
    pub whole_share: f64,
    /// Share of tokens that are byte-fallback pieces or not valid UTF-8 alone.
    pub partial_utf8_share: f64,
}

/// How a list of terms is split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermReport {
    /// All terms.
    pub all: TermShares,
    /// By source type.
    pub sources: BTreeMap<String, TermShares>,
    /// Every term, worst first.
    pub worst: Vec<TermSplit>,
}

/// Splits every term of a list, worst first: terms with unknown tokens before others (more of
/// them first), then by tokens per syllable, then by tokens, then by term.
///
/// # Errors
/// When the tokenizer fails on a term.
pub fn split(subject: &Subject, terms: &[Term]) -> Result<TermReport, CoverageError> {
    let mut all = Sums::default();
    let mut sources: BTreeMap<String, Sums> = BTreeMap::new();
    let mut worst = Vec::with_capacity(terms.len());
    for term in terms {
        let (split, partial) = split_one(subject, term)?;
        all.add(&split, partial);
        sources
            .entry(term.source.clone())
            .or_default()
            .add(&split, partial);
        worst.push(split);
    }
    worst.sort_by(worse_first);
    Ok(TermReport {
        all: all.shares(),
        sources: sources.into_iter().map(|(s, n)| (s, n.shares())).collect(),
        worst,
    })
}

fn worse_first(a: &TermSplit, b: &TermSplit) -> Ordering {
    b.unknown
        .cmp(&a.unknown)
        .then(b.tokens_per_syllable.total_cmp(&a.tokens_per_syllable))
        .then(b.tokens.cmp(&a.tokens))
        .then_with(|| a.term.cmp(&b.term))
}

fn split_one(subject: &Subject, term: &Term) -> Result<(TermSplit, usize), CoverageError> {
    let mut ids = Vec::new();
    subject.tokenizer().scan(&term.term, |id, _| ids.push(id))?;
    let mut pieces = Vec::new();
    let (mut unknown, mut partial, mut run) = (0, 0, 0_usize);
    let flush = |run: &mut usize, pieces: &mut Vec<String>| {
        if *run > 0 {
            pieces.push(format!("⟨{run}⟩"));
            *run = 0;
        }
    };
    for id in &ids {
        let flags = subject.flags(*id);
        unknown += usize::from(flags.unknown);
        partial += usize::from(flags.partial);
        if flags.partial {
            run += 1;
            continue;
        }
        flush(&mut run, &mut pieces);
        pieces.push(subject.readable(*id));
    }
    flush(&mut run, &mut pieces);
    let composed = nfc(&term.term);
    let syllables = composed.chars().filter(|c| is_hangul_syllable(*c)).count();
    let length = if syllables == 0 {
        composed.chars().count()
    } else {
        syllables
    };
    let split = TermSplit {
        term: term.term.clone(),
        source: term.source.clone(),
        english: term.english.clone(),
        tokens: ids.len(),
        unknown,
        tokens_per_syllable: ids.len() as f64 / length.max(1) as f64,
        pieces,
    };
    Ok((split, partial))
}

#[derive(Debug, Default)]
struct Sums {
    terms: usize,
    tokens: usize,
    partial: usize,
    with_unknown: usize,
    whole: usize,
}

impl Sums {
    fn add(&mut self, split: &TermSplit, partial: usize) {
        self.terms += 1;
        self.tokens += split.tokens;
        self.partial += partial;
        self.with_unknown += usize::from(split.unknown > 0);
        self.whole += usize::from(split.tokens == 1 && split.unknown == 0);
    }

    fn shares(&self) -> TermShares {
        let of = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        TermShares {
            terms: self.terms,
            tokens_per_term: of(self.tokens, self.terms),
            unknown_terms_share: of(self.with_unknown, self.terms),
            whole_share: of(self.whole, self.terms),
            partial_utf8_share: of(self.partial, self.tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_has_terms_of_every_source_type() {
        let terms = built_in();
        assert!(terms.len() >= 300, "{}", terms.len());
        for source in ["news", "disclosure", "report", "legal"] {
            let n = terms.iter().filter(|t| t.source == source).count();
            assert!(n >= 60, "{source}: {n}");
        }
        for term in &terms {
            assert!(!term.english.is_empty(), "{} has no gloss", term.term);
            assert_eq!(nfc(&term.term), term.term);
            assert!(term.term.chars().all(is_hangul_syllable), "{}", term.term);
        }
        for known in ["영업이익", "유상증자", "전환사채"] {
            assert!(terms.iter().any(|t| t.term == known), "{known}");
        }
    }

    #[test]
    fn lists_are_read_in_both_formats_and_errors_name_the_line() {
        let path = Path::new("list.tsv");
        let terms = parse_tsv("\u{0023} note\n금리\n환율\tnews\trate\r\n", path).expect("a list");
        assert_eq!(terms.len(), 2);
        assert_eq!(
            (terms[0].source.as_str(), terms[1].english.as_str()),
            ("terms", "rate")
        );
        let toml = parse_toml(
            "[[term]]\nterm = \"금리\"\nsource = \"news\"\n",
            Path::new("list.toml"),
        )
        .expect("a list");
        assert_eq!(toml[0].source, "news");
        for (text, says) in [
            ("", "list.tsv: the list holds no terms"),
            ("금리\tnews\trate\tmore", "list.tsv:1: expected"),
            ("금리\n금리", "list.tsv:2: the term `금리` stands twice"),
            ("\tnews", "list.tsv:1: a term is empty"),
        ] {
            let error = parse_tsv(text, path).expect_err(text).to_string();
            assert!(error.starts_with(says), "{error}");
        }
        let error = parse_toml("[[term]]\nterm = 3\n", Path::new("list.toml"));
        assert!(
            error
                .expect_err("a number")
                .to_string()
                .starts_with("list.toml:2")
        );
    }

    #[test]
    fn unknown_terms_come_first_then_the_most_split() {
        let split = |term: &str, tokens, unknown, tokens_per_syllable| TermSplit {
            term: term.into(),
            source: String::new(),
            english: String::new(),
            tokens,
            unknown,
            tokens_per_syllable,
            pieces: Vec::new(),
        };
        let mut splits = [
            split("c", 2, 0, 1.0),
            split("b", 4, 0, 1.0),
            split("a", 2, 0, 1.0),
            split("d", 1, 1, 0.2),
            split("e", 3, 0, 3.0),
        ];
        splits.sort_by(worse_first);
        let order: Vec<&str> = splits.iter().map(|s| s.term.as_str()).collect();
        assert_eq!(order, ["d", "e", "b", "a", "c"]);
    }
}
