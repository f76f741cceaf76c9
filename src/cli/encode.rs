//! `korfinsts encode`: texts to embeddings in a file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use npyz::WriterBuilder as _;
use safetensors::tensor::{Dtype, TensorView};

use super::model::ModelArgs;
use super::output::print;
use super::progress::Bar;
use super::{CliError, Global, interrupt};
use korfinsts_base::failure::FailureClass;
use korfinsts_base::fs;
use korfinsts_bench::run::engine::{self, BATCH_TOKENS, EncodeOptions};
use korfinsts_bench::run::store::{EmbeddingSet, text_key};

/// Write the embeddings of texts to a file, row order kept
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts encode ./all-MiniLM-L6-v2 --input texts.txt --output texts.npy
  cut -f2 notes.tsv | korfinsts encode model.onnx -i - -o - --prompt 'query: ' > notes.jsonl")]
pub struct EncodeArgs {
    /// Model file or folder, hub id, or endpoint
    #[arg(value_name = "MODEL")]
    model: String,
    /// Texts: `.txt` (one a line), or `.jsonl` (strings, or objects with `text`); `-` for lines
    /// from stdin
    #[arg(long, short, value_name = "FILE")]
    input: PathBuf,
    /// Embeddings: `.npy`, `.safetensors` (tensor `embeddings`), or `.jsonl`; `-` for JSON lines
    /// on stdout
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Key of the text in a `.jsonl` object
    #[arg(long, value_name = "KEY", default_value = "text")]
    field: String,
    #[command(flatten)]
    read: ModelArgs,
    /// Padded tokens per batch
    #[arg(long, value_name = "N", default_value_t = BATCH_TOKENS)]
    batch_tokens: usize,
    /// Encode everything again, and use no embeddings of earlier runs
    #[arg(long)]
    no_resume: bool,
}

/// Stands for stdin and stdout.
const DASH: &str = "-";

/// Writes the embeddings of texts to a file.
type Writer = fn(&EmbeddingSet, &[String], &Path) -> Result<(), fs::FsError>;

/// Formats of embeddings, by extension.
const FORMATS: &[(&str, Writer)] = &[("npy", npy), ("safetensors", safetensors), ("jsonl", jsonl)];

/// Runs the subcommand.
///
/// # Errors
/// When the texts, the model, the backend or the output fails.
pub fn run(args: &EncodeArgs, global: &Global) -> anyhow::Result<()> {
    let extension = args
        .output
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let to_stdout = args.output.as_os_str() == DASH;
    let chosen = FORMATS.iter().find(|(e, _)| *e == extension);
    let write = chosen.map(|(_, write)| *write);
    if write.is_none() && !to_stdout {
        let allowed: Vec<String> = FORMATS.iter().map(|(e, _)| format!("`.{e}`")).collect();
        return Err(CliError::usage(
            format!(
                "found output `{}`, allowed are {}",
                args.output.display(),
                allowed.join(", ")
            ),
            "the extension chooses the format; `-` is JSON lines on stdout",
        )
        .into());
    }
    if args.read.has_second_prompt() {
        return Err(CliError::usage(
            "`--prompt2` is of pairs, and here each text stands alone",
            "run `encode` once for each prompt",
        )
        .into());
    }
    if !to_stdout {
        fs::check_writable(&args.output)?;
    }
    let texts = read_texts(&args.input, &args.field)?;
    let (spec, prompting) = args.read.read(&args.model, global)?;
    let prompt = &prompting.prompts[0];
    let folder = global
        .data_home()?
        .join("embeddings")
        .join(spec.key(prompt));
    let options = EncodeOptions {
        batch_tokens: args.batch_tokens.max(1),
        resume: !args.no_resume,
        label: &spec.name,
        stop: interrupt::flag(),
    };
    let open = args.read.open_options(global)?;
    let references: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut bar = Bar::new(global.quiet);
    let store = engine::embed(&references, prompt, &folder, options, &mut bar, &mut || {
        spec.open(&open)
    })?;
    match write {
        Some(write) => write(store.set(), &texts, &args.output)?,
        None => print(&json_lines(store.set(), &texts))?,
    }
    let truncated = texts
        .iter()
        .filter(|t| {
            store
                .set()
                .get(&text_key(t))
                .is_some_and(|(_, count)| count.lost > 0)
        })
        .count();
    if truncated > 0 {
        let length = spec.longest_text();
        global.note(&format!(
            "warning: {truncated} of {} texts were longer than {length} and were truncated",
            texts.len()
        ));
    }
    let to = match write {
        Some(_) => args.output.display().to_string(),
        None => "stdout".to_owned(),
    };
    global.note(&format!(
        "{to}: {} embeddings of width {}",
        texts.len(),
        store.set().dimension()
    ));
    Ok(())
}

