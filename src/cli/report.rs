//! Records to reports: what `eval`, `record show`, `merge` and `leaderboard add` print.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::Args;

use super::Global;
use super::output::{Format, OutputArgs, Table, rendered, terminal_width, wrapped};
use super::progress::rate;
use super::summary::Summary;
use super::texts::texts;
use korfinsts_bench::run::form::EmbeddingDtype;
use korfinsts_bench::run::record::{EncoderFacts, Record, TrainedOn, TripletPart};
use korfinsts_bench::run::scores::{Column, Form, SCORES, Score};
use korfinsts_bench::run::speed::Speed;
use korfinsts_publish::leaderboard::entry::Entry;

/// What is shown besides the summary. JSON and CSV hold everything.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct ShownArgs {
    /// Also show every score
    #[arg(long)]
    pub wide: bool,
    /// Also show the scores by domain and pattern, and the text of every warning
    #[arg(long)]
    pub detail: bool,
}

/// Prints the report of some records, or writes it to the file that is asked for.
///
/// # Errors
/// When a suite on disk is broken, or the report cannot be written.
pub fn emit(
    entries: &[Entry],
    shown: ShownArgs,
    output: &OutputArgs,
    global: &Global,
) -> anyhow::Result<()> {
    let text = render(entries, shown, output.format, &global.data_home()?)?;
    output.emit(&text)
}

/// The report of some records in a format.
fn render(
    entries: &[Entry],
    shown: ShownArgs,
    format: Format,
    data_home: &Path,
) -> anyhow::Result<String> {
    if entries.is_empty() && !matches!(format, Format::Json | Format::Csv) {
        // A shard without work.
        return Ok(String::new());
    }
    let records: Vec<Record> = entries.iter().map(|e| e.record.clone()).collect();
    match format {
        Format::Json => {
            let bytes = korfinsts_bench::run::record::to_json(&records);
            return Ok(String::from_utf8(bytes).expect("JSON is UTF-8"));
        }
        Format::Csv => return Ok(tidy(&records).to_csv()),
        Format::Table | Format::Md | Format::Latex => {}
    }
    let mut out = Summary::new(entries, data_home)?.render(format, terminal_width());
    let mut tables = Vec::from_iter(speed(&records, shown.wide));
    if shown.wide {
        tables.push(scores(&records));
    }
    if shown.detail {
        tables.extend(details(&records));
    }
    if !tables.is_empty() {
        out.push('\n');
        out.push_str(&rendered(&tables, format));
    }
    let warnings = warnings(&records);
    if warnings.is_empty() || format == Format::Latex {
        return Ok(out);
    }
    if !shown.detail {
        let _ = writeln!(out, "{}", wrapped(&counted(&warnings)));
        return Ok(out);
    }
    let (bullet, gap) = if format == Format::Md {
        ("- ", "\n")
    } else {
        ("  - ", "")
    };
    let _ = write!(out, "\n{}\n{gap}", texts().said("warnings"));
    for (place, warning) in warnings {
        let line = format!("{bullet}{place}: {}", texts().said(&warning));
        let _ = match format {
            Format::Table => writeln!(out, "{}", wrapped(&line)),
            _ => writeln!(out, "{line}"),
        };
    }
    Ok(out)
}

/// How many warnings there are, and about what.
fn counted(warnings: &[(String, String)]) -> String {
    let mut places: Vec<(&str, usize)> = Vec::new();
    for (place, _) in warnings {
        match places.iter_mut().find(|(known, _)| known == place) {
            Some((_, count)) => *count += 1,
            None => places.push((place, 1)),
        }
    }
    let of = |&(place, count): &(&str, usize)| {
        let count = count.to_string();
        texts().fill("cli_about", &[("place", place), ("count", &count)])
    };
    let about: Vec<String> = places.iter().map(of).collect();
    let (count, about) = (warnings.len().to_string(), about.join(", "));
    match warnings {
        [(place, _)] => texts().fill("cli_one_warning", &[("place", place)]),
        _ => texts().fill("cli_warnings", &[("count", &count), ("about", &about)]),
    }
}

fn details(records: &[Record]) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut suites: Vec<(&str, &str)> = Vec::new();
    for record in records {
        let suite = (record.suite.id.as_str(), record.suite.split.as_str());
        if !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    for (id, split) in suites {
        let of: Vec<&Record> = records
            .iter()
            .filter(|r| r.suite.id == id && r.suite.split == split)
            .collect();
        tables.extend(domains(&of));
        tables.extend(triplets(&of));
        tables.extend(clusters(&of));
    }
    tables
}

/// A score with four decimals; empty where there is none.
#[must_use]
pub fn score(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| format!("{v:.4}"))
}

