//! `korfinsts completions` and `korfinsts man`, both made from the same definition as the help.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};
use korfinsts_base::fs;

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page, or write one per subcommand to a folder
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write `korfinsts.1`, `korfinsts-eval.1`, ... to this folder instead of one page to stdout
    #[arg(long, short, alias = "folder", value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints a completion script.
///
/// # Errors
/// When stdout cannot be written.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "korfinsts", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// Prints or writes manual pages.
///
/// # Errors
/// When stdout or the folder cannot be written.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &args.output else {
        return output::print(&page(command)?);
    };
    let mut waiting = vec![("korfinsts".to_owned(), command)];
    while let Some((name, command)) = waiting.pop() {
        for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
            waiting.push((format!("{name}-{}", sub.get_name()), sub.clone()));
        }
        let text = page(command)?;
        fs::write_atomic(&folder.join(format!("{name}.1")), text.as_bytes())?;
    }
    Ok(())
}

fn page(command: clap::Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
