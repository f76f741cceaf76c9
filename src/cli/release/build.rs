//! `korfinsts release build`, `sign`, `verify` and `commit`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::ContextArgs;
use crate::cli::output::{self, OutputArgs, Table};
use crate::cli::{CliError, Global};
use korfinsts_base::archive::{self, Files};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs::{self, Commit, FolderLock};
use korfinsts_base::json as strict;
use korfinsts_base::sums::{self, SIGNATURE, SUMS};
use korfinsts_bench::run::record::file_name;
use korfinsts_publish::release::{self, Context, ReleaseError, Subject, Verdict};
use korfinsts_publish::signature::Signer;

/// Build a release whose gates pass: a folder and a zip file, byte-identical wherever it is built
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Folder with korfinsts.toml, or a built release to build again
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Where the folder `<id>-<version>` and the zip file go [default: FOLDER/releases]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write the zip file alone
    #[arg(long)]
    zip_only: bool,
    #[command(flatten)]
    context: ContextArgs,
}

pub(super) fn build(args: &BuildArgs, global: &Global) -> anyhow::Result<()> {
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| args.folder.join("releases"));
    let context = args.context.of(&args.folder)?;
    let subject = Subject::open(&args.folder, context)?;
    let built = release::build(&subject)?;
    let stem = format!("{}-{}", subject.id, subject.version);
    let zip = output.join(format!("{stem}.zip"));
    let mut lines = vec![format!("release id  {}", built.release_id)];
    // Folder and zip file change together.
    let lock = FolderLock::acquire(&output)?;
    let mut commit = Commit::new(&lock);
    commit.put(format!("{stem}.zip"), &built.zip)?;
    lines.push(format!(
        "sha256      {}  {}",
        fs::sha256(&built.zip),
        zip.display()
    ));
    if !args.zip_only {
        let folder = output.join(&stem);
        put_folder(&mut commit, &built.files, &folder, &stem)?;
        lines.push(format!("folder      {}", folder.display()));
    }
    commit.finish()?;
    drop(lock);
    output::print(&format!("{}\n", lines.join("\n")))?;
    global.note(&format!(
        "{} files, {} warnings; next: `korfinsts release sign {}`",
        built.files.len(),
        built.report.gates.iter().map(|g| g.warnings).sum::<usize>(),
        zip.display()
    ));
    Ok(())
}

