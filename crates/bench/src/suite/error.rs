//! What can go wrong with a suite.

use std::fmt;
use std::path::PathBuf;

use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::FsError;
use korfinsts_base::hub::HubError;
use korfinsts_base::sniff::Kind;

use super::choose::Absent;
use super::format::Encoding;

/// The place of a problem in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line, counted from 1 (the first line of the record, where a record spans several).
    Line(usize),
    /// A row of a file that has no lines, counted from 1.
    Row(usize),
}

impl Place {
    /// The line or row, from 1; none for the file as a whole.
    #[must_use]
    pub fn number(self) -> Option<usize> {
        match self {
            Self::File => None,
            Self::Line(n) | Self::Row(n) => Some(n),
        }
    }
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing; scores can still be computed.
    Warning,
    /// The split cannot be used as it is.
    Error,
}

/// What is wrong with a file or a record.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A row with too few or too many fields.
    #[error("expected {} fields, found {found}", one_of(expected))]
    FieldCount {
        /// Numbers of fields the manifest allows.
        expected: Vec<usize>,
        /// Fields of this row.
        found: usize,
        /// Whether quotes enclose fields in this file.
        quoting: bool,
        /// The separator.
        delimiter: char,
    },
    /// A file that is not UTF-8.
    #[error("not UTF-8 at byte {offset} (0x{byte:02X}); the file looks like {encoding}")]
    Encoding {
        /// Offset of the first byte that is not UTF-8.
        offset: usize,
        /// That byte.
        byte: u8,
        /// What the bytes look like.
        encoding: Encoding,
    },
    /// A byte order mark at the start of the file.
    #[error("the file starts with a byte order mark")]
    ByteOrderMark,
    /// A text without a visible character.
    #[error("`{column}` is empty")]
    EmptyText {
        /// The column.
        column: String,
    },
    /// A gold score that is not a number.
    #[error("the gold score `{found}` is not a finite number")]
    GoldNotANumber {
        /// What was found.
        found: String,
    },
    /// A gold score outside the declared scale.
    #[error("the gold score {found} is outside the declared scale {min} to {max}")]
    GoldOutOfRange {
        /// What was found.
        found: f64,
        /// Smallest score allowed.
        min: f64,
        /// Largest score allowed.
        max: f64,
    },
    /// A gold score that is neither 0 nor 1 on a binary scale.
    #[error("the gold score {found} is neither 0 nor 1, and the declared scale is binary")]
    GoldNotBinary {
        /// What was found.
        found: f64,
    },
    /// An id that was used before.
    #[error("the id `{id}` was used before, in {first}")]
    DuplicateId {
        /// The id.
        id: String,
        /// Where it was used first.
        first: Box<str>,
    },
    /// A column that the manifest names and the file does not have.
    #[error("no column `{column}`; the columns are {}", list(available))]
    MissingColumn {
        /// The column the manifest names.
        column: String,
        /// The columns that are there.
        available: Vec<String>,
    },
    /// A value where another type is needed.
    #[error("`{column}` holds {found}, not {wanted}")]
    WrongType {
        /// The column.
        column: String,
        /// What was found.
        found: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// A domain that the manifest does not know.
    #[error(
        "the domain `{found}` is not in the manifest; it knows {}",
        list(allowed)
    )]
    UnknownDomain {
        /// What was found.
        found: String,
        /// What the manifest knows.
        allowed: Vec<String>,
    },
    /// A number of pairs other than the manifest's.
    #[error("expected {expected} pairs{}, found {found}", domain.as_ref().map(|d| format!(" of the domain `{d}`")).unwrap_or_default())]
    PairCount {
        /// What the manifest says.
        expected: usize,
        /// What is there.
        found: usize,
        /// The domain that was counted; none for the whole split.
        domain: Option<String>,
    },
    /// A gold file and an input file that are not side by side.
    #[error("{found} lines, but the gold file `{gold}` has {expected}")]
    LineCounts {
        /// Name of the gold file.
        gold: String,
        /// Lines of the input file.
        found: usize,
        /// Lines of the gold file.
        expected: usize,
    },
    /// A file that cannot be read in its format.
    #[error("not valid {format}: {reason}")]
    Format {
        /// The format.
        format: &'static str,
        /// What its reader says.
        reason: String,
    },
    /// A file that cannot be read in its format, with what to do about it.
    #[error("{reason}")]
    Unread {
        /// What its reader says.
        reason: String,
        /// What to type.
        hint: String,
    },
    /// A file of another kind, told by its first bytes.
    #[error("this is {0}")]
    Foreign(Kind),
    /// A document where rows are needed.
    #[error("this is {what}, not one object a row")]
    Document {
        /// What the document is.
        what: String,
        /// What to type.
        hint: String,
    },
    /// A file or a split without a pair.
    #[error("there is no pair: {rows} rows were found")]
    NoPair {
        /// Rows that were found.
        rows: usize,
    },
    /// A text that is not in Unicode normalisation form C.
    #[error("`{column}` is not in Unicode normalisation form C")]
    NotNfc {
        /// The column.
        column: String,
    },
    /// A control, bidirectional or zero-width character.
    #[error("`{column}` holds U+{code:04X}, an invisible character")]
    InvisibleCharacter {
        /// The column.
        column: String,
        /// The code point.
        code: u32,
    },
    /// An id that a release would refuse.
    #[error("the id `{id}` does not match `^[a-z0-9][a-z0-9._-]{{0,63}}$`")]
    IdForm {
        /// The id.
        id: String,
    },
    /// What the declared scale and the observed scores disagree about.
    #[error("{0}")]
    Scale(String),
}

