//! `korfinsts push release`.

use std::path::PathBuf;

use clap::Args;

use super::{HowArgs, RepositoryArgs};
use crate::cli::Global;
use crate::cli::release::{self, ContextArgs};
use korfinsts_base::hub::push::{Destination, PushFile, PushJob};
use korfinsts_base::hub::{RepoId, RepoKind};

/// Push a release as a dataset: card, Parquet, Croissant and rows, as its zip file has them
///
/// The release must pass `korfinsts release verify`.
#[derive(Debug, Args)]
pub struct PushReleaseArgs {
    /// Zip file or folder of a built release
    #[arg(value_name = "RELEASE")]
    release: PathBuf,
    /// Repository, as `organisation/name`
    #[arg(value_name = "REPO")]
    repository: String,
    /// File with the minisign public key that must have signed it [default: the one kept of this suite]
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    target: RepositoryArgs,
    #[command(flatten)]
    how: HowArgs,
}

pub(super) fn run(args: &PushReleaseArgs, global: &Global) -> anyhow::Result<()> {
    args.how.output.check()?;
    let id = RepoId::new(RepoKind::Dataset, &args.repository)?;
    let asked = (args.public_key.as_ref(), None);
    let examined = release::examine(&args.release, asked, &ContextArgs::default(), global)?;
    examined.passed(&args.release)?;
    let subject = &examined.subject;
    let own = format!(
        "{} {}, release id {}",
        subject.id,
        subject.version,
        examined.verdict.release_id.as_deref().unwrap_or_default()
    );
    let files = subject.files.iter();
    let files = files.map(|(name, bytes)| PushFile::from_bytes(name, bytes.clone()));
    let job = PushJob {
        id,
        files: files.collect::<Result<_, _>>()?,
        message: args.how.message.clone().unwrap_or(own),
        to: Destination::Main,
        visibility: Some(args.target.visibility()),
        delete: args.target.delete,
    };
    super::go(&job, &[], (&args.how, &super::hub(global)), global)
}
