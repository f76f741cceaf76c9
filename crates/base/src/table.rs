//! Tables of text cells and their exporters. One exporter is one function.
//!
//! Ground floor: imports no room.

use super::text::printable;
use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, presets};

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
}

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
        filter(&mut self.head);
        self.rows.iter_mut().for_each(filter);
        let mut kept = keep.iter();
        self.numeric.retain(|_| *kept.next().unwrap_or(&true));
        self
    }

    /// For a terminal: aligned by display width, so that Hangul lines up.
    #[must_use]
    pub fn to_terminal(&self) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()))
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(self.head.iter().map(|cell| Cell::new(printable(cell))));
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
        for row in &self.rows {
            out.push_str(&line(row));
        }
        out
    }

    /// A `LaTeX` table (package booktabs).
    #[must_use]
    pub fn to_latex(&self) -> String {
        let columns: String = self
            .numeric
            .iter()
            .map(|n| if *n { 'r' } else { 'l' })
            .collect();
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|c| latex(c)).collect();
            format!("{} \\\\\n", cells.join(" & "))
        };
        let mut out = format!(
            "\\begin{{table}}\n\\caption{{{}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n",
            latex(&self.title),
            line(&self.head)
        );
        for row in &self.rows {
            out.push_str(&line(row));
        }
        out.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
        out
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

fn latex(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '\\' => out.push_str("\\textbackslash{}"),
            'ρ' => out.push_str("$\\rho$"),
            'Δ' => out.push_str("$\\Delta$"),
            '−' => out.push_str("$-$"),
            '±' => out.push_str("$\\pm$"),
            '†' => out.push_str("$\\dagger$"),
            '≠' => out.push_str("$\\neq$"),
            c => out.push(c),
        }
    }
    out
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
