//! `korfinsts compare`: two models on the same pairs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::{Format, OutputArgs, Table, rendered, wrapped};
use super::progress::rate;
use super::texts::texts;
use super::{CliError, Global};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::text::visible;
use korfinsts_metric::BootstrapOptions;
use korfinsts_publish::leaderboard::catalogue::Catalogue;
use korfinsts_publish::leaderboard::compare::{
    self, By, CompareOptions, Report, SpeedComparison, SuiteComparison,
};
use korfinsts_publish::leaderboard::entry;

/// Compare two models on the same pairs
///
/// Δρ is the score of A minus the score of B: above zero, A is better. ± is half of its 95 %
/// interval, from a paired bootstrap over pairs. p is from a permutation test, and p (Holm) is
/// corrected for the number of suites. On a suite of triplets, triplet accuracy is tested and ρ is
/// not. Pairs that A or B was trained on are left out (†). The means over suites show what a model
/// gained on finance and what it lost on general text.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts compare adapted-model base-model
  korfinsts compare new/korsts.test.native.json old/korsts.test.native.json
  korfinsts compare mine length --suite finsts --by domain --pairs 10
  korfinsts compare candidate release --fail-if-worse 0.01 --format json")]
pub struct CompareArgs {
    /// A record, a folder of records of one model, or the name of an encoder or baseline in the
    /// folder of results
    #[arg(value_name = "A")]
    a: String,
    /// What it is compared with, given in the same way
    #[arg(value_name = "B")]
    b: String,
    /// Suites, as `eval` takes them, or files of pairs [default: all that both were run on]
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    suite: Vec<String>,
    /// Compare each part of a suite too
    #[arg(long, value_enum, value_name = "PART")]
    by: Option<ByArg>,
    /// Show the N pairs of each suite on which the two disagree most
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pairs: usize,
    /// Exit with code 1 where A is worse than B by more than THRESHOLD on a suite, with p (Holm)
    /// at most 0.05
    #[arg(long, value_name = "THRESHOLD", num_args = 0..=1, default_missing_value = "0")]
    fail_if_worse: Option<f64>,
    /// Folder in which names are looked for
    #[arg(long, value_name = "DIR", default_value = "korfinsts-results")]
    results: PathBuf,
    /// Protocol, where the models were run under several
    #[arg(long)]
    protocol: Option<String>,
    /// Compare also what was run under different protocols
    #[arg(long)]
    across_protocols: bool,
    /// Number of bootstrap resamples and of random permutations
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    resamples: usize,
    /// Seed of the resamples and permutations
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Also show areas, numbers of pairs, whole intervals and AUC
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What splits the pairs of a suite.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ByArg {
    /// Δρ per domain
    Domain,
    /// Difference of triplet accuracy per pattern
    Pattern,
}

/// Runs the subcommand.
///
/// # Errors
/// When a record cannot be found or read, the two cannot be compared, or `--fail-if-worse` finds
/// that A is.
pub fn run(args: &CompareArgs, global: &Global) -> anyhow::Result<()> {
    super::check_resamples(args.resamples)?;
    if let Some(threshold) = args.fail_if_worse
        && !(0.0..=2.0).contains(&threshold)
    {
        let found = format!("found `--fail-if-worse {threshold}`, 0 to 2 is allowed");
        return Err(CliError::usage(found, "it is a difference of ρ, as 0.01").into());
    }
    args.output.check()?;
    let catalogue = Catalogue::open(&global.data_home()?)?;
    let a = entry::of_model(&args.a, &args.results)?;
    let b = entry::of_model(&args.b, &args.results)?;
    let options = CompareOptions {
        bootstrap: BootstrapOptions {
            resamples: args.resamples,
            seed: args.seed,
            ..BootstrapOptions::default()
        },
        suites: args.suite.iter().map(|s| catalogue.key_of(s)).collect(),
        protocol: args.protocol.clone(),
        across_protocols: args.across_protocols,
        by: args.by.map(|by| match by {
            ByArg::Domain => By::Domain,
            ByArg::Pattern => By::Pattern,
        }),
        disagreements: args.pairs,
    };
    let report = compare::compare(&a, &b, &catalogue, &options)?;
    args.output.emit(&render(&report, args))?;
    for warning in &report.warnings {
        global.note(&format!("warning: {warning}"));
    }
    let Some(threshold) = args.fail_if_worse else {
        return Ok(());
    };
    let worse = report.worse_by(threshold);
    if worse.is_empty() {
        return Ok(());
    }
    let what = if threshold > 0.0 {
        format!("worse than `{}` by more than {threshold}", report.b)
    } else {
        format!("worse than `{}`", report.b)
    };
    let message = format!("`{}` is {what} on {}", report.a, worse.join(", "));
    Err(CliError::new(FailureClass::Check, message, None).into())
}

fn render(report: &Report, args: &CompareArgs) -> String {
    match args.output.format {
        Format::Json => {
            let bytes = korfinsts_bench::run::record::to_json(report);
            String::from_utf8(bytes).expect("JSON is UTF-8")
        }
        Format::Csv => tidy(report).to_csv(),
        format => page(report, args.wide, format),
    }
}

fn page(report: &Report, wide: bool, format: Format) -> String {
    let tables = rendered(&tables(report, wide), format);
    if format == Format::Latex {
        return tables;
    }
    let mut parts = vec![tables];
    let sentences = notes(report).into_iter().chain(report.trade_off());
    parts.extend(sentences.map(|sentence| wrapped(&texts().said(&sentence)) + "\n"));
    let withheld: Vec<String> = report
        .suites
        .iter()
        .filter_map(|(name, s)| {
            let reason = s.texts_withheld.as_ref()?;
            let said = texts().said(&format!("texts of {name} are not shown: {reason}"));
            Some(wrapped(&said) + "\n")
        })
        .collect();
    parts.extend(withheld);
    parts.join("\n")
}

/// What a reader of the first table must know.
fn notes(report: &Report) -> Vec<String> {
    let suites = || report.suites.values();
    let mut notes = Vec::new();
    if suites().any(|s| s.triplets.is_some()) {
        notes.push(texts().get("cli_triplets_compared").to_owned());
    }
    let mut left: Vec<Option<usize>> = suites()
        .filter(|s| s.trained != [false; 2])
        .map(|s| (s.left_out > 0).then_some(s.n_pairs))
        .collect();
    left.dedup();
    notes.extend(match left[..] {
        [] => None,
        [Some(pairs)] => {
            let pairs = [("pairs", &*pairs.to_string())];
            Some(texts().fill("cli_trained", &pairs))
        }
        _ if left.contains(&None) => Some(texts().get("cli_trained_whole").to_owned()),
        _ => Some(texts().get("cli_trained_parts").to_owned()),
    });
    notes
}

/// Finance first, then by name.
fn ordered(report: &Report) -> Vec<(&String, &SuiteComparison)> {
    let mut suites: Vec<_> = report.suites.iter().collect();
    suites.sort_by_key(|(name, s)| (s.area, name.as_str()));
    suites
}

fn tables(report: &Report, wide: bool) -> Vec<Table> {
    let mut tables = vec![suites(report, wide)];
    if !report.areas.is_empty() {
        tables.push(areas(report));
    }
    tables.extend(report.speed.as_ref().map(speed));
    for (name, suite) in ordered(report) {
        if !suite.parts.is_empty() {
            tables.push(parts(name, suite));
        }
        if !suite.disagreements.is_empty() {
            tables.push(disagreements(name, suite));
        }
    }
    tables
}

fn score(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:.4}"))
}

