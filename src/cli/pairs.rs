//! Files of pairs of one's own: flags, and how they are read.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, Global};
use korfinsts_base::budget::{WHOLE_FILE, read_to_end};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::{fs, language};
use korfinsts_bench::suite::{OwnPairs, PairsOptions, Role};

/// The name that means stdin.
const DASH: &str = "-";

/// How the columns of a file of pairs are called.
#[derive(Debug, Clone, Args)]
pub struct ColumnArgs {
    /// Columns of the file, where their names are not usual ones
    #[arg(long, value_name = "ROLE=NAME,…", value_delimiter = ',', value_parser = Role::parse)]
    columns: Vec<(Role, String)>,
}

impl ColumnArgs {
    /// Whether any column was named.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Reads a file, and notes what was guessed.
    ///
    /// # Errors
    /// When the file or a language cannot be read.
    pub fn read(
        &self,
        path: &Path,
        languages: &[String],
        global: &Global,
    ) -> anyhow::Result<OwnPairs> {
        let languages = languages.iter().map(|code| {
            language::meant(code).ok_or_else(|| {
                let found = format!("the language `{code}` is not known");
                CliError::usage(found, "write it as `ko`, `kor` or `kor-Hang`")
            })
        });
        let options = PairsOptions {
            columns: self.columns.iter().cloned().collect(),
            languages: languages.collect::<Result<_, CliError>>()?,
        };
        let own = if path == Path::new(DASH) {
            let name = PathBuf::from("stdin");
            OwnPairs::read(&name, &stdin(&name)?, &options)?
        } else {
            let bytes = fs::read(path).map_err(|e| {
                CliError::new(FailureClass::Data, format!("{e}: {}", e.source), e.hint())
            })?;
            OwnPairs::read(path, &bytes, &options)?
        };
        for line in &own.said {
            global.note(line);
        }
        Ok(own)
    }
}

fn stdin(name: &Path) -> anyhow::Result<Vec<u8>> {
    let read = read_to_end(std::io::stdin(), WHOLE_FILE);
    Ok(read.map_err(fs::at("read", name))?)
}
