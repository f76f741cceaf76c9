//! The log of a run: `metrics.jsonl`, one line a step.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrainError;
use korfinsts_base::fs;

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Step, from 1, over all stages.
    pub step: usize,
    /// Stage.
    pub stage: String,
    /// Run of the stage, from 1; absent where it has one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub run: usize,
    /// What the batch was trained for; losses of different kinds are not on one scale.
    #[serde(default)]
    pub kind: String,
    /// Loss of the step's batch.
    pub loss: f32,
    /// Learning rate of the step.
    pub learning_rate: f32,
    /// Norm of the gradients before clipping.
    pub gradient_norm: f32,
    /// Negatives that the guide of the stage masked, over all rows of the batch; absent where there is
    /// no guide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<usize>,
    /// Examples per second of this step.
    pub triplets_per_second: f32,
    /// Resident memory of this process in MiB; absent where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f32>,
    /// Spearman's correlation by suite and dev split (`korsts:dev`), at steps with an evaluation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evaluation: BTreeMap<String, f64>,
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_one(n: &usize) -> bool {
    *n == 1
}

/// The file and its lines.
pub(super) struct Log {
    path: PathBuf,
    lines: Vec<StepMetrics>,
}

impl Log {
    /// Continues after `step`: what an earlier run logged beyond it is cut off.
    pub(super) fn open(path: PathBuf, step: usize) -> Result<Self, TrainError> {
        let lines = earlier(&path, step)?;
        Ok(Self { path, lines })
    }

    /// Every line so far.
    pub(super) fn lines(&self) -> &[StepMetrics] {
        &self.lines
    }

    /// Adds a line.
    pub(super) fn write(&mut self, line: &StepMetrics) -> Result<(), TrainError> {
        let mut file = fs::open_append(&self.path)?;
        let mut text = serde_json::to_vec(line).map_err(|e| TrainError::Compute {
            what: "writing metrics",
            reason: e.to_string(),
        })?;
        text.push(b'\n');
        file.write_all(&text).map_err(fs::at("write", &self.path))?;
        self.lines.push(line.clone());
        Ok(())
    }
}

/// What an earlier run logged up to `step`; the file is cut back to that.
fn earlier(path: &Path, step: usize) -> Result<Vec<StepMetrics>, TrainError> {
    if !fs::exists(path) {
        return Ok(Vec::new());
    }
    let text = fs::read(path)?;
    let lines: Vec<StepMetrics> = String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|l| serde_json::from_str(l).ok())
        .filter(|m: &StepMetrics| m.step <= step)
        .collect();
    let mut kept = Vec::new();
    for line in &lines {
        // A line that was read can be written.
        kept.extend(serde_json::to_vec(line).unwrap_or_default());
        kept.push(b'\n');
    }
    fs::write_atomic(path, &kept)?;
    Ok(lines)
}

/// Resident memory of this process; absent where the system does not say.
pub(super) fn memory_mib() -> Option<f32> {
    let status = fs::read(Path::new("/proc/self/status")).ok()?;
    let status = String::from_utf8_lossy(&status).into_owned();
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    let kib: f32 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib / 102.4).round() / 10.0)
}
