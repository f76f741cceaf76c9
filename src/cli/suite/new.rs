//! `korfinsts suite new`: a file of pairs as the folder of a suite.

use std::path::PathBuf;

use clap::Args;

use crate::cli::pairs::ColumnArgs;
use crate::cli::{Global, output};
use korfinsts_bench::suite::Registry;

/// What the folder is made of.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Id of the new suite: small letters, digits, `.`, `_` and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// File of pairs, as `eval --pairs` reads it; `-` for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Language of the texts, as `ko` [default: by their letters]
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    language: Vec<String>,
    /// Licence of the texts, as `CC-BY-4.0` [default: NOASSERTION]
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
    /// Folder to write [default: ./NAME]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// When the file cannot be read, the name is taken, or the folder cannot be written.
pub fn run(args: &NewArgs, registry: &Registry, global: &Global) -> anyhow::Result<()> {
    let own = args.columns.read(&args.file, &args.language, global)?;
    let here = PathBuf::from(".").join(&args.name);
    let folder = args.output.clone().unwrap_or(here);
    own.write_suite(&args.name, args.licence.as_deref(), &folder, registry)?;
    let shown = folder.display();
    output::print(&format!("{}\n", folder.join("suite.toml").display()))?;
    global.note("look through it: what only a person knows is marked DECIDE");
    if args.licence.is_none() {
        global.note("the licence of the texts is not named yet: set `licence` there");
    }
    global.note(&format!("next: korfinsts suite check {shown}"));
    global.note(&format!("      korfinsts eval MODEL --suite {shown}"));
    Ok(())
}
