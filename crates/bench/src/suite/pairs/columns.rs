//! Which column of a file holds what: as it is told, else by the usual names.

use std::collections::BTreeMap;

use super::super::error::Problem;
use super::super::format::{Cells, Lookup, Table};
use super::super::manifest::Column;
use super::names::{DOMAIN, SCORE, TEXTS, plain};
use super::{Role, number};
use korfinsts_base::records::objects;

/// The columns of a table.
pub(super) struct Columns {
    pub lookup: BTreeMap<Role, Lookup>,
}

/// Whether some usual names of two texts are among these.
pub(super) fn known(names: &[String]) -> bool {
    texts(names).is_some()
}

fn at(names: &[String], wanted: &str) -> Option<usize> {
    names.iter().position(|n| plain(n) == wanted)
}

fn texts(names: &[String]) -> Option<[usize; 2]> {
    let both = |[a, b]: &[&str; 2]| Some([at(names, a)?, at(names, b)?]);
    TEXTS.iter().find_map(both)
}

impl Columns {
    /// Finds the columns; those that `asked` names are not guessed.
    ///
    /// # Errors
    /// When one that was asked for is not there, or texts or score are neither named nor guessed.
    pub fn find(table: &Table, asked: &BTreeMap<Role, String>) -> Result<Self, Problem> {
        let names = names(table);
        let mut found: BTreeMap<Role, usize> = BTreeMap::new();
        for (role, name) in asked {
            let is = |trim: bool| {
                let same = |n: &String| {
                    if trim {
                        n.trim() == name.trim()
                    } else {
                        n == name
                    }
                };
                names.iter().position(same)
            };
            let at = is(false).or_else(|| is(true)).ok_or_else(|| {
                let reason = format!("no column `{name}` for {}; {}", role.name(), listed(&names));
                let hint = suggestion(&names, &found);
                Problem::Unread { reason, hint }
            })?;
            found.insert(*role, at);
        }
        let mut guessed = BTreeMap::new();
        if let Some([a, b]) = texts(&names) {
            guessed.extend([(Role::Sentence1, a), (Role::Sentence2, b)]);
        }
        for (role, usual) in [(Role::Score, SCORE), (Role::Domain, DOMAIN)] {
            guessed.extend(usual.iter().find_map(|n| Some((role, at(&names, n)?))));
        }
        if guessed.is_empty() && asked.is_empty() {
            guessed = by_content(table).unwrap_or_default();
        }
        for (role, at) in guessed {
            if !found.values().any(|taken| *taken == at) {
                found.entry(role).or_insert(at);
            }
        }
        let needed = [Role::Sentence1, Role::Sentence2, Role::Score];
        let missing: Vec<&str> = needed
            .iter()
            .filter(|role| !found.contains_key(role))
            .map(|role| role.name())
            .collect();
        if !missing.is_empty() {
            let what = missing.join(", ");
            let reason = format!("no column was recognised as {what}; {}", listed(&names));
            let hint = suggestion(&names, &found);
            return Err(Problem::Unread { reason, hint });
        }
        if found[&Role::Sentence1] == found[&Role::Sentence2] {
            let reason = format!(
                "`{}` is named as both texts",
                names[found[&Role::Sentence1]]
            );
            let hint = "name two columns, as in `--columns sentence1=a,sentence2=b`".to_owned();
            return Err(Problem::Unread { reason, hint });
        }
        let lookup = found
            .into_iter()
            .map(|(role, at)| {
                // Fields are found by position: a name may have spaces around it.
                let column = match table.header {
                    Some(_) => Column::Index(at),
                    None => Column::Name(names[at].clone()),
                };
                let mut lookup = table.column(&column)?;
                lookup.name.clone_from(&names[at]);
                Ok((role, lookup))
            })
            .collect::<Result<_, Problem>>()?;
        Ok(Self { lookup })
    }

    /// The columns in one line.
    pub fn said(&self) -> String {
        let each =
            |(role, lookup): (&Role, &Lookup)| format!("{} = `{}`", role.name(), lookup.name);
        self.lookup.iter().map(each).collect::<Vec<_>>().join(", ")
    }
}

/// Names of the columns; those of objects are the keys of the first.
fn names(table: &Table) -> Vec<String> {
    match (&table.header, table.records.first().map(|r| &r.cells)) {
        (Some(header), _) => header.clone(),
        (None, Some(Cells::Object(object))) => objects::paths(object),
        _ => Vec::new(),
    }
}

/// Two columns of text and one of numbers are a pair and its score, where columns have no names.
fn by_content(table: &Table) -> Option<BTreeMap<Role, usize>> {
    let header = table.header.as_ref()?;
    let numbered = header
        .iter()
        .enumerate()
        .all(|(i, n)| *n == (i + 1).to_string());
    let is_number = |i: usize| {
        table.records.iter().all(|r| match &r.cells {
            Cells::Fields(fields) => fields.get(i).is_some_and(|f| number(f).is_some()),
            Cells::Object(_) => false,
        })
    };
    let (numbers, texts): (Vec<usize>, Vec<usize>) = (0..header.len()).partition(|i| is_number(*i));
    match (numbered, &texts[..], numbers.last()) {
        (true, [a, b], Some(score)) => Some(BTreeMap::from([
            (Role::Sentence1, *a),
            (Role::Sentence2, *b),
            (Role::Score, *score),
        ])),
        _ => None,
    }
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
    match names.len() {
        0 => "the file has no column".to_owned(),
        _ => format!("the columns are {}", names.join(", ")),
    }
}

/// What to type: the columns that are found, and the next ones that are free for the others.
fn suggestion(names: &[String], found: &BTreeMap<Role, usize>) -> String {
    let is_free = |(at, name): &(usize, &String)| {
        let index = name.is_empty() || name.starts_with("Unnamed:") || *name == "id";
        !index && !found.values().any(|taken| taken == at)
    };
    let mut free = names.iter().enumerate().filter(is_free);
    let columns = [Role::Sentence1, Role::Sentence2, Role::Score].map(|role| {
        let known = found.get(&role).map(|at| &names[*at]);
        let name = known.or_else(|| Some(free.next()?.1));
        format!("{}={}", role.name(), name.map_or("NAME", String::as_str))
    });
    let columns = columns.join(",");
    if columns.contains("=NAME") {
        return format!(
            "a pair is two texts and a gold score, each in a column: `--columns {columns}`"
        );
    }
    let quote = if columns.contains([' ', '(', '\'']) {
        "\""
    } else {
        ""
    };
    format!("name the columns, for instance `--columns {quote}{columns}{quote}`")
}
