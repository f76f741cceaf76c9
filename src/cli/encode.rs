//! `korfinsts encode`: texts to embeddings in a file.

pub(super) mod input;

use std::path::{Path, PathBuf};

use clap::Args;
use safetensors::tensor::{Dtype, TensorView};

use self::input::{Input, InputFormat};
use super::model::ModelArgs;
use super::output::print;
use super::progress::Bar;
use super::{CliError, Global, interrupt};
use korfinsts_base::fs;
use korfinsts_bench::run::RunError;
use korfinsts_bench::run::engine::{self, BATCH_TOKENS, EncodeOptions, EncodeTask};
use korfinsts_bench::run::store::{EmbeddingSet, text_key};
use korfinsts_encoder::EncoderError;

/// Write the embeddings of texts to a file, row order kept
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts encode ./all-MiniLM-L6-v2 --input texts.txt --output texts.npy
  cut -f2 notes.tsv | korfinsts encode model.onnx -i - -o - --prompt 'query: ' > notes.jsonl")]
pub struct EncodeArgs {
    /// Model file or folder, hub id, or endpoint
    #[arg(value_name = "MODEL")]
    model: String,
    /// Texts: `.txt` (one a line), `.csv` or `.tsv` (with a header), `.json` (an array), or `.jsonl`
    /// (one a line); `-` for lines from stdin
    #[arg(long, short, value_name = "FILE")]
    input: PathBuf,
    /// How the texts are read [default: as the ending of the file says]
    #[arg(long, value_name = "FORMAT")]
    input_format: Option<InputFormat>,
    /// Embeddings: `.npy`, `.safetensors` (tensor `embeddings`), or `.jsonl`; `-` for JSON lines
    /// on stdout
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Key or column of the texts [default: `text`, or the only column]
    #[arg(long, visible_alias = "column", value_name = "NAME")]
    field: Option<String>,
    #[command(flatten)]
    read: ModelArgs,
    /// Number of tokens per batch, padding included
    #[arg(
        long,
        value_name = "N",
        default_value_t = BATCH_TOKENS,
        help_heading = "Run"
    )]
    batch_tokens: usize,
    /// Encode everything again, and use no embeddings of earlier runs
    #[arg(long, help_heading = "Run")]
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
            "`--prompt2` is for pairs, and `encode` reads single texts",
            "run `encode` once for each prompt",
        )
        .into());
    }
    if !to_stdout {
        fs::check_writable(&args.output)?;
    }
    let input = Input {
        path: &args.input,
        format: args.input_format,
        field: args.field.as_deref(),
    };
    let texts = input.texts()?;
    let (spec, prompting) = args.read.read(&args.model, global)?;
    let prompt = &prompting.prompts[0];
    let folder = global
        .data_home()?
        .join("embeddings")
        .join(spec.key(prompt));
    let task = EncodeTask {
        texts: &texts.iter().map(String::as_str).collect::<Vec<_>>(),
        prompt,
        folder: &folder,
        options: EncodeOptions {
            batch_tokens: args.batch_tokens.max(1),
            resume: !args.no_resume,
            label: &spec.name,
            stop: interrupt::flag(),
        },
    };
    let open = args.read.open_options(global)?;
    let mut bar = Bar::new(global.quiet);
    let store = engine::embed(task, &mut bar, &mut || spec.open(&open))
        .map_err(|error| located(error, &texts, prompt, &args.input))?;
    for warning in store.about().iter().flat_map(|about| &about.warnings) {
        global.note(&format!("warning: {warning}"));
    }
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
        "written to {to}: {} embeddings of {} dimensions",
        texts.len(),
        store.set().dimension()
    ));
    Ok(())
}

/// The error of an encoder on one text, with the number of the first text that is it.
fn located(error: RunError, texts: &[String], prompt: &str, input: &Path) -> anyhow::Error {
    let line = match &error {
        RunError::Encoder(EncoderError::Text { text, .. }) => {
            let bare = text.strip_prefix(prompt).unwrap_or(text);
            texts.iter().position(|t| t == bare)
        }
        _ => None,
    };
    let error = anyhow::Error::from(error);
    match line {
        Some(at) => error.context(format!("{}: text {}", input.display(), at + 1)),
        None => error,
    }
}

fn row<'a>(set: &'a EmbeddingSet, text: &str) -> &'a [f32] {
    set.get(&text_key(text)).expect("every text was encoded").0
}

/// Version 1.0 of [NumPy's format](https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
/// a header of a multiple of 64 bytes, then the rows.
fn npy(set: &EmbeddingSet, texts: &[String], path: &Path) -> Result<(), fs::FsError> {
    fs::write_atomic_with(path, |file| {
        let shape = (texts.len(), set.dimension());
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape:?}, }}");
        let padding = 63 - (10 + header.len()) % 64;
        header.extend(std::iter::repeat_n(' ', padding));
        header.push('\n');
        file.write_all(b"\x93NUMPY\x01\x00")?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for text in texts {
            let bytes: Vec<u8> = row(set, text)
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect();
            file.write_all(&bytes)?;
        }
        Ok(())
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