fn signed(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:+.4}"))
}

fn interval(value: Option<[f64; 2]>) -> String {
    value.map_or_else(String::new, |[low, high]| {
        format!("[{low:+.3}, {high:+.3}]")
    })
}

fn probability(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(p) if p < 0.001 => format!("{p:.1e}"),
        Some(p) => format!("{p:.3}"),
    }
}

/// What may be said at 5 %.
fn verdict(delta: Option<f64>, p_holm: Option<f64>) -> String {
    match (delta, p_holm) {
        (Some(d), Some(p)) if p <= 0.05 && d > 0.0 => "A is better".into(),
        (Some(d), Some(p)) if p <= 0.05 && d < 0.0 => "B is better".into(),
        (Some(_), Some(_)) => "not told apart".into(),
        _ => String::new(),
    }
}

/// A score, marked where the model was trained on part of the suite.
fn marked(value: Option<f64>, trained: bool) -> String {
    score(value) + if trained { "†" } else { "" }
}

fn suites(report: &Report, wide: bool) -> Table {
    let title = format!(
        "A = {}, B = {}: Spearman's ρ on the same pairs",
        report.a, report.b
    );
    let delta = |delta: Option<f64>, interval: Option<[f64; 2]>| {
        let half = interval.map(|[low, high]| (high - low) / 2.0);
        signed(delta) + &half.map_or_else(String::new, |h| format!("±{h:.3}"))
    };
    if !wide {
        let head = ["suite", "#ρ A", "#ρ B", "#Δρ", "#p (Holm)", "at 5 %"];
        let mut table = Table::new(&title, &head);
        for (name, s) in ordered(report) {
            if let Some(t) = &s.triplets {
                table.push(vec![
                    texts().fill("cli_triplets", &[("suite", name)]),
                    marked(Some(t.a), s.trained[0]),
                    marked(Some(t.b), s.trained[1]),
                    delta(Some(t.delta), t.interval),
                    probability(t.p_holm),
                    verdict(Some(t.delta), t.p_holm),
                ]);
            }
            table.push(vec![
                name.clone(),
                marked(s.spearman_a, s.trained[0]),
                marked(s.spearman_b, s.trained[1]),
                delta(s.delta_spearman, s.interval),
                probability(s.p_holm),
                verdict(s.delta_spearman, s.p_holm),
            ]);
        }
        return table;
    }
    let head = [
        "suite",
        "area",
        "#pairs",
        "#ρ A",
        "#ρ B",
        "#Δρ",
        "95 %",
        "#p",
        "#p (Holm)",
        "at 5 %",
        "#AUC A",
        "#AUC B",
        "#ΔAUC",
        "95 % of ΔAUC",
        "#p of ΔAUC",
    ];
    let mut table = Table::new(&title, &head);
    for (name, s) in ordered(report) {
        if let Some(t) = &s.triplets {
            let mut row = vec![
                texts().fill("cli_triplets", &[("suite", name)]),
                s.area.to_string(),
                t.n.to_string(),
                marked(Some(t.a), s.trained[0]),
                marked(Some(t.b), s.trained[1]),
                signed(Some(t.delta)),
                interval(t.interval),
                probability(Some(t.p_value)),
                probability(t.p_holm),
                verdict(Some(t.delta), t.p_holm),
            ];
            row.resize(table.head.len(), String::new());
            table.push(row);
        }
        let auc = s.auc.as_ref();
        table.push(vec![
            name.clone(),
            s.area.to_string(),
            s.n_pairs.to_string(),
            marked(s.spearman_a, s.trained[0]),
            marked(s.spearman_b, s.trained[1]),
            signed(s.delta_spearman),
            interval(s.interval),
            probability(s.p_value),
            probability(s.p_holm),
            verdict(s.delta_spearman, s.p_holm),
            auc.map_or_else(String::new, |a| score(Some(a.auc_a))),
            auc.map_or_else(String::new, |a| score(Some(a.auc_b))),
            auc.map_or_else(String::new, |a| signed(Some(a.delta_auc))),
            interval(auc.map(|a| a.interval)),
            probability(auc.map(|a| a.p_value)),
        ]);
    }
    table.without_empty_columns()
}

