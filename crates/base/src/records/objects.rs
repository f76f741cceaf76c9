//! JSON objects: one by one, or the elements of an array with their lines; and fields by path.

use serde_json::Value;

use crate::json::Unique;

/// One JSON object.
///
/// # Errors
/// What it is instead.
pub fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(Unique(object @ Value::Object(_))) => Ok(object),
        Ok(_) => Err("a record is not an object".into()),
        Err(e) => Err(reason(&e)),
    }
}

/// Most elements of an array, which is read whole.
const MOST_ELEMENTS: usize = 1 << 24;

/// The elements of a JSON array, each with the line on which it begins, from 1.
///
/// # Errors
/// The line of what is no JSON array, and the reason.
pub fn array(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, (usize, String)> {
    let all: Vec<serde::de::IgnoredAny> =
        serde_json::from_str(text).map_err(|e| (e.line().max(1), reason(&e)))?;
    if all.len() > MOST_ELEMENTS {
        let found = all.len();
        let reason = format!(
            "the array has {found} elements, allowed are {MOST_ELEMENTS}: write one object a line (JSONL)"
        );
        return Err((1, reason));
    }
    let (mut line, mut seen) = (1, 0);
    Ok(elements(text).into_iter().map(move |(offset, element)| {
        line += text[seen..offset].bytes().filter(|b| *b == b'\n').count();
        seen = offset;
        (line, element)
    }))
}

/// What the reader says, without the position, which is that of the record.
#[must_use]
pub fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.find(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// The elements of a valid array, with their offsets.
fn elements(text: &str) -> Vec<(usize, &str)> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut start = None;
    let mut found = Vec::new();
    for (i, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        let ends = depth == 1 && matches!(byte, b',' | b']');
        if ends {
            found.extend(start.take().map(|s| (s, text[s..i].trim_end())));
        } else if depth == 1 && !byte.is_ascii_whitespace() && start.is_none() {
            start = Some(i);
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

/// The value at a key, or at a dotted path of keys; a key that holds dots wins over a path.
#[must_use]
pub fn at_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.')
        .find_map(|(at, _)| at_path(object.get(&path[..at])?, &path[at + 1..]))
}

/// All keys of an object, nested ones as dotted paths.
#[must_use]
pub fn paths(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(object, "", &mut found);
    found
}

fn collect(value: &Value, prefix: &str, found: &mut Vec<String>) {
    let Value::Object(entries) = value else {
        found.push(prefix.trim_end_matches('.').to_owned());
        return;
    };
    for (key, value) in entries {
        collect(value, &format!("{prefix}{key}."), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_keeps_the_line_of_each_element() {
        let text = "[\n {\"a\": \"],{\\\"\"},\n\n {\"a\": [1, {}]}\n]";
        let lines = array(text).expect("an array").map(|(line, _)| line);
        assert_eq!(lines.collect::<Vec<_>>(), [2, 4]);
        assert_eq!(array("[]").expect("an array").count(), 0);
    }

    #[test]
    fn nested_values_are_found_by_path() {
        let object: Value =
            serde_json::from_str(r#"{"labels": {"real-label": 1.5, "x.y": 2}, "a.b": 3}"#)
                .expect("JSON");
        for (path, value) in [
            ("labels.real-label", 1.5),
            ("labels.x.y", 2.0),
            ("a.b", 3.0),
        ] {
            assert_eq!(
                at_path(&object, path).and_then(Value::as_f64),
                Some(value),
                "{path}"
            );
        }
        assert_eq!(at_path(&object, "labels.label"), None);
        assert_eq!(paths(&object), ["labels.real-label", "labels.x.y", "a.b"]);
    }
}
