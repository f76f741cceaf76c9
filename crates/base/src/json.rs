//! Strict JSON: what a file that came from elsewhere has to be. Duplicate keys, NaN, infinities and
//! deep nesting are refused, which `serde_json` alone lets through or leaves to chance.
//!
//! Ground floor: imports no room.

use std::fmt;

use serde::Serialize;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::{Map, Number, Value};

use crate::names::Twice;

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 16;

/// Parses one JSON document.
///
/// # Errors
/// In words, with line and column: what is no JSON, a key that occurs twice in one object, a number
/// that is not finite, nesting deeper than [`MAX_DEPTH`], and anything after the document.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node {
        depth: 0,
        most: MAX_DEPTH,
    }
    .deserialize(&mut deserializer)
    .map_err(|e| e.to_string())?;
    deserializer.end().map_err(|e| e.to_string())?;
    Ok(value)
}

/// What to do about a document where a line of JSONL was expected.
pub const ONE_A_LINE: &str = "was the file cut off, or is it one document? One JSON object a line is \
                              read (JSONL); `jq -c '.[]' FILE` writes an array so";

/// A value of data, in which no object has a key twice. Nesting is bounded by `serde_json` alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Unique(pub Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node {
            depth: 0,
            most: usize::MAX,
        };
        node.deserialize(deserializer).map(Self)
    }
}

/// Parses one JSON document from bytes into a type.
///
/// # Errors
/// As [`parse`]; bytes that are not UTF-8; a document that is not of the type.
pub fn parse_as<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
    serde_json::from_value(parse(text)?).map_err(|e| e.to_string())
}

/// A value as a type, with objects where the type has structures: a list of the fields' values, which
/// serde takes for a structure too, is refused.
///
/// # Errors
/// In words, where the value is not of the type.
pub fn typed<T: DeserializeOwned + Serialize>(value: Value) -> Result<T, String> {
    let shape = value.clone();
    let found: T = serde_json::from_value(value).map_err(|e| e.to_string())?;
    let again = serde_json::to_value(&found).map_err(|e| e.to_string())?;
    match list_for_object(&shape, &again) {
        None => Ok(found),
        Some(path) => Err(format!("`{path}` is a list, an object is needed")),
    }
}

/// Where `found` has a list and `wanted` an object.
fn list_for_object(found: &Value, wanted: &Value) -> Option<String> {
    match (found, wanted) {
        (Value::Array(_), Value::Object(_)) => Some(".".to_owned()),
        (Value::Array(found), Value::Array(wanted)) => found
            .iter()
            .zip(wanted)
            .enumerate()
            .find_map(|(i, (f, w))| Some(format!("{i}/{}", list_for_object(f, w)?))),
        (Value::Object(found), Value::Object(wanted)) => found
            .iter()
            .find_map(|(key, f)| Some(format!("{key}/{}", list_for_object(f, wanted.get(key)?)?))),
        _ => None,
    }
}

/// The documents of a JSONL file: one per line, each line ended by LF, none blank.
///
/// # Errors
/// The number of the line, from 1, and what is wrong with it.
pub fn parse_lines(bytes: &[u8]) -> Result<Vec<Value>, (usize, String)> {
    each_line(bytes, parse)
}

/// The lines of a JSONL file as a type whose fields are numbers, texts and lists of those, and which
/// refuses fields that it does not know. As [`parse_lines`] and [`typed`], in a fifth of the time.
///
/// # Errors
/// As those two.
pub fn flat_lines<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
) -> Result<Vec<T>, (usize, String)> {
    each_line(bytes, |line| {
        // An object of known fields, none of which occurs twice or holds an object, has nothing that
        // the strict parser refuses. What is refused here gets its reason there.
        if line.starts_with('{')
            && let Ok(found) = serde_json::from_str(line)
        {
            return Ok(found);
        }
        typed(parse(line)?)
    })
}

fn each_line<T>(
    bytes: &[u8],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, (usize, String)> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        (line, format!("not UTF-8 at byte {}", e.valid_up_to()))
    })?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(body) = text.strip_suffix('\n') else {
        return Err((text.lines().count(), "the last line has no end".to_owned()));
    };
    body.split('\n')
        .enumerate()
        .map(|(i, line)| read(line).map_err(|e| (i + 1, e)))
        .collect()
}

struct Node {
    depth: usize,
    most: usize,
}

