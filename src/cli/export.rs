//! `korfinsts export`: a model in another format.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Global, train};
use korfinsts_train::export::{self, GraphOptions, Precision};

/// Formats that a model is exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// One graph from token ids to `sentence_embedding`
    Onnx,
}

/// Types of the weights of an exported graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dtype {
    /// As the model computes
    Float32,
    /// Half the size, the same speed on a CPU
    Float16,
    /// A quarter of the size, faster on a CPU; scores change a little: measure them
    Int8,
}

/// Export a model to ONNX
///
/// Writes `model.onnx`, its tokenizer and its configuration to a folder. The graph includes pooling
/// and normalisation; its output is `sentence_embedding`. BERT, RoBERTa, XLM-RoBERTa, DistilBERT,
/// MPNet, ELECTRA, ModernBERT and T5 encoder models only; an adapter is merged into its base.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  korfinsts export checkpoints/mine --dtype int8 --output checkpoints/mine-int8")]
pub struct ExportArgs {
    /// Model folder or hub id
    #[arg(value_name = "MODEL")]
    model: String,
    /// Format
    #[arg(long, alias = "to", value_enum, default_value = "onnx")]
    format: Target,
    /// Type of the weights
    #[arg(long, value_enum, value_name = "TYPE", default_value = "float32")]
    dtype: Dtype,
    /// Folder to write to
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

/// Runs the subcommand.
///
/// # Errors
/// When the model cannot be read or has no counterpart in the format.
pub fn run(args: &ExportArgs, global: &Global) -> anyhow::Result<()> {
    let spec = train::trainable(&args.model, None, global)?;
    match args.format {
        Target::Onnx => {
            let _lock = korfinsts_base::fs::FolderLock::acquire(&args.output)?;
            let precision = match args.dtype {
                Dtype::Float32 => Precision::Float32,
                Dtype::Float16 => Precision::Float16,
                Dtype::Int8 => Precision::Int8,
            };
            let options = GraphOptions {
                precision,
                ..GraphOptions::default()
            };
            export::onnx(&spec, &args.output, options)?;
        }
    }
    let path = args.output.join("model.onnx");
    global.note(&format!(
        "written: {}\nnext: `korfinsts eval {}`",
        path.display(),
        path.display()
    ));
    Ok(())
}
