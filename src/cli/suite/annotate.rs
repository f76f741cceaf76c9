//! `korfinsts suite annotate`: people score the pairs of a suite.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::output::{OutputArgs, Table};
use crate::cli::{CliError, Global, output};
use korfinsts_base::fs;
use korfinsts_bench::suite::annotate::{self, Agreed, AnnotationPlan, Findings, KEY};
use korfinsts_bench::suite::{Registry, Suite};

/// What is written, or read back.
#[derive(Debug, Args)]
pub struct AnnotateArgs {
    /// Id of a suite (`id` or `id:split`), or a folder with suite.toml
    #[arg(value_name = "SUITE", required_unless_present = "read")]
    suite: Option<String>,
    /// Seed of all that is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Draw so many clusters (documents), or pairs where the suite has no clusters [default: all]
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Show each rater each pair twice, once in each order of its texts
    #[arg(long)]
    both_orders: bool,
    /// Read the filled-in sheets of this kit
    #[arg(long, value_name = "DIR", conflicts_with_all = ["suite", "seed", "sample", "both_orders"])]
    read: Option<PathBuf>,
    // `-o` is the folder of the kit, or with `--read` the file of the table.
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the subcommand.
///
/// # Errors
/// When the suite, a sheet or the output fails.
pub fn run(args: &AnnotateArgs, registry: &Registry, global: &Global) -> anyhow::Result<()> {
    if let Some(folder) = &args.read {
        args.output.check()?;
        return show(&annotate::read(folder)?, &args.output);
    }
    let suite = args.suite.as_deref().unwrap_or_default();
    let Some(folder) = &args.output.output else {
        let hint = format!("`korfinsts suite annotate {suite} -o kit` makes the folder `kit`");
        return Err(CliError::usage("no folder is named for the kit", hint).into());
    };
    let (manifest, split) = registry.named(suite)?;
    let suite = registry.load(&manifest, Some(&split))?;
    write(args, &suite, folder, global)
}

fn write(args: &AnnotateArgs, suite: &Suite, folder: &Path, global: &Global) -> anyhow::Result<()> {
    if args.sample == Some(0) {
        return Err(CliError::usage("found `--sample 0`", "draw at least 1").into());
    }
    // Filled-in sheets are the work of hours.
    if fs::exists(folder) && !fs::list(folder)?.is_empty() {
        let found = format!("`{}` is there and holds files", folder.display());
        return Err(CliError::usage(found, "name another folder with `-o DIR`").into());
    }
    let plan = AnnotationPlan {
        seed: args.seed,
        sample: args.sample,
        both_orders: args.both_orders,
    };
    let files = annotate::kit(suite, plan)?;
    let mut shown = String::new();
    for (name, bytes) in &files {
        let path = folder.join(name);
        fs::write_atomic(&path, bytes)?;
        shown.push_str(&format!("{}\n", path.display()));
    }
    output::print(&shown)?;
    let folder = folder.display();
    global.note(&format!(
        "keep {KEY} to yourself: it says which pair each row is"
    ));
    if !suite.redistributable {
        global.note("the licence of this suite does not let its texts be passed on: ask its makers before you do");
    }
    global.note(&format!(
        "when the three sheets are back: korfinsts suite annotate --read {folder}"
    ));
    Ok(())
}

fn show(found: &Findings, format: &OutputArgs) -> anyhow::Result<()> {
    let number = |x: Option<f64>| x.map_or("none".to_owned(), |x| format!("{x:.3}"));
    let interval = |x: Option<[f64; 3]>| match x {
        Some([value, low, high]) => format!("{value:.3} [{low:.3}, {high:.3}]"),
        None => "none".to_owned(),
    };
    let title = format!("{}:{}, three raters", found.suite, found.split);
    let head = [
        "part",
        "#pairs",
        "#clusters",
        "#α interval",
        "#α ordinal",
        "#ceiling",
        "#ρ with gold",
        "#AUC",
    ];
    let mut parts = Table::new(&title, &head);
    for (part, agreed) in &found.agreement {
        let Agreed {
            pairs, clusters, ..
        } = agreed;
        parts.push(vec![
            part.clone(),
            pairs.to_string(),
            clusters.map_or_else(String::new, |n| n.to_string()),
            interval(agreed.alpha_interval),
            interval(agreed.alpha_ordinal),
            number(agreed.ceiling),
            interval(agreed.gold_spearman),
            agreed
                .gold_auc
                .map_or_else(String::new, |auc| format!("{auc:.3}")),
        ]);
    }
    let head = [
        "rater",
        "#scored",
        "#missing",
        "#ρ with gold",
        "#ρ with the others",
        "#own distance",
    ];
    let mut raters = Table::new("raters", &head);
    for (rater, number_of) in found.raters.iter().zip(1..) {
        raters.push(vec![
            number_of.to_string(),
            rater.scored.to_string(),
            rater.missing.to_string(),
            number(rater.gold_spearman),
            number(rater.others_spearman),
            rater
                .own_distance
                .map_or_else(String::new, |d| format!("{d:.2}")),
        ]);
    }
    let tables = [parts, raters].map(Table::without_empty_columns);
    format.show(found, &tables)
}
