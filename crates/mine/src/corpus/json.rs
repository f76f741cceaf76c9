//! Lines that are JSON objects: the fields that are asked for, and nothing else, are kept.

use std::borrow::Cow;
use std::fmt;

use korfinsts_base::records::objects::at_path;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use super::locate::File;
use super::{Columns, Row};
use crate::{MineError, Place};
use korfinsts_base::json::{ONE_A_LINE, Unique};

/// The content of a field.
#[derive(Debug, Clone, PartialEq)]
enum Cell<'a> {
    Absent,
    Null,
    Text(Cow<'a, str>),
    Other(&'static str),
}

pub(super) fn row(
    file: &File,
    columns: &Columns,
    number: u64,
    line: &str,
) -> Result<Row, MineError> {
    let place = Place::Line(number);
    let names = columns.names();
    let broken = |e: serde_json::Error| {
        let reason = format!("not a JSON object: {e}");
        MineError::data(&file.path, place, reason, Some(ONE_A_LINE))
    };
    let value: Value;
    let (cells, found) = if names.iter().any(|n| n.contains('.')) {
        Unique(value) = serde_json::from_str(line).map_err(broken)?;
        nested(&value, &names)
    } else {
        let mut deserializer = serde_json::Deserializer::from_str(line);
        let read = Fields(&names)
            .deserialize(&mut deserializer)
            .map_err(broken)?;
        deserializer.end().map_err(broken)?;
        read
    };
    gather(file, columns, (number, place), (cells, &found))
}

/// The row of a record that was read as a whole.
pub(super) fn of_value(
    file: &File,
    columns: &Columns,
    number: u64,
    value: &Value,
) -> Result<Row, MineError> {
    let (cells, found) = nested(value, &columns.names());
    gather(file, columns, (number, Place::Row(number)), (cells, &found))
}

/// A row from the cells of [`Columns::names`] and the names that were found, for errors.
fn gather(
    file: &File,
    columns: &Columns,
    (number, place): (u64, Place),
    (cells, found): (Vec<Cell<'_>>, &str),
) -> Result<Row, MineError> {
    let wrong = |reason: String, hint| MineError::data(&file.path, place, reason, Some(hint));
    let names = columns.names();
    let mut cells = names.iter().zip(cells);
    let mut take = |optional: bool| -> Result<Option<Cow<'_, str>>, MineError> {
        let Some((name, cell)) = cells.next() else {
            return Ok(None);
        };
        match cell {
            Cell::Text(text) => Ok(Some(text)),
            Cell::Null => Ok(None),
            Cell::Absent if optional => Ok(None),
            Cell::Absent => Err(wrong(
                format!("no field `{name}`, found {found}"),
                "name the field in `columns` of the corpus's TOML file",
            )),
            Cell::Other(kind) => Err(wrong(
                format!("expected text in `{name}`, found {kind}"),
                "name another field in `columns` of the corpus's TOML file",
            )),
        }
    };
    let mut text = String::new();
    for _ in &columns.text {
        if let Some(part) = take(false)?
            && !part.trim().is_empty()
        {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&part);
        }
    }
    let mut optional = |column: &Option<String>| match column {
        Some(_) => take(true).map(|cell| cell.map(Cow::into_owned)),
        None => Ok(None),
    };
    Ok(Row {
        number,
        text,
        licence: optional(&columns.licence)?,
        source: optional(&columns.source)?,
    })
}

fn nested<'v>(value: &'v Value, names: &[&str]) -> (Vec<Cell<'v>>, String) {
    let cells: Vec<Cell<'_>> = names
        .iter()
        .map(|name| match at_path(value, name) {
            None => Cell::Absent,
            Some(Value::Null) => Cell::Null,
            Some(Value::String(s)) => Cell::Text(s.into()),
            Some(Value::Bool(_)) => Cell::Other("a boolean"),
            Some(Value::Number(_)) => Cell::Other("a number"),
            Some(Value::Array(_)) => Cell::Other("an array"),
            Some(Value::Object(_)) => Cell::Other("an object"),
        })
        .collect();
    let keys = value
        .as_object()
        .filter(|_| cells.contains(&Cell::Absent))
        .map(|o| {
            let keys: Vec<String> = o.keys().take(8).map(|k| format!("`{k}`")).collect();
            keys.join(", ")
        });
    (cells, keys.unwrap_or_else(|| "no object".to_owned()))
}