/// Puts the files of a release into its folder `stem`. One that holds something else is left alone.
fn put_folder(
    commit: &mut Commit<'_>,
    files: &Files,
    folder: &Path,
    stem: &str,
) -> anyhow::Result<()> {
    if folder.is_dir() && !fs::list(folder)?.is_empty() {
        if !fs::exists(&folder.join(SUMS)) {
            return Err(CliError::usage(
                format!("`{}` holds something that is no release", folder.display()),
                "choose another place with `--output DIR`",
            )
            .into());
        }
        let old = open(folder)?;
        for name in old.keys().filter(|n| !files.contains_key(*n)) {
            commit.remove(Path::new(stem).join(name))?;
        }
    }
    for (name, bytes) in files {
        commit.put(Path::new(stem).join(name), bytes)?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<Files, ReleaseError> {
    archive::open(path).map_err(|source| ReleaseError::Archive {
        path: path.to_owned(),
        source,
    })
}

/// Sign a built release with a minisign key
///
/// A key with a password needs it in the environment variable `KORFINSTS_KEY_PASSWORD`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Folder or zip file of a built release
    #[arg(value_name = "RELEASE")]
    release: PathBuf,
    /// File with the minisign secret key
    #[arg(long, value_name = "FILE")]
    secret_key: PathBuf,
}

pub(super) fn sign(args: &SignArgs, global: &Global) -> anyhow::Result<()> {
    let today = jiff::Zoned::now().date();
    let subject = Subject::open(&args.release, Context::on(today))?;
    let differences = sums::differences(&subject.files);
    if let Some((_, first)) = differences.first() {
        return Err(CliError::new(
            FailureClass::Check,
            format!("{}: {first}: nothing was signed", args.release.display()),
            Some("build the release again".into()),
        )
        .into());
    }
    let list = &subject.files[SUMS];
    let comment = format!(
        "{} {} release_id:{}",
        subject.id,
        subject.version,
        fs::sha256(list)
    );
    let signer = signer(&args.secret_key)?;
    let signature = signer.sign(list, &comment).map_err(ReleaseError::from)?;
    if subject.container.is_some() {
        let mut files = subject.files.clone();
        files.insert(SIGNATURE.into(), signature.into_bytes());
        let zip = archive::write(&files).map_err(|source| ReleaseError::Archive {
            path: args.release.clone(),
            source,
        })?;
        fs::write_atomic(&args.release, &zip)?;
    } else {
        fs::write_atomic(&args.release.join(SIGNATURE), signature.as_bytes())?;
    }
    global.note(&format!("signed: {comment}"));
    Ok(())
}

/// Opens a secret key; its password is in the environment.
pub(in crate::cli) fn signer(path: &Path) -> anyhow::Result<Signer> {
    let key = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    let password = std::env::var("KORFINSTS_KEY_PASSWORD").ok();
    Ok(Signer::open(&key, password).map_err(ReleaseError::from)?)
}

/// Verify a built release: container, checksums both ways, signature, and that its inputs build
/// to the same bytes
///
/// A key that the release names itself does not say who made it: give the publisher's with `--public-key`.
/// A key that verified a release is kept in the data home (`keys/<suite>.pub`), and every later release of
/// that suite must be signed with it.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Folder or zip file of a built release
    #[arg(value_name = "RELEASE")]
    release: PathBuf,
    /// File with the minisign public key that must have signed it [default: the one kept of this suite]
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Release id that it must have
    #[arg(long, value_name = "SHA256")]
    release_id: Option<String>,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn verify(args: &VerifyArgs, global: &Global) -> anyhow::Result<()> {
    args.output.check()?;
    let asked = (args.public_key.as_ref(), args.release_id.as_deref());
    let examined = examine(&args.release, asked, &args.context, global)?;
    let verdict = &examined.verdict;
    let mut table = Table::new("", &["check", "result", "what"]);
    for check in &verdict.checks {
        let result = match (check.skipped, check.passed) {
            (true, _) => "skipped",
            (false, true) => "passed",
            (false, false) => "FAILED",
        };
        table.push(vec![check.id.into(), result.into(), check.message.clone()]);
    }
    let document = json!({
        "release_id": verdict.release_id,
        "passed": verdict.passed(),
        "key": examined.key.as_ref().map(|(path, _)| path.display().to_string()),
        "checks": verdict.checks,
    });
    args.output.show(&document, &[table])?;
    examined.passed(&args.release)?;
    if let (Some((_, key)), Some(_)) = (&examined.key, &args.public_key)
        && fs::read(&examined.kept).ok().as_deref() != Some(key.as_bytes())
    {
        fs::write_atomic(&examined.kept, key.as_bytes())?;
        global.note(&format!("the key is kept: {}", examined.kept.display()));
    }
    global.note(&format!(
        "release id {}",
        verdict.release_id.as_deref().unwrap_or_default()
    ));
    Ok(())
}

/// A release that was verified.
pub(in crate::cli) struct Examined {
    pub subject: Subject,
    pub verdict: Verdict,
    /// The key that is trusted, and its file.
    pub key: Option<(PathBuf, String)>,
    /// Where the key of this suite is kept.
    pub kept: PathBuf,
}

impl Examined {
    /// Refuses a release that failed a check.
    pub fn passed(&self, path: &Path) -> Result<(), CliError> {
        if self.verdict.passed() {
            return Ok(());
        }
        Err(CliError::new(
            FailureClass::Check,
            format!("{} is not as it was released", path.display()),
            Some("get it again from where it was published".into()),
        ))
    }
}

/// Verifies a release with the key and for the release id that are asked for, else with the key that is kept.
pub(in crate::cli) fn examine(
    release: &Path,
    (given, release_id): (Option<&PathBuf>, Option<&str>),
    context: &ContextArgs,
    global: &Global,
) -> anyhow::Result<Examined> {
    let context = context.of(release)?;
    let subject = Subject::open(release, context)?;
    let kept = global.data_home()?.join("keys");
    let kept = kept.join(format!("{}.pub", file_name(&subject.id)));
    let trusted = given.or(Some(&kept).filter(|path| fs::exists(path)));
    let key = match trusted {
        Some(path) => Some((
            path.clone(),
            String::from_utf8_lossy(&fs::read(path)?).into_owned(),
        )),
        None => None,
    };
    let trusted = key.as_ref().map(|(_, key)| key.as_str());
    let verdict = release::verify(&subject, trusted, release_id);
    Ok(Examined {
        subject,
        verdict,
        key,
        kept,
    })
}

/// Print the commitment to the labels of a hidden split, or to the rows of a sealed one
///
/// With `--seal`, the rows are whole ({"id", "sentence1", "sentence2", "score", ...} per line). They are written to FILE, sorted by id,
/// each with the salt, and the SHA-256 of FILE is printed: it is the commitment to texts and labels. It goes into korfinsts.toml
/// (`sealed = true`, `commitment`) and, as `sha256` of the file, into suite.toml. Keep FILE outside of the repository. Whoever holds
/// it runs `korfinsts suite import SUITE FILE`, which compares the SHA-256, and then evaluates on `SUITE:SPLIT`.
#[derive(Debug, Args)]
pub struct CommitArgs {
    /// JSONL file of the labels: {"id", "score"} per line
    #[arg(value_name = "LABELS")]
    labels: PathBuf,
    /// File with the salt: at least 16 characters that nobody can guess
    #[arg(long, value_name = "FILE")]
    salt: PathBuf,
    /// Write the file of a sealed split here
    #[arg(long, value_name = "FILE")]
    seal: Option<PathBuf>,
}

pub(super) fn commit(args: &CommitArgs) -> anyhow::Result<()> {
    let salt = String::from_utf8_lossy(&fs::read(&args.salt)?)
        .trim()
        .to_owned();
    if salt.chars().count() < 16 {
        return Err(CliError::usage(
            "the salt is shorter than 16 characters: labels could be guessed from it",
            "make one with `openssl rand -hex 32`",
        )
        .into());
    }
    let asked: &[&str] = match args.seal {
        Some(_) => &["id", "score", "sentence1", "sentence2"],
        None => &["id", "score"],
    };
    let hint = match args.seal {
        Some(_) => {
            "one object per line: {\"id\": \"...\", \"sentence1\": \"...\", \"sentence2\": \"...\", \"score\": 1}"
        }
        None => "one object per line: {\"id\": \"...\", \"score\": 1.0}",
    };
    let invalid = |line: usize, reason: String| ReleaseError::Invalid {
        path: args.labels.clone(),
        reason: format!("line {line}: {reason}"),
        hint: Some(hint.into()),
    };
    let lines = strict::parse_lines(&fs::read(&args.labels)?).map_err(|(l, e)| invalid(l, e))?;
    let (mut labels, mut rows) = (BTreeMap::new(), BTreeMap::new());
    for (i, line) in lines.into_iter().enumerate() {
        let is_there = |key: &&str| match *key {
            "score" => line[key].as_f64().is_some(),
            key => line[key].is_string(),
        };
        if let Some(missing) = asked.iter().find(|key| !is_there(key)) {
            return Err(invalid(i + 1, format!("found no `{missing}`")).into());
        }
        let (id, score) = (
            line["id"].as_str().unwrap_or_default(),
            line["score"].as_f64(),
        );
        if labels
            .insert(id.to_owned(), score.unwrap_or_default())
            .is_some()
        {
            return Err(invalid(
                i + 1,
                format!("the id `{}` stands twice", id.escape_debug()),
            )
            .into());
        }
        if let serde_json::Value::Object(row) = &line {
            rows.insert(id.to_owned(), row.clone());
        }
    }
    if let Some(path) = &args.seal {
        let sealed = release::seal(&salt, &rows);
        fs::write_atomic(path, &sealed)?;
        return output::print(&format!("{}\n", fs::sha256(&sealed)));
    }
    output::print(&format!("{}\n", release::commitment(&salt, &labels)))
}
