//! Tables of text cells and their exporters. One exporter is one function.
//!
//! Ground floor: imports no room.

use super::text::printable;

mod latex;

pub use latex::text_width;

use std::collections::BTreeSet;

use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Width, presets,
};

/// A table of text cells, ready for any exporter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Title above the table.
    pub title: String,
    /// Column heads.
    pub head: Vec<String>,
    /// Rows, each as long as `head`.
    pub rows: Vec<Vec<String>>,
    /// Columns whose cells are numbers: aligned right.
    pub numeric: Vec<bool>,
    /// Cells that Markdown and LaTeX set in bold, by row and column.
    pub bold: BTreeSet<(usize, usize)>,
}

/// A text in lines of at most `width` characters of a terminal, cut at spaces; lines after the first begin
/// with `indent` spaces. A longer word is not cut.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for (at, word) in text.split(' ').enumerate() {
        let length = text_width(word);
        if used > indent && used + 1 + length > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if at > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

/// A column of text that is wider than this may be wrapped, in characters.
const WRAPPED: usize = 16;

impl Table {
    /// An empty table; a head that starts with `#` marks a numeric column.
    #[must_use]
    pub fn new(title: &str, head: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            head: head
                .iter()
                .map(|h| h.trim_start_matches('#').to_owned())
                .collect(),
            rows: Vec::new(),
            numeric: head.iter().map(|h| h.starts_with('#')).collect(),
            bold: BTreeSet::new(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(
            row.len(),
            self.head.len(),
            "a row has as many cells as the head"
        );
        self.rows.push(row);
    }

    /// The table without columns whose cells are all empty.
    #[must_use]
    pub fn without_empty_columns(mut self) -> Self {
        let keep: Vec<bool> = (0..self.head.len())
            .map(|c| self.rows.iter().any(|r| !r[c].is_empty()))
            .collect();
        let filter = |row: &mut Vec<String>| {
            let mut kept = keep.iter();
            row.retain(|_| *kept.next().unwrap_or(&true));
        };
        let kept: Vec<usize> = (0..keep.len()).filter(|&c| keep[c]).collect();
        let place = |column: usize| kept.iter().position(|&c| c == column);
        let bold = self.bold.iter();
        self.bold = bold
            .filter_map(|&(row, column)| Some((row, place(column)?)))
            .collect();
        filter(&mut self.head);
        self.rows.iter_mut().for_each(filter);
        let mut kept = keep.iter();
        self.numeric.retain(|_| *kept.next().unwrap_or(&true));
        self
    }

    /// The table with every text of it as `say` has it: title, heads and cells.
    #[must_use]
    pub fn said(mut self, say: impl Fn(&str) -> String) -> Self {
        let cells = self.rows.iter_mut().flatten();
        for text in cells.chain(&mut self.head).chain([&mut self.title]) {
            *text = say(text);
        }
        self
    }

    /// Columns that are repeated where a table is cut: as many of the text before the first number as tell
    /// the rows apart; at least one.
    fn lead(&self) -> usize {
        let text = self.numeric.iter().take_while(|n| !**n).count();
        let apart = |lead: &usize| {
            let mut seen = BTreeSet::new();
            self.rows.iter().all(|row| seen.insert(&row[..*lead]))
        };
        let lead = (1..text).find(apart).unwrap_or(text);
        lead.max(1).min(self.head.len())
    }

    /// The columns in groups that fit, each with the leading columns of text.
    fn groups(&self, fits: impl Fn(&[usize]) -> bool) -> Vec<Vec<usize>> {
        let lead: Vec<usize> = (0..self.lead()).collect();
        let mut groups = Vec::new();
        let mut taken = lead.clone();
        for column in self.lead()..self.head.len() {
            taken.push(column);
            if taken.len() > lead.len() + 1 && !fits(&taken) {
                taken.pop();
                groups.push(std::mem::replace(&mut taken, lead.clone()));
                taken.push(column);
            }
        }
        groups.push(taken);
        groups
    }

    /// Some of its columns.
    fn columns(&self, columns: &[usize]) -> Self {
        let pick = |row: &Vec<String>| columns.iter().map(|&c| row[c].clone()).collect();
        let place = |column: usize| columns.iter().position(|&c| c == column);
        Self {
            title: self.title.clone(),
            head: pick(&self.head),
            rows: self.rows.iter().map(pick).collect(),
            numeric: columns.iter().map(|&c| self.numeric[c]).collect(),
            bold: self
                .bold
                .iter()
                .filter_map(|&(row, column)| Some((row, place(column)?)))
                .collect(),
        }
    }

    /// For a terminal of `width` characters: columns of text are wrapped where that suffices, else
    /// the columns follow one another in several tables.
    #[must_use]
    pub fn to_terminal_within(&self, width: usize) -> String {
        if text_width(&self.title) > width {
            let mut titled = self.clone();
            titled.title.clear();
            let title = wrap(&printable(&self.title), width, 2);
            return format!("{title}\n{}", titled.to_terminal_within(width));
        }
        if self.width() <= width {
            return self.to_terminal();
        }
        let wide = |c: &usize| !self.numeric[*c] && self.column_width(*c) > WRAPPED;
        let wraps = (0..self.head.len()).filter(wide).count();
        let fixed = (0..self.head.len()).filter(|c| !wide(c));
        let fixed: usize = fixed.map(|c| self.column_width(c)).sum();
        if wraps > 0 && fixed + wraps * WRAPPED + 3 * self.head.len() <= width {
            return self.terminal(Some(width));
        }
        let fits = |columns: &[usize]| self.columns(columns).width() <= width;
        let mut groups = self.groups(fits).into_iter();
        let first = groups
            .next()
            .map(|g| self.columns(&g).terminal(Some(width)));
        let rest = groups.map(|group| {
            let mut table = self.columns(&group);
            table.title.clear();
            table.terminal(Some(width))
        });
        first.into_iter().chain(rest).collect()
    }

    /// Characters of its widest line in a terminal: the rules are as wide as the table.
    #[must_use]
    pub fn width(&self) -> usize {
        let text = self.to_terminal();
        let rules = text.lines().filter(|line| line.starts_with('─'));
        rules.map(|line| line.chars().count()).max().unwrap_or(0)
    }

    fn column_width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| &row[column]);
        let all = cells.chain([&self.head[column]]);
        all.map(|text| text_width(text)).max().unwrap_or(0)
    }

    /// For a terminal: aligned by display width, so that Hangul lines up.
    #[must_use]
    pub fn to_terminal(&self) -> String {
        self.terminal(None)
    }

    /// The same, with columns of text wrapped to a width where one is given.
    fn terminal(&self, width: Option<usize>) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()))
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(self.head.iter().map(|cell| Cell::new(printable(cell))));
        if let Some(width) = width {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        for row in &self.rows {
            table.add_row(row.iter().zip(&self.numeric).map(|(cell, numeric)| {
                let align = if *numeric {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                };
                Cell::new(printable(cell)).set_alignment(align)
            }));
        }
        if width.is_some() {
            for (at, column) in table.column_iter_mut().enumerate() {
                column.set_constraint(if self.numeric[at] || self.column_width(at) <= WRAPPED {
                    ColumnConstraint::ContentWidth
                } else {
                    ColumnConstraint::LowerBoundary(Width::Fixed(WRAPPED as u16))
                });
            }
        }
        let title = if self.title.is_empty() {
            String::new()
        } else {
            format!("{}\n", printable(&self.title))
        };
        format!("{title}{table}\n")
    }

    /// A Markdown table under its title.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|c| markdown(c)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule: Vec<String> = self
            .numeric
            .iter()
            .map(|numeric| {
                if *numeric {
                    "---:".into()
                } else {
                    "---".into()
                }
            })
            .collect();
        let mut out = String::new();
        if !self.title.is_empty() {
            out = format!("**{}**\n\n", self.title);
        }
        out.push_str(&line(&self.head));
        out.push_str(&line(&rule));
        for (at, row) in self.rows.iter().enumerate() {
            let strong = |(column, cell): (usize, &String)| {
                if self.bold.contains(&(at, column)) {
                    format!("**{cell}**")
                } else {
                    cell.clone()
                }
            };
            let row: Vec<String> = row.iter().enumerate().map(strong).collect();
            out.push_str(&line(&row));
        }
        out
    }

    /// `LaTeX` tables (packages booktabs and array) with a caption and a label, none wider than the
    /// text and none longer than a page: what is too wide is wrapped, else it follows in a table
    /// of its own.
    #[must_use]
    pub fn to_latex(&self) -> String {
        latex::render(self)
    }

    /// Comma separated values with a header line.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let wrote = writer.write_record(&self.head).and_then(|()| {
            self.rows
                .iter()
                .try_for_each(|row| writer.write_record(row.iter().map(|c| plain(c))))
        });
        wrote.expect("writing to memory does not fail");
        let bytes = writer
            .into_inner()
            .expect("flushing to memory does not fail");
        String::from_utf8(bytes).expect("cells are UTF-8")
    }
}

