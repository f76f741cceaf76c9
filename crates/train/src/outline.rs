//! What a run would do, found out without a step.

use std::collections::BTreeMap;

use serde::Serialize;

use super::TrainError;
use super::augment::VocabularyReport;
use super::batch::{Kind, Source, of_kind};
use super::leakage::LeakReport;
use super::prune::PruneReport;
use super::rows::DataFile;
use super::session::Session;

/// What a dry run found out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outline {
    /// Name of the recipe.
    pub name: String,
    /// Trainable values.
    pub parameters: usize,
    /// Tensors that hold them.
    pub tensors: usize,
    /// Stages: name, sources with their examples, steps.
    pub stages: Vec<StageOutline>,
    /// Files that were read, in the order of the recipe.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<DataFile>,
    /// The leakage check.
    pub leakage: LeakReport,
    /// The new tokens, where the recipe asks for some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<VocabularyReport>,
    /// What became of the vocabulary, where the recipe makes it smaller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned: Option<PruneReport>,
    /// Triplets by what the data say of them: by field, then by value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, BTreeMap<String, usize>>,
    /// Tokens of the longest text, and texts that are truncated.
    pub longest_text: usize,
    /// Texts that lose tokens to truncation.
    pub truncated_texts: usize,
}

/// One stage of an [`Outline`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageOutline {
    /// Its name.
    pub name: String,
    /// Examples by source.
    pub sources: Vec<(String, usize)>,
    /// Runs, whose weights are averaged.
    pub runs: usize,
    /// Steps, over all runs.
    pub steps: usize,
}

impl Session<'_> {
    /// What would be trained.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn outline(&self) -> Result<Outline, TrainError> {
        let recipe = &self.plan.recipe;
        let (mut longest_text, mut truncated_texts) = (0, 0);
        for (stage, sources) in recipe.stages.iter().zip(&self.stages) {
            let prompts = stage.prompts(&recipe.compute);
            let texts = sources.iter().flat_map(|s| &s.examples);
            for (role, text) in texts.flat_map(|e| e.texts().enumerate()) {
                let prepared = self.model.prepare(text, prompts[role.min(1)])?;
                longest_text = longest_text.max(prepared.ids.len() + prepared.lost_tokens);
                truncated_texts += usize::from(prepared.lost_tokens > 0);
            }
        }
        Ok(Outline {
            name: self.plan.recipe.name.clone(),
            parameters: self.model.size(),
            tensors: self.model.parameters().len(),
            stages: self
                .plan
                .recipe
                .stages
                .iter()
                .zip(&self.stages)
                .zip(&self.batches)
                .map(|((stage, sources), runs)| StageOutline {
                    name: stage.name.clone(),
                    sources: sources
                        .iter()
                        .map(|s| {
                            let name = format!("{} ({})", s.name, s.kind.name());
                            (name, s.examples.len())
                        })
                        .collect(),
                    runs: runs.len(),
                    steps: runs.iter().map(Vec::len).sum(),
                })
                .collect(),
            files: self
                .stages
                .iter()
                .flatten()
                .flat_map(|s| s.files.clone())
                .collect(),
            leakage: self.leakage.clone(),
            vocabulary: self.vocabulary.clone(),
            pruned: self.pruned.clone(),
            labels: labels(&self.stages),
            longest_text,
            truncated_texts,
        })
    }
}

/// Triplets by label and value; what the data do not say is not counted.
fn labels(stages: &[Vec<Source>]) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut found: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for example in of_kind(stages, Kind::Triplets).flat_map(|s| &s.examples) {
        for (field, value) in example.labels.named() {
            if !value.is_empty() {
                *found
                    .entry(field.to_owned())
                    .or_default()
                    .entry(value.to_owned())
                    .or_default() += 1;
            }
        }
    }
    found
}
