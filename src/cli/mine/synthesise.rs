//! `korfinsts mine synthesise`: passages in the form of a disclosure.

use std::sync::Arc;

use clap::Args;

use super::super::Global;
use super::super::output::{self, Table};
use super::FolderArgs;
use super::server::{Opening, ServerArgs, interrupted, progress, unpriced};
use crate::cli::runtime::Format;
use korfinsts_base::fs::FolderLock;
use korfinsts_mine::generate::ask::{Role, Stop};
use korfinsts_mine::synthesis::SynthesisPlan;
use korfinsts_mine::{MineError, Transforms, Typology};

/// Rewrite passages in the form of a disclosure, and check that figures and names are kept
///
/// Reads `passages.jsonl` of the run folder, those that are no disclosures; writes
/// `synthetic.jsonl`, a verdict for each, `synthesis.json`, and a sheet for a reader,
/// `audit/synthesis.csv`. A run that was stopped or killed goes on, and nothing is paid for twice.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts mine synthesise --results run --generator chat:openai:gpt-4o --price-generator 2.5,10 --max-cost 50
  korfinsts mine synthesise --results run --generator chat:vllm:Qwen/Qwen3-32B --limit 100
  korfinsts mine filter --corpus synthetic.toml …    (a corpus file that names synthetic.jsonl)")]
pub struct SynthesiseArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Backend that writes: `chat:ENDPOINT:MODEL`, `batch:MODEL` or `replay:FILE`
    #[arg(long, value_name = "BACKEND")]
    generator: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Rewrites on the sheet for a reader
    #[arg(long, value_name = "N", default_value_t = 100)]
    sheet: usize,
    /// Seed of the sheet's draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Format of what is printed: a summary, or `synthesis.json`
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the subcommand.
///
/// # Errors
/// When a file or the backend fails.
pub fn run(args: &SynthesiseArgs, global: &Global) -> anyhow::Result<()> {
    args.server.check()?;
    let folder = args.folder.folder();
    let typology = Arc::new(Typology::read(&args.server.typology)?);
    // No rule writes a disclosure: a backend only has to be opened alike.
    let transforms = Arc::new(Transforms::built_in("ko-en")?);
    let opening = Opening {
        folder: &folder,
        typology: &typology,
        transforms: &transforms,
        offline: global.offline,
    };
    let price = args.server.price_generator;
    let generator = args
        .server
        .open(Role::Generator, &args.generator, price, &opening)?;
    if args.server.max_cost.is_some() && price.is_none() && !generator.backend.is_free() {
        return Err(unpriced().into());
    }
    let _lock = FolderLock::acquire(folder.path())?;
    let progress = progress(global);
    let plan = SynthesisPlan {
        calls: args.server.calls(folder, generator, 8, &progress),
        typology: &typology,
        sheet: args.sheet,
        seed: args.seed,
    };
    let ended = plan.run()?;
    for line in &ended.next {
        global.note(line);
    }
    let found = &ended.synthesis;
    if args.format == Format::Json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(found)?))?;
    } else {
        let mut table = Table::new("Rewrites", &["what", "#passages"]);
        table.push(vec!["asked".into(), found.documents.to_string()]);
        table.push(vec!["kept".into(), found.kept.to_string()]);
        for (reason, n) in &found.dropped {
            table.push(vec![format!("dropped: {reason}"), n.to_string()]);
        }
        table.push(vec![
            "without an answer yet".into(),
            found.waiting.to_string(),
        ]);
        output::print(&table.to_terminal())?;
    }
    match ended.stopped {
        Some(Stop::Interrupted) => Err(interrupted()),
        Some(Stop::Cost(why)) => Err(MineError::Check {
            what: format!("stopped by --max-cost: {why}"),
            hint: Some("answers are kept; raise `--max-cost` to go on".into()),
        }
        .into()),
        Some(Stop::Error(error)) => Err(error.into()),
        None => Ok(()),
    }
}
