//! `model-index` in the head of a card that others wrote: items of the same dataset, config and split are
//! replaced, new ones are added, and every other line stays as it is.

use std::fmt::Write as _;

use serde_json::Value;

use korfinsts_base::yaml;

/// What is wrong, with its line from 1.
type Wrong = (usize, String);

/// Indentation of the items that are put in.
const OWN: usize = 2;

/// The card with these items under `results`, which are indented by two; `name` is that of the model, for a
/// card that has no `model-index` yet.
///
/// # Errors
/// The line and what is wrong with it: a head that cannot be read, and a `model-index` in another form
/// than lists in block form.
pub(super) fn with_results(card: &str, name: &str, items: &str) -> Result<String, Wrong> {
    let old = yaml::front_matter(card)?;
    let end = if card.contains("\r\n") { "\r\n" } else { "\n" };
    let mut new = match &old {
        None => format!(
            "---\nmodel-index:\n- name: {}\n  results:\n{items}---\n\n",
            Value::from(name)
        ),
        Some(head) => {
            let lines: Vec<&str> = card.lines().collect();
            let closing = closing(&lines);
            let (start, stop, block) = match head.get("model-index") {
                Some(_) => replaced(&lines[..closing], items)?,
                None => {
                    let block = format!(
                        "model-index:\n- name: {}\n  results:\n{items}",
                        Value::from(name)
                    );
                    (closing, closing, block)
                }
            };
            let before = lines[..start].iter().map(|line| format!("{line}\n"));
            before.collect::<String>() + &block + &lines[stop..=closing].join("\n") + "\n"
        }
    };
    // What follows the head is taken byte by byte.
    let rest = if old.is_some() {
        after_head(card)
    } else {
        card
    };
    if end != "\n" {
        new = new.replace('\n', end);
    }
    new.push_str(rest);
    check(old.as_ref(), &new)?;
    Ok(new)
}

/// Line, from 0, of the second `---`.
fn closing(lines: &[&str]) -> usize {
    let rest = lines.iter().skip(1);
    rest.take_while(|line| line.trim_end() != "---").count() + 1
}

