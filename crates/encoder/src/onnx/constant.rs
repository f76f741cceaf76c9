//! Inputs of a graph that no text gives: the user names their value, as `NAME=VALUE`.

#[cfg(any(feature = "onnxruntime", feature = "rten", test))]
use std::path::Path;

#[cfg(any(feature = "onnxruntime", feature = "rten", test))]
use super::graph::{Dimension, Value};
use crate::EncoderError;

/// Reads `NAME=VALUE`; several values have commas between them, and a truth value is `true` or
/// `false`.
///
/// # Errors
/// When there is no name, or a value is no finite number and no truth value.
pub fn parse(text: &str) -> Result<(String, Vec<f64>), EncoderError> {
    let number = |value: &str| match value.trim() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        value => value.parse::<f64>().ok().filter(|v| v.is_finite()),
    };
    text.split_once('=')
        .filter(|(name, _)| !name.trim().is_empty())
        .and_then(|(name, values)| {
            let values: Option<Vec<f64>> = values.split(',').map(number).collect();
            Some((name.trim().to_owned(), values?))
        })
        .ok_or_else(|| EncoderError::Unsupported {
            what: format!(
                "found `{text}` as an input of the graph, expected NAME=VALUE with numbers, `true` \
                 or `false`"
            ),
            hint: Some("for example `--onnx-input task_id=3`".into()),
        })
}

/// More values than this are no setting of a model.
#[cfg(any(feature = "onnxruntime", feature = "rten", test))]
const MOST: u64 = 4096;

/// The values given for an input, checked against what the graph declares of it.
#[cfg(any(feature = "onnxruntime", feature = "rten", test))]
pub(super) fn values(
    given: Option<&Vec<f64>>,
    path: &Path,
    input: &Value,
) -> Result<Vec<f64>, EncoderError> {
    let name = &input.name;
    let shape = input.shape.as_deref().unwrap_or_default();
    let wrong = |what: String, hint: String| EncoderError::Unsupported {
        what: format!("{}: {what}", path.display()),
        hint: Some(hint),
    };
    // A free dimension in front is the batch, and any other is 1.
    let count = shape
        .iter()
        .fold(1_u64, |count, dimension| match dimension {
            Dimension::Fixed(size) => count.saturating_mul(*size),
            Dimension::Free => count,
        });
    let Some(values) = given.filter(|_| count <= MOST) else {
        let hint = match shape.len() {
            0 | 1 if count <= MOST => format!(
                "name its value with `--onnx-input {name}=VALUE`; the model's card says which \
                 values there are"
            ),
            _ => "export the text encoder alone".to_owned(),
        };
        let what = format!(
            "the graph wants an input `{name}` ({}), which no text gives; known are input_ids, \
             attention_mask, token_type_ids, position_ids and past_key_values.*",
            input.element
        );
        return Err(wrong(what, hint));
    };
    if values.len() != 1 && values.len() as u64 != count {
        let what = format!(
            "input `{name}` takes {count} values, found {} in `--onnx-input`",
            values.len()
        );
        return Err(wrong(what, "give one value for all, or that many".into()));
    }
    let (fits, kind): (fn(f64) -> bool, _) = match input.element {
        "bool" => (|v| v == 0.0 || v == 1.0, "`true` or `false`"),
        "int32" => (|v| v == f64::from(v as i32), "whole numbers of 32 bits"),
        "int64" => (|v| v.fract() == 0.0 && v.abs() < 9e15, "whole numbers"),
        _ => (|_| true, "numbers"),
    };
    match values.iter().find(|value| !fits(**value)) {
        None => Ok(values.clone()),
        Some(value) => {
            let what = format!(
                "input `{name}` holds {}, found {value} in `--onnx-input`",
                input.element
            );
            Err(wrong(what, format!("give {kind}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_values_are_read_and_everything_else_is_refused() {
        for (text, name, values) in [
            ("task_id=3", "task_id", &[3.0][..]),
            ("scale=-0.5, 2e3", "scale", &[-0.5, 2000.0]),
            ("train=false", "train", &[0.0]),
        ] {
            assert_eq!(
                parse(text).expect("read"),
                (name.to_owned(), values.to_vec())
            );
        }
        for text in [
            "task_id",
            "=3",
            "task_id=",
            "task_id=three",
            "t=1,,2",
            "t=inf",
        ] {
            let error = parse(text).expect_err("refused");
            assert!(error.to_string().contains(text), "{error}");
            assert!(error.hint().is_some_and(|h| h.contains("--onnx-input")));
        }
    }

    #[test]
    fn values_must_fit_the_type_and_the_number_that_the_graph_declares() {
        use Dimension::{Fixed, Free};
        for (element, shape, given, says) in [
            ("int64", vec![], Some(vec![3.0]), Ok(1)),
            ("int32", vec![Free], Some(vec![3.0]), Ok(1)),
            ("float32", vec![Free, Fixed(2)], Some(vec![0.5, 1.5]), Ok(2)),
            ("bool", vec![], Some(vec![1.0]), Ok(1)),
            ("int64", vec![], None, Err("which no text gives")),
            (
                "int64",
                vec![],
                Some(vec![0.5]),
                Err("holds int64, found 0.5"),
            ),
            ("int32", vec![], Some(vec![3e9]), Err("holds int32")),
            ("bool", vec![], Some(vec![2.0]), Err("holds bool, found 2")),
            (
                "int64",
                vec![Fixed(3)],
                Some(vec![1.0, 2.0]),
                Err("takes 3 values, found 2"),
            ),
            (
                "float32",
                vec![Fixed(u64::MAX); 3],
                Some(vec![1.0]),
                Err("which no text gives"),
            ),
        ] {
            let input = Value {
                name: "task_id".into(),
                element,
                shape: Some(shape),
            };
            let found = values(given.as_ref(), Path::new("m.onnx"), &input);
            match (found, says) {
                (Ok(values), Ok(count)) => assert_eq!(values.len(), count),
                (Err(error), Err(says)) => {
                    assert!(error.to_string().contains(says), "{error}");
                    assert!(error.to_string().starts_with("m.onnx: "), "{error}");
                    assert!(error.hint().is_some());
                }
                (found, _) => panic!("{element}: {found:?}"),
            }
        }
    }
}
