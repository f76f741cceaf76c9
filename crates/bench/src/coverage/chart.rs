//! Charts as SVG, from a template: bars of a coverage report, points of coverage against gain.
//!
//! Every name is escaped.

use std::fmt::Write as _;

use korfinsts_base::template;
use serde_json::json;

use super::TokenizerReport;
use super::definitions;
use super::gains::{GainGroup, Measure};

/// The template of both charts.
const TEMPLATE: &str = "coverage.svg";

/// Keys of the definitions that the description of the bars states.
const SHOWN: [&str; 4] = [
    "hangul.raw_any",
    "hangul.decoded_any",
    "tokens_per_eojeol",
    "unknown_rate",
];

const WIDTH: f64 = 760.0;
const LABELS: f64 = 190.0;
const BAR: f64 = 11.0;

/// Text that is safe inside XML.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\r' | '\t' => out.push(' '),
            // XML 1.0 knows no other control characters.
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// The markup of a chart, and how far down it has come.
struct Marks {
    out: String,
    y: f64,
}

impl Marks {
    fn new() -> Self {
        Self {
            out: String::new(),
            y: 8.0,
        }
    }

    /// The whole chart.
    fn fill(&self, id: &str, title: &str, description: &str) -> String {
        let values = json!({
            "id": id,
            "width": format!("{WIDTH:.0}"),
            "height": format!("{:.0}", self.y + 16.0),
            "title": escape(title),
            "description": escape(description),
            "marks": self.out.trim_end(),
        });
        template::source(TEMPLATE, None)
            .and_then(|text| template::render(TEMPLATE, &text, &values))
            .expect("the template ships in the binary and asks for these values alone")
    }

    fn text(&mut self, x: f64, class: &str, extra: &str, text: &str) {
        let _ = writeln!(
            self.out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"{class}\"{extra}>{}</text>",
            self.y,
            escape(text)
        );
    }

    fn heading(&mut self, text: &str) {
        self.y += 22.0;
        self.text(8.0, "ink", " font-weight=\"600\"", text);
        self.y += 8.0;
    }

    fn legend(&mut self, entries: &[(&str, &str)]) {
        self.y += 12.0;
        let mut x = LABELS;
        for (class, text) in entries {
            let _ = writeln!(
                self.out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" class=\"{class}\"/>",
                self.y - 9.0
            );
            self.text(x + 14.0, "soft", "", text);
            x += 26.0 + 7.0 * text.chars().count() as f64;
        }
        self.y += 6.0;
    }

    /// Two bars under each other with their numbers.
    fn bars(&mut self, label: &str, bars: &[(&str, f64, String)], largest: f64) {
        self.y += 6.0;
        let top = self.y;
        let room = WIDTH - LABELS - 130.0;
        for (class, value, number) in bars {
            let width = if largest > 0.0 {
                value / largest * room
            } else {
                0.0
            };
            let _ = writeln!(
                self.out,
                "<rect x=\"{LABELS:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BAR:.1}\" class=\"{class}\"/>",
                self.y
            );
            self.y += BAR - 2.0;
            self.text(LABELS + width + 6.0, "soft", " font-size=\"11\"", number);
            self.y += 4.0;
        }
        let bottom = self.y;
        self.y = f64::midpoint(top, bottom) + 4.0;
        self.text(
            LABELS - 8.0,
            "ink",
            " text-anchor=\"end\"",
            &shortened(label),
        );
        self.y = bottom;
    }
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= 26 {
        label.to_owned()
    } else {
        label.chars().take(25).chain(['…']).collect()
    }
}

/// Bars of Korean entries, raw next to decoded, and of fertility next to the unknown rate for every
/// suite and corpus.
#[must_use]
pub fn coverage(reports: &[TokenizerReport]) -> String {
    let mut marks = Marks::new();
    marks.heading("Entries with Hangul, share of the vocabulary");
    marks.legend(&[("a", "raw: as stored"), ("b", "decoded: as read")]);
    let share = |n: usize, r: &TokenizerReport| n as f64 / r.vocabulary.vocab_size.max(1) as f64;
    let largest = reports
        .iter()
        .map(|r| {
            share(
                r.vocabulary
                    .hangul
                    .decoded_any
                    .max(r.vocabulary.hangul.raw_any),
                r,
            )
        })
        .fold(0.0, f64::max);
    for report in reports {
        let bar = |class, n: usize| {
            let s = share(n, report);
            (class, s, format!("{n} ({:.2} %)", s * 100.0))
        };
        let hangul = &report.vocabulary.hangul;
        marks.bars(
            &report.tokenizer,
            &[bar("a", hangul.raw_any), bar("b", hangul.decoded_any)],
            largest,
        );
    }
    let mut bodies: Vec<&str> = reports
        .iter()
        .flat_map(|r| r.suites.keys().chain(r.corpora.keys()))
        .map(String::as_str)
        .collect();
    bodies.sort_unstable();
    bodies.dedup();
    for body in &bodies {
        marks.heading(&format!("{body}: tokens per eojeol, with the unknown rate"));
        marks.legend(&[
            ("b", "tokens per eojeol"),
            ("bad", "unknown tokens per eojeol"),
        ]);
        let found = |r: &TokenizerReport| {
            let text = r.suites.get(*body).or_else(|| r.corpora.get(*body))?;
            Some((text.tokens_per_eojeol?, text.unknown_rate?))
        };
        let largest = reports
            .iter()
            .filter_map(|r| found(r).map(|f| f.0))
            .fold(0.0, f64::max);
        for report in reports {
            let Some((fertility, unknown)) = found(report) else {
                continue;
            };
            marks.bars(
                &report.tokenizer,
                &[
                    ("b", fertility, format!("{fertility:.2}")),
                    (
                        "bad",
                        fertility * unknown,
                        format!("{:.1} % unknown", unknown * 100.0),
                    ),
                ],
                largest,
            );
        }
    }
    let names: Vec<&str> = reports.iter().map(|r| r.tokenizer.as_str()).collect();
    let defined: Vec<String> = definitions::all()
        .filter(|d| SHOWN.contains(&d.key))
        .map(|d| format!("{}: {}", d.head, d.text))
        .collect();
    marks.fill(
        "coverage",
        "Tokenizer coverage of Korean",
        &format!(
            "Bars for {}: entries with Hangul as stored and as decoded, then tokens per eojeol \
             and unknown rate on {}. {}.",
            names.join(", "),
            if bodies.is_empty() {
                "no text".to_owned()
            } else {
                bodies.join(", ")
            },
            defined.join(". ")
        ),
    )
}

