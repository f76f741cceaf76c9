//! `korfinsts cache`: the embeddings that earlier runs left.

use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::output::{Format, OutputArgs, Table};
use super::{CliError, Global};
use korfinsts_base::fs;
use korfinsts_bench::run::store::Store;

/// List or prune the embeddings that earlier runs left
#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// What is kept, per encoder
    List(OutputArgs),
    /// Remove what is kept
    Prune {
        /// Only what was not written to for so many days
        #[arg(long, value_name = "DAYS", conflicts_with = "all")]
        older_than: Option<u64>,
        /// Only the encoder whose key starts so
        #[arg(long, value_name = "KEY", conflicts_with = "all")]
        key: Option<String>,
        /// Everything
        #[arg(long)]
        all: bool,
    },
}

struct Kept {
    key: String,
    path: std::path::PathBuf,
    bytes: u64,
    written: Option<SystemTime>,
}

/// Runs the subcommand.
///
/// # Errors
/// When the cache cannot be read or removed.
pub fn run(args: &CacheArgs, global: &Global) -> anyhow::Result<()> {
    let folder = global.data_home()?.join("embeddings");
    let kept = kept(&folder)?;
    match &args.command {
        CacheCommand::List(output) => list(&kept, output),
        CacheCommand::Prune {
            older_than,
            key,
            all,
        } => {
            if older_than.is_none() && key.is_none() && !all {
                let hint = "name what goes: `--older-than DAYS`, `--key KEY` or `--all`";
                return Err(CliError::usage("nothing was named to be removed", hint).into());
            }
            let limit = older_than.map(|days| Duration::from_secs(days * 86_400));
            let mut freed = 0;
            for entry in &kept {
                let age = entry
                    .written
                    .and_then(|w| w.elapsed().ok())
                    .unwrap_or_default();
                let old = limit.is_none_or(|limit| age >= limit);
                let named = key
                    .as_ref()
                    .is_none_or(|k| entry.key.starts_with(k.as_str()));
                if old && named {
                    fs::remove_dir(&entry.path)?;
                    freed += entry.bytes;
                }
            }
            global.note(&format!("removed {}", size(freed)));
            Ok(())
        }
    }
}

fn kept(folder: &Path) -> anyhow::Result<Vec<Kept>> {
    if !fs::exists(folder) {
        return Ok(Vec::new());
    }
    let mut kept = Vec::new();
    for path in fs::list(folder)? {
        let mut entry = Kept {
            key: path
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into()),
            bytes: 0,
            written: None,
            path,
        };
        for file in fs::list(&entry.path)? {
            let metadata = fs::metadata(&file)?;
            entry.bytes += metadata.len();
            entry.written = entry.written.max(metadata.modified().ok());
        }
        kept.push(entry);
    }
    Ok(kept)
}

fn list(kept: &[Kept], output: &OutputArgs) -> anyhow::Result<()> {
    let mut table = Table::new(
        "",
        &[
            "key",
            "encoder",
            "#texts",
            "#width",
            "#size",
            "last written",
        ],
    );
    let mut json = Vec::new();
    for entry in kept {
        let store = Store::open(&entry.path, true)?;
        let name = store.about().map_or_else(String::new, |a| a.encoder);
        let written = entry
            .written
            .and_then(|w| jiff::Timestamp::try_from(w).ok())
            .map_or_else(String::new, |t| t.strftime("%Y-%m-%d %H:%M").to_string());
        let (texts, width) = (store.set().len(), store.set().dimension());
        json.push(serde_json::json!({
            "key": entry.key, "encoder": name, "texts": texts, "dimension": width,
            "bytes": entry.bytes, "last_written": written,
        }));
        table.push(vec![
            entry.key.chars().take(12).collect(),
            name,
            texts.to_string(),
            width.to_string(),
            size(entry.bytes),
            written,
        ]);
    }
    if output.format == Format::Table && table.rows.is_empty() {
        return output.emit("the cache is empty\n");
    }
    output.show(&json, &[table])
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
