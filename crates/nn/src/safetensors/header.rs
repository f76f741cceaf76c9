//! The header of a safetensors file, checked against the length of the file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::{hinted, invalid, truncated};
use crate::NnError;
use korfinsts_base::sniff::{self, Kind};

/// Longest header that is read, in bytes; the limit of the reference implementation.
pub const MAX_HEADER: u64 = 100_000_000;

/// Number types by name, with their width in bits.
const TYPES: &[(&str, u64)] = &[
    ("BOOL", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("C64", 64),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
];

/// What the header says of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Number type as written: `F32`, `BF16`, ...
    pub dtype: &'static str,
    /// Shape; a scalar has none.
    pub shape: Vec<usize>,
    /// Place in the file, in bytes from its beginning.
    pub place: std::ops::Range<usize>,
}

/// Checks a whole file and returns its tensors by name.
///
/// # Errors
/// When it is not safetensors, is cut short or too long, or its header is damaged.
pub(super) fn check_bytes(
    path: &Path,
    bytes: &[u8],
) -> Result<BTreeMap<String, TensorInfo>, NnError> {
    refuse_other_formats(path, bytes)?;
    let found = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(truncated(path, 8, found));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(invalid(
            path,
            format!(
                "not a safetensors file: a header of {length} bytes, expected at most {MAX_HEADER}"
            ),
        ));
    }
    let Some(header) = rest.get(..length as usize) else {
        return Err(truncated(path, 8 + length, found));
    };
    let values = (rest.len() - header.len()) as u64;
    if header.first() != Some(&b'{') {
        return Err(invalid(
            path,
            "not a safetensors file: its header is no JSON object".into(),
        ));
    }
    let header: Header = serde_json::from_slice(header)
        .map_err(|e| invalid(path, format!("the header is damaged: {e}")))?;
    let start = 8 + length;
    let mut places: Vec<(u64, u64, &str)> = Vec::with_capacity(header.0.len());
    for (name, entry) in &header.0 {
        let (begin, end) = entry.check(name).map_err(|reason| invalid(path, reason))?;
        places.push((begin, end, name));
    }
    places.sort_unstable();
    let mut reached = 0;
    for &(begin, end, name) in &places {
        if begin != reached {
            let what = if begin < reached {
                "overlaps the tensor before it"
            } else {
                "leaves a gap to the tensor before it"
            };
            return Err(invalid(
                path,
                format!("tensor `{name}` begins at byte {begin}, expected {reached}: it {what}"),
            ));
        }
        reached = end;
    }
    if reached > values {
        let expected = start.saturating_add(reached);
        return Err(truncated(path, expected, found));
    }
    if reached < values {
        return Err(invalid(
            path,
            format!(
                "{} bytes follow the last tensor: expected {} bytes in all, found {found}",
                values - reached,
                start + reached
            ),
        ));
    }
    Ok(header
        .0
        .into_iter()
        .map(|(name, entry)| {
            let info = entry.into_info(start);
            (name, info)
        })
        .collect())
}

fn refuse_other_formats(path: &Path, bytes: &[u8]) -> Result<(), NnError> {
    const CONVERT: &str = "convert it in Python with `safetensors.torch.save_file`, on a machine \
                           where running the file's code is acceptable";
    let (what, hint) = match sniff::kind(bytes) {
        None => return Ok(()),
        Some(Kind::Zip) => ("a zip archive (PyTorch's own format)".to_owned(), CONVERT),
        Some(kind @ Kind::Pickle) => (kind.to_string(), CONVERT),
        Some(kind @ (Kind::Hdf5 | Kind::Gguf)) => {
            (kind.to_string(), "look for a `model.safetensors`")
        }
        Some(kind) => (kind.to_string(), kind.hint()),
    };
    Err(hinted(
        path,
        format!("{what}, expected safetensors"),
        Some(hint),
    ))
}

/// The header, in which a name that occurs twice is an error.
struct Header(BTreeMap<String, Entry>);

