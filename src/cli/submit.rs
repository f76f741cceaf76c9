//! `korfinsts submit`: a bundle from the records of one encoder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::release::signer;
use super::submissions::{self, ENDING};
use super::{CliError, Global};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::{self, Commit, FolderLock};
use korfinsts_base::json;
use korfinsts_bench::run::record::file_name;
use korfinsts_bench::suite::Registry;
use korfinsts_publish::submission::{
    BundleContext, Card, PackInput, Packed, SubmissionError, TrainData, card, pack,
};

/// Pack a submission and its model card from the records of one encoder
///
/// Records are what `korfinsts eval` keeps. The bundle holds scores, token counts and what you say
/// of the training data; it is verified before it is written. The folder `<NAME>.card` next to it
/// gets README.md with `model-index` and `.eval_results/`, ready for a model's repository.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts submit --licence apache-2.0 --train-data train_data.json --overlap-report overlap.md
  korfinsts submit korfinsts-results/my-model-1a2b3c4d --licence mit --statement \"trained on nothing beyond bge-m3\" \\
      --overlap-report overlap.md")]
pub struct SubmitArgs {
    /// Records, or folders that hold them
    #[arg(value_name = "RECORD", default_value = "korfinsts-results")]
    records: Vec<PathBuf>,
    /// The encoder to submit, where the records are of several: its name or the start of the SHA-256 of
    /// its weights
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Protocol to submit, where the records are of several
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Name under which it is shown, e.g. `organisation/model` [default: that of the records]
    #[arg(long, value_name = "ID")]
    name: Option<String>,
    /// Licence of the model, as an SPDX expression or in its makers' words
    #[arg(long, value_name = "LICENCE")]
    licence: String,
    /// JSON file that names what it was trained on: {"statement", "datasets": [{"name", "licence", ...}]}
    #[arg(long, value_name = "FILE", required_unless_present = "statement")]
    train_data: Option<PathBuf>,
    /// What is known of its training data, in words, where no dataset can be named
    #[arg(long, value_name = "TEXT", conflicts_with = "train_data")]
    statement: Option<String>,
    /// File that says how overlap with the suites was looked for, and what was found
    #[arg(long, value_name = "FILE")]
    overlap_report: PathBuf,
    /// File with the ids that the model may have seen, one `<suite>/<id>` per line
    #[arg(long, value_name = "FILE")]
    contaminated: Option<PathBuf>,
    /// The bundle that this one replaces: its file or SHA-256
    #[arg(long, value_name = "BUNDLE")]
    resubmission_of: Option<String>,
    /// File with a minisign secret key that signs the bundle: a later bundle of the same name is taken in
    /// only if the same key signs it. Its password is read from `KORFINSTS_KEY_PASSWORD`
    #[arg(long, value_name = "FILE")]
    secret_key: Option<PathBuf>,
    /// Where the results can be read, for the model card
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Folder for the bundle and the card
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Folder with templates that replace the built-in ones
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// When records are of several encoders or do not fit, or the bundle would not pass `verify`.
pub fn run(args: &SubmitArgs, global: &Global) -> anyhow::Result<()> {
    let meant = (args.model.as_deref(), args.protocol.as_deref());
    let records = super::record::of_one_encoder(&args.records, meant, "korfinsts submit DIR")?;
    let packed = pack(&input(args, records)?)?;
    let name = file_name(&packed.manifest.model.id);
    let bundle = args.output.join(format!("{name}{ENDING}"));
    fs::check_writable(&bundle)?;
    let registry = Registry::open(&global.data_home()?)?;
    let context = BundleContext {
        registry: &registry,
        entries: &[],
        revoked: &korfinsts_publish::submission::revoked(),
    };
    let (verdict, _) = korfinsts_publish::submission::verify(&packed.bytes, context);
    if let Some(failure) = verdict.first_failure() {
        return Err(CliError::new(
            FailureClass::Check,
            format!(
                "the bundle would be refused: {}: {}",
                failure.id, failure.message
            ),
            Some("nothing was written".into()),
        )
        .into());
    }
    let files = model_card(&packed, args, &registry)?;
    let lock = FolderLock::acquire(&args.output)?;
    let mut commit = Commit::new(&lock);
    commit.put(format!("{name}{ENDING}"), &packed.bytes)?;
    let card = PathBuf::from(format!("{name}.card"));
    for (file, text) in &files {
        commit.put(card.join(file), text.as_bytes())?;
    }
    commit.finish()?;
    drop(lock);
    let folder = args.output.join(card);
    let table = submissions::verdict_table(&verdict);
    global.note(&table.to_terminal());
    super::output::print(&format!(
        "{}  {}\n{}\n",
        fs::sha256(&packed.bytes),
        bundle.display(),
        folder.display()
    ))?;
    global.note(&format!(
        "next: look through {}, then hand in {}",
        folder.join("README.md").display(),
        bundle.display()
    ));
    Ok(())
}

fn model_card(
    packed: &Packed,
    args: &SubmitArgs,
    registry: &Registry,
) -> Result<BTreeMap<String, String>, SubmissionError> {
    let about = Card {
        date: jiff::Zoned::now().date().to_string(),
        url: args.url.clone(),
    };
    card(
        &packed.manifest,
        &about,
        registry,
        args.templates.as_deref(),
    )
}

fn input(args: &SubmitArgs, records: Vec<PathBuf>) -> anyhow::Result<PackInput> {
    let train_data = match (&args.train_data, &args.statement) {
        (Some(path), _) => json::parse_as::<TrainData>(&fs::read(path)?).map_err(|e| {
            CliError::new(
                FailureClass::Data,
                format!("{}: {e}", path.display()),
                Some("write {\"statement\": \"...\", \"datasets\": [{\"name\": \"...\", \"licence\": \"...\"}]}".into()),
            )
        })?,
        (None, statement) => TrainData {
            statement: statement.clone().unwrap_or_default(),
            datasets: Vec::new(),
        },
    };
    let text = |path: &Path| -> anyhow::Result<String> {
        let text = String::from_utf8_lossy(&fs::read(path)?).trim().to_owned();
        Ok(korfinsts_base::text::nfc(&text.replace("\r\n", "\n")))
    };
    let contaminated = match &args.contaminated {
        Some(path) => text(path)?
            .lines()
            .map(|l| l.trim().to_owned())
            .filter(|l| !l.is_empty())
            .collect(),
        None => Vec::new(),
    };
    let resubmission_of = match &args.resubmission_of {
        Some(name) if Path::new(name).is_file() => Some(fs::sha256_file(Path::new(name))?),
        other => other.clone(),
    };
    Ok(PackInput {
        records,
        name: args.name.clone(),
        licence: args.licence.clone(),
        train_data,
        overlap_report: text(&args.overlap_report)?,
        contaminated_ids: contaminated,
        resubmission_of,
        signer: args.secret_key.as_deref().map(signer).transpose()?,
    })
}
