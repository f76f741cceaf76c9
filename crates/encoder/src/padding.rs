//! Whether an embedding of a graph is a function of its text alone, which the store of embeddings
//! depends on.
//!
//! A graph does not say: it may have no input for the mask, or ignore it, count positions from the
//! left edge, or take one text only. So two texts of different length are encoded alone and
//! together when a graph is opened. Where the results differ, the other side of padding is tried,
//! and then each text becomes a batch of its own.

use crate::network::PaddingSide;
use crate::{Embeddings, EncoderError};
use korfinsts_nn::rounding;

/// Two texts of very different length: the first gets much padding next to the second.
pub(super) const TEXTS: [&str; 2] = [
    "금리 rates",
    "한국은행은 기준금리를 동결했다. The Bank of Korea held its base rate for a fourth meeting.",
];
/// Products of one sum, and operations one after another, in an encoder of 48 layers.
const TERMS: usize = 4096;
const STEPS: usize = 48 * 10;

/// How texts become batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batching {
    /// Side of the padding.
    pub side: PaddingSide,
    /// Id that fills padding.
    pub pad_id: u32,
    /// Whether each text is a batch of its own.
    pub one_text_each: bool,
}

/// Decides how texts become batches: as `declared`, where that gives each of [`TEXTS`] what it
/// gives alone. Otherwise the second value says what was found. `encode` gives embeddings of both.
///
/// A graph that fails on the texts alone is left as declared: the error of the run names a text.
pub(super) fn decide(
    declared: Batching,
    dtype: &str,
    encode: impl Fn(Batching) -> Result<Embeddings, EncoderError>,
) -> (Batching, Option<String>) {
    let alone = Batching {
        side: PaddingSide::Right,
        one_text_each: true,
        ..declared
    };
    let Ok(expected) = encode(alone) else {
        return (declared, None);
    };
    let tried = |batching| match encode(batching) {
        Ok(found) if near(&expected, &found, dtype) => Ok(()),
        Ok(found) => Err(format!(
            "padding changes the embeddings of this graph (cosine {:.4} between a text alone and the \
             same text padded)",
            cosine(&expected, &found)
        )),
        Err(error) => Err(format!("the graph fails on two texts at once ({error})")),
    };
    let Err(found) = tried(declared) else {
        return (declared, None);
    };
    let turned = match declared.side {
        PaddingSide::Left => PaddingSide::Right,
        PaddingSide::Right => PaddingSide::Left,
    };
    let turned = Batching {
        side: turned,
        ..declared
    };
    if tried(turned).is_ok() {
        let [to, from] = [turned, declared].map(|b| format!("{:?}", b.side).to_lowercase());
        let what = format!(
            "texts are padded on the {to}, not on the {from} as the tokenizer does it: with \
             that, {found}"
        );
        return (turned, Some(what));
    }
    let what = format!(
        "each text is a batch of its own, which is slower: {found}; export it \
         with an input `attention_mask` and a dynamic batch axis to run it in batches"
    );
    (alone, Some(what))
}

/// What to say where padding takes part in embeddings of a graph of fixed length, which can be run
/// in no other way: they change with the id that fills it. `other` is an id of a text.
pub(super) fn fills(
    batching: Batching,
    other: u32,
    dtype: &str,
    encode: impl Fn(Batching) -> Result<Embeddings, EncoderError>,
) -> Option<String> {
    let changed = Batching {
        pad_id: other,
        ..batching
    };
    let (one, two) = (encode(batching).ok()?, encode(changed).ok()?);
    (!near(&one, &two, dtype)).then(|| {
        format!(
            "the graph has a fixed length, and what fills a text up to it changes the embedding \
             (cosine {:.4}): texts are filled with id {}",
            cosine(&one, &two),
            batching.pad_id
        )
    })
}

