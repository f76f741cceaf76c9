//! `korfinsts mine typology`: the patterns, for a reader or a program.

use clap::{Args, ValueEnum};

use crate::cli::output::{self, Table};
use korfinsts_mine::{Transforms, Typology, guide};

/// Show the patterns of semantic shift
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts mine typology
  korfinsts mine typology --format markdown > docs/patterns.md
  korfinsts mine typology --typology training/typology/id-en.toml")]
pub struct TypologyArgs {
    /// Typology: a name that is built in, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "ko-en")]
    typology: String,
    /// Rules to check with it: a name that is built in, or a file
    #[arg(long, value_name = "NAME|FILE")]
    transforms: Option<String>,
    /// Format
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

/// Formats of the typology.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table of variants
    #[default]
    Table,
    /// The guide, one example per variant and language
    #[value(alias = "md")]
    Markdown,
}

/// Runs the subcommand.
///
/// # Errors
/// When the typology or the rules are wrong.
pub fn run(args: &TypologyArgs) -> anyhow::Result<()> {
    let typology = Typology::read(&args.typology)?;
    if let Some(name) = &args.transforms {
        let transforms = Transforms::read(name)?;
        transforms.check(&typology)?;
        let failures = transforms.failures();
        if !failures.is_empty() {
            return Err(crate::cli::CliError::new(
                korfinsts_base::failure::FailureClass::Check,
                format!(
                    "{} examples of the rules `{}` do not hold: {}",
                    failures.len(),
                    transforms.name,
                    failures.join("; ")
                ),
                None,
            )
            .into());
        }
    }
    match args.format {
        Form::Markdown => output::print(&guide::markdown(&typology)),
        Form::Table => {
            let mut table = Table::new("", &["variant", "axis", "origin", "rules", "changes"]);
            for variant in &typology.variants {
                let axis = typology
                    .pattern(&variant.pattern)
                    .map_or("", |p| p.axis.as_str());
                table.push(vec![
                    variant.id.clone(),
                    axis.to_owned(),
                    variant.origin.clone(),
                    variant.transforms.join(" "),
                    variant.negative_changes.clone(),
                ]);
            }
            output::print(&output::rendered(&[table], output::Format::Table))
        }
    }
}