fn read_texts(path: &Path, field: &str) -> anyhow::Result<Vec<String>> {
    let wrong = |line: usize, reason: String, hint: Option<String>| {
        let message = format!("{}:{line}: {reason}", path.display());
        anyhow::Error::from(CliError::new(FailureClass::Data, message, hint))
    };
    let bytes = if path.as_os_str() == DASH {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(fs::at("read", Path::new("stdin")))?;
        bytes
    } else {
        fs::read(path).map_err(|e| CliError::new(FailureClass::Data, e.to_string(), e.hint()))?
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(e) => {
            let line = 1 + bytes[..e.valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            let reason = format!(
                "found bytes that are not UTF-8 at offset {}",
                e.valid_up_to()
            );
            let hint = "convert it: `iconv -f CP949 -t UTF-8 FILE`";
            return Err(wrong(line, reason, Some(hint.into())));
        }
    };
    let json = path.extension().is_some_and(|e| e == "jsonl");
    let mut texts = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if !json {
            texts.push(line.to_owned());
            continue;
        }
        let value: serde_json::Value =
            serde_json::from_str(line).map_err(|e| wrong(i + 1, e.to_string(), None))?;
        let found = value
            .as_str()
            .or_else(|| value.get(field).and_then(|v| v.as_str()));
        texts.push(found.map(str::to_owned).ok_or_else(|| {
            let reason = format!("found neither a string nor an object with a string `{field}`");
            wrong(
                i + 1,
                reason,
                Some("name the key with `--field KEY`".into()),
            )
        })?);
    }
    if texts.is_empty() {
        let hint = "one text a line is expected; an empty line is an empty text";
        return Err(wrong(1, "found no text".into(), Some(hint.into())));
    }
    Ok(texts)
}

fn row<'a>(set: &'a EmbeddingSet, text: &str) -> &'a [f32] {
    set.get(&text_key(text)).expect("every text was encoded").0
}

fn npy(set: &EmbeddingSet, texts: &[String], path: &Path) -> Result<(), fs::FsError> {
    fs::write_atomic_with(path, |file| {
        let shape = [texts.len() as u64, set.dimension() as u64];
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&shape)
            .writer(file)
            .begin_nd()?;
        for text in texts {
            writer.extend(row(set, text).iter().copied())?;
        }
        writer.finish()
    })
}

fn safetensors(set: &EmbeddingSet, texts: &[String], path: &Path) -> Result<(), fs::FsError> {
    fs::write_atomic_with(path, |file| {
        let mut bytes = Vec::with_capacity(texts.len() * set.dimension() * 4);
        for text in texts {
            bytes.extend(row(set, text).iter().flat_map(|v| v.to_le_bytes()));
        }
        let shape = vec![texts.len(), set.dimension()];
        let view = TensorView::new(Dtype::F32, shape, &bytes).map_err(std::io::Error::other)?;
        let content =
            safetensors::serialize([("embeddings", view)], None).map_err(std::io::Error::other)?;
        file.write_all(&content)
    })
}

fn jsonl(set: &EmbeddingSet, texts: &[String], path: &Path) -> Result<(), fs::FsError> {
    fs::write_atomic_with(path, |file| {
        file.write_all(json_lines(set, texts).as_bytes())
    })
}

/// One object per text, in their order: `{"embedding": [...], "text": "..."}`.
fn json_lines(set: &EmbeddingSet, texts: &[String]) -> String {
    texts
        .iter()
        .map(|text| {
            let line = serde_json::json!({"text": text, "embedding": row(set, text)});
            format!("{line}\n")
        })
        .collect()
}
