//! The head of a Markdown file (front matter): as much of YAML as model cards are written in.
//!
//! Read are nested lists and mappings in block form, lists and mappings in one line (`[a, b]`,
//! `{a: b}`), texts with and without quotes, and comments. The lines of a text are joined with spaces.
//! Anchors and tags are plain text.
//!
//! Ground floor: imports no room.

use serde_json::{Map, Number, Value};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 16;

/// What is wrong, with its line from 1.
type Wrong = (usize, String);

/// The head of a Markdown file, between two lines of `---`; `None` where it has none.
///
/// # Errors
/// The line, from 1, and what is wrong with it: a line of another indentation, one that is neither
/// `key: value` nor `- value`, a key that occurs twice, and nesting deeper than 16.
pub fn front_matter(text: &str) -> Result<Option<Value>, (usize, String)> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    if lines.next().is_none_or(|line| line.trim_end() != "---") {
        return Ok(None);
    }
    let mut head = Vec::new();
    for (at, line) in lines.enumerate() {
        if line.trim_end() == "---" {
            let mut reader = Reader { lines: head, at: 0 };
            let value = match reader.lines.first() {
                Some(first) => reader.node(first.indent, 0)?,
                None => Value::Null,
            };
            return match reader.lines.get(reader.at) {
                Some(line) => Err((line.number, "found another indentation".into())),
                None => Ok(Some(value)),
            };
        }
        let content = line.trim_start();
        if !content.is_empty() && !content.starts_with('#') {
            head.push(Line {
                number: at + 2,
                indent: line.len() - content.len(),
                content: content.trim_end(),
            });
        }
    }
    Ok(None)
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    indent: usize,
    content: &'a str,
}

struct Reader<'a> {
    lines: Vec<Line<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next line, where it has this indentation.
    fn line(&self, indent: usize) -> Option<Line<'a>> {
        let line = self.lines.get(self.at).copied();
        line.filter(|line| line.indent == indent)
    }

    fn node(&mut self, indent: usize, depth: usize) -> Result<Value, Wrong> {
        let Some(first) = self.line(indent) else {
            return Ok(Value::Null);
        };
        if depth > MAX_DEPTH {
            return Err((
                first.number,
                format!("found nesting deeper than {MAX_DEPTH}"),
            ));
        }
        if item(first.content).is_some() {
            return self.list(indent, depth);
        }
        if entry(first.content).is_some() {
            return self.mapping(indent, depth);
        }
        self.at += 1;
        self.text(first.content, indent)
    }

    fn list(&mut self, indent: usize, depth: usize) -> Result<Value, Wrong> {
        let mut found = Vec::new();
        while let Some(line) = self.line(indent) {
            let Some(rest) = item(line.content) else {
                break;
            };
            if rest.is_empty() {
                self.at += 1;
                found.push(self.below(indent, depth)?);
                continue;
            }
            // What follows the dash is a line of its own, further in.
            let inner = indent + line.content.len() - rest.len();
            self.lines[self.at] = Line {
                indent: inner,
                content: rest,
                ..line
            };
            found.push(self.node(inner, depth + 1)?);
        }
        Ok(Value::Array(found))
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Result<Value, Wrong> {
        let mut found = Map::new();
        while let Some(line) = self.line(indent) {
            let Some((key, rest)) = entry(line.content) else {
                return Err((
                    line.number,
                    format!("found `{}`, not `key: value`", line.content),
                ));
            };
            self.at += 1;
            let value = match rest {
                "" if self
                    .line(indent)
                    .is_some_and(|next| item(next.content).is_some()) =>
                {
                    self.list(indent, depth + 1)?
                }
                "" => self.below(indent, depth)?,
                block if block.starts_with(['|', '>']) => Value::String(self.lines_of("", indent)),
                text => self.text(text, indent)?,
            };
            let key = match scalar(key) {
                Value::String(key) => key,
                other => other.to_string(),
            };
            if found.insert(key.clone(), value).is_some() {
                return Err((line.number, format!("found `{key}` twice")));
            }
        }
        Ok(Value::Object(found))
    }

    /// What is further in than `indent`; nothing is null.
    fn below(&mut self, indent: usize, depth: usize) -> Result<Value, Wrong> {
        match self.lines.get(self.at) {
            Some(next) if next.indent > indent => self.node(next.indent, depth + 1),
            _ => Ok(Value::Null),
        }
    }

    /// A text that begins in a line and goes on in those that are further in.
    fn lines_of(&mut self, first: &str, indent: usize) -> String {
        let mut whole = first.to_owned();
        while let Some(next) = self.lines.get(self.at).filter(|next| next.indent > indent) {
            whole.push(' ');
            whole.push_str(next.content);
            self.at += 1;
        }
        whole.trim().to_owned()
    }

    /// A value that begins in the line before this one.
    fn text(&mut self, first: &str, indent: usize) -> Result<Value, Wrong> {
        let number = self.lines[self.at - 1].number;
        let whole = self.lines_of(first, indent);
        let whole = uncommented(&whole);
        match whole.chars().next() {
            Some('[' | '{') => {
                let (value, rest) = flow(whole, 0).ok_or_else(|| {
                    (
                        number,
                        format!("found `{whole}`, not a list or mapping in one line"),
                    )
                })?;
                match rest.trim() {
                    "" => Ok(value),
                    rest => Err((number, format!("found `{rest}` after a value"))),
                }
            }
            _ => Ok(scalar(whole)),
        }
    }
}

