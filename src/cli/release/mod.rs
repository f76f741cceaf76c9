//! `korfinsts release`: cut a dataset release, and look at one.

mod build;
mod check;
mod compare;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{CliError, Global};
use korfinsts_base::fs;
use korfinsts_base::sums::SUMS;
use korfinsts_publish::release::{Context, Earlier, Subject};

pub(super) use build::{examine, signer};

/// Cut, check, sign and compare dataset releases
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts release check benchmarks/korfin-shift
  korfinsts release check korsts
  korfinsts release build benchmarks/korfin-shift
  korfinsts release verify korfin-shift-1.0.0.zip
  korfinsts release diff korfin-shift-1.0.0.zip korfin-shift-1.1.0.zip")]
pub struct ReleaseArgs {
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Debug, Subcommand)]
enum ReleaseCommand {
    Check(check::CheckArgs),
    Build(build::BuildArgs),
    Sign(build::SignArgs),
    Verify(build::VerifyArgs),
    Diff(compare::DiffArgs),
    Bump(compare::BumpArgs),
    Commit(build::CommitArgs),
}

/// Runs the subcommand.
///
/// # Errors
/// What the release room returns; a failed check.
pub fn run(args: &ReleaseArgs, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        ReleaseCommand::Check(args) => check::run(args, global),
        ReleaseCommand::Build(args) => build::build(args, global),
        ReleaseCommand::Sign(args) => build::sign(args, global),
        ReleaseCommand::Verify(args) => build::verify(args, global),
        ReleaseCommand::Diff(args) => compare::diff(args),
        ReleaseCommand::Bump(args) => compare::bump(args, global),
        ReleaseCommand::Commit(args) => build::commit(args),
    }
}

/// What a release is compared with, and the day it is looked at.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ContextArgs {
    /// Earlier releases [default: the zip files under `releases/`, or next to a built release]
    #[arg(long, value_name = "ZIP")]
    previous: Vec<PathBuf>,
    /// Day on which waivers must hold, YYYY-MM-DD [default: today]
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
    /// Folder with templates that replace the built-in ones
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
}

impl ContextArgs {
    /// The context of a release at `path`; earlier releases are those below its own version.
    fn of(&self, path: &Path) -> anyhow::Result<Context> {
        let today = match &self.as_of {
            Some(day) => day.parse().map_err(|_| {
                CliError::usage(
                    format!("found `--as-of {}`", day.escape_debug()),
                    "write the day as YYYY-MM-DD",
                )
            })?,
            None => jiff::Zoned::now().date(),
        };
        let mut context = Context::on(today);
        context.templates.clone_from(&self.templates);
        let own = Subject::open(path, context.clone())?;
        let own_version = own
            .manifest
            .as_ref()
            .map(korfinsts_publish::release::Manifest::semver);
        let given = !self.previous.is_empty();
        let candidates = if given {
            self.previous.clone()
        } else {
            beside(path)?
        };
        for candidate in candidates {
            let read = Subject::open(&candidate, Context::on(today));
            let subject = match read {
                Ok(subject) => subject,
                Err(e) if given => return Err(e.into()),
                Err(_) => continue,
            };
            let version = subject
                .manifest
                .as_ref()
                .map(korfinsts_publish::release::Manifest::semver);
            if subject.id != own.id || version >= own_version {
                continue;
            }
            context.earlier.push(earlier(&subject, &candidate)?);
        }
        context.earlier.sort_by_key(|e| e.version);
        Ok(context)
    }
}

fn earlier(subject: &Subject, path: &Path) -> anyhow::Result<Earlier> {
    let list = subject.files.get(SUMS).ok_or_else(|| {
        CliError::usage(
            format!("`{}` is not built: it has no release id", path.display()),
            "give the zip file of the release",
        )
    })?;
    Ok(subject.as_earlier(fs::sha256(list)))
}

/// The zip files in `releases/` of a folder, or next to a zip file or the folder of a built release.
fn beside(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = if path.is_dir() && !fs::exists(&path.join(SUMS)) {
        path.join("releases")
    } else {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = fs::list(&folder)?;
    found.retain(|p| p.extension().is_some_and(|e| e == "zip") && p != path);
    Ok(found)
}
