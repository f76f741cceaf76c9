//! `korfinsts push results`.

use std::path::PathBuf;

use clap::Args;

use super::HowArgs;
use crate::cli::{CliError, Global, record};
use korfinsts_base::fs;
use korfinsts_base::hub::push::{Destination, Head, PushFile, PushJob, Visibility};
use korfinsts_base::hub::{Hub, HubError, RepoId, RepoKind};
use korfinsts_bench::run::record::file_name;
use korfinsts_bench::suite::Registry;
use korfinsts_publish::push::{Scores, Target};

/// Push the scores of records: a pull request on the model's repository
///
/// The pull request adds `model-index` to the head of README.md, and `.eval_results/`. With `--results-repo`, mteb's result
/// files go to a branch of a repository of results instead. The newest commit of the model's repository must hold the weights that were
/// evaluated.
#[derive(Debug, Args)]
pub struct PushResultsArgs {
    /// Records of one encoder, or folders that hold them
    #[arg(value_name = "RECORD", required = true)]
    records: Vec<PathBuf>,
    /// Repository of the model, as `organisation/name`
    #[arg(value_name = "REPO")]
    repository: String,
    /// Push mteb's result files to a branch of this dataset instead
    #[arg(long, value_name = "REPO")]
    results_repo: Option<String>,
    /// The branch [default: korfinsts-<organisation>__<name>]
    #[arg(long, value_name = "NAME", requires = "results_repo")]
    branch: Option<String>,
    /// Make a public repository of results, or push to one [default: private]
    #[arg(long, requires = "results_repo")]
    public: bool,
    /// The encoder to push, where the records are of several: its name or the start of the SHA-256 of its weights
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Protocol to push, where the records are of several
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Where the results can be read
    #[arg(long, value_name = "URL", conflicts_with = "results_repo")]
    url: Option<String>,
    /// The scores are those of this model, although its repository holds other weights
    #[arg(long)]
    other_weights: bool,
    #[command(flatten)]
    how: HowArgs,
}

pub(super) fn run(args: &PushResultsArgs, global: &Global) -> anyhow::Result<()> {
    args.how.output.check()?;
    let id = RepoId::new(RepoKind::Model, &args.repository)?;
    let chosen = (args.model.as_deref(), args.protocol.as_deref());
    let paths = record::of_one_encoder(&args.records, chosen, "korfinsts push results DIR REPO")?;
    let scores = Scores::read(&paths)?;
    let hub = super::hub(global);
    if hub.settings().offline {
        return Err(CliError::usage(
            "results are added to what the hub has, and the network is not to be used",
            "leave out `--offline` (and `HF_HUB_OFFLINE`)",
        )
        .into());
    }
    let head = hub.head(&id, "main")?.ok_or_else(|| HubError::NotFound {
        what: format!("model `{}`", id.name()),
    })?;
    let target = Target {
        name: id.name(),
        head: &head,
    };
    if !args.other_weights {
        scores.check(target)?;
    }
    let message = args.how.message.clone();
    let message = message.unwrap_or_else(|| scores.message(id.name()));
    let (to, destination, files, visibility) = match &args.results_repo {
        None => {
            let card = card(&hub, &id, &head)?;
            let texts = (card.as_deref(), args.url.as_deref());
            let registry = Registry::open(&global.data_home()?)?;
            let files = scores.card(target, texts, &registry)?;
            (id.clone(), Destination::PullRequest, files, None)
        }
        Some(name) => {
            let (files, not) = scores.mteb(target)?;
            for reason in not {
                global.note(&format!("note: {reason}"));
            }
            let branch = args.branch.clone();
            let branch = branch.unwrap_or_else(|| format!("korfinsts-{}", file_name(id.name())));
            let visibility = if args.public {
                Visibility::Public
            } else {
                Visibility::Private
            };
            let to = RepoId::new(RepoKind::Dataset, name)?;
            (to, Destination::Branch(branch), files, Some(visibility))
        }
    };
    let files = files.into_iter();
    let files = files.map(|(name, bytes)| PushFile::from_bytes(&name, bytes));
    let job = PushJob {
        id: to,
        files: files.collect::<Result<_, _>>()?,
        message,
        to: destination,
        visibility,
        delete: false,
    };
    super::go(&job, &[], (&args.how, &hub), global)
}

/// The card that a repository has.
fn card(hub: &Hub, id: &RepoId, head: &Head) -> anyhow::Result<Option<String>> {
    const CARD: &str = "README.md";
    if !head.files.contains_key(CARD) {
        return Ok(None);
    }
    let bytes = fs::read(&hub.file(id, &head.commit, CARD)?)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(CliError::new(
            korfinsts_base::failure::FailureClass::Data,
            format!("README.md of `{}` is not UTF-8", id.name()),
            Some("save it as UTF-8 there, then run the same command again".into()),
        )
        .into()),
    }
}
