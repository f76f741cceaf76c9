//! Names that may occur once: columns of a table, keys of an object. Readers disagree on which of two
//! equal names counts, so a second one is an error.

/// A name that occurs twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` occurs twice, at positions {first} and {second}", name.escape_debug())]
pub struct Twice {
    /// The name.
    pub name: String,
    /// Its first position, from 1.
    pub first: usize,
    /// Its second position.
    pub second: usize,
}

/// The first name that occurs a second time. Columns without a name are not compared.
#[must_use]
pub fn twice<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Twice> {
    let mut seen = std::collections::HashMap::new();
    names.into_iter().enumerate().find_map(|(i, name)| {
        let first = *seen.entry(name).or_insert(i);
        (first != i && !name.is_empty()).then(|| Twice {
            name: name.to_owned(),
            first: first + 1,
            second: i + 1,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_two_equal_names_is_found() {
        for (names, found) in [
            (&["a", "b", "c"][..], None),
            (&["a", "", ""], None),
            (&["a", "A"], None),
            (
                &["s", "a", "b", "a", "s"],
                Some("`a` occurs twice, at positions 2 and 4"),
            ),
        ] {
            let names = names.iter().copied();
            assert_eq!(twice(names).map(|t| t.to_string()).as_deref(), found);
        }
    }
}
