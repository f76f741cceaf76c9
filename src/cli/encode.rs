//! `korfinsts encode`: texts to embeddings in a file.

mod format;
pub(super) mod input;
mod parts;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use self::format::Format;
use self::input::{Input, InputFormat};
use self::parts::Texts;
use super::model::ModelArgs;
use super::output::print;
use super::progress::Bar;
use super::{CliError, Global, interrupt};
use korfinsts_base::fs;
use korfinsts_bench::run::RunError;
use korfinsts_bench::run::engine::{self, BATCH_TOKENS, EncodeOptions, EncodeTask, Progress as _};
use korfinsts_bench::run::shard::Shard;
use korfinsts_bench::run::store::{Store, text_key};
use korfinsts_encoder::{
    BatchLimits, Embeddings, Encoder, EncoderError, EncoderSpec, PreparedText, TokenCount,
};

/// Write the embeddings of texts to a file, row order kept
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  korfinsts encode ./all-MiniLM-L6-v2 --input texts.txt --output texts.npy
  cut -f2 notes.tsv | korfinsts encode model.onnx -i - -o - --prompt 'query: ' > notes.jsonl
  korfinsts encode model/ -i corpus.jsonl -o part-2.npy --shard 2/8    (the second of eight jobs)

A file of lines or rows may be larger than memory: it is read twice, first to count the texts, and
encoded in parts. A run that was stopped uses the parts it had when it is started again.")]
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
    /// Encode only shard I of N of the texts; the outputs of all shards, in order, are that of one run
    #[arg(long, value_name = "I/N", help_heading = "Run")]
    shard: Option<Shard>,
    /// Encode everything again, and use no embeddings of earlier runs
    #[arg(long, help_heading = "Run")]
    no_resume: bool,
}

/// Stands for stdin and stdout.
const DASH: &str = "-";

/// Runs the subcommand.
///
/// # Errors
/// When the texts, the model, the backend or the output fails.
pub fn run(args: &EncodeArgs, global: &Global) -> anyhow::Result<()> {
    let to_stdout = args.output.as_os_str() == DASH;
    let format = match Format::of(&args.output) {
        Some(format) => format,
        None if to_stdout => Format::Jsonl,
        None => return Err(Format::unknown(&args.output).into()),
    };
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
    let texts = Texts::of(input, args.shard)?;
    let (spec, prompting) = args.read.read(&args.model, global)?;
    let mut work = Work {
        args,
        global,
        spec,
        prompt: &prompting.prompts[0],
        encoder: None,
        stores: Vec::new(),
        truncated: 0,
        dimension: 0,
    };
    if to_stdout {
        work.run(&texts, format, &mut |row| {
            print(&String::from_utf8_lossy(row))
        })?;
    } else {
        let mut failure = None;
        let written = fs::write_atomic_with(&args.output, |out| {
            let put: Put<'_> =
                &mut |row| Ok(out.write_all(row).map_err(fs::at("write", &args.output))?);
            work.run(&texts, format, put).map_err(|e| {
                failure = Some(e);
                std::io::ErrorKind::Other.into()
            })
        });
        match failure {
            Some(failure) => return Err(failure),
            None => written?,
        }
    }
    // What a run that stopped would have needed.
    for store in &work.stores {
        fs::discard_dir(store)?;
    }
    if let Some(usage) = work.encoder.as_ref().and_then(|e| e.0.usage()) {
        Bar::new(global.quiet).usage(&usage);
    }
    let count = texts.own.len();
    if work.truncated > 0 {
        global.note(&format!(
            "warning: {} of {count} texts were longer than {} and were truncated",
            work.truncated,
            work.spec.longest_text(),
        ));
    }
    let to = if to_stdout {
        "stdout".to_owned()
    } else {
        args.output.display().to_string()
    };
    global.note(&format!(
        "written to {to}: {count} embeddings of {} dimensions",
        work.dimension
    ));
    Ok(())
}

/// Where rows go.
type Put<'a> = &'a mut dyn FnMut(&[u8]) -> anyhow::Result<()>;

/// A run over the texts, part by part.
struct Work<'a> {
    args: &'a EncodeArgs,
    global: &'a Global,
    spec: EncoderSpec,
    prompt: &'a str,
    encoder: Option<Opened>,
    /// Stores of parts, of use until the output is there.
    stores: Vec<PathBuf>,
    truncated: usize,
    dimension: usize,
}