impl Node {
    fn below(&self) -> Self {
        Self {
            depth: self.depth + 1,
            ..*self
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > self.most {
            return Err(D::Error::custom(format!(
                "nested deeper than {} levels",
                self.most
            )));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.below())? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                let first = 1 + object.keys().take_while(|k| **k != key).count();
                let twice = Twice {
                    name: key,
                    first,
                    second: object.len() + 1,
                };
                return Err(A::Error::custom(format!("the key {twice}")));
            }
            let value = map.next_value_seed(self.below())?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// What the program writes for others to read: JSON with two spaces of indent, without a closing newline.
///
/// # Panics
/// When a map of `value` has keys that are no strings, which no type written here has.
#[must_use]
pub fn pretty<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("keys are strings, so all of it becomes JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_it_stands() {
        for text in [
            r#"{"a":[1,-2,0.5,"\u00e9",null,true],"b":{}}"#,
            "3",
            r#"{"z":1,"a":2}"#,
        ] {
            let expected: Value = serde_json::from_str(text).expect("valid");
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_parsers_disagree_about_is_refused() {
        let deep = format!("{}{}", "[".repeat(18), "]".repeat(18));
        let very_deep = "[".repeat(200_000);
        for (text, reason) in [
            (
                r#"{"a":1,"a":2}"#,
                "the key `a` occurs twice, at positions 1 and 2",
            ),
            (
                r#"{"a":{"b":1,"\u0062":2}}"#,
                "the key `b` occurs twice, at positions 1 and 2",
            ),
            ("NaN", "expected value"),
            (r#"{"a":Infinity}"#, "expected value"),
            ("1e999", "number out of range"),
            (&deep, "nested deeper than 16 levels"),
            (&very_deep, "nested deeper"),
            ("{} {}", "trailing characters"),
            ("[1,]", "trailing comma"),
            ("", "EOF"),
            ("\u{FEFF}{}", "expected value"),
            ("\"\u{1}\"", "control character"),
            (r#""\ud800""#, "hex escape"),
        ] {
            let error = parse(text).expect_err(&text[..text.len().min(20)]);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_list_is_no_structure() {
        #[derive(Debug, PartialEq, serde::Deserialize, Serialize)]
        struct Inner {
            a: Option<u8>,
        }
        #[derive(Debug, PartialEq, serde::Deserialize, Serialize)]
        struct Outer {
            list: Vec<u8>,
            inner: Vec<Inner>,
        }
        let read = |text: &str| typed::<Outer>(parse(text).expect("JSON"));
        assert!(read(r#"{"list":[1],"inner":[{"a":1},{}]}"#).is_ok());
        for text in ["[[1],[]]", r#"{"list":[1],"inner":[[1]]}"#] {
            assert!(
                read(text).expect_err(text).contains("an object is needed"),
                "{text}"
            );
        }
    }

    #[test]
    fn flat_lines_are_as_strict_as_others() {
        #[derive(Debug, PartialEq, serde::Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        struct Flat {
            id: String,
            score: f64,
            tokens: [u32; 2],
            #[serde(default)]
            more: Option<String>,
        }
        let strict = |line: &str| {
            parse_lines(line.as_bytes())?
                .into_iter()
                .enumerate()
                .map(|(i, value)| typed::<Flat>(value).map_err(|e| (i + 1, e)))
                .collect::<Result<Vec<Flat>, _>>()
        };
        for line in [
            r#"{"id":"a","score":0.1,"tokens":[1,2]}"#,
            r#" {"id":"a","score":1,"tokens":[1,2],"more":null} "#,
            r#"{"id":"a","score":-0.0,"tokens":[1,2]}"#,
            r#"{"id":"a","id":"b","score":1,"tokens":[1,2]}"#,
            r#"{"id":"a","\u0069d":"b","score":1,"tokens":[1,2]}"#,
            r#"{"id":"a","score":NaN,"tokens":[1,2]}"#,
            r#"{"id":"a","score":1e999,"tokens":[1,2]}"#,
            r#"{"id":"a","score":"1","tokens":[1,2]}"#,
            r#"{"id":"a","score":null,"tokens":[1,2]}"#,
            r#"{"id":"\ud800","score":1,"tokens":[1,2]}"#,
            r#"{"id":"a","score":1,"tokens":[1]}"#,
            r#"{"id":"a","score":1,"tokens":[1,2,3]}"#,
            r#"{"id":"a","score":1,"tokens":[1,2.0]}"#,
            r#"{"id":"a","score":1,"tokens":[1,-2]}"#,
            r#"{"id":"a","score":1,"tokens":{"0":1,"1":2}}"#,
            r#"{"id":"a","score":1,"tokens":[1,2],"more":{"a":1}}"#,
            r#"{"id":"a","score":1,"tokens":[1,2],"other":1}"#,
            r#"{"id":"a","score":1,"tokens":[1,2]} x"#,
            r#"{"score":1,"tokens":[1,2]}"#,
            r#"["a",1,[1,2],null]"#,
            "",
        ] {
            let line = format!("{line}\n");
            assert_eq!(flat_lines::<Flat>(line.as_bytes()), strict(&line), "{line}");
        }
    }

    #[test]
    fn lines_are_counted() {
        assert_eq!(parse_lines(b""), Ok(vec![]));
        assert_eq!(parse_lines(b"1\n2\n"), Ok(vec![1.into(), 2.into()]));
        for (bytes, line, reason) in [
            (&b"1\n\n2\n"[..], 2, "EOF"),
            (b"1\n2", 2, "no end"),
            (b"1\n{\n", 2, "EOF"),
            (b"1\n\xff\n", 2, "not UTF-8 at byte 2"),
            (b"1\r\n", 0, ""),
        ] {
            match parse_lines(bytes) {
                Err((at, why)) => {
                    assert_eq!(at, line, "{why}");
                    assert!(why.contains(reason), "{why}");
                }
                Ok(values) => assert_eq!((line, values), (0, vec![1.into()])),
            }
        }
    }
}
