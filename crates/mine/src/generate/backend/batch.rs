//! Batches: calls are written to a file that a batch service takes (`OpenAI`'s JSONL), and its
//! results are read in a later run. One line is one call; what a batch that expired has finished
//! counts, the rest is written again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::chat::{self, ChatModel, Said};
use super::{Backend, Failure, Kind, Reply, Setting};
use crate::generate::call::Call;
use crate::generate::prompt::Prompt;
use crate::{MineError, Place};
use korfinsts_base::fs;

pub(super) const KIND: Kind = Kind {
    name: "batch",
    argument: "MODEL",
    about: "request files of OpenAI's batch service: name the model",
    open,
};

struct Batch {
    model: ChatModel,
    requests: PathBuf,
    results: BTreeMap<String, Line>,
    waiting: Mutex<BTreeMap<String, Value>>,
}

/// A line of results.
enum Line {
    Answer(Value),
    Failed(String),
}

fn open(argument: &str, setting: &Setting) -> Result<Box<dyn Backend>, MineError> {
    let mut results = BTreeMap::new();
    for path in &setting.results {
        for (key, line) in read(path)? {
            // A finished line is never replaced by one that failed.
            if matches!(line, Line::Answer(_)) || !results.contains_key(&key) {
                results.insert(key, line);
            }
        }
    }
    let name = format!("batch-{}.jsonl", setting.role.name());
    Ok(Box::new(Batch {
        model: ChatModel::new(argument, setting),
        requests: setting.requests.join(name),
        results,
        waiting: Mutex::default(),
    }))
}

/// Lines of a file of results by the key of their call. The last line may be torn: a download that
/// broke off.
fn read(path: &Path) -> Result<Vec<(String, Line)>, MineError> {
    let bytes = fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let count = text.lines().count();
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let value: Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(_) if at + 1 == count && !text.ends_with('\n') => break,
            Err(e) => {
                return Err(MineError::data(
                    path,
                    Place::Line(at as u64 + 1),
                    format!("no JSON: {e}"),
                    Some("is it the output or error file of a batch, as the service gave it?"),
                ));
            }
        };
        let Some(key) = value.get("custom_id").and_then(Value::as_str) else {
            return Err(MineError::data(
                path,
                Place::Line(at as u64 + 1),
                "there is no `custom_id`",
                Some("is it the output or error file of a batch, not its request file?"),
            ));
        };
        let status = value
            .pointer("/response/status_code")
            .and_then(Value::as_u64);
        let line = match (status, value.pointer("/response/body")) {
            (Some(200), Some(body)) => Line::Answer(body.clone()),
            _ => Line::Failed(
                [
                    "/error/message",
                    "/error/code",
                    "/response/body/error/message",
                ]
                .iter()
                .find_map(|p| value.pointer(p).and_then(Value::as_str))
                .unwrap_or("no answer and no reason")
                .to_owned(),
            ),
        };
        found.push((key.to_owned(), line));
    }
    Ok(found)
}

impl Backend for Batch {
    fn model(&self) -> &str {
        &self.model.name
    }

    fn parameters(&self) -> Value {
        self.model.parameters()
    }

    fn about(&self) -> Vec<(String, String)> {
        let failed: Vec<&str> = self
            .results
            .values()
            .filter_map(|l| match l {
                Line::Failed(why) => Some(why.as_str()),
                Line::Answer(_) => None,
            })
            .collect();
        let mut about = vec![
            ("backend".into(), "batch".into()),
            ("model".into(), self.model.name.clone()),
            ("parameters".into(), self.parameters().to_string()),
        ];
        if let Some(first) = failed.first() {
            about.push((
                "failed_lines".into(),
                format!("{}, the first: {first}", failed.len()),
            ));
        }
        about
    }

    fn answer(&self, key: &str, call: &Call, prompt: &Prompt) -> Result<Reply, Failure> {
        if let Some(Line::Answer(body)) = self.results.get(key) {
            return match chat::read(body) {
                Ok(Said::Reply(reply)) => Ok(reply),
                Ok(Said::Refused(words, reply)) => Err(Failure::Refused(words, reply)),
                Err(reason) => Err(Failure::Refused(reason, Reply::default())),
            };
        }
        let line = json!({
            "custom_id": key,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": self.model.body(call, prompt),
        });
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.to_owned(), line);
        Err(Failure::Pending)
    }

    fn finish(&self) -> Result<Option<String>, MineError> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            fs::remove_file(&self.requests)?;
            return Ok(None);
        }
        let mut text = String::new();
        for line in waiting.values() {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        fs::write_atomic(&self.requests, text.as_bytes())?;
        Ok(Some(format!(
            "{} calls wait in {}: run that batch, then call again with `--batch-results FILE`",
            waiting.len(),
            self.requests.display()
        )))
    }
}