fn speed(found: &SpeedComparison) -> Table {
    let lanes = found.lanes.to_string();
    let values = [("machine", &*found.machine), ("lanes", &lanes)];
    let title = texts().fill("cli_speed_machine", &values);
    let mut table = Table::new(&title, &["texts/s", "#A", "#B", "#A / B", "95 %"]);
    for r in &found.ratios {
        table.push(vec![
            texts().said(&r.name),
            rate(r.a),
            rate(r.b),
            format!("{:.2}", r.ratio),
            r.interval
                .map_or_else(String::new, |[low, high]| format!("[{low:.2}, {high:.2}]")),
        ]);
    }
    table
}

fn areas(report: &Report) -> Table {
    let mut table = Table::new(
        "Finance and general text: mean Δρ over suites",
        &["area", "#suites", "#mean Δρ", "95 %", "suites"],
    );
    for (area, found) in &report.areas {
        table.push(vec![
            area.to_string(),
            found.suites.len().to_string(),
            signed(Some(found.mean_delta)),
            interval(Some(found.interval)),
            found
                .suites
                .iter()
                .map(|name| match report.suites[name].trained {
                    [false, false] => name.clone(),
                    _ => format!("{name}†"),
                })
                .collect::<Vec<_>>()
                .join(", "),
        ]);
    }
    table
}

fn parts(name: &str, suite: &SuiteComparison) -> Table {
    let triplets = suite
        .parts
        .iter()
        .all(|p| p.interval.is_none() && p.p_value.is_some());
    let (title, n, score_of) = if triplets {
        (
            format!("{name}: triplet accuracy per pattern"),
            "#triplets",
            "accuracy",
        )
    } else {
        (format!("{name}: Spearman's ρ per domain"), "#pairs", "ρ")
    };
    let heads = [format!("#{score_of} A"), format!("#{score_of} B")];
    let mut table = Table::new(
        &title,
        &[
            "part",
            n,
            &heads[0],
            &heads[1],
            "#Δ",
            "95 %",
            "#p",
            "#p (Holm)",
            "at 5 %",
            "#sees Δ of",
        ],
    );
    for part in &suite.parts {
        table.push(vec![
            part.name.clone(),
            part.n.to_string(),
            score(part.a),
            score(part.b),
            signed(part.delta),
            interval(part.interval),
            probability(part.p_value),
            probability(part.p_holm),
            verdict(part.delta, part.p_holm),
            part.detectable
                .map_or_else(String::new, |d| format!("{d:.2}")),
        ]);
    }
    table.without_empty_columns()
}

