//! Passages rewritten in the form of a disclosure, the last part of the paper's Section 3.1.
//!
//! A model writes; what it wrote is kept where it has the figures and names of its source and no others, and reads as
//! a disclosure. A sheet with sources next to rewrites is drawn for a reader.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::generate::ask::{Asker, CallOutcome, CallPlan, Role, Stop, Subject};
use super::generate::backend::figures;
use super::generate::call::Answer;
use super::generate::session::{passages, write_lines};
use super::generate::state::State;
use super::step::Verdict;
use super::step::personal::Names;
use super::{Document, MineError, Typology};
use crate::audit::lot;
use korfinsts_base::fs;
use korfinsts_base::table::Table;
use korfinsts_bench::run::record::to_json;

/// The kind of text that is written.
const DISCLOSURE: &str = "disclosure";
/// Name of the step: of its verdicts and its files.
const STEP: &str = "synthesis";

/// What a reader of the sheet answers with 1 (yes) or 0 (no).
const QUESTIONS: [(&str, &str); 2] = [
    (
        "faithful",
        "Does the rewrite say what the source says, and nothing else?",
    ),
    ("form", "Is it written as a filing would write it?"),
];

/// What a run needs.
pub struct SynthesisPlan<'a> {
    /// Passages, and who writes.
    pub calls: CallPlan<'a>,
    /// Typology: languages and the register of disclosures.
    pub typology: &'a Typology,
    /// Rewrites on the sheet.
    pub sheet: usize,
    /// Seed of its draw.
    pub seed: u64,
}

/// `synthesis.json`: what a run counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthesis {
    /// Passages that are no disclosures yet.
    pub documents: usize,
    /// Rewrites kept.
    pub kept: usize,
    /// Those that were not, by reason.
    pub dropped: BTreeMap<String, usize>,
    /// Passages without an answer yet: the next run asks again.
    pub waiting: usize,
    /// US dollars spent in the folder, where known.
    pub dollars: Option<f64>,
    /// Who wrote.
    pub generator: BTreeMap<String, String>,
    /// Versions of the prompts.
    pub prompts: BTreeMap<String, String>,
    /// SHA-256 of the passages.
    pub passages_sha256: String,
}

/// How a run ended.
#[derive(Debug)]
pub struct SynthesisOutcome {
    /// What was counted; also in `synthesis.json`.
    pub synthesis: Synthesis,
    /// What the user has to do next, in words.
    pub next: Vec<String>,
    /// Why it stopped before its end; everything answered is kept.
    pub stopped: Option<Stop>,
}

