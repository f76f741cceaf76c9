//! What happened to every document: `report.json`, `report.md`, `report.html`.
//!
//! To add a section: a method that gives a [`Table`] and its line in [`Report::tables`].

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::histogram::{Histogram, shape};
use super::join::Filtered;
use super::pool::Group;
use super::quality::{Bound, CHECKS};
use super::setup::FilterPlan;
use super::sift::Tally;
use super::step;
use super::{MineError, Place, RunFolder};
use korfinsts_base::table::Table;
use korfinsts_base::{fs, json, template};

/// Records before filtering, passages, triplets: the paper's Section 3.1.
const PAPER: [f64; 3] = [2_460_000.0, 46_100.0, 18_800.0];

/// Everything a report shows.
#[derive(Debug, Clone)]
pub struct Report {
    plan: FilterPlan,
    filtered: Filtered,
    generation: Option<Value>,
    archives: Vec<Value>,
    agreement: Option<Value>,
}

/// Whole numbers with thin gaps left out: what a table aligns.
fn count(n: u64) -> String {
    n.to_string()
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    format!("{:.1}", 100.0 * part as f64 / whole as f64)
}

impl Report {
    /// Reads what the steps of a run folder left.
    ///
    /// # Errors
    /// When the filtering steps left nothing, or a file is damaged.
    pub fn of(folder: &RunFolder) -> Result<Self, MineError> {
        if !fs::exists(&folder.filter()) {
            return Err(MineError::usage(
                format!("`{}` holds no filtered corpora", folder.path().display()),
                "run `korfinsts mine filter` first, or name its folder with `--dir`",
            ));
        }
        let plan = FilterPlan::read(folder)?;
        let filtered: Filtered = read(&folder.filter())?;
        let generation = optional(&folder.generation())?;
        let agreement = optional(&folder.audit().join("agreement.json"))?;
        let mut archives = Vec::new();
        for corpus in &plan.corpora {
            let path = folder.corpora().join(&corpus.id).join("archive.json");
            archives.extend(optional(&path)?);
        }
        Ok(Self {
            plan,
            filtered,
            generation,
            archives,
            agreement,
        })
    }