/// Reads an object and keeps the cells of some fields; and the first names it saw, for errors.
struct Fields<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = (Vec<Cell<'de>>, String);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = (Vec<Cell<'de>>, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut cells = vec![Cell::Absent; self.0.len()];
        let mut found: Vec<String> = Vec::new();
        let mut missing = self.0.len();
        while let Some(key) = map.next_key_seed(Text)? {
            if let Some(at) = self.0.iter().position(|n| **n == *key) {
                if cells[at] != Cell::Absent {
                    return Err(M::Error::custom(format!("the key `{key}` occurs twice")));
                }
                missing -= 1;
                cells[at] = map.next_value_seed(Any)?;
            } else {
                if missing > 0 && found.len() < 8 {
                    found.push(format!("`{key}`"));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        let found = if found.is_empty() {
            "no other".to_owned()
        } else {
            found.join(", ")
        };
        Ok((cells, found))
    }
}

/// A string that is borrowed where it can be.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Any value; its content where it is text.
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Cell<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Cell::Other("a boolean"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Cell::Other("a number"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Cell::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Cell::Other("a number"))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::Other("an array"))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::corpus::Format;

    fn read(line: &str, text: &[&str]) -> Result<Row, String> {
        let file = File {
            path: PathBuf::from("c.jsonl"),
            name: "c.jsonl".to_owned(),
            format: Format::Jsonl,
        };
        let columns = Columns {
            text: text.iter().map(|s| (*s).to_owned()).collect(),
            licence: Some("licence".to_owned()),
            source: None,
        };
        row(&file, &columns, 7, line).map_err(|e| e.to_string())
    }

    #[test]
    fn fields_are_found_joined_or_named_as_missing() {
        let row = read(
            r#"{"x":[1,{"text":"no"}],"text":"금\u00e9리","licence":"MIT","t":"제목"}"#,
            &["t", "text"],
        )
        .expect("a row");
        assert_eq!((row.number, row.text.as_str()), (7, "제목\n금é리"));
        assert_eq!(row.licence.as_deref(), Some("MIT"));
        let inner = read(r#"{"a":{"b":"안"}}"#, &["a.b"]).expect("a row");
        assert_eq!((inner.text.as_str(), inner.licence), ("안", None));
        assert_eq!(read(r#"{"text":null}"#, &["text"]).expect("a row").text, "");
        for (line, columns, expected) in [
            (
                r#"{"body":"x"}"#,
                "text",
                "c.jsonl:7: no field `text`, found `body`",
            ),
            (
                r#"{"body":"x"}"#,
                "a.b",
                "c.jsonl:7: no field `a.b`, found `body`",
            ),
            (
                r#"{"text":3}"#,
                "text",
                "c.jsonl:7: expected text in `text`, found a number",
            ),
            (r#"{"text":"x"#, "text", "c.jsonl:7: not a JSON object: EOF"),
            (
                r#"{"text":"x"} {"#,
                "text",
                "c.jsonl:7: not a JSON object: trailing",
            ),
            (
                r#"["x"]"#,
                "text",
                "c.jsonl:7: not a JSON object: invalid type",
            ),
            (
                r#"{"text":"x","text":"y"}"#,
                "text",
                "c.jsonl:7: not a JSON object: the key `text` occurs twice",
            ),
            (
                r#"{"a":{"b":"x","b":"y"}}"#,
                "a.b",
                "c.jsonl:7: not a JSON object: the key `b` occurs twice",
            ),
        ] {
            let found = read(line, &[columns]).expect_err("it is wrong");
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
