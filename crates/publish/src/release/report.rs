//! What the gates found.

use std::fmt::Write as _;

use serde::Serialize;

use korfinsts_base::template::cell;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Reported.
    Warning,
    /// Stops the release.
    Error,
}

/// One thing a gate found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Gate, as `R6`.
    pub gate: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// Id of the row; `null` where it is about no single row.
    pub row: Option<String>,
    /// What was found and what is allowed.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// A finding that a waiver accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waived {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why it is accepted.
    pub reason: String,
    /// Last day on which it is.
    pub expires: String,
}

/// Something measured that is no finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Gate.
    pub gate: &'static str,
    /// What was measured.
    pub text: String,
}

/// How a gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It found nothing.
    Passed,
    /// It found warnings alone.
    Warned,
    /// All its errors are waived.
    Waived,
    /// It found errors.
    Failed,
    /// It has nothing to look at here.
    Skipped,
}

/// One gate and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateResult {
    /// Gate, as `R6`.
    pub gate: &'static str,
    /// What it looks at.
    pub title: &'static str,
    /// How it ended.
    pub status: Status,
    /// Errors, waived ones not counted.
    pub errors: usize,
    /// Warnings, waived ones not counted.
    pub warnings: usize,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The result of all gates: `reports/check.json`, and what `release check --format json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Id of the suite.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Release id; `null` in the report inside a release, which the id covers, and for a suite that
    /// is no release.
    pub release_id: Option<String>,
    /// GUID of the release's texts; `null` for a suite that is no release.
    pub canary: Option<String>,
    /// Whether no error is left.
    pub passed: bool,
    /// What was found, by gate.
    pub findings: Vec<Finding>,
    /// What was found and accepted.
    pub waived: Vec<Waived>,
    /// What was measured.
    pub facts: Vec<Fact>,
    /// Each gate.
    pub gates: Vec<GateResult>,
}

/// A finding before its gate's name is put to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// How much it weighs.
    pub level: Level,
    /// Id of the row.
    pub row: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Draft {
    /// An error.
    pub fn error(row: Option<&str>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            row: row.map(ToOwned::to_owned),
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// What a gate writes to.
#[derive(Debug, Default)]
pub struct Notes {
    /// Findings.
    pub drafts: Vec<Draft>,
    /// Facts.
    pub facts: Vec<String>,
}

impl Notes {
    /// Adds an error.
    pub fn error(
        &mut self,
        row: Option<&str>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.drafts.push(Draft::error(row, message, remedy));
    }

    /// Adds a warning.
    pub fn warn(
        &mut self,
        row: Option<&str>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.drafts.push(Draft {
            level: Level::Warning,
            ..Draft::error(row, message, remedy)
        });
    }

    /// Adds a fact.
    pub fn fact(&mut self, text: impl Into<String>) {
        self.facts.push(text.into());
    }
}

impl Report {
    /// The findings of a gate.
    pub fn of<'a>(&'a self, gate: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |f| f.gate == gate)
    }

    /// Gates with errors that are not waived.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        self.gates
            .iter()
            .filter(|g| g.status == Status::Failed)
            .map(|g| g.gate.to_owned())
            .collect()
    }

    /// The report as pretty JSON with a newline at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The report as Markdown; at most `most` findings of each gate are listed.
    #[must_use]
    pub fn to_markdown(&self, most: usize) -> String {
        let mut out = format!("# Check of {} {}\n\n", cell(&self.id), self.version);
        if let Some(id) = &self.release_id {
            let _ = writeln!(out, "Release id: `{id}`\n");
        }
        let errors: usize = self.gates.iter().map(|g| g.errors).sum();
        let warnings: usize = self.gates.iter().map(|g| g.warnings).sum();
        let verdict = if self.passed { "passed" } else { "not passed" };
        let _ = writeln!(
            out,
            "**{verdict}**: {errors} errors, {warnings} warnings, {} waived.\n",
            self.waived.len()
        );
        out.push_str("| gate | what | result | errors | warnings |\n|---|---|---|---:|---:|\n");
        for gate in &self.gates {
            let status = match gate.status {
                Status::Passed => "passed",
                Status::Warned => "warnings",
                Status::Waived => "waived",
                Status::Failed => "**failed**",
                Status::Skipped => "skipped",
            };
            let note = gate
                .note
                .as_ref()
                .map(|n| format!(": {n}"))
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "| {} | {} | {status}{note} | {} | {} |",
                gate.gate, gate.title, gate.errors, gate.warnings
            );
        }
        if !self.facts.is_empty() {
            out.push_str("\n## Measured\n\n");
            for fact in &self.facts {
                let _ = writeln!(out, "- {}: {}", fact.gate, cell(&fact.text));
            }
        }
        if !self.findings.is_empty() {
            out.push_str(
                "\n## Findings\n\n| gate | level | row | what | remedy |\n|---|---|---|---|---|\n",
            );
            for gate in &self.gates {
                let found: Vec<&Finding> = self.of(gate.gate).collect();
                for finding in found.iter().take(most) {
                    let level = match finding.level {
                        Level::Error => "error",
                        Level::Warning => "warning",
                    };
                    let _ = writeln!(
                        out,
                        "| {} | {level} | {} | {} | {} |",
                        finding.gate,
                        cell(finding.row.as_deref().unwrap_or_default()),
                        cell(&finding.message),
                        cell(&finding.remedy)
                    );
                }
                if found.len() > most {
                    let _ = writeln!(
                        out,
                        "| {} | | | and {} more: see the JSON report | |",
                        gate.gate,
                        found.len() - most
                    );
                }
            }
        }
        if !self.waived.is_empty() {
            out.push_str(
                "\n## Waived\n\n| gate | row | what | reason | until |\n|---|---|---|---|---|\n",
            );
            for waived in &self.waived {
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} | {} |",
                    waived.finding.gate,
                    cell(waived.finding.row.as_deref().unwrap_or_default()),
                    cell(&waived.finding.message),
                    cell(&waived.reason),
                    waived.expires
                );
            }
        }
        if let Some(canary) = &self.canary {
            let _ = writeln!(out, "\nCanary: {canary}");
        }
        out
    }
}
