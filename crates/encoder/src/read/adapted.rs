//! Adapters of the model: what they change, and what of them has no place.

use korfinsts_nn::safetensors::Checkpoint;
use serde_json::Value;

use super::keys::list;
use super::unread::is_head;
use super::{Reader, locate};
use crate::EncoderError;
use crate::adapter::{self, AdapterFiles, Level, MERGE};
use crate::llm2vec::{self, Llm2Vec};
use crate::spec::Setting;
use korfinsts_base::fs;

impl Reader<'_> {
    /// Tries each adapter on the base, and says what is merged.
    pub(super) fn adapters(&mut self, levels: &[Level]) -> Result<(), EncoderError> {
        let Some(last) = levels.last() else {
            return Ok(());
        };
        let mut checkpoint = Checkpoint::open(&self.files.weights)?;
        for files in self.files.adapters.clone() {
            let merged = adapter::merge(&files, &mut checkpoint)?;
            self.check_adapter(&files, &merged)?;
            let name = self.relative(&files.weights);
            let value = format!("{name}, merged into {} tensors", merged.changed);
            self.decide(Setting::Adapter, value, locate::file_name(&files.config));
            self.read_files.push(("weights-adapter", files.weights));
            self.read_files.push(("config", files.config));
        }
        let (name, source) = match &last.base.identity {
            _ if last.base.path == last.folder => {
                ("the weights of the same folder".into(), "found")
            }
            Some((id, revision)) => (format!("{id}@{revision}"), "base_model_name_or_path"),
            None => (
                locate::file_name(&last.base.path),
                "base_model_name_or_path",
            ),
        };
        self.decide(Setting::Base, name, source);
        Ok(())
    }

    /// Refuses tensors without a place, and doubts layers without tensors.
    fn check_adapter(
        &mut self,
        files: &AdapterFiles,
        merged: &adapter::Merged,
    ) -> Result<(), EncoderError> {
        let wrong = |name: &&String| !is_head(name);
        let unplaced: Vec<String> = merged.unplaced.iter().filter(wrong).cloned().collect();
        if !unplaced.is_empty() || merged.changed == 0 {
            let reason = match unplaced.len() {
                0 => "it changes no tensor of the base".to_owned(),
                n => format!(
                    "it holds {n} tensors for which the base has no counterpart: {}",
                    list(&unplaced)
                ),
            };
            return Err(EncoderError::Invalid {
                path: files.weights.clone(),
                reason,
                hint: Some(format!(
                    "is `base_model_name_or_path` the model that it was trained on? If it is, {MERGE}"
                )),
            });
        }
        let left_out: Vec<String> = merged
            .left_out
            .iter()
            .filter(|name| !is_head(name))
            .cloned()
            .collect();
        if left_out.is_empty() {
            return Ok(());
        }
        let what = format!(
            "{} holds nothing of {} layers that `target_modules` of {} names: {}",
            self.relative(&files.weights),
            left_out.len(),
            locate::file_name(&files.config),
            list(&left_out)
        );
        self.doubt(
            what,
            "take them out of `target_modules`, or save the adapter again",
        )
    }

    /// Says that an adapter next to weights that the user named is not applied.
    pub(super) fn unread_adapter(&mut self) {
        if !self.files.adapters.is_empty() {
            return;
        }
        let folders = [&self.files.root, &self.files.base];
        let names = [adapter::CONFIG, adapter::WEIGHTS, adapter::PICKLE];
        let mut paths = folders
            .into_iter()
            .flat_map(|folder| names.map(|name| folder.join(name)));
        if let Some(path) = paths.find(|path| fs::exists(path)) {
            let weights = self.relative(&self.files.weights[0].clone());
            self.warnings.push(format!(
                "{}: an adapter is next to `{weights}`, which was named and holds the base alone: \
                 it is not applied",
                self.relative(&path)
            ));
        }
    }
}

/// Folders of llm2vec, with an adapter or without.
impl Reader<'_> {
    /// Reads `llm2vec_config.json`, unless the folder says itself what follows the network.
    pub(super) fn read_llm2vec(&mut self, levels: &[Level]) -> Result<(), EncoderError> {
        let path = self.files.root.join(llm2vec::FILE);
        if fs::exists(&self.files.modules.join("modules.json")) || !fs::exists(&path) {
            return Ok(());
        }
        let names = self.config.get("_name_or_path").and_then(Value::as_str);
        let bases = levels
            .iter()
            .filter_map(|level| level.base.identity.as_ref());
        let names: Vec<&str> = names
            .into_iter()
            .chain(bases.map(|(id, _)| id.as_str()))
            .collect();
        self.llm2vec = Llm2Vec::read(&path, self.architecture(), &names)?;
        self.read_files.push(("config", path));
        Ok(())
    }
}