    /// Writes all formats into the run folder; `templates` replaces the built-in template.
    ///
    /// # Errors
    /// When a file cannot be written, or the template cannot be rendered.
    pub fn write(&self, folder: &RunFolder, templates: Option<&Path>) -> Result<(), MineError> {
        let json = json::pretty(&self.to_json());
        fs::write_atomic(&folder.report("json"), &json)?;
        fs::write_atomic(&folder.report("md"), self.to_markdown().as_bytes())?;
        let html = self.to_html(templates)?;
        fs::write_atomic(&folder.report("html"), html.as_bytes())?;
        Ok(())
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "schema": 1,
            "plan": self.plan,
            "filtered": self.filtered,
            "archives": self.archives,
            "agreement": self.agreement,
            "generation": self.generation,
            "paper": {"records": PAPER[0], "passages": PAPER[1], "triplets": PAPER[2]},
        })
    }

    /// The report as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let tables: Vec<String> = self.tables().iter().map(Table::to_markdown).collect();
        format!("# From corpora to triplets\n\n{}", tables.join("\n"))
    }

    /// The report for a terminal.
    #[must_use]
    pub fn to_terminal(&self) -> String {
        let tables: Vec<String> = self.tables().iter().map(Table::to_terminal).collect();
        tables.join("\n")
    }

    /// The report as one HTML page.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub fn to_html(&self, templates: Option<&Path>) -> Result<String, MineError> {
        const NAME: &str = "mine/report.html";
        let tables: Vec<Value> = self
            .tables()
            .iter()
            .map(
                |t| json!({"title": t.title, "head": t.head, "rows": t.rows, "numeric": t.numeric}),
            )
            .collect();
        let text = template::source(NAME, templates)?;
        Ok(template::render(NAME, &text, &json!({"tables": tables}))?)
    }

    /// The sections in order; those with nothing in them left out.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = vec![
            self.waterfall(),
            self.yields("source", |g| g.source.clone()),
            self.yields("language", |g| g.language.clone()),
            self.yields("licence", |g| g.licence.clone()),
            self.yields("corpus", |g| g.corpus.clone()),
            self.reasons(),
            self.row_lengths(),
            self.token_lengths(),
            self.measured(),
            self.contamination(),
            self.provenance(),
        ];
        tables.extend(self.generated());
        tables.extend(self.audited());
        tables.retain(|t| !t.rows.is_empty());
        tables
    }

    fn total(&self) -> Tally {
        let mut total = Tally::default();
        for (_, tally) in &self.filtered.groups {
            total.merge(tally);
        }
        total
    }

    /// Documents left after each step, next to the paper's.
    #[must_use]
    pub fn waterfall(&self) -> Table {
        let mut table = Table::new(
            "Documents after each step",
            &["step", "#dropped", "#left", "#% of rows", "#the paper's"],
        );
        let total = self.total();
        let mut left = total.rows;
        table.push(vec![
            "rows read".to_owned(),
            String::new(),
            count(left),
            percent(left, total.rows),
            format!("{:.0}", PAPER[0]),
        ]);
        let last = step::ids().last().unwrap_or_default();
        for id in step::ids() {
            let dropped = sum(total.dropped.get(id));
            left -= dropped.min(left);
            let paper = if id == last {
                format!("{:.0}", PAPER[1])
            } else {
                String::new()
            };
            table.push(vec![
                id.to_owned(),
                count(dropped),
                count(left),
                percent(left, total.rows),
                paper,
            ]);
        }
        if let Some(triplets) = self.generated_count("triplets") {
            table.push(vec![
                "triplets".to_owned(),
                String::new(),
                count(triplets),
                percent(triplets, total.rows),
                format!("{:.0}", PAPER[2]),
            ]);
        }
        table
    }

    fn generated_count(&self, key: &str) -> Option<u64> {
        self.generation.as_ref()?.get(key)?.as_u64()
    }

    /// Documents left after each step, by one property of theirs.
    fn yields(&self, name: &str, of: fn(&Group) -> String) -> Table {
        let ids: Vec<&str> = step::ids().collect();
        let mut head = vec![name.to_owned(), "#rows".to_owned()];
        head.extend(ids.iter().map(|id| format!("#{id}")));
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let mut table = Table::new(&format!("Documents left, by {name}"), &head);
        let mut groups: BTreeMap<String, Tally> = BTreeMap::new();
        for (group, tally) in &self.filtered.groups {
            groups.entry(of(group)).or_default().merge(tally);
        }
        for (name, tally) in groups {
            let mut left = tally.rows;
            let mut row = vec![name, count(left)];
            for id in &ids {
                left -= sum(tally.dropped.get(*id)).min(left);
                row.push(count(left));
            }
            table.push(row);
        }
        table
    }

    fn reasons(&self) -> Table {
        let mut table = Table::new(
            "Why documents were dropped or changed",
            &["step", "reason", "#documents", "#% of rows"],
        );
        let total = self.total();
        for id in step::ids() {
            for (reason, n) in total.dropped.get(id).into_iter().flatten() {
                table.push(vec![
                    id.to_owned(),
                    reason.clone(),
                    count(*n),
                    percent(*n, total.rows),
                ]);
            }
        }
        for (reason, n) in &total.masked {
            table.push(vec![
                "personal".into(),
                format!("{reason}: masked, not dropped"),
                count(*n),
                percent(*n, total.rows),
            ]);
        }
        table
    }

    fn row_lengths(&self) -> Table {
        let mut table = Table::new("Bytes of the rows read", &["bytes", "#rows", "#%"]);
        let total = self.total();
        for (bits, n) in &total.lengths {
            let least = if *bits == 0 { 0 } else { 1_u64 << (bits - 1) };
            let most = (1_u64 << bits) - 1;
            table.push(vec![
                format!("{least}–{most}"),
                count(*n),
                percent(*n, total.rows),
            ]);
        }
        table
    }

    fn token_lengths(&self) -> Table {
        let mut table = Table::new(
            "Tokens of the passages (an upper bound where lines were counted one by one)",
            &[
                "source", "#least", "#5 %", "#25 %", "#median", "#75 %", "#95 %", "#most",
            ],
        );
        for (source, at) in &self.filtered.tokens {
            let mut row = vec![source.clone()];
            row.extend(
                [0, 1, 5, 10, 15, 19, 20]
                    .iter()
                    .filter_map(|i| at.get(*i))
                    .map(u32::to_string),
            );
            if row.len() == 8 {
                table.push(row);
            }
        }
        table
    }

    /// What the quality step measured, by source and language.
    fn measured(&self) -> Table {
        let mut table = Table::new(
            "What quality was measured (quantiles are lower edges of steps; beyond: a text may be beyond several limits)",
            &[
                "source",
                "language",
                "figure",
                "from 0 up",
                "#texts",
                "#5 %",
                "#median",
                "#95 %",
                "#99 %",
                "#limit",
                "#beyond",
                "#%",
            ],
        );
        let mut groups: BTreeMap<(&str, &str), BTreeMap<&str, Histogram>> = BTreeMap::new();
        for (group, tally) in &self.filtered.groups {
            let own = groups.entry((&group.source, &group.language)).or_default();
            for (metric, histogram) in &tally.measured {
                own.entry(metric).or_default().merge(histogram);
            }
        }
        for ((source, language), figures) in groups {
            for (metric, histogram) in figures {
                let at = |share| {
                    histogram
                        .quantile(share)
                        .map(|x| format!("{x:.3}"))
                        .unwrap_or_default()
                };
                table.push(vec![
                    source.to_owned(),
                    language.to_owned(),
                    metric.to_owned(),
                    histogram.shape(),
                    count(histogram.total()),
                    at(0.05),
                    at(0.5),
                    at(0.95),
                    at(0.99),
                    self.limit(source, language, metric),
                    count(histogram.beyond),
                    percent(histogram.beyond, histogram.total()),
                ]);
            }
        }
        table
    }

    /// The limit of this run on a figure: `≤ 0.350`, `≥ 0.500`.
    fn limit(&self, source: &str, language: &str, metric: &str) -> String {
        if metric == step::quality::BITS {
            let mut learned = self.plan.entropy.iter();
            return learned
                .find(|e| e.source == source && e.language == language)
                .map(|e| format!("≤ {:.3}", e.max_bits_per_character))
                .unwrap_or_default();
        }
        let quality = self.plan.quality.iter().find(|q| q.is_of(language));
        let check = CHECKS.iter().find(|c| c.metric == metric);
        let (Some(quality), Some(check)) = (quality, check) else {
            return String::new();
        };
        match (check.bound)(quality, &quality.limits_of(source)) {
            Bound::Open => String::new(),
            Bound::Most(most) => format!("≤ {most:.3}"),
            Bound::Least(least) => format!("≥ {least:.3}"),
        }
    }

    fn contamination(&self) -> Table {
        let mut table = Table::new(
            &format!(
                "Documents that hold a text of a suite ({} texts of {} splits looked for{})",
                self.plan.suite_texts,
                self.plan.suites.len(),
                if self.plan.absent_suites.is_empty() {
                    String::new()
                } else {
                    format!("; not at hand: {}", self.plan.absent_suites.join(", "))
                }
            ),
            &["suite", "how", "#documents"],
        );
        for (suite, reasons) in &self.filtered.contaminated {
            for (reason, n) in reasons {
                table.push(vec![suite.clone(), reason.clone(), count(*n)]);
            }
        }
        if table.rows.is_empty() {
            table.push(vec!["none".to_owned(), String::new(), count(0)]);
        }
        table
    }

    fn provenance(&self) -> Table {
        let mut table = Table::new("Where it came from", &["what", "which", "sha256 or commit"]);
        for corpus in &self.plan.corpora {
            table.push(vec![
                format!("corpus {}", corpus.id),
                corpus.licence.clone(),
                corpus.commit.clone().unwrap_or_default(),
            ]);
        }
        for archive in &self.archives {
            let corpus = archive["corpus"].as_str().unwrap_or_default();
            for file in archive["files"].as_array().into_iter().flatten().take(20) {
                table.push(vec![
                    format!("{corpus}: {}", file["name"].as_str().unwrap_or_default()),
                    format!("{} bytes", file["bytes"]),
                    file["sha256"].as_str().unwrap_or_default().to_owned(),
                ]);
            }
        }
        for (file, sha256) in &self.plan.tokenizer {
            table.push(vec![
                format!("tokenizer {}", self.plan.tokenizer_name),
                file.clone(),
                sha256.clone(),
            ]);
        }
        table
    }

    /// The sections of the generating steps, where they have run.
    fn generated(&self) -> Vec<Table> {
        let Some(generation) = &self.generation else {
            return Vec::new();
        };
        let list = |key: &str| generation[key].as_array().cloned().unwrap_or_default();
        let mut steps = Table::new(
            "Generating, by step",
            &[
                "step", "source", "language", "licence", "#entered", "#passed",
            ],
        );
        for step in list("steps") {
            steps.push(
                ["step", "source", "language", "licence", "entered", "passed"]
                    .iter()
                    .map(|key| shown(&step[*key]))
                    .collect(),
            );
        }
        let mut judges = Table::new(
            "What judges said, by total",
            &["kind", "#kept from", "0 to 10", "", "#unscored", "#kept"],
        );
        for judge in list("judges") {
            let counts = judge["histogram"].as_array().into_iter().flatten();
            let counts: Vec<u64> = counts.filter_map(Value::as_u64).collect();
            let histogram: Vec<String> = counts.iter().map(u64::to_string).collect();
            judges.push(vec![
                shown(&judge["kind"]),
                shown(&judge["threshold"]),
                histogram.join(" "),
                shape(&counts),
                shown(&judge["unscored"]),
                shown(&judge["accepted"]),
            ]);
        }
        let mut sides = Table::new(
            "Positives and negatives beside their anchors",
            &["what", "side", "#mean", "#5 %", "#median", "#95 %"],
        );
        for what in ["overlap", "length"] {
            for side in ["positive", "negative"] {
                sides
                    .rows
                    .extend(distribution(&[what, side], &generation[what][side]));
            }
        }
        sides.rows.extend(distribution(
            &["edit position", "negative"],
            &generation["edit_position"],
        ));
        sides.rows.extend(distribution(
            &["embedding margin", ""],
            &generation["embedding_margin"]["margin"],
        ));
        let mut facts = Table::new("Shortcut, leakage and cost", &["what", "value"]);
        for path in [
            "status",
            "mix",
            "shortcut/passed",
            "shortcut/overlap_auc",
            "shortcut/length_auc",
            "shortcut/negative_nearer",
            "shortcut/naive",
            "leakage/dropped",
            "calibration/accuracy",
            "cost/prompt_tokens",
            "cost/completion_tokens",
            "cost/dollars",
            "cost/dollars_per_triplet",
        ] {
            if let Some(value) = generation.pointer(&format!("/{path}")) {
                facts.push(vec![
                    path.replace('/', ": ").replace('_', " "),
                    shown(value),
                ]);
            }
        }
        let probes = generation["shortcut"]["probes"].as_object();
        for (language, found) in probes.into_iter().flatten() {
            for probe in ["logistic", "boosted", "characters", "words"] {
                let what = format!("probe: {probe}, {language}: AUC");
                facts.push(vec![what, shown(&found[probe]["auc"])]);
            }
        }
        let beyond = generation["beyond_rules"].as_object();
        for (variant, maker) in beyond.into_iter().flatten() {
            let what = format!("no rule makes {variant} of a document");
            facts.push(vec![what, format!("only {}", shown(maker))]);
        }
        vec![steps, judges, sides, facts]
    }

    fn audited(&self) -> Option<Table> {
        let agreement = self.agreement.as_ref()?;
        let mut table = Table::new(
            "Agreement of the raters",
            &["question", "#units", "#alpha", "#low", "#high"],
        );
        for row in agreement["questions"].as_array()? {
            table.push(
                ["question", "units", "alpha", "low", "high"]
                    .iter()
                    .map(|key| shown(&row[*key]))
                    .collect(),
            );
        }
        Some(table)
    }
}

fn sum(reasons: Option<&BTreeMap<String, u64>>) -> u64 {
    reasons.into_iter().flatten().map(|(_, n)| n).sum()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Number(n) if n.is_f64() => n.as_f64().map(|x| format!("{x:.4}")).unwrap_or_default(),
        other => other.to_string(),
    }
}

fn distribution(names: &[&str], value: &Value) -> Option<Vec<String>> {
    value.is_object().then(|| {
        let mut row: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        row.extend(
            ["mean", "p05", "p50", "p95"]
                .iter()
                .map(|k| shown(&value[*k])),
        );
        row
    })
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, MineError> {
    serde_json::from_slice(&fs::read(path)?).map_err(|e| {
        MineError::data(
            path,
            Place::Line(e.line() as u64),
            format!("damaged: {e}"),
            Some("run the step that writes it again"),
        )
    })
}

fn optional(path: &Path) -> Result<Option<Value>, MineError> {
    if fs::exists(path) {
        read(path).map(Some)
    } else {
        Ok(None)
    }
}