impl Work<'_> {
    fn run(&mut self, texts: &Texts<'_>, format: Format, put: Put<'_>) -> anyhow::Result<()> {
        let mut at = texts.own.start;
        texts.parts(&mut |part| {
            let store = self.embed(texts, at, part)?;
            let set = store.set();
            if at == texts.own.start {
                self.dimension = set.dimension();
                put(&format.head(texts.own.len(), set.dimension()))?;
            }
            for text in part {
                let found = set.get(&text_key(text));
                let (row, count) = found.expect("every text was encoded");
                self.truncated += usize::from(count.lost > 0);
                put(&format.row(text, row))?;
            }
            at += part.len();
            if !texts.whole() {
                let done = at - texts.own.start;
                self.global
                    .note(&format!("{done} of {} texts are encoded", texts.own.len()));
            }
            Ok(())
        })
    }

    /// The embeddings of a part whose first text is number `at`, from 0.
    fn embed(&mut self, texts: &Texts<'_>, at: usize, part: &[String]) -> anyhow::Result<Store> {
        let mut key = self.spec.key(self.prompt);
        if !texts.whole() {
            // A store is held in memory, so one for all parts would be, too.
            let mut own = self.args.output.display().to_string();
            for text in part {
                own.push_str(text);
                own = fs::hex(&text_key(&own));
            }
            key = format!("{key}-{}", &own[..16]);
        }
        let folder = self.global.data_home()?.join("embeddings").join(key);
        let task = EncodeTask {
            texts: &part.iter().map(String::as_str).collect::<Vec<_>>(),
            prompt: self.prompt,
            folder: &folder,
            options: EncodeOptions {
                batch_tokens: self.args.batch_tokens.max(1),
                resume: !self.args.no_resume,
                label: &self.spec.name,
                stop: interrupt::flag(),
            },
        };
        let open = self.args.read.open_options(self.global)?;
        let (spec, encoder) = (&self.spec, &mut self.encoder);
        let mut bar = Bar::new(self.global.quiet);
        let store = engine::embed(task, &mut bar, &mut || {
            let opened = match encoder.take() {
                Some(opened) => opened,
                None => Opened(spec.open(&open)?.into()),
            };
            *encoder = Some(opened.clone());
            Ok(Box::new(opened))
        })
        .map_err(|error| located(error, part, at, self))?;
        if at == texts.own.start {
            for warning in store.about().iter().flat_map(|about| &about.warnings) {
                self.global.note(&format!("warning: {warning}"));
            }
        }
        if !texts.whole() {
            self.stores.push(folder);
        }
        Ok(store)
    }
}

/// An encoder that is opened once for all parts.
#[derive(Clone)]
struct Opened(Arc<dyn Encoder>);

impl Encoder for Opened {
    fn prepare(&self, text: &str, prompt: &str) -> Result<PreparedText, EncoderError> {
        self.0.prepare(text, prompt)
    }
    fn encode(&self, batch: &[&PreparedText]) -> Result<Embeddings, EncoderError> {
        self.0.encode(batch)
    }
    fn encode_counted(
        &self,
        batch: &[&PreparedText],
    ) -> Result<(Embeddings, Vec<TokenCount>), EncoderError> {
        self.0.encode_counted(batch)
    }
    fn lanes(&self) -> usize {
        self.0.lanes()
    }
    fn depends_on_batch(&self) -> bool {
        self.0.depends_on_batch()
    }
    fn warnings(&self) -> &[String] {
        self.0.warnings()
    }
    fn limits(&self) -> BatchLimits {
        self.0.limits()
    }
    // `usage` is that of all parts, and is said once, at the end.
}

/// The error of an encoder on one text, with the number of the first text that is it.
fn located(error: RunError, part: &[String], before: usize, work: &Work<'_>) -> anyhow::Error {
    let line = match &error {
        RunError::Encoder(EncoderError::Text { text, .. }) => {
            let bare = text.strip_prefix(work.prompt).unwrap_or(text);
            part.iter().position(|t| t == bare)
        }
        _ => None,
    };
    let error = anyhow::Error::from(error);
    match line {
        Some(at) => {
            let input = work.args.input.display();
            error.context(format!("{input}: text {}", before + at + 1))
        }
        None => error,
    }
}
