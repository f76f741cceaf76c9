//! `korfinsts mine corpora`: which corpora there are.

use clap::{Args, Subcommand};

use crate::cli::Global;
use crate::cli::output::{Format, OutputArgs, Table};
use korfinsts_mine::corpus::{Manifest, Registry};

/// List and describe corpora
#[derive(Debug, Args)]
pub struct CorporaArgs {
    #[command(subcommand)]
    command: CorporaCommand,
}

#[derive(Debug, Subcommand)]
enum CorporaCommand {
    /// List the corpora and profiles that are built in
    List(OutputArgs),
    /// Print the TOML of a corpus: copy it to write one of your own
    Info {
        /// Id of a corpus, or its TOML file
        corpus: String,
    },
}

/// Runs the subcommand.
///
/// # Errors
/// When a manifest cannot be read.
pub fn run(args: &CorporaArgs, _global: &Global) -> anyhow::Result<()> {
    let registry = Registry::built_in()?;
    match &args.command {
        CorporaCommand::List(output) => {
            let text = match output.format {
                Format::Json => {
                    let document = serde_json::json!({
                        "corpora": registry.corpora(),
                        "profiles": registry.profiles(),
                    });
                    format!("{}\n", serde_json::to_string_pretty(&document)?)
                }
                Format::Table => table(&registry).to_terminal(),
                Format::Md => table(&registry).to_markdown(),
                Format::Csv => table(&registry).to_csv(),
                Format::Latex => table(&registry).to_latex(),
            };
            output.emit(&text)
        }
        CorporaCommand::Info { corpus } => {
            let manifest = registry.find(corpus)?;
            crate::cli::output::print(&toml::to_string_pretty(&manifest)?)
        }
    }
}

fn table(registry: &Registry) -> Table {
    let mut table = Table::new(
        "",
        &[
            "id", "language", "source", "licence", "#rows", "profiles", "where",
        ],
    );
    for corpus in registry.corpora() {
        let profiles: Vec<&str> = registry
            .profiles()
            .iter()
            .filter(|(_, profile)| profile.corpora.contains(&corpus.id))
            .map(|(name, _)| name.as_str())
            .collect();
        table.push(vec![
            corpus.id.clone(),
            corpus.language.clone(),
            corpus.source.clone(),
            corpus.licence.clone(),
            corpus.rows.map(|r| r.to_string()).unwrap_or_default(),
            profiles.join(", "),
            place(corpus),
        ]);
    }
    table
}

fn place(corpus: &Manifest) -> String {
    corpus
        .hub
        .as_ref()
        .map_or_else(|| "a folder of yours".to_owned(), |hub| hub.repo.clone())
}
