//! All gates on one subject.

use jiff::civil::Date;

use super::gate::{GATES, r21_probe};
use super::report::{Draft, Notes};
use super::{Fact, Finding, GateResult, Level, Report, Status, Subject, Waived, Waiver};

/// Puts a subject through every gate.
#[must_use]
pub fn check(subject: &Subject) -> Report {
    let mut report = Report {
        id: subject.id.clone(),
        version: subject.version.clone(),
        release_id: super::build::release_id(subject),
        canary: subject.manifest.as_ref().map(|m| m.canary.clone()),
        passed: true,
        findings: Vec::new(),
        waived: Vec::new(),
        facts: Vec::new(),
        gates: Vec::new(),
    };
    let waivers: &[Waiver] = subject.manifest.as_ref().map_or(&[], |m| &m.waivers);
    let mut used = vec![false; waivers.len()];
    for gate in GATES {
        // Reports of releases from before the gate stay as they are.
        if gate.id == "R21" && !r21_probe::applies(subject) {
            continue;
        }
        let mut result = GateResult {
            gate: gate.id,
            title: gate.title,
            status: Status::Passed,
            errors: 0,
            warnings: 0,
            note: None,
        };
        if gate.needs_release && subject.manifest.is_none() {
            result.status = Status::Skipped;
            result.note = Some("a suite on disk has no release files".into());
            report.gates.push(result);
            continue;
        }
        let mut notes = Notes::default();
        let read = subject.drafts.iter().filter(|(id, _)| *id == gate.id);
        notes.drafts.extend(read.map(|(_, draft)| draft.clone()));
        (gate.run)(subject, &mut notes);
        report
            .facts
            .extend(notes.facts.into_iter().map(|text| Fact {
                gate: gate.id,
                text,
            }));
        let waived_before = report.waived.len();
        for draft in notes.drafts {
            let finding = finding(gate.id, draft);
            let by = waivers.iter().position(|w| {
                w.gate == gate.id
                    && w.row
                        .as_ref()
                        .is_none_or(|row| finding.row.as_ref() == Some(row))
                    && holds(w, subject.context.today)
                    && !w.reason.trim().is_empty()
            });
            if let Some(i) = by {
                used[i] = true;
                report.waived.push(Waived {
                    finding,
                    reason: waivers[i].reason.clone(),
                    expires: waivers[i].expires.clone(),
                });
                continue;
            }
            match finding.level {
                Level::Error => result.errors += 1,
                Level::Warning => result.warnings += 1,
            }
            report.findings.push(finding);
        }
        let waivers = waivers.iter().zip(&used);
        waiver_findings(waivers, subject.context.today, &mut result, &mut report);
        result.status = match (result.errors, result.warnings) {
            (0, 0) if report.waived.len() > waived_before => Status::Waived,
            (0, 0) => Status::Passed,
            (0, _) => Status::Warned,
            _ => Status::Failed,
        };
        report.passed &= result.errors == 0;
        report.gates.push(result);
    }
    report
}

fn finding(gate: &'static str, draft: Draft) -> Finding {
    Finding {
        gate,
        level: draft.level,
        row: draft.row,
        message: draft.message,
        remedy: draft.remedy,
    }
}

fn holds(waiver: &Waiver, today: Date) -> bool {
    waiver.expires.parse::<Date>().is_ok_and(|day| today <= day)
}

/// Findings about waivers, each with whether a finding needed it. One that has expired or gives no reason is an error, one that nothing needs a warning. One
/// of a gate that does not exist belongs to the first gate.
fn waiver_findings<'a>(
    waivers: impl Iterator<Item = (&'a Waiver, &'a bool)>,
    today: Date,
    result: &mut GateResult,
    report: &mut Report,
) {
    let unknown = |w: &Waiver| !GATES.iter().any(|g| g.id == w.gate);
    let gate = result.gate;
    let one_of_gates = format!("name one of R1 to R{}", GATES.len());
    let first = GATES.first().is_some_and(|g| g.id == gate);
    for (waiver, used) in waivers {
        if waiver.gate != gate && !(first && unknown(waiver)) {
            continue;
        }
        let (level, message, remedy) = if unknown(waiver) {
            (
                Level::Error,
                format!(
                    "a waiver names the gate `{}`, which does not exist",
                    waiver.gate.escape_debug()
                ),
                one_of_gates.as_str(),
            )
        } else if waiver.reason.trim().is_empty() {
            (
                Level::Error,
                "a waiver gives no reason".to_owned(),
                "say why the finding is accepted",
            )
        } else if !holds(waiver, today) {
            (
                Level::Error,
                format!("a waiver expired on {}", waiver.expires),
                "mend what it waived, or decide again and set a new day",
            )
        } else if !used {
            (
                Level::Warning,
                "a waiver waives nothing".to_owned(),
                "remove it from korfinsts.toml",
            )
        } else {
            continue;
        };
        match level {
            Level::Error => result.errors += 1,
            Level::Warning => result.warnings += 1,
        }
        report.findings.push(Finding {
            gate,
            level,
            row: waiver.row.clone(),
            message,
            remedy: remedy.to_owned(),
        });
    }
}