impl Problem {
    /// How much it weighs.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::ByteOrderMark
            | Self::NotNfc { .. }
            | Self::InvisibleCharacter { .. }
            | Self::IdForm { .. }
            | Self::Scale(_) => Level::Warning,
            _ => Level::Error,
        }
    }

    /// Whether the file itself is damaged, whatever the manifest says.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Format { .. }
                | Self::Unread { .. }
                | Self::Foreign(_)
                | Self::Encoding { .. }
                | Self::NoPair { .. }
        )
    }

    /// What to do about it, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::FieldCount {
                quoting: false,
                delimiter: '\t',
                ..
            } => "the file is tab separated without quoting; was it re-saved by a spreadsheet?"
                .to_owned(),
            Self::FieldCount {
                quoting, delimiter, ..
            } => format!(
                "fields are separated by {delimiter:?} {}; was the file re-saved by a spreadsheet?",
                if *quoting {
                    "and may stand in double quotes"
                } else {
                    "without quoting"
                }
            ),
            Self::Encoding { encoding, .. } => match encoding.iconv_name() {
                Some(name) => {
                    format!("convert it: `iconv -f {name} -t UTF-8 FILE > FILE.utf8`")
                }
                None => "convert the file to UTF-8, or download it again".to_owned(),
            },
            Self::ByteOrderMark => {
                "save the file as UTF-8 without byte order mark; here it was skipped".to_owned()
            }
            Self::MissingColumn { .. } => {
                "does the file belong to this suite? columns are named in `[source.columns]` of \
                 suite.toml"
                    .to_owned()
            }
            Self::GoldOutOfRange { .. } | Self::GoldNotBinary { .. } => {
                "is `[scale]` in suite.toml right, and is it the right column?".to_owned()
            }
            Self::DuplicateId { .. } => {
                "leave `id` out of `[source.columns]` to number the rows instead".to_owned()
            }
            Self::UnknownDomain { .. } => {
                "add it to `[source.domains]` in suite.toml, or set `unknown = \"keep\"` there"
                    .to_owned()
            }
            Self::PairCount { .. } => {
                "was the file cut short, or is it another edition than the manifest's?".to_owned()
            }
            Self::LineCounts { .. } => {
                "a gold file has one line for each line of its input file, blank where the pair \
                 is not scored"
                    .to_owned()
            }
            Self::Foreign(kind) => kind.hint().to_owned(),
            Self::Unread { hint, .. } | Self::Document { hint, .. } => hint.clone(),
            Self::NoPair { .. } => {
                "is the file empty, cut short, or its only row read as the header?".to_owned()
            }
            _ => return None,
        })
    }
}

/// A problem and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub place: Place,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::File => write!(f, "{}: {}", self.path.display(), self.problem),
            Place::Line(n) => write!(f, "{}:{n}: {}", self.path.display(), self.problem),
            Place::Row(n) => write!(f, "{}: row {n}: {}", self.path.display(), self.problem),
        }
    }
}

