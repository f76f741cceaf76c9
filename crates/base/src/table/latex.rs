//! A table for `LaTeX`: one that compiles with pdflatex or, where a comment says so, with xelatex,
//! and that is no wider than the text.

use std::fmt::Write as _;

use super::Table;

/// Characters of a line of `\small` text in an article: 345 pt of 4.9 pt each.
const LINE: usize = 70;
/// What a column takes besides its cells, in characters.
const GAP: usize = 2;
/// Rows of a page.
const PAGE: usize = 40;
/// Narrowest column of wrapped text, in characters.
const NARROW: usize = 14;

/// Columns that a text takes in a terminal: two for each letter of Hangul, Han or Kana.
#[must_use]
pub fn text_width(text: &str) -> usize {
    let wide = |c: char| matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F | 0xFF00..=0xFF60);
    let line = |line: &str| line.chars().map(|c| 1 + usize::from(wide(c))).sum();
    text.lines().map(line).max().unwrap_or(0)
}

/// The table as one or more `LaTeX` tables.
pub(super) fn render(table: &Table) -> String {
    let groups = table.groups(|columns| {
        let widths = columns.iter().map(|&c| least(table, c) + GAP);
        widths.sum::<usize>() <= LINE
    });
    let rows: Vec<usize> = (0..table.rows.len()).step_by(PAGE).collect();
    let mut out = String::new();
    if needs_xelatex(table) {
        out.push_str(
            "% compile with xelatex: letters outside Latin, as Hangul, need a font that has them,\n\
             % for example \\usepackage{fontspec} and \\setmainfont{NanumMyeongjo}\n",
        );
    }
    let mut part = 0;
    for group in &groups {
        for &start in if rows.is_empty() { &[0][..] } else { &rows } {
            part += 1;
            let mut columns = table.columns(group);
            let end = table.rows.len().min(start + PAGE);
            columns.rows = columns.rows[start..end].to_vec();
            let bold = columns.bold.into_iter();
            columns.bold = bold
                .filter(|(row, _)| (start..end).contains(row))
                .map(|(row, column)| (row - start, column))
                .collect();
            out.push_str(&one(&columns, part));
        }
    }
    out
}

/// One `LaTeX` table, the `part`-th of a title.
fn one(table: &Table, part: usize) -> String {
    let continued = if part > 1 { " (continued)" } else { "" };
    let mut label = slug(&table.title);
    if part > 1 {
        let _ = write!(label, "-{part}");
    }
    let mut out = format!(
        "\\begin{{table}}\n\\centering\\small\\setlength{{\\tabcolsep}}{{4pt}}\n\
         \\caption{{{}{continued}}}\n\\label{{tab:{label}}}\n\\begin{{tabular}}{{{}}}\n\\toprule\n",
        escaped(&table.title),
        specification(table)
    );
    let heads: Vec<String> = (0..table.head.len()).map(|c| head(table, c)).collect();
    let _ = writeln!(out, "{} \\\\\n\\midrule", heads.join(" & "));
    for (at, row) in table.rows.iter().enumerate() {
        let cell = |(column, cell): (usize, &String)| {
            let cell = if wraps(table, column) {
                breakable(cell)
            } else {
                escaped(cell)
            };
            if table.bold.contains(&(at, column)) {
                format!("\\textbf{{{cell}}}")
            } else {
                cell
            }
        };
        let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
        let _ = writeln!(out, "{} \\\\", cells.join(" & "));
    }
    out.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
    out
}

/// Whether all columns fit as they are.
fn fits(table: &Table) -> bool {
    let widths = (0..table.head.len()).map(|c| table.column_width(c) + GAP);
    widths.sum::<usize>() <= LINE
}

/// The narrowest that a column can be: wrapped where it is text, with its head in lines.
fn least(table: &Table, column: usize) -> usize {
    let natural = table.column_width(column);
    if !table.numeric[column] {
        return natural.min(NARROW);
    }
    let cells = table.rows.iter().map(|row| text_width(&row[column]));
    let words = table.head[column].split(' ').map(text_width);
    cells.chain(words).max().unwrap_or(0)
}

/// Whether the text of a column is wrapped.
fn wraps(table: &Table, column: usize) -> bool {
    !table.numeric[column] && table.column_width(column) > NARROW && !fits(table)
}

/// Text that may break inside long words: after punctuation, and between syllables.
fn breakable(text: &str) -> String {
    let word = |word: &str| -> String {
        let long = text_width(word) >= NARROW;
        let breaks = |c: char| matches!(c, '.' | '_' | '/' | '-' | ':' | '가'..='힣');
        word.chars()
            .map(|c| match escaped(c.encode_utf8(&mut [0; 4])) {
                text if long && breaks(c) => text + "\\allowbreak{}",
                text => text,
            })
            .collect()
    };
    let words: Vec<String> = text.split([' ', '\n']).map(word).collect();
    words.join(" ")
}