/// Mean gain against the share of Korean entries, raw and decoded joined by a line per model.
#[must_use]
pub fn gains(group: &GainGroup) -> String {
    const TOP: f64 = 70.0;
    const HEIGHT: f64 = 300.0;
    const LEFT: f64 = 70.0;
    let points: Vec<(&str, f64, f64, f64)> = group
        .models
        .iter()
        .filter_map(|m| {
            let gain = m.mean(&group.suites)?;
            let raw = Measure::RawShare.of(m);
            Some((m.name.as_str(), raw, Measure::DecodedShare.of(m), gain))
        })
        .collect();
    let largest = points
        .iter()
        .map(|p| p.1.max(p.2))
        .fold(0.0, f64::max)
        .max(1e-4);
    let low = points.iter().map(|p| p.3).fold(0.0, f64::min) - 0.02;
    let high = points.iter().map(|p| p.3).fold(0.0, f64::max) + 0.02;
    let x = |share: f64| LEFT + share / largest * (WIDTH - LEFT - 190.0);
    let y = |gain: f64| TOP + (high - gain) / (high - low) * HEIGHT;
    let mut marks = Marks::new();
    marks.heading(&format!("{} ({})", group.title, group.badge));
    marks.legend(&[("a", "raw share"), ("b", "decoded share")]);
    let _ = writeln!(
        marks.out,
        "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{zero:.1}\" y2=\"{zero:.1}\" class=\"line\"/>\n\
         <line x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{TOP}\" y2=\"{:.1}\" class=\"line\"/>",
        WIDTH - 20.0,
        TOP + HEIGHT,
        zero = y(0.0),
    );
    for value in [low + 0.02, 0.0, high - 0.02] {
        marks.y = y(value) + 4.0;
        marks.text(
            LEFT - 6.0,
            "soft",
            " text-anchor=\"end\" font-size=\"11\"",
            &format!("{value:+.3}"),
        );
    }
    for (name, raw, decoded, gain) in &points {
        let at = y(*gain);
        let _ = writeln!(
            marks.out,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" class=\"line\"/>\n\
             <rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" class=\"a\"/>\n\
             <circle cx=\"{:.1}\" cy=\"{at:.1}\" r=\"5\" class=\"b\"/>",
            x(*raw),
            x(*decoded),
            x(*raw) - 4.0,
            at - 4.0,
            x(*decoded),
        );
        marks.y = at - 8.0;
        marks.text(
            x(*decoded).max(x(*raw)) + 8.0,
            "ink",
            " font-size=\"11\"",
            name,
        );
    }
    marks.y = TOP + HEIGHT + 20.0;
    marks.text(
        LEFT,
        "soft",
        "",
        &format!(
            "across: Korean entries, 0 to {:.2} % of the vocabulary; up: mean gain over {}",
            largest * 100.0,
            group.suites.join(" and ")
        ),
    );
    let rho = |measure| {
        let gain = if group.suites.len() > 1 {
            "mean"
        } else {
            group.suites.first().map_or("mean", String::as_str)
        };
        group
            .correlation(measure, gain)
            .and_then(|c| Some(format!("{:.2} (p {:.2})", c.rho?, c.p_value?)))
            .unwrap_or_else(|| "none".into())
    };
    let summary = format!(
        "Spearman's rho over {} models: raw {}, decoded {}",
        group.models.len(),
        rho(Measure::RawShare),
        rho(Measure::DecodedShare)
    );
    marks.y += 18.0;
    marks.text(LEFT, "ink", "", &summary);
    marks.fill(
        "gains",
        &format!("Coverage against gain: {}", group.title),
        &format!("{summary}. {}", group.findings.join(". ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(
            escape("<a href=\"x\">&'\u{0}\n"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{FFFD} "
        );
        let marks = Marks {
            out: "{{id}}".into(),
            y: 1.0,
        };
        let filled = marks.fill("i", "{{marks}}", "<b>");
        assert!(
            filled.contains("<title id=\"i-title\">{{marks}}</title>"),
            "{filled}"
        );
        assert!(
            filled.contains("&lt;b&gt;") && filled.contains("\n{{id}}\n"),
            "{filled}"
        );
    }

    #[test]
    fn the_chart_of_gains_has_a_title_a_role_and_every_model() {
        let group = &super::super::gains::paper()[0];
        let svg = gains(group);
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        for needle in [
            "role=\"img\"",
            "<title id=",
            "bge-m3",
            "gte-Qwen2-1.5B-instruct",
        ] {
            assert!(svg.contains(needle), "{needle}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("{{"));
    }
}
