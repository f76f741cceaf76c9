//! Widths that the files of a model name, against what its network gives.

use crate::EncoderError;

/// Language models round the size of their vocabulary up to a multiple of at most this number.
const ALIGNMENT: usize = 128;

/// What a model's files say of the width of the network's output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Widths {
    /// Width that a file declares, and the file.
    pub declared: Option<(usize, String)>,
    /// Size of the vocabulary, where it is above the width of a token state: an output of this width,
    /// or up to [`ALIGNMENT`] more, is one score per token of the vocabulary.
    pub vocabulary: Option<usize>,
}

impl Widths {
    /// Refuses an output of another width. `name`: the output of a graph; `None` off ONNX.
    ///
    /// # Errors
    /// When the width is that of the vocabulary, or not the declared one.
    pub fn check(&self, width: usize, name: Option<&str>) -> Result<(), EncoderError> {
        let output = name.map_or("the network".to_owned(), |name| {
            format!("the output `{name}`")
        });
        if self
            .vocabulary
            .is_some_and(|tokens| (tokens..tokens + ALIGNMENT).contains(&width))
        {
            return Err(EncoderError::Unsupported {
                what: format!(
                    "{output} gives {width} values, one per token of the vocabulary: these are \
                     scores of a language model, not states"
                ),
                hint: Some(
                    "name an output with token states with `--onnx-output`, or export the model \
                     with `--task feature-extraction`"
                        .into(),
                ),
            });
        }
        match &self.declared {
            Some((declared, source)) if *declared != width => Err(EncoderError::Unsupported {
                what: format!("{output} gives {width} dimensions, {source} says {declared}"),
                hint: Some(match name {
                    Some(_) => {
                        "name an output with token states with `--onnx-output`, so that the \
                                folder's modules follow it; or is the graph of another model?"
                            .into()
                    }
                    None => "do the weights and the configuration belong to the same model?".into(),
                }),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_of_the_vocabulary_and_any_but_the_declared_one_are_refused() {
        let widths = |declared: Option<usize>| Widths {
            declared: declared.map(|width| (width, "1_Pooling/config.json".to_owned())),
            vocabulary: Some(2000),
        };
        for (declared, width, says) in [
            (None, 32, None),
            (Some(32), 32, None),
            (
                Some(32),
                64,
                Some("gives 64 dimensions, 1_Pooling/config.json says 32"),
            ),
            (Some(2000), 2000, Some("one per token of the vocabulary")),
            (None, 2048, Some("one per token of the vocabulary")),
        ] {
            let found = widths(declared).check(width, None).err();
            assert_eq!(found.is_some(), says.is_some(), "{width}");
            if let (Some(error), Some(says)) = (found, says) {
                assert!(error.to_string().contains(says), "{error}");
            }
        }
    }
}