/// The columns: as wide as their cells, and text wrapped where they would not fit.
fn specification(table: &Table) -> String {
    let all = 0..table.head.len();
    let wraps = |c: &usize| !table.numeric[*c] && table.column_width(*c) > NARROW;
    let wrapped = all.clone().filter(wraps).count();
    let narrow = all.clone().filter(|c| !wraps(c)).map(|c| least(table, c));
    let taken = narrow.sum::<usize>() + GAP * table.head.len();
    let wide: usize = all
        .clone()
        .filter(wraps)
        .map(|c| table.column_width(c))
        .sum();
    // Each has the least that it needs; the rest goes by width.
    let left = LINE.saturating_sub(taken + wrapped * NARROW);
    let column = |c: usize| {
        if !wraps(&c) || fits(table) {
            return if table.numeric[c] { "r" } else { "l" }.to_owned();
        }
        let more = left as f64 * table.column_width(c) as f64 / wide.max(1) as f64;
        let share = (NARROW as f64 + more) / LINE as f64;
        format!(">{{\\raggedright\\arraybackslash}}p{{{share:.3}\\linewidth}}")
    };
    all.map(column).collect()
}

/// The head of a column, in lines where the columns would not fit.
fn head(table: &Table, column: usize) -> String {
    let head = &table.head[column];
    if !table.numeric[column] || fits(table) || !head.contains([' ', '\n']) {
        return escaped(head);
    }
    let most = least(table, column);
    let mut lines: Vec<String> = Vec::new();
    for word in head.split([' ', '\n']) {
        match lines.last_mut() {
            Some(line) if text_width(line) + 1 + text_width(word) <= most => {
                let _ = write!(line, " {word}");
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    format!("\\shortstack[r]{{{}}}", lines.join("\\\\"))
}

/// The letters and digits of a title, for a label.
fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|w| !w.is_empty()).take(6).collect();
    if words.is_empty() {
        return "korfinsts".into();
    }
    words.join("-").to_lowercase()
}

/// Whether pdflatex lacks a letter of the table.
fn needs_xelatex(table: &Table) -> bool {
    let cells = table.rows.iter().flatten();
    let mut texts = cells.chain(&table.head).chain([&table.title]);
    texts.any(|text| escaped(text).chars().any(|c| c > '\u{17F}'))
}

/// Text in which no letter is a command, and which pdflatex sets where it is Latin.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let math = match c {
            'ρ' => "\\rho",
            'Δ' => "\\Delta",
            'α' => "\\alpha",
            '−' => "-",
            '±' => "\\pm",
            '×' => "\\times",
            '⟨' => "\\langle",
            '⟩' => "\\rangle",
            '≠' => "\\neq",
            '≤' => "\\leq",
            '≥' => "\\geq",
            '→' => "\\rightarrow",
            '√' => "\\surd",
            '·' => "\\cdot",
            '<' => "<",
            '>' => ">",
            '|' => "|",
            '*' => "^{*}",
            '†' => "^{\\dagger}",
            _ => {
                match c {
                    '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
                    '~' => out.push_str("\\textasciitilde{}"),
                    '^' => out.push_str("\\textasciicircum{}"),
                    '\\' => out.push_str("\\textbackslash{}"),
                    '–' => out.push_str("--"),
                    '—' => out.push_str("---"),
                    '…' => out.push_str("\\ldots{}"),
                    '“' => out.push_str("``"),
                    '”' => out.push_str("''"),
                    '’' => out.push('\''),
                    '\n' | '\r' | '\t' => out.push(' '),
                    // A control character ends the run of LaTeX.
                    c if c.is_control() => {}
                    // What opens an optional argument after `\\`.
                    '[' => out.push_str("{[}"),
                    c => out.push(c),
                }
                continue;
            }
        };
        let _ = write!(out, "${math}$");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wide_is_wrapped_or_follows() {
        let mut wide = Table::new("Wide & long", &["name", "#a b", "note"]);
        for _ in 0..50 {
            wide.push(vec!["x".into(), "1".into(), "word ".repeat(40)]);
        }
        let text = wide.to_latex();
        assert_eq!(text.matches("\\begin{tabular}").count(), 2, "two pages");
        assert!(text.contains("p{0."), "{text}");
        assert!(text.contains("\\label{tab:wide-long}\n") && text.contains("wide-long-2}"));
        let heads: Vec<String> = (0..20).map(|i| format!("#column {i}")).collect();
        let heads: Vec<&str> = ["name"]
            .into_iter()
            .chain(heads.iter().map(String::as_str))
            .collect();
        let mut many = Table::new("", &heads);
        many.push(vec!["0.1234".to_owned(); 21]);
        let text = many.to_latex();
        assert!(text.matches("\\begin{tabular}").count() > 1, "{text}");
        for line in text.lines().filter(|l| l.contains(" & ")) {
            assert!(line.split(" & ").count() <= 10, "{line}");
        }
    }

    #[test]
    fn symbols_are_commands_and_hangul_asks_for_xelatex() {
        for (text, latex) in [
            ("a_b & 50 %", "a\\_b \\& 50 \\%"),
            ("NFC≠NFD", "NFC$\\neq$NFD"),
            (".77±.03*†", ".77$\\pm$.03$^{*}$$^{\\dagger}$"),
            ("[0.1, 0.2]", "{[}0.1, 0.2]"),
            ("a\u{1}b\nc", "ab c"),
        ] {
            assert_eq!(escaped(text), latex);
        }
        let of = |title: &str| Table::new(title, &["x"]).to_latex();
        assert!(of("금융").starts_with("% compile with xelatex"));
        assert!(!of("ρ ≠ Δ …").contains("xelatex"));
    }
}
