//! From stored tokens back to the bytes they stand for.

use std::collections::HashMap;

/// GPT-2's alphabet: 256 printable stand-in letters, one for each byte.
#[derive(Debug)]
pub struct ByteAlphabet {
    bytes: HashMap<char, u8>,
    letters: [char; 256],
}

impl Default for ByteAlphabet {
    fn default() -> Self {
        Self::new()
    }
}

impl ByteAlphabet {
    /// The alphabet: printable Latin-1 letters stand for themselves, the other 68 bytes for the
    /// letters from U+0100 on, in order (GPT-2's `bytes_to_unicode`).
    ///
    /// # Panics
    /// Never: the letters are below the surrogates.
    #[must_use]
    pub fn new() -> Self {
        let mut shifted = 0x100_u32;
        let mut letters = ['\0'; 256];
        let bytes = (0..=u8::MAX)
            .map(|byte| {
                let letter = if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
                    char::from(byte)
                } else {
                    let letter = char::from_u32(shifted).expect("below the surrogates");
                    shifted += 1;
                    letter
                };
                letters[usize::from(byte)] = letter;
                (letter, byte)
            })
            .collect();
        Self { bytes, letters }
    }

    /// A text as it is stored: one stand-in letter per byte.
    #[must_use]
    pub fn encode(&self, text: &str) -> String {
        text.bytes().map(|b| self.letters[usize::from(b)]).collect()
    }

    /// The text that a token stands for; `None` when its bytes are not valid UTF-8. A token with
    /// a letter outside the alphabet (an added token) stands for itself.
    #[must_use]
    pub fn decode(&self, token: &str) -> Option<String> {
        let bytes: Option<Vec<u8>> = token.chars().map(|c| self.bytes.get(&c).copied()).collect();
        match bytes {
            Some(bytes) => String::from_utf8(bytes).ok(),
            None => Some(token.to_owned()),
        }
    }
}

/// The byte of a byte-fallback entry, `<0xEA>`.
#[must_use]
pub fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_in_letters_become_bytes() {
        let alphabet = ByteAlphabet::new();
        assert_eq!(alphabet.bytes.len(), 256);
        for (token, text) in [
            ("Ġê¸Ī", Some(" 금")),
            ("ê¸Ī", Some("금")),
            ("ê¸", None),
            ("Ċ", Some("\n")),
            ("hello", Some("hello")),
            ("금리", Some("금리")),
            ("", Some("")),
        ] {
            assert_eq!(alphabet.decode(token).as_deref(), text, "{token}");
        }
        assert_eq!(alphabet.encode(" 금"), "Ġê¸Ī");
    }

    #[test]
    fn fallback_bytes_are_read() {
        for (token, byte) in [
            ("<0xEA>", Some(0xEA)),
            ("<0x0A>", Some(10)),
            ("<0xE>", None),
            ("<0xGG>", None),
            ("<0x+1>", None),
            ("0xEA", None),
        ] {
            assert_eq!(fallback_byte(token), byte, "{token}");
        }
    }
}