/// A cell in which Markdown finds no markup that could hide or load anything: no column, tag, link
/// or image.
fn markdown(cell: &str) -> String {
    cell.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('\n', " ")
        .replace('<', "&lt;")
        .replace("](", "]\\(")
}

/// A cell that a spreadsheet would run as a formula gets an apostrophe before it; numbers do not.
fn plain(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
        && cell.parse::<f64>().is_err();
    if formula {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("ρ & co", &["encoder", "#ρ", "note"]);
        table.push(vec!["한국|모델".into(), "-0.5".into(), String::new()]);
        table.push(vec!["=cmd()".into(), "0.25".into(), String::new()]);
        table
    }

    #[test]
    fn each_format_escapes_its_own() {
        let table = table();
        assert!(table.to_markdown().contains("| 한국\\|모델 | -0.5 |  |"));
        assert!(table.to_latex().contains("\\caption{$\\rho$ \\& co}"));
        assert_eq!(
            table.to_csv(),
            "encoder,ρ,note\n한국|모델,-0.5,\n'=cmd(),0.25,\n"
        );
    }

    #[test]
    fn no_cell_holds_markup_or_a_formula() {
        for (cell, markdown, csv) in [
            ("<img src=x>", "&lt;img src=x>", "<img src=x>"),
            ("![x](http://y)", "![x]\\(http://y)", "![x](http://y)"),
            ("a\\|b", "a\\\\\\|b", "a\\|b"),
            ("＝1+1", "＝1+1", "'＝1+1"),
            ("-1e3", "-1e3", "-1e3"),
            ("-1+cmd", "-1+cmd", "'-1+cmd"),
        ] {
            let mut table = Table::new("", &["x"]);
            table.push(vec![cell.into()]);
            assert!(table.to_markdown().ends_with(&format!("| {markdown} |\n")));
            assert_eq!(table.to_csv(), format!("x\n{csv}\n"));
        }
    }

    #[test]
    fn a_table_for_a_narrow_terminal_is_no_wider() {
        let title = "a title of twelve words which is wider than the terminal that prints it";
        let mut table = Table::new(
            title,
            &["id", "name", "language", "#pairs", "licence", "rows"],
        );
        for id in ["first", "second", "a-third-one"] {
            let cells = [
                id,
                "A suite with a longer name",
                "kor-Hang",
                "1379",
                "CC-BY-SA-4.0",
            ];
            let rows = "korfinsts suite fetch a-third-one";
            table.push(cells.into_iter().chain([rows]).map(str::to_owned).collect());
        }
        for width in [50, 60, 80, 120] {
            let text = table.to_terminal_within(width);
            let widest = text.lines().map(text_width).max().unwrap_or(0);
            assert!(widest <= width, "{width}: {widest}\n{text}");
        }
        // What is repeated is what tells the rows apart.
        assert_eq!(table.lead(), 1);
        table.rows[0][0] = "second".into();
        assert_eq!(table.lead(), 3);
        assert_eq!(wrap("one two three", 8, 2), "one two\n  three");
        assert_eq!(wrap("한국어 문장", 8, 0), "한국어\n문장");
    }

    #[test]
    fn empty_columns_go() {
        let table = table().without_empty_columns();
        assert_eq!(table.head, ["encoder", "ρ"]);
        assert_eq!(table.rows[0], ["한국|모델", "-0.5"]);
    }

    #[test]
    fn hangul_takes_two_columns_in_a_terminal() {
        let lines: Vec<String> = table().to_terminal().lines().map(str::to_owned).collect();
        let rho = |line: &str, mark: &str| {
            let at = line.find(mark).expect("the mark");
            line[..at]
                .chars()
                .map(|c| 1 + usize::from(matches!(c, '가'..='힣')))
                .sum::<usize>()
        };
        let ends: Vec<usize> = [("-0.5", 4), ("0.25", 4)]
            .iter()
            .map(|(mark, width)| {
                let line = lines.iter().find(|l| l.contains(mark)).expect("a row");
                rho(line, mark) + width
            })
            .collect();
        assert_eq!(ends[0], ends[1]);
    }
}