fn interval(value: Option<[f64; 2]>) -> String {
    value.map_or_else(String::new, |[low, high]| format!("[{low:.3}, {high:.3}]"))
}

fn percent(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(0.0) => "0 %".into(),
        Some(v) if v < 0.001 => "<0.1 %".into(),
        Some(v) => format!("{:.1} %", 100.0 * v),
    }
}

/// Name of an encoder as a row head, with what tells it from another row of the same name.
fn encoder(record: &Record, records: &[Record]) -> String {
    let e = &record.encoder;
    let twins = records.iter().filter(|r| {
        r.encoder.name_with_form() == e.name_with_form()
            && r.suite.id == record.suite.id
            && r.suite.split == record.suite.split
    });
    let mut name = e.name_with_form();
    if twins.count() > 1 {
        let _ = write!(name, " ({} {})", e.backend, e.protocol);
    }
    if let Some(dtype) = e.dtype.as_deref().filter(|d| *d != "float32") {
        let _ = write!(name, " [{dtype}]");
    }
    if e.endpoint.as_ref().is_some_and(|server| !server.pinned) {
        name.push_str(" [unpinned]");
    }
    name
}

fn suite_name(record: &Record) -> String {
    match record.suite.limit {
        Some(n) => format!("{} {} (first {n})", record.suite.id, record.suite.split),
        None => format!("{} {}", record.suite.id, record.suite.split),
    }
}

fn scores(records: &[Record]) -> Table {
    let columns: Vec<(&Score, Column)> = SCORES
        .iter()
        .filter_map(|score| Some((score, score.report?)))
        .collect();
    let mut head: Vec<String> = ["encoder", "suite", "#pairs", "#ρ", "95 %"]
        .map(str::to_owned)
        .into();
    head.extend(
        columns
            .iter()
            .map(|(_, column)| format!("#{}", column.head)),
    );
    let heads: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new("Spearman of the cosine with the gold scores", &heads);
    for record in records {
        let binary = record.suite.scale == "binary";
        let main = record.scores.cosine_spearman;
        let mut row = vec![
            encoder(record, records),
            suite_name(record),
            record.n_pairs.to_string(),
            main.map_or_else(|| "–".into(), |v| format!("{v:.4}")),
            interval(record.interval.get("cosine_spearman").copied()),
        ];
        row.extend(columns.iter().map(|(row, column)| {
            let value = (row.get)(record).filter(|_| binary || !row.report_binary);
            match column.form {
                Form::Decimal => score(value),
                Form::Percent => percent(value),
            }
        }));
        table.push(row);
    }
    table.without_empty_columns()
}

/// Records whose speed was measured, one for each measurement.
fn measured(records: &[Record]) -> Vec<(&Record, &Speed)> {
    let mut found: Vec<(&Record, &Speed)> = Vec::new();
    for record in records {
        if let Some(speed) = record.speed.as_deref()
            && !found.iter().any(|(_, known)| *known == speed)
        {
            found.push((record, speed));
        }
    }
    found
}

/// Texts per second by language and length, loading and memory; with `wide` also tokens, the numbers of rounds and the
/// share of the machine's peak.
fn speed(records: &[Record], wide: bool) -> Option<Table> {
    let measured = measured(records);
    let (_, first) = measured.first()?;
    let same = measured.iter().all(|(_, speed)| speed.is_comparable(first));
    let place = |speed: &Speed| {
        let lanes = speed.lanes.to_string();
        let values = [("machine", &*speed.machine.sentence()), ("lanes", &lanes)];
        texts().fill("cli_speed_machine", &values)
    };
    let title = if same {
        place(first)
    } else {
        texts().get("cli_speed_machines").to_owned()
    };
    let mut head = vec!["encoder", "texts", "#texts/s", "#tokens/s"];
    if wide {
        head.extend(["#tokens/text", "#rounds", "#of peak"]);
    }
    head.extend(["#load (s)", "#memory (MB)"]);
    if !same {
        head.push("machine");
    }
    let mut table = Table::new(&title, &head);
    for (record, speed) in measured {
        for (at, w) in speed.workloads.iter().enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            let spread = w.round().and_then(|m| m.spread());
            let spread = spread.map_or_else(String::new, |s| format!("±{:.1} %", 100.0 * s));
            let mut row = vec![
                first(encoder(record, records)),
                texts().said(&w.name()),
                rate(w.texts_per_s) + &spread,
                rate(w.tokens_per_s),
            ];
            if wide {
                let share = w.share_of_peak.map(|s| format!("{:.0} %", 100.0 * s));
                row.extend([
                    format!("{:.1}", w.tokens_per_text),
                    w.rounds_s.len().to_string(),
                    share.unwrap_or_default(),
                ]);
            }
            let load = speed.load_s.map(|s| format!("{s:.2}"));
            let memory = speed.megabytes().map(|mb| format!("{mb:.0}"));
            row.extend([load, memory].map(|cell| first(cell.unwrap_or_default())));
            if !same {
                row.push(first(place(speed)));
            }
            table.push(row);
        }
    }
    Some(table.without_empty_columns())
}