#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry {
    /// The place of the values, which must be as long as type and shape say.
    fn check(&self, name: &str) -> Result<(u64, u64), String> {
        let bits = self.bits().ok_or_else(|| {
            let known: Vec<&str> = TYPES.iter().map(|(n, _)| *n).collect();
            format!(
                "tensor `{name}` is of type `{}`, expected one of {}",
                self.dtype.chars().take(40).collect::<String>(),
                known.join(", ")
            )
        })?;
        let (begin, end) = self.data_offsets;
        let found = end.checked_sub(begin).ok_or_else(|| {
            format!("tensor `{name}` ends at byte {end}, before its begin {begin}")
        })?;
        let expected = self
            .shape
            .iter()
            .try_fold(bits, |n, &d| n.checked_mul(d))
            .ok_or_else(|| format!("tensor `{name}` has a shape of more than 2^64 bits"))?;
        if !expected.is_multiple_of(8) || expected / 8 != found {
            return Err(format!(
                "tensor `{name}` has {found} bytes, expected {} for {:?} of type {}",
                expected.div_ceil(8),
                self.shape,
                self.dtype
            ));
        }
        Ok((begin, end))
    }

    fn bits(&self) -> Option<u64> {
        TYPES
            .iter()
            .find_map(|&(name, bits)| (name == self.dtype).then_some(bits))
    }

    fn into_info(self, start: u64) -> TensorInfo {
        let dtype = TYPES
            .iter()
            .find_map(|&(name, _)| (name == self.dtype).then_some(name))
            .unwrap_or_default();
        let place = |offset: u64| usize::try_from(start + offset).unwrap_or(usize::MAX);
        TensorInfo {
            dtype,
            shape: self.shape.iter().map(|&d| d as usize).collect(),
            place: place(self.data_offsets.0)..place(self.data_offsets.1),
        }
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object from tensor names to tensors")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
                let mut entries = BTreeMap::new();
                let mut metadata = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if std::mem::replace(&mut metadata, true) {
                            return Err(M::Error::custom("`__metadata__` stands twice"));
                        }
                        map.next_value::<BTreeMap<String, String>>()?;
                        continue;
                    }
                    let entry = map.next_value::<Entry>()?;
                    if entries.contains_key(&name) {
                        return Err(M::Error::custom(format!("tensor `{name}` stands twice")));
                    }
                    entries.insert(name, entry);
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn file(header: &str, values: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + values, 7);
        bytes
    }

    const PAIR: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[],"data_offsets":[8,10]}}"#;

    #[test]
    fn a_sound_file_is_read() {
        let header = check_bytes(Path::new("m"), &file(PAIR, 10)).expect("sound");
        let start = 8 + PAIR.len();
        assert_eq!(header["a"].shape, [2]);
        assert_eq!(header["a"].place, start..start + 8);
        assert_eq!(header["b"].dtype, "F16");
        let padded = format!("{PAIR}   ");
        assert!(check_bytes(Path::new("m"), &file(&padded, 10)).is_ok());
        let none = r#"{"__metadata__":{"format":"pt"}}"#;
        assert!(check_bytes(Path::new("m"), &file(none, 0)).is_ok());
        // A header of 640 bytes begins with the first bytes of a pickle.
        let long = format!("{none}{}", " ".repeat(640 - none.len()));
        assert!(check_bytes(Path::new("m"), &file(&long, 0)).is_ok());
    }

    #[test]
    fn every_kind_of_damage_is_named() {
        let one = |shape: &str, dtype: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let two = |a: &str, b: &str| {
            format!(
                r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{b}}}}}"#
            )
        };
        let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        huge.push(b'{');
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (vec![1, 2, 3], "expected 8 bytes, found 3"),
            (huge, "expected at most 100000000"),
            (file(PAIR, 10)[..40].to_vec(), "bytes, found 40"),
            (file(PAIR, 9), "is cut short: expected 125 bytes, found 124"),
            (file(PAIR, 11), "1 bytes follow the last tensor"),
            (file("[1]", 0), "no JSON object"),
            (file("{\"a\":", 0), "the header is damaged"),
            (file(twice, 1), "tensor `a` stands twice"),
            (file(&two("[0,4]", "[2,6]"), 6), "overlaps"),
            (file(&two("[0,4]", "[6,10]"), 10), "leaves a gap"),
            (file(&two("[2,6]", "[6,10]"), 10), "leaves a gap"),
            (
                file(&one("[2]", "F32", "[0,4]"), 4),
                "has 4 bytes, expected 8",
            ),
            (
                file(&one("[3]", "F4", "[0,2]"), 2),
                "has 2 bytes, expected 2",
            ),
            (file(&one("[1]", "F33", "[0,4]"), 4), "of type `F33`"),
            (file(&one("[1]", "U8", "[1,0]"), 1), "before its begin"),
            (
                file(&one("[4294967296,4294967296,2]", "F32", "[0,0]"), 0),
                "more than 2^64 bits",
            ),
            (
                file(&one("[-1]", "F32", "[0,0]"), 0),
                "the header is damaged",
            ),
            (lfs.to_vec(), "a pointer of Git LFS"),
            (b"PK\x03\x04rest".to_vec(), "a zip archive"),
            (b"\x80\x02}q\x00(X\x01\x00".to_vec(), "a pickle"),
            (b"<!DOCTYPE html>".to_vec(), "a web page"),
        ];
        for (bytes, expected) in cases {
            let error = check_bytes(Path::new("m"), &bytes).expect_err(expected);
            let message = error.to_string();
            assert!(message.contains(expected), "{message} / {expected}");
        }
    }
}