/// An error of the suite room: a suite that cannot be found, read, imported or trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The hub could not be read.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A manifest is wrong.
    #[error("{}: {reason}", place(path, *line))]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line, where known.
        line: Option<usize>,
        /// What was found and what was allowed.
        reason: String,
    },
    /// The rows of a suite are wrong: the first problem, and how many more there are.
    #[error("{first}")]
    Content {
        /// Id of the suite.
        suite: String,
        /// The first problem that makes the split unusable.
        first: Box<Finding>,
        /// How many more problems there are.
        more: usize,
    },
    /// A file of pairs is wrong: the first problem, and how many more rows have one.
    #[error("{first}{}", more_rows(*more))]
    Pairs {
        /// The first problem.
        first: Box<Finding>,
        /// How many more there are.
        more: usize,
    },
    /// A suite that cannot be made under a name.
    #[error("cannot make the suite `{id}`: {reason}")]
    NewSuite {
        /// The name.
        id: String,
        /// Why not, and what is allowed.
        reason: String,
    },
    /// No suite has this id.
    #[error("no suite is called `{id}`; there are {}", list(known))]
    Unknown {
        /// What was asked for.
        id: String,
        /// The ids that exist.
        known: Vec<String>,
        /// The id that is spelled most alike.
        nearest: Option<String>,
    },
    /// A suite that is on disk cannot be loaded.
    #[error("cannot evaluate on `{suite}`")]
    Unusable {
        /// Id of the suite.
        suite: String,
        /// Why.
        source: Box<SuiteError>,
    },
    /// None of the suites that were asked for is on disk.
    #[error("no suite to evaluate on: {} not on disk", ids(.0))]
    NoneOnDisk(Vec<Absent>),
    /// The suite has no such split.
    #[error("`{suite}` has no split `{split}`; its splits are {}", list(known))]
    UnknownSplit {
        /// Id of the suite.
        suite: String,
        /// What was asked for.
        split: String,
        /// The splits that exist.
        known: Vec<String>,
    },
    /// No suite has what was asked for.
    #[error("no suite has the {what} `{found}`; there are {}", list(known))]
    UnknownKind {
        /// `language` or `split`.
        what: &'static str,
        /// What was asked for.
        found: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nothing is left of the suites that were named.
    #[error("no suite is left: {0}")]
    NoneLeft(String),
    /// A filled-in sheet of raters, or the key of its kit, that cannot be read.
    #[error("{}{}: {reason}", path.display(), line.map(|l| format!(":{l}")).unwrap_or_default())]
    Sheet {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: Option<u64>,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A document that cannot be made.
    #[error(transparent)]
    Template(#[from] korfinsts_base::template::TemplateError),
    /// The rows of a suite are not on this machine.
    #[error(
        "the rows of `{suite}` ({split}) are not on this machine{}",
        file.as_ref().map(|f| format!(": `{}` is not there", f.display())).unwrap_or_default()
    )]
    Missing {
        /// Id of the suite.
        suite: String,
        /// The split.
        split: String,
        /// The file next to the user's own suite.toml that is missing.
        file: Option<PathBuf>,
        /// What brings them here.
        command: String,
        /// Whether the makers of the suite keep the file.
        sealed: bool,
    },
    /// A file has other bytes than the manifest (or the import) says.
    #[error(
        "{}: expected sha256 {expected}, found {found}{}",
        path.display(),
        likeness.as_ref().map(|l| format!("; this is {l}")).unwrap_or_default()
    )]
    WrongBytes {
        /// The file.
        path: PathBuf,
        /// The hash the manifest or the import names.
        expected: String,
        /// The hash of the file.
        found: String,
        /// What the file is, where that is known.
        likeness: Option<String>,
        /// What to do.
        hint: String,
    },
    /// A downloaded file is damaged, and was removed from the hub's cache.
    #[error(transparent)]
    Damaged(Box<SuiteError>),
    /// The path to import from does not exist.
    #[error("`{}` does not exist", path.display())]
    NoSuchPath {
        /// The path.
        path: PathBuf,
    },
    /// The path of a suite leads to no folder with `suite.toml`.
    #[error("`{}` {}", path.display(), if *exists { "holds no `suite.toml`" } else { "does not exist" })]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// Whether there is a folder.
        exists: bool,
    },
    /// Nothing at the path belongs to the suite.
    #[error("nothing under `{}` belongs to `{suite}`: looked for {}", path.display(), list(wanted))]
    NothingToImport {
        /// Id of the suite.
        suite: String,
        /// Where it was looked.
        path: PathBuf,
        /// The names that were looked for.
        wanted: Vec<String>,
    },
    /// The suite has no copy on the hub.
    #[error("`{suite}` has no copy on the hub")]
    NoHubCopy {
        /// Id of the suite.
        suite: String,
        /// Where its files come from, where the manifest says so.
        homepage: Option<String>,
    },
    /// The hub's copy does not hold what the manifest names.
    #[error("`{repo}` at {revision} holds no file that matches {}", list(wanted))]
    NotOnHub {
        /// The repository.
        repo: String,
        /// The commit.
        revision: String,
        /// The patterns.
        wanted: Vec<String>,
    },
}