/// Whether rounding explains the difference of two embeddings of the same texts.
fn near(a: &Embeddings, b: &Embeddings, dtype: &str) -> bool {
    let within = |i: usize| {
        let (a, b) = (a.row(i), b.row(i));
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        norm(&difference) <= tolerance(dtype) * norm(a)
    };
    (a.rows(), a.dimension) == (b.rows(), b.dimension) && (0..a.rows()).all(within)
}

/// Largest distance that rounding leaves between two embeddings of a text, relative to their
/// length. Number types below float32 sum in float32 and round the result of each operation; weights
/// of 4 and 8 bits have activations of 8 bits at least.
fn tolerance(dtype: &str) -> f64 {
    let rounded = |bits: i32| (STEPS as f64).sqrt() * 2_f64.powi(-bits);
    // Both sides are rounded.
    2.0 * match dtype {
        "float32" | "float64" => rounding::float32(TERMS, STEPS),
        "float16" => rounded(11),
        _ => rounded(8),
    }
}

fn norm(row: &[f32]) -> f64 {
    row.iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// Smallest cosine of two rows; 0 where one is zero.
fn cosine(a: &Embeddings, b: &Embeddings) -> f64 {
    let rows = (0..a.rows()).map(|i| korfinsts_metric::cosine(a.row(i), b.row(i)).unwrap_or(0.0));
    rows.fold(1.0, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: Batching = Batching {
        side: PaddingSide::Left,
        pad_id: 0,
        one_text_each: false,
    };

    /// Embeddings of a graph that is right alone, and on the sides named, with an error elsewhere.
    fn graph(
        right: &[PaddingSide],
        error: f32,
    ) -> impl Fn(Batching) -> Result<Embeddings, EncoderError> {
        move |batching| {
            let off = !batching.one_text_each && !right.contains(&batching.side);
            Ok(Embeddings {
                values: vec![3.0, 4.0, if off { error } else { 0.0 }, 2.0],
                dimension: 2,
            })
        }
    }

    #[test]
    fn the_declared_side_wins_then_the_other_then_one_text_each() {
        use PaddingSide::{Left, Right};
        for (right, side, one_text_each, says) in [
            (&[Left, Right][..], Left, false, None),
            (&[Left], Left, false, None),
            (
                &[Right],
                Right,
                false,
                Some("padded on the right, not on the left"),
            ),
            (&[], Right, true, Some("each text is a batch of its own")),
        ] {
            let (found, what) = decide(DECLARED, "float32", graph(right, 1.0));
            assert_eq!(
                (found.side, found.one_text_each),
                (side, one_text_each),
                "{right:?}"
            );
            assert_eq!(what.is_some(), says.is_some());
            let what = what.unwrap_or_default();
            assert!(what.contains(says.unwrap_or_default()), "{what}");
        }
    }

    #[test]
    fn rounding_is_no_difference_and_how_much_is_depends_on_the_number_type() {
        for (dtype, error, one_text_each) in [
            ("float32", 1e-4, false),
            ("float32", 1e-2, true),
            ("float16", 1e-2, false),
            ("bfloat16", 1e-1, false),
            ("bfloat16", 2.0, true),
            ("float32", f32::NAN, true),
        ] {
            let (found, _) = decide(DECLARED, dtype, graph(&[], error));
            assert_eq!(found.one_text_each, one_text_each, "{dtype} {error}");
        }
    }

    #[test]
    fn a_graph_that_takes_one_text_only_gets_one_and_one_that_fails_alone_is_left_to_the_run() {
        let fails = |alone: bool| {
            move |batching: Batching| {
                if batching.one_text_each != alone {
                    return graph(&[], 0.0)(batching);
                }
                Err(EncoderError::Unsupported {
                    what: "a reshape".into(),
                    hint: None,
                })
            }
        };
        let (found, what) = decide(DECLARED, "float32", fails(false));
        assert!(found.one_text_each);
        let what = what.expect("said");
        assert!(
            what.contains("fails on two texts at once (a reshape)"),
            "{what}"
        );
        assert_eq!(decide(DECLARED, "float32", fails(true)), (DECLARED, None));
    }
}