fn domains(records: &[&Record]) -> Option<Table> {
    let names: BTreeSet<&str> = records
        .iter()
        .flat_map(|r| r.domains.keys().map(String::as_str))
        .collect();
    if names.len() < 2 {
        return None;
    }
    let mut head = vec!["encoder".to_owned()];
    for name in &names {
        let n = records
            .iter()
            .find_map(|r| r.domains.get(*name))
            .map_or(0, |d| d.n_pairs);
        head.push(format!("#{name} ({n})"));
    }
    let heads: Vec<&str> = head.iter().map(String::as_str).collect();
    let title = format!("ρ per domain: {}", suite_name(records[0]));
    let mut table = Table::new(&title, &heads);
    let owned: Vec<Record> = records.iter().map(|r| (*r).clone()).collect();
    for record in records {
        let mut row = vec![encoder(record, &owned)];
        for name in &names {
            row.push(record.domains.get(*name).map_or_else(String::new, |d| {
                match (d.cosine_spearman, d.interval) {
                    (Some(v), Some(i)) => format!("{v:.4} {}", interval(Some(i))),
                    (v, _) => score(v),
                }
            }));
        }
        table.push(row);
    }
    Some(table)
}

fn triplets(records: &[&Record]) -> Option<Table> {
    let groups: BTreeSet<&str> = records
        .iter()
        .flat_map(|r| r.triplet_accuracy.keys().map(String::as_str))
        .collect();
    if groups.is_empty() {
        return None;
    }
    let owned: Vec<Record> = records.iter().map(|r| (*r).clone()).collect();
    let mut head = vec!["pattern".to_owned()];
    head.extend(records.iter().map(|r| format!("#{}", encoder(r, &owned))));
    let heads: Vec<&str> = head.iter().map(String::as_str).collect();
    let title = format!(
        "triplet accuracy, the share with cos(source, positive) > cos(source, negative): {}",
        suite_name(records[0])
    );
    let mut table = Table::new(&title, &heads);
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in records.iter().flat_map(|r| triplet_parts(r)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let mut row = vec![name.to_owned()];
        row.extend(records.iter().map(|r| {
            let part = triplet_parts(r).into_iter().find(|(own, _)| *own == name);
            part.map_or_else(String::new, |(_, part)| {
                let worst = r.triplets.as_ref().and_then(|t| t.worst_cell.as_deref());
                let mark = if worst == Some(name) {
                    " worst cell"
                } else {
                    ""
                };
                format!("{:.4} {}{mark}", part.accuracy, interval(part.interval))
            })
        }));
        table.push(row);
    }
    for group in groups {
        let mut row = vec![group.to_owned()];
        row.extend(records.iter().map(|r| {
            r.triplet_accuracy
                .get(group)
                .map_or_else(String::new, |v| format!("{v:.2}"))
        }));
        table.push(row);
    }
    Some(table)
}

/// Triplet accuracy over all groups, by language and by cell.
fn triplet_parts(record: &Record) -> Vec<(&str, TripletPart)> {
    let Some(triplets) = &record.triplets else {
        return Vec::new();
    };
    let parts = triplets.languages.iter().chain(&triplets.cells);
    let parts = parts.map(|(name, part)| (name.as_str(), *part));
    std::iter::once((ALL, triplets.all)).chain(parts).collect()
}

/// The row of all groups.
const ALL: &str = "all";

