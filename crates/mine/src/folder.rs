//! Where things are in a run folder.

use std::path::{Path, PathBuf};

/// Name of a run folder where none is given.
pub const DEFAULT: &str = "korfinsts-mine";

/// A run folder: what `korfinsts mine` writes, and where its later steps look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The run folder at a path, which may not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// [`Document`](super::Document)s that passed every step, one JSON object a line, in the order
    /// of the corpora.
    #[must_use]
    pub fn passages(&self) -> PathBuf {
        self.0.join("passages.jsonl")
    }

    /// The verdicts of every step, one file per step and shard.
    #[must_use]
    pub fn verdicts(&self) -> PathBuf {
        self.0.join("verdicts")
    }

    /// Card, licence and manifest of every corpus read.
    #[must_use]
    pub fn corpora(&self) -> PathBuf {
        self.0.join("corpora")
    }

    /// The plan of the run, resolved.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.0.join("run.toml")
    }

    /// Sheets for the raters.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit")
    }

    /// What the filtering steps counted.
    #[must_use]
    pub fn filter(&self) -> PathBuf {
        self.0.join("filter.json")
    }

    /// What the generating steps counted.
    #[must_use]
    pub fn generation(&self) -> PathBuf {
        self.0.join("generation.json")
    }

    /// Calls, documents and triplets of the generating steps.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.0.join("state.sqlite")
    }

    /// The triplets.
    #[must_use]
    pub fn triplets(&self) -> PathBuf {
        self.0.join("triplets.jsonl")
    }

    /// Passages rewritten as disclosures: [`Document`](super::Document)s, one JSON object a line.
    #[must_use]
    pub fn synthetic(&self) -> PathBuf {
        self.0.join("synthetic.jsonl")
    }

    /// What the rewriting counted.
    #[must_use]
    pub fn synthesis(&self) -> PathBuf {
        self.0.join("synthesis.json")
    }

    /// The report, with the ending of its format.
    #[must_use]
    pub fn report(&self, ending: &str) -> PathBuf {
        self.0.join(format!("report.{ending}"))
    }
}
