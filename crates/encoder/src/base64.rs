//! Base64 as others write it: SentencePiece's normalisation tables in `tokenizer.json`, and embeddings
//! from servers, some of which leave the padding out.

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes as text, padded.
pub(super) fn encode(bytes: &[u8]) -> String {
    ENGINE.encode(bytes)
}

/// Text as bytes; `None` when it is not base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    ENGINE.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_hold_for_the_standard_test_vectors() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).as_deref(), Some(plain.as_bytes()));
            let bare = coded.trim_end_matches('=');
            assert_eq!(decode(bare).as_deref(), Some(plain.as_bytes()));
        }
        for wrong in ["Z", "Zg===", "Z$==", "가"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