/// What follows the dash of a list's item.
fn item(content: &str) -> Option<&str> {
    match content.strip_prefix('-')? {
        "" => Some(""),
        rest => rest.starts_with(' ').then(|| rest.trim_start()),
    }
}

/// Key and value of a mapping's line.
fn entry(content: &str) -> Option<(&str, &str)> {
    let quote = content.chars().next().filter(|c| matches!(c, '"' | '\''));
    let from = match quote {
        Some(quote) => 2 + content[1..].find(quote)?,
        None if content.starts_with(['[', '{']) => return None,
        None => 0,
    };
    let colon = content[from..].match_indices(':').map(|(at, _)| from + at);
    let ends = |at: &usize| content[at + 1..].is_empty() || content[at + 1..].starts_with(' ');
    let at = colon.into_iter().find(ends)?;
    Some((
        content[..at].trim_end(),
        uncommented(content[at + 1..].trim()),
    ))
}

/// A text without the comment behind it.
fn uncommented(text: &str) -> &str {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let from = quote
        .and_then(|quote| Some(text[1..].rfind(quote)? + 2))
        .unwrap_or(0);
    match text[from..].find(" #") {
        Some(at) => text[..from + at].trim_end(),
        None if text.starts_with('#') => "",
        None => text,
    }
}

/// A list or mapping in one line, and what follows it.
fn flow(text: &str, depth: usize) -> Option<(Value, &str)> {
    let text = text.trim_start();
    let closing = match text.chars().next()? {
        '[' => ']',
        '{' => '}',
        quote @ ('"' | '\'') => {
            let end = 2 + text[1..].find(quote)?;
            return Some((scalar(&text[..end]), &text[end..]));
        }
        _ => {
            let end = text.find([',', ']', '}']).unwrap_or(text.len());
            let end = text.find(": ").map_or(end, |colon| colon.min(end));
            return Some((scalar(text[..end].trim()), &text[end..]));
        }
    };
    if depth > MAX_DEPTH {
        return None;
    }
    let (mut list, mut mapping) = (Vec::new(), Map::new());
    let mut rest = text[1..].trim_start();
    while !rest.starts_with(closing) {
        let (mut value, mut after) = flow(rest, depth + 1)?;
        if closing == '}' {
            let key = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (value, after) = flow(after.trim_start().strip_prefix(':')?, depth + 1)?;
            if mapping.insert(key, value).is_some() {
                return None;
            }
        } else {
            list.push(value);
        }
        after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.starts_with(closing) => after,
            None => return None,
        };
    }
    let value = match closing {
        ']' => Value::Array(list),
        _ => Value::Object(mapping),
    };
    Some((value, &rest[1..]))
}

/// A text, a number, a truth value or nothing.
fn scalar(text: &str) -> Value {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(inner) = inner('\'') {
        return Value::String(inner.replace("''", "'"));
    }
    if inner('"').is_some() {
        return serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    }
    let number = || -> Option<Number> {
        if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
            return None;
        }
        let whole = text.parse::<i64>().ok().map(Number::from);
        whole.or_else(|| Number::from_f64(text.parse().ok()?))
    };
    match text {
        "" | "~" | "null" | ".nan" | ".NaN" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => number().map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_head_is_read_as_pyyaml_reads_it() {
        // Expected values: `yaml.safe_load` of PyYAML 6.0.4, with spaces for the line ends of `block`.
        let text = "---\nlicense: mit  # ours\ntags:\n- a: b\n  c:\n  - 1\n  - 2.5\n-\n  x: 'it''s'\nflow: {a: [1, \"b, c\"], d: e f}\n\
                    long: one\n  two\nblock: |\n  [any: thing\n  at all\nempty:\nurl: https://x.y/z\n'q: r': ~\n---\n# Title\n";
        let found = front_matter(text).expect("it is right").expect("a head");
        assert_eq!(found["license"], "mit");
        assert_eq!(
            found["tags"],
            json!([{"a": "b", "c": [1, 2.5]}, {"x": "it's"}])
        );
        assert_eq!(found["flow"], json!({"a": [1, "b, c"], "d": "e f"}));
        assert_eq!(found["long"], "one two");
        assert_eq!(found["block"], "[any: thing at all");
        assert_eq!(
            (&found["empty"], &found["q: r"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(found["url"], "https://x.y/z");
        assert_eq!(front_matter("# Title\n"), Ok(None));
        assert_eq!(front_matter("---\nno: end\n"), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named_by_line() {
        for (head, line, says) in [
            ("a: 1\na: 2", 3, "found `a` twice"),
            ("a: 1\nb", 3, "found `b`, not `key: value`"),
            ("  a: 1\nb: 2", 3, "another indentation"),
            ("a: [1, 2", 2, "not a list or mapping"),
            ("a: [1] 2", 2, "found `2` after a value"),
        ] {
            let (at, reason) = front_matter(&format!("---\n{head}\n---\n")).expect_err(head);
            assert_eq!(at, line, "{head}: {reason}");
            assert!(reason.contains(says), "{head}: {reason}");
        }
        let deep = format!("---\na: {}\n---\n", "[".repeat(10_000));
        assert!(front_matter(&deep).is_err());
        let deep: String = (0..1000)
            .map(|i| format!("{}a:\n", " ".repeat(i)))
            .collect();
        let (_, reason) = front_matter(&format!("---\n{deep}---\n")).expect_err("deep");
        assert!(reason.contains("deeper than 16"), "{reason}");
    }
}
