//! `korfinsts push`: a model, a release or results to the hub.

mod model;
mod release;
mod results;

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::json;

use super::Global;
use super::output::{OutputArgs, Table};
use korfinsts_base::hub::push::{
    Destination, How, PushFile, PushJob, PushPlan, Pushed, Visibility,
};
use korfinsts_base::hub::{Hub, HubSettings, Progress, RepoKind};

/// Push a model, a release or results to the hub
///
/// The token is that of the hub's own tools: `HF_TOKEN`, or the file that `hf auth login` writes. A push is
/// one commit. Files that the repository has already are not sent, and a push that was interrupted goes on
/// when it is started again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts push model checkpoints/mine my-org/my-model --dry-run
  korfinsts push release korfin-shift-1.1.0.zip my-org/korfin-shift
  korfinsts push results korfinsts-results my-org/my-model
  korfinsts push results korfinsts-results my-org/my-model --results-repo my-org/results")]
pub struct PushArgs {
    #[command(subcommand)]
    command: PushCommand,
}

#[derive(Debug, Subcommand)]
enum PushCommand {
    Model(model::PushModelArgs),
    Release(release::PushReleaseArgs),
    Results(results::PushResultsArgs),
}

/// Runs the subcommand.
///
/// # Errors
/// When what is pushed does not pass its checks, or the hub refuses.
pub fn run(args: &PushArgs, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        PushCommand::Model(args) => model::run(args, global),
        PushCommand::Release(args) => release::run(args, global),
        PushCommand::Results(args) => results::run(args, global),
    }
}

/// How every push goes.
#[derive(Debug, Clone, Args)]
struct HowArgs {
    /// List what would be pushed, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// First line of the commit
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What becomes of the repository.
#[derive(Debug, Clone, Args)]
struct RepositoryArgs {
    /// Make a public repository, or push to one: everybody can see what is pushed [default: private]
    #[arg(long)]
    public: bool,
    /// Remove the files of the repository that are not pushed
    #[arg(long)]
    delete: bool,
}

impl RepositoryArgs {
    fn visibility(&self) -> Visibility {
        if self.public {
            Visibility::Public
        } else {
            Visibility::Private
        }
    }
}

/// The hub of this environment.
fn hub(global: &Global) -> Hub {
    let told = global.clone();
    Hub::from_env(global.offline).with_progress(move |progress| {
        if let Progress::Start { file, total, .. } = progress {
            told.note(&format!(
                "sending {file} {}",
                HumanBytes(total.unwrap_or_default())
            ));
        }
    })
}

/// Pushes a job, or lists what it would push.
fn go(
    job: &PushJob,
    left_out: &[(String, &'static str)],
    (how, hub): (&HowArgs, &Hub),
    global: &Global,
) -> anyhow::Result<()> {
    if how.dry_run {
        let plan = hub.plan_push(job)?;
        let (document, table) = listed(job, &plan, left_out, hub.settings());
        how.output.show(&document, &[table])?;
        for line in notes(job, &plan, left_out) {
            global.note(&line);
        }
        return Ok(());
    }
    let Pushed {
        commit,
        url,
        already,
        sent,
    } = hub.push(job)?;
    let document = json!({
        "repository": job.id.to_string(),
        "commit": commit,
        "url": url,
        "already": already,
        "bytes_sent": sent,
    });
    let mut table = Table::new("", &["repository", "commit", "url"]);
    table.push(vec![job.id.to_string(), commit, url]);
    how.output.show(&document, &[table])?;
    global.note(&match (already, sent) {
        (true, _) => "nothing to push: everything is there already".to_owned(),
        (false, sent) => format!(
            "pushed; {} went to the storage of large files",
            HumanBytes(sent)
        ),
    });
    Ok(())
}

/// What a push would do, as JSON and as a table.
fn listed(
    job: &PushJob,
    plan: &PushPlan,
    left_out: &[(String, &'static str)],
    settings: &HubSettings,
) -> (serde_json::Value, Table) {
    let word = |how| match how {
        How::Inline => ("inline", "inline"),
        How::Lfs => ("lfs", "LFS"),
        How::Same => ("same", "there already"),
        How::Delete => ("delete", "removed"),
    };
    let mut table = Table::new(&title(job, plan), &["path", "bytes", "how"]);
    let mut files = Vec::new();
    for (at, planned) in plan.files.iter().enumerate() {
        let (key, said) = word(planned.how);
        table.push(vec![
            planned.path.clone(),
            planned.size.to_string(),
            said.into(),
        ]);
        files.push(json!({
            "path": planned.path,
            "size": planned.size,
            "sha256": job.files.get(at).map(PushFile::sha256),
            "how": key,
        }));
    }
    let left_out = left_out
        .iter()
        .map(|(path, reason)| json!({ "path": path, "reason": reason }));
    let document = json!({
        "repository": job.id.to_string(),
        "endpoint": korfinsts_base::hub::without_password(&settings.endpoint),
        "exists": plan.asked.then_some(plan.head.is_some()),
        "private": plan.head.as_ref().map_or(job.visibility == Some(Visibility::Private), |h| h.private),
        "parent": plan.head.as_ref().map(|h| &h.commit),
        "pull_request": job.to == Destination::PullRequest,
        "branch": job.to.branch(),
        "new_branch": plan.new_branch,
        "message": job.message,
        "how_is_guessed": plan.guessed,
        "files": files,
        "left_out": left_out.collect::<Vec<_>>(),
        "stay": plan.others,
    });
    (document, table)
}

/// The title of the table: where the commit goes, and its message.
fn title(job: &PushJob, plan: &PushPlan) -> String {
    let kind = match job.id.kind() {
        RepoKind::Model => "model",
        RepoKind::Dataset => "dataset",
    };
    let seen = match (&plan.head, job.visibility) {
        (Some(head), _) if head.private => "private",
        (Some(_), _) | (None, Some(Visibility::Public)) => "public",
        (None, _) => "private",
    };
    let state = match (plan.asked, &plan.head) {
        (false, _) => "not looked at, ",
        (true, None) => "new, ",
        (true, Some(_)) => "",
    };
    let to = match &job.to {
        Destination::Main => "to main".to_owned(),
        Destination::Branch(name) => format!("to branch {name}"),
        Destination::PullRequest => "as a pull request".to_owned(),
    };
    format!(
        "{kind} {} ({state}{seen}), {to}: {}",
        job.id.name(),
        job.message
    )
}

fn notes(job: &PushJob, plan: &PushPlan, left_out: &[(String, &'static str)]) -> Vec<String> {
    let mut lines: Vec<String> = left_out
        .iter()
        .map(|(path, reason)| format!("not pushed: {path} ({reason})"))
        .collect();
    if plan.is_done() {
        lines.push("nothing to push: everything is there already".into());
    }
    if !plan.others.is_empty() && job.to == Destination::Main {
        lines.push(format!(
            "{} files of the repository are not among these and stay: `--delete` removes them",
            plan.others.len()
        ));
    }
    if plan.guessed {
        lines.push("how files are stored is a guess: the hub says it when they are pushed".into());
    }
    lines.push("nothing was written (`--dry-run`)".into());
    lines
}