impl SuiteError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fs(e) => e.hint(),
            Self::Hub(e) => e.hint(),
            Self::Manifest { .. } => {
                Some("`korfinsts suite info korsts --format json` shows a manifest that is right".into())
            }
            Self::Content { suite, first, more } => {
                let hint = first.problem.hint();
                if *more == 0 {
                    return hint;
                }
                let rest = format!(
                    "{more} more: `korfinsts suite check {suite}` lists {}",
                    if *more == 1 { "both" } else { "all" }
                );
                Some(hint.map_or(rest.clone(), |h| format!("{h} ({rest})")))
            }
            Self::Pairs { first, .. } => first.problem.hint(),
            Self::Sheet { hint, .. } => Some((*hint).to_owned()),
            Self::Template(_) => None,
            Self::NewSuite { .. } => {
                Some("choose another name, or another folder with `-o DIR`".into())
            }
            Self::UnknownKind { .. } | Self::NoneLeft(_) => {
                Some("`korfinsts suite list` shows the suites".into())
            }
            Self::Unknown { id, .. } if std::path::Path::new(id).is_file() => {
                Some(format!("a file of pairs is given with `--pairs {id}`"))
            }
            Self::Unknown { nearest, .. } => Some(match nearest {
                Some(id) => format!("did you mean `{id}`? A path to a folder with suite.toml works too"),
                None => "`korfinsts suite list` shows them; a path to a folder with suite.toml works too".into(),
            }),
            Self::Unusable { source, .. } => source.hint(),
            Self::NoneOnDisk(absent) => {
                let commands: Vec<&str> = absent.iter().map(|a| a.command.as_str()).collect();
                Some(format!("get it with {}", commands.join(" or ")))
            }
            Self::UnknownSplit { suite, .. } => {
                Some(format!("`korfinsts suite info {suite}` shows them"))
            }
            Self::Missing {
                command,
                sealed: true,
                ..
            } => Some(format!(
                "its makers keep the file, so that no model is trained on it: whoever holds it runs `{command}`"
            )),
            Self::Missing { command, file, .. } => Some(match file {
                Some(_) => format!("put the file there, or run `{command}`"),
                None => format!("run `{command}`"),
            }),
            Self::Damaged(error) => {
                const GONE: &str = "the file was removed from the hub's cache: run the same command again";
                let hint = error.hint();
                Some(hint.map_or(GONE.to_owned(), |hint| format!("{GONE} ({hint})")))
            }
            Self::WrongBytes { hint, .. } => Some(hint.clone()),
            Self::NoSuchPath { .. } => {
                Some("name a file, or a folder that is searched by file name and hash".into())
            }
            Self::NoFolder { exists: true, .. } => Some(
                "`korfinsts suite new NAME FILE` writes the folder of a suite from a file of pairs".into(),
            ),
            Self::NoFolder { .. } => Some(
                "name a folder with suite.toml, or a suite that `korfinsts suite list` shows".into(),
            ),
            Self::NothingToImport { suite, .. } => Some(format!(
                "`korfinsts suite info {suite}` says where the files come from"
            )),
            Self::NoHubCopy { suite, homepage } => Some(match homepage {
                Some(url) => format!(
                    "download it from {url}, then `korfinsts suite import {suite} PATH`"
                ),
                None => format!("`korfinsts suite import {suite} PATH` reads a folder"),
            }),
            Self::NotOnHub { .. } => {
                Some("download the file by hand and use `korfinsts suite import`".into())
            }
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) | Self::Template(_) => FailureClass::Runtime,
            Self::Hub(e) => e.class(),
            Self::Unusable { source, .. } => source.class(),
            Self::Damaged(error) => error.class(),
            Self::Unknown { .. }
            | Self::UnknownSplit { .. }
            | Self::UnknownKind { .. }
            | Self::NoneLeft(_)
            | Self::NewSuite { .. }
            | Self::NoSuchPath { .. }
            | Self::NoFolder { .. }
            | Self::NoHubCopy { .. } => FailureClass::Usage,
            Self::Manifest { .. }
            | Self::Content { .. }
            | Self::Pairs { .. }
            | Self::Sheet { .. }
            | Self::Missing { .. }
            | Self::WrongBytes { .. }
            | Self::NothingToImport { .. }
            | Self::NoneOnDisk(_)
            | Self::NotOnHub { .. } => FailureClass::Data,
        }
    }
}

fn more_rows(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => " (1 more row is refused)".to_owned(),
        n => format!(" ({n} more rows are refused)"),
    }
}

fn ids(absent: &[Absent]) -> String {
    let one = |a: &Absent| match &a.file {
        Some(file) => format!("`{}` (`{}`)", a.id, file.display()),
        None => format!("`{}`", a.id),
    };
    absent.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn place(path: &std::path::Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

fn one_of(allowed: &[usize]) -> String {
    let words: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    words.join(" or ")
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let words: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
    words.join(", ")
}