/// Most characters of a text in a table.
const TEXT_LENGTH: usize = 60;

fn disagreements(name: &str, suite: &SuiteComparison) -> Table {
    let mut table = Table::new(
        &format!("{name}: pairs on which the two disagree most (shares of pairs ranked below)"),
        &[
            "pair",
            "domain",
            "#gold",
            "#gold rank",
            "#rank A",
            "#rank B",
            "nearer",
            "sentence 1",
            "sentence 2",
        ],
    );
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    for pair in &suite.disagreements {
        let text = |side: usize| {
            pair.texts
                .as_ref()
                .map_or_else(String::new, |t| visible(&t[side], TEXT_LENGTH))
        };
        table.push(vec![
            pair.id.clone(),
            pair.domain.clone().unwrap_or_default(),
            pair.gold.to_string(),
            percent(pair.gold_rank),
            percent(pair.rank_a),
            percent(pair.rank_b),
            pair.nearer
                .map_or_else(String::new, |m| m.to_ascii_uppercase().into()),
            text(0),
            text(1),
        ]);
    }
    table.without_empty_columns()
}

/// One row per number, raw.
fn tidy(report: &Report) -> Table {
    let head = [
        "a",
        "b",
        "suite",
        "area",
        "part",
        "n",
        "statistic",
        "value_a",
        "value_b",
        "delta",
        "low",
        "high",
        "p_value",
        "p_holm",
        "detectable",
    ];
    let mut table = Table::new("", &head);
    let raw = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    for (name, s) in ordered(report) {
        let mut row = |part: &str, n: usize, statistic: &str, numbers: [Option<f64>; 8]| {
            let mut row = vec![
                report.a.clone(),
                report.b.clone(),
                name.clone(),
                s.area.to_string(),
                part.to_owned(),
                n.to_string(),
                statistic.to_owned(),
            ];
            row.extend(numbers.map(raw));
            table.push(row);
        };
        let bounds = |i: Option<[f64; 2]>| [i.map(|i| i[0]), i.map(|i| i[1])];
        let [low, high] = bounds(s.interval);
        let [a, b, delta] = [s.spearman_a, s.spearman_b, s.delta_spearman];
        row(
            "",
            s.n_pairs,
            "spearman",
            [a, b, delta, low, high, s.p_value, s.p_holm, None],
        );
        if let Some(t) = &s.triplets {
            let [low, high] = bounds(t.interval);
            let [a, b, delta, p] = [t.a, t.b, t.delta, t.p_value].map(Some);
            let numbers = [a, b, delta, low, high, p, t.p_holm, None];
            row("", t.n, "triplet_accuracy", numbers);
        }
        if let Some(a) = &s.auc {
            let [low, high] = a.interval;
            let [a, b, delta, p, holm] =
                [a.auc_a, a.auc_b, a.delta_auc, a.p_value, a.p_holm].map(Some);
            let numbers = [a, b, delta, Some(low), Some(high), p, holm, None];
            row("", s.n_pairs, "auc", numbers);
        }
        for part in &s.parts {
            let statistic = if part.interval.is_none() {
                "triplet_accuracy"
            } else {
                "spearman"
            };
            let [low, high] = bounds(part.interval);
            let [a, b, delta] = [part.a, part.b, part.delta];
            let [p, holm, sees] = [part.p_value, part.p_holm, part.detectable];
            let numbers = [a, b, delta, low, high, p, holm, sees];
            row(&part.name, part.n, statistic, numbers);
        }
    }
    for r in report.speed.iter().flat_map(|s| &s.ratios) {
        let names = [&report.a, &report.b, "", "", &r.name, "", "ratio"].map(str::to_owned);
        let bounds = [0, 1].map(|end| r.interval.map(|i| i[end]));
        let numbers = [Some(r.a), Some(r.b), Some(r.ratio), bounds[0], bounds[1]];
        let numbers = numbers.into_iter().chain([None; 3]).map(raw);
        table.push(names.into_iter().chain(numbers).collect());
    }
    for (area, found) in &report.areas {
        table.push(vec![
            report.a.clone(),
            report.b.clone(),
            String::new(),
            area.to_string(),
            "mean".into(),
            found.suites.len().to_string(),
            "spearman".into(),
            String::new(),
            String::new(),
            raw(Some(found.mean_delta)),
            raw(Some(found.interval[0])),
            raw(Some(found.interval[1])),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    table
}