/// What became of a passage.
#[derive(Debug, Clone)]
enum Made {
    Text(String),
    Dropped(&'static str, String),
    Waiting,
}

impl SynthesisPlan<'_> {
    /// Runs, or goes on where an earlier run stopped.
    ///
    /// # Errors
    /// When nothing could be begun or a file cannot be written.
    pub fn run(&self) -> Result<SynthesisOutcome, MineError> {
        let generator = &self.calls.generator.backend;
        if !generator.is_prompted() {
            return Err(MineError::usage(
                format!(
                    "`{}` writes no disclosures: rules reword, they do not write",
                    generator.model()
                ),
                "name a model with `--generator chat:ENDPOINT:MODEL`",
            ));
        }
        if self.typology.source(DISCLOSURE).is_none() {
            return Err(MineError::usage(
                format!(
                    "the typology `{}` has no source `{DISCLOSURE}`",
                    self.typology.name
                ),
                "give one that has it with `--typology`",
            ));
        }
        let mut documents = passages(&self.calls.folder, self.calls.limit)?;
        documents.retain(|d| d.source != DISCLOSURE);
        let names = Names::built_in()?;
        let state = State::open(&self.calls.folder.state())?;
        // Nothing is judged.
        let asker = Asker::new(&self.calls, &state, &self.calls.generator)?;
        let rewrite = |document: &_| self.rewrite(document, &names, &asker);
        let (made, stopped) = self.calls.each(&documents, rewrite);
        let next = generator.finish()?.into_iter().collect();
        let mut synthesis = Synthesis {
            documents: documents.len(),
            generator: generator.about().into_iter().collect(),
            prompts: self.calls.prompts.versions(),
            passages_sha256: fs::sha256_file(&self.calls.folder.passages())?,
            dollars: state.spent()?.dollars,
            ..Synthesis::default()
        };
        let mut kept: Vec<Document> = Vec::new();
        let mut sources: Vec<&Document> = Vec::new();
        let mut verdicts = Vec::new();
        for (document, made) in documents.iter().zip(made) {
            let verdict = match made {
                None | Some(Made::Waiting) => {
                    synthesis.waiting += 1;
                    continue;
                }
                Some(Made::Dropped(reason, what)) => {
                    *synthesis.dropped.entry(reason.to_owned()).or_default() += 1;
                    ("drop", Some(reason), vec![("found", what.into())])
                }
                Some(Made::Text(text)) => {
                    sources.push(document);
                    kept.push(Document {
                        id: super::document_id(&text),
                        text,
                        source: DISCLOSURE.into(),
                        corpus: format!("{}-synthetic", document.corpus),
                        origin: document.id.clone(),
                        ..document.clone()
                    });
                    ("keep", None, Vec::new())
                }
            };
            let (verdict, reason, metrics) = verdict;
            verdicts.push(Verdict {
                id: &document.id,
                verdict,
                reason,
                metrics,
                corpus: &document.corpus,
                origin: &document.origin,
            });
        }
        synthesis.kept = kept.len();
        write_lines(&self.calls.folder.synthetic(), &kept)?;
        write_lines(
            &self.calls.folder.verdicts().join(format!("{STEP}.jsonl")),
            &verdicts,
        )?;
        fs::write_atomic(&self.calls.folder.synthesis(), &to_json(&synthesis))?;
        if synthesis.waiting == 0 {
            self.write_sheet(&sources, &kept)?;
        }
        Ok(SynthesisOutcome {
            synthesis,
            next,
            stopped,
        })
    }

    fn rewrite(&self, document: &Document, names: &Names, asker: &Asker<'_>) -> Result<Made, Stop> {
        let Some(language) = self.typology.language_of_code(&document.language) else {
            return Ok(Made::Dropped("unknown-language", document.language.clone()));
        };
        let subject = Subject {
            typology: self.typology,
            id: &document.id,
            text: &document.text,
            source: &document.source,
            language,
        };
        let text = match asker.ask(Role::Generator, &subject.rewrite(DISCLOSURE))? {
            CallOutcome::Answer(Answer::Text(found)) if found.possible => found.text,
            CallOutcome::Pending | CallOutcome::Failed(_) => return Ok(Made::Waiting),
            CallOutcome::Answer(_) => return Ok(Made::Dropped("not-written", String::new())),
            CallOutcome::Refused(why) => return Ok(Made::Dropped("refused", why)),
            CallOutcome::NotUnderstood(why) => return Ok(Made::Dropped("not-understood", why)),
        };
        Ok(match flaw(&document.text, &text, names) {
            Some((reason, what)) => Made::Dropped(reason, what),
            None if !self.typology.reads_as(DISCLOSURE, &text, &language.id) => {
                Made::Dropped("another-form", text)
            }
            None => Made::Text(text),
        })
    }