/// What clusters do to the intervals, where the suite declares them.
fn clusters(records: &[&Record]) -> Option<Table> {
    let title = format!(
        "pairs of one cluster are resampled together: {}",
        suite_name(records[0])
    );
    let owned: Vec<Record> = records.iter().map(|r| (*r).clone()).collect();
    let mut table = Table::new(&title, &["encoder", "clusters"]);
    for record in records {
        if let Some(clusters) = record.clusters {
            table.push(vec![encoder(record, &owned), clusters.phrase()]);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Warnings, each once, with what it is about: the suite where several encoders share it, else the
/// encoder. That a model was trained on part of a suite is in the summary.
fn warnings(records: &[Record]) -> Vec<(String, String)> {
    let mut said: Vec<(&str, Vec<&Record>)> = Vec::new();
    for record in records {
        let trained = record.trained_on.as_ref().map(TrainedOn::sentence);
        for warning in record
            .warnings
            .iter()
            .filter(|w| Some(*w) != trained.as_ref())
        {
            match said
                .iter_mut()
                .find(|(w, of)| w == warning && of[0].suite.id == record.suite.id)
            {
                Some((_, of)) => of.push(record),
                None => said.push((warning, vec![record])),
            }
        }
    }
    let mut found: Vec<(String, String)> = Vec::new();
    for (warning, of) in said {
        let place = match of.len() {
            1 => encoder(of[0], records),
            _ => suite_name(of[0]),
        };
        let next = (place, warning.to_owned());
        if !found.contains(&next) {
            found.push(next);
        }
    }
    found
}

/// Dimension, number type, form and bytes of the embeddings of an encoder; empty for a baseline.
fn of_form(encoder: &EncoderFacts) -> [String; 4] {
    let Some(dimension) = encoder.dimension else {
        return Default::default();
    };
    let form = encoder.form.as_ref();
    let dtype = form.map_or_else(EmbeddingDtype::default, |f| f.form.embedding_dtype);
    [
        dimension.to_string(),
        dtype.name().to_owned(),
        form.map(ToString::to_string).unwrap_or_default(),
        dtype.bytes(dimension).to_string(),
    ]
}

/// One row per encoder × suite × domain × number, raw.
fn tidy(records: &[Record]) -> Table {
    let head = [
        "encoder",
        "revision",
        "backend",
        "dtype",
        "protocol",
        "encoder_sha256",
        "suite",
        "version",
        "split",
        "release_id",
        "domain",
        "n_pairs",
        "metric",
        "value",
        "low",
        "high",
    ];
    // A run of whole embeddings has the columns that it always had.
    let forms = records.iter().any(|r| r.encoder.form.is_some());
    let of_forms = [
        "dimension",
        "embedding_dtype",
        "form",
        "bytes_per_embedding",
    ];
    let head: Vec<&str> = head
        .into_iter()
        .chain(of_forms.into_iter().filter(|_| forms))
        .collect();
    let mut table = Table::new("", &head);
    for record in records {
        let (e, s) = (&record.encoder, &record.suite);
        let mut row =
            |domain: &str, n: usize, metric: &str, value: f64, bounds: Option<[f64; 2]>| {
                let text = |o: &Option<String>| o.clone().unwrap_or_default();
                let bound = |i: usize| bounds.map_or_else(String::new, |b| b[i].to_string());
                let mut cells = vec![
                    e.name.clone(),
                    text(&e.revision),
                    e.backend.clone(),
                    text(&e.dtype),
                    e.protocol.clone(),
                    text(&e.sha256),
                    s.id.clone(),
                    s.version.clone(),
                    s.split.clone(),
                    s.release_id.clone(),
                    domain.to_owned(),
                    n.to_string(),
                    metric.to_owned(),
                    value.to_string(),
                    bound(0),
                    bound(1),
                ];
                if forms {
                    cells.extend(of_form(e));
                }
                table.push(cells);
            };
        for score in SCORES.iter().filter(|s| !s.tables_only) {
            if let Some(value) = (score.get)(record) {
                let bounds = record.interval.get(score.key).filter(|_| !score.by_domain);
                row("", record.n_pairs, score.key, value, bounds.copied());
            }
        }
        for (domain, d) in &record.domains {
            if let Some(value) = d.cosine_spearman {
                row(domain, d.n_pairs, "cosine_spearman", value, d.interval);
            }
        }
        for (name, part) in triplet_parts(record) {
            let name = if name == ALL { "" } else { name };
            row(
                name,
                part.n,
                "triplet_accuracy",
                part.accuracy,
                part.interval,
            );
        }
        if let Some(effect) = record.clusters.and_then(|c| c.design_effect) {
            row("", record.n_pairs, "design_effect", effect, None);
        }
        for (group, value) in &record.triplet_accuracy {
            row(group, record.n_pairs, "triplet_accuracy", *value, None);
        }
        let Some(speed) = &record.speed else { continue };
        for w in &speed.workloads {
            let (name, n) = (w.name(), w.texts_per_round);
            row(&name, n, "texts_per_s", w.texts_per_s, w.interval);
            row(&name, n, "tokens_per_s", w.tokens_per_s, None);
            if let Some(share) = w.share_of_peak {
                row(&name, n, "share_of_peak", share, None);
            }
        }
        let bytes = speed.peak_memory_bytes.map(|bytes| bytes as f64);
        for (name, value) in [("load_s", speed.load_s), ("peak_memory_bytes", bytes)] {
            if let Some(value) = value {
                row("", 0, name, value, None);
            }
        }
    }
    table
}
