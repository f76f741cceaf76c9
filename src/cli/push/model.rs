//! `korfinsts push model`.

use std::path::PathBuf;

use clap::Args;

use super::{HowArgs, RepositoryArgs};
use crate::cli::{CliError, Global, model};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::hub::push::{Destination, PushJob};
use korfinsts_base::hub::{RepoId, RepoKind};
use korfinsts_encoder::open;
use korfinsts_publish::push::check_card;

/// A text that every encoder encodes.
const TEXT: &str = "영업이익이 전년 대비 12% 증가했다. Operating profit rose.";

/// Push a model's folder
///
/// The folder is opened as `eval` opens it, and must have a card (README.md) and a licence. Hidden files and the
/// states of training are left out. Links, and files that hold a key, are refused.
#[derive(Debug, Args)]
pub struct PushModelArgs {
    /// Folder of the model
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Repository, as `organisation/name`
    #[arg(value_name = "REPO")]
    repository: String,
    #[command(flatten)]
    target: RepositoryArgs,
    #[command(flatten)]
    how: HowArgs,
}

pub(super) fn run(args: &PushModelArgs, global: &Global) -> anyhow::Result<()> {
    args.how.output.check()?;
    let id = RepoId::new(RepoKind::Model, &args.repository)?;
    if !args.folder.is_dir() {
        return Err(CliError::usage(
            format!("`{}` is no folder", args.folder.display()),
            "name the folder of a model; `korfinsts export` makes one of a checkpoint",
        )
        .into());
    }
    check_card(&args.folder)?;
    let hub = super::hub(global);
    let folder = hub.folder(&args.folder)?;
    opens(args, global)?;
    let job = PushJob {
        message: args
            .how
            .message
            .clone()
            .unwrap_or_else(|| format!("Add {}", id.name())),
        id,
        files: folder.files,
        to: Destination::Main,
        visibility: Some(args.target.visibility()),
        delete: args.target.delete,
    };
    super::go(&job, &folder.left_out, (&args.how, &hub), global)
}

/// Checks that the model can be read, opened and run.
fn opens(args: &PushModelArgs, global: &Global) -> anyhow::Result<()> {
    let options = model::options(global)?;
    // Read from this folder, whatever a built-in encoder or a hub id is named.
    let place = korfinsts_base::fs::canonicalize(&args.folder)?;
    let read = open::read(&place.to_string_lossy(), &options)?;
    for warning in &read.spec.warnings {
        global.note(&format!("warning: {warning}"));
    }
    let encoder = read.spec.open(&options.open)?;
    let text = encoder.prepare(TEXT, &read.prompting.prompts[0])?;
    let embedding = encoder.encode(&[&text])?;
    if embedding.values.iter().all(|value| *value == 0.0) {
        let message = format!("{}: the embedding of a text is zero", args.folder.display());
        let hint = Some("are the weights those of this model?".into());
        return Err(CliError::new(FailureClass::Model, message, hint).into());
    }
    Ok(())
}