    /// Sources next to rewrites for a reader; a sheet that is there stays, for it may hold answers.
    fn write_sheet(&self, sources: &[&Document], kept: &[Document]) -> Result<(), MineError> {
        let path = self.calls.folder.audit().join(format!("{STEP}.csv"));
        if fs::exists(&path) || kept.is_empty() {
            return Ok(());
        }
        let mut drawn: Vec<(u64, usize)> = kept
            .iter()
            .enumerate()
            .map(|(i, document)| (lot(&document.id, self.seed), i))
            .collect();
        drawn.sort_unstable();
        let mut head = vec!["id", "language", "source", "text", "rewrite"];
        head.extend(QUESTIONS.map(|(name, _)| name));
        head.push("comment");
        let mut table = Table::new("", &head);
        for (_, i) in drawn.into_iter().take(self.sheet) {
            let (source, made) = (sources[i], &kept[i]);
            let mut row: Vec<String> = [
                &made.id,
                &made.language,
                &source.source,
                &source.text,
                &made.text,
            ]
            .map(Clone::clone)
            .to_vec();
            row.resize(head.len(), String::new());
            table.push(row);
        }
        fs::write_atomic(&path, table.to_csv().as_bytes())?;
        let guide: String = QUESTIONS
            .iter()
            .map(|(name, question)| format!("- `{name}`: {question} 1 for yes, 0 for no.\n"))
            .collect();
        fs::write_atomic(
            &self.calls.folder.audit().join(format!("{STEP}.md")),
            guide.as_bytes(),
        )?;
        Ok(())
    }
}

/// What a rewrite lost or invented: a figure, however it is written, or a name.
fn flaw(source: &str, text: &str, names: &Names) -> Option<(&'static str, String)> {
    let first = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).next().cloned();
    let figures = |text: &str| -> BTreeSet<String> { figures(text).into_iter().collect() };
    let (before, after) = (figures(source), figures(text));
    if let Some(lost) = first(&before, &after) {
        return Some(("figure-lost", lost));
    }
    if let Some(invented) = first(&after, &before) {
        return Some(("figure-invented", invented));
    }
    // A name may be inside a longer word of the other text: particles follow it.
    let lost = names
        .all(source)
        .into_iter()
        .find(|name| !text.contains(name.as_str()));
    if let Some(lost) = lost {
        return Some(("name-lost", lost));
    }
    let invented = names
        .all(text)
        .into_iter()
        .find(|name| !source.contains(name.as_str()));
    invented.map(|name| ("name-invented", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_keeps_figures_and_names_and_invents_none() {
        let names = Names::built_in().expect("built in");
        let source = "가람전자는 3일 라온화학과 1조 2,000억원 규모의 공급계약을 맺었다고 밝혔다.";
        for (text, reason) in [
            (
                "가람전자는 3일 라온화학과 1.2조원 규모의 공급계약을 체결하였습니다.",
                None,
            ),
            (
                "가람전자는 3일 라온화학과 공급계약을 체결하였습니다.",
                Some("figure-lost"),
            ),
            (
                "가람전자는 3일 라온화학과 1조 2,000억원의 공급계약을 5년간 체결하였습니다.",
                Some("figure-invented"),
            ),
            (
                "당사는 3일 라온화학과 1조 2,000억원의 공급계약을 체결하였습니다.",
                Some("name-lost"),
            ),
            (
                "가람전자는 3일 라온화학, 미르통신과 1조 2,000억원의 공급계약을 체결하였습니다.",
                Some("name-invented"),
            ),
            (
                "가람전자 대표이사 홍길동은 3일 라온화학과 1조 2,000억원의 계약을 체결하였습니다.",
                Some("name-invented"),
            ),
        ] {
            assert_eq!(flaw(source, text, &names).map(|f| f.0), reason, "{text}");
        }
        let source = "On Monday Acme Corp bought Beta Holdings for $3 billion.";
        for (text, reason) in [
            (
                "The Company, Acme Corp, acquired Beta Holdings for $3 billion on Monday.",
                None,
            ),
            (
                "The Company acquired Beta Holdings for $3 billion on Monday.",
                Some("name-lost"),
            ),
            (
                "Acme Corp acquired Beta Holdings and Gamma for $3 billion on Monday.",
                Some("name-invented"),
            ),
        ] {
            assert_eq!(flaw(source, text, &names).map(|f| f.0), reason, "{text}");
        }
    }
}