/// What follows the head of a card that has one.
fn after_head(card: &str) -> &str {
    let mut at = 0;
    let mut fences = 0;
    for line in card.split_inclusive('\n') {
        at += line.len();
        fences += usize::from(line.trim_start_matches('\u{feff}').trim_end() == "---");
        if fences == 2 {
            break;
        }
    }
    &card[at..]
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The lines `start..stop` of a head that are replaced, and the text that replaces them.
fn replaced(head: &[&str], items: &str) -> Result<(usize, usize, String), Wrong> {
    let at = head
        .iter()
        .position(|line| line.starts_with("model-index:"));
    let at = at.ok_or((1, "found no line `model-index:`".to_owned()))?;
    let strange = |line: usize| {
        let found = head[line].trim();
        (
            line + 1,
            format!(
                "found `{found}`, and `model-index` is read as a list of one model with a list `results:` below it"
            ),
        )
    };
    let belongs = |line: &&&str| line.is_empty() || line.starts_with([' ', '-', '#', '\r']);
    let block = at + 1..at + 1 + head[at + 1..].iter().take_while(belongs).count();
    if !head[at]["model-index:".len()..].trim().is_empty() {
        return Err(strange(at));
    }
    let is_results =
        |line: &&str| line.trim_start().trim_start_matches("- ").trim_start() == "results:";
    let found: Vec<usize> = block
        .clone()
        .filter(|n| is_results(&head[*n].trim_end()))
        .collect();
    let [results] = found[..] else {
        return Err(strange(found.get(1).copied().unwrap_or(at)));
    };
    // Its items, each with the lines that it spans.
    let mut spans: Vec<(usize, usize)> = Vec::new();
    let mut column = None;
    let mut stop = block.end;
    for n in results + 1..block.end {
        let (line, own) = (head[n].trim_start(), indent(head[n]));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let item = line.starts_with("- ") || line == "-";
        match column {
            None if item && own >= indent(head[results]) => column = Some(own),
            None => return Err(strange(n)),
            Some(column) if own < column || own == column && !item => {
                stop = n;
                break;
            }
            Some(_) => {}
        }
        if item && column == Some(own) {
            spans.push((n, n));
        }
    }
    for n in 0..spans.len() {
        spans[n].1 = spans.get(n + 1).map_or(stop, |next| next.0);
    }
    let column = column.unwrap_or(indent(head[results]) + OWN);
    let ours: Vec<Value> = datasets(items.lines());
    let mut text = String::new();
    for (first, after) in &spans {
        let span = &head[*first..*after];
        let theirs = datasets(span.iter().copied());
        let [dataset] = &theirs[..] else {
            return Err(strange(*first));
        };
        if !ours.contains(dataset) {
            for line in span {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    for line in items.lines() {
        let _ = writeln!(
            text,
            "{}{}",
            " ".repeat(column),
            &line[OWN.min(line.len())..]
        );
    }
    Ok((results + 1, stop, text))
}

/// What of each item says which scores it holds: type, config and split of its dataset.
fn datasets<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Value> {
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let read = yaml::front_matter(&format!("---\n{text}---\n"));
    let items = read.ok().flatten();
    let items = items.as_ref().and_then(Value::as_array).cloned();
    let items = items.unwrap_or_default().into_iter();
    items
        .map(|item| {
            let of = |key: &str| item["dataset"][key].clone();
            [of("type"), of("config"), of("split")]
                .into_iter()
                .collect()
        })
        .collect()
}

/// Checks that nothing but `model-index` is another than before.
fn check(old: Option<&Value>, new: &str) -> Result<(), Wrong> {
    let without = |head: Option<&Value>| {
        let mut head = head
            .cloned()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        head.as_object_mut().map(|head| head.remove("model-index"));
        head
    };
    let read = yaml::front_matter(new)?;
    let same = without(old) == without(read.as_ref());
    let listed = read
        .as_ref()
        .is_some_and(|head| head["model-index"][0]["results"].is_array());
    if same && listed {
        Ok(())
    } else {
        Err((
            1,
            "the head is in a form that this program cannot add results to".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str = "  - task:\n      type: sts\n    dataset:\n      type: \"korsts\"\n      config: \"korsts\"\n      split: \"test\"\n    metrics:\n    - type: cosine_spearman\n      value: 0.5\n";

    #[test]
    fn items_are_added_replaced_and_everything_else_stays() {
        let other = "- task:\n    type: sts  # of others\n  dataset:\n    type: mteb/sts\n    config: ko\n    split: test\n    revision: 0123\n  metrics:\n  - type: cosine_spearman\n    value: 80.1\n";
        let shift = |by: usize| -> String {
            let lines = other.lines();
            lines
                .map(|line| format!("{}{line}\n", " ".repeat(by)))
                .collect()
        };
        let old = ITEM.replace("0.5", "0.1");
        for (card, expected) in [
            (
                "# A model\n".to_owned(),
                format!("---\nmodel-index:\n- name: \"m\"\n  results:\n{ITEM}---\n\n# A model\n"),
            ),
            (
                String::new(),
                format!("---\nmodel-index:\n- name: \"m\"\n  results:\n{ITEM}---\n\n"),
            ),
            (
                "---\nlicense: mit # as it is\n---\nText --- and\n---\nmore".to_owned(),
                format!(
                    "---\nlicense: mit # as it is\nmodel-index:\n- name: \"m\"\n  results:\n{ITEM}---\nText --- and\n---\nmore"
                ),
            ),
            (
                format!(
                    "---\nmodel-index:\n- name: x\n  results:\n{}{old}tags:\n- a\n---\nT\n",
                    shift(2)
                ),
                format!(
                    "---\nmodel-index:\n- name: x\n  results:\n{}{ITEM}tags:\n- a\n---\nT\n",
                    shift(2)
                ),
            ),
            (
                format!(
                    "---\nmodel-index:\n  - name: x\n    results:\n{}license: mit\n---\n",
                    shift(6)
                ),
                format!(
                    "---\nmodel-index:\n  - name: x\n    results:\n{}{}license: mit\n---\n",
                    shift(6),
                    {
                        let lines = ITEM.lines();
                        lines
                            .map(|line| format!("    {line}\n"))
                            .collect::<String>()
                    }
                ),
            ),
        ] {
            assert_eq!(
                with_results(&card, "m", ITEM).expect("it is read"),
                expected,
                "{card}"
            );
            // Once more, nothing changes.
            assert_eq!(
                with_results(&expected, "m", ITEM).expect("it is read"),
                expected
            );
        }
        let windows = with_results("---\r\nlicense: mit\r\n---\r\nT\n", "m", ITEM).expect("read");
        assert!(
            windows.contains("license: mit\r\nmodel-index:\r\n") && windows.ends_with("---\r\nT\n")
        );
    }

    #[test]
    fn what_cannot_be_added_to_is_refused_with_its_line() {
        for (card, line, said) in [
            (
                "---\nmodel-index: [{name: x, results: []}]\n---\n",
                2,
                "found `model-index: [",
            ),
            (
                "---\nmodel-index:\n- name: x\n  results: []\n---\n",
                2,
                "found `model-index:`",
            ),
            (
                "---\nmodel-index:\n- name: x\n  results:\n  - a\n- name: y\n  results:\n  - b\n---\n",
                7,
                "found `results:`",
            ),
            ("---\na: 1\na: 2\n---\n", 3, "found `a` twice"),
        ] {
            let (at, reason) = with_results(card, "m", ITEM).expect_err(card);
            assert!(
                at == line && reason.starts_with(said),
                "{card}: {at} {reason}"
            );
        }
    }
}
