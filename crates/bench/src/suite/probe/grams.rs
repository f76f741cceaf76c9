//! TF-IDF vectors of texts.

use std::collections::BTreeMap;

use super::learn::Sparse;

/// Parts that a text is taken apart into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Runs of one to four characters.
    Characters,
    /// What white space parts, and two of them in a row.
    Words,
}

/// How often each part of a text occurs, in lower case.
pub fn parts(text: &str, unit: Unit) -> BTreeMap<String, f64> {
    let text = text.to_lowercase();
    let mut found = BTreeMap::new();
    let mut count = |part: String| *found.entry(part).or_insert(0.0) += 1.0;
    match unit {
        Unit::Characters => {
            let characters: Vec<char> = text.chars().collect();
            for n in 1..=4 {
                characters
                    .windows(n)
                    .for_each(|part| count(part.iter().collect()));
            }
        }
        Unit::Words => {
            let words: Vec<&str> = text.split_whitespace().collect();
            for n in 1..=2 {
                words.windows(n).for_each(|part| count(part.join(" ")));
            }
        }
    }
    found
}

/// The columns that texts to learn from have, each with its weight.
#[derive(Debug)]
pub struct Vocabulary<'a>(BTreeMap<&'a str, (u32, f64)>);

impl<'a> Vocabulary<'a> {
    /// Parts that two texts have, with the inverse of how many do: ln((1 + n) / (1 + df)) + 1.
    pub fn new(texts: &[&'a BTreeMap<String, f64>]) -> Self {
        let mut frequency: BTreeMap<&str, u32> = BTreeMap::new();
        for part in texts.iter().flat_map(|text| text.keys()) {
            *frequency.entry(part).or_default() += 1;
        }
        let all = 1.0 + texts.len() as f64;
        frequency.retain(|_, texts| *texts > 1);
        let weighted = frequency.into_iter().zip(0..);
        let weighted = weighted.map(|((part, texts), column)| {
            let weight = (all / (1.0 + f64::from(texts))).ln() + 1.0;
            (part, (column, weight))
        });
        Self(weighted.collect())
    }

    /// A text as a vector of length 1, and a one. A part that occurs k times counts 1 + ln k.
    pub fn vector(&self, text: &BTreeMap<String, f64>) -> Sparse {
        let known = text.iter().filter_map(|(part, count)| {
            let (column, weight) = self.0.get(part.as_str())?;
            Some((*column, (1.0 + count.ln()) * weight))
        });
        let mut row: Sparse = known.collect();
        let length = row.iter().map(|(_, v)| v * v).sum::<f64>().sqrt();
        for (_, value) in &mut row {
            *value /= length;
        }
        row.push((self.0.len() as u32, 1.0));
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_scikit_learns() {
        // TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        let texts = ["rates rise", "rates fall", "Rates rise rates rise"];
        let texts = texts.map(|text| parts(text, Unit::Words));
        let of: Vec<_> = texts.iter().collect();
        let vocabulary = Vocabulary::new(&of);
        // rates, rates rise, rise, and the ones.
        let row = vocabulary.vector(&texts[2]);
        assert_eq!(row.len(), 4);
        for ((column, found), (expected, value)) in row.iter().zip(LAST) {
            assert_eq!(*column, expected);
            assert!((found - value).abs() < 1e-6, "{column}: {found}");
        }
        let unknown = vocabulary.vector(&parts("nothing", Unit::Words));
        assert_eq!(unknown, [(3, 1.0)]);
        assert_eq!(parts("Abc", Unit::Characters).len(), 6);
    }

    const LAST: [(u32, f64); 4] = [
        (0, 0.481_334_17),
        (1, 0.619_805_38),
        (2, 0.619_805_38),
        (3, 1.0),
    ];
}
